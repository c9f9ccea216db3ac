//! A forwarder: packets of one session go on in another.

use super::*;
use taut_netsim::Loss;
use taut_rtp::{Extensions, PayloadType, SequenceNumber, Ssrc};

fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Packet {
    Packet {
        marker: true,
        payload_type: PayloadType::new(100),
        sequence: SequenceNumber::new(sequence),
        timestamp,
        ssrc: Ssrc::new(ssrc),
        payload: Bytes::from_static(&[0x10, 0, 1, 2]),
        ..Packet::default()
    }
}

fn forward(pair: &mut Pair, packet: Packet) -> Result<(), SendError> {
    let now = pair.world.now();
    let result = pair.world.node_mut(pair.a).session.send_packet(now, SenderId(VIDEO), packet);
    pair.world.run_for(10 * MS);
    result
}

#[test]
fn numbers_are_rewritten_and_gaps_kept() {
    let mut pair = Pair::new(1, ALL, Link::default());
    for (sequence, timestamp) in [(65_534, 0), (65_535, 900), (2, 2_700), (1, 1_800)] {
        forward(&mut pair, packet(7, sequence, timestamp)).unwrap();
    }
    assert_eq!(forward(&mut pair, packet(7, 1, 1_800)), Err(SendError::Late));
    assert_eq!(forward(&mut pair, packet(7, 65_533, 0)), Err(SendError::Late));
    let sent = &pair.world.node(pair.a).rtp_sent;
    let first = &sent[0];
    let steps: Vec<_> = sent
        .iter()
        .map(|p| (p.sequence.distance_from(first.sequence), p.timestamp.wrapping_sub(first.timestamp)))
        .collect();
    assert_eq!(steps, [(0, 0), (1, 900), (4, 2_700), (3, 1_800)]);
    assert!(sent.iter().all(|p| p.ssrc.get() == VIDEO_SSRC && p.payload_type.get() == 96 && p.marker));
}

#[test]
fn another_source_goes_on_without_a_gap() {
    let mut pair = Pair::new(1, ALL, Link::default());
    forward(&mut pair, packet(7, 100, 5_000)).unwrap();
    forward(&mut pair, packet(7, 101, 5_900)).unwrap();
    forward(&mut pair, packet(8, 30_000, 99)).unwrap();
    forward(&mut pair, packet(8, 30_001, 999)).unwrap();
    let picture = pair.picture(100, true);
    pair.send(picture);
    pair.world.run_for(10 * MS);
    let sent = &pair.world.node(pair.a).rtp_sent;
    let sequences: Vec<_> = sent.iter().map(|p| p.sequence.distance_from(sent[0].sequence)).collect();
    assert_eq!(sequences, [0, 1, 2, 3, 4]);
    let timestamps: Vec<_> = sent.iter().map(|p| p.timestamp.wrapping_sub(sent[0].timestamp)).collect();
    assert_eq!(timestamps, [0, 900, 1_800, 2_700, 3_600], "10 ms apart at 90 kHz");
}

#[test]
fn only_negotiated_extensions_go_on() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let now = pair.world.now();
    let config = ALL.sender().with_extensions(vec![2, 4]);
    pair.world.node_mut(pair.a).session.set_sender(now, SenderId(VIDEO), config);
    let elements = [(1, &b"x"[..]), (2, b"keep"), (4, b"theirs"), (9, b"y")];
    let extensions = Extensions::from_elements(elements).unwrap();
    forward(&mut pair, Packet { extensions, csrc: vec![5], padding: 9, ..packet(7, 1, 1) }).unwrap();
    let sent = &pair.world.node(pair.a).rtp_sent[0];
    assert_eq!(sent.extensions.iter().collect::<Vec<_>>(), [(2, &b"keep"[..]), (4, b"v")]);
    assert_eq!((&sent.csrc[..], sent.padding), (&[5][..], 0));
}

