//! The server against clients and peers that forge, flood and overstep. Each check of the server has a test that fails
//! without it.

mod common;

use std::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;
use common::{PEER, RELAY_V4, Raw, SERVER, address, code, server_config};
use taut_sansio::net::{Path, Received, Transport};
use taut_stun::attribute::{
    AdditionalAddressFamily, AddressErrorCode, AddressFamily, ChannelNumber, Data, EvenPort, Lifetime, Nonce,
    PasswordAlgorithm, PasswordAlgorithms, Priority, Realm, RequestedAddressFamily, RequestedTransport,
    UnknownAttributes, UserHash, Username, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use taut_stun::{
    Algorithm, Attribute, AttributeType, Builder, Class, Key, Message, Method, ParseError, TransactionId,
};
use taut_turn::server::{
    self, MAX_CHANNELS, MAX_PERMISSIONS, MAX_QUEUED, Server, ServerConfig, ServerConfigError,
};

fn get<'a, A: Attribute<'a>>(message: &'a [u8]) -> Option<A> {
    Message::parse(message).unwrap().get().unwrap()
}

fn peer(text: &str) -> XorPeerAddress {
    XorPeerAddress(address(text))
}

fn relay_of(answer: &[u8]) -> std::net::SocketAddr {
    get::<XorRelayedAddress>(answer).unwrap().0
}

fn permit(raw: &mut Raw, whom: &str) -> Result<Vec<u8>, u16> {
    raw.request(Method::CREATE_PERMISSION, |b| b.push(&peer(whom)))
}

fn bind(raw: &mut Raw, number: u16, whom: &str) -> Result<Vec<u8>, u16> {
    raw.request(Method::CHANNEL_BIND, |b| b.push(&ChannelNumber(number)).push(&peer(whom)))
}

fn send_indication(whom: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let builder = Builder::new(&mut out, Class::Indication, Method::SEND, TransactionId([7; 12]));
    builder.push(&peer(whom)).push(&Data(data)).finish().unwrap();
    out
}

#[test]
fn nothing_is_done_for_those_who_do_not_know_the_password() {
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    for (name, password) in [("ann", "wrong"), ("bob", "secret"), ("", "")] {
        (raw.username, raw.password) = (name.into(), password.into());
        assert_eq!(raw.allocate().map(|_| ()), Err(401), "{name}");
    }
    assert_eq!(raw.server.allocations(), 0);
    (raw.username, raw.password) = ("ann".into(), "secret".into());
    assert!(raw.allocate().is_ok());
}

#[test]
fn what_authenticates_must_be_there_and_agree() {
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    let challenge = raw.challenge.clone().unwrap();
    let key = Key::long_term_md5("ann", &challenge.0, "secret");
    let strong = Key::long_term_sha256("ann", &challenge.0, "secret");
    let list = PasswordAlgorithms::from_iter([PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5]);
    let shortened = PasswordAlgorithms::from_iter([PasswordAlgorithm::Md5]);
    let mut ask = |key: &Key, algorithm, push: &dyn for<'b> Fn(Builder<'b>) -> Builder<'b>| {
        let mut out = Vec::new();
        let id = raw.id();
        let builder = Builder::new(&mut out, Class::Request, Method::ALLOCATE, id);
        push(builder.push(&RequestedTransport::UDP)).integrity(key, algorithm).finish().unwrap();
        code(&raw.ask(&out).unwrap())
    };
    let (user, realm, nonce) = (Username::new("ann"), Realm::new(&challenge.0), Nonce::new(&challenge.1));
    let sha1 = Algorithm::Sha1;
    assert_eq!(ask(&key, sha1, &|b| b.push(&realm).push(&nonce)), 400, "no name");
    assert_eq!(ask(&key, sha1, &|b| b.push(&user).push(&nonce)), 400, "no realm");
    assert_eq!(ask(&key, sha1, &|b| b.push(&user).push(&realm)), 400, "no nonce");
    assert_eq!(ask(&key, sha1, &|b| b.push(&user).push(&Realm::new("x")).push(&nonce)), 401, "another realm");
    let hidden = UserHash::of("ann", "taut");
    assert_eq!(ask(&key, sha1, &|b| b.push(&hidden).push(&realm).push(&nonce)), 401, "a hidden name");
    let sha256 = PasswordAlgorithm::Sha256;
    assert_eq!(ask(&strong, Algorithm::Sha256, &|b| all(b, &challenge).push(&sha256)), 400, "no list");
    assert_eq!(ask(&strong, Algorithm::Sha256, &|b| all(b, &challenge).push(&list)), 400, "none chosen");
    let md5 = PasswordAlgorithm::Md5;
    let weaker = ask(&key, Algorithm::Sha256, &|b| all(b, &challenge).push(&shortened).push(&md5));
    assert_eq!(weaker, 400, "the list was shortened");
    let odd = PasswordAlgorithm::Unknown(9);
    assert_eq!(
        ask(&key, Algorithm::Sha256, &|b| all(b, &challenge).push(&list).push(&odd)),
        400,
        "not one of the list"
    );
    let weaker = ask(&strong, sha1, &|b| all(b, &challenge).push(&list).push(&sha256));
    assert_eq!(weaker, 401, "the integrity was made weaker");
    assert_eq!(raw.server.allocations(), 0);
}

