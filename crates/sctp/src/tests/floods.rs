//! What a flood costs: twice as many packets take twice the steps ([`crate::steps`]) and no more, whatever came
//! before them, and a packet never takes more than a bound.

use super::hostile::{data, settled};
use super::*;
use crate::packet::data::{DataHeader, Format};
use crate::packet::forward_tsn::{self, Lane};
use crate::packet::{chunk_head, kind, put_tlv, reconfig, sack};
use crate::steps;

/// The steps that `count` packets take of a fresh association, the most of one of them, and the association.
fn flood(config: Config, count: u32, mut packet: impl FnMut(&mut Pair, u32)) -> (u64, u64, Pair) {
    let mut pair = settled(3, config.with_receive_window(4 << 20));
    let (mut all, mut most) = (0, 0);
    for number in 0..count {
        steps::take();
        packet(&mut pair, number);
        let steps = steps::take();
        all += steps;
        most = most.max(steps);
        pair.poll(End::B);
        pair.wire.clear();
        pair.record.clear();
    }
    (all, most, pair)
}

/// Checks that the work is linear, and that no packet takes more than `bound` steps.
fn check(name: &str, config: &Config, count: u32, bound: u64, mut packet: impl FnMut(&mut Pair, u32)) {
    let (once, most, _) = flood(config.clone(), count, &mut packet);
    let (twice, most_of_twice, pair) = flood(config.clone(), 2 * count, &mut packet);
    assert!(twice <= 2 * once + once / 10, "{name}: {once} steps, and {twice} for twice as many packets");
    assert!(most.max(most_of_twice) <= bound, "{name}: {most} and {most_of_twice} steps for one packet");
    assert_eq!(pair.b.sctp.state(), State::Established, "{name}");
    assert!(pair.b.messages.is_empty() && pair.b.sctp.stats().unread <= 4 << 20, "{name}");
}

fn format(config: &Config) -> Format {
    if config.interleaving { Format::Interleaved } else { Format::Data }
}

#[test]
fn tiny_fragments_of_a_message_that_never_ends() {
    for config in [config(), interleaved()] {
        let format = format(&config);
        // Once, what the window holds is handed up in one go.
        check("in sequence", &config, 3_000, (4 << 20) / 256, |pair, packet| {
            let base = pair.b.sctp.rx.cumulative();
            give(pair, End::B, |out| {
                for i in 0..4 {
                    let fsn = packet * 4 + i;
                    let begin = if fsn == 0 { 2 } else { 0 };
                    DataHeader { fsn, ..data(base + (1 + i), 1, 0, begin) }.write(format, b"x", out);
                }
            });
        });
    }
}

#[test]
fn fragments_with_a_gap_before_each() {
    for config in [config(), interleaved()] {
        let format = format(&config);
        let mut bases = BTreeMap::new();
        check("gaps", &config, 500, 80 * 600, |pair, packet| {
            // Every other TSN backwards, so that each run is put in front of all others, and then again and again.
            let base = *bases.entry(pair.b.sctp.local_tag).or_insert(pair.b.sctp.rx.cumulative());
            give(pair, End::B, |out| {
                for i in 0..40 {
                    let n = (packet * 40 + i) % 400;
                    let header = data(base + (2 + 2 * (400 - n)), n as u16, 1, 0);
                    DataHeader { fsn: n + 1, ..header }.write(format, b"x", out);
                }
            });
        });
    }
}

#[test]
fn duplicates() {
    for config in [config(), interleaved()] {
        let format = format(&config);
        check("duplicates", &config, 500, 100, |pair, _| {
            let base = pair.b.sctp.rx.cumulative();
            give(pair, End::B, |out| {
                for i in 0..50 {
                    data(base - i, 1, 0, 3).write(format, b"x", out);
                }
            });
        });
    }
}

