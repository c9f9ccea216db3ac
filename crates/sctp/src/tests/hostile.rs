use super::*;
use crate::association::Phase;
use crate::packet::data::{DataFlags, DataHeader, Format};
use crate::packet::forward_tsn::Lane;
use crate::packet::{Tsn, chunk_head, finish, forward_tsn, kind, put_tlv, sack};

pub(super) fn data(tsn: Tsn, stream: u16, ssn: u16, flags: u8) -> DataHeader {
    DataHeader { flags: DataFlags::from_wire(flags), tsn, stream, number: ssn.into(), ppid: 51, fsn: 0 }
}

fn lane(stream: u16) -> Lane {
    Lane { stream, unordered: false }
}

pub(super) fn settled(seed: u64, config: Config) -> Pair {
    let mut pair = Pair::connected(seed, Net::default(), config);
    pair.run_for(1_000 * MS);
    pair
}

#[test]
fn every_prefix_and_every_changed_octet_is_survived() {
    let mut source = Pair::connected(1, Net { loss: 0.1, ..Net::default() }, config());
    for i in 0..10 {
        source.write(End::A, i, vec![1; 2_000], reliable());
    }
    source.run_for(500 * MS);
    source.a.sctp.reset_streams(source.now, &[StreamId(1)]).unwrap();
    source.run_for(2_000 * MS);
    source.a.sctp.shutdown(source.now);
    source.run_for(2_000 * MS);
    let mut seen = std::collections::BTreeSet::new();
    for (end, good) in std::mem::take(&mut source.record) {
        // One packet of each shape is enough.
        if !seen.insert((good[12], good.get(13).copied(), good.len().min(200))) {
            continue;
        }
        for fresh in [false, true] {
            let mut pair = if fresh { Pair::new(1, Net::default(), config()) } else { settled(1, config()) };
            let now = pair.now;
            let to = end.other();
            let tag = pair.side(to).sctp.local_tag;
            let mut fix = |mut octets: Vec<u8>| {
                if octets.len() >= 12 {
                    if octets[4..8] != [0; 4] && !fresh {
                        octets[4..8].copy_from_slice(&tag.to_be_bytes());
                    }
                    octets[8..12].fill(0);
                    finish(&mut octets, 0);
                }
                pair.side(to).sctp.handle_packet(now, octets.into());
                pair.poll(to);
            };
            for length in 0..good.len() {
                fix(good[..length].to_vec());
            }
            for at in 0..good.len().min(120) {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut bad = good.to_vec();
                    bad[at] = value;
                    fix(bad);
                }
            }
        }
    }
}

#[test]
fn sacks_for_what_was_never_sent_change_nothing() {
    let mut pair = settled(2, config());
    pair.write(End::A, 1, vec![1; 5_000], reliable());
    pair.poll(End::A);
    pair.wire.clear();
    let newest = pair.a.sctp.tx.newest();
    let base = pair.b.sctp.rx.cumulative();
    let before = pair.a.sctp.stats();
    for (cumulative, gaps) in [
        (newest + 1, vec![]),
        (newest + 1_000_000, vec![]),
        (base, vec![(2u16, 60_000u16)]),
        (base, vec![(5, 3)]),
        (base, vec![(0, 1)]),
        (base, vec![(2, 3); 290].into_iter().chain([(9, 9)]).collect()),
    ] {
        give(&mut pair, End::A, |out| {
            sack::write(out, cumulative, 100_000, gaps.into_iter(), [].into_iter());
        });
    }
    let after = pair.a.sctp.stats();
    assert_eq!(after.bad_sacks - before.bad_sacks, 6);
    assert_eq!((after.in_flight, after.remote_window), (before.in_flight, before.remote_window));
    // A stale one is not an offence and changes nothing either.
    give(&mut pair, End::A, |out| sack::write(out, base - 5, 0, [].into_iter(), [].into_iter()));
    assert_eq!(pair.a.sctp.stats().remote_window, before.remote_window);
    assert!(pair.run_until(10_000 * MS, |p| p.b.messages.len() == 1));
}

