//! Requests have no effect before they are authenticated. Each test fails if the check that it is about is removed.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use std::time::Duration;

use common::scene::{Scene, Strange};
use taut_ice::{Config, Event, MAX_ANSWERS, Role, State, Validation};
use taut_sansio::net::Path;
use taut_sansio::rng::Rng;
use taut_stun::attribute::{
    ErrorCode, IceControlled, IceControlling, Priority, UseCandidate, Username, XorMappedAddress,
};
use taut_stun::{
    Algorithm, Attribute, AttributeType, Builder, Class, Fingerprint, Key, Message, Method, ParseError,
    TransactionId,
};

#[test]
fn the_scene_itself_is_good() {
    let mut scene = Scene::new(Role::Controlled);
    let check = scene.good_check();
    scene.give(scene.path(), &check);
    let (transmit, answer) = scene.take().expect("an answer");
    assert_eq!(transmit.path, scene.path());
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(answer.class(), Class::Success);
    assert!(answer.verify(&scene.our_key()).is_ok());
    assert_eq!(answer.fingerprint(), Fingerprint::Good);
    assert_eq!(answer.get(), Ok(Some(XorMappedAddress(scene.remote))));
    assert_eq!(scene.agent.validation(&scene.path()), Validation::Authenticated);
    assert_eq!(scene.agent.selected_path(), None, "a check that came in is not enough for data");
    let request = scene.request();
    let message = Message::parse(&request).unwrap();
    assert!(message.verify(&scene.their_key()).is_ok());
    assert_eq!(message.fingerprint(), Fingerprint::Good);
    let expected = format!("them:{}", scene.agent.local_credentials().ufrag);
    assert_eq!(message.get::<Username<'_>>().unwrap().unwrap().text(), expected);
    assert!(
        message.get::<Priority>().unwrap().is_some() && message.get::<IceControlled>().unwrap().is_some()
    );
    let reply = scene.good_reply(&request);
    scene.give(scene.path(), &reply);
    assert_eq!(scene.agent.validation(&scene.path()), Validation::Validated);
    assert_eq!(scene.agent.selected_path(), Some(scene.path()));
}

#[test]
fn requests_need_a_username_of_both_ufrags() {
    let mut scene = Scene::new(Role::Controlled);
    let (key, ours) = (scene.our_key(), scene.agent.local_credentials().ufrag.clone());
    let wrong = [
        "them".to_owned(),
        ours.clone(),
        format!("{ours}:"),
        format!("{ours}:others"),
        format!("{ours}x:them"),
        format!("them:{ours}"),
        ":them".to_owned(),
        format!("{ours}:them:more"),
        format!("{ours}:{}", "x".repeat(400)),
    ];
    for username in wrong {
        let check = scene.check(&username, |b| b.integrity(&key, Algorithm::Sha1).fingerprint().finish());
        scene.assert_dropped(scene.path(), &check, |stats| stats.dropped_username);
    }
    let mut nameless = Vec::new();
    let id = scene.next_id();
    let builder = Builder::new(&mut nameless, Class::Request, Method::BINDING, id).push(&Priority(1));
    let _ = builder.integrity(&key, Algorithm::Sha1).finish();
    scene.assert_dropped(scene.path(), &nameless, |stats| stats.dropped_username);
}

#[test]
fn requests_need_our_password() {
    let mut scene = Scene::new(Role::Controlled);
    let username = scene.username();
    for key in [scene.their_key(), Key::short_term(""), Key::short_term("guess")] {
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256] {
            let check = scene.check(&username, |b| b.integrity(&key, algorithm).fingerprint().finish());
            scene.assert_dropped(scene.path(), &check, |stats| stats.dropped_request_integrity);
        }
    }
    let bare = scene.check(&username, |b| b.fingerprint().finish());
    scene.assert_dropped(scene.path(), &bare, |stats| stats.dropped_request_integrity);
}