fn all<'b>(b: Builder<'b>, (realm, nonce, _): &(String, String, bool)) -> Builder<'b> {
    b.push(&Username::new("ann")).push(&Realm::new(realm)).push(&Nonce::new(nonce))
}

#[test]
fn both_password_algorithms_and_none_named_are_taken() {
    for (named, password) in
        [(false, PasswordAlgorithm::Md5), (true, PasswordAlgorithm::Md5), (true, PasswordAlgorithm::Sha256)]
    {
        let mut raw = Raw::new(server_config());
        raw.get_challenged();
        // The shortest request gets the shortest challenge: ask for the list with a longer one.
        let mut out = Vec::new();
        let id = raw.id();
        let builder =
            Builder::new(&mut out, Class::Request, Method::ALLOCATE, id).push(&RequestedTransport::UDP);
        builder.push(&Lifetime(600)).fingerprint().finish().unwrap();
        let challenge = raw.ask(&out).unwrap();
        assert!(get::<PasswordAlgorithms>(&challenge).is_some());
        raw.learn(&challenge);
        let key = match password {
            PasswordAlgorithm::Md5 => Key::long_term_md5("ann", "taut", "secret"),
            _ => Key::long_term_sha256("ann", "taut", "secret"),
        };
        let mut out = Vec::new();
        let id = raw.id();
        let mut builder = Builder::new(&mut out, Class::Request, Method::ALLOCATE, id);
        builder = all(builder.push(&RequestedTransport::UDP), raw.challenge.as_ref().unwrap());
        let algorithm = if named { Algorithm::Sha256 } else { Algorithm::Sha1 };
        if named {
            let list = [PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5];
            builder = builder.push(&PasswordAlgorithms::from_iter(list)).push(&password);
        }
        builder.integrity(&key, algorithm).fingerprint().finish().unwrap();
        let answer = raw.ask(&out).unwrap();
        let answer = Message::parse(&answer).unwrap();
        assert_eq!((answer.class(), answer.verify(&key)), (Class::Success, Ok(algorithm)));
        assert_eq!(answer.fingerprint(), taut_stun::Fingerprint::Good, "as the request had it");
    }
}

#[test]
fn a_nonce_is_for_its_time_and_its_address() {
    let mut raw = Raw::allocated(server_config());
    let lifetime = Duration::from_secs(3_600);
    raw.now += lifetime + Duration::from_secs(2);
    assert_eq!(raw.request(Method::REFRESH, |b| b).map(|_| ()), Err(438));
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    raw.source = address("192.0.2.78:4000");
    assert_eq!(raw.allocate().map(|_| ()), Err(438), "somebody else's");
    raw.challenge.as_mut().unwrap().1 = "made-up".into();
    assert_eq!(raw.allocate().map(|_| ()), Err(438));
}

#[test]
fn answers_to_strangers_are_short() {
    for realm in ["taut", &"r".repeat(server::MAX_REALM)] {
        let mut raw = Raw::new(server_config().with_realm(realm));
        for padding in [0, 4, 8, 16, 32, 64, 128] {
            for method in [Method::BINDING, Method::ALLOCATE, Method::REFRESH, Method::new(0x7f)] {
                for unknown in [false, true] {
                    let mut out = Vec::new();
                    let id = raw.id();
                    let mut builder = Builder::new(&mut out, Class::Request, method, id);
                    if unknown {
                        builder = builder.push(&Priority(1));
                    }
                    if padding > 0 {
                        let text = "x".repeat(padding - 4);
                        builder = builder.push(&taut_stun::attribute::Software::new(&text));
                    }
                    builder.finish().unwrap();
                    if let Some(answer) = raw.ask(&out) {
                        assert!(
                            answer.len() <= 3 * out.len(),
                            "{method:?} {} -> {}",
                            out.len(),
                            answer.len()
                        );
                    } else {
                        assert!(out.len() < 28, "every true Allocate gets an answer: {}", out.len());
                    }
                }
            }
        }
        assert!(raw.server.stats().amplifying > 0 || realm == "taut");
    }
}

#[test]
fn strangers_get_no_more_than_their_share() {
    let mut raw = Raw::new(server_config().with_unauthenticated_per_second(10));
    let count = |raw: &mut Raw, last: u8, method| {
        raw.source.set_ip(IpAddr::from([192, 0, 2, last]));
        let mut out = Vec::new();
        let id = raw.id();
        let builder = Builder::new(&mut out, Class::Request, method, id);
        builder.push(&RequestedTransport::UDP).finish().unwrap();
        usize::from(raw.ask(&out).is_some())
    };
    let answers: usize = (0..200).map(|n| count(&mut raw, n, Method::ALLOCATE)).sum();
    assert_eq!(answers, 40, "of one prefix");
    assert_eq!(count(&mut raw, 1, Method::BINDING), 0, "for Binding, too");
    assert!(raw.server.stats().limited > 0);
    // Whoever came over a stream is where he says he is.
    let path = Path { transport: Transport::Tcp, ..raw.path() };
    let mut out = Vec::new();
    let id = raw.id();
    Builder::new(&mut out, Class::Request, Method::BINDING, id).finish().unwrap();
    assert_eq!(raw.give(path, &out).len(), 1);
    raw.now += Duration::from_secs(1);
    let answers: usize = (0..200).map(|n| count(&mut raw, n, Method::ALLOCATE)).sum();
    assert_eq!(answers, 10);
}

