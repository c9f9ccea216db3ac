//! The first packets of a source, in any order.

use super::*;

/// When what came out did, in milliseconds.
type Times = Vec<u32>;

/// The packets of pictures of so many octets, 20 ms apart, a keyframe first, from this sequence number on.
fn packets(pair: &mut Pair, first: u16, sizes: &[usize]) -> Vec<Packet> {
    pair.world.node_mut(pair.a).session.start_sender_at(SenderId(VIDEO), first, 7);
    for (octets, i) in sizes.iter().zip(0..) {
        let mut picture = pair.picture(*octets, i == 0);
        picture.presentation = i * 20 * MS;
        pair.send(picture);
    }
    let now = pair.world.now();
    let session = &mut pair.world.node_mut(pair.a).session;
    let mut out = vec![];
    let poll = || {
        out.clear();
        session.poll_rtp(now, 1_200, &mut out)?;
        Some(Packet::parse(Bytes::copy_from_slice(&out)).unwrap())
    };
    std::iter::from_fn(poll).collect()
}

/// Gives `b` packets, each at its time in milliseconds, and does what is due between; when packets and frames came out.
fn hear(pair: &mut Pair, mode: Mode, packets: &[Packet], arrivals: &[(u32, usize)]) -> (Times, Times) {
    let start = pair.world.now();
    let side = pair.world.node_mut(pair.b);
    side.session.set_mode(ReceiverId(VIDEO), mode);
    let (mut packet_times, mut frame_times) = (Times::new(), Times::new());
    for ms in 0..200 {
        let now = start + ms * MS;
        for (_, place) in arrivals.iter().filter(|(at, _)| *at == ms) {
            side.session.handle_rtp(now, ReceiverId(VIDEO), packets[*place].clone());
        }
        if side.session.poll_timeout().is_some_and(|at| at <= now) {
            side.session.handle_timeout(now);
        }
        while side.session.poll_rtcp(now, 1_200, &mut vec![]).is_some() {}
        side.fetch();
        packet_times.resize(side.packets.len(), ms);
        frame_times.resize(side.frames.len(), ms);
    }
    (packet_times, frame_times)
}

const MODES: [Mode; 3] = [Mode::Frames, Mode::Packets, Mode::Both];
/// A keyframe of three packets and two pictures of one each.
const SIZES: [usize; 3] = [3_000, 500, 500];

#[test]
fn what_overtakes_the_first_packet_waits_for_it() {
    let orders: [[(u32, usize); 5]; 5] = [
        [(0, 1), (3, 0), (3, 2), (5, 3), (6, 4)],
        [(0, 2), (9, 1), (19, 0), (20, 3), (40, 4)],
        [(0, 2), (1, 0), (15, 1), (20, 3), (40, 4)],
        [(0, 3), (1, 0), (2, 1), (3, 2), (20, 4)],
        [(0, 4), (4, 3), (4, 2), (4, 0), (9, 1)],
    ];
    for (mode, order) in MODES.iter().flat_map(|mode| orders.iter().map(move |order| (*mode, order))) {
        // With the wrap of the numbers between the first packet and the second, too.
        for (first, nack) in [(100, true), (65_535, true), (65_535, false)] {
            let mut pair = Pair::new(1, Terms { nack, ..ALL }, Link::default());
            let sent = packets(&mut pair, first, &SIZES);
            assert_eq!(sent.len(), 5);
            hear(&mut pair, mode, &sent, order);
            let (stats, there) = (pair.stats(), pair.world.node(pair.b));
            let what = format!("{mode:?} {order:?} {first} {nack}: {stats:?}");
            assert_eq!((stats.pli_count, stats.nack_count), (0, 0), "{what}");
            assert_eq!((stats.packets_discarded, stats.frames_dropped), (0, 0), "{what}");
            if mode != Mode::Frames {
                assert_eq!(there.packets, sent, "{what}");
            }
            if mode != Mode::Packets {
                pair.assert_all_arrived();
                let times: Vec<_> = there.frames.iter().map(|frame| frame.presentation).collect();
                assert_eq!(times, [Duration::ZERO, 20 * MS, 40 * MS], "{what}");
            }
        }
    }
}

#[test]
fn nothing_comes_later_where_nothing_is_overtaken() {
    for mode in MODES {
        let (out, whole) = (mode != Mode::Frames, mode != Mode::Packets);
        let mut pair = Pair::new(1, ALL, Link::default());
        let sent = packets(&mut pair, 65_534, &SIZES);
        let times = hear(&mut pair, mode, &sent, &[(0, 0), (1, 1), (2, 2), (20, 3), (40, 4)]);
        let expected =
            (if out { vec![0, 1, 2, 20, 40] } else { vec![] }, if whole { vec![2, 20, 40] } else { vec![] });
        assert_eq!(times, expected, "{mode:?}");
        // A source that is joined in its middle: a keyframe ends the waiting.
        let mut pair = Pair::new(1, ALL, Link::default());
        let mut joined = packets(&mut pair, 10, &[500, 500]);
        joined.extend(packets(&mut pair, 12, &[500, 500]));
        let times = hear(&mut pair, mode, &joined, &[(0, 1), (5, 2), (20, 3)]);
        let expected = (if out { vec![5, 5, 20] } else { vec![] }, if whole { vec![5, 20] } else { vec![] });
        assert_eq!(times, expected, "{mode:?}");
    }
}

#[test]
fn what_never_comes_is_not_asked_for_and_not_waited_for_long() {
    for mode in MODES {
        let mut pair = Pair::new(1, ALL, Link::default());
        let sent = packets(&mut pair, 65_535, &SIZES);
        // The second packet of a keyframe is the first that comes, and the third is lost.
        let (out, frames) = hear(&mut pair, mode, &sent, &[(0, 1), (2, 3), (4, 4)]);
        let stats = pair.stats();
        assert!(stats.nack_count > 0, "the third is asked for");
        assert_eq!((out.first(), frames.len()), ((mode != Mode::Frames).then_some(&20), 0), "{mode:?}");
        if mode == Mode::Frames {
            assert_eq!(stats.pli_count, 1, "{stats:?}");
        }
        // A keyframe whose second packet is lost, after the third: a new one is asked for, and not the packet.
        let mut pair = Pair::new(1, ALL, Link::default());
        let sent = packets(&mut pair, 65_535, &SIZES);
        hear(&mut pair, mode, &sent, &[(0, 2), (1, 0), (19, 3)]);
        let stats = pair.stats();
        assert_eq!((stats.nack_count, stats.pli_count), (0, 1), "{mode:?} {stats:?}");
    }
}

#[test]
fn packets_far_before_the_first_are_late() {
    let pictures = [300; 70];
    for (before, discarded) in [(64, 0), (65, 1)] {
        let mut pair = Pair::new(1, ALL, Link::default());
        let sent = packets(&mut pair, 65_500, &pictures);
        let (out, _) = hear(&mut pair, Mode::Packets, &sent, &[(0, 67), (1, 67 - before), (2, 68)]);
        let stats = pair.stats();
        assert_eq!((stats.packets_discarded, out.len()), (discarded, 3 - discarded as usize));
        assert_eq!(stats.nack_count, 0, "{stats:?}");
    }
}
