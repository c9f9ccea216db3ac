//! Counters and limits that a session shows, one by one.

use std::time::Duration;

use bytes::BytesMut;

use super::hostile::{message, record};
use super::pair::{CLIENT, Pair, SERVER};
use super::{CASES, ENGINES, any};
use crate::{CloseReason, Event, Role, Stats, Version};

const MS: Duration = Duration::from_millis(1);

fn stats(pair: &Pair, end: usize) -> Stats {
    pair.ends[end].session.stats()
}

/// By how much a counter of an end is higher after these datagrams; nothing else that is dropped is.
fn counted(pair: &mut Pair, end: usize, datagrams: &[Vec<u8>], counter: fn(&Stats) -> u64) -> u64 {
    let before = stats(pair, end);
    datagrams.iter().for_each(|datagram| pair.inject(end, datagram));
    let after = stats(pair, end);
    let counted = counter(&after) - counter(&before);
    assert_eq!(after.dropped() - before.dropped(), counted, "{after:?}");
    counted
}

#[test]
fn what_is_sent_sealed_and_opened_is_counted() {
    for &case in CASES {
        let mut pair = Pair::with(1, &case.only(), &case.only());
        pair.start();
        assert!(pair.run_until(Duration::from_secs(5), Pair::connected));
        pair.run(300 * MS);
        let before = [stats(&pair, CLIENT), stats(&pair, SERVER)];
        for end in [CLIENT, SERVER] {
            assert_eq!(before[end].datagrams_sent, pair.ends[end].sent.len() as u64, "{case:?}");
        }
        (0..3).for_each(|_| pair.send(CLIENT, b"data"));
        pair.run(100 * MS);
        assert_eq!(stats(&pair, CLIENT).records_sealed, before[CLIENT].records_sealed + 3, "{case:?}");
        assert_eq!(stats(&pair, SERVER).records_opened, before[SERVER].records_opened + 3, "{case:?}");
        assert_eq!(
            stats(&pair, SERVER).datagrams_received,
            before[SERVER].datagrams_received + 3,
            "{case:?}"
        );
    }
}

#[test]
fn records_that_nobody_polls_for_are_dropped_beyond_a_thousand() {
    const MOST: u64 = 1_024;
    for &case in CASES {
        let mut pair = Pair::with(2, &case.only(), &case.only());
        pair.start();
        assert!(pair.run_until(Duration::from_secs(5), Pair::connected));
        pair.run(300 * MS);
        let opened = stats(&pair, SERVER).records_opened;
        for _ in 0..MOST + 5 {
            let mut sealed = Vec::new();
            pair.ends[CLIENT].session.seal(pair.now, b"data", &mut sealed).unwrap();
            pair.ends[SERVER].session.handle_packet(pair.now, BytesMut::from(&sealed[..]));
        }
        let after = stats(&pair, SERVER);
        assert_eq!((after.records_opened - opened, after.plaintext_overflow), (MOST, 5), "{case:?}");
        pair.ends[SERVER].collect();
        assert_eq!(pair.ends[SERVER].data.len() as u64, MOST, "{case:?}");
    }
}

#[test]
fn datagrams_that_nobody_polls_for_are_dropped() {
    for &engine in ENGINES {
        let mut pair = Pair::of(engine, 3);
        pair.start();
        let flight = pair.take(CLIENT);
        for _ in 0..200 {
            for datagram in &flight {
                pair.ends[SERVER].session.handle_packet(pair.now, BytesMut::from(&datagram[..]));
            }
            pair.now += 60 * MS;
            pair.ends[SERVER].session.handle_timeout(pair.now);
        }
        let waiting = pair.take(SERVER).len();
        assert!(waiting <= 64, "{engine}: {waiting}");
        assert_eq!(stats(&pair, SERVER).transmit_overflow > 0, waiting == 64, "{engine}");
    }
}

#[test]
fn the_handshake_takes_as_long_as_the_configuration_says() {
    for &engine in ENGINES {
        let config = any(engine).with_handshake_timeout(Duration::from_secs(7));
        let mut pair = Pair::with(4, &config, &config);
        pair.link.loss = 1.0;
        pair.start();
        pair.run(Duration::from_millis(6_999));
        assert!(pair.ends[CLIENT].events.is_empty() && pair.ends[SERVER].events.is_empty(), "{engine}");
        pair.run(MS);
        assert_eq!(pair.ends[CLIENT].events, [Event::Closed(CloseReason::Timeout)], "{engine}");
        assert_eq!(pair.ends[SERVER].events, [Event::Closed(CloseReason::Timeout)], "{engine}");
    }
}

#[test]
fn what_a_handshake_cannot_use_is_counted_by_its_kind() {
    for &engine in ENGINES {
        let mut pair = Pair::of(engine, 5);
        pair.start_as(CLIENT, Role::Client);
        let strange = [record(26, 0, 9, &[0; 40])];
        assert_eq!(counted(&mut pair, CLIENT, &strange, |stats| stats.unknown_type), 1);
        // The header of a fragment of a certificate of 16,385 octets.
        let [_, a, b, c] = 16_385u32.to_be_bytes();
        let long = [record(22, 0, 9, &[11, a, b, c, 0, 1, 0, 0, 0, 0, 0, 1, 7])];
        assert_eq!(counted(&mut pair, CLIENT, &long, |stats| stats.too_long), 1);
        // Nine alerts in a datagram: eight are looked at.
        let nine = [(0..9).flat_map(|number| record(21, 0, number, &[1, 0])).collect::<Vec<u8>>()];
        let before = stats(&pair, CLIENT);
        pair.inject(CLIENT, &nine[0]);
        let after = stats(&pair, CLIENT);
        assert_eq!(after.plaintext_alert - before.plaintext_alert, 8);
        assert_eq!(after.too_many_records - before.too_many_records, 1);
        // The same certificate of 1,000 octets again and again: after 64 KiB nothing is looked at.
        let certificate = record(22, 0, 9, &message(11, 1, &[7; 1_000]));
        for _ in 0..(64 << 10) / 1_012 {
            pair.inject(CLIENT, &certificate);
        }
        assert_eq!(stats(&pair, CLIENT).over_budget, 0);
        assert_eq!(counted(&mut pair, CLIENT, &[certificate], |stats| stats.over_budget), 1);
    }
}

#[test]
fn strange_records_and_late_hellos_are_counted_after_the_handshake() {
    for &case in CASES {
        let mut pair = Pair::with(6, &case.only(), &case.only());
        pair.start();
        let hello = pair.take(CLIENT);
        assert_eq!(hello.len(), 1, "{case:?}");
        pair.inject(SERVER, &hello[0]);
        assert_eq!(
            counted(&mut pair, SERVER, &hello, |stats| stats.stale_hello),
            1,
            "{case:?}: at once again"
        );
        pair.now += 20 * MS;
        assert!(pair.run_until(Duration::from_secs(5), Pair::connected));
        pair.run(300 * MS);
        assert_eq!(counted(&mut pair, SERVER, &hello, |stats| stats.stale_hello), 1, "{case:?}");
        let epoch = u16::from(case.version == Version::Dtls12);
        let strange = [record(26, 0, 9, &[0; 40]), record(26, epoch, 9, &[0; 40])];
        for end in [CLIENT, SERVER] {
            assert_eq!(counted(&mut pair, end, &strange, |stats| stats.unknown_type), 2, "{case:?}");
        }
        pair.check_data();
    }
}
