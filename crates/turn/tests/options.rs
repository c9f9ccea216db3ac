//! Options and counters that nothing else shows: each makes the difference that it is for.
#![allow(clippy::disallowed_methods, reason = "a starting point for virtual time")]

mod common;

use std::time::{Duration, Instant};

use common::{Lab, Raw, SERVER, address, client_config, server_config};
use taut_sansio::net::{Received, Transport};
use taut_sansio::rng::Rng;
use taut_stun::Message;
use taut_stun::Method;
use taut_stun::attribute::{
    AdditionalAddressFamily, AddressFamily, Lifetime, RequestedAddressFamily, RequestedTransport,
};
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
    let mut raw = Raw::new(server_config());
    raw.get_challenged();
    let both = AdditionalAddressFamily(AddressFamily::V6);
    raw.request(Method::ALLOCATE, |b| b.push(&RequestedTransport::UDP).push(&both)).unwrap();
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
