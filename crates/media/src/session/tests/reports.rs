//! Reports and statistics.

use super::*;
use taut_netsim::Loss;
use taut_rtp::rtcp::{self, SdesKind};

fn parse(compound: &Bytes) -> Vec<rtcp::Packet> {
    rtcp::compound(compound).map(|packet| packet.unwrap()).collect()
}

#[test]
fn reports_come_about_once_a_second_and_are_whole() {
    let mut pair = Pair::new(1, ALL, Link::default().latency(20 * MS));
    pair.stream(1_000);
    for (node, name) in [(pair.a, "side-0"), (pair.b, "side-1")] {
        let sent = &pair.world.node(node).rtcp_sent;
        assert!((15..=28).contains(&sent.len()), "{} in 20 s", sent.len());
        for window in sent.windows(2) {
            let interval = window[1].0 - window[0].0;
            assert!((500 * MS..=1_500 * MS).contains(&interval), "{interval:?}");
        }
        for (_, compound) in sent {
            let packets = parse(compound);
            let ssrc = match &packets[0] {
                rtcp::Packet::SenderReport(report) if node == pair.a => report.ssrc,
                rtcp::Packet::ReceiverReport(report) if node == pair.b => report.ssrc,
                other => panic!("{other:?}"),
            };
            let names = packets.iter().find_map(|packet| match packet {
                rtcp::Packet::SourceDescription(description) => Some(description),
                _ => None,
            });
            let chunk = names.unwrap().chunks.iter().find(|chunk| chunk.ssrc == ssrc).unwrap();
            assert_eq!(chunk.cname(), Some(name));
            assert_eq!(chunk.items[0].kind, SdesKind::CNAME);
        }
    }
}

#[test]
fn the_round_trip_is_measured() {
    let mut pair = Pair::new(1, ALL, Link::default());
    pair.world.set_link(pair.a, pair.b, Link::default().latency(30 * MS));
    pair.world.set_link(pair.b, pair.a, Link::default().latency(50 * MS));
    pair.stream(200);
    let stats = pair.sender_stats();
    let remote = stats.remote.unwrap();
    let rtt = remote.round_trip_time.unwrap();
    assert!(rtt.abs_diff(80 * MS) < MS / 10, "{rtt:?}");
    assert!(remote.round_trip_time_measurements >= 2);
    let mean = remote.total_round_trip_time / remote.round_trip_time_measurements as u32;
    assert!(mean.abs_diff(80 * MS) < MS / 10);
    assert!(pair.world.node(pair.a).session.rtt().unwrap().abs_diff(80 * MS) < MS);
    assert_eq!(pair.world.node(pair.a).session.stats().rtcp_implausible, 0);
}

/// Ten pictures of one packet each, two of them lost, one repaired: every number is known.
#[test]
fn numbers_are_exact() {
    let mut pair = Pair::new(1, ALL, Link::default().latency(10 * MS));
    // Datagrams of `a`, in order: 3 is picture 3; 5 is picture 4, after the retransmission of 3.
    let lost = Loss::filter(|_, octets| octets[1] & 0x7f == 96 && [3, 7].contains(&octets[octets.len() - 1]));
    pair.world.set_link(pair.a, pair.b, Link::default().latency(10 * MS).loss(lost));
    let start = pair.world.now();
    for i in 0..10u8 {
        let mut picture = pair.picture(100, i == 0);
        picture.data = [&picture.data[..99], &[i]].concat().into();
        pair.send(picture);
        pair.world.run_for(20 * MS);
    }
    pair.world.run_for(30 * MS);
    pair.assert_all_arrived();

    let stats = pair.stats();
    // VP8 descriptor: 4 octets.
    assert_eq!(stats.packets_received, 8 + 2);
    assert_eq!(stats.bytes_received, 10 * 104);
    // A fixed header each, and the MID in all: no report came in that time. What was restored has no OSN.
    assert_eq!(stats.header_bytes_received, 10 * (12 + 8));
    assert_eq!(stats.packets_lost, 2);
    assert_eq!(stats.packets_repaired, 2);
    assert_eq!((stats.retransmitted_packets_received, stats.retransmitted_bytes_received), (2, 208));
    assert_eq!((stats.packets_discarded, stats.packets_duplicated), (0, 0));
    assert_eq!((stats.frames_received, stats.key_frames_received, stats.frames_dropped), (10, 1, 0));
    assert_eq!(stats.frames_assembled_from_multiple_packets, 0);
    assert_eq!(stats.jitter_buffer_emitted_count, 10);
    // The packets after a lost one wait for 20 ms until it comes again, and come 20 ms after it should have.
    assert_eq!(stats.jitter_buffer_delay, 2 * 20 * MS);
    assert_eq!((stats.nack_count, stats.pli_count, stats.fir_count), (2, 0, 0));
    assert_eq!(stats.last_packet_received, Some(start + 190 * MS));
    assert_eq!((stats.codec, stats.payload_type, stats.ssrc), (Codec::Vp8, 96, VIDEO_SSRC));

    let sent = pair.sender_stats();
    assert_eq!((sent.packets_sent, sent.retransmitted_packets_sent), (12, 2));
    assert_eq!((sent.bytes_sent, sent.retransmitted_bytes_sent), (12 * 104, 208));
    assert_eq!(sent.header_bytes_sent, 12 * 20 + 2 * 2);
    assert_eq!((sent.frames_sent, sent.key_frames_sent), (10, 1));
    assert_eq!((sent.nack_count, sent.pli_count, sent.fir_count), (2, 0, 0));
    assert_eq!(sent.total_packet_send_delay, Duration::ZERO);
    assert_eq!((sent.ssrc, sent.rtx_ssrc), (VIDEO_SSRC, Some(RTX_SSRC)));

    // After a report of each side, what the other one says is known.
    pair.world.run_for(3 * SECOND);
    let remote = pair.sender_stats().remote.unwrap();
    assert_eq!((remote.packets_lost, remote.reports_received), (2, 1), "one report had news");
    assert_eq!(remote.packets_received, 8);
    assert!((remote.fraction_lost - 51.0 / 256.0).abs() < 1e-9, "{remote:?}");
    let remote = pair.stats().remote.unwrap();
    assert_eq!((remote.packets_sent, remote.bytes_sent), (10, 1_040), "retransmissions are another source");
    assert_eq!(remote.reports_sent, 2, "a source is a sender for two reports");
    let unix = pair.world.wall_clock().unix(remote.at);
    assert!((unix - remote.remote_timestamp).abs_diff(10 * MS) < MS);
}

