//! What differs between the engines, and that they understand each other.

use std::time::{Duration, Instant};

use super::pair::{CLIENT, End, Link, Pair, SERVER, UNIX};
use super::{ENGINES, any};
use crate::{
    Certificate, Config, Engine, ParseEngineError, Role, Session, SessionError, SrtpProfile, Version,
};

const ALL: [SrtpProfile; 3] =
    [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmSha1_80];

#[test]
fn engines_that_are_not_built_are_an_error() {
    let certificate = Certificate::generate(UNIX).unwrap();
    for engine in [Engine::Dimpl, Engine::OpenSsl] {
        let made = Session::new(&any(engine), &certificate, Instant::now());
        if ENGINES.contains(&engine) {
            assert!(made.is_ok());
        } else {
            assert_eq!(made.unwrap_err(), SessionError::EngineNotBuilt);
        }
    }
}

#[test]
fn engines_have_names() {
    for engine in [Engine::Dimpl, Engine::OpenSsl] {
        assert_eq!(engine.to_string().parse(), Ok(engine));
    }
    assert_eq!("OpenSSL".parse::<Engine>(), Err(ParseEngineError));
}

#[test]
#[cfg(feature = "openssl")]
fn openssl_without_dtls_1_2_is_an_error() {
    let certificate = Certificate::generate(UNIX).unwrap();
    let config = any(Engine::OpenSsl).with_versions(Version::Dtls13, Version::Dtls13);
    let error = Session::new(&config, &certificate, Instant::now()).unwrap_err();
    assert_eq!(error, SessionError::VersionNotSupported);
}

#[test]
#[cfg(feature = "dimpl")]
fn dimpl_with_an_rsa_certificate_is_an_error() {
    let certificate = Certificate::generate_rsa(UNIX).unwrap();
    let error = Session::new(&any(Engine::Dimpl), &certificate, Instant::now()).unwrap_err();
    assert_eq!(error, SessionError::Certificate);
}

#[test]
#[cfg(feature = "openssl")]
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
fn every_engine_meets_every_other_in_a_bad_network() {
    for &client in ENGINES {
        for &server in ENGINES {
            for seed in 0..20 {
                let mut pair = Pair::with(seed, &any(client), &any(server));
                pair.link = Link { loss: 0.3, reorder: 0.2, duplicate: 0.1, ..Link::default() };
                pair.start();
                let done = pair.run_until(Duration::from_secs(31), Pair::connected);
                assert!(done, "{client:?} {server:?} {seed} {:?}", pair.ends.map(|end| end.events));
                pair.check_keys();
                pair.link = Link::default();
                pair.run(Duration::from_millis(100));
                pair.check_data();
            }
        }
    }
}

#[test]
#[cfg(feature = "openssl")]
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
        let mut pair = Pair::with(2, &offers(&[first]), &offers(&order[1..]));
        pair.connect();
        assert_eq!((pair.ends[CLIENT].peer().srtp(), pair.ends[SERVER].peer().srtp()), (None, None));
        pair.check_data();
    }
}

/// The other side has it all, and only its last flight gets lost, again and again: each time it takes another Finished,
/// for the same one again is a replay.
#[test]
#[cfg(feature = "openssl")]
fn a_finished_that_goes_out_again_is_a_new_record() {
    for &server in ENGINES {
        let version = Version::Dtls12;
        let mut pair = Pair::with(3, &any(Engine::OpenSsl), &any(server).with_versions(version, version));
        pair.start();
        let reached = pair.run_until(Duration::from_secs(5), |pair| {
            pair.ends[SERVER].session.state() == crate::State::Connected
        });
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

#[test]
#[cfg(feature = "openssl")]
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
#[cfg(feature = "openssl")]
fn certificates_are_read_back_with_their_kind() {
    let rsa = Certificate::generate_rsa(UNIX).unwrap();
    let back = Certificate::from_pem(&rsa.to_pem()).unwrap();
    assert_eq!(back, rsa);
    let session = Session::new(&any(Engine::OpenSsl), &back, Instant::now());
    assert_eq!(session.unwrap().local_certificate(), &rsa);
    #[cfg(feature = "dimpl")]
    assert!(Session::new(&Config::default(), &back, Instant::now()).is_err());
}

/// An automatic side tells its role by who was first, whatever its engine is.
#[test]
fn automatic_sides_with_different_engines() {
    for &one in ENGINES {
        for &other in ENGINES {
            for role in [Role::Client, Role::Server, Role::Auto] {
                let mut pair = Pair::with(5, &any(one), &any(other));
                pair.start_as(0, Role::Auto);
                pair.start_as(1, role);
                assert!(
                    pair.run_until(Duration::from_secs(5), Pair::connected),
                    "{one:?} {other:?} {role:?}"
                );
                pair.check_keys();
                pair.check_data();
            }
        }
    }
}
