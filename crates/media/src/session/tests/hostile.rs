//! A hostile other side: everything stays bounded, and nothing panics.

use super::*;
use taut_rtp::rtcp::{self, Nack, NackPair};
use taut_rtp::{PayloadType, SequenceNumber, Ssrc};

pub(super) fn rtcp(packet: &rtcp::Packet) -> Bytes {
    let mut out = vec![];
    packet.write(&mut out);
    out.into()
}

#[test]
fn huge_nacks_get_a_hundred_packets_a_round_trip() {
    let mut pair = Pair::new(1, ALL, Link::default().latency(20 * MS));
    pair.stream(200);
    let pairs = |first: u16| -> Vec<NackPair> {
        (0..300).map(|i| NackPair { first: SequenceNumber::new(first + i * 17), mask: u16::MAX }).collect()
    };
    let first = pair.world.node(pair.a).rtp_sent[0].sequence.get();
    let before = pair.sender_stats().retransmitted_packets_sent;
    for _ in 0..100 {
        let now = pair.world.now();
        let nack = Nack { sender: Ssrc::new(1), media: Ssrc::new(VIDEO_SSRC), pairs: pairs(first) };
        pair.world.node_mut(pair.a).session.handle_rtcp(now, rtcp(&rtcp::Packet::Nack(nack)));
        pair.world.run_for(4 * MS);
    }
    let resent = pair.sender_stats().retransmitted_packets_sent - before;
    // 400 ms are ten round trips.
    assert!((500..=1_100).contains(&resent), "{resent}");
    assert!(pair.world.node(pair.a).session.stats().nack_refused > 100_000);
}

#[test]
fn requests_that_nobody_polls_are_bounded() {
    let mut pair = Pair::new(1, ALL, Link::default().latency(20 * MS));
    pair.stream(50);
    let first = pair.world.node(pair.a).rtp_sent[0].sequence;
    let mut now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.a).session;
    for _ in 0..1_000 {
        now += 5 * MS;
        let nack = Nack::new(Ssrc::new(1), Ssrc::new(VIDEO_SSRC), (0..150).map(|i| first + i));
        session.handle_rtcp(now, rtcp(&rtcp::Packet::Nack(nack)));
    }
    let mut out = vec![];
    let polled = std::iter::from_fn(|| session.poll_rtp(now, 1_200, &mut out)).count();
    assert!(polled <= 100, "{polled}");
}

#[test]
fn floods_of_goodbyes_and_requests_are_merged() {
    let mut pair = Pair::new(1, ALL, Link::default().latency(20 * MS));
    pair.stream(20);
    pair.world.node_mut(pair.a).events.clear();
    let now = pair.world.now();
    let ssrcs: Vec<Ssrc> = (0..31).map(Ssrc::new).chain([Ssrc::new(VIDEO_SSRC)]).collect();
    let bye =
        |ssrcs: &[Ssrc]| rtcp::Packet::Goodbye(rtcp::Goodbye { ssrcs: ssrcs.to_vec(), reason: Bytes::new() });
    let session = &mut pair.world.node_mut(pair.b).session;
    for _ in 0..1_000 {
        session.handle_rtcp(now, rtcp(&bye(&ssrcs[..31])));
        session.handle_rtcp(now, rtcp(&bye(&ssrcs[31..])));
    }
    let events: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
    assert_eq!(events, [Event::Bye(ReceiverId(VIDEO), VIDEO_SSRC)]);
    assert_eq!(session.stats().rtcp_unknown_source, 31_000);

    let pli = rtcp::Packet::PictureLossIndication(rtcp::PictureLossIndication {
        sender: Ssrc::new(1),
        media: Ssrc::new(VIDEO_SSRC),
    });
    for _ in 0..1_000 {
        let now = pair.world.now();
        pair.world.node_mut(pair.a).session.handle_rtcp(now, rtcp(&pli));
        pair.world.node_mut(pair.a).fetch();
        pair.world.run_for(MS);
    }
    let asked = pair.world.node(pair.a).count(Event::KeyframeRequested(SenderId(VIDEO)));
    assert!((9..=11).contains(&asked), "{asked} in a second");
    assert_eq!(pair.sender_stats().pli_count, 1_000);
}

