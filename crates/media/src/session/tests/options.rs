//! Options and counters that nothing else shows.

use taut_rtp::Ssrc;
use taut_rtp::rtcp::{self, PictureLossIndication};

use super::hostile::rtcp;
use super::*;

#[test]
fn packets_are_as_large_as_the_configuration_says() {
    let largest = |octets| {
        let clock = taut_sansio::time::WallClock { instant: Instant::now(), unix: SECOND };
        let config = Config::default().with_max_packet_size(octets);
        let mut session = Session::new(config, clock, Rng::from_u64(1));
        session.set_sender(clock.instant, SenderId(VIDEO), ALL.sender());
        let frame = Frame::new(Codec::Vp8, vec![0; 5_000], Duration::ZERO);
        session.send_frame(clock.instant, SenderId(VIDEO), frame).unwrap();
        let mut out = Vec::new();
        std::iter::from_fn(|| session.poll_rtp(clock.instant, 1_200, &mut out)).max().unwrap()
    };
    let (small, large) = (largest(600), largest(1_100));
    assert!((500..=600).contains(&small) && (1_000..=1_100).contains(&large), "{small} {large}");
}

#[test]
fn the_mode_of_a_receiver_says_what_comes_out() {
    for (mode, expected) in
        [(Mode::Frames, [true, false]), (Mode::Packets, [false, true]), (Mode::Both, [true, true])]
    {
        let mut pair = Pair::new(1, ALL, Link::default());
        let now = pair.world.now();
        let config = ReceiverConfig::new(Kind::Video).with_codecs(vec![ALL.vp8()]).with_mode(mode);
        pair.world.node_mut(pair.b).session.set_receiver(now, ReceiverId(VIDEO), config);
        pair.stream(5);
        let there = pair.world.node(pair.b);
        assert_eq!([!there.frames.is_empty(), !there.packets.is_empty()], expected, "{mode:?}");
    }
}

#[test]
fn packets_for_nobody_are_counted() {
    let mut pair = Pair::new(1, ALL, Link::default());
    pair.stream(1);
    let packet = pair.world.node(pair.a).rtp_sent[0].clone();
    let now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.b).session;
    session.handle_rtp(now, ReceiverId(99), packet);
    assert_eq!(session.stats().rtp_unknown_receiver, 1);
}

#[test]
fn a_second_request_for_the_same_keyframe_is_merged() {
    let mut pair = Pair::new(1, ALL, Link::default().latency(20 * MS));
    pair.stream(20);
    let now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.a).session;
    let before = session.stats().keyframe_requests_merged;
    let pli = PictureLossIndication { sender: Ssrc::new(1), media: Ssrc::new(VIDEO_SSRC) };
    for merged in 0..3 {
        session.handle_rtcp(now, rtcp(&rtcp::Packet::PictureLossIndication(pli)));
        assert_eq!(session.stats().keyframe_requests_merged, before + merged);
    }
}

#[test]
fn frames_much_larger_than_the_mean_are_counted() {
    let mut pair = Pair::new(1, ALL, Link::default());
    for octets in [10_000, 1_000, 1_000, 1_000, 8_250, 1_000, 20_000] {
        let picture = pair.picture(octets, false);
        pair.send(picture);
    }
    // The mean of 13,000 octets in four is 3,250: 8,250 are 2.54 times that, and 20,000 more of the next.
    assert_eq!(pair.sender_stats().huge_frames_sent, 2);
}

#[test]
fn the_time_between_the_first_and_the_last_packet_of_frames_is_summed() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let picture = pair.picture(2_000, true);
    pair.send(picture);
    let next = pair.picture(2_000, false);
    pair.send(next);
    let now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.a).session;
    let mut out = Vec::new();
    let packets: Vec<Packet> = std::iter::from_fn(|| {
        out.clear();
        session.poll_rtp(now, 1_200, &mut out)?;
        Some(Packet::parse(Bytes::copy_from_slice(&out)).unwrap())
    })
    .collect();
    assert_eq!(packets.len(), 4);
    let session = &mut pair.world.node_mut(pair.b).session;
    for (packet, at) in packets.into_iter().zip([0, 7, 10, 12]) {
        session.handle_rtp(now + at * MS, ReceiverId(VIDEO), packet);
    }
    let stats = session.receiver_stats(ReceiverId(VIDEO)).remove(0);
    assert_eq!((stats.total_assembly_time, stats.frames_assembled_from_multiple_packets), (9 * MS, 2));
}

#[test]
fn the_size_of_pictures_is_told_on_both_sides_whatever_the_application_gets() {
    for mode in [Mode::Frames, Mode::Packets] {
        let mut pair = Pair::new(1, ALL, Link::default());
        let now = pair.world.now();
        let config = ReceiverConfig::new(Kind::Video).with_codecs(vec![ALL.vp8()]).with_mode(mode);
        pair.world.node_mut(pair.b).session.set_receiver(now, ReceiverId(VIDEO), config);
        for number in 0..3 {
            let mut picture = pair.picture(900, number == 0);
            if number == 0 {
                // A key frame of 64 by 48 pixels (RFC 6386 section 9.1).
                picture.data = [&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 48, 0][..], &[0; 400]].concat().into();
            }
            pair.send(picture);
            pair.world.run_for(20 * MS);
        }
        let (sent, received) = (pair.sender_stats(), pair.stats());
        assert_eq!((sent.frames_sent, sent.key_frames_sent, sent.frame_size), (3, 1, Some((64, 48))));
        let received = (received.frames_received, received.key_frames_received, received.frame_size);
        assert_eq!(received, (3, 1, Some((64, 48))), "{mode:?}");
    }
}