/// Sender to forwarder with loss, forwarder to receiver with loss: packet mode repairs the first hop, and the second
/// is repaired from the forwarder's own history.
#[test]
fn two_hops_are_repaired_each() {
    let link = Link::default().latency(10 * MS).loss(Loss::Random(0.05));
    let mut first = Pair::new(30, ALL, link.clone());
    let mut second = Pair::new(31, ALL, link);
    first.world.node_mut(first.b).session.set_mode(ReceiverId(VIDEO), Mode::Packets);
    for world in [&mut first, &mut second] {
        world.world.node_mut(world.b).session.set_path_rtt(20 * MS);
    }
    for i in 0..300 {
        let picture = first.picture(3_000, i == 0);
        first.send(picture);
        for _ in 0..4 {
            first.world.run_for(5 * MS);
            let now = second.world.now();
            for packet in std::mem::take(&mut first.world.node_mut(first.b).packets) {
                second.world.node_mut(second.a).session.send_packet(now, SenderId(VIDEO), packet).unwrap();
            }
            second.world.run_for(5 * MS);
        }
    }
    second.world.run_for(SECOND);
    second.sent = first.sent.clone();
    let got = second.world.node(second.b).frames.len();
    assert!(got >= 298, "the last may be on its way: {got}");
    second.sent.truncate(got);
    second.assert_all_arrived();
    assert!(first.stats().packets_repaired > 10 && second.stats().packets_repaired > 10);
    assert_eq!(second.stats().frames_dropped, 0);
    // Frames are counted although nobody puts them together on the way.
    let on_the_way = first.stats();
    assert!((298..=300).contains(&on_the_way.frames_received), "{}", on_the_way.frames_received);
    assert_eq!((on_the_way.key_frames_received, on_the_way.frame_size), (1, second.stats().frame_size));
    let sent = second.world.node(second.a).session.sender_stats(SenderId(VIDEO)).unwrap();
    assert_eq!((sent.frames_sent, sent.key_frames_sent), (on_the_way.frames_received, 1));
    assert_eq!(sent.frame_size, on_the_way.frame_size);
}

/// A forwarder that also records: the packets are those of packet mode, the frames those of frame mode, also after a loss.
#[test]
fn packets_and_frames_come_side_by_side() {
    let run = |mode| {
        let link = Link::default().latency(10 * MS).loss(Loss::Random(0.02));
        let mut pair = Pair::new(40, Terms { nack: false, rtx: false, pli: true }, link);
        pair.world.node_mut(pair.b).session.set_mode(ReceiverId(VIDEO), mode);
        for i in 0..200 {
            let picture = pair.picture(3_000, i % 20 == 0);
            pair.send(picture);
            pair.world.run_for(30 * MS);
        }
        pair.world.run_for(SECOND);
        let received = pair.stats().frames_received;
        let side = pair.world.node_mut(pair.b);
        let packets: Vec<_> = side.packets.drain(..).map(|packet| packet.sequence).collect();
        (packets, side.frames.drain(..).map(|frame| frame.data).collect::<Vec<_>>(), received)
    };
    let (packets, frames, both) = (run(Mode::Packets), run(Mode::Frames), run(Mode::Both));
    assert!(packets.0.len() > 500 && packets.1.is_empty() && frames.0.is_empty());
    assert!(frames.1.len() > 50 && frames.1.len() < 200, "{}", frames.1.len());
    assert_eq!((both.0, both.1), (packets.0, frames.1));
    assert_eq!(both.2, frames.2, "a frame is counted once");
}

#[test]
fn what_never_fits_is_dropped_at_last() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let large = Packet { payload: Bytes::from(vec![0x10; 3_000]), ..packet(7, 1, 1) };
    let now = pair.world.now();
    pair.world.node_mut(pair.a).session.send_packet(now, SenderId(VIDEO), large).unwrap();
    pair.world.settle();
    let picture = pair.picture(100, true);
    pair.send(picture);
    pair.world.run_for(2 * SECOND);
    assert_eq!(pair.world.node(pair.a).session.stats().oversized_dropped, 1);
    assert_eq!(pair.world.node(pair.b).frames.len(), 1);
}

#[test]
fn sound_that_overtakes_does_not_keep_what_never_fits() {
    let mut pair = Pair::new(1, ALL, Link::default());
    let large = Packet { payload: Bytes::from(vec![0x10; 3_000]), ..packet(7, 1, 1) };
    let now = pair.world.now();
    pair.world.node_mut(pair.a).session.send_packet(now, SenderId(VIDEO), large).unwrap();
    for i in 0..50u8 {
        if i % 2 == 0 {
            let picture = pair.picture(100, i == 0);
            pair.send(picture);
        }
        let sound = Frame::new(Codec::Opus, vec![0xfc, i], pair.world.elapsed());
        pair.send(sound);
        pair.world.run_for(20 * MS);
    }
    assert_eq!(pair.world.node(pair.a).session.stats().oversized_dropped, 1);
    assert_eq!(pair.world.node(pair.b).frames.len(), 75);
}
