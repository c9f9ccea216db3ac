//! Who the other side is, when things happen, and how it ends.

use std::time::Duration;

use bytes::BytesMut;

use super::pair::{CLIENT, Link, Pair, SERVER};
use super::{CASES, ENGINES, any};
use crate::record::{handshake, write_message};
use crate::{CloseReason, Event, Fingerprint, HashAlgorithm, Role, State, Version};

fn start_with(pair: &mut Pair, remote: [Vec<Fingerprint>; 2]) {
    for (end, (remote, role)) in remote.into_iter().zip([Role::Client, Role::Server]).enumerate() {
        pair.ends[end].session.start(pair.now, role, remote, None);
    }
}

/// Fingerprints of which none is right, for a certificate.
fn wrong_ones(right: &Fingerprint) -> Vec<Vec<Fingerprint>> {
    let mut all: Vec<Vec<Fingerprint>> = (0..256)
        .step_by(37)
        .map(|bit| {
            let mut other = right.clone();
            other.value[bit / 8] ^= 1 << (bit % 8);
            vec![other]
        })
        .collect();
    let cut = Fingerprint { algorithm: right.algorithm, value: right.value[..31].to_vec() };
    let empty = Fingerprint { algorithm: right.algorithm, value: Vec::new() };
    let other_algorithm = Fingerprint { algorithm: HashAlgorithm::Sha384, value: right.value.clone() };
    all.extend([vec![], vec![cut], vec![empty.clone()], vec![other_algorithm.clone(), empty]]);
    all
}

#[test]
fn a_wrong_fingerprint_ends_it_before_anything_gets_out() {
    for &case in CASES {
        for judge in [CLIENT, SERVER] {
            let probe = Pair::of(case.engine, 1);
            for wrong in wrong_ones(&probe.ends[0].fingerprint()) {
                let mut pair = Pair::with(1, &case.only(), &case.only());
                let right = [vec![pair.ends[SERVER].fingerprint()], vec![pair.ends[CLIENT].fingerprint()]];
                let mut remote = right.clone();
                // The wrong ones are wrong for this certificate too.
                remote[judge] = wrong;
                start_with(&mut pair, remote);
                let mut out = Vec::new();
                for _ in 0..200 {
                    let limit = pair.now + Duration::from_secs(40);
                    if !pair.step(limit) {
                        break;
                    }
                    // The honest side talks as soon as it may.
                    let _ = pair.ends[1 - judge].session.seal(pair.now, b"early", &mut out);
                    pair.ends[judge].session.handle_packet(pair.now, BytesMut::from(&out[..]));
                    pair.ends[judge].collect();
                    out.clear();
                }
                let end = &pair.ends[judge];
                assert_eq!(end.events, [Event::Closed(CloseReason::FingerprintMismatch)], "{case:?}");
                assert_eq!(end.session.state(), State::Failed);
                assert!(end.data.is_empty() && end.session.remote_certificate().is_none());
                // The other side was told.
                let told = &pair.ends[1 - judge].events;
                assert!(told.contains(&Event::Closed(CloseReason::Remote)), "{case:?} {judge} {told:?}");
            }
        }
    }
}

#[test]
fn one_right_fingerprint_of_several_is_enough() {
    for &engine in ENGINES {
        for algorithm in [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
            let mut pair = Pair::of(engine, 2);
            let mut wrong = pair.ends[SERVER].certificate.fingerprint(HashAlgorithm::Sha256);
            wrong.value[0] ^= 1;
            let right = pair.ends[SERVER].certificate.fingerprint(algorithm);
            let client = pair.ends[CLIENT].certificate.fingerprint(algorithm);
            start_with(&mut pair, [vec![wrong, right], vec![client]]);
            assert!(pair.run_until(Duration::from_secs(5), Pair::connected));
            pair.check_keys();
        }
    }
}

#[test]
fn a_client_hello_before_start_is_held_and_answered() {
    for &case in CASES {
        let mut pair = Pair::with(3, &case.only(), &case.only());
        pair.room = 600;
        pair.start_as(CLIENT, Role::Client);
        let mut hello = pair.take(CLIENT);
        hello.reverse();
        for datagram in &hello {
            pair.inject(SERVER, datagram);
        }
        assert!(pair.ends[SERVER].sent.is_empty());
        assert_eq!(pair.ends[SERVER].session.poll_timeout(), None);
        pair.start_as(SERVER, Role::Server);
        assert!(!pair.take(SERVER).is_empty(), "answered at once");
        pair.run_until(Duration::from_secs(5), Pair::connected);
        pair.check_keys();
    }
}

