//! NAT behaviour discovery behind every kind of translator of the simulated network.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_netsim::{Dependence as Kind, Link, Loss, Nat, Node, NodeId, World};
use taut_sansio::net::{Path, Received, Transmit};
use taut_sansio::rng::Rng;
use taut_stun::attribute::{ErrorCode, OtherAddress, Priority, UnknownAttributes, XorMappedAddress};
use taut_stun::behavior::{Dependence, Discovery, Event, NatBehavior, answer};
use taut_stun::{AttributeType, Builder, Class, Message, Method, Retransmission, TransactionId, binding};

const CLIENT: &str = "10.0.0.1:5000";
const OWN: &str = "198.51.100.1:3478";
const OTHER: &str = "198.51.100.2:3479";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// How a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manners {
    Good,
    /// It knows nothing of RFC 5780.
    Plain,
    /// It tells of another address, and answers from where it was asked all the same.
    Lazy,
    /// It tells of another address that does not answer.
    Half,
}

#[allow(clippy::large_enum_variant, reason = "there are few")]
enum Host {
    Client(Discovery, Option<Event>),
    Server(Manners, VecDeque<(Path, Vec<u8>)>),
}

impl Host {
    fn serve(manners: Manners, path: Path, datagram: &[u8]) -> Option<(Path, Vec<u8>)> {
        let mut out = Vec::new();
        let (own, other) = (address(OWN), address(OTHER));
        let flip = |ip: bool| if ip { other.ip() } else { own.ip() };
        let opposite = SocketAddr::new(
            flip(path.local.ip() == own.ip()),
            if path.local.port() == own.port() { other.port() } else { own.port() },
        );
        let from = match manners {
            Manners::Plain => {
                binding::answer(datagram, path.remote, &mut out)?;
                path.local
            }
            Manners::Half if path.local.ip() == other.ip() => return None,
            _ => answer(datagram, path.remote, path.local, opposite, &mut out)?.1,
        };
        let from = if manners == Manners::Lazy { path.local } else { from };
        Some((Path::udp(from, path.remote), out))
    }
}

impl Node for Host {
    fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        match self {
            Self::Client(client, _) => drop(client.handle_datagram(meta, &datagram)),
            Self::Server(manners, replies) => replies.extend(Self::serve(*manners, meta.path, &datagram)),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Self::Client(client, _) = self {
            client.handle_timeout(now);
        }
    }

