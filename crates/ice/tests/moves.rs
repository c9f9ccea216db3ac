//! Calls that move: addresses that come and go, better pairs that appear late, and ways that die.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use std::net::{IpAddr, SocketAddr};

use common::{Net, PORT, ms, secs};
use taut_ice::{Config, Event, Role, State};
use taut_netsim::{Link, Loss, NodeId};

fn link() -> Link {
    Link::default().latency(ms(20))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An interface of a peer comes up: the socket is bound and told of.
fn up(net: &mut Net, id: NodeId, address: &str) {
    net.world.add_address(id, ip(address));
    net.with(id, |agent, now| agent.add_local_address(now, SocketAddr::new(ip(address), PORT)));
}

fn down(net: &mut Net, id: NodeId, address: &str) {
    net.world.remove_address(id, ip(address));
    net.with(id, |agent, now| agent.remove_local_address(now, SocketAddr::new(ip(address), PORT)));
}

fn local(net: &Net, id: NodeId) -> Option<String> {
    net.peer(id).agent.selected_path().map(|path| path.local.ip().to_string())
}

fn remote(net: &Net, id: NodeId) -> Option<String> {
    net.peer(id).agent.selected_path().map(|path| path.remote.ip().to_string())
}

/// Swaps the roles for every second seed: either side may move.
fn start(net: &mut Net, seed: u64) {
    for id in [net.a, net.b] {
        net.with(id, |agent, now| agent.gather(now));
    }
    let roles = if seed.is_multiple_of(2) {
        [Role::Controlling, Role::Controlled]
    } else {
        [Role::Controlled, Role::Controlling]
    };
    let (a, b) = (net.a, net.b);
    net.signal(a, roles[0]);
    net.signal(b, roles[1]);
    net.exchange();
    net.connect(secs(10));
    net.run(secs(1));
}

#[test]
fn a_call_moves_to_the_address_that_takes_the_place_of_another() {
    for seed in 0..20 {
        for gap in [0, 3_000] {
            let mut net = Net::new(seed, link().loss(Loss::Random(0.05)), &["192.0.2.1"], &["192.0.2.2"]);
            start(&mut net, seed);
            let (a, b) = (net.a, net.b);
            down(&mut net, a, "192.0.2.1");
            assert_eq!(net.a().agent.state(), State::Disconnected);
            net.run(ms(gap));
            up(&mut net, a, "198.51.100.1");
            let moved = |net: &Net| {
                local(net, a).as_deref() == Some("198.51.100.1")
                    && remote(net, b).as_deref() == Some("198.51.100.1")
                    && net.connected()
            };
            let start = net.world.elapsed();
            assert!(net.run_until(secs(10), moved), "seed {seed}: {:?}", net.b().agent.pair_stats());
            assert!(net.world.elapsed() - start <= secs(7), "seed {seed}");
            net.world.run_for(secs(60));
            assert!(moved(&net), "seed {seed}");
            assert!(!net.b().states().contains(&State::Failed));
        }
    }
}

#[test]
fn a_second_address_takes_over_when_the_first_goes() {
    for seed in 0..20 {
        let mut net = Net::new(seed, link(), &["192.0.2.1", "198.51.100.1"], &["192.0.2.2"]);
        start(&mut net, seed);
        let (a, first) = (net.a, local(&net, net.a).unwrap());
        // Long enough that the second way has lapsed.
        net.world.run_for(secs(60));
        let start = net.world.elapsed();
        down(&mut net, a, &first);
        let b = net.b;
        assert!(net.run_until(secs(5), |net| net.connected() && local(net, a) == remote(net, b)));
        assert!(net.world.elapsed() - start <= ms(1_500), "seed {seed}: {:?}", net.world.elapsed() - start);
        assert_ne!(local(&net, a), Some(first));
    }
}

#[test]
fn a_path_that_dies_gives_way_to_another_within_ten_seconds() {
    for seed in 0..20 {
        let mut net = Net::new(seed, link(), &["192.0.2.1"], &["192.0.2.2"]);
        start(&mut net, seed);
        let (a, b) = (net.a, net.b);
        // A second interface that is worse is not used while the first one works.
        up(&mut net, a, "198.51.100.1");
        net.world.run_for(secs(60));
        assert_eq!(local(&net, a).as_deref(), Some("192.0.2.1"));
        // The first one leads nowhere from now on, and nobody says so.
        net.world.remove_address(a, ip("192.0.2.1"));
        let start = net.world.elapsed();
        let moved = |net: &Net| {
            local(net, a).as_deref() == Some("198.51.100.1")
                && remote(net, b) == local(net, a)
                && net.connected()
        };
        assert!(net.run_until(secs(30), moved), "seed {seed}");
        // Consent is asked for after 6 s at most; 5 s later all pairs are tried.
        assert!(net.world.elapsed() - start <= secs(13), "seed {seed}: {:?}", net.world.elapsed() - start);
    }
}

#[test]
fn a_better_pair_that_appears_late_is_nominated_by_both() {
    for seed in 0..10 {
        let mut net = Net::new(seed, link(), &["192.0.2.1"], &["192.0.2.2", "2001:db8::2"]);
        start(&mut net, seed);
        let (a, b) = (net.a, net.b);
        let before = net.a().agent.pair_stats().len();
        up(&mut net, a, "2001:db8::1");
        let moved = |net: &Net| {
            local(net, a).as_deref() == Some("2001:db8::1")
                && remote(net, b).as_deref() == Some("2001:db8::1")
        };
        let start = net.world.elapsed();
        assert!(net.run_until(secs(5), moved), "seed {seed}");
        assert!(net.world.elapsed() - start <= ms(170), "seed {seed}: {:?}", net.world.elapsed() - start);
        let nominated = |net: &Net| net.a().agent.pair_stats().iter().filter(|pair| pair.nominated).count();
        assert!(net.run_until(secs(1), |net| nominated(net) == 2));
        assert!(net.a().agent.pair_stats().len() <= before + 1);
        assert!(!net.a().states().contains(&State::Disconnected));
    }
}

#[test]
fn a_worse_address_that_comes_late_costs_no_check() {
    let mut net = Net::new(1, link(), &["192.0.2.1"], &["192.0.2.2"]);
    start(&mut net, 0);
    let a = net.a;
    let before = net.a().agent.stats().requests_sent;
    up(&mut net, a, "198.51.100.1");
    net.run(secs(3));
    assert_eq!(net.a().agent.stats().requests_sent, before);
    assert!(net.a().agent.local_candidates().any(|candidate| candidate.to_string().contains("198.51.100.1")));
}

#[test]
fn an_outage_of_a_minute_ends_and_a_shorter_one_does_not() {
    for outage in [1, 5, 10, 20, 60] {
        for seed in 0..4 {
            let mut net = Net::new(seed, link(), &["192.0.2.1"], &["192.0.2.2"]);
            start(&mut net, seed);
            net.world.set_default_link(link().loss(Loss::Random(1.0)));
            net.world.run_for(secs(outage));
            net.world.set_default_link(link());
            net.run(secs(10));
            assert_eq!(net.connected(), outage < 30, "{outage} s, seed {seed}: {:?}", net.a().agent.state());
        }
    }
}

#[test]
fn ways_that_failed_are_tried_again_when_the_one_in_use_is_lost() {
    let config = Config::default();
    let mut net = Net::with_configs(
        1,
        link(),
        (&["192.0.2.1", "198.51.100.1"], config.clone()),
        (&["192.0.2.2"], config),
    );
    // One of the two addresses does not work at first.
    let a = net.a;
    net.world.remove_address(a, ip("198.51.100.1"));
    start(&mut net, 0);
    net.world.run_for(secs(60));
    assert_eq!(local(&net, a).as_deref(), Some("192.0.2.1"));
    net.world.add_address(a, ip("198.51.100.1"));
    down(&mut net, a, "192.0.2.1");
    assert!(net.run_until(secs(10), |net| local(net, a).as_deref() == Some("198.51.100.1")));
    assert!(net.a().at(|event| matches!(event, Event::StateChanged(State::Failed))).is_none());
}

/// A way that was in use and lies idle since is none that consent was lost on: when the other way dies, it serves again.
#[test]
fn two_ways_that_die_in_turn_serve_in_turn() {
    let addresses = ["192.0.2.1", "198.51.100.1"];
    for seed in 0..10 {
        let mut net = Net::new(seed, link(), &addresses, &["192.0.2.2"]);
        start(&mut net, seed);
        let (a, b) = (net.a, net.b);
        for _ in 0..4 {
            let dead = local(&net, a).expect("a pair");
            net.world.remove_address(a, ip(&dead));
            let moved = |net: &Net| {
                local(net, a).is_some_and(|local| local != dead)
                    && remote(net, b) == local(net, a)
                    && net.connected()
            };
            assert!(net.run_until(secs(15), moved), "seed {seed}");
            net.world.add_address(a, ip(&dead));
            net.world.run_for(secs(60));
            assert!(net.connected() && local(&net, a) == remote(&net, b), "seed {seed}");
        }
    }
}