#[test]
fn no_more_than_eight_kibibytes_are_held_before_start() {
    for &engine in ENGINES {
        let mut pair = Pair::of(engine, 4);
        for _ in 0..20 {
            pair.inject(SERVER, &[22; 1000]);
        }
        pair.inject(SERVER, &[]);
        assert_eq!(pair.ends[SERVER].session.stats().held_overflow, 13);
        pair.connect();
    }
}

#[test]
fn both_may_start_at_the_same_moment_in_any_order() {
    for &engine in ENGINES {
        for roles in [[Role::Client, Role::Server], [Role::Server, Role::Client]] {
            for late in [0, 1, 25, 100, 3000] {
                let mut pair = Pair::of(engine, 5);
                pair.start_as(0, roles[0]);
                pair.run(Duration::from_millis(late));
                pair.start_as(1, roles[1]);
                assert!(pair.run_until(Duration::from_secs(5), Pair::connected), "{roles:?} {late}");
                pair.check_keys();
                pair.check_data();
            }
        }
    }
}

#[test]
fn automatic_sides_find_their_roles() {
    for &case in CASES {
        for other in [Role::Client, Role::Server, Role::Auto] {
            for late in [0, 1, 20, 60, 200, 1000] {
                let mut pair = Pair::with(6, &case.only(), &case.only());
                pair.start_as(0, Role::Auto);
                pair.run(Duration::from_millis(late));
                pair.start_as(1, other);
                let done = pair.run_until(Duration::from_secs(20), Pair::connected);
                if other == Role::Client && late >= 200 {
                    // The automatic side has become a client by then; two clients cannot meet.
                    continue;
                }
                assert!(done, "{case:?} {other:?} {late}: {:?}", pair.ends[0].session.stats());
                pair.check_keys();
                assert_ne!(pair.ends[0].session.role(), pair.ends[1].session.role());
                pair.check_data();
            }
        }
    }
}

#[test]
fn two_clients_or_two_servers_give_up_after_thirty_seconds() {
    for &engine in ENGINES {
        for role in [Role::Client, Role::Server] {
            let mut pair = Pair::of(engine, 7);
            let begin = pair.now;
            pair.start_as(0, role);
            pair.start_as(1, role);
            assert!(pair.run_until(Duration::from_secs(60), |pair| !pair.ends[0].events.is_empty()));
            assert_eq!(pair.now - begin, Duration::from_secs(30));
            assert_eq!(pair.ends[0].events, [Event::Closed(CloseReason::Timeout)]);
            assert_eq!(pair.ends[0].session.poll_timeout(), None);
        }
    }
}

#[test]
fn the_first_retransmission_follows_the_round_trip_time() {
    for &engine in ENGINES {
        for (rtt, from, to) in [(0, 37, 63), (20, 37, 63), (100, 112, 188), (1000, 1000, 1000)] {
            let mut pair = Pair::of(engine, 8);
            let remote = vec![pair.ends[SERVER].fingerprint()];
            pair.ends[CLIENT].session.start(pair.now, Role::Client, remote, Some(Duration::from_millis(rtt)));
            assert_eq!(pair.take(CLIENT).len(), 1);
            let next = (pair.ends[CLIENT].session.poll_timeout().unwrap() - pair.now).as_millis();
            assert!((from..=to).contains(&next), "{rtt}: {next}");
        }
    }
}

#[test]
fn a_flight_goes_out_at_least_nine_times() {
    for &engine in ENGINES {
        let mut pair = Pair::of(engine, 9);
        pair.link.loss = 1.0;
        pair.start_as(CLIENT, Role::Client);
        pair.run(Duration::from_secs(31));
        let sent = pair.ends[CLIENT].sent.len();
        assert!((10..60).contains(&sent), "{sent}");
        assert_eq!(pair.ends[CLIENT].events, [Event::Closed(CloseReason::Timeout)]);
    }
}

/// Whatever single datagram of the handshake is lost, and whatever two.
#[test]
fn every_loss_of_one_or_two_datagrams_is_repaired() {
    for &case in CASES {
        for first in 0..8 {
            for second in first..8 {
                let mut pair = Pair::with(10, &case.only(), &case.only());
                pair.room = 700;
                pair.lose = vec![first, second];
                pair.start();
                let done = pair.run_until(Duration::from_secs(10), Pair::connected);
                assert!(done, "{case:?} {first} {second}");
                pair.run(Duration::from_secs(2));
                pair.lose.clear();
                pair.check_keys();
                pair.check_data();
            }
        }
    }
}

