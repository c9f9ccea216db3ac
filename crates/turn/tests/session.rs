//! What a client keeps, and what it lets go, when it is sent elsewhere, loses its allocation or its stream, or ends. Each test fails
//! without its check.

mod common;

use std::time::Duration;

use common::play::{Play, REALM, get, method};
use common::{PEER, address};
use taut_sansio::net::Path;
use taut_stun::attribute::{
    AlternateServer, ErrorCode, Lifetime, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, Username,
};
use taut_stun::{Class, Key, Message, Method};
use taut_turn::{CloseReason, Event, LossReason};

/// An allocation, and the request that is to keep it.
fn refreshing(play: &mut Play) -> Vec<u8> {
    play.pass(Duration::from_secs(7));
    let refresh = play.request();
    assert_eq!(method(&refresh), Method::REFRESH);
    refresh
}

#[test]
fn the_next_server_is_not_told_what_the_first_one_was() {
    let mut play = Play::new();
    let second = play.challenged();
    assert!(get::<Username<'_>>(&second).is_some());
    let next = address("203.0.113.9:3478");
    play.answer(&second, Class::Error, Some(&Play::key()), &|b| {
        b.push(&ErrorCode::new(300, "")).push(&AlternateServer(next))
    });
    let (path, request) = play.next().unwrap();
    assert_eq!((path.remote, method(&request)), (next, Method::ALLOCATE));
    assert!(get::<Username<'_>>(&request).is_none() && get::<Nonce<'_>>(&request).is_none());
    assert!(play.next().is_none());
}

#[test]
fn what_was_asked_of_a_lost_allocation_is_not_asked_any_more() {
    let mut play = Play::allocated();
    play.pass(Duration::from_secs(7));
    play.client.permit(play.now, address(PEER).ip());
    let requests = [play.request(), play.request()];
    let [refresh, permission] = if method(&requests[0]) == Method::REFRESH {
        requests
    } else {
        let [one, other] = requests;
        [other, one]
    };
    play.refuse(&refresh, 437, Some(&Play::key()));
    assert_eq!(play.client.poll_event(), Some(Event::Lost(LossReason::Forgotten)));
    assert_eq!((method(&play.request()), play.next()), (Method::ALLOCATE, None));
    play.answer(&permission, Class::Success, Some(&Play::key()), &|b| b);
    assert_eq!(play.client.stats().unexpected, 1);
    play.pass(Duration::from_secs(1));
    assert_eq!((method(&play.request()), play.next()), (Method::ALLOCATE, None));
}

#[test]
fn what_was_asked_on_a_stream_ends_with_it() {
    let mut play = Play::stream();
    play.client.handle_connected(play.now, play.path);
    play.allocate();
    let refresh = refreshing(&mut play);
    play.refuse(&refresh, 437, Some(&Play::key()));
    assert_eq!(play.client.poll_event(), Some(Event::Lost(LossReason::Forgotten)));
    assert_eq!(method(&play.request()), Method::ALLOCATE);
    play.client.handle_disconnected(play.now);
    play.pass(Duration::from_secs(1));
    assert_eq!(play.client.poll_event(), Some(Event::Connect(play.path.remote)));
    play.client.handle_connected(play.now, play.path);
    play.allocate();
    // The time of what was asked on the first one would be over.
    play.pass(Duration::from_secs(5));
    assert_eq!((play.client.poll_event(), play.next()), (None, None));
}

#[test]
fn a_server_without_room_is_left_alone_for_a_minute() {
    for code in [486, 508] {
        let mut play = Play::allocated();
        let refresh = refreshing(&mut play);
        play.refuse(&refresh, 437, Some(&Play::key()));
        let second = play.challenged();
        play.refuse(&second, code, Some(&Play::key()));
        play.pass(Duration::from_secs(59));
        assert!(play.next().is_none(), "{code}");
        play.pass(Duration::from_secs(1));
        assert_eq!(method(&play.request()), Method::ALLOCATE);
        assert_eq!(play.closed(), None);
    }
}

#[test]
fn a_grant_that_comes_after_the_end_changes_nothing() {
    let mut play = Play::allocated();
    let refresh = refreshing(&mut play);
    play.client.close(play.now);
    let release = play.request();
    assert_eq!(get(&release), Some(Lifetime(0)));
    play.answer(&refresh, Class::Success, Some(&Play::key()), &|b| b.push(&Lifetime(600)));
    assert_eq!((play.client.stats().unexpected, play.next()), (1, None));
    play.answer(&release, Class::Success, Some(&Play::key()), &|b| b.push(&Lifetime(0)));
    assert_eq!(play.closed(), Some(CloseReason::Local));
    assert_eq!((play.next(), play.client.poll_timeout()), (None, None));
}

#[test]
fn a_stream_that_nobody_waits_for_is_not_used() {
    let mut play = Play::stream();
    play.client.close(play.now);
    play.client.handle_connected(play.now, play.path);
    assert!(play.next().is_none(), "closed");

    let mut play = Play::stream();
    play.client.handle_connected(play.now, play.path);
    let other = Path { local: address("10.0.0.1:6001"), ..play.path };
    play.client.handle_connected(play.now, other);
    assert_eq!(play.client.path(), Some(play.path));
    assert_eq!((method(&play.request()), play.next()), (Method::ALLOCATE, None), "there is one");
}

#[test]
fn a_stream_that_does_not_open_is_given_up() {
    let mut play = Play::stream();
    assert_eq!(play.client.poll_timeout(), Some(play.now + Duration::from_secs(10)));
    play.pass(Duration::from_millis(9_999));
    assert_eq!(play.closed(), None);
    play.pass(Duration::from_millis(1));
    assert_eq!(play.closed(), Some(CloseReason::Unreachable));
}

#[test]
fn another_password_algorithm_is_another_key() {
    let mut play = Play::new();
    for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5] {
        let request = play.request();
        play.answer(&request, Class::Error, None, &|b| {
            b.push(&ErrorCode::new(401, ""))
                .push(&Realm::new(REALM))
                .push(&Nonce::new("obMatJos2AAADxyz"))
                .push(&PasswordAlgorithms::from_iter([algorithm]))
        });
        let (_, next) = play.next().expect("the key is another one");
        let key = match algorithm {
            PasswordAlgorithm::Sha256 => Key::long_term_sha256("ann", REALM, "secret"),
            _ => Play::key(),
        };
        assert!(Message::parse(&next).unwrap().verify(&key).is_ok(), "{algorithm:?}");
        // The next challenge is for this one.
        play.pass(Duration::from_millis(500));
    }
}