#[test]
fn only_requests_are_answered_and_damage_is_not() {
    let mut raw = Raw::new(server_config());
    for class in [Class::Indication, Class::Success, Class::Error] {
        for method in [Method::BINDING, Method::ALLOCATE, Method::SEND, Method::DATA] {
            let mut out = Vec::new();
            let id = raw.id();
            Builder::new(&mut out, class, method, id).finish().unwrap();
            assert_eq!(raw.ask(&out), None);
        }
    }
    let mut out = Vec::new();
    let id = raw.id();
    let builder = Builder::new(&mut out, Class::Request, Method::ALLOCATE, id);
    builder.push(&RequestedTransport::UDP).fingerprint().finish().unwrap();
    *out.last_mut().unwrap() ^= 1;
    assert_eq!(raw.ask(&out), None);
    for junk in [&b""[..], b"x", &[0x40], &[0x40, 0, 0, 9, 1], &[0xff; 100], &out[..20]] {
        assert_eq!(raw.ask(junk), None);
    }
    assert_eq!(raw.server.stats().malformed, 7);
}

#[test]
fn binding_requests_are_answered() {
    let mut raw = Raw::new(server_config());
    let mut out = Vec::new();
    let id = raw.id();
    Builder::new(&mut out, Class::Request, Method::BINDING, id).finish().unwrap();
    let answer = raw.ask(&out).unwrap();
    assert_eq!(get(&answer), Some(XorMappedAddress(raw.source)));
}

#[test]
fn what_is_not_understood_is_named() {
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    let request = raw.signed(Method::ALLOCATE, |b| b.push(&RequestedTransport::UDP).push(&Priority(1)));
    let answer = raw.ask(&request).unwrap();
    assert_eq!(code(&answer), 420);
    assert!(Message::parse(&answer).unwrap().verify(&raw.key()).is_ok(), "signed");
    let unknown = get::<UnknownAttributes>(&answer).unwrap();
    assert_eq!(unknown.types().collect::<Vec<_>>(), [Priority::TYPE]);
    assert_eq!(raw.request(Method::new(0x7f), |b| b).map(|_| ()), Err(400));
}

/// RESERVATION-TOKEN, which no server of ours gives out.
struct Token;

impl Attribute<'_> for Token {
    const TYPE: AttributeType = AttributeType::RESERVATION_TOKEN;

    fn parse(_: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        Ok(Self)
    }

    fn write(&self, _: TransactionId, out: &mut Vec<u8>) {
        out.extend_from_slice(&[7; 8]);
    }
}

#[test]
fn what_allocate_asks_for_is_checked() {
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    let family = RequestedAddressFamily;
    let mut ask = |push: &dyn for<'b> Fn(Builder<'b>) -> Builder<'b>| {
        let answer = raw.request(Method::ALLOCATE, push);
        if answer.is_ok() {
            raw.request(Method::REFRESH, |b| b.push(&Lifetime(0))).unwrap();
        }
        answer
    };
    let udp = RequestedTransport::UDP;
    assert_eq!(ask(&|b| b), Err(400), "no transport");
    assert_eq!(ask(&|b| b.push(&RequestedTransport(6))), Err(442), "TCP");
    let additional = AdditionalAddressFamily(AddressFamily::V6);
    let both = family(AddressFamily::V6);
    assert_eq!(ask(&|b| b.push(&udp).push(&both).push(&additional)), Err(400));
    let v4 = AdditionalAddressFamily(AddressFamily::V4);
    assert_eq!(ask(&|b| b.push(&udp).push(&v4)), Err(400));
    let pair = EvenPort { reserve_next: true };
    assert_eq!(ask(&|b| b.push(&udp).push(&pair)), Err(508), "no port is reserved");
    assert_eq!(ask(&|b| b.push(&udp).push(&pair).push(&additional)), Err(400), "of one family alone");
    assert_eq!(ask(&|b| b.push(&udp).push(&Token)), Err(508), "nor was one");
    assert_eq!(ask(&|b| b.push(&udp).push(&Token).push(&additional)), Err(400));
    let even = EvenPort { reserve_next: false };
    for _ in 0..8 {
        let answer = ask(&|b| b.push(&udp).push(&even)).unwrap();
        assert_eq!(relay_of(&answer).port() % 2, 0);
        assert!(relay_of(&answer).port() >= 49_152);
    }
    for (asked, granted) in [(0, 600), (1, 600), (700, 700), (1_000_000, 3_600)] {
        let answer = ask(&|b| b.push(&udp).push(&Lifetime(asked))).unwrap();
        assert_eq!(get(&answer), Some(Lifetime(granted)), "{asked}");
    }
    let mut config = server_config();
    config.relays.truncate(1);
    let mut raw = Raw::new(config);
    raw.get_challenged();
    let answer = raw.request(Method::ALLOCATE, |b| b.push(&udp).push(&both));
    assert_eq!(answer, Err(440));
    let request = raw.signed(Method::ALLOCATE, |b| b.push(&udp).push(&additional));
    for _ in 0..2 {
        // The same answer to the same request, and one allocation.
        let answer = raw.ask(&request).unwrap();
        let missing = AddressErrorCode { family: AddressFamily::V6, code: 440 };
        assert_eq!(get(&answer), Some(missing));
    }
    assert_eq!((raw.server.allocations(), raw.server.stats().allocated), (1, 1));
    assert_eq!(raw.allocate(), Err(437), "another one on the same path");
}