#[test]
fn data_that_overtakes_the_last_flight_is_held_and_delivered() {
    for &case in CASES {
        let mut pair = Pair::with(11, &case.only(), &case.only());
        pair.start();
        // The side that finishes first talks at once, and its data overtakes its last flight.
        let early = if case.version == Version::Dtls13 { CLIENT } else { SERVER };
        assert!(
            pair.run_until(Duration::from_secs(5), |pair| pair.ends[early].session.state()
                == State::Connected)
        );
        let flight = pair.take(early);
        let mut data = Vec::new();
        for word in [b"a", b"b", b"c", b"d"] {
            pair.ends[early].session.seal(pair.now, word, &mut data).unwrap();
            pair.inject(1 - early, &data);
            data.clear();
        }
        pair.ends[early].session.seal(pair.now, b"e", &mut data).unwrap();
        pair.inject(1 - early, &data);
        assert!(pair.ends[1 - early].data.is_empty());
        assert_eq!(pair.ends[1 - early].session.stats().future_overflow, 1);
        for datagram in flight {
            pair.inject(1 - early, &datagram);
        }
        assert_eq!(pair.ends[1 - early].data, [&b"a"[..], b"b", b"c", b"d"], "{case:?}");
    }
}

/// A ServerHello that looks right and is not, before the true one.
fn forged_server_hello(version: Version) -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend_from_slice(&[7; 32]);
    match version {
        Version::Dtls12 => body.extend_from_slice(&[0, 0xc0, 0x2b, 0, 0, 4, 0, 23, 0, 0]),
        Version::Dtls13 => {
            body.extend_from_slice(&[
                0, 0x13, 0x01, 0, 0, 46, 0, 43, 0, 2, 0xfe, 0xfc, 0, 51, 0, 36, 0, 29, 0, 32,
            ]);
            body.extend_from_slice(&[9; 32]);
        }
    }
    let mut out = Vec::new();
    write_message(handshake::SERVER_HELLO, 0, &body, &mut out);
    out
}

/// A forged ServerHello, and nonsense in the place of the certificate: the handshake dies of it.
pub(super) fn deadly_flight() -> Vec<u8> {
    let mut nonsense = forged_server_hello(Version::Dtls12);
    for (kind, seq) in [(11, 1), (12, 2), (14, 3)] {
        write_message(kind, seq, &[0, 0, 3, 0, 0, 0, 1, 2, 3], &mut nonsense);
    }
    nonsense
}

#[test]
fn a_handshake_that_dies_of_a_forged_message_is_restarted_once() {
    for &engine in ENGINES {
        let mut pair =
            Pair::with(12, &any(engine), &any(engine).with_versions(Version::Dtls12, Version::Dtls12));
        pair.start_as(CLIENT, Role::Client);
        let hello = pair.take(CLIENT);
        pair.inject(CLIENT, &deadly_flight());
        assert!(pair.ends[CLIENT].events.is_empty());
        pair.start_as(SERVER, Role::Server);
        for datagram in hello {
            pair.inject(SERVER, &datagram);
        }
        let done = pair.run_until(Duration::from_secs(30), Pair::connected);
        assert!(done, "{:?} {:?}", pair.ends[CLIENT].events, pair.ends[CLIENT].session.stats());
        pair.check_keys();
        pair.check_data();
    }
}

#[test]
fn a_server_hello_whose_version_is_cut_off_is_refused() {
    for &engine in ENGINES {
        // dimpl 0.9 reads past the end of this one.
        let mut body = vec![0xfe, 0xfd];
        body.extend_from_slice(&[7; 32]);
        body.extend_from_slice(&[0, 0x13, 0x01, 0, 0, 4, 0, 43, 0, 2]);
        let mut forged = Vec::new();
        write_message(handshake::SERVER_HELLO, 0, &body, &mut forged);
        let mut pair = Pair::of(engine, 13);
        pair.start();
        pair.inject(CLIENT, &forged);
        assert_eq!(pair.ends[CLIENT].session.stats().rejected_hello, 1);
        assert!(pair.run_until(Duration::from_secs(5), Pair::connected));
        pair.check_data();
    }
}