    fn poll_transmit(&mut self, now: Instant, _: usize, out: &mut Vec<u8>) -> Option<Transmit> {
        match self {
            Self::Client(client, event) => {
                let transmit = client.poll_transmit(now, out);
                *event = event.take().or_else(|| client.poll_event());
                transmit
            }
            Self::Server(_, replies) => {
                let (path, reply) = replies.pop_front()?;
                out.extend_from_slice(&reply);
                Some(Transmit::single(path, reply.len()))
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Client(client, _) => client.poll_timeout(),
            Self::Server(..) => None,
        }
    }
}

fn client(world: &mut World<Host>) -> NodeId {
    let path = Path::udp(address(CLIENT), address(OWN));
    let discovery = Discovery::new(world.now(), path, Rng::from_u64(5));
    world.add_node(Host::Client(discovery, None), &[address(CLIENT).ip()])
}

fn run(seed: u64, nat: Option<Nat>, manners: Manners, link: Link) -> (Event, Duration) {
    let mut world = World::new(seed);
    world.set_default_link(link);
    let client = client(&mut world);
    let ips: [IpAddr; 2] = [address(OWN).ip(), address(OTHER).ip()];
    world.add_node(Host::Server(manners, VecDeque::new()), &ips);
    if let Some(nat) = nat {
        let nat = world.add_nat(nat);
        world.place_behind(client, nat);
    }
    let done = |world: &World<Host>| matches!(world.node(client), Host::Client(_, Some(_)));
    assert!(world.run_until(Duration::from_secs(60), |world| done(world)), "it ends");
    let took = world.elapsed();
    world.run_for(Duration::from_secs(60));
    let Host::Client(discovery, event) = world.node_mut(client) else { panic!("the client") };
    assert_eq!(discovery.poll_timeout(), None);
    assert_eq!(discovery.poll_event(), None, "once");
    (event.take().expect("an event"), took)
}

fn link() -> Link {
    Link::default().latency(Duration::from_millis(20))
}

fn found(event: Event) -> NatBehavior {
    match event {
        Event::Found(behavior) => behavior,
        other => panic!("{other:?}"),
    }
}

fn same(kind: Kind) -> Option<Dependence> {
    Some(match kind {
        Kind::EndpointIndependent => Dependence::EndpointIndependent,
        Kind::AddressDependent => Dependence::AddressDependent,
        Kind::AddressAndPortDependent => Dependence::AddressAndPortDependent,
    })
}

#[test]
fn every_kind_of_translator_is_told_from_the_others() {
    for mapping in Kind::ALL {
        for filtering in Kind::ALL {
            for seed in 0..5 {
                let nat = Nat::with(mapping, filtering, "203.0.113.1".parse().unwrap());
                let lossy = if seed == 0 { link() } else { link().loss(Loss::Random(0.05)) };
                let (event, took) = run(seed, Some(nat), Manners::Good, lossy);
                let behavior = found(event);
                assert_eq!(behavior.mapping, same(mapping), "{mapping:?}/{filtering:?}");
                assert_eq!(behavior.filtering, same(filtering), "{mapping:?}/{filtering:?}");
                assert!(behavior.is_translated());
                assert_eq!(behavior.mapped.ip().to_string(), "203.0.113.1");
                assert!(took < Duration::from_secs(30), "{took:?}");
            }
        }
    }
}

#[test]
fn without_a_translator_everything_is_independent() {
    let (event, took) = run(1, None, Manners::Good, link());
    let behavior = found(event);
    assert!(!behavior.is_translated());
    assert_eq!(behavior.mapping, Some(Dependence::EndpointIndependent));
    assert_eq!(behavior.filtering, Some(Dependence::EndpointIndependent));
    assert_eq!(took, Duration::from_millis(3 * 40), "three round trips");
}

#[test]
fn what_a_server_cannot_tell_stays_unknown() {
    let nat = || Some(Nat::with(Kind::AddressDependent, Kind::AddressDependent, [203, 0, 113, 1].into()));
    let of = |manners| found(run(1, nat(), manners, link()).0);
    let plain = of(Manners::Plain);
    assert_eq!((plain.mapping, plain.filtering), (None, None));
    assert!(plain.is_translated(), "that is known");
    let lazy = of(Manners::Lazy);
    assert_eq!((lazy.mapping, lazy.filtering), (Some(Dependence::AddressDependent), None));
    assert_eq!(of(Manners::Half).mapping, None);
}

#[test]
fn silence_and_refusals_are_told() {
    let (event, _) = run(1, None, Manners::Good, link().loss(Loss::Random(1.0)));
    assert_eq!(event, Event::TimedOut);
    let (mut scene, request) = Scene::new();
    let request = Message::parse(&request).unwrap();
    let mut reply = Vec::new();
    let _ = Builder::answer(&mut reply, Class::Error, &request).push(&ErrorCode::new(403, "no")).finish();
    assert!(scene.take(OWN, &reply));
    assert_eq!(scene.discovery.poll_event(), Some(Event::Refused { code: 403, reason: "no".into() }));
}

/// A machine whose server is played by the test.
struct Scene {
    discovery: Discovery,
    now: Instant,
}

impl Scene {
    fn new() -> (Self, Vec<u8>) {
        let now = Instant::now();
        let path = Path::udp(address(CLIENT), address(OWN));
        let mut scene = Self { discovery: Discovery::new(now, path, Rng::from_u64(5)), now };
        let (to, request) = scene.next().expect("a request");
        assert_eq!(to, address(OWN));
        (scene, request)
    }