#[test]
fn an_allocation_is_its_users() {
    let mut raw = Raw::allocated(server_config().with_user("eve", "secret"));
    raw.username = "eve".into();
    for (method, push) in [(Method::REFRESH, Lifetime(0)), (Method::CREATE_PERMISSION, Lifetime(1))] {
        assert_eq!(raw.request(method, |b| b.push(&push).push(&peer(PEER))).map(|_| ()), Err(441));
    }
    assert_eq!(bind(&mut raw, 0x4000, PEER), Err(441));
    assert_eq!(raw.server.allocations(), 1);
    raw.username = "ann".into();
    raw.source = address("192.0.2.77:4001");
    for method in [Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND] {
        assert_eq!(raw.request(method, |b| b.push(&peer(PEER))).map(|_| ()), Err(437), "another path");
    }
}

#[test]
fn only_permitted_peers_are_relayed_to_and_from() {
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    let answer = raw.request(Method::ALLOCATE, |b| b.push(&RequestedTransport::UDP)).unwrap();
    let relay = relay_of(&answer);
    let from_peer = |raw: &mut Raw, whom: &str| raw.give(Path::udp(relay, address(whom)), b"in");
    let path = raw.path();
    assert_eq!(raw.give(path, &send_indication(PEER, b"out")), []);
    assert_eq!(from_peer(&mut raw, PEER), []);
    permit(&mut raw, PEER).unwrap();
    let sent = raw.give(path, &send_indication(PEER, b"out"));
    assert_eq!(sent, [(Path::udp(relay, address(PEER)), b"out".to_vec())]);
    let got = from_peer(&mut raw, PEER);
    assert_eq!(got.len(), 1);
    assert_eq!((get(&got[0].1), get(&got[0].1)), (Some(peer(PEER)), Some(Data(b"in"))));
    assert_eq!(from_peer(&mut raw, "198.51.100.8:5000"), []);
    assert_eq!(raw.give(path, &send_indication("198.51.100.8:5000", b"x")), []);
    let elsewhere = Path::udp(address(SERVER), address("192.0.2.77:4001"));
    assert_eq!(raw.give(elsewhere, &send_indication(PEER, b"x")), [], "no allocation there");
    // Five minutes.
    raw.now += Duration::from_secs(300);
    assert_eq!(from_peer(&mut raw, PEER), []);
    assert_eq!(raw.give(path, &send_indication(PEER, b"out")), []);
    assert_eq!(raw.server.stats().not_permitted, 6);
}

#[test]
fn channels_are_for_one_peer_and_ten_minutes() {
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    let answer = raw.request(Method::ALLOCATE, |b| b.push(&RequestedTransport::UDP).push(&Lifetime(3_600)));
    let relay = relay_of(&answer.unwrap());
    for number in [0, 0x3fff, 0x8000, 0xffff] {
        assert_eq!(bind(&mut raw, number, PEER), Err(400), "{number:x}");
    }
    bind(&mut raw, 0x4000, PEER).unwrap();
    bind(&mut raw, 0x4000, PEER).unwrap();
    assert_eq!(bind(&mut raw, 0x4000, "198.51.100.8:5000"), Err(400), "the number is taken");
    assert_eq!(bind(&mut raw, 0x4001, PEER), Err(400), "the peer has one");
    let path = raw.path();
    let data = [0x40, 0, 0, 2, b'h', b'i', 0, 0];
    assert_eq!(raw.give(path, &data), [(Path::udp(relay, address(PEER)), b"hi".to_vec())]);
    assert_eq!(raw.give(Path::udp(relay, address(PEER)), b"yo")[0].1, [0x40, 0, 0, 2, b'y', b'o']);
    assert_eq!(raw.give(path, &[0x40, 1, 0, 0]), [], "not bound");
    assert_eq!(raw.give(path, &[0x40, 0, 0, 9, 1]), [], "short");
    let elsewhere = Path::udp(address(SERVER), address("192.0.2.77:4001"));
    assert_eq!(raw.give(elsewhere, &data), []);
    raw.now += Duration::from_secs(600);
    assert_eq!(raw.give(path, &data), [], "over");
    bind(&mut raw, 0x4001, PEER).unwrap();
    bind(&mut raw, 0x4000, "198.51.100.8:5000").unwrap();
    assert_eq!(raw.give(path, &data), [(Path::udp(relay, address("198.51.100.8:5000")), b"hi".to_vec())]);
    let got = raw.give(Path::udp(relay, address(PEER)), b"yo");
    assert_eq!(got[0].1[..2], [0x40, 1]);
}