#[test]
fn early_requests_need_our_password_and_ufrag_too() {
    let mut scene = Scene::unsignaled(Config::default());
    let (key, username) = (Key::short_term("guess"), scene.username());
    let check = scene.check(&username, |b| b.integrity(&key, Algorithm::Sha1).finish());
    scene.assert_dropped(scene.path(), &check, |stats| stats.dropped_request_integrity);
    let key = scene.our_key();
    let check = scene.check("other:them", |b| b.integrity(&key, Algorithm::Sha1).finish());
    scene.assert_dropped(scene.path(), &check, |stats| stats.dropped_username);
    let long = format!("{}:{}", scene.agent.local_credentials().ufrag, "x".repeat(257));
    let check = scene.check(&long, |b| b.integrity(&key, Algorithm::Sha1).finish());
    scene.assert_dropped(scene.path(), &check, |stats| stats.dropped_username);
    // One that was for another fork is answered, but forgotten when the true ufrag is known.
    let stranger = format!("{}:stranger", scene.agent.local_credentials().ufrag);
    let check = scene.check(&stranger, |b| b.integrity(&key, Algorithm::Sha1).finish());
    scene.give(scene.path(), &check);
    assert!(scene.take().is_some());
    assert_eq!(scene.agent.poll_event(), Some(Event::RouteAdded(scene.path())));
    scene.agent.set_remote_credentials(scene.now, scene.theirs.clone(), false);
    assert_eq!(scene.agent.poll_event(), Some(Event::RouteRemoved(scene.path())));
    assert!(scene.take().is_none() && scene.agent.pair_stats().is_empty());
    assert_eq!(scene.agent.validation(&scene.path()), Validation::Unknown);
}

#[test]
fn a_damaged_fingerprint_is_enough_to_drop() {
    let mut scene = Scene::new(Role::Controlled);
    let mut check = scene.good_check();
    *check.last_mut().unwrap() ^= 1;
    scene.assert_dropped(scene.path(), &check, |stats| stats.dropped_fingerprint);
    let mut scene = Scene::checking(Role::Controlled);
    let request = scene.request();
    let mut reply = scene.good_reply(&request);
    *reply.last_mut().unwrap() ^= 1;
    scene.assert_dropped(scene.path(), &reply, |stats| stats.dropped_fingerprint);
}

#[test]
fn every_changed_octet_and_every_prefix_is_dropped() {
    let mut scene = Scene::new(Role::Controlled);
    let check = scene.good_check();
    // Without a FINGERPRINT a check is still good, so what makes it something else does no harm.
    for at in 0..check.len() - 8 {
        for bit in [0x01, 0x80] {
            let mut damaged = check.clone();
            damaged[at] ^= bit;
            scene.give(scene.path(), &damaged);
        }
        scene.give(scene.path(), &check[..at]);
    }
    assert!(scene.take().is_none() && scene.agent.poll_event().is_none());
    assert!(scene.agent.pair_stats().is_empty() && scene.agent.remote_candidates().count() == 0);
    assert_eq!(scene.agent.stats().requests_received, 0);
}

#[test]
fn attributes_after_the_integrity_do_not_nominate() {
    let mut scene = Scene::connected(Role::Controlled);
    let (key, username) = (scene.our_key(), scene.username());
    let mut check = scene.check(&username, |b| b.integrity(&key, Algorithm::Sha1).finish());
    check.extend_from_slice(&[0x00, 0x25, 0, 0]);
    check[3] += 4;
    scene.give(scene.path(), &check);
    assert!(scene.take().is_some(), "the rest of it is good");
    assert!(scene.agent.pair_stats().iter().all(|pair| !pair.nominated));
    let nominating =
        scene.check(&username, |b| b.push(&UseCandidate).integrity(&key, Algorithm::Sha1).finish());
    scene.give(scene.path(), &nominating);
    assert!(scene.agent.pair_stats()[0].nominated, "before the integrity it does");
}

