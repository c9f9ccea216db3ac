//! Path MTU discovery (RFC 8899) as the other side and the path see it.

use super::*;
use crate::packet::{Walker, kind};

/// What DTLS, UDP and IPv4 add to a packet.
const HEADERS: usize = 37 + 8 + 20;

/// What every path carries.
const BASE: usize = 1_200 - 37;

/// The largest that is looked for.
const MAX: usize = 9_000;

fn net(link: usize) -> Net {
    Net { latency: 20 * MS, mtu: link - HEADERS, ..Net::default() }
}

fn pair(seed: u64, link: usize, config: Config) -> Pair {
    let mut pair = Pair::connected(seed, net(link), config);
    let now = pair.now;
    for end in [End::A, End::B] {
        pair.side(end).sctp.set_path_mtu(now, BASE, MAX, HEADERS);
    }
    pair
}

fn message(number: u32, length: usize) -> Vec<u8> {
    let mut message = vec![number as u8; length];
    message[..4].copy_from_slice(&number.to_be_bytes());
    message
}

/// Sends messages, one each 5 ms, and lets two seconds pass.
fn transfer(pair: &mut Pair, from: u32, count: u32, each: usize) {
    for number in from..from + count {
        pair.write(End::A, 1, message(number, each), reliable());
        pair.run_for(5 * MS);
    }
    pair.run_for(2_000 * MS);
}

fn check(pair: &Pair, count: u32, each: usize) {
    assert_eq!(pair.b.messages.len(), count as usize);
    for (number, (_, _, octets)) in (0..).zip(&pair.b.messages) {
        assert!(*octets == message(number, each), "message {number}");
    }
}

fn is_probe(packet: &Bytes) -> bool {
    Walker::new(&packet[12..]).flatten().any(|item| item.kind() == kind::PAD)
}

#[test]
fn what_the_path_carries_is_found_and_used() {
    for (link, found) in [(1_280, 1_280), (1_500, 1_500), (9_000, 9_000), (1_228, 1_228), (1_492, 1_492)] {
        let mut pair = pair(1, link, config_of(link as u64));
        transfer(&mut pair, 0, 20, 60_000);
        pair.run_for(60_000 * MS);
        let stats = pair.a.sctp.stats();
        assert!((found - 3..=found).contains(&(stats.mtu + HEADERS)), "{} of {link}", stats.mtu);
        assert!(stats.mtu_probes <= 60 && stats.mtu_black_holes == 0, "{stats:?}");
        pair.record.clear();
        transfer(&mut pair, 20, 20, 60_000);
        check(&pair, 40, 60_000);
        let largest = pair.record.iter().map(|(_, packet)| packet.len()).max().unwrap();
        assert!(largest <= stats.mtu && (link < 9_000 || largest > 8_000), "{largest} of {}", stats.mtu);
        assert_eq!(pair.a.sctp.stats().mtu_probes, stats.mtu_probes, "the search is over");
    }
}

#[test]
fn probes_that_are_lost_are_no_congestion() {
    let mut with = pair(2, 1_300, config());
    let mut without = pair(2, 1_300, config());
    let now = without.now;
    without.a.sctp.set_path_mtu(now, BASE, 0, HEADERS);
    for pair in [&mut with, &mut without] {
        transfer(pair, 0, 50, 30_000);
        pair.run_for(30_000 * MS);
    }
    let (with, without) = (with.a.sctp.stats(), without.a.sctp.stats());
    assert!(with.mtu_probes_lost >= 3 && without.mtu_probes == 0, "{with:?}");
    assert_eq!((with.timeouts, with.retransmissions, with.fast_retransmits), (0, 0, 0));
    // Not equal, because packets are cut otherwise.
    assert!(with.congestion_window > without.congestion_window / 10 * 9, "{with:?} {without:?}");
}

#[test]
fn who_sends_nothing_large_sends_no_probes() {
    let mut pair = pair(3, 9_000, config());
    transfer(&mut pair, 0, 100, 200);
    pair.run_for(3_600_000 * MS);
    assert_eq!(pair.a.sctp.stats().mtu_probes, 0);
    assert_eq!(pair.a.sctp.stats().mtu, BASE & !3);
    let probes = pair.record.iter().filter(|(_, packet)| is_probe(packet)).count();
    assert_eq!(probes, 0);
}