#[test]
fn huge_gap_blocks_cost_little() {
    let mut pair = settled(3, config());
    for _ in 0..40 {
        pair.write(End::A, 1, vec![1; 60_000], reliable());
    }
    pair.poll(End::A);
    let base = pair.b.sctp.rx.cumulative();
    let count = pair.a.sctp.tx.newest().distance_from(base) as u16;
    assert!(count >= 8, "{count}");
    for _ in 0..2_000 {
        give(&mut pair, End::A, |out| {
            sack::write(out, base, 1 << 20, [(2, count); 280].into_iter(), [].into_iter());
        });
    }
    assert_eq!(pair.a.sctp.state(), State::Established);
}

#[test]
fn tiny_fragments_and_holes_are_charged_and_bounded() {
    let window = 64 << 10;
    let mut pair = settled(4, config().with_receive_window(window));
    pair.b.reads = false;
    let base = pair.b.sctp.rx.cumulative();
    // Every other TSN, one octet each: neither delivered nor finished.
    for i in 0..12_000u32 {
        give(&mut pair, End::B, |out| data(base + (2 + 2 * i), 1, 0, 0).write(Format::Data, b"x", out));
    }
    let stats = pair.b.sctp.stats();
    assert!(stats.unread <= window, "{}", stats.unread);
    assert!(stats.chunks_beyond_window > 9_000);
    assert_eq!(pair.b.sctp.state(), State::Closed, "the window is ignored for good");
    // A peer that keeps to the window by octets and sends tiny messages goes beyond it in one flight: it lives.
    let mut pair = settled(5, config().with_receive_window(window));
    pair.b.reads = false;
    let base = pair.b.sctp.rx.cumulative();
    for packet in 0..400u32 {
        give(&mut pair, End::B, |out| {
            for i in 0..50 {
                data(base + (1 + packet * 50 + i), 1, (packet * 50 + i) as u16, 3).write(
                    Format::Data,
                    b"x",
                    out,
                );
            }
        });
    }
    assert!(pair.b.sctp.stats().chunks_beyond_window > 19_000);
    assert_eq!(pair.b.sctp.state(), State::Established);
    // Contiguous fragments that never end.
    let mut pair = settled(5, config().with_receive_window(window));
    pair.b.reads = false;
    let base = pair.b.sctp.rx.cumulative();
    for i in 0..9_000u32 {
        let flags = if i == 0 { 2 } else { 0 };
        give(&mut pair, End::B, |out| data(base + (1 + i), 1, 0, flags).write(Format::Data, b"x", out));
    }
    assert!(pair.b.sctp.stats().unread <= window);
    assert_eq!(pair.b.sctp.state(), State::Established);
}

#[test]
fn a_flood_of_duplicates_changes_nothing() {
    let mut pair = settled(6, config());
    let base = pair.b.sctp.rx.cumulative();
    for _ in 0..5_000 {
        give(&mut pair, End::B, |out| {
            for i in 0..40 {
                data(base - i, 1, 0, 3).write(Format::Data, b"x", out);
            }
        });
    }
    assert!(pair.b.messages.is_empty());
    assert_eq!(pair.b.sctp.stats().unread, 0);
    assert_eq!(pair.b.sctp.stats().duplicate_tsns, 200_000);
}

