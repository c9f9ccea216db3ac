//! Worlds of small nodes: routing, translators, invariants, repeatability.
#![allow(clippy::disallowed_methods, reason = "tests may read the clock")]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_netsim::{Link, Loss, MULTICAST_GROUPS, Nat, NatKind, Node, NodeId, World};
use taut_sansio::net::{Ecn, Path, Received, Transmit};

const MS: Duration = Duration::from_millis(1);

/// Sends what it is given, keeps what it gets, and answers if it is told to.
#[derive(Default)]
struct Host {
    outbox: VecDeque<(Path, Vec<u8>, Option<usize>)>,
    inbox: Vec<(Received, Vec<u8>)>,
    echo: bool,
    timer: Option<Instant>,
    stuck: bool,
    chatter: bool,
}

impl Host {
    fn send(&mut self, from: &str, to: &str, octets: &[u8]) {
        self.outbox.push_back((Path::udp(address(from), address(to)), octets.to_vec(), None));
    }

    fn texts(&self) -> Vec<&str> {
        self.inbox.iter().map(|(_, octets)| std::str::from_utf8(octets).unwrap()).collect()
    }
}

impl Node for Host {
    fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        if self.echo {
            self.outbox.push_back((meta.path, datagram.to_vec(), None));
        }
        self.inbox.push((meta, datagram.to_vec()));
    }
    fn handle_timeout(&mut self, now: Instant) {
        if self.timer.is_some_and(|at| at <= now) && !self.stuck {
            self.timer = None;
        }
    }
    fn poll_transmit(&mut self, _now: Instant, _max_segments: usize, out: &mut Vec<u8>) -> Option<Transmit> {
        if self.chatter {
            self.send("192.0.2.1:1", "192.0.2.2:2", b"again");
        }
        let (path, octets, segment_size) = self.outbox.pop_front()?;
        out.extend_from_slice(&octets);
        Some(Transmit { segment_size, ecn: Some(Ecn::Ect0), ..Transmit::single(path, octets.len()) })
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.timer
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn pair(seed: u64) -> (World<Host>, NodeId, NodeId) {
    let mut world = World::new(seed);
    let a = world.add_node(Host::default(), &[ip("192.0.2.1")]);
    let b = world.add_node(Host::default(), &[ip("192.0.2.2")]);
    (world, a, b)
}

#[test]
fn a_datagram_takes_its_time_and_keeps_its_mark() {
    let (mut world, a, b) = pair(1);
    world.set_link(a, b, Link::default().latency(30 * MS));
    let start = world.now();
    world.node_mut(a).send("192.0.2.1:1", "192.0.2.2:2", b"hi");
    assert!(world.run_until(Duration::from_secs(1), |world| !world.node(b).inbox.is_empty()));
    let (meta, octets) = &world.node(b).inbox[0];
    assert_eq!(octets, b"hi");
    assert_eq!(meta.at, start + 30 * MS);
    assert_eq!(meta.ecn, Some(Ecn::Ect0));
    assert_eq!(meta.path, Path::udp(address("192.0.2.2:2"), address("192.0.2.1:1")));
    assert_eq!(world.elapsed(), 30 * MS);
    assert!(!world.step(), "nothing more will happen");
}

#[test]
fn time_goes_to_the_limit_and_no_further() {
    let (mut world, a, b) = pair(1);
    world.set_default_link(Link::default().latency(30 * MS));
    world.node_mut(a).send("192.0.2.1:1", "192.0.2.2:2", b"hi");
    assert!(!world.run_until(29 * MS, |world| !world.node(b).inbox.is_empty()));
    assert_eq!(world.elapsed(), 29 * MS);
    world.run_for(MS);
    assert_eq!(world.node(b).inbox.len(), 1);
    let timer = world.now() + 5 * MS;
    world.node_mut(b).timer = Some(timer);
    assert!(world.step());
    assert_eq!(world.now(), timer);
    assert_eq!(world.node(b).timer, None);
}

#[test]
fn segments_become_datagrams() {
    let (mut world, a, b) = pair(1);
    let path = Path::udp(address("192.0.2.1:1"), address("192.0.2.2:2"));
    world.node_mut(a).outbox.push_back((path, b"aaabbbc".to_vec(), Some(3)));
    world.run_for(MS);
    assert_eq!(world.node(b).texts(), ["aaa", "bbb", "c"]);
}

#[test]
fn what_nobody_owns_goes_nowhere() {
    let (mut world, a, b) = pair(1);
    world.node_mut(a).send("192.0.2.1:1", "192.0.2.77:2", b"to nobody");
    world.node_mut(a).send("192.0.2.9:1", "192.0.2.2:2", b"not mine");
    world.run_for(MS);
    assert_eq!(world.stats().unroutable, 2);
    world.set_default_link(Link::default().latency(MS));
    world.node_mut(a).send("192.0.2.1:1", "192.0.2.2:2", b"gone meanwhile");
    world.settle();
    world.remove_address(b, ip("192.0.2.2"));
    world.run_for(2 * MS);
    assert_eq!((world.stats().unroutable, world.stats().delivered), (3, 0));
}

#[test]
fn the_group_reaches_its_members() {
    let (mut world, a, b) = pair(1);
    let c = world.add_node(Host::default(), &[ip("192.0.2.3")]);
    for node in [a, b] {
        world.join_multicast(node);
    }
    assert_eq!(MULTICAST_GROUPS, [ip("224.0.0.251"), ip("ff02::fb")]);
    world.node_mut(a).send("0.0.0.0:5353", "224.0.0.251:5353", b"who");
    world.run_for(MS);
    assert_eq!(world.node(a).texts(), ["who"], "a member hears itself");
    assert!(world.node(c).inbox.is_empty());
    let path = world.node(b).inbox[0].0.path;
    assert_eq!(path, Path::udp(address("0.0.0.0:5353"), address("192.0.2.1:5353")));
    world.node_mut(b).send("0.0.0.0:5353", "192.0.2.1:5353", b"me");
    world.run_for(MS);
    assert_eq!(world.node(a).inbox[1].0.path, Path::udp(address("0.0.0.0:5353"), address("192.0.2.2:5353")));

    world.add_address(a, ip("2001:db8::1"));
    world.node_mut(a).send("[::]:5353", "[ff02::fb]:5353", b"six");
    world.run_for(MS);
    assert_eq!(world.node(b).inbox.len(), 1, "one without an address of the family is no member");
    world.add_address(b, ip("2001:db8::2"));
    world.node_mut(a).send("[::]:5353", "[ff02::fb]:5353", b"six");
    world.run_for(MS);
    let path = world.node(b).inbox[1].0.path;
    assert_eq!(path, Path::udp(address("[::]:5353"), address("[2001:db8::1]:5353")));
}

/// Two hosts with the same private address behind translators, and an echo server outside.
fn behind(kinds: [NatKind; 2]) -> (World<Host>, [NodeId; 2], NodeId) {
    let mut world = World::new(5);
    world.set_default_link(Link::default().latency(10 * MS));
    let hosts = [("203.0.113.1", kinds[0]), ("203.0.113.2", kinds[1])].map(|(public, kind)| {
        let node = world.add_node(Host::default(), &[ip("10.0.0.2")]);
        let nat = world.add_nat(Nat::new(kind, ip(public)));
        world.place_behind(node, nat);
        node
    });
    let server = world.add_node(Host { echo: true, ..Host::default() }, &[ip("198.51.100.1")]);
    (world, hosts, server)
}

/// Both learn their public address from the server, then send to each other at the same time, three times.
fn punch(kinds: [NatKind; 2]) -> bool {
    let (mut world, hosts, server) = behind(kinds);
    for host in hosts {
        world.node_mut(host).send("10.0.0.2:500", "198.51.100.1:3478", b"where am I");
    }
    world.run_for(100 * MS);
    let seen: Vec<SocketAddr> = world.node(server).inbox.iter().map(|(meta, _)| meta.path.remote).collect();
    assert_eq!(seen.iter().map(|a| a.ip().to_string()).collect::<Vec<_>>(), ["203.0.113.1", "203.0.113.2"]);
    for _ in 0..3 {
        for (host, other) in [(hosts[0], seen[1]), (hosts[1], seen[0])] {
            world.node_mut(host).send("10.0.0.2:500", &other.to_string(), b"punch");
        }
        world.run_for(30 * MS);
    }
    hosts.iter().any(|host| world.node(*host).texts().contains(&"punch"))
}

#[test]
fn holes_are_punched_where_they_can_be() {
    use NatKind::*;
    assert!(punch([FullCone, FullCone]));
    assert!(punch([PortRestricted, PortRestricted]));
    assert!(punch([AddressRestricted, Symmetric]));
    assert!(!punch([PortRestricted, Symmetric]));
    assert!(!punch([Symmetric, Symmetric]));
}

#[test]
fn hairpins_are_refused_unless_asked_for() {
    for (nat, expected) in [
        (Nat::new(NatKind::FullCone, ip("203.0.113.1")), 0),
        (Nat::new(NatKind::FullCone, ip("203.0.113.1")).with_hairpin(), 1),
    ] {
        let mut world = World::new(5);
        let nat = world.add_nat(nat);
        let [a, b] = ["10.0.0.2", "10.0.0.3"].map(|host| {
            let node = world.add_node(Host::default(), &[ip(host)]);
            world.place_behind(node, nat);
            node
        });
        let server = world.add_node(Host { echo: true, ..Host::default() }, &[ip("198.51.100.1")]);
        world.node_mut(b).send("10.0.0.3:500", "198.51.100.1:3478", b"where am I");
        world.run_for(MS);
        let seen = world.node(server).inbox[0].0.path.remote.to_string();
        world.node_mut(a).send("10.0.0.2:500", &seen, b"hairpin");
        world.node_mut(a).send("10.0.0.2:500", "10.0.0.3:500", b"direct");
        world.run_for(MS);
        let texts = world.node(b).texts();
        assert_eq!(texts.iter().filter(|t| **t == "hairpin").count(), expected);
        assert!(texts.contains(&"direct"));
    }
}

#[test]
fn a_rebinding_shows_another_port() {
    let (mut world, hosts, server) = behind([NatKind::PortRestricted; 2]);
    world.node_mut(hosts[0]).send("10.0.0.2:500", "198.51.100.1:3478", b"1");
    world.run_for(50 * MS);
    let nat = world.add_nat(Nat::new(NatKind::FullCone, ip("203.0.113.9")));
    world.place_behind(hosts[0], nat);
    world.node_mut(hosts[0]).send("10.0.0.2:500", "198.51.100.1:3478", b"2");
    world.run_for(50 * MS);
    world.nat_mut(nat).rebind();
    world.node_mut(hosts[0]).send("10.0.0.2:500", "198.51.100.1:3478", b"3");
    world.run_for(50 * MS);
    let mut seen: Vec<_> = world.node(server).inbox.iter().map(|(meta, _)| meta.path.remote).collect();
    seen.dedup();
    assert_eq!(seen.len(), 3);
}

/// A run with everything that is random in it.
fn noisy(seed: u64) -> (u64, u64) {
    let (mut world, a, b) = pair(seed);
    let link = Link::default()
        .latency(20 * MS)
        .jitter(15 * MS)
        .loss(Loss::bursts(0.1, 3.0))
        .reorder(0.1, 7 * MS)
        .duplicate(0.05)
        .corrupt(0.05)
        .rate(200_000)
        .queue(20_000);
    world.set_default_link(link);
    world.node_mut(b).echo = true;
    for i in 0..300u32 {
        let len = 20 + world.rng().below(400) as usize;
        let octets = vec![i as u8; len];
        world.node_mut(a).send("192.0.2.1:1", "192.0.2.2:2", &octets);
        world.run_for(5 * MS);
    }
    world.run_for(Duration::from_secs(1));
    let stats = world.stats();
    assert!(
        stats.lost > 0 && stats.duplicated > 0 && stats.corrupted > 0 && stats.queue_full > 0,
        "{stats:?}"
    );
    assert_eq!(
        stats.sent + stats.duplicated,
        stats.delivered + stats.lost + stats.queue_full,
        "every datagram has a fate"
    );
    (world.trace_hash(), stats.delivered)
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(noisy(3), noisy(3));
    assert_ne!(noisy(3).0, noisy(4).0);
}

#[test]
#[should_panic(expected = "node 1, seed 9, after 5ms: its timeout is 0ns in the past, twice in a row")]
fn a_timer_that_never_goes_away_is_found() {
    let (mut world, _, b) = pair(9);
    let at = world.now() + 5 * MS;
    world.node_mut(b).timer = Some(at);
    world.node_mut(b).stuck = true;
    world.run_for(10 * MS);
}

#[test]
#[should_panic(expected = "node 0, seed 9, after 0ns: it was polled more than 10000 times")]
fn a_node_that_never_stops_is_found() {
    let (mut world, a, _) = pair(9);
    world.node_mut(a).chatter = true;
    world.step();
}

#[test]
#[should_panic(expected = "too many segments")]
fn too_many_segments_are_found() {
    let (mut world, a, _) = pair(9);
    world.set_max_segments(2);
    let path = Path::udp(address("192.0.2.1:1"), address("192.0.2.2:2"));
    world.node_mut(a).outbox.push_back((path, b"aaabbbc".to_vec(), Some(3)));
    world.settle();
}

#[test]
fn a_trace_can_be_written() {
    let (mut world, a, _) = pair(9);
    let path = std::env::temp_dir().join(format!("taut-netsim-world-{}.pcap", std::process::id()));
    world.pcap(&path).unwrap();
    world.node_mut(a).send("192.0.2.1:1", "192.0.2.2:2", b"hi");
    world.run_for(MS);
    drop(world);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 24 + 16 + 28 + 2);
    std::fs::remove_file(path).unwrap();
}