#[test]
fn nobody_is_relayed_to_where_the_server_alone_may_go() {
    let mut raw = Raw::allocated(server_config());
    let path = raw.path();
    for inside in ["127.0.0.1:22", "10.0.0.1:80", "169.254.169.254:80", "224.0.0.251:5353", "0.0.0.0:22"] {
        assert_eq!(permit(&mut raw, inside), Err(403), "{inside}");
        assert_eq!(bind(&mut raw, 0x4000, inside), Err(403), "{inside}");
        assert_eq!(raw.give(path, &send_indication(inside, b"x")), []);
    }
    // All or none.
    let both = raw.request(Method::CREATE_PERMISSION, |b| b.push(&peer(PEER)).push(&peer("127.0.0.1:1")));
    assert_eq!(both, Err(403));
    assert_eq!(raw.give(path, &send_indication(PEER, b"x")), []);
    assert_eq!(permit(&mut raw, "[2001:db8:1::7]:5000"), Err(443), "the allocation has IPv4 alone");
    assert_eq!(bind(&mut raw, 0x4000, "[2001:db8:1::7]:5000"), Err(443));
    assert_eq!(raw.request(Method::CREATE_PERMISSION, |b| b), Err(400));
    permit(&mut raw, PEER).unwrap();
    assert_eq!(raw.give(path, &send_indication("198.51.100.7:0", b"x")), [], "no port");
    let mut raw = Raw::allocated(server_config().with_allowed_peers("127.0.0.0/8".parse().unwrap()));
    assert!(permit(&mut raw, "127.0.0.1:22").is_ok());
}

#[test]
fn the_host_of_the_server_is_reached_at_its_relays_alone() {
    let mut raw = Raw::allocated(server_config());
    let path = raw.path();
    let server_port = format!("{RELAY_V4}:22");
    permit(&mut raw, &server_port).unwrap();
    assert_eq!(raw.give(path, &send_indication(&server_port, b"x")), [], "not a relay's port");
    bind(&mut raw, 0x4000, &server_port).unwrap();
    assert_eq!(raw.give(path, &[0x40, 0, 0, 0]), []);
    raw.source = address("192.0.2.77:4001");
    let other = relay_of(&raw.allocate().unwrap()).to_string();
    assert_eq!(raw.give(path, &send_indication(&other, b"x")).len(), 1, "another client's relay");
    raw.request(Method::REFRESH, |b| b.push(&Lifetime(0))).unwrap();
    assert_eq!(raw.give(path, &send_indication(&other, b"x")), [], "it is one no more");
}

