//! Answers have no effect before they are authenticated, and a valid peer cannot turn us against others. Each test
//! fails if the check that it is about is removed.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use std::time::Duration;

use common::scene::{Scene, Strange};
use taut_ice::{Event, Role, State, Validation};
use taut_sansio::net::Path;
use taut_stun::attribute::{IceControlled, IceControlling, Realm, UseCandidate};
use taut_stun::{Algorithm, Builder, Class, Key, Message};

#[test]
fn answers_need_a_request_of_ours() {
    let mut scene = Scene::checking(Role::Controlled);
    let request = scene.request();
    let mut other = request.clone();
    other[19] ^= 1;
    let reply = scene.good_reply(&other);
    scene.assert_dropped(scene.path(), &reply, |stats| stats.dropped_unknown_transaction);
    let reply = scene.good_reply(&request);
    scene.give(scene.path(), &reply);
    assert_eq!(scene.agent.state(), State::Connected);
    while scene.agent.poll_event().is_some() {}
    scene.assert_dropped(scene.path(), &reply, |stats| stats.dropped_unknown_transaction);
}

#[test]
fn answers_come_from_where_the_request_went() {
    let mut scene = Scene::checking(Role::Controlled);
    let second = "192.0.2.1:5001".parse().unwrap();
    scene.agent.add_local_address(scene.now, second);
    let request = loop {
        let (transmit, bytes) = scene.take().unwrap();
        if transmit.path == scene.path() {
            break bytes;
        }
    };
    while scene.agent.poll_event().is_some() {}
    let reply = scene.good_reply(&request);
    let elsewhere = Path::udp(scene.local, "192.0.2.3:6000".parse().unwrap());
    scene.assert_dropped(elsewhere, &reply, |stats| stats.dropped_asymmetric);
    let other_port = Path::udp(scene.local, "192.0.2.2:6001".parse().unwrap());
    scene.assert_dropped(other_port, &reply, |stats| stats.dropped_asymmetric);
    let other_socket = Path::udp(second, scene.remote);
    scene.assert_dropped(other_socket, &reply, |stats| stats.dropped_asymmetric);
    scene.give(scene.path(), &reply);
    assert_eq!(scene.agent.state(), State::Connected);
}

#[test]
fn answers_need_their_password() {
    let mut scene = Scene::checking(Role::Controlled);
    let request = scene.request();
    for key in [scene.our_key(), Key::short_term("guess")] {
        let reply = scene.reply(&request, |b| b.integrity(&key, Algorithm::Sha1).fingerprint().finish());
        scene.assert_dropped(scene.path(), &reply, |stats| stats.dropped_response_integrity);
    }
    let bare = scene.reply(&request, |b| b.fingerprint().finish());
    scene.assert_dropped(scene.path(), &bare, |stats| stats.dropped_response_integrity);
}

#[test]
fn answers_with_unknown_required_attributes_or_without_an_address_do_not_count() {
    let mut scene = Scene::checking(Role::Controlled);
    let request = scene.request();
    let key = scene.their_key();
    let reply = scene.reply(&request, |b| b.push(&Strange).integrity(&key, Algorithm::Sha1).finish());
    scene.assert_dropped(scene.path(), &reply, |stats| stats.dropped_unknown_attributes);
    let mut reply = Vec::new();
    let message = Message::parse(&request).unwrap();
    let builder = Builder::answer(&mut reply, Class::Success, &message).push(&Realm::new("r"));
    let _ = builder.integrity(&key, Algorithm::Sha1).finish();
    scene.assert_dropped(scene.path(), &reply, |stats| stats.dropped_malformed);
}

#[test]
fn unauthenticated_errors_do_nothing() {
    for code in [400, 401, 403, 420, 487, 500] {
        let mut scene = Scene::checking(Role::Controlled);
        let request = scene.request();
        for key in [None, Some(Key::short_term("guess"))] {
            let error = scene.error(&request, code, key.as_ref());
            scene.assert_dropped(scene.path(), &error, |stats| stats.dropped_response_integrity);
        }
        assert_eq!(scene.agent.role(), Role::Controlled);
    }
}

#[test]
fn an_authenticated_role_conflict_switches_once_and_changes_the_tiebreaker() {
    let mut scene = Scene::checking(Role::Controlled);
    let request = scene.request();
    let IceControlled(before) = Message::parse(&request).unwrap().get().unwrap().unwrap();
    let error = scene.error(&request, 487, Some(&scene.their_key()));
    scene.give(scene.path(), &error);
    assert_eq!(scene.agent.role(), Role::Controlling);
    scene.assert_dropped(scene.path(), &error, |stats| stats.dropped_unknown_transaction);
    let mut scene = Scene::checking(Role::Controlled);
    let request = scene.request();
    let error = scene.error(&request, 487, Some(&scene.their_key()));
    scene.give(scene.path(), &error);
    let request = scene.request();
    let IceControlling(after) = Message::parse(&request).unwrap().get().unwrap().unwrap();
    assert_ne!(before, after);
}

