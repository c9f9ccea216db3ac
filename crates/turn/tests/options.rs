//! Options and counters that nothing else shows: each makes the difference that it is for.
#![allow(clippy::disallowed_methods, reason = "a starting point for virtual time")]

mod common;

use std::time::{Duration, Instant};

use common::{Lab, Raw, SERVER, address, client_config, code, server_config};
use taut_sansio::net::{Path, Received, Transport};
use taut_sansio::rng::Rng;
use taut_stun::attribute::{
    AddressFamily, ChangeRequest, Lifetime, OtherAddress, RequestedAddressFamily, RequestedTransport,
    ResponseOrigin, Software, XorMappedAddress,
};
use taut_stun::{Builder, Class, Message, Method, TransactionId};
use taut_turn::{Client, server};

const SECOND: Duration = Duration::from_secs(1);

fn lifetime(message: &[u8]) -> Option<u32> {
    Message::parse(message).unwrap().get::<Lifetime>().unwrap().map(|Lifetime(seconds)| seconds)
}

#[test]
fn no_allocation_is_granted_for_longer_than_the_server_allows() {
    for (most, asked, granted) in [(3_600, 7_200, 3_600), (900, 7_200, 900), (900, 700, 700), (300, 700, 300)]
    {
        let mut raw = Raw::new(server_config().with_max_lifetime(Duration::from_secs(most)));
        raw.get_challenged();
        let answer =
            raw.request(Method::ALLOCATE, |b| b.push(&RequestedTransport::UDP).push(&Lifetime(asked)));
        assert_eq!(lifetime(&answer.unwrap()), Some(granted), "{most} {asked}");
    }
}

#[test]
fn a_client_asks_for_the_lifetime_that_is_set() {
    for seconds in [120, 900] {
        let config = client_config().with_lifetime(Duration::from_secs(seconds));
        let now = Instant::now();
        let server = address(SERVER);
        let mut client =
            Client::new(now, config, Transport::Udp, address("10.0.0.1:6000"), server, Rng::from_u64(1));
        let mut out = Vec::new();
        assert!(client.poll_transmit(now, 1, &mut out).is_some());
        assert_eq!(lifetime(&out), Some(seconds as u32));
    }
}

#[test]
fn a_silent_server_is_asked_as_often_as_the_keepalive_says() {
    let next = |keepalive| {
        let mut lab = Lab::new(server_config());
        lab.add(Transport::Udp, client_config().with_keepalive(keepalive));
        lab.run(2 * SECOND);
        // The allocation was granted at once.
        lab.ends[0].client.poll_timeout().unwrap() - lab.start
    };
    assert_eq!((next(6 * SECOND), next(40 * SECOND)), (6 * SECOND, 40 * SECOND));
}

#[test]
fn challenges_and_refusals_are_counted() {
    let mut raw = Raw::new(server_config());
    let counted = |raw: &Raw| (raw.server.stats().challenged, raw.server.stats().refused);
    raw.get_challenged();
    assert_eq!(counted(&raw), (1, 0));
    raw.password = "wrong".into();
    assert_eq!(raw.allocate().map(|_| ()), Err(401));
    assert_eq!(counted(&raw), (2, 0));
    raw.password = "secret".into();
    let nothing = raw.request(Method::ALLOCATE, |b| b);
    assert_eq!((nothing.map(|_| ()), counted(&raw)), (Err(400), (2, 1)));
}

#[test]
fn a_nonce_is_good_for_as_long_as_is_set() {
    for seconds in [60, 7_200] {
        let mut raw = Raw::new(server_config().with_nonce_lifetime(Duration::from_secs(seconds)));
        raw.get_challenged();
        raw.now += Duration::from_secs(seconds) - SECOND;
        assert!(raw.allocate().is_ok(), "{seconds}");
        raw.now += 2 * SECOND;
        assert_eq!(raw.request(Method::REFRESH, |b| b).map(|_| ()), Err(438), "{seconds}");
    }
}

#[test]
fn the_socket_of_a_relay_that_is_given_back_is_freed() {
    let mut raw = Raw::allocated_both(server_config());
    let v6 = RequestedAddressFamily(AddressFamily::V6);
    let request = raw.signed(Method::REFRESH, |b| b.push(&Lifetime(0)).push(&v6));
    let meta = Received { at: raw.now, path: raw.path(), ecn: None };
    raw.server.handle_datagram(meta, request.as_slice().into());
    let freed = std::iter::from_fn(|| raw.server.poll_event()).filter(|event| match event {
        server::Event::Unbind(relay) => relay.is_ipv6(),
        _ => false,
    });
    assert_eq!(freed.count(), 1);
}

