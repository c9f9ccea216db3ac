//! Counters of what is dropped, one by one.

use taut_rtp::Ssrc;
use taut_rtp::rtcp::{
    self, FirEntry, FullIntraRequest, Goodbye, Nack, PictureLossIndication, ReceiverReport,
};

use super::hostile::rtcp as octets;
use super::*;

const SOURCE: u32 = 0x4444_4444;

/// A packet with a whole VP8 frame (RFC 7741 section 4.2).
fn packet(payload_type: u8, sequence: u16, ssrc: u32) -> Packet {
    let mut datagram = vec![0x80, 0x80 | payload_type];
    datagram.extend(sequence.to_be_bytes());
    datagram.extend(u32::from(sequence).wrapping_mul(3_000).to_be_bytes());
    datagram.extend(ssrc.to_be_bytes());
    datagram.push(0x10);
    datagram.extend([0; 40]);
    Packet::parse(datagram.into()).unwrap()
}

/// A session that receives video, and the time it begins.
fn receiver(config: impl FnOnce(ReceiverConfig) -> ReceiverConfig) -> (Session, Instant) {
    let now = Instant::now();
    let clock = taut_sansio::time::WallClock { instant: now, unix: SECOND };
    let mut session = Session::new(Config::default(), clock, Rng::from_u64(1));
    let video = ReceiverConfig::new(Kind::Video).with_codecs(vec![ALL.vp8()]);
    session.set_receiver(now, ReceiverId(VIDEO), config(video));
    (session, now)
}

fn stats(session: &Session) -> ReceiverStats {
    session.receiver_stats(ReceiverId(VIDEO)).remove(0)
}

#[test]
fn packets_that_cannot_be_used_are_counted_by_why() {
    let (mut session, now) = receiver(|config| config);
    let mut take = |packet, at| session.handle_rtp(at, ReceiverId(VIDEO), packet);
    take(packet(50, 1, SOURCE), now);
    take(packet(97, 1, SOURCE + 1), now);
    for sequence in [1, 2, 2] {
        take(packet(96, sequence, SOURCE), now);
    }
    // Far from all that came before.
    take(packet(96, 30_000, SOURCE), now);
    // The third one comes when nobody waits for it any more.
    take(packet(96, 4, SOURCE), now);
    session.handle_timeout(now + SECOND);
    session.handle_rtp(now + SECOND, ReceiverId(VIDEO), packet(96, 3, SOURCE));
    let all = session.stats();
    assert_eq!((all.rtp_unknown_payload, all.rtx_unmatched), (1, 1));
    let of_source = stats(&session);
    assert_eq!((of_source.packets_duplicated, of_source.packets_discarded), (1, 2));
}

#[test]
fn a_retransmission_belongs_to_the_source_that_was_signalled_with_it() {
    for (signalled, unmatched) in
        [(vec![(SOURCE, Some(SOURCE + 1))], 0), (vec![(SOURCE + 7, Some(SOURCE + 1))], 1)]
    {
        let (mut session, now) = receiver(|config| config.with_ssrcs(signalled));
        // Two sources, so that it is not clear otherwise.
        for (sequence, ssrc) in [(1, SOURCE + 9), (1, SOURCE), (3, SOURCE)] {
            session.handle_rtp(now, ReceiverId(VIDEO), packet(96, sequence, ssrc));
        }
        let mut repair = packet(97, 1, SOURCE + 1);
        // The number of the packet that is sent again stands first (RFC 4588 section 4).
        repair.payload = [&[0, 2][..], &repair.payload].concat().into();
        session.handle_rtp(now, ReceiverId(VIDEO), repair);
        assert_eq!(session.stats().rtx_unmatched, unmatched);
    }
}

#[test]
fn forwarded_frames_are_counted_by_their_packets() {
    let (mut session, now) = receiver(|config| config.with_mode(Mode::Packets));
    for sequence in 0..10 {
        session.handle_rtp(now, ReceiverId(VIDEO), packet(96, sequence, SOURCE));
    }
    assert_eq!((stats(&session).frames_received, stats(&session).key_frames_received), (10, 10));
}

#[test]
fn feedback_that_means_nothing_is_counted() {
    let mut pair = Pair::new(1, ALL, Link::default().latency(20 * MS));
    pair.stream(5);
    let now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.a).session;
    let (sender, media) = (Ssrc::new(1), Ssrc::new(SOURCE));
    let block = rtcp::ReportBlock { ssrc: media, ..rtcp::ReportBlock::default() };
    let strangers = [
        rtcp::Packet::PictureLossIndication(PictureLossIndication { sender, media }),
        rtcp::Packet::FullIntraRequest(FullIntraRequest {
            sender,
            media,
            entries: vec![FirEntry { ssrc: media, sequence: 1 }],
        }),
        rtcp::Packet::Nack(Nack::new(sender, media, [packet(96, 1, 1).sequence])),
        rtcp::Packet::Goodbye(Goodbye { ssrcs: vec![media], reason: Bytes::new() }),
        rtcp::Packet::ReceiverReport(ReceiverReport {
            ssrc: sender,
            reports: vec![block],
            extension: Bytes::new(),
        }),
    ];
    let before = session.stats().rtcp_unknown_source;
    for (count, stranger) in (1..).zip(&strangers) {
        session.handle_rtcp(now, octets(stranger));
        assert_eq!(session.stats().rtcp_unknown_source, before + count, "{stranger:?}");
    }
    session.handle_rtcp(now, Bytes::from_static(&[0x80, 200, 0xff, 0xff]));
    assert_eq!(session.stats().rtcp_malformed, 1);
    // It answers a report that is yet to be sent.
    let block = rtcp::ReportBlock {
        ssrc: Ssrc::new(VIDEO_SSRC),
        last_sender_report: 0x8000_0000,
        ..rtcp::ReportBlock::default()
    };
    let report = ReceiverReport { ssrc: sender, reports: vec![block], extension: Bytes::new() };
    session.handle_rtcp(now, octets(&rtcp::Packet::ReceiverReport(report)));
    assert_eq!(session.stats().rtcp_implausible, 1);
}