#[test]
fn a_port_that_was_not_bound_or_was_given_back_is_no_relay() {
    fn both(b: Builder<'_>) -> Builder<'_> {
        b.push(&RequestedTransport::UDP).push(&AdditionalAddressFamily(AddressFamily::V6))
    }
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    raw.request(Method::ALLOCATE, both).unwrap();
    let path = raw.path();
    raw.source.set_port(4_001);
    let request = raw.signed(Method::ALLOCATE, both);
    let meta = Received { at: raw.now, path: raw.path(), ecn: None };
    raw.server.handle_datagram(meta, BytesMut::from(&request[..]));
    let (mut refused, mut given_back) = (None, None);
    while let Some(event) = raw.server.poll_event() {
        let server::Event::Bind(relay) = event else { continue };
        // The first port of IPv4 is somebody else's.
        let free = relay.is_ipv6() || refused.is_some();
        if relay.is_ipv6() {
            given_back = Some(relay);
        } else if !free {
            refused = Some(relay);
        }
        raw.server.handle_bound(raw.now, relay, if free { Ok(()) } else { Err(()) });
    }
    let v6 = RequestedAddressFamily(AddressFamily::V6);
    while raw.server.poll_transmit(raw.now, 1, &mut Vec::new()).is_some() {}
    raw.request(Method::REFRESH, |b| b.push(&Lifetime(0)).push(&v6)).unwrap();
    raw.source.set_port(4_000);
    for relay in [refused, given_back].map(|relay| relay.unwrap().to_string()) {
        permit(&mut raw, &relay).unwrap();
        assert_eq!(raw.give(path, &send_indication(&relay, b"x")), [], "{relay}");
    }
}

#[test]
fn what_belonged_to_a_relay_that_is_given_back_leaves_room() {
    let mut raw = Raw::allocated_both(server_config());
    for number in 0..MAX_CHANNELS as u16 {
        bind(&mut raw, 0x4000 + number, &format!("[2001:db8:1::7]:{}", 1 + number)).unwrap();
    }
    for number in 1..MAX_PERMISSIONS {
        permit(&mut raw, &format!("[2001:db8:2::{number:x}]:1")).unwrap();
    }
    assert_eq!(permit(&mut raw, PEER), Err(508));
    let v6 = RequestedAddressFamily(AddressFamily::V6);
    raw.request(Method::REFRESH, |b| b.push(&Lifetime(0)).push(&v6)).unwrap();
    assert!(permit(&mut raw, PEER).is_ok() && bind(&mut raw, 0x4fff, PEER).is_ok());
}

#[test]
fn quotas_hold() {
    let config =
        server_config().with_user("eve", "secret").with_max_allocations_per_user(3).with_max_allocations(5);
    let mut raw = Raw::new(config);
    raw.get_challenged();
    let mut granted = Vec::new();
    for port in 0..10 {
        raw.source.set_port(5_000 + port);
        match raw.allocate() {
            Ok(_) => granted.push(port),
            Err(code) => assert_eq!(code, 486),
        }
    }
    assert_eq!(granted.len(), 3);
    raw.username = "eve".into();
    for port in 0..4 {
        raw.source.set_port(6_000 + port);
        assert_eq!(raw.allocate().is_ok(), port < 2, "five in all");
    }
    assert_eq!(raw.allocate(), Err(508));
    raw.username = "ann".into();
    raw.source.set_port(5_000);
    raw.request(Method::REFRESH, |b| b.push(&Lifetime(0))).unwrap();
    assert!(raw.allocate().is_ok(), "there is room again");
}

#[test]
fn time_limited_names_share_one_quota() {
    let mut raw = Raw::new(server_config().with_max_allocations_per_user(1));
    raw.get_challenged();
    for (number, good) in [(1, true), (2, false)] {
        let expires = Duration::from_secs(common::UNIX + 100 + number);
        let made = taut_turn::Credentials::time_limited("north", "bob", expires);
        (raw.username, raw.password) = (made.username, made.password);
        raw.source.set_port(5_000 + number as u16);
        assert_eq!(raw.allocate().is_ok(), good);
    }
}

#[test]
fn bandwidth_is_limited_per_user_both_ways_together() {
    let mut raw = Raw::new(server_config().with_bandwidth_per_user(100_000));
    raw.get_challenged();
    let answer = raw.allocate().unwrap();
    let relay = relay_of(&answer);
    bind(&mut raw, 0x4000, PEER).unwrap();
    let mut data = vec![0x40, 0, 3, 232];
    data.resize(1_004, 0);
    let path = raw.path();
    let mut through = 0;
    for round in 0..400 {
        through += raw.give(path, &data).len();
        through += raw.give(Path::udp(relay, address(PEER)), &data[4..]).len();
        if round == 199 {
            assert_eq!(through, 100, "a second's worth at once");
            raw.now += Duration::from_millis(500);
        }
    }
    assert_eq!(through, 150);
    assert_eq!(raw.server.stats().over_bandwidth, 650);
}

#[test]
fn tables_of_an_allocation_have_their_bounds() {
    let mut raw = Raw::allocated(server_config());
    let mut permitted = 0;
    for number in 0..400u16 {
        let [high, low] = number.to_be_bytes();
        permitted += usize::from(permit(&mut raw, &format!("198.51.{high}.{low}:1")).is_ok());
    }
    assert_eq!(permitted, MAX_PERMISSIONS);
    assert_eq!(permit(&mut raw, PEER), Err(508));
    assert_eq!(bind(&mut raw, 0x4000, PEER), Err(508), "a channel permits, too");
    assert!(permit(&mut raw, "198.51.0.0:1").is_ok(), "one that is there is kept");
    raw.now += Duration::from_secs(301);
    assert!(permit(&mut raw, PEER).is_ok(), "what is over makes room");
    let mut bound = 0;
    for number in 0..200u16 {
        bound +=
            usize::from(bind(&mut raw, 0x4000 + number, &format!("198.51.100.7:{}", 1_000 + number)).is_ok());
    }
    assert_eq!(bound, MAX_CHANNELS);
    assert_eq!(bind(&mut raw, 0x4fff, PEER), Err(508));
    raw.now += Duration::from_secs(601);
    assert!(bind(&mut raw, 0x4fff, PEER).is_ok(), "what is over makes room");
}

#[test]
fn a_number_that_is_bound_anew_is_not_its_former_peers() {
    for others in [0, MAX_CHANNELS as u16] {
        let mut raw = Raw::new(server_config());
        raw.get_challenged();
        let relay = relay_of(&raw.allocate().unwrap());
        bind(&mut raw, 0x4000, PEER).unwrap();
        for number in 1..others {
            bind(&mut raw, 0x4000 + number, &format!("198.51.100.7:{number}")).unwrap();
        }
        raw.now += Duration::from_secs(600);
        if others > 0 {
            // All that are over go for this one.
            bind(&mut raw, 0x4fff, "198.51.100.9:1").unwrap();
        }
        bind(&mut raw, 0x4000, "198.51.100.8:5000").unwrap();
        permit(&mut raw, PEER).unwrap();
        let got = raw.give(Path::udp(relay, address(PEER)), b"x");
        assert_eq!(get(&got[0].1), Some(peer(PEER)), "in an indication");
    }
}

#[test]
fn what_waits_is_bounded() {
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    let relay = relay_of(&raw.allocate().unwrap());
    permit(&mut raw, PEER).unwrap();
    for _ in 0..2 * MAX_QUEUED {
        let meta = Received { at: raw.now, path: Path::udp(relay, address(PEER)), ecn: None };
        raw.server.handle_datagram(meta, BytesMut::from(&b"x"[..]));
    }
    assert_eq!(raw.server.stats().congested, MAX_QUEUED as u64);
    let mut out = Vec::new();
    let mut polled = 0;
    while raw.server.poll_transmit(raw.now, 1, &mut out).is_some() {
        polled += 1;
    }
    assert_eq!(polled, MAX_QUEUED);
}

#[test]
fn a_blocked_stream_is_not_relayed_to() {
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    let relay = relay_of(&raw.allocate().unwrap());
    permit(&mut raw, PEER).unwrap();
    let path = raw.path();
    for (writable, sent) in [(false, 0), (true, 1)] {
        raw.server.handle_writable(path, writable);
        assert_eq!(raw.give(Path::udp(relay, address(PEER)), b"x").len(), sent);
    }
}

#[test]
fn allocations_end_with_their_lifetime_and_free_their_sockets() {
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    let relay = relay_of(&raw.allocate().unwrap());
    let ends = raw.server.poll_timeout().unwrap();
    assert_eq!(ends - raw.now, Duration::from_secs(600));
    raw.server.handle_timeout(ends - Duration::from_millis(1));
    assert_eq!((raw.server.allocations(), raw.server.poll_event()), (1, None));
    raw.server.handle_timeout(ends);
    assert_eq!(raw.server.allocations(), 0);
    assert_eq!(raw.server.poll_event(), Some(server::Event::Unbind(relay)));
    assert_eq!((raw.server.poll_timeout(), raw.server.stats().expired), (None, 1));
}

#[test]
fn one_of_two_relays_may_be_given_back() {
    let mut raw = Raw::allocated_both(server_config());
    permit(&mut raw, PEER).unwrap();
    permit(&mut raw, "[2001:db8:1::7]:1").unwrap();
    let v6 = RequestedAddressFamily(AddressFamily::V6);
    raw.request(Method::REFRESH, |b| b.push(&Lifetime(0)).push(&v6)).unwrap();
    assert_eq!(raw.server.allocations(), 1);
    assert_eq!(permit(&mut raw, "[2001:db8:1::7]:1"), Err(443));
    assert_eq!(raw.request(Method::REFRESH, |b| b.push(&v6)), Err(443));
    let path = raw.path();
    assert_eq!(raw.give(path, &send_indication(PEER, b"x")).len(), 1, "the other one is there");
    let v4 = RequestedAddressFamily(AddressFamily::V4);
    raw.request(Method::REFRESH, |b| b.push(&Lifetime(0)).push(&v4)).unwrap();
    assert_eq!(raw.server.allocations(), 0);
}

#[test]
fn a_socket_that_cannot_be_bound_is_looked_for_elsewhere() {
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    for (fails, good) in [(3, true), (100, false)] {
        let request = raw.signed(Method::ALLOCATE, |b| b.push(&RequestedTransport::UDP));
        let meta = Received { at: raw.now, path: raw.path(), ecn: None };
        raw.server.handle_datagram(meta, BytesMut::from(&request[..]));
        let (mut asked, mut ports) = (0, std::collections::BTreeSet::new());
        while let Some(server::Event::Bind(relay)) = raw.server.poll_event() {
            asked += 1;
            ports.insert(relay.port());
            // The same request once more while nothing is decided: no second answer.
            raw.server.handle_datagram(meta, BytesMut::from(&request[..]));
            raw.server.handle_bound(raw.now, relay, if asked > fails { Ok(()) } else { Err(()) });
        }
        let mut out = Vec::new();
        assert!(raw.server.poll_transmit(raw.now, 1, &mut out).is_some());
        assert!(raw.server.poll_transmit(raw.now, 1, &mut Vec::new()).is_none(), "one answer");
        assert_eq!(Message::parse(&out).unwrap().class() == Class::Success, good);
        assert_eq!((asked, ports.len()), if good { (4, 4) } else { (8, 8) });
        if good {
            raw.request(Method::REFRESH, |b| b.push(&Lifetime(0))).unwrap();
            while raw.server.poll_event().is_some() {}
        } else {
            assert_eq!(code(&out), 508);
            assert!(Message::parse(&out).unwrap().verify(&raw.key()).is_ok(), "signed");
        }
        assert_eq!(raw.server.allocations(), 0);
    }
    // A runner that never answers.
    let request = raw.signed(Method::ALLOCATE, |b| b.push(&RequestedTransport::UDP));
    let meta = Received { at: raw.now, path: raw.path(), ecn: None };
    raw.server.handle_datagram(meta, BytesMut::from(&request[..]));
    raw.server.handle_timeout(raw.now + Duration::from_secs(10));
    assert_eq!(raw.server.allocations(), 0);
}

#[test]
fn no_port_is_left_in_a_range_that_is_used_up() {
    let mut raw = Raw::new(server_config().with_relay_ports(50_000, 50_001));
    raw.get_challenged();
    let mut ports = std::collections::BTreeSet::new();
    for (port, good) in [(1, true), (2, true), (3, false)] {
        raw.source.set_port(port);
        match raw.allocate() {
            Ok(answer) => assert!(good && ports.insert(relay_of(&answer).port())),
            Err(code) => assert!(!good && code == 508),
        }
    }
    assert_eq!(ports, [50_000, 50_001].into());

    let mut raw = Raw::new(server_config().with_relay_ports(50_001, 50_003));
    raw.get_challenged();
    for expected in [Ok(50_002), Err(508)] {
        raw.source.set_port(raw.source.port() + 1);
        let even = EvenPort { reserve_next: false };
        let answer = raw.request(Method::ALLOCATE, |b| b.push(&RequestedTransport::UDP).push(&even));
        assert_eq!(answer.map(|answer| relay_of(&answer).port()), expected, "the one that is even");
    }
}

#[test]
fn events_that_nobody_polls_stop_new_allocations() {
    let mut raw =
        Raw::new(server_config().with_unauthenticated_per_second(100_000).with_max_allocations(100_000));
    raw.server = Server::new(
        server_config().with_max_allocations_per_user(100_000).with_max_allocations(100_000),
        taut_sansio::time::WallClock { instant: raw.now, unix: Duration::from_secs(common::UNIX) },
        taut_sansio::rng::Rng::from_u64(2),
    )
    .unwrap();
    raw.get_challenged();
    for port in 1..=2 * server::MAX_EVENTS as u16 {
        raw.source.set_port(port);
        let request = raw.signed(Method::ALLOCATE, |b| b.push(&RequestedTransport::UDP));
        let meta = Received { at: raw.now, path: raw.path(), ecn: None };
        raw.server.handle_datagram(meta, BytesMut::from(&request[..]));
    }
    assert_eq!(raw.server.allocations(), server::MAX_EVENTS);
    assert!(raw.server.stats().congested > 0);
    // Nor is another port looked for.
    let Some(server::Event::Bind(relay)) = raw.server.poll_event() else { panic!("a socket is asked for") };
    let request = raw.signed(Method::ALLOCATE, |b| b.push(&RequestedTransport::UDP));
    let meta = Received { at: raw.now, path: raw.path(), ecn: None };
    raw.server.handle_datagram(meta, BytesMut::from(&request[..]));
    raw.server.handle_bound(raw.now, relay, Err(()));
    assert_eq!(std::iter::from_fn(|| raw.server.poll_event()).count(), server::MAX_EVENTS);
}

#[test]
fn an_address_behind_a_translator_is_told_by_its_public_name() {
    let mut config = server_config();
    config.relays = vec![server::RelayAddress {
        bind: "10.9.9.9".parse().unwrap(),
        advertised: RELAY_V4.parse().unwrap(),
    }];
    let mut raw = Raw::new(config);
    raw.get_challenged();
    let first = raw.path();
    let a = relay_of(&raw.allocate().unwrap());
    assert_eq!(a.ip().to_string(), RELAY_V4);
    raw.source.set_port(4_001);
    let b = relay_of(&raw.allocate().unwrap());
    permit(&mut raw, &a.to_string()).unwrap();
    raw.source.set_port(4_000);
    permit(&mut raw, &b.to_string()).unwrap();
    // From one relay to the other, by the addresses that their clients know.
    let sent = raw.give(first, &send_indication(&b.to_string(), b"x"));
    assert_eq!(sent[0].0.remote.to_string(), format!("10.9.9.9:{}", b.port()));
    let back = Path { local: sent[0].0.remote, remote: sent[0].0.local, ..sent[0].0 };
    let got = raw.give(back, &sent[0].1);
    assert_eq!(get::<XorPeerAddress>(&got[0].1), Some(XorPeerAddress(a)));
}

#[test]
fn a_server_that_could_not_work_is_not_made() {
    let make = |config: ServerConfig| {
        let clock = taut_sansio::time::WallClock {
            #[allow(clippy::disallowed_methods, reason = "tests start somewhere")]
            instant: std::time::Instant::now(),
            unix: Duration::ZERO,
        };
        Server::new(config, clock, taut_sansio::rng::Rng::from_u64(1)).err()
    };
    let v4 = IpAddr::from([203, 0, 113, 2]);
    let good = || ServerConfig::default().with_user("a", "b").with_relay(v4);
    assert_eq!(make(good()), None);
    assert_eq!(make(good().with_realm("")), Some(ServerConfigError::Realm));
    assert_eq!(make(good().with_realm("r".repeat(29))), Some(ServerConfigError::Realm));
    assert_eq!(make(good().with_relay(v4)), Some(ServerConfigError::Relays));
    let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]);
    assert_eq!(make(good().with_relay(v6)), None);
    assert_eq!(make(good().with_relay(v6).with_relay(v6)), Some(ServerConfigError::Relays));
    assert_eq!(make(ServerConfig::default().with_user("a", "b")), Some(ServerConfigError::Relays));
    let mixed = server::RelayAddress { bind: v4, advertised: "::1".parse().unwrap() };
    let mixed = ServerConfig::default().with_user("a", "b").with_relay(mixed);
    assert_eq!(make(mixed), Some(ServerConfigError::Relays));
    assert_eq!(make(good().with_relay_ports(5, 4)), Some(ServerConfigError::RelayPorts));
    assert_eq!(make(good().with_relay_ports(0, 4)), Some(ServerConfigError::RelayPorts));
    assert_eq!(make(ServerConfig::default().with_relay(v4)), Some(ServerConfigError::Users));
}

#[test]
fn datagrams_of_one_size_leave_together() {
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    let relay = relay_of(&raw.allocate().unwrap());
    bind(&mut raw, 0x4000, PEER).unwrap();
    for length in [8, 8, 8, 8, 8, 3, 8, 0, 8, 9] {
        let meta = Received { at: raw.now, path: Path::udp(relay, address(PEER)), ecn: None };
        raw.server.handle_datagram(meta, BytesMut::from(&vec![7; length][..]));
    }
    let mut batches = Vec::new();
    let mut out = Vec::new();
    while let Some(transmit) = raw.server.poll_transmit(raw.now, 4, &mut out) {
        batches.push((transmit.len, transmit.segment_size));
    }
    let expected = [(48, Some(12)), (19, Some(12)), (12, None), (4, None), (12, None), (13, None)];
    assert_eq!(batches, expected);
}
