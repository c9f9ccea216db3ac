//! Loss, and what is done about it.

use super::*;
use taut_netsim::Loss;

#[test]
fn all_frames_arrive_at_ten_percent_loss() {
    for seed in 0..4 {
        let mut pair = Pair::new(seed, ALL, Link::default().latency(20 * MS));
        pair.world.node_mut(pair.b).session.set_path_rtt(40 * MS);
        // What is lost before the first packet, or after the last, is not known to be missing.
        pair.stream(1);
        pair.world.set_default_link(Link::default().latency(20 * MS).loss(Loss::Random(0.1)));
        pair.pictures(500);
        pair.world.set_default_link(Link::default().latency(20 * MS));
        pair.pictures(1);
        pair.world.run_for(SECOND);
        let stats = pair.stats();
        assert!(stats.packets_repaired > 50 && stats.nack_count > 50, "{stats:?}");
        pair.assert_all_arrived();
        assert_eq!(stats.pli_count, 0, "{stats:?}");
        assert!(stats.packets_lost > 50, "repaired packets count as lost in reports: {stats:?}");
    }
}

#[test]
fn without_rtx_packets_are_sent_again_as_they_were() {
    // Some of it is asked for again just when the first report makes the MID superfluous.
    let lost: Vec<u64> = (5..150).step_by(3).collect();
    let link = Link::default().latency(20 * MS).loss(Loss::Script(lost));
    let mut pair = Pair::new(3, Terms { rtx: false, ..ALL }, Link::default().latency(20 * MS));
    pair.world.set_link(pair.a, pair.b, link);
    pair.stream(60);
    pair.world.run_for(SECOND);
    pair.assert_all_arrived();
    let sent = &pair.world.node(pair.a).rtp_sent;
    assert!(pair.sender_stats().retransmitted_packets_sent >= 49);
    let with_mid = |packet: &Packet| packet.extensions.get(4).is_some();
    assert!(with_mid(&sent[0]) && !with_mid(&sent[sent.len() - 1]));
    let first_without = sent.iter().position(|packet| !with_mid(packet)).unwrap();
    assert!(sent[first_without..].iter().any(with_mid), "sent again with the MID it had");
    assert!(sent.iter().all(|packet| packet.ssrc.get() == VIDEO_SSRC));
    for packet in sent {
        let same = sent.iter().filter(|other| other.sequence == packet.sequence);
        assert!(same.clone().all(|other| other == packet), "never two different packets under one number");
    }
}

#[test]
fn without_nack_a_keyframe_repairs_it() {
    for terms in [Terms { nack: false, rtx: false, pli: true }, ALL] {
        let mut pair = Pair::new(4, terms, Link::default().latency(20 * MS));
        pair.stream(20);
        // An outage that no retransmission gets through.
        let outage = Link::default().latency(20 * MS).loss(Loss::Random(1.0));
        pair.world.set_link(pair.a, pair.b, outage);
        pair.stream(1);
        if terms.nack {
            pair.stream(150);
        }
        pair.world.set_link(pair.a, pair.b, Link::default().latency(20 * MS));
        let before = pair.world.node(pair.b).frames.len();
        let after = pair.sent.len();
        let mut seen = 0;
        for _ in 0..100 {
            let asked = pair.world.node(pair.a).count(Event::KeyframeRequested(SenderId(VIDEO)));
            let picture = pair.picture(3_000, asked > seen);
            seen = asked;
            pair.send(picture);
            pair.world.run_for(20 * MS);
        }
        assert_eq!(seen, 1, "asked once");
        pair.assert_subset_arrived();
        let frames = &pair.world.node(pair.b).frames[before..];
        assert!(frames[0].keyframe && !frames[0].contiguous);
        assert!(frames[1..].iter().all(|frame| frame.contiguous && !frame.keyframe));
        assert!(frames.len() > 50, "{} of {}", frames.len(), pair.sent.len() - after);
        assert!(pair.stats().pli_count >= 1);
    }
}

