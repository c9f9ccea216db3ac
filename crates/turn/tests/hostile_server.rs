//! The client against servers that lie, refuse, redirect and forge. Each check of the client has a test that fails without
//! it.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use common::play::{NONCE, Play, REALM, get, granted};
use common::{Lab, PEER, SERVER, address};
use taut_sansio::net::{Path, Transport};
use taut_stun::attribute::{
    AlternateServer, Data, ErrorCode, Lifetime, Nonce, PasswordAlgorithm, PasswordAlgorithms, Priority,
    Realm, UserHash, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use taut_stun::{Algorithm, AttributeType, Builder, Class, Key, Message, Method, TransactionId};
use taut_turn::{Client, CloseReason, Event, MAX_CHANNELS, MAX_EVENTS, MAX_PERMISSIONS, MAX_REQUESTS};

#[test]
fn only_the_server_is_heard() {
    let mut play = Play::allocated();
    play.client.permit(play.now, address(PEER).ip());
    let request = play.request();
    let mut answer = Vec::new();
    let parsed = Message::parse(&request).unwrap();
    Builder::answer(&mut answer, Class::Success, &parsed).integrity(&Play::key(), Algorithm::Sha1).finish();
    let mut indication = Vec::new();
    let id = TransactionId([1; 12]);
    Builder::new(&mut indication, Class::Indication, Method::DATA, id)
        .push(&XorPeerAddress(address(PEER)))
        .push(&Data(b"data"))
        .finish();
    let true_path = play.path;
    for elsewhere in [
        Path { remote: address("203.0.113.1:3479"), ..true_path },
        Path { local: address("10.0.0.1:6001"), ..true_path },
        Path { transport: Transport::Tcp, ..true_path },
    ] {
        play.path = elsewhere;
        assert_eq!(play.give(&indication), None);
        assert_eq!(play.give(&answer), None);
    }
    assert_eq!(play.client.stats().unexpected, 6);
    play.path = true_path;
    assert_eq!(play.give(&indication).unwrap().data, &b"data"[..]);
}

#[test]
fn an_answer_to_signed_requests_must_be_signed() {
    let mut play = Play::new();
    let second = play.challenged();
    let wrong = Key::long_term_md5("ann", REALM, "other");
    for key in [None, Some(&wrong)] {
        play.answer(&second, Class::Success, key, &granted);
        for code in [300, 400, 403, 437, 486, 508] {
            play.refuse(&second, code, key);
        }
    }
    assert_eq!((play.client.stats().unauthenticated, play.client.poll_event()), (14, None));
    play.grant(&second);
    assert!(matches!(play.client.poll_event(), Some(Event::Allocated { .. })));
}

#[test]
fn an_answer_belongs_to_a_request_under_way() {
    let mut play = Play::new();
    let first = play.request();
    play.challenge(&first, 401, NONCE);
    let second = play.request();
    play.grant(&first);
    let mut other_method = Vec::new();
    let id = Message::parse(&second).unwrap().transaction_id();
    granted(Builder::new(&mut other_method, Class::Success, Method::REFRESH, id))
        .integrity(&Play::key(), Algorithm::Sha1)
        .finish();
    play.give(&other_method);
    assert_eq!((play.client.stats().unexpected, play.client.poll_event()), (2, None));
    // Not its own request sent back, either.
    play.give(&second);
    assert_eq!(play.client.stats().unexpected, 3);
}

#[test]
fn answers_that_are_damaged_or_not_understood_are_dropped() {
    let mut play = Play::new();
    let second = play.challenged();
    let key = Play::key();
    play.answer(&second, Class::Success, Some(&key), &|b| granted(b).push(&Priority(1)));
    play.answer(&second, Class::Success, Some(&key), &|b| b.push(&Lifetime(600)));
    play.answer(&second, Class::Success, Some(&key), &|b| {
        b.push(&XorRelayedAddress(address("0.0.0.0:50000"))).push(&XorMappedAddress(address(PEER)))
    });
    play.answer(&second, Class::Error, Some(&key), &|b| b);
    play.give(b"junk");
    let parsed = Message::parse(&second).unwrap();
    let mut bad_fingerprint = Vec::new();
    let builder = granted(Builder::answer(&mut bad_fingerprint, Class::Success, &parsed));
    builder.integrity(&key, Algorithm::Sha1).fingerprint().finish();
    *bad_fingerprint.last_mut().unwrap() ^= 1;
    play.give(&bad_fingerprint);
    assert_eq!((play.client.stats().malformed, play.client.poll_event()), (6, None));
    play.grant(&second);
    assert!(matches!(play.client.poll_event(), Some(Event::Allocated { .. })));
}

#[test]
fn a_stripped_list_of_algorithms_is_noticed() {
    let mut play = Play::new();
    let first = play.request();
    play.challenge(&first, 401, "obMatJos2AAABxyz");
    assert_eq!(play.client.stats().malformed, 1);
    assert!(play.next().is_none(), "no request with a weak key");
    fn challenge(b: Builder<'_>, algorithms: Vec<PasswordAlgorithm>) -> Builder<'_> {
        b.push(&ErrorCode::new(401, ""))
            .push(&Realm::new(REALM))
            .push(&Nonce::new("obMatJos2AAADxyz"))
            .push(&PasswordAlgorithms::from_iter(algorithms))
    }
    play.answer(&first, Class::Error, None, &|b| {
        challenge(b, vec![PasswordAlgorithm::Unknown(9), PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5])
    });
    // The first one that is known; SHA-256 for the integrity, too; the list as it came; the name hidden.
    let second = play.request();
    assert_eq!(get(&second), Some(PasswordAlgorithm::Sha256));
    assert_eq!(get::<PasswordAlgorithms>(&second).unwrap().iter().count(), 3);
    assert_eq!(get(&second), Some(UserHash::of("ann", REALM)));
    let key = Key::long_term_sha256("ann", REALM, "secret");
    let parsed = Message::parse(&second).unwrap();
    assert_eq!(parsed.verify(&key), Ok(Algorithm::Sha256));
    // An answer that is protected with SHA-1 has been made weaker.
    play.answer(&second, Class::Success, Some(&key), &granted);
    assert_eq!(play.client.stats().unauthenticated, 1);
    // So has one that asks anew and knows of no list any more.
    for code in [401, 438] {
        play.challenge(&second, code, NONCE);
    }
    assert_eq!((play.client.stats().malformed, play.next()), (3, None));
    let mut good = Vec::new();
    granted(Builder::answer(&mut good, Class::Success, &parsed)).integrity(&key, Algorithm::Sha256).finish();
    play.give(&good);
    assert!(matches!(play.client.poll_event(), Some(Event::Allocated { .. })));

    let mut play = Play::new();
    let first = play.request();
    play.answer(&first, Class::Error, None, &|b| challenge(b, vec![PasswordAlgorithm::Unknown(9)]));
    assert_eq!(play.closed(), Some(CloseReason::UnknownPasswordAlgorithm));
}

#[test]
fn a_stale_nonce_is_replaced_but_not_for_ever() {
    let mut play = Play::new();
    let mut request = play.request();
    play.challenge(&request, 401, NONCE);
    for nonce in ["n1", "n2", "n3"] {
        request = play.request();
        play.challenge(&request, 438, nonce);
    }
    request = play.request();
    assert_eq!(get::<Nonce<'_>>(&request).unwrap().text(), "n3");
    play.challenge(&request, 438, "n4");
    assert!(matches!(play.closed(), Some(CloseReason::Refused { code: 438, .. })));
    assert!(play.next().is_none());
}

#[test]
fn a_new_realm_is_followed_and_the_same_one_is_a_refusal() {
    let mut play = Play::new();
    let second = play.challenged();
    play.answer(&second, Class::Error, None, &|b| {
        b.push(&ErrorCode::new(401, "")).push(&Realm::new("other")).push(&Nonce::new("n"))
    });
    let third = play.request();
    assert_eq!(get::<Realm<'_>>(&third).unwrap().text(), "other");
    let key = Key::long_term_md5("ann", "other", "secret");
    assert!(Message::parse(&third).unwrap().verify(&key).is_ok());
    play.answer(&third, Class::Error, None, &|b| {
        b.push(&ErrorCode::new(401, "no")).push(&Realm::new("other")).push(&Nonce::new("m"))
    });
    assert!(matches!(play.closed(), Some(CloseReason::Refused { code: 401, .. })));
}

#[test]
fn redirects_are_followed_a_few_times() {
    let mut play = Play::new();
    for round in 1..=4u16 {
        let request = play.request();
        assert!(get::<Nonce<'_>>(&request).is_none(), "the next server has given none");
        let next = SocketAddr::from(([203, 0, 113, 1], 3_478 + round));
        play.answer(&request, Class::Error, None, &|b| {
            b.push(&ErrorCode::new(300, "")).push(&AlternateServer(next))
        });
        assert_eq!(play.client.server(), next);
        play.path.remote = next;
    }
    let request = play.request();
    play.answer(&request, Class::Error, None, &|b| {
        b.push(&ErrorCode::new(300, "")).push(&AlternateServer(address(SERVER)))
    });
    let reason = play.closed();
    assert_eq!(reason, Some(CloseReason::TooManyRedirects));
    assert_eq!(reason.unwrap().code(), 300);
}

#[test]
fn a_redirect_to_nowhere_is_the_end() {
    for nowhere in ["0.0.0.0:3478", "203.0.113.9:0", "[2001:db8::1]:3478", "224.0.0.1:3478"] {
        let mut play = Play::new();
        let request = play.request();
        play.answer(&request, Class::Error, None, &|b| {
            b.push(&ErrorCode::new(300, "")).push(&AlternateServer(address(nowhere)))
        });
        assert_eq!(play.closed(), Some(CloseReason::TooManyRedirects), "{nowhere}");
    }
}

#[test]
fn a_stream_is_opened_to_where_a_redirect_leads() {
    let mut play = Play::stream();
    assert!(play.next().is_none(), "nothing before there is a stream");
    play.client.handle_connected(play.now, play.path);
    let request = play.request();
    let next = address("203.0.113.9:3478");
    play.answer(&request, Class::Error, None, &|b| {
        b.push(&ErrorCode::new(300, "")).push(&AlternateServer(next))
    });
    assert_eq!(play.client.poll_event(), Some(Event::Connect(next)));
}

#[test]
fn errors_of_allocate_are_told_with_their_codes() {
    for code in [400, 403, 420, 440, 441, 442, 486, 500, 508, 599] {
        let mut play = Play::new();
        let mut request = play.challenged();
        play.refuse(&request, code, Some(&Play::key()));
        if code == 440 {
            // Without IPv4, IPv6 alone is asked for.
            request = play.request();
            play.refuse(&request, code, Some(&Play::key()));
        }
        let reason = play.closed().unwrap_or_else(|| panic!("{code}"));
        assert_eq!(reason.code(), code);
        assert_eq!((play.client.poll_timeout(), play.next()), (None, None));
    }
}

#[test]
fn an_old_allocation_on_the_same_path_is_cleared_away() {
    let mut play = Play::new();
    let first = play.request();
    play.challenge(&first, 401, NONCE);
    for round in 0..4 {
        let allocate = play.request();
        assert_eq!(Message::parse(&allocate).unwrap().method(), Method::ALLOCATE);
        play.refuse(&allocate, 437, Some(&Play::key()));
        if round < 3 {
            let clear = play.request();
            assert_eq!(get(&clear), Some(Lifetime(0)));
            play.answer(&clear, Class::Success, Some(&Play::key()), &|b| b.push(&Lifetime(0)));
        }
    }
    assert!(matches!(play.closed(), Some(CloseReason::Refused { code: 437, .. })));
}

#[test]
fn an_allocation_that_the_server_forgot_is_asked_for_anew() {
    for (code, key) in [(437, Some(Play::key())), (401, None)] {
        let mut play = Play::allocated();
        play.pass(Duration::from_secs(7));
        let refresh = play.request();
        assert_eq!(Message::parse(&refresh).unwrap().method(), Method::REFRESH);
        match key {
            Some(key) => play.refuse(&refresh, code, Some(&key)),
            // A server that has begun anew may say it so: the same realm, the same password.
            None => play.challenge(&refresh, code, "fresh"),
        }
        assert!(matches!(play.client.poll_event(), Some(Event::Lost(_))), "{code}");
        let allocate = play.request();
        assert!(get::<Nonce<'_>>(&allocate).is_none(), "as if for the first time");
    }
}

#[test]
fn a_refused_peer_does_not_take_others_with_it() {
    let mut play = Play::allocated();
    let peers: Vec<IpAddr> = (1..=3).map(|last| IpAddr::from([198, 51, 100, last])).collect();
    for peer in &peers {
        play.client.permit(play.now, *peer);
    }
    let all = play.request();
    play.refuse(&all, 403, Some(&Play::key()));
    let mut granted = 0;
    for _ in 0..3 {
        let one = play.request();
        let peer = get::<XorPeerAddress>(&one).unwrap().0.ip();
        if peer == peers[1] {
            play.refuse(&one, 403, Some(&Play::key()));
        } else {
            granted += 1;
            play.answer(&one, Class::Success, Some(&Play::key()), &|b| b);
        }
    }
    assert_eq!(granted, 2);
    let told = play.client.poll_event();
    assert_eq!(told, Some(Event::PeerRefused { peer: peers[1], code: 403, reason: "no".into() }));
    play.client.permit(play.now, peers[1]);
    assert!(play.next().is_none(), "it is not asked again");
}

#[test]
fn data_of_peers_that_were_not_asked_for_is_dropped() {
    let mut play = Play::allocated();
    let indication = |peer: &str| {
        let mut out = Vec::new();
        Builder::new(&mut out, Class::Indication, Method::DATA, TransactionId([2; 12]))
            .push(&XorPeerAddress(address(peer)))
            .push(&Data(b"data"))
            .finish();
        out
    };
    assert_eq!(play.give(&indication(PEER)), None);
    assert_eq!(play.give(&[0x40, 0, 0, 1, 9]), None, "no channel is bound");
    play.client.bind(play.now, address(PEER));
    assert_eq!(play.give(&[0x40, 0, 0, 1, 9]), None, "nor asked for");
    let _ = (play.request(), play.request());
    assert_eq!(play.give(&[0x40, 0, 0, 1, 9]).unwrap().peer, address(PEER));
    assert!(play.give(&indication(PEER)).is_some());
    assert_eq!(play.give(&indication("198.51.100.8:5000")), None);
    assert_eq!(play.give(&indication("[2001:db8:1::7]:5000")), None, "of a family without a relay");
    assert_eq!(play.give(&[0x40, 1, 0, 1, 9]), None, "another number");
    assert_eq!(play.give(&[0x40, 0, 0, 2, 9]), None, "short");
    assert_eq!((play.client.stats().unknown_peer, play.client.stats().malformed), (6, 1));
}

#[test]
fn a_refused_channel_leaves_indications() {
    let mut play = Play::allocated();
    play.client.bind(play.now, address(PEER));
    for _ in 0..2 {
        let request = play.request();
        let message = Message::parse(&request).unwrap();
        if message.method() == Method::CHANNEL_BIND {
            play.refuse(&request, 508, Some(&Play::key()));
        } else {
            play.answer(&request, Class::Success, Some(&Play::key()), &|b| b);
        }
    }
    let mut out = Vec::new();
    let envelope = play.client.open(address(PEER), &mut out).unwrap();
    out.extend_from_slice(b"abcde");
    play.client.seal(envelope, &mut out).unwrap();
    let message = Message::parse(&out).unwrap();
    assert!(message.is(Class::Indication, Method::SEND));
    assert_eq!(message.get(), Ok(Some(Data(b"abcde"))));
}

#[test]
fn what_is_too_long_is_not_sent() {
    let mut lab = Lab::bound(Transport::Udp);
    for channel in [true, false] {
        let peer = address(if channel { PEER } else { "198.51.100.7:5001" });
        let mut out = vec![1, 2, 3];
        let client = &mut lab.ends[0].client;
        let envelope = client.open(peer, &mut out).unwrap();
        out.resize(out.len() + 0x1_0000, 0);
        assert_eq!(client.seal(envelope, &mut out), None);
        assert_eq!(out, [1, 2, 3]);
    }
}

#[test]
fn every_table_has_its_bound() {
    let mut play = Play::allocated();
    for number in 0..1_000u16 {
        let [high, low] = number.to_be_bytes();
        play.client.bind(play.now, SocketAddr::from(([198, 51, high, low], 5_000)));
    }
    let mut requests = Vec::new();
    while let Some((_, request)) = play.next() {
        requests.push(request);
    }
    assert_eq!(requests.len(), MAX_REQUESTS);
    let mut permitted = std::collections::BTreeSet::new();
    let mut bound = std::collections::BTreeSet::new();
    while let Some(request) = requests.pop() {
        let message = Message::parse(&request).unwrap();
        for raw in message.attributes().filter(|raw| raw.kind == AttributeType::XOR_PEER_ADDRESS) {
            let XorPeerAddress(peer) = message.read(raw).unwrap();
            if message.method() == Method::CHANNEL_BIND {
                bound.insert(peer);
            } else {
                permitted.insert(peer.ip());
            }
        }
        assert!(request.len() < 1_200, "fits any path");
        play.answer(&request, Class::Success, Some(&Play::key()), &|b| b);
        requests.extend(play.next().map(|(_, request)| request));
    }
    assert_eq!((permitted.len(), bound.len()), (MAX_PERMISSIONS, MAX_CHANNELS));
    // Forgotten ones make room.
    for peer in &permitted {
        play.client.forget(*peer);
    }
    play.client.permit(play.now, address(PEER).ip());
    assert!(play.next().is_some());
}

#[test]
fn events_that_nobody_polls_are_bounded() {
    let mut play = Play::allocated();
    for round in 0..200u16 {
        for last in 0..2 {
            let [high, low] = round.to_be_bytes();
            let peer = IpAddr::from([high.wrapping_add(20), low, 1, last]);
            play.client.permit(play.now, peer);
            let request = play.request();
            play.refuse(&request, 403, Some(&Play::key()));
            play.client.forget(peer);
        }
    }
    assert_eq!(std::iter::from_fn(|| play.client.poll_event()).count(), MAX_EVENTS);
}

#[test]
fn a_client_may_be_sent_to_other_threads() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<Client>();
    check::<taut_turn::server::Server>();
    check::<taut_turn::Deframer>();
}
