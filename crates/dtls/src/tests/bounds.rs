//! What one side can make the other hold and do before anything is authenticated, one bound after the other.

use std::time::Duration;

use taut_sansio::codec::Reader;

use super::hostile::{message, record};
use super::pair::{CLIENT, Pair, SERVER};
use super::{CASES, ENGINES};
use crate::filter::{Filter, Side};
use crate::record::Record;
use crate::{CloseReason, Engine, Event, Version};

/// A record of DTLS 1.3 in this epoch (RFC 9147 section 4).
fn unified(epoch: u8, body: &[u8]) -> Vec<u8> {
    let [a, b] = (body.len() as u16).to_be_bytes();
    [&[0x2c | epoch, 0, 9, a, b], body].concat()
}

#[test]
fn what_overtakes_the_first_message_is_held_in_64_records_and_8_kib() {
    for (octets, held) in [(20, 64), (1_000, 8), (9_000, 0)] {
        let mut filter = Filter::new(Side::Client);
        for _ in 0..100 {
            assert!(filter.receive(&unified(2, &vec![7; octets])).is_none());
        }
        assert_eq!((filter.take_held().len(), filter.stats.held_overflow), (held, 100 - held as u64));
    }
}

#[test]
fn what_overtakes_the_end_of_the_handshake_is_held_in_4_records_and_8_kib() {
    for (octets, held) in [(20, 4), (3_000, 2), (9_000, 0)] {
        for side in [Side::Client, Side::Server] {
            let mut filter = Filter::new(side);
            for _ in 0..100 {
                assert!(filter.receive(&unified(3, &vec![7; octets])).is_none());
            }
            assert_eq!((filter.take_future().len(), filter.stats.future_overflow), (held, 100 - held as u64));
        }
    }
}

#[test]
fn before_the_start_no_more_than_64_datagrams_are_held() {
    for &engine in ENGINES {
        let mut pair = Pair::of(engine, 4);
        for _ in 0..100 {
            pair.inject(SERVER, &[22]);
        }
        assert_eq!(pair.ends[SERVER].session.stats().held_overflow, 36);
        pair.connect();
    }
}

#[test]
fn eight_changes_of_the_cipher_pass() {
    let mut filter = Filter::new(Side::Server);
    filter.choose(Version::Dtls12);
    // Certificate, ClientKeyExchange, CertificateVerify: what comes before it (RFC 5246 section 7.3).
    for (kind, message_seq) in [(11, 1), (16, 2), (15, 3)] {
        assert!(filter.receive(&record(22, 0, 9, &message(kind, message_seq, &[7; 20]))).is_none());
    }
    let change = record(20, 0, 9, &[1]);
    let passed = (0..100).filter(|_| {
        filter.receive(&change);
        filter.passed() == change
    });
    assert_eq!(passed.count(), 8);
    assert_eq!(filter.stats.unexpected_message, 92);
}

#[test]
fn no_message_has_a_number_above_15() {
    for (message_seq, unexpected) in [(15, 0), (16, 1), (u16::MAX, 1)] {
        let mut filter = Filter::new(Side::Server);
        filter.connect(Version::Dtls12);
        // A client may ask for the last flight again; the engine would see the message.
        let octets = record(22, 0, 9, &message(16, message_seq, &[7; 20]));
        let admitted = filter.admits(&Record::parse(&mut Reader::new(&octets)).unwrap());
        assert_eq!((admitted, filter.stats.unexpected_message), (unexpected == 0, unexpected));
    }
}

#[test]
fn eight_server_hellos_are_remembered() {
    let mut filter = Filter::new(Side::Client);
    filter.choose(Version::Dtls12);
    let random = |number: u8| [number; 32];
    for number in 0..100 {
        filter.receive(&record(22, 0, 9, &message(2, 0, &[&[0xfe, 0xfd], &random(number)[..]].concat())));
    }
    assert_eq!((0..100).filter(|number| filter.is_refused(&random(*number))).count(), 8);
}

#[test]
fn eight_client_hellos_replace_the_one_that_is_answered() {
    for &case in CASES {
        let mut pair = Pair::with(1, &case.only(), &case.only());
        pair.start();
        for number in 0..20 {
            let mut client = Pair::with(100 + number, &case.only(), &case.only());
            client.start();
            client.take(CLIENT).iter().for_each(|datagram| pair.inject(SERVER, datagram));
            pair.now += Duration::from_millis(500);
        }
        assert_eq!(pair.ends[SERVER].session.stats().stale_hello, 11, "{case:?}");
    }
}

/// OpenSSL ends of a Certificate that is none; dimpl goes on waiting for a good one.
#[test]
fn a_handshake_is_begun_anew_once() {
    for &case in CASES.iter().filter(|case| case.engine == Engine::OpenSsl) {
        let mut pair = Pair::with(7, &case.only(), &case.only());
        pair.start();
        let hello = pair.take(CLIENT);
        // Whoever can send can have sent it.
        let deadly = record(22, 0, 9, &message(11, 1, &[0xff; 100]));
        for deaths in 1..=2 {
            pair.inject(SERVER, &hello[0]);
            assert!(!pair.take(SERVER).is_empty(), "{case:?}: it is answered");
            pair.inject(SERVER, &deadly);
            let ended = matches!(pair.ends[SERVER].events[..], [Event::Closed(CloseReason::Handshake(_))]);
            assert_eq!((ended, pair.ends[SERVER].session.stats().restarts), (deaths == 2, 1), "{case:?}");
        }
    }
}