#[test]
fn without_any_feedback_decoding_goes_on() {
    let terms = Terms { nack: false, rtx: false, pli: false };
    let mut pair = Pair::new(5, terms, Link::default().latency(20 * MS));
    pair.world.set_link(pair.a, pair.b, Link::default().loss(Loss::Script(vec![10])));
    pair.stream(50);
    pair.world.run_for(SECOND);
    assert_eq!(pair.world.node(pair.b).frames.len(), 49);
    pair.assert_subset_arrived();
    assert_eq!(pair.world.node(pair.b).frames.iter().filter(|frame| !frame.contiguous).count(), 1);
    assert_eq!(pair.stats().frames_dropped, 1);
}

#[test]
fn order_and_duplicates_do_not_matter() {
    for seed in 10..16 {
        let link = Link::default().latency(30 * MS).reorder(0.2, 9 * MS).duplicate(0.2).jitter(5 * MS);
        let mut pair = Pair::new(seed, ALL, Link::default().latency(30 * MS));
        pair.world.set_link(pair.a, pair.b, link);
        pair.stream(300);
        pair.world.run_for(SECOND);
        pair.assert_all_arrived();
        let stats = pair.stats();
        assert!(stats.packets_duplicated > 100, "{stats:?}");
        assert_eq!((stats.frames_dropped, stats.pli_count), (0, 0));
    }
}

#[test]
fn numbers_and_times_wrap() {
    for (sequence, timestamp) in [(65_530, u32::MAX - 9_000), (65_535, u32::MAX), (0, 0), (32_760, 1 << 31)] {
        let mut pair = Pair::new(20, ALL, Link::default().latency(20 * MS));
        pair.world.node_mut(pair.a).session.start_sender_at(SenderId(VIDEO), sequence, timestamp);
        pair.world.node_mut(pair.b).session.set_path_rtt(40 * MS);
        pair.stream(1);
        let link = Link::default().latency(20 * MS).loss(Loss::Random(0.05)).reorder(0.05, 5 * MS);
        pair.world.set_link(pair.a, pair.b, link);
        pair.pictures(200);
        pair.world.set_link(pair.a, pair.b, Link::default().latency(20 * MS));
        pair.pictures(1);
        pair.world.run_for(SECOND);
        pair.assert_all_arrived();
        for (got, sent) in pair.world.node(pair.b).frames.iter().zip(&pair.sent) {
            assert_eq!(got.presentation, sent.presentation);
        }
    }
}

#[test]
fn bursts_are_survived_at_any_seed() {
    for seed in 100..120 {
        let link = Link::default()
            .latency(25 * MS)
            .jitter(10 * MS)
            .loss(Loss::bursts(0.2, 6.0))
            .reorder(0.05, 8 * MS)
            .duplicate(0.05);
        let mut pair = Pair::new(seed, ALL, link);
        pair.stream(300);
        pair.world.set_default_link(Link::default().latency(25 * MS));
        pair.stream(100);
        pair.assert_subset_arrived();
        let frames = &pair.world.node(pair.b).frames;
        assert!(frames.len() > 150, "seed {seed}: {} of {}", frames.len(), pair.sent.len());
        assert_eq!(frames.last().unwrap().data, pair.sent[pair.sent.len() - 2].data, "it recovers");
    }
}

#[test]
fn lost_sound_is_not_waited_for_long() {
    let mut pair = Pair::new(6, ALL, Link::default().latency(20 * MS));
    pair.world.set_link(pair.a, pair.b, Link::default().latency(20 * MS).loss(Loss::Script(vec![10, 11])));
    for i in 0..50 {
        let frame = Frame::new(Codec::Opus, vec![0xfc, i], pair.world.elapsed());
        pair.send(frame);
        pair.world.run_for(20 * MS);
    }
    let frames = &pair.world.node(pair.b).frames;
    assert_eq!(frames.len(), 48);
    let gap = frames.iter().find(|frame| !frame.contiguous).unwrap();
    assert_eq!(&gap.data[..], [0xfc, 12]);
    assert_eq!(gap.presentation, 240 * MS);
}