#[test]
fn consent_is_taken_back_by_an_authenticated_403_only() {
    let mut scene = Scene::connected(Role::Controlled);
    scene.now += Duration::from_secs(6);
    let request = scene.request();
    let forged = scene.error(&request, 403, None);
    scene.assert_dropped(scene.path(), &forged, |stats| stats.dropped_response_integrity);
    let forbidden = scene.error(&request, 403, Some(&scene.their_key()));
    scene.give(scene.path(), &forbidden);
    assert_eq!(scene.agent.selected_path(), None);
    assert_eq!(scene.agent.state(), State::Failed);
    assert_eq!(scene.agent.validation(&scene.path()), Validation::Unknown);
}

#[test]
fn other_errors_do_not_keep_consent_fresh() {
    let mut scene = Scene::connected(Role::Controlled);
    let key = scene.their_key();
    for _ in 0..200 {
        let at = scene.agent.poll_timeout().unwrap();
        scene.now = scene.now.max(at);
        scene.agent.handle_timeout(scene.now);
        while let Some((transmit, bytes)) = scene.take() {
            let error = scene.error(&bytes, 500, Some(&key));
            scene.give(transmit.path, &error);
        }
        if scene.agent.state() == State::Failed {
            return;
        }
    }
    panic!("consent never lapsed");
}

#[test]
fn a_victims_address_gets_checks_but_never_data() {
    // An authenticated peer checks with the address of somebody else as source (RFC 8445 section 19.5.1).
    let mut scene = Scene::connected(Role::Controlled);
    let (key, username) = (scene.our_key(), scene.username());
    let victim = Path::udp(scene.local, "203.0.113.66:53".parse().unwrap());
    let mut to_victim = 0;
    for second in 0..120 {
        scene.now += Duration::from_secs(1);
        scene.agent.handle_timeout(scene.now);
        if second % 2 == 0 {
            let check =
                scene.check(&username, |b| b.push(&UseCandidate).integrity(&key, Algorithm::Sha1).finish());
            scene.give(victim, &check);
        }
        while let Some((transmit, bytes)) = scene.take() {
            if transmit.path == victim {
                to_victim += 1;
            } else if Message::parse(&bytes).unwrap().class() == Class::Request {
                let reply = scene.good_reply(&bytes);
                scene.give(transmit.path, &reply);
            }
        }
        assert_eq!(scene.agent.selected_path(), Some(scene.path()), "second {second}");
        assert_ne!(scene.agent.validation(&victim), Validation::Validated);
    }
    assert!(to_victim <= 60 + 3 * 120, "{to_victim}");
}

#[test]
fn an_answer_after_consent_has_lapsed_does_not_bring_it_back() {
    let mut scene = Scene::connected(Role::Controlled);
    scene.now += Duration::from_secs(6);
    let request = scene.request();
    let reply = scene.good_reply(&request);
    // No timer has been driven in between.
    scene.now += Duration::from_secs(25);
    scene.give(scene.path(), &reply);
    assert_eq!(scene.agent.selected_path(), None);
    assert_eq!(scene.agent.state(), State::Failed);
}

#[test]
fn a_way_whose_consent_was_taken_back_is_not_used_again() {
    let mut scene = Scene::connected(Role::Controlled);
    // A second way, so that the agent lives on.
    let second = scene.second_way();
    assert_eq!(scene.agent.validation(&second), Validation::Validated);
    let first = scene.agent.selected_path().unwrap();
    scene.now += Duration::from_secs(6);
    let request = scene.request();
    let forbidden = scene.error(&request, 403, Some(&scene.their_key()));
    scene.give(first, &forbidden);
    let rest = if first == second { scene.path() } else { second };
    assert_eq!(scene.agent.selected_path(), Some(rest));
    scene.answer_all();
    while scene.agent.poll_event().is_some() {}
    let check = scene.good_check();
    scene.give(first, &check);
    let (_, answer) = scene.take().expect("checks are always answered");
    assert_eq!(Message::parse(&answer).unwrap().class(), Class::Error, "the other side is told");
    assert!(scene.take().is_none(), "but there is no check");
    assert_eq!(scene.agent.poll_event(), None);
    assert_eq!(scene.agent.validation(&first), Validation::Unknown);
    // Not either when the other way falls silent, and all that failed is tried again.
    for _ in 0..25 {
        scene.now += Duration::from_secs(1);
        scene.agent.handle_timeout(scene.now);
        while let Some((transmit, _)) = scene.take() {
            assert_eq!(transmit.path, rest);
        }
    }
    assert_eq!(scene.agent.state(), State::Disconnected);
}