#[test]
fn sources_are_bounded() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.b).session;
    for ssrc in 0..10_000u32 {
        for payload_type in [96, 97] {
            let packet = Packet {
                payload_type: PayloadType::new(payload_type),
                ssrc: Ssrc::new(ssrc),
                sequence: SequenceNumber::new(ssrc as u16),
                payload: Bytes::from_static(&[0x10, 0, 0, 0]),
                ..Packet::default()
            };
            session.handle_rtp(now, ReceiverId(VIDEO), packet);
        }
    }
    assert_eq!(session.receiver_stats(ReceiverId(VIDEO)).len(), 16);
    assert_eq!(session.stats().streams_evicted, 10_000 - 16);
    let frames = std::iter::from_fn(|| session.poll_frame(ReceiverId(VIDEO))).count();
    assert!(frames <= 512, "{frames}");
}

fn video(ssrc: u32, sequence: u16) -> Packet {
    Packet {
        marker: true,
        payload_type: PayloadType::new(96),
        ssrc: Ssrc::new(ssrc),
        sequence: SequenceNumber::new(sequence),
        payload: Bytes::from_static(&[0x10, 0, 0, 0]),
        ..Packet::default()
    }
}

#[test]
fn goodbyes_of_sources_that_come_and_go_are_bounded() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.b).session;
    for ssrc in 0..1_000 {
        session.handle_rtp(now, ReceiverId(VIDEO), video(ssrc, 1));
        let goodbye = rtcp::Goodbye { ssrcs: vec![Ssrc::new(ssrc)], reason: Bytes::new() };
        session.handle_rtcp(now, rtcp(&rtcp::Packet::Goodbye(goodbye)));
    }
    let events = std::iter::from_fn(|| session.poll_event());
    assert_eq!(events.filter(|event| matches!(event, Event::Bye(..))).count(), 16);
}

#[test]
fn sources_of_retransmissions_are_bounded() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.b).session;
    let again = |ssrc, original: u16| Packet {
        payload_type: PayloadType::new(97),
        payload: Bytes::from([&original.to_be_bytes()[..], &[0x10, 0, 0, 0]].concat()),
        ..video(ssrc, 0)
    };
    // With two sources, a source of retransmissions is one's whose packet it brings first.
    session.handle_rtp(now, ReceiverId(VIDEO), video(2, 1));
    session.handle_rtp(now, ReceiverId(VIDEO), video(1, 0));
    for i in 0..100 {
        session.handle_rtp(now, ReceiverId(VIDEO), video(1, 2 * i + 2));
        session.handle_rtp(now, ReceiverId(VIDEO), again(1_000 + u32::from(i), 2 * i + 1));
    }
    let repaired = |session: &Session| {
        let mut streams = session.receiver_stats(ReceiverId(VIDEO)).into_iter();
        let stats = streams.find(|stats| stats.ssrc == 1).unwrap();
        (stats.packets_repaired, stats.retransmitted_packets_received)
    };
    assert_eq!(repaired(session), (100, 100));
    // What was repaired before tells nothing of the source: only those that are remembered are known.
    for ssrc in 1_000..1_100 {
        session.handle_rtp(now, ReceiverId(VIDEO), again(ssrc, 1));
    }
    assert_eq!(repaired(session), (100, 116));
}

#[test]
fn packets_that_nobody_fetches_are_bounded() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.b).session;
    session.set_mode(ReceiverId(VIDEO), Mode::Packets);
    for sequence in 0..10_000 {
        session.handle_rtp(now, ReceiverId(VIDEO), video(1, sequence));
    }
    let fetched: Vec<u16> =
        std::iter::from_fn(|| session.poll_packet(ReceiverId(VIDEO))).map(|p| p.sequence.get()).collect();
    assert_eq!(fetched, (10_000 - 2_048..10_000).collect::<Vec<_>>(), "the newest");
}

#[test]
fn octets_that_wait_to_be_forwarded_are_bounded() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.a).session;
    let payload = Bytes::from(vec![0x10; 1 << 16]);
    for sequence in 0..256 {
        let packet = Packet { payload: payload.clone(), ..video(1, sequence) };
        assert_eq!(session.send_packet(now, SenderId(VIDEO), packet), Ok(()));
    }
    // 16 MiB, in far fewer packets than may wait.
    assert_eq!(session.send_packet(now, SenderId(VIDEO), video(1, 256)), Err(SendError::Full));
}