fn binding(change: Option<ChangeRequest>, software: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut builder = Builder::new(&mut out, Class::Request, Method::BINDING, TransactionId([1; 12]));
    if let Some(change) = change {
        builder = builder.push(&change);
    }
    if !software.is_empty() {
        builder = builder.push(&Software::new(software));
    }
    builder.finish().unwrap();
    out
}

#[test]
fn with_two_addresses_a_server_answers_from_where_it_is_asked_to() {
    let [first, second] = [address("192.0.2.10:3478"), address("192.0.2.11:3479")];
    let source = address("198.51.100.1:4000");
    let mut raw = Raw::new(server_config().with_behavior(first, second));
    for own in ["192.0.2.10:3478", "192.0.2.11:3479", "192.0.2.10:3479", "192.0.2.11:3478"].map(address) {
        let other_ip = if own.ip() == first.ip() { second.ip() } else { first.ip() };
        let other_port = if own.port() == first.port() { second.port() } else { first.port() };
        for (ip, port) in [(false, false), (false, true), (true, false), (true, true)] {
            let request = binding(Some(ChangeRequest { ip, port }), "");
            let answers = raw.give(Path::udp(own, source), &request);
            let [(path, answer)] = &answers[..] else { panic!("one answer: {answers:?}") };
            let from = (if ip { other_ip } else { own.ip() }, if port { other_port } else { own.port() });
            assert_eq!(*path, Path::udp(from.into(), source));
            let answer = Message::parse(answer).unwrap();
            assert_eq!(answer.get(), Ok(Some(XorMappedAddress(source))));
            assert_eq!(answer.get(), Ok(Some(ResponseOrigin(from.into()))));
            assert_eq!(answer.get(), Ok(Some(OtherAddress((other_ip, other_port).into()))));
        }
    }
    // Elsewhere, over a stream, and by a server with one address nothing is told, and nothing else is done.
    let elsewhere = Path::udp(address("192.0.2.12:3478"), source);
    let stream = Path { transport: Transport::Tcp, ..Path::udp(first, source) };
    let mut plain = Raw::new(server_config());
    let told = |raw: &mut Raw, path| {
        let asked = raw.give(path, &binding(None, ""));
        assert_eq!(asked[0].0, path);
        let changed = raw.give(path, &binding(Some(ChangeRequest { ip: true, port: true }), ""));
        assert_eq!((changed[0].0, code(&changed[0].1)), (path, 420));
        Message::parse(&asked[0].1).unwrap().get::<OtherAddress>().unwrap().is_some()
    };
    assert!(
        !told(&mut raw, elsewhere) && !told(&mut raw, stream) && !told(&mut plain, Path::udp(first, source))
    );
}

#[test]
fn who_asks_how_nats_behave_is_not_answered_with_more_than_three_times_as_much() {
    let [first, second] = [address("[2001:db8::10]:3478"), address("[2001:db8::11]:3479")];
    let source = address("[2001:db8::1]:4000");
    let mut raw = Raw::new(server_config().with_behavior(first, second));
    let path = Path::udp(first, source);
    let mut ask = |change, software| {
        let request = binding(change, software);
        let answer = raw.give(path, &request).pop().map(|(_, answer)| answer)?;
        assert!(answer.len() <= 3 * request.len(), "{} for {}", answer.len(), request.len());
        Some(Message::parse(&answer).unwrap().get::<OtherAddress>().unwrap().is_some())
    };
    let change = Some(ChangeRequest { ip: true, port: true });
    assert_eq!(ask(None, ""), Some(false), "the mapped address alone");
    assert_eq!(ask(None, "twelve octets"), Some(true));
    assert_eq!(ask(change, ""), None);
    assert_eq!(ask(change, "four"), Some(true));
    assert_eq!(raw.server.stats().amplifying, 1);
}

#[test]
fn the_two_addresses_differ_in_ip_and_port() {
    let good = address("192.0.2.10:3478");
    for wrong in ["192.0.2.10:3479", "192.0.2.11:3478", "[2001:db8::1]:3479", "0.0.0.0:3479", "192.0.2.11:0"]
    {
        for (first, second) in [(good, address(wrong)), (address(wrong), good)] {
            let config = server_config().with_behavior(first, second);
            let clock = taut_sansio::time::WallClock { instant: Instant::now(), unix: Duration::ZERO };
            let made = server::Server::new(config, clock, Rng::from_u64(1));
            assert_eq!(made.err(), Some(server::ServerConfigError::Behavior), "{wrong}");
        }
    }
}
