//! What only the engine OpenSSL can do, or cannot.

use std::time::{Duration, Instant};

use super::lifecycle::deadly_flight;
use super::pair::{CLIENT, End, Pair, SERVER, UNIX};
use super::{ENGINES, any};
use crate::{Certificate, CloseReason, Engine, Event, Role, Session, SrtpProfile, State, Version};

const ALL: [SrtpProfile; 3] =
    [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmSha1_80];

#[test]
fn rsa_certificates_on_either_side_or_both() {
    let now = Instant::now();
    let rsa = Certificate::generate_rsa(UNIX).unwrap();
    for (client_rsa, server_rsa) in [(true, false), (false, true), (true, true)] {
        let config = any(Engine::OpenSsl);
        let mut pair = Pair::of(Engine::OpenSsl, 1);
        for (end, is_rsa) in [(CLIENT, client_rsa), (SERVER, server_rsa)] {
            if is_rsa {
                pair.ends[end] = End::with(&config, rsa.clone(), now);
            }
        }
        pair.connect();
        let suite = pair.ends[CLIENT].peer().cipher_suite();
        let expected = if server_rsa { "TLS_ECDHE_RSA_WITH_AES" } else { "TLS_ECDHE_ECDSA_WITH_AES" };
        assert!(suite.starts_with(expected), "{suite}");
        pair.check_data();
    }
}

#[test]
fn openssl_agrees_on_the_profile_that_the_server_likes_best() {
    let offers = |profiles: &[SrtpProfile]| any(Engine::OpenSsl).with_srtp_profiles(profiles.iter().copied());
    for first in ALL {
        let mut order = ALL.to_vec();
        order.retain(|profile| *profile != first);
        order.insert(0, first);
        let mut pair = Pair::with(2, &offers(&ALL), &offers(&order));
        pair.connect();
        assert_eq!(pair.ends[CLIENT].peer().srtp().unwrap().profile, first);
        // Twice the same, and nothing in common.
        let mut pair = Pair::with(2, &offers(&[first, first]), &offers(&order));
        pair.connect();
        assert_eq!(pair.ends[CLIENT].peer().srtp().unwrap().profile, first);
        for theirs in [&order[1..], &[]] {
            let mut pair = Pair::with(2, &offers(&[first]), &offers(theirs));
            pair.connect();
            assert_eq!((pair.ends[CLIENT].peer().srtp(), pair.ends[SERVER].peer().srtp()), (None, None));
            pair.check_data();
        }
        // None of this is needed for a connection without media.
        let mut pair = Pair::with(2, &offers(&[]), &offers(&[]));
        pair.connect();
        assert_eq!((pair.ends[CLIENT].peer().srtp(), pair.ends[SERVER].peer().srtp()), (None, None));
        pair.check_data();
    }
}

/// The other side has it all, and only its last flight gets lost, again and again: each time it takes another Finished,
/// for the same one again is a replay.
#[test]
fn a_finished_that_goes_out_again_is_a_new_record() {
    for &server in ENGINES {
        let version = Version::Dtls12;
        let mut pair = Pair::with(3, &any(Engine::OpenSsl), &any(server).with_versions(version, version));
        pair.start();
        let reached = pair
            .run_until(Duration::from_secs(5), |pair| pair.ends[SERVER].session.state() == State::Connected);
        assert!(reached);
        let begin = pair.now;
        let mut answers = 0;
        while pair.now - begin < Duration::from_secs(25) {
            answers += usize::from(!pair.take(SERVER).is_empty());
            let client = &pair.ends[CLIENT].session;
            pair.now = client.poll_timeout().unwrap();
            pair.ends[CLIENT].session.handle_timeout(pair.now);
            for datagram in pair.take(CLIENT) {
                pair.inject(SERVER, &datagram);
            }
        }
        assert!(answers >= 9, "{server:?}: {answers}");
        assert!(pair.run_until(Duration::from_secs(5), Pair::connected), "{server:?}");
        pair.check_keys();
        pair.check_data();
    }
}

/// The server has it all, and only its last flight gets lost, again and again.
#[test]
fn a_server_repeats_its_last_flight_until_the_client_has_it() {
    for &client in ENGINES {
        let version = Version::Dtls12;
        let mut pair = Pair::with(6, &any(client).with_versions(version, version), &any(Engine::OpenSsl));
        pair.start();
        let reached = pair
            .run_until(Duration::from_secs(5), |pair| pair.ends[SERVER].session.state() == State::Connected);
        assert!(reached);
        let mut flights = 0;
        while flights < 6 {
            flights += usize::from(!pair.take(SERVER).is_empty());
            pair.now = pair.ends[CLIENT].session.poll_timeout().unwrap();
            pair.ends[CLIENT].session.handle_timeout(pair.now);
            for datagram in pair.take(CLIENT) {
                pair.inject(SERVER, &datagram);
            }
            assert_eq!(pair.ends[CLIENT].session.state(), State::Connecting, "{client:?} {flights}");
        }
        assert!(pair.ends[SERVER].session.stats().without_data > 4, "Finished came again");
        assert!(pair.run_until(Duration::from_secs(5), Pair::connected), "{client:?}");
        pair.check_keys();
        pair.check_data();
    }
}

/// A client that waits to begin anew when it is closed begins nothing, whenever it is told the time.
#[test]
fn no_handshake_begins_anew_after_the_end() {
    let mut pair = Pair::of(Engine::OpenSsl, 7);
    pair.start_as(CLIENT, Role::Client);
    pair.take(CLIENT);
    pair.inject(CLIENT, &deadly_flight());
    assert_eq!(pair.ends[CLIENT].session.stats().restarts, 1);
    pair.ends[CLIENT].session.close(pair.now);
    pair.now += Duration::from_secs(10);
    pair.ends[CLIENT].session.handle_timeout(pair.now);
    assert!(pair.take(CLIENT).is_empty(), "a ClientHello after the end");
    assert_eq!(pair.ends[CLIENT].events, [Event::Closed(CloseReason::Local)]);
}

#[test]
fn datagrams_of_the_handshake_are_as_large_as_a_path_carries() {
    let rsa = Certificate::generate_rsa(UNIX).unwrap();
    let mut pair = Pair::of(Engine::OpenSsl, 4);
    pair.ends[SERVER] = End::with(&any(Engine::OpenSsl), rsa, pair.now);
    // Nothing is cut on its way out.
    pair.room = 4000;
    pair.connect();
    for end in &pair.ends {
        assert!(end.sent.iter().all(|datagram| datagram.len() <= 1200));
    }
}

#[test]
fn certificates_are_read_back_with_their_kind() {
    let rsa = Certificate::generate_rsa(UNIX).unwrap();
    let back = Certificate::from_pem(&rsa.to_pem()).unwrap();
    assert_eq!(back, rsa);
    let session = Session::new(&any(Engine::OpenSsl), &back, Instant::now());
    assert_eq!(session.unwrap().local_certificate(), &rsa);
    #[cfg(feature = "dimpl")]
    assert!(Session::new(&any(Engine::Dimpl), &back, Instant::now()).is_err());
}