#[test]
fn a_keyframe_is_asked_for_by_fir_where_pli_is_not_agreed() {
    let mut pair = Pair::new(7, Terms { pli: false, ..ALL }, Link::default().latency(20 * MS));
    let now = pair.world.now();
    let codec = Terms { pli: false, ..ALL }.vp8().with_fir(true);
    let config = ReceiverConfig::new(Kind::Video).with_codecs(vec![codec]);
    pair.world.node_mut(pair.b).session.set_receiver(now, ReceiverId(VIDEO), config);
    for _ in 0..100 {
        let picture = pair.picture(300, false);
        pair.send(picture);
        pair.world.run_for(20 * MS);
    }
    let stats = pair.stats();
    assert_eq!((stats.pli_count, stats.frames_received), (0, 0));
    assert!((6..=7).contains(&stats.fir_count), "repeated every 300 ms: {}", stats.fir_count);
    let asked = pair.world.node(pair.a).count(Event::KeyframeRequested(SenderId(VIDEO)));
    assert_eq!(asked, 1, "a repeated command is one");
    assert_eq!(pair.sender_stats().fir_count, stats.fir_count);
    let picture = pair.picture(300, true);
    pair.send(picture);
    pair.world.run_for(SECOND);
    assert_eq!(pair.stats().frames_received, 1);
    assert_eq!(pair.stats().fir_count, stats.fir_count, "and no more");
}

#[test]
fn waiting_has_an_end() {
    let mut pair = Pair::new(8, ALL, Link::default().latency(20 * MS));
    pair.world.node_mut(pair.b).session.set_path_rtt(400 * MS);
    pair.stream(10);
    // One picture is lost for good: the way back is dead.
    pair.world.set_link(pair.a, pair.b, Link::default().loss(Loss::Random(1.0)));
    pair.world.set_link(pair.b, pair.a, Link::default().loss(Loss::Random(1.0)));
    pair.pictures(1);
    pair.world.set_link(pair.a, pair.b, Link::default().latency(20 * MS));
    let picture = pair.picture(300, true);
    pair.send(picture);
    pair.world.run_for(519 * MS);
    assert_eq!(pair.world.node(pair.b).frames.len(), 10);
    pair.world.run_for(2 * MS);
    let frames = &pair.world.node(pair.b).frames;
    assert_eq!(frames.len(), 11);
    assert!(!frames[10].contiguous);
}

/// Two sources of one receiver, both lossy, each with a source of retransmissions that nobody signalled.
#[test]
fn sources_of_retransmissions_are_learned() {
    for signalled in [false, true] {
        let mut pair = Pair::new(9, ALL, Link::default().latency(10 * MS));
        let now = pair.world.now();
        if signalled {
            let config = ReceiverConfig::new(Kind::Video)
                .with_codecs(vec![ALL.vp8()])
                .with_ssrcs(vec![(VIDEO_SSRC, Some(RTX_SSRC)), (5, Some(6))]);
            pair.world.node_mut(pair.b).session.set_receiver(now, ReceiverId(VIDEO), config);
        }
        let second = SenderConfig::new(Kind::Video, 5).with_rtx_ssrc(6).with_codecs(vec![ALL.vp8()]);
        pair.world.node_mut(pair.a).session.set_sender(now, SenderId(7), second);
        for i in 0..100 {
            if i == 5 {
                let link = Link::default().latency(10 * MS).loss(Loss::Random(0.1));
                pair.world.set_link(pair.a, pair.b, link);
            }
            if i == 95 {
                pair.world.set_link(pair.a, pair.b, Link::default().latency(10 * MS));
            }
            for id in [VIDEO, 7] {
                let picture = pair.picture(300, i == 0);
                let now = pair.world.now();
                pair.world.node_mut(pair.a).session.send_frame(now, SenderId(id), picture).unwrap();
                pair.world.run_for(10 * MS);
            }
        }
        pair.world.run_for(SECOND);
        let streams = pair.world.node(pair.b).session.receiver_stats(ReceiverId(VIDEO));
        assert_eq!(streams.iter().map(|stats| stats.ssrc).collect::<Vec<_>>(), [VIDEO_SSRC, 5]);
        for stats in streams {
            assert!(stats.packets_repaired >= 2, "{stats:?}");
            assert_eq!((stats.frames_received, stats.frames_dropped), (100, 0), "{stats:?}");
        }
    }
}
