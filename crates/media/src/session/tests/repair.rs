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
    let link = Link::default().latency(20 * MS).loss(Loss::Script(vec![5, 9, 10]));
    let mut pair = Pair::new(3, Terms { rtx: false, ..ALL }, Link::default().latency(20 * MS));
    pair.world.set_link(pair.a, pair.b, link);
    pair.stream(50);
    pair.world.run_for(SECOND);
    pair.assert_all_arrived();
    let sent = &pair.world.node(pair.a).rtp_sent;
    assert_eq!(pair.sender_stats().retransmitted_packets_sent, 3);
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
        // What comes before the first packet is not waited for.
        pair.stream(1);
        pair.world.set_link(pair.a, pair.b, link);
        pair.pictures(300);
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
