//! What differs between the engines, and that they understand each other.

use std::time::{Duration, Instant};

use super::pair::{Link, Pair, UNIX};
use super::{ENGINES, any};
use crate::{Certificate, Config, Engine, ParseEngineError, Role, Session, SessionError};

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
fn the_default_is_openssl_where_it_is_built() {
    assert_eq!(ENGINES.contains(&Engine::OpenSsl), Engine::default() == Engine::OpenSsl);
    assert!(ENGINES.contains(&Engine::default()));
}

/// What is asked of an engine, and what it says.
fn refused(config: &Config, certificate: &Certificate) -> Option<SessionError> {
    Session::new(config, certificate, Instant::now()).err()
}

#[test]
#[cfg(feature = "dimpl")]
fn what_dimpl_cannot_do_is_an_error() {
    use crate::SrtpProfile::{self, AeadAes128Gcm, AeadAes256Gcm, Aes128CmSha1_80};
    let certificate = Certificate::generate(UNIX).unwrap();
    let config = any(Engine::Dimpl);
    let rsa = Certificate::generate_rsa(UNIX).unwrap();
    assert_eq!(refused(&config, &rsa), Some(SessionError::Certificate));
    assert_eq!(refused(&config.clone().with_key_log(), &certificate), Some(SessionError::KeyLog));
    let with = |profiles: &[SrtpProfile]| config.clone().with_srtp_profiles(profiles.iter().copied());
    assert_eq!(refused(&with(&[AeadAes256Gcm, AeadAes128Gcm, Aes128CmSha1_80]), &certificate), None);
    for profiles in
        [&[][..], &[AeadAes256Gcm], &[AeadAes128Gcm, AeadAes256Gcm, Aes128CmSha1_80], &[Aes128CmSha1_80]]
    {
        assert_eq!(refused(&with(profiles), &certificate), Some(SessionError::SrtpProfiles), "{profiles:?}");
    }
    // The list is really that of dimpl.
    let mut pair = Pair::of(Engine::Dimpl, 1);
    pair.connect();
    assert_eq!(pair.ends[0].peer().srtp().unwrap().profile, AeadAes256Gcm);
}

#[test]
#[cfg(feature = "openssl")]
fn what_openssl_cannot_do_is_an_error() {
    use crate::Version;
    let certificate = Certificate::generate(UNIX).unwrap();
    for min in [Version::Dtls12, Version::Dtls13] {
        let config = any(Engine::OpenSsl).with_versions(min, Version::Dtls13);
        assert_eq!(refused(&config, &certificate), Some(SessionError::VersionNotSupported));
    }
    let config = any(Engine::OpenSsl).with_versions(Version::Dtls12, Version::Dtls12);
    assert_eq!(refused(&config, &certificate), None);
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