#[test]
fn an_idle_session_says_nothing() {
    let mut pair = Pair::new(1, ALL, Link::default());
    pair.world.run_for(10 * SECOND);
    assert!(pair.world.node(pair.a).rtcp_sent.is_empty() && pair.world.node(pair.b).rtcp_sent.is_empty());
    assert_eq!(pair.world.node(pair.a).session.poll_timeout(), None);
}

#[test]
fn many_sources_are_reported_in_several_compounds() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.b).session;
    let opus = vec![CodecConfig::new(Codec::Opus, 111)];
    for id in 100..150u32 {
        session.set_receiver(now, ReceiverId(id), ReceiverConfig::new(Kind::Audio).with_codecs(opus.clone()));
        let mut datagram = vec![0x80, 111, 0, 1, 0, 0, 0, 1];
        datagram.extend_from_slice(&id.to_be_bytes());
        datagram.extend_from_slice(&[0xfc, 1]);
        session.handle_rtp(now, ReceiverId(id), Packet::parse(datagram.into()).unwrap());
        session.set_sender(
            now,
            SenderId(id),
            SenderConfig::new(Kind::Audio, id + 1_000).with_codecs(opus.clone()),
        );
        session
            .send_frame(now, SenderId(id), Frame::new(Codec::Opus, vec![0xfc, 1], Duration::ZERO))
            .unwrap();
    }
    pair.world.run_for(800 * MS);
    let (mut blocks, mut reports, mut names) = (vec![], vec![], vec![]);
    for (_, compound) in &pair.world.node(pair.b).rtcp_sent {
        assert!(compound.len() <= 1_200);
        for packet in parse(compound) {
            match packet {
                rtcp::Packet::SenderReport(report) => {
                    reports.push(report.ssrc.get());
                    blocks.extend(report.reports.iter().map(|block| block.ssrc.get()));
                }
                rtcp::Packet::ReceiverReport(report) => {
                    blocks.extend(report.reports.iter().map(|block| block.ssrc.get()));
                }
                rtcp::Packet::SourceDescription(description) => {
                    names.extend(description.chunks.iter().map(|chunk| chunk.ssrc.get()));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    blocks.sort();
    reports.sort();
    names.sort();
    assert_eq!(blocks, (100..150).collect::<Vec<_>>());
    assert_eq!(reports, (1_100..1_150).collect::<Vec<_>>());
    names.dedup();
    assert_eq!(names, reports);
}

#[test]
fn reduced_size_feedback_has_no_report_in_front() {
    for reduced in [false, true] {
        let mut pair = Pair::new(1, ALL, Link::default().latency(10 * MS));
        let now = pair.world.now();
        let clock = pair.world.wall_clock();
        let config = Config::default().with_cname("b").with_reduced_size(reduced);
        let mut session = Session::new(config, clock, Rng::from_u64(5));
        let video = ReceiverConfig::new(Kind::Video).with_codecs(vec![ALL.vp8()]);
        session.set_receiver(now, ReceiverId(VIDEO), video);
        pair.world.node_mut(pair.b).session = session;
        let picture = pair.picture(100, false);
        pair.send(picture);
        pair.world.run_for(29 * MS);
        assert_eq!(pair.world.node(pair.b).rtcp_sent.len(), 0, "it may have overtaken a keyframe");
        pair.world.run_for(MS);
        let sent = &pair.world.node(pair.b).rtcp_sent;
        assert_eq!(sent.len(), 1, "a picture that needs another one: a keyframe is asked for");
        let packets = parse(&sent[0].1);
        assert_eq!(packets.len(), if reduced { 1 } else { 3 });
        assert!(matches!(packets.last().unwrap(), rtcp::Packet::PictureLossIndication(_)));
    }
}