#[test]
fn a_way_whose_consent_has_lapsed_is_not_used_again() {
    let mut scene = Scene::connected(Role::Controlled);
    let (first, second) = (scene.path(), Path::udp(scene.local, "192.0.2.3:6000".parse().unwrap()));
    scene.now += Duration::from_secs(20);
    for path in [first, second] {
        let check = scene.good_check();
        scene.give(path, &check);
    }
    while let Some((transmit, bytes)) = scene.take() {
        if transmit.path == second && Message::parse(&bytes).unwrap().class() == Class::Request {
            let reply = scene.good_reply(&bytes);
            scene.give(second, &reply);
        }
    }
    assert_eq!(scene.agent.selected_path(), Some(first));
    // No timer is driven before it has lapsed.
    scene.now += Duration::from_secs(11);
    scene.agent.handle_timeout(scene.now);
    assert_eq!(scene.agent.selected_path(), Some(second));
    let events: Vec<Event> = std::iter::from_fn(|| scene.agent.poll_event()).collect();
    assert!(events.contains(&Event::RouteRemoved(first)), "{events:?}");
    scene.answer_all();
    let check = scene.good_check();
    scene.give(first, &check);
    let (_, answer) = scene.take().expect("an answer");
    assert_eq!(Message::parse(&answer).unwrap().class(), Class::Error);
    assert!(scene.take().is_none(), "no check of ours");
}

#[test]
fn an_answer_to_a_check_of_before_does_not_bring_back_what_was_taken_back() {
    let mut scene = Scene::checking(Role::Controlled);
    let given_up = scene.request();
    let check = scene.good_check();
    scene.give(scene.path(), &check);
    scene.answer_all();
    assert_eq!(scene.agent.state(), State::Connected);
    scene.now += Duration::from_secs(6);
    let request = scene.request();
    let forbidden = scene.error(&request, 403, Some(&scene.their_key()));
    scene.give(scene.path(), &forbidden);
    let late = scene.good_reply(&given_up);
    scene.assert_dropped(scene.path(), &late, |stats| stats.dropped_unknown_transaction);
}

#[test]
fn a_way_that_is_doubted_when_consent_is_taken_back_is_not_asked_again() {
    let mut scene = Scene::connected(Role::Controlled);
    scene.second_way();
    let first = scene.agent.selected_path().unwrap();
    scene.now += Duration::from_secs(6);
    let request = scene.request();
    // A check of the pair is about to begin, as the request is unanswered for long.
    scene.now += Duration::from_secs(1);
    scene.agent.handle_timeout(scene.now);
    let forbidden = scene.error(&request, 403, Some(&scene.their_key()));
    scene.give(first, &forbidden);
    while let Some((transmit, _)) = scene.take() {
        assert_ne!(transmit.path, first);
    }
}

#[test]
fn a_role_conflict_of_a_check_with_the_role_of_before_changes_nothing_more() {
    let mut scene = Scene::checking(Role::Controlling);
    let other = "1 1 udp 2130706431 192.0.2.3 6000 typ host".parse().unwrap();
    scene.agent.add_remote_candidate(scene.now, other).unwrap();
    let checks = [scene.take().unwrap(), scene.take().unwrap()];
    let tiebreakers = checks.map(|(transmit, check)| {
        let conflict = scene.error(&check, 487, Some(&scene.their_key()));
        scene.give(transmit.path, &conflict);
        assert_eq!(scene.agent.role(), Role::Controlled);
        scene.now += Duration::from_millis(100);
        let request = scene.request();
        Message::parse(&request).unwrap().get::<IceControlled>().unwrap().unwrap()
    });
    assert_eq!(tiebreakers[0], tiebreakers[1]);
}

#[test]
fn a_check_that_is_repeated_after_a_role_conflict_is_still_the_same() {
    let mut scene = Scene::checking(Role::Controlling);
    let other = "1 1 udp 2130706431 192.0.2.3 6000 typ host".parse().unwrap();
    scene.agent.add_remote_candidate(scene.now, other).unwrap();
    let checks = [scene.take().unwrap(), scene.take().unwrap()];
    let conflict = scene.error(&checks[0].1, 487, Some(&scene.their_key()));
    scene.give(checks[0].0.path, &conflict);
    assert_eq!(scene.agent.role(), Role::Controlled);
    scene.now += Duration::from_millis(500);
    let sent: Vec<_> = std::iter::from_fn(|| scene.take()).collect();
    let again = sent.iter().find(|(transmit, _)| transmit.path == checks[1].0.path).unwrap();
    assert!(
        again.1 == checks[1].1,
        "another tiebreaker with the role of before may win, and turn the roles round"
    );
}

#[test]
fn the_error_to_a_check_that_was_given_up_does_not_end_its_pair() {
    let mut scene = Scene::checking(Role::Controlled);
    let first = scene.request();
    // The other side, which did not know us yet, does now, and its check comes before its error.
    let check = scene.good_check();
    scene.give(scene.path(), &check);
    let error = scene.error(&first, 400, Some(&scene.their_key()));
    scene.give(scene.path(), &error);
    scene.answer_all();
    assert_eq!(scene.agent.state(), State::Connected);
}
