//! Handshakes: versions, roles, loss, and what comes out of them.

use std::time::Duration;

use super::pair::{CLIENT, Link, Pair, SERVER};
use super::{CASES, ENGINES, any};
use crate::{CloseReason, Config, Engine, Event, Role, SealError, Session, SessionError, State, Version};

#[test]
fn machines_are_send_sync_debug() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<Session>();
    check::<crate::Certificate>();
    check::<Config>();
    check::<crate::VerifiedPeer>();
    check::<Event>();
}

/// The ranges of versions that an engine takes.
fn ranges(engine: Engine) -> Vec<(Version, Version)> {
    let spoken = || CASES.iter().filter(|case| case.engine == engine).map(|case| case.version);
    spoken().flat_map(|min| spoken().filter(move |max| min <= *max).map(move |max| (min, max))).collect()
}

#[test]
fn every_range_of_versions_meets_every_other() {
    let sides = || {
        let of = |&engine: &Engine| ranges(engine).into_iter().map(move |range| (engine, range));
        ENGINES.iter().flat_map(of)
    };
    for (of_client, (client_min, client_max)) in sides() {
        for (of_server, (server_min, server_max)) in sides() {
            let client = any(of_client).with_versions(client_min, client_max);
            let server = any(of_server).with_versions(server_min, server_max);
            let mut pair = Pair::with(1, &client, &server);
            if client_min > server_max || server_min > client_max {
                pair.start();
                pair.run(Duration::from_secs(31));
                for end in &pair.ends {
                    assert_eq!(end.events, [Event::Closed(CloseReason::Timeout)]);
                }
                continue;
            }
            pair.connect();
            let expected = client_max.min(server_max);
            for (end, role) in pair.ends.iter().zip([Role::Client, Role::Server]) {
                assert_eq!(end.session.version(), Some(expected));
                assert_eq!(end.session.role(), Some(role));
                assert_eq!(end.peer().role(), role);
                assert!(end.peer().srtp().is_some());
                let stats = end.session.stats();
                assert_eq!(stats.restarts, 0);
                let dropped = (stats.malformed, stats.unexpected_message, stats.wrong_epoch);
                assert_eq!(dropped, (0, 0, 0), "{stats:?}");
            }
            pair.check_data();
        }
    }
}

#[test]
fn a_clean_handshake_takes_two_round_trips_at_most() {
    for &case in CASES {
        let trips = if case.version == Version::Dtls12 { 4 } else { 3 };
        let mut pair = Pair::with(2, &case.only(), &case.only());
        let begin = pair.now;
        pair.start();
        assert!(pair.run_until(Duration::from_secs(5), Pair::connected));
        assert_eq!(pair.now - begin, pair.link.latency * trips);
    }
}

#[test]
fn an_empty_range_of_versions_is_an_error() {
    for &engine in ENGINES {
        let now = std::time::Instant::now();
        let certificate = crate::Certificate::generate(super::pair::UNIX).unwrap();
        let config = any(engine).with_versions(Version::Dtls13, Version::Dtls12);
        assert_eq!(Session::new(&config, &certificate, now).unwrap_err(), SessionError::Versions);
    }
}

#[test]
fn handshakes_survive_a_bad_network() {
    for &case in CASES {
        for (loss, seeds) in [(0.1, 20), (0.3, 30), (0.5, 60)] {
            let mut slow = 0;
            for seed in 0..seeds {
                let mut pair = Pair::with(seed, &case.only(), &case.only());
                pair.link = Link { loss, reorder: 0.2, duplicate: 0.1, ..Link::default() };
                pair.start();
                if !pair.run_until(Duration::from_secs(31), Pair::connected) {
                    slow += 1;
                    assert!(
                        loss > 0.4,
                        "{case:?} {loss} seed {seed}: {:?}",
                        pair.ends.map(|end| (end.events, end.session.stats()))
                    );
                    continue;
                }
                pair.check_keys();
                pair.link = Link::default();
                pair.run(Duration::from_millis(100));
                pair.check_data();
            }
            assert!(slow <= 1, "{case:?} {loss}: {slow} of {seeds} did not connect");
        }
    }
}

#[test]
fn data_is_not_sealed_before_or_after() {
    for &engine in ENGINES {
        let mut pair = Pair::of(engine, 5);
        let mut out = vec![1, 2, 3];
        assert_eq!(pair.ends[CLIENT].session.seal(pair.now, b"x", &mut out), Err(SealError::NotConnected));
        pair.connect();
        let now = pair.now;
        let session = &mut pair.ends[CLIENT].session;
        assert_eq!(session.seal(now, b"", &mut out), Err(SealError::Length));
        assert_eq!(session.seal(now, &[0; (1 << 14) + 1], &mut out), Err(SealError::Length));
        session.close(now);
        assert_eq!(session.seal(now, b"x", &mut out), Err(SealError::NotConnected));
        assert_eq!(out, [1, 2, 3], "the output is as it was");
    }
}

#[test]
fn overhead_is_exact_at_every_length() {
    for &case in CASES {
        let mut pair = Pair::with(6, &case.only(), &case.only());
        pair.connect();
        assert_eq!(pair.ends[0].session.overhead(), if case.version == Version::Dtls12 { 37 } else { 22 });
        for length in (1..64).chain([1000, 1199, 1200, 1201, 4096, 1 << 14]) {
            pair.send(CLIENT, &vec![7; length]);
            pair.run(Duration::from_millis(30));
            assert_eq!(pair.ends[SERVER].data.pop().unwrap(), vec![7; length]);
        }
    }
}

#[test]
fn closing_says_goodbye() {
    for &case in CASES {
        for closer in [CLIENT, SERVER] {
            let mut pair = Pair::with(7, &case.only(), &case.only());
            pair.connect();
            pair.ends[closer].session.close(pair.now);
            pair.run(Duration::from_millis(100));
            assert_eq!(pair.ends[closer].events[1..], [Event::Closed(CloseReason::Local)]);
            assert_eq!(pair.ends[1 - closer].events[1..], [Event::Closed(CloseReason::Remote)]);
            assert_eq!(pair.ends[1 - closer].session.state(), State::Closed);
            assert!(pair.ends.iter().all(|end| end.session.poll_timeout().is_none()));
            pair.ends[closer].session.close(pair.now);
            pair.run(Duration::from_millis(100));
            assert_eq!(pair.ends[closer].events.len(), 2, "it ends once");
        }
    }
}