#[test]
fn the_controlling_side_is_not_told_what_to_nominate() {
    let mut scene = Scene::checking(Role::Controlling);
    let first = scene.request();
    let (key, username) = (scene.our_key(), scene.username());
    let check = scene.check(&username, |b| b.push(&UseCandidate).integrity(&key, Algorithm::Sha1).finish());
    scene.give(scene.path(), &check);
    let reply = scene.good_reply(&first);
    scene.give(scene.path(), &reply);
    assert!(scene.agent.selected_path().is_some());
    assert!(scene.agent.pair_stats().iter().all(|pair| !pair.nominated));
    let again = scene.check(&username, |b| b.push(&UseCandidate).integrity(&key, Algorithm::Sha1).finish());
    scene.give(scene.path(), &again);
    assert!(scene.agent.pair_stats().iter().all(|pair| !pair.nominated), "not when the pair is valid either");
}

#[test]
fn indications_and_other_methods_have_no_effect() {
    let mut scene = Scene::new(Role::Controlled);
    let (key, username) = (scene.our_key(), scene.username());
    let mut build = |class, method| {
        let mut out = Vec::new();
        let id = scene.next_id();
        let _ = Builder::new(&mut out, class, method, id)
            .push(&Username::new(&username))
            .push(&Priority(1))
            .push(&IceControlling(1))
            .integrity(&key, Algorithm::Sha1)
            .fingerprint()
            .finish();
        out
    };
    let indication = build(Class::Indication, Method::BINDING);
    let allocate = build(Class::Request, Method::new(3));
    scene.assert_dropped(scene.path(), &indication, |stats| stats.indications);
    scene.assert_dropped(scene.path(), &allocate, |stats| stats.dropped_method);
}

#[test]
fn unknown_required_attributes_are_named_to_an_authenticated_peer_only() {
    let mut scene = Scene::new(Role::Controlled);
    let (key, username) = (scene.our_key(), scene.username());
    let wrong = Key::short_term("guess");
    let check = scene.check(&username, |b| b.push(&Strange).integrity(&wrong, Algorithm::Sha1).finish());
    scene.assert_dropped(scene.path(), &check, |stats| stats.dropped_request_integrity);
    let check = scene.check(&username, |b| b.push(&Strange).integrity(&key, Algorithm::Sha1).finish());
    scene.give(scene.path(), &check);
    let (_, answer) = scene.take().expect("an answer");
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(answer.get::<ErrorCode<'_>>().unwrap().unwrap().code, 420);
    assert!(answer.verify(&key).is_ok());
    assert!(scene.take().is_none() && scene.agent.pair_stats().is_empty(), "and it has no other effect");
}

#[test]
fn malformed_attributes_are_dropped() {
    struct ShortPriority;
    impl Attribute<'_> for ShortPriority {
        const TYPE: AttributeType = AttributeType::PRIORITY;
        fn parse(_: &[u8], _: TransactionId) -> Result<Self, ParseError> {
            Ok(Self)
        }
        fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
            out.push(1);
        }
    }
    let mut scene = Scene::new(Role::Controlled);
    let (key, username) = (scene.our_key(), scene.username());
    let mut check = Vec::new();
    let id = scene.next_id();
    let builder =
        Builder::new(&mut check, Class::Request, Method::BINDING, id).push(&Username::new(&username));
    let _ = builder.push(&ShortPriority).integrity(&key, Algorithm::Sha1).finish();
    scene.assert_dropped(scene.path(), &check, |stats| stats.dropped_malformed);
    for junk in [&b""[..], &[0; 19], &[0; 20], &[0xff; 100]] {
        scene.assert_dropped(scene.path(), junk, |stats| stats.dropped_malformed);
    }
}

#[test]
fn only_our_own_addresses_take_part() {
    let mut scene = Scene::new(Role::Controlled);
    let check = scene.good_check();
    for local in ["192.0.2.1:5001", "192.0.2.9:5000", "[2001:db8::1]:5000"] {
        let path = Path::udp(local.parse().unwrap(), scene.remote);
        scene.assert_dropped(path, &check, |stats| stats.dropped_unknown_local);
    }
}