#[test]
fn forged_forward_tsns_do_not_hurt() {
    let mut pair = settled(7, config());
    let base = pair.b.sctp.rx.cumulative();
    give(&mut pair, End::B, |out| {
        forward_tsn::write(Format::Data, out, base - 10, [(lane(1), 9)].into_iter())
    });
    assert_eq!(pair.b.sctp.rx.cumulative(), base);
    // Far ahead: taken, at once, without walking there.
    let far = base + 0x7fff_0000;
    give(&mut pair, End::B, |out| {
        forward_tsn::write(Format::Data, out, far, (0..280).map(|i| (lane(i * 200), 5)));
    });
    assert_eq!(pair.b.sctp.rx.cumulative(), far);
    give(&mut pair, End::B, |out| data(far + 1, 200, 6, 3).write(Format::Data, b"after", out));
    pair.poll(End::B);
    assert_eq!(pair.b.messages.len(), 1);
    // Not negotiated: counted and ignored.
    pair.b.sctp.agreed.forward_tsn = false;
    give(&mut pair, End::B, |out| forward_tsn::write(Format::Data, out, far + 50, std::iter::empty()));
    assert_eq!(pair.b.sctp.rx.cumulative(), far + 1);
}

#[test]
fn empty_data_and_zero_length_chunks() {
    let mut pair = settled(8, config());
    give(&mut pair, End::B, |out| out.extend_from_slice(&[kind::SACK, 0, 0, 0, 1, 2, 3, 4]));
    give(&mut pair, End::B, |out| out.extend_from_slice(&[kind::SACK, 0, 0, 3]));
    assert_eq!(pair.b.sctp.stats().malformed_packets, 2);
    assert_eq!(pair.b.sctp.state(), State::Established);
    let base = pair.b.sctp.rx.cumulative();
    give(&mut pair, End::B, |out| data(base + 1, 1, 0, 3).write(Format::Data, b"", out));
    assert_eq!(pair.b.sctp.state(), State::Closed);
    pair.run_for(1_000 * MS);
    assert!(pair.a.events.contains(&Event::Closed(CloseReason::RemoteAbort { code: 9 })));
}

#[test]
fn made_up_heartbeat_answers_are_refused() {
    let mut pair = settled(9, config());
    give(&mut pair, End::B, |out| {
        put_tlv(out, chunk_head(kind::HEARTBEAT_ACK, 0), |o| {
            put_tlv(o, 1, |o| o.extend_from_slice(&[0; 24]))
        });
    });
    assert_eq!(pair.b.sctp.stats().bad_heartbeats, 1);
    for _ in 0..1_000 {
        give(&mut pair, End::B, |out| {
            put_tlv(out, chunk_head(kind::HEARTBEAT, 0), |o| {
                put_tlv(o, 1, |o| o.extend_from_slice(&[7; 200]))
            });
        });
    }
    assert!(pair.b.sctp.pending.heartbeat_acks.len() <= 4);
}

#[test]
fn random_operations_never_panic_and_always_have_a_timer() {
    for seed in 0..100 {
        let mut rng = Rng::from_u64(seed);
        let mut pair =
            Pair::new(seed, Net { loss: 0.1, jitter: 30 * MS, duplicate: 0.1, ..Net::default() }, config());
        for _ in 0..300 {
            let end = if rng.below(2) == 0 { End::A } else { End::B };
            let now = pair.now;
            let stream = rng.below(5) as u16;
            match rng.below(40) {
                0..=2 => pair.side(end).sctp.connect(now),
                3..=15 => {
                    let length = rng.below(4_000) as usize;
                    let reliability = match rng.below(3) {
                        0 => Reliability::Reliable,
                        1 => Reliability::MaxRetransmits(rng.below(3) as u16),
                        _ => Reliability::MaxLifetime(rng.below(300) * MS),
                    };
                    let ordering = if rng.below(2) == 0 { Ordering::Ordered } else { Ordering::Unordered };
                    let options = WriteOptions { reliability, ordering, ..reliable() };
                    let _ =
                        pair.side(end).sctp.write(now, StreamId(stream), vec![3; length].into(), &options);
                }
                16..=17 => {
                    let _ = pair.side(end).sctp.reset_streams(now, &[StreamId(stream)]);
                }
                18 => pair.side(end).sctp.pause_stream(StreamId(stream)),
                19..=21 => pair.side(end).sctp.resume_stream(StreamId(stream)),
                22 if rng.below(10) == 0 => pair.side(end).sctp.shutdown(now),
                23 if rng.below(20) == 0 => pair.side(end).sctp.abort(now),
                24 => pair.side(end).sctp.handle_timeout(now),
                25 => {
                    // A replay of anything that was ever sent.
                    if !pair.record.is_empty() {
                        let at = rng.below(pair.record.len() as u32) as usize;
                        let (from, old) = pair.record[at].clone();
                        pair.side(from.other()).sctp.handle_packet(now, old);
                    }
                }
                _ => {
                    pair.step();
                }
            }
        }
        pair.net = Net::default();
        pair.run_for(60_000 * MS);
        for side in [&pair.a, &pair.b] {
            if matches!(side.sctp.phase, Phase::Established) {
                assert!(side.sctp.poll_timeout().is_some());
            }
        }
    }
}