    fn next(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let mut out = Vec::new();
        let transmit = self.discovery.poll_transmit(self.now, &mut out)?;
        Some((transmit.path.remote, out))
    }

    fn take(&mut self, from: &str, datagram: &[u8]) -> bool {
        self.take_on(Path::udp(address(CLIENT), address(from)), datagram)
    }

    fn take_on(&mut self, path: Path, datagram: &[u8]) -> bool {
        self.discovery.handle_datagram(Received { at: self.now, path, ecn: None }, datagram)
    }
}

fn reply(request: &[u8], other: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let request = Message::parse(request).unwrap();
    let _ = Builder::answer(&mut out, Class::Success, &request)
        .push(&XorMappedAddress(address("203.0.113.1:9")))
        .push(&OtherAddress(address(other)))
        .finish();
    out
}

#[test]
fn an_answer_from_a_stranger_or_a_damaged_one_changes_nothing() {
    let (mut scene, request) = Scene::new();
    assert!(scene.take("198.51.100.9:3478", &reply(&request, OTHER)));
    assert_eq!(scene.discovery.stats().unexpected, 1);
    let mut bare = Vec::new();
    let message = Message::parse(&request).unwrap();
    let _ = Builder::answer(&mut bare, Class::Success, &message).finish();
    assert!(scene.take(OWN, &bare));
    assert_eq!(scene.discovery.stats().malformed, 1);
    let other_socket = Path::udp(address("10.0.0.1:5001"), address(OWN));
    assert!(scene.take_on(other_socket, &reply(&request, OTHER)));
    assert_eq!(scene.discovery.stats().unexpected, 2);
    let build = |method, finish: fn(Builder<'_>) -> Option<usize>| {
        let mut out = Vec::new();
        let builder = Builder::new(&mut out, Class::Success, method, message.transaction_id());
        finish(builder.push(&XorMappedAddress(address("203.0.113.1:9")))).unwrap();
        out
    };
    let mut damaged = build(Method::BINDING, |b| b.fingerprint().finish());
    *damaged.last_mut().unwrap() ^= 1;
    let unknown = build(Method::BINDING, |b| b.push(&Priority(1)).finish());
    assert!(scene.take(OWN, &damaged) && scene.take(OWN, &unknown));
    assert_eq!(scene.discovery.stats().malformed, 3);
    let other_method = build(Method::ALLOCATE, |b| b.finish());
    assert!(!scene.take(OWN, &other_method));
    assert!(!scene.take(OWN, b"junk"));
    assert!(!scene.take(OWN, &request), "our own request back");
    assert!(scene.next().is_none(), "the first one is still waited for");
    assert!(scene.take(OWN, &reply(&request, OTHER)));
    assert_eq!(scene.next().map(|(to, _)| to), Some(address(OWN)), "filtering begins");
}

#[test]
fn a_server_cannot_send_us_to_places_that_are_no_second_server() {
    for bad in [
        "0.0.0.0:3479",
        "224.0.0.251:5353",
        "255.255.255.255:3479",
        "127.0.0.1:3479",
        "198.51.100.1:3479",
        "198.51.100.2:3478",
        "198.51.100.2:0",
        "[2001:db8::1]:3479",
    ] {
        let (mut scene, request) = Scene::new();
        assert!(scene.take(OWN, &reply(&request, bad)));
        assert!(scene.next().is_none(), "{bad}");
        let event = scene.discovery.poll_event();
        assert!(matches!(event, Some(Event::Found(behavior)) if behavior.mapping.is_none()), "{bad}");
    }
}

#[test]
fn what_the_first_answers_say_is_not_changed_by_later_ones() {
    let (mut scene, request) = Scene::new();
    assert!(scene.take(OWN, &reply(&request, OTHER)));
    let (two, three) = (scene.next().unwrap().1, scene.next().unwrap().1);
    let elsewhere = "198.51.100.77:3477";
    assert!(scene.take(OTHER, &reply(&two, elsewhere)));
    assert!(!scene.take(OWN, &reply(&two, elsewhere)), "test II is decided");
    assert!(scene.take("198.51.100.1:3479", &reply(&three, elsewhere)));
    let (to, mapping) = scene.next().unwrap();
    assert_eq!(to, address("198.51.100.2:3478"), "the other address that the server told of first");
    assert!(scene.take("198.51.100.2:3478", &reply(&mapping, elsewhere)));
    let behavior = found(scene.discovery.poll_event().unwrap());
    assert_eq!(behavior.filtering, Some(Dependence::EndpointIndependent));
    assert_eq!(behavior.mapping, Some(Dependence::EndpointIndependent));
}

#[test]
fn a_refusal_of_a_later_test_leaves_only_that_one_unknown() {
    let (mut scene, request) = Scene::new();
    assert!(scene.take(OWN, &reply(&request, OTHER)));
    for _ in 0..2 {
        let (_, test) = scene.next().unwrap();
        let (mut refusal, test) = (Vec::new(), Message::parse(&test).unwrap());
        let error = ErrorCode::new(500, "");
        let _ = Builder::answer(&mut refusal, Class::Error, &test).push(&error).finish();
        assert!(scene.take(OWN, &refusal));
        assert_eq!(scene.discovery.poll_event(), None);
    }
    let (_, mapping) = scene.next().expect("mapping II");
    assert!(scene.take("198.51.100.2:3478", &reply(&mapping, OTHER)));
    let behavior = found(scene.discovery.poll_event().unwrap());
    assert_eq!((behavior.filtering, behavior.mapping), (None, Some(Dependence::EndpointIndependent)));
}

#[test]
fn the_server_answers_whole_binding_requests_only_and_names_what_it_does_not_know() {
    let ask = |class, method, finish: fn(Builder<'_>) -> Option<usize>| {
        let mut request = Vec::new();
        finish(Builder::new(&mut request, class, method, TransactionId([1; 12]))).unwrap();
        request
    };
    let answered = |request: &[u8]| {
        let mut out = Vec::new();
        let (len, _) = answer(request, address(CLIENT), address(OWN), address(OTHER), &mut out)?;
        assert_eq!(len, out.len());
        Some(out)
    };
    for (class, method) in [
        (Class::Indication, Method::BINDING),
        (Class::Success, Method::BINDING),
        (Class::Error, Method::BINDING),
        (Class::Request, Method::ALLOCATE),
    ] {
        assert_eq!(answered(&ask(class, method, |b| b.finish())), None);
    }
    let mut request = ask(Class::Request, Method::BINDING, |b| b.fingerprint().finish());
    assert!(answered(&request).is_some());
    *request.last_mut().unwrap() ^= 1;
    assert_eq!(answered(&request), None, "damaged");
    let strange = ask(Class::Request, Method::BINDING, |b| b.push(&Priority(1)).finish());
    let refusal = answered(&strange).unwrap();
    let refusal = Message::parse(&refusal).unwrap();
    assert_eq!(refusal.get::<ErrorCode<'_>>().unwrap().unwrap().code, 420);
    let unknown = refusal.get::<UnknownAttributes>().unwrap().unwrap();
    assert_eq!(unknown.types().collect::<Vec<_>>(), [AttributeType::PRIORITY]);
}

#[test]
fn patience_is_a_choice() {
    let now = Instant::now();
    let path = Path::udp(address(CLIENT), address(OWN));
    let policy = Retransmission::default().with_transmissions(1).with_last_wait(1);
    let mut discovery = Discovery::with_retransmission(now, path, policy, Rng::from_u64(1));
    assert!(discovery.poll_transmit(now, &mut Vec::new()).is_some());
    let end = discovery.poll_timeout().unwrap();
    assert_eq!(end - now, Duration::from_millis(500));
    discovery.handle_timeout(end);
    assert_eq!(discovery.poll_event(), Some(Event::TimedOut));
}

#[test]
fn machines_are_send_sync_debug() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<Discovery>();
    check::<Event>();
}