#[test]
#[cfg(feature = "dimpl")]
#[should_panic(expected = "index out of bounds")]
fn without_the_filter_that_server_hello_is_a_panic() {
    let mut body = vec![0xfe, 0xfd];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0, 0x13, 0x01, 0, 0, 4, 0, 43, 0, 2]);
    let mut forged = Vec::new();
    write_message(handshake::SERVER_HELLO, 0, &body, &mut forged);
    let mut pair = Pair::of(crate::Engine::Dimpl, 13);
    pair.ends[CLIENT].session.unfiltered = true;
    pair.start();
    pair.inject(CLIENT, &forged);
}

#[test]
fn forged_client_hellos_before_the_true_one_change_nothing() {
    for &case in CASES {
        // What another client would send, and what no server can answer.
        let mut other = Pair::with(14, &case.only(), &case.only());
        other.start_as(CLIENT, Role::Client);
        let forged = other.take(CLIENT);
        let mut null_cipher = vec![0xfe, 0xfd];
        null_cipher.extend_from_slice(&[5; 32]);
        null_cipher.extend_from_slice(&[0, 0, 0, 2, 0, 0, 1, 0]);
        let mut null = Vec::new();
        write_message(handshake::CLIENT_HELLO, 0, &null_cipher, &mut null);

        let mut pair = Pair::with(14, &case.only(), &case.only());
        pair.start();
        for datagram in forged.iter().chain([&null, &null]) {
            pair.inject(SERVER, datagram);
        }
        // Nobody hears the answer.
        pair.take(SERVER);
        assert!(
            pair.run_until(Duration::from_secs(5), Pair::connected),
            "{:?}",
            pair.ends[SERVER].session.stats()
        );
        pair.check_keys();
        pair.check_data();
        assert!(
            pair.ends[SERVER].session.stats().rejected_hello
                >= if case.version == Version::Dtls12 { 2 } else { 0 }
        );
    }
}

#[test]
fn after_the_end_nothing_happens() {
    for &engine in ENGINES {
        let mut pair = Pair::of(engine, 15);
        pair.connect();
        pair.ends[CLIENT].session.close(pair.now);
        pair.run(Duration::from_millis(100));
        let before = pair.ends[SERVER].session.stats();
        pair.inject(SERVER, &[22; 100]);
        assert_eq!(pair.ends[SERVER].session.stats().after_close, before.after_close + 1);
        pair.start();
        pair.run(Duration::from_secs(60));
        assert_eq!(pair.ends[SERVER].events.len(), 2);
        // Before the beginning it can be closed too.
        let mut pair = Pair::of(engine, 16);
        pair.ends[CLIENT].session.close(pair.now);
        pair.start();
        pair.run(Duration::from_secs(1));
        assert_eq!(pair.ends[CLIENT].events, [Event::Closed(CloseReason::Local)]);
        assert!(pair.ends[CLIENT].sent.is_empty());
    }
}

#[test]
fn an_old_clock_counts_as_the_newest_seen() {
    for &engine in ENGINES {
        let mut pair = Pair::of(engine, 17);
        let old = pair.now;
        pair.connect();
        let mut out = Vec::new();
        pair.ends[CLIENT].session.seal(old, b"x", &mut out).unwrap();
        pair.ends[SERVER].session.handle_packet(old, BytesMut::from(&out[..]));
        pair.ends[SERVER].session.handle_timeout(old);
        pair.ends[SERVER].collect();
        assert_eq!(pair.ends[SERVER].data, [&b"x"[..]]);
    }
}

#[test]
fn several_records_in_one_datagram_all_arrive() {
    for &case in CASES {
        let mut pair = Pair::with(18, &case.only(), &case.only());
        pair.connect();
        let mut out = Vec::new();
        for n in 0..40u8 {
            pair.ends[CLIENT].session.seal(pair.now, &[n; 100], &mut out).unwrap();
        }
        pair.inject(SERVER, &out);
        let got: Vec<u8> = pair.ends[SERVER].data.iter().map(|data| data[0]).collect();
        assert_eq!(got, (0..40).collect::<Vec<_>>());
    }
}

#[test]
fn the_state_of_a_link_that_is_idle_needs_no_timer() {
    for &case in CASES {
        let mut pair = Pair::with(19, &case.only(), &case.only());
        pair.link = Link { latency: Duration::from_millis(100), ..Link::default() };
        pair.connect();
        pair.check_data();
        pair.run(Duration::from_secs(10));
        assert!(pair.ends.iter().all(|end| end.session.poll_timeout().is_none()), "{case:?}");
    }
}