#[test]
fn junk_changes_nothing_and_never_panics() {
    let mut pair = Pair::new(1, ALL, Link::default().latency(20 * MS));
    pair.stream(80);
    let mut rng = Rng::from_u64(9);
    // Good compounds, every prefix and every changed octet; then random ones.
    let good: Vec<Bytes> = [pair.a, pair.b]
        .iter()
        .flat_map(|node| pair.world.node(*node).rtcp_sent.iter().map(|(_, octets)| octets.clone()))
        .collect();
    assert!(!good.is_empty());
    let now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.a).session;
    for compound in &good {
        for end in 0..compound.len() {
            session.handle_rtcp(now, compound.slice(..end));
            for _ in 0..8 {
                let mut changed = compound.to_vec();
                changed[end] = rng.u32() as u8;
                session.handle_rtcp(now, changed.into());
            }
        }
    }
    for _ in 0..20_000 {
        let mut octets = vec![0; rng.below(200) as usize];
        rng.fill(&mut octets);
        if let [first, second, ..] = octets.as_mut_slice() {
            *first = 0x80 | (*first & 0x3f);
            *second = 200 + *second % 8;
        }
        session.handle_rtcp(now, octets.into());
    }
    assert!(session.stats().rtcp_malformed > 10_000);
    pair.world.run_for(SECOND);
    pair.stream(20);
}

#[test]
fn random_rtp_is_bounded_and_never_panics() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let mut rng = Rng::from_u64(10);
    let start = pair.world.now();
    for mode in [Mode::Frames, Mode::Packets, Mode::Both] {
        let session = &mut pair.world.node_mut(pair.b).session;
        session.set_mode(ReceiverId(VIDEO), mode);
        for i in 0..100_000u32 {
            let mut payload = vec![0; rng.below(30) as usize];
            rng.fill(&mut payload);
            let near = rng.below(10) > 0;
            let packet = Packet {
                marker: rng.below(3) == 0,
                payload_type: PayloadType::new(96 + rng.below(3) as u8),
                sequence: SequenceNumber::new(if near { i as u16 ^ rng.below(16) as u16 } else { rng.u16() }),
                timestamp: if near { i * 100 } else { rng.u32() },
                ssrc: Ssrc::new(rng.below(2)),
                payload: payload.into(),
                ..Packet::default()
            };
            session.handle_rtp(start + i * MS / 10, ReceiverId(VIDEO), packet);
            if i % 16 == 0 {
                session.handle_timeout(start + i * MS / 10);
                let mut out = vec![];
                while session.poll_rtcp(start + i * MS / 10, 1_200, &mut out).is_some() {}
                assert!(out.len() < 10_000);
            }
        }
    }
    let session = &mut pair.world.node_mut(pair.b).session;
    let nacks: u64 = session.receiver_stats(ReceiverId(VIDEO)).iter().map(|stats| stats.nack_count).sum();
    assert!(nacks > 0);
    assert!(session.stats().rtx_unmatched > 0 && session.stats().rtp_unknown_payload > 0);
}

#[test]
fn goodbyes_that_nobody_polls_are_bounded() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.a).session;
    let opus = vec![CodecConfig::new(Codec::Opus, 111)];
    let mut out = vec![];
    for ssrc in 0..200 {
        session.set_sender(now, SenderId(9), SenderConfig::new(Kind::Audio, ssrc).with_codecs(opus.clone()));
        session.send_frame(now, SenderId(9), Frame::new(Codec::Opus, vec![0xfc, 1], Duration::ZERO)).unwrap();
        assert!(session.poll_rtp(now, 1_200, &mut out).is_some());
    }
    let mut said = 0;
    out.clear();
    while session.poll_rtcp(now, 1_200, &mut out).is_some() {
        for packet in rtcp::compound(&out) {
            if let Ok(rtcp::Packet::Goodbye(goodbye)) = packet {
                said += goodbye.ssrcs.len();
            }
        }
        out.clear();
    }
    assert_eq!(said, 64);
}

#[test]
fn too_little_room_ends_polling() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let now = pair.world.now();
    let picture = pair.picture(3_000, false);
    pair.send(picture);
    pair.world.run_for(MS);
    for room in 0..600 {
        for node in [pair.a, pair.b] {
            let session = &mut pair.world.node_mut(node).session;
            session.request_keyframe(now, ReceiverId(VIDEO));
            let mut out = vec![7];
            let polled = std::iter::from_fn(|| {
                out.truncate(1);
                let len = session.poll_rtcp(now + SECOND, room, &mut out)?;
                assert_eq!(len, out.len() - 1);
                assert!(len <= room);
                Some(len)
            });
            assert!(polled.take(100).count() < 10, "{room}");
        }
    }
}