#[test]
fn impossible_sources_get_nothing() {
    let mut scene = Scene::new(Role::Controlled);
    let check = scene.good_check();
    for remote in ["192.0.2.2:0", "224.0.0.1:5000", "255.255.255.255:5000", "0.0.0.0:5000"] {
        let path = Path::udp(scene.local, remote.parse().unwrap());
        scene.assert_dropped(path, &check, |stats| stats.dropped_bad_source);
    }
}

#[test]
fn role_conflicts_in_requests_follow_the_tiebreakers() {
    // (our role, their tiebreaker) -> our role afterwards.
    for (role, theirs, expected, answered) in [
        (Role::Controlling, 0, Role::Controlling, Class::Error),
        (Role::Controlling, u64::MAX, Role::Controlled, Class::Success),
        (Role::Controlled, 0, Role::Controlling, Class::Success),
        (Role::Controlled, u64::MAX, Role::Controlled, Class::Error),
    ] {
        let mut scene = Scene::new(role);
        let (key, username) = (scene.our_key(), scene.username());
        for (key, good) in [(Key::short_term("guess"), false), (key, true)] {
            let mut out = Vec::new();
            let id = scene.next_id();
            let builder =
                Builder::new(&mut out, Class::Request, Method::BINDING, id).push(&Username::new(&username));
            let builder = match role {
                Role::Controlling => builder.push(&IceControlling(theirs)),
                Role::Controlled => builder.push(&IceControlled(theirs)),
            };
            let _ = builder.push(&Priority(1)).integrity(&key, Algorithm::Sha1).finish();
            scene.give(scene.path(), &out);
            if !good {
                assert_eq!(scene.agent.role(), role, "unauthenticated");
                continue;
            }
            assert_eq!(scene.agent.role(), expected);
            let (_, answer) = scene.take().unwrap();
            let answer = Message::parse(&answer).unwrap();
            assert_eq!(answer.class(), answered);
            assert!(answer.verify(&key).is_ok());
            if answered == Class::Error {
                assert_eq!(answer.get::<ErrorCode<'_>>().unwrap().unwrap().code, 487);
                assert!(scene.agent.pair_stats().is_empty());
            }
        }
    }
}

/// A check whose sender claims a role.
fn claim(scene: &mut Scene, role: Role, tiebreaker: u64) -> Vec<u8> {
    let (key, username, mut out) = (scene.our_key(), scene.username(), Vec::new());
    let id = scene.next_id();
    let builder = Builder::new(&mut out, Class::Request, Method::BINDING, id).push(&Username::new(&username));
    let builder = match role {
        Role::Controlling => builder.push(&IceControlling(tiebreaker)),
        Role::Controlled => builder.push(&IceControlled(tiebreaker)),
    };
    builder.push(&Priority(1)).integrity(&key, Algorithm::Sha1).finish().unwrap();
    out
}

fn class_of_answer(scene: &mut Scene) -> Class {
    let (_, answer) = scene.take().expect("an answer");
    Message::parse(&answer).unwrap().class()
}

/// RFC 8445 section 7.3.1.1: "larger than or equal to".
#[test]
fn at_equal_tiebreakers_the_side_that_is_asked_prevails() {
    for (role, answered) in [(Role::Controlling, Class::Error), (Role::Controlled, Class::Success)] {
        let mut scene = Scene::checking(role);
        let request = scene.request();
        let request = Message::parse(&request).unwrap();
        let ours = match role {
            Role::Controlling => request.get().unwrap().map(|IceControlling(ours)| ours),
            Role::Controlled => request.get().unwrap().map(|IceControlled(ours)| ours),
        };
        let check = claim(&mut scene, role, ours.unwrap());
        scene.give(scene.path(), &check);
        assert_eq!((scene.agent.role(), class_of_answer(&mut scene)), (Role::Controlling, answered));
    }
}

#[test]
fn there_is_no_role_conflict_before_a_role_is_chosen() {
    for tiebreaker in [0, u64::MAX] {
        let mut scene = Scene::unsignaled(Config::default());
        let check = claim(&mut scene, Role::Controlled, tiebreaker);
        scene.give(scene.path(), &check);
        assert_eq!((class_of_answer(&mut scene), scene.agent.role()), (Class::Success, Role::Controlled));
    }
}

#[test]
fn a_lite_agent_yields_its_role_to_nobody() {
    let mut scene = Scene::unsignaled(Config::default().with_lite(true));
    scene.agent.set_role(scene.now, Role::Controlled);
    for tiebreaker in [0, u64::MAX] {
        let check = claim(&mut scene, Role::Controlled, tiebreaker);
        scene.give(scene.path(), &check);
        assert_eq!((class_of_answer(&mut scene), scene.agent.role()), (Class::Error, Role::Controlled));
    }
}

#[test]
fn an_early_check_is_kept_once_for_each_ufrag_that_it_names() {
    let mut scene = Scene::unsignaled(Config::default());
    let (key, ours) = (scene.our_key(), scene.agent.local_credentials().ufrag.clone());
    for _ in 0..100 {
        for theirs in ["stranger", "them"] {
            let username = format!("{ours}:{theirs}");
            let check = scene.check(&username, |b| b.integrity(&key, Algorithm::Sha1).finish());
            scene.give(scene.path(), &check);
        }
    }
    assert_eq!(scene.agent.stats().dropped_early_checks, 0);
    scene.agent.set_remote_credentials(scene.now, scene.theirs.clone(), false);
    assert_eq!(scene.agent.validation(&scene.path()), Validation::Authenticated);
}

#[test]
fn a_closed_agent_answers_nothing_and_forgets_who_asked() {
    let mut scene = Scene::unsignaled(Config::default());
    let check = scene.good_check();
    scene.give(scene.path(), &check);
    assert_eq!(scene.agent.validation(&scene.path()), Validation::Authenticated);
    scene.agent.close(scene.now);
    assert!(scene.take().is_none(), "not even what was asked before");
    assert_eq!(scene.agent.validation(&scene.path()), Validation::Unknown);
    scene.give(scene.path(), &check);
    assert!(scene.take().is_none());
    assert_eq!(scene.agent.stats().requests_received, 1);
}

#[test]
fn what_came_to_an_address_goes_with_it() {
    let mut scene = Scene::unsignaled(Config::default());
    let check = scene.good_check();
    scene.give(scene.path(), &check);
    scene.agent.remove_local_address(scene.now, scene.local);
    assert!(scene.take().is_none(), "nothing leaves from there");
    scene.agent.add_local_address(scene.now, scene.local);
    assert!(scene.take().is_none());
    assert_eq!(scene.agent.validation(&scene.path()), Validation::Unknown);
}

#[test]
fn a_flood_of_checks_is_returned_with_one() {
    let mut scene = Scene::connected(Role::Controlled);
    let path = Path::udp(scene.local, "203.0.113.66:53".parse().unwrap());
    let mut checks = 0;
    for _ in 0..49 {
        scene.now += Duration::from_millis(5);
        let check = scene.good_check();
        scene.give(path, &check);
        while let Some((_, bytes)) = scene.take() {
            checks += u32::from(Message::parse(&bytes).unwrap().class() == Class::Request);
        }
    }
    assert_eq!(checks, 1);
}

#[test]
fn of_too_many_requests_the_first_are_answered() {
    let mut scene = Scene::new(Role::Controlled);
    let checks: Vec<_> = (0..=MAX_ANSWERS).map(|_| scene.good_check()).collect();
    for writable in [true, false] {
        scene.agent.handle_writable(scene.path(), writable);
        for check in &checks {
            scene.give(scene.path(), check);
        }
        scene.agent.handle_writable(scene.path(), true);
        let (_, answer) = scene.take().expect("an answer");
        assert_eq!(Message::parse(&answer).unwrap().transaction_id().0, [1; 12], "writable {writable}");
        while scene.take().is_some() {}
    }
}

#[test]
fn hostile_datagrams_get_no_octet_back() {
    let mut scene = Scene::connected(Role::Controlled);
    let mut rng = Rng::from_u64(5);
    let check = scene.good_check();
    let wrong = Key::short_term("guess");
    let username = scene.username();
    let mut received = 0u64;
    for n in 0..10_000u32 {
        let mut datagram = match n % 4 {
            0 => {
                let mut junk = vec![0; rng.below(200) as usize];
                rng.fill(&mut junk);
                junk
            }
            1 => scene.check(&username, |b| b.integrity(&wrong, Algorithm::Sha1).fingerprint().finish()),
            2 => check[..rng.below(check.len() as u32) as usize].to_vec(),
            _ => check.clone(),
        };
        scene.counter = 0;
        if n % 4 == 3 {
            let at = rng.below(datagram.len() as u32 - 8) as usize;
            datagram[at] ^= 1 << rng.below(8);
        }
        let ip = [198, 51, 100, rng.below(250) as u8 + 1];
        let path = if n % 2 == 0 { scene.path() } else { Path::udp(scene.local, (ip, 999).into()) };
        received += datagram.len() as u64;
        scene.give(path, &datagram);
        assert!(scene.take().is_none() && scene.agent.poll_event().is_none());
    }
    assert!(received > 0);
    assert_eq!(scene.agent.state(), State::Connected);
    assert_eq!(scene.agent.stats().requests_received, 0);
}

#[test]
fn answers_are_bounded_and_never_much_longer_than_their_requests() {
    let mut scene = Scene::new(Role::Controlled);
    let check = scene.good_check();
    for _ in 0..10_000 {
        scene.give(scene.path(), &check);
    }
    assert_eq!(scene.agent.stats().dropped_answers, 10_000 - MAX_ANSWERS as u64);
    let mut answers = 0;
    while let Some((_, bytes)) = scene.take() {
        if Message::parse(&bytes).unwrap().class() == Class::Success {
            answers += 1;
            assert!(2 * bytes.len() <= 3 * check.len());
        }
    }
    assert_eq!(answers, MAX_ANSWERS);
}

#[test]
fn every_first_octet_and_length_is_harmless() {
    let mut scene = Scene::connected(Role::Controlled);
    for first in 0..=255u8 {
        for length in 0..64usize {
            let mut datagram = vec![0x21; length];
            if let Some(place) = datagram.first_mut() {
                *place = first;
            }
            scene.give(scene.path(), &datagram);
        }
    }
    assert!(scene.take().is_none());
    assert_eq!(scene.agent.stats().dropped_malformed, 256 * 64);
    assert_eq!(scene.agent.state(), State::Connected);
}

#[test]
fn an_agent_that_has_failed_forbids_its_peer_to_go_on() {
    let mut scene = Scene::checking(Role::Controlled);
    for _ in 0..120 {
        scene.now += Duration::from_secs(1);
        scene.agent.handle_timeout(scene.now);
        while scene.take().is_some() {}
    }
    assert_eq!(scene.agent.state(), State::Failed);
    let pairs = scene.agent.pair_stats();
    let elsewhere = Path::udp(scene.local, "192.0.2.2:6001".parse().unwrap());
    let check = scene.good_check();
    scene.give(elsewhere, &check);
    let (transmit, answer) = scene.take().expect("an answer");
    let code = Message::parse(&answer).unwrap().get::<ErrorCode<'_>>().unwrap().map(|error| error.code);
    assert_eq!((transmit.path, code), (elsewhere, Some(403)));
    assert_eq!((scene.agent.pair_stats(), scene.agent.state()), (pairs, State::Failed));
}