#[test]
fn resets_of_many_streams() {
    let streams: Vec<u16> = (0..500).collect();
    let mut next = BTreeMap::new();
    check("resets", &config(), 500, 1_100, |pair, _| {
        // In sequence, so that each is performed.
        let remote = pair.a.sctp.local_tsn.get();
        let sequence =
            next.entry(pair.b.sctp.local_tag).and_modify(|next: &mut u32| *next += 1).or_insert(remote);
        let (sequence, base) = (*sequence, pair.b.sctp.rx.cumulative());
        give(pair, End::B, |out| reconfig::write_outgoing_reset(out, sequence, 0, base, &streams));
    });
    check("old resets", &config(), 500, 1_100, |pair, number| {
        let (wrong, base) = (0x4000_0000 + number, pair.b.sctp.rx.cumulative());
        give(pair, End::B, |out| reconfig::write_outgoing_reset(out, wrong, 0, base, &streams));
    });
}

#[test]
fn aborts_with_a_wrong_tag() {
    check("aborts", &config(), 500, 10, |pair, number| {
        let tag = pair.b.sctp.local_tag.wrapping_add(1 + number);
        let packet = packet_with_tag(tag, |out| put_tlv(out, chunk_head(kind::ABORT, 0), |_| {}));
        let now = pair.now;
        pair.b.sctp.handle_packet(now, packet);
    });
}

#[test]
fn acknowledgements_full_of_gap_blocks() {
    for config in [config(), interleaved()] {
        let mut first = BTreeMap::new();
        check("gap blocks", &config, 500, 4_000, |pair, number| {
            let acked = pair.a.sctp.rx.cumulative();
            let now = pair.now;
            if let std::collections::btree_map::Entry::Vacant(entry) = first.entry(pair.b.sctp.local_tag) {
                // Enough in flight for all the blocks.
                entry.insert(());
                for _ in 0..40 {
                    pair.write(End::B, 1, vec![7; 60_000], reliable());
                }
                while pair.b.sctp.poll_transmit(now, 1_200, &mut Vec::new()).is_some() {}
                steps::take();
            }
            let flight = (pair.b.sctp.tx.newest().distance_from(acked)).min(560) as u16;
            // Other blocks each time.
            let gaps = (1..flight / 2).map(|i| (2 * i, 2 * i)).skip(number as usize % 8);
            let gaps: Vec<_> = gaps.take(280).collect();
            give(pair, End::B, |out| sack::write(out, acked, 1 << 20, gaps.into_iter(), [].into_iter()));
        });
    }
}

#[test]
fn a_window_that_opens_with_every_acknowledgement() {
    let mut pair = Pair::connected(3, Net::default(), config().with_receive_window(4 << 20));
    let write = |pair: &mut Pair| (0..40).for_each(|_| pair.write(End::A, 1, vec![7; 60_000], reliable()));
    write(&mut pair);
    assert!(pair.run_until(60_000 * MS, |p| p.b.messages.len() == 40));
    write(&mut pair);
    let now = pair.now;
    while pair.a.sctp.poll_transmit(now, 1_200, &mut Vec::new()).is_some() {}
    let acked = pair.b.sctp.rx.cumulative();
    let outstanding = u64::from(pair.a.sctp.tx.newest().distance_from(acked));
    assert!(outstanding > 100, "{outstanding}");
    steps::take();
    for _ in 0..100 {
        for window in [0, 1 << 20] {
            give(&mut pair, End::A, |out| sack::write(out, acked, window, [].into_iter(), [].into_iter()));
        }
    }
    let steps = steps::take();
    assert!(steps <= outstanding + 200 * 10, "{steps} steps with {outstanding} chunks outstanding");
}

/// Each TSN that is skipped moves the stream on by hundreds of numbers, none of which the messages have that wait.
#[test]
fn forward_tsns_that_name_a_stream_again_and_again() {
    let waiting = 2_000;
    let mut first = BTreeMap::new();
    check("skipped numbers", &config(), 20, 700 + waiting, |pair, number| {
        let tag = pair.b.sctp.local_tag;
        let base = *first.entry(tag).or_insert_with(|| pair.b.sctp.rx.cumulative());
        if number == 0 {
            for i in (0..waiting as u32).step_by(40) {
                give(pair, End::B, |out| {
                    for n in i..i + 40 {
                        data(base + (1_000 + n), 1, (20_000 + n) as u16, 3).write(Format::Data, b"x", out);
                    }
                });
            }
            steps::take();
        }
        let lanes = (0..280).map(|i| (Lane { stream: 1, unordered: false }, number * 280 + i));
        let point = base + (1 + number);
        give(pair, End::B, |out| forward_tsn::write(Format::Data, out, point, lanes));
    });
}
