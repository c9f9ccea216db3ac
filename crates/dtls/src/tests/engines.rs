//! What differs between the engines, and that they understand each other.

use std::time::{Duration, Instant};

use super::pair::{Link, Pair, UNIX};
use super::{ENGINES, any};
use crate::{Certificate, Engine, ParseEngineError, Role, Session, SessionError};

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
#[cfg(feature = "dimpl")]
fn dimpl_with_an_rsa_certificate_is_an_error() {
    let certificate = Certificate::generate_rsa(UNIX).unwrap();
    let error = Session::new(&any(Engine::Dimpl), &certificate, Instant::now()).unwrap_err();
    assert_eq!(error, SessionError::Certificate);
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