/// Each of these a hundred thousand times; if one took time for each one before it, the test would not end.
#[test]
fn floods_change_nothing() {
    for interleaving in [false, true] {
        let mut pair = settled(1, config().with_interleaving(interleaving).with_receive_window(1 << 20));
        let format = if interleaving { Format::Interleaved } else { Format::Data };
        pair.write(End::B, 1, vec![7; 100_000], reliable());
        pair.poll(End::B);
        pair.wire.clear();
        let (base, acked) = (pair.b.sctp.rx.cumulative(), pair.a.sctp.rx.cumulative());
        let before = pair.b.sctp.stats();
        let tag = pair.b.sctp.local_tag;
        // 200 tiny fragments of different messages beyond a gap, then the same again and again.
        for round in 0..500u32 {
            for packet in 0..4 {
                give(&mut pair, End::B, |out| {
                    for i in 0..50 {
                        let n = packet * 50 + i;
                        data(base + (2 + n), n as u16, 1, 2).write(format, b"x", out);
                    }
                });
            }
            // Acknowledgements with as many gap blocks as fit, of what was sent and of what was not.
            let gaps: Vec<(u16, u16)> = (0..280).map(|i| (i * 2 + 2, i * 2 + 2)).collect();
            give(&mut pair, End::B, |out| sack::write(out, acked, 0, gaps.into_iter(), [].into_iter()));
            // Reset requests with a wrong sequence number, for many streams.
            let streams: Vec<u16> = (0..500).collect();
            let wrong = round.wrapping_add(0x4000_0000).wrapping_add(pair.a.sctp.local_tsn.get());
            give(&mut pair, End::B, |out| {
                crate::packet::reconfig::write_outgoing_reset(out, wrong, 0, base, &streams);
            });
            // ABORTs with a wrong tag.
            for i in 1..50u32 {
                let abort = |out: &mut Vec<u8>| put_tlv(out, chunk_head(kind::ABORT, 0), |_| {});
                pair.b.sctp.handle_packet(pair.now, packet_with_tag(tag.wrapping_add(i), abort));
            }
            pair.poll(End::B);
            pair.wire.clear();
        }
        let after = pair.b.sctp.stats();
        assert_eq!(pair.b.sctp.state(), State::Established);
        assert_eq!((after.data_received - before.data_received, after.duplicate_tsns), (200, 200 * 499));
        assert_eq!((after.bad_tags, after.in_flight), (before.bad_tags + 500 * 49, before.in_flight));
        assert!(after.unread < 200 * 700 && pair.b.messages.is_empty());
        assert!(
            pair.b.events.iter().all(|event| !matches!(event, Event::IncomingReset(_) | Event::Closed(_)))
        );
        // What was going on goes on.
        give(&mut pair, End::B, |out| data(base + 1, 900, 0, 3).write(format, b"here", out));
        pair.poll(End::B);
        assert_eq!(pair.b.messages.len(), 1);
    }
}