#[test]
fn a_path_that_shrinks_in_the_middle_loses_no_message_and_little_time() {
    for (seed, loss) in [(4, 0.0), (5, 0.01), (6, 0.05)] {
        for options in [reliable(), unordered()] {
            let mut pair = pair(seed, 9_000, config_of(seed));
            pair.net.loss = loss;
            let mut count = 0;
            while pair.a.sctp.stats().mtu < 8_000 {
                pair.write(End::A, 1, message(count, 100_000), options);
                count += 1;
                pair.run_for(100 * MS);
                assert!(count < 200, "seed {seed}: {:?}", pair.a.sctp.stats());
            }
            for _ in 0..60 {
                pair.write(End::A, 1, message(count, 100_000), options);
                count += 1;
            }
            pair.run_for(50 * MS);
            let before = pair.a.sctp.stats().mtu_black_holes;
            pair.net.mtu = 1_300 - HEADERS;
            let shrunk = pair.now;
            let noticed = |pair: &Pair| pair.a.sctp.stats().mtu_black_holes > before;
            assert!(pair.run_until(4_000 * MS, noticed), "seed {seed}: {:?}", pair.a.sctp.stats());
            let seen = pair.b.messages.len();
            assert!(pair.run_until(10_000 * MS, |pair| pair.b.messages.len() >= seen + 3), "seed {seed}");
            let time = pair.now - shrunk;
            assert!(time < 4_000 * MS, "seed {seed}: {time:?}");
            assert!(pair.run_until(60_000 * MS, |pair| pair.b.messages.len() >= count as usize));
            pair.b.messages.sort_by_key(|(_, _, octets)| octets[..4].to_vec());
            check(&pair, count, 100_000);
        }
    }
}

#[test]
fn small_messages_that_come_through_do_not_hide_that_large_packets_do_not() {
    let mut pair = pair(7, 9_000, interleaved());
    transfer(&mut pair, 0, 40, 60_000);
    assert!(pair.a.sctp.stats().mtu > 8_000);
    pair.net.mtu = 1_300 - HEADERS;
    let begin = pair.now;
    for round in 0..200 {
        pair.write(End::A, 2, vec![1; 50], unordered());
        if round % 4 == 0 {
            pair.write(End::A, 1, message(40 + round / 4, 60_000), reliable());
        }
        pair.run_for(10 * MS);
    }
    let all = |pair: &Pair| pair.b.messages.iter().filter(|(stream, ..)| stream.0 == 1).count() == 90;
    assert!(pair.run_until(20_000 * MS, all), "{:?}", pair.a.sctp.stats());
    assert!(pair.now - begin < 12_000 * MS && pair.a.sctp.stats().mtu_black_holes >= 1);
    pair.b.messages.retain(|(stream, ..)| stream.0 == 1);
    check(&pair, 90, 60_000);
}

#[test]
fn answers_that_are_forged_changed_or_old_change_nothing() {
    let mut pair = pair(8, 9_000, config());
    pair.write(End::A, 1, message(0, 5_000), reliable());
    // The probe is out, and its answer is not back.
    let out = |pair: &Pair| pair.record.iter().any(|(_, packet)| is_probe(packet));
    assert!(pair.run_until(5_000 * MS, out));
    let is_answer =
        |packet: &Bytes| Walker::new(&packet[12..]).flatten().any(|item| item.kind() == kind::HEARTBEAT_ACK);
    let answered = |pair: &Pair| pair.wire.values().any(|(to, packet)| *to == End::A && is_answer(packet));
    assert!(pair.run_until(5_000 * MS, answered));
    let answer =
        pair.wire.values().find(|(to, packet)| *to == End::A && is_answer(packet)).unwrap().1.clone();
    let (now, size) = (pair.now, pair.a.sctp.stats().mtu);
    let at = answer.windows(4).position(|four| four == [0, 1, 0, 28]).unwrap() + 4;
    for bit in 0..24 * 8 {
        let mut forged = answer.to_vec();
        forged[at + bit / 8] ^= 1 << (bit % 8);
        forged[8..12].fill(0);
        crate::packet::finish(&mut forged, 0);
        pair.a.sctp.handle_packet(now, Bytes::from(forged));
        assert_eq!(pair.a.sctp.stats().mtu, size, "bit {bit}");
    }
    assert_eq!(pair.a.sctp.stats().bad_heartbeats, 24 * 8);
    pair.a.sctp.handle_packet(now, answer.clone());
    let found = pair.a.sctp.stats().mtu;
    assert!(found > size, "the true one counts");
    pair.a.sctp.handle_packet(now, answer);
    assert_eq!(pair.a.sctp.stats().mtu, found, "once");
}

#[test]
fn another_path_is_measured_anew_and_what_was_cut_for_the_old_one_still_goes() {
    let mut pair = pair(9, 9_000, config());
    transfer(&mut pair, 0, 20, 60_000);
    assert!(pair.a.sctp.stats().mtu > 8_000);
    pair.net.mtu = 0;
    pair.write(End::A, 1, message(20, 60_000), reliable());
    pair.run_for(100 * MS);
    let now = pair.now;
    // A relay takes 36 octets more.
    pair.a.sctp.set_path_mtu(now, BASE - 36, 1_432, HEADERS + 36);
    assert_eq!(pair.a.sctp.stats().mtu, (BASE - 36) & !3);
    pair.net.mtu = 1_500 - HEADERS - 36;
    assert!(pair.run_until(10_000 * MS, |pair| pair.b.messages.len() == 21));
    transfer(&mut pair, 21, 20, 60_000);
    check(&pair, 41, 60_000);
    assert_eq!(pair.a.sctp.stats().mtu, (1_500 - HEADERS - 36) & !3);
}
