//! Checks of the client and of the server that only a peer at the edge of the protocol meets. Each test fails without its check.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use std::time::Duration;

use bytes::BytesMut;
use common::play::{NONCE, Play, REALM, get};
use common::{PEER, Raw, address, client_config, code, server_config};
use taut_sansio::net::{Path, Received, Transport};
use taut_stun::attribute::{
    AdditionalAddressFamily, AddressFamily, ChannelNumber, Data, ErrorCode, Lifetime, Nonce,
    PasswordAlgorithm, PasswordAlgorithms, Priority, Realm, RequestedAddressFamily, RequestedTransport,
    Username, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use taut_stun::{Algorithm, Builder, Class, Key, Message, Method, TransactionId};
use taut_turn::server::{self, MAX_PERMISSIONS};
use taut_turn::{Event, Families};

fn peer(text: &str) -> XorPeerAddress {
    XorPeerAddress(address(text))
}

fn indication(method: Method, push: impl FnOnce(Builder<'_>) -> Builder<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    push(Builder::new(&mut out, Class::Indication, method, TransactionId([7; 12]))).finish().unwrap();
    out
}

/// One with an allocation of an hour, and its relay.
fn allocated() -> (Raw, Path) {
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    let answer = raw.request(Method::ALLOCATE, |b| b.push(&RequestedTransport::UDP).push(&Lifetime(3_600)));
    let answer = answer.unwrap();
    let XorRelayedAddress(relay) = get(&answer).unwrap();
    (raw, Path::udp(relay, address(PEER)))
}

#[test]
fn of_several_permissions_all_are_granted_or_none() {
    let (mut raw, _) = allocated();
    for number in 1..MAX_PERMISSIONS {
        let [high, low] = (number as u16).to_be_bytes();
        let one = peer(&format!("198.51.{high}.{low}:1"));
        raw.request(Method::CREATE_PERMISSION, |b| b.push(&one)).unwrap();
    }
    let (first, second) = (peer("192.0.2.8:1"), peer("192.0.2.9:1"));
    let both = raw.request(Method::CREATE_PERMISSION, |b| b.push(&first).push(&second));
    assert_eq!(both, Err(508), "there is room for one");
    let send = indication(Method::SEND, |b| b.push(&first).push(&Data(b"x")));
    let path = raw.path();
    assert_eq!(raw.give(path, &send), []);
}

#[test]
fn an_allocation_without_its_sockets_is_none() {
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    let allocate = raw.signed(Method::ALLOCATE, |b| b.push(&RequestedTransport::UDP));
    let permit = raw.signed(Method::CREATE_PERMISSION, |b| b.push(&peer(PEER)));
    let path = raw.path();
    for request in [&allocate, &permit] {
        let meta = Received { at: raw.now, path, ecn: None };
        raw.server.handle_datagram(meta, BytesMut::from(&request[..]));
    }
    let mut out = Vec::new();
    let sent = raw.server.poll_transmit(raw.now, 1, &mut out);
    assert!(sent.is_some(), "an answer to the second");
    assert_eq!(code(&out), 437);
}

#[test]
fn a_family_alone_that_was_not_asked_for_so_is_no_allocation() {
    let both = AdditionalAddressFamily(AddressFamily::V6);
    let alone = RequestedAddressFamily(AddressFamily::V6);
    for (asked, has_v6) in [(Ok(both), true), (Err(alone), false)] {
        let mut raw = Raw::new(server_config());
        raw.get_challenged();
        let request = raw.signed(Method::ALLOCATE, |b| {
            let b = b.push(&RequestedTransport::UDP);
            match &asked {
                Ok(both) => b.push(both),
                Err(alone) => b.push(alone),
            }
        });
        let meta = Received { at: raw.now, path: raw.path(), ecn: None };
        raw.server.handle_datagram(meta, BytesMut::from(&request[..]));
        while let Some(event) = raw.server.poll_event() {
            if let server::Event::Bind(relay) = event {
                let bound = relay.is_ipv6() && has_v6;
                raw.server.handle_bound(raw.now, relay, if bound { Ok(()) } else { Err(()) });
            }
        }
        let mut out = Vec::new();
        assert!(raw.server.poll_transmit(raw.now, 1, &mut out).is_some());
        assert_eq!((code(&out), raw.server.allocations()), (508, 0), "{has_v6}");
    }
}

#[test]
fn a_stream_is_no_peer_whatever_its_address() {
    let (mut raw, from_peer) = allocated();
    raw.request(Method::CREATE_PERMISSION, |b| b.push(&peer(PEER))).unwrap();
    let stream = Path { transport: Transport::Tcp, ..from_peer };
    assert_eq!(raw.give(stream, b"x"), []);
    assert_eq!(raw.give(from_peer, b"x").len(), 1);
}

#[test]
fn what_is_over_does_not_come_back_with_an_older_time() {
    let (mut raw, from_peer) = allocated();
    raw.request(Method::CREATE_PERMISSION, |b| b.push(&peer(PEER))).unwrap();
    for now in [raw.now + Duration::from_secs(300), raw.now] {
        raw.now = now;
        assert_eq!(raw.give(from_peer, b"x"), []);
    }
}

/// A request of ann, whose key is made as she has chosen from the server's list, or with MD5 and no list.
fn ask_with(raw: &mut Raw, method: Method, chosen: Option<PasswordAlgorithm>) -> Result<Algorithm, u16> {
    let key = match chosen {
        Some(PasswordAlgorithm::Sha256) => Key::long_term_sha256("ann", "taut", "secret"),
        _ => Key::long_term_md5("ann", "taut", "secret"),
    };
    let (realm, nonce, _) = raw.challenge.clone().unwrap();
    let mut out = Vec::new();
    let id = raw.id();
    let mut builder = Builder::new(&mut out, Class::Request, method, id)
        .push(&RequestedTransport::UDP)
        .push(&Username::new("ann"));
    builder = builder.push(&Realm::new(&realm)).push(&Nonce::new(&nonce));
    let mut algorithm = Algorithm::Sha1;
    if let Some(chosen) = chosen {
        let list = PasswordAlgorithms::from_iter([PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5]);
        (builder, algorithm) = (builder.push(&list).push(&chosen), Algorithm::Sha256);
    }
    builder.integrity(&key, algorithm).finish().unwrap();
    let answer = raw.ask(&out).unwrap();
    let message = Message::parse(&answer).unwrap();
    if message.class() == Class::Success { Ok(message.verify(&key).unwrap()) } else { Err(code(&answer)) }
}

#[test]
fn who_has_an_allocation_may_go_over_to_a_better_algorithm() {
    let (md5, sha256) = (Some(PasswordAlgorithm::Md5), Some(PasswordAlgorithm::Sha256));
    for (first, then) in [(None, md5), (md5, sha256)] {
        let mut raw = Raw::new(server_config());
        raw.get_challenged();
        assert!(ask_with(&mut raw, Method::ALLOCATE, first).is_ok());
        assert_eq!(ask_with(&mut raw, Method::REFRESH, then), Ok(Algorithm::Sha256));
    }
}

#[test]
fn a_send_indication_that_is_not_understood_is_dropped() {
    let (mut raw, _) = allocated();
    raw.request(Method::CREATE_PERMISSION, |b| b.push(&peer(PEER))).unwrap();
    let path = raw.path();
    let strange = indication(Method::SEND, |b| b.push(&peer(PEER)).push(&Data(b"x")).push(&Priority(1)));
    assert_eq!(raw.give(path, &strange), []);
    let good = indication(Method::SEND, |b| b.push(&peer(PEER)).push(&Data(b"x")));
    assert_eq!(raw.give(path, &good).len(), 1);
}

#[test]
fn a_channel_that_is_over_is_not_used_for_what_a_peer_sends() {
    let (mut raw, from_peer) = allocated();
    raw.request(Method::CHANNEL_BIND, |b| b.push(&ChannelNumber(0x4000)).push(&peer(PEER))).unwrap();
    assert_eq!(raw.give(from_peer, b"x")[0].1[..2], [0x40, 0]);
    raw.now += Duration::from_secs(400);
    raw.request(Method::CREATE_PERMISSION, |b| b.push(&peer(PEER))).unwrap();
    raw.now += Duration::from_secs(200);
    let got = raw.give(from_peer, b"x");
    assert_eq!(get(&got[0].1), Some(Data(b"x")), "the permission holds");
}

#[test]
fn an_answer_to_what_was_not_sent_is_none() {
    // The same seed, the same transactions.
    let (mut one, mut other) = (Play::new(), Play::new());
    let request = one.request();
    other.challenge(&request, 401, NONCE);
    assert_eq!(other.client.stats().unexpected, 1);
    assert_eq!(Message::parse(&other.request()).unwrap().get::<Realm<'_>>(), Ok(None));
}

#[test]
fn a_realm_or_a_nonce_that_no_request_could_carry_is_not_taken() {
    let mut play = Play::new();
    let request = play.request();
    let long = "x".repeat(764);
    for (realm, nonce) in [(long.as_str(), NONCE), (REALM, long.as_str())] {
        let mut out = Vec::new();
        Builder::answer(&mut out, Class::Error, &Message::parse(&request).unwrap())
            .push(&ErrorCode::new(401, ""))
            .push(&Realm::new(realm))
            .push(&Nonce::new(nonce))
            .finish()
            .unwrap();
        play.give(&out);
    }
    assert_eq!(play.client.stats().malformed, 2);
    assert!(play.next().is_none());
}

#[test]
fn a_relayed_address_that_cannot_be_one_is_not_taken() {
    let v6 = client_config().with_families(Families::Only(AddressFamily::V6));
    for (config, relayed) in [
        (client_config(), "203.0.113.2:0"),
        (client_config(), "0.0.0.0:5000"),
        (client_config(), "224.0.0.1:5000"),
        (v6, "203.0.113.2:5000"),
    ] {
        let mut play = Play::with(config);
        let second = play.challenged();
        let relayed = XorRelayedAddress(address(relayed));
        play.answer(&second, Class::Success, Some(&Play::key()), &|b| {
            b.push(&relayed).push(&XorMappedAddress(address("198.51.100.1:6000"))).push(&Lifetime(600))
        });
        assert_eq!((play.client.poll_event(), play.client.stats().malformed), (None, 1), "{relayed:?}");
    }
}

#[test]
fn a_lifetime_of_nothing_does_not_make_a_storm() {
    let mut play = Play::new();
    let second = play.challenged();
    play.answer(&second, Class::Success, Some(&Play::key()), &|b| {
        b.push(&XorRelayedAddress(address("203.0.113.2:50000")))
            .push(&XorMappedAddress(address("198.51.100.1:6000")))
            .push(&Lifetime(0))
    });
    assert!(matches!(play.client.poll_event(), Some(Event::Allocated { .. })));
    play.pass(Duration::from_millis(1_900));
    assert!(play.next().is_none(), "not yet");
    play.pass(Duration::from_millis(200));
    assert!(play.next().is_some());
}

#[test]
fn data_that_is_damaged_or_not_understood_is_dropped() {
    let mut play = Play::allocated();
    play.client.permit(play.now, address(PEER).ip());
    let strange = indication(Method::DATA, |b| b.push(&peer(PEER)).push(&Data(b"x")).push(&Priority(1)));
    let whole = indication(Method::DATA, |b| b.push(&peer(PEER)).push(&Data(b"x")).fingerprint());
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!((play.give(&strange), play.give(&damaged)), (None, None));
    assert_eq!(play.client.stats().malformed, 2);
    assert!(play.give(&whole).is_some());
}

#[test]
fn a_peer_that_the_server_refused_is_not_heard() {
    let mut play = Play::allocated();
    play.client.permit(play.now, address(PEER).ip());
    let data = indication(Method::DATA, |b| b.push(&peer(PEER)).push(&Data(b"x")));
    assert!(play.give(&data).is_some(), "the answer may be overtaken");
    let request = play.request();
    play.refuse(&request, 403, Some(&Play::key()));
    assert_eq!(play.give(&data), None);
    assert_eq!(play.client.stats().unknown_peer, 1);
}
