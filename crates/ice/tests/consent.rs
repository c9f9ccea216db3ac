//! Consent freshness: RFC 7675, outages, moves of the other side, and quiet.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use common::scene::Scene;
use common::{Net, ms, secs};
use taut_ice::{Config, Event, Role, State, Validation};
use taut_netsim::{Link, Loss, Nat, NatKind};
use taut_stun::Message;
use taut_stun::attribute::UseCandidate;

const A4: &[&str] = &["192.0.2.1"];
const B4: &[&str] = &["192.0.2.2"];

fn connected(seed: u64) -> Net {
    let mut net = Net::new(seed, Link::default().latency(ms(20)), A4, B4);
    net.start();
    net.connect(secs(5));
    for id in [net.a, net.b] {
        net.with(id, |agent, now| agent.end_of_remote_candidates(now));
    }
    net
}

fn cut(net: &mut Net) {
    net.world.set_default_link(Link::default().loss(Loss::Random(1.0)));
}

fn heal(net: &mut Net) {
    net.world.set_default_link(Link::default().latency(ms(20)));
}

#[test]
fn requests_every_four_to_six_seconds_at_random() {
    let mut net = connected(1);
    let mut times = Vec::new();
    let mut before = net.a().agent.stats().consent_requests_sent;
    for _ in 0..600_000u32 / 5 {
        net.world.run_for(ms(5));
        let now = net.a().agent.stats().consent_requests_sent;
        if now > before {
            times.push(net.world.elapsed());
            before = now;
        }
    }
    let gaps: Vec<u128> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    assert!(gaps.iter().all(|gap| (3_995..=6_005).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap < 4_500) && gaps.iter().any(|gap| *gap > 5_500), "{gaps:?}");
    let checks = net.a().agent.pair_stats()[0].requests_sent;
    assert!(checks <= 3, "the check, a triggered one and the nomination, nothing more: {checks}");
}

#[test]
fn an_idle_connection_wakes_for_consent_only() {
    let mut net = connected(1);
    net.run(secs(40));
    let before = [net.a, net.b].map(|id| (net.peer(id).wakes, net.peer(id).agent.stats()));
    net.world.run_for(secs(600));
    for (id, (wakes, stats)) in [net.a, net.b].into_iter().zip(before) {
        let asked = net.peer(id).agent.stats().consent_requests_sent - stats.consent_requests_sent;
        assert!((100..=150).contains(&asked), "{asked}");
        assert_eq!(net.peer(id).wakes - wakes, asked);
    }
}

#[test]
fn consent_lapses_thirty_seconds_after_the_last_answer() {
    for seed in 0..8 {
        let mut net = connected(seed);
        net.world.run_for(ms(seed * 997 + 10_000));
        let path = net.a().agent.selected_path().unwrap();
        let answers = |net: &Net| net.a().agent.stats().responses_received;
        // Find the last answer: run until one comes, then cut.
        let before = answers(&net);
        assert!(net.run_until(secs(7), |net| answers(net) > before));
        let last = net.world.now();
        cut(&mut net);
        assert!(net.run_until(secs(60), |net| net.a().agent.state() == State::Failed));
        let took = net.world.now() - last;
        assert!(took >= secs(29) && took <= secs(31), "{took:?}");
        assert_eq!(net.a().agent.selected_path(), None);
        assert_eq!(net.a().agent.validation(&path), Validation::Unknown);
        assert!(net.a().at(|event| *event == Event::RouteRemoved(path)).is_some());
        let states = net.a().states();
        assert_eq!(states[states.len() - 2..], [State::Disconnected, State::Failed]);
        let silent = last + secs(4) + secs(5);
        let disconnected = net.a().state_at(State::Disconnected).unwrap();
        assert!(disconnected >= silent - ms(50) && disconnected <= silent + ms(2_050), "seed {seed}");
        let sent = net.a().sent;
        heal(&mut net);
        net.run(secs(10));
        assert_eq!(net.a().agent.state(), State::Failed, "consent does not come back");
        assert!(
            net.a().agent.stats().requests_received > 0 && net.a().sent >= sent,
            "but checks are answered"
        );
    }
}

/// A second way that lapsed is tried again when the first one falls silent, for longer than that; it does not put the
/// end off.
#[test]
fn a_side_that_vanishes_is_given_up_within_35_seconds() {
    for seed in 0..8 {
        let (a, b) = (["192.0.2.1", "2001:db8::1"], ["192.0.2.2", "2001:db8::2"]);
        let mut net = Net::new(seed, Link::default().latency(ms(20)), &a, &b);
        net.start();
        net.connect(secs(5));
        net.world.run_for(ms(seed * 997 + 40_000));
        cut(&mut net);
        let failed = |net: &Net| [net.a(), net.b()].iter().all(|peer| peer.agent.state() == State::Failed);
        assert!(net.run_until(secs(35), failed), "seed {seed}: {:?}", net.a().agent.state());
    }
}

#[test]
fn an_outage_shorter_than_consent_is_survived() {
    for outage in [1, 5, 10, 15, 20, 22] {
        let mut net = connected(outage);
        net.run(ms(12_345));
        let path = net.a().agent.selected_path();
        cut(&mut net);
        net.run(secs(outage));
        heal(&mut net);
        net.run(secs(7));
        for id in [net.a, net.b] {
            let states = net.peer(id).states();
            assert_eq!(net.peer(id).agent.state(), State::Completed, "{outage} s: {states:?}");
        }
        assert_eq!(net.a().agent.selected_path(), path);
        let was_disconnected = net.a().states().contains(&State::Disconnected);
        assert!(was_disconnected || outage <= 11, "{outage}");
    }
}

#[test]
fn loss_does_not_end_consent() {
    for (seed, loss) in [(1, 0.05), (2, 0.2), (3, 0.4), (4, 0.5)] {
        let mut net = connected(seed);
        net.world.set_default_link(Link::default().latency(ms(50)).loss(Loss::Random(loss)));
        net.world.run_for(secs(3_600));
        assert!(!net.a().states().contains(&State::Failed), "{loss}");
        assert!(!net.b().states().contains(&State::Failed), "{loss}");
        if loss < 0.1 {
            assert!(!net.a().states().contains(&State::Disconnected), "no flicker at {loss}");
        }
    }
}

#[test]
fn after_an_hour_of_sleep_consent_is_gone_and_nothing_bursts() {
    let mut net = connected(1);
    let a = net.a;
    let later = net.world.now() + secs(3_600);
    let peer = net.peer_mut(a);
    peer.agent.handle_timeout(later);
    let mut sent = 0;
    while peer.agent.poll_transmit(later, 1, &mut Vec::new()).is_some() {
        sent += 1;
    }
    assert_eq!((peer.agent.state(), sent), (State::Failed, 0));
    // An answer that comes after the end, before the timer, does not help either.
    let mut net = connected(1);
    let b = net.b;
    let path = net.b().agent.selected_path().unwrap();
    let meta = taut_sansio::net::Received { at: net.world.now() + secs(3_600), path, ecn: None };
    net.peer_mut(b).agent.handle_datagram(meta, b"anything"[..].into());
    assert_eq!(net.b().agent.state(), State::Failed);
}

#[test]
fn a_new_mapping_of_the_other_side_is_followed() {
    for kind in [NatKind::FullCone, NatKind::AddressRestricted, NatKind::PortRestricted, NatKind::Symmetric] {
        for seed in 0..4 {
            let mut net = Net::new(seed, Link::default().latency(ms(20)), &["10.0.0.1"], B4);
            let nat = net.world.add_nat(Nat::new(kind, "203.0.113.1".parse().unwrap()));
            let a = net.a;
            net.world.place_behind(a, nat);
            net.start();
            net.connect(secs(10));
            net.world.run_for(ms(20_000 + seed * 777));
            let before = net.b().agent.selected_path().unwrap();
            net.world.nat_mut(nat).rebind();
            let followed = |net: &Net| {
                let now = net.b().agent.selected_path().expect("a pair");
                now != before && net.b().agent.validation(&now) == Validation::Validated
            };
            let start = net.world.now();
            assert!(net.run_until(secs(10), followed), "{kind:?} {seed}");
            let took = net.world.now() - start;
            assert!(took <= ms(7_000), "{kind:?} {seed}: {took:?}");
            net.world.run_for(secs(60));
            assert!(net.connected(), "{kind:?} {seed}: {:?} {:?}", net.a().states(), net.b().states());
            assert!(!net.a().states().contains(&State::Failed));
        }
    }
}

#[test]
fn a_side_that_has_failed_tells_the_other_one() {
    // Short-lived consent on one side only, so that it fails alone.
    let config = Config::default().with_consent_expiry(secs(8));
    let mut net = Net::with_configs(
        1,
        Link::default().latency(ms(20)),
        (&["192.0.2.1"], config),
        (B4, Config::default()),
    );
    net.start();
    net.connect(secs(10));
    net.run(secs(1));
    cut(&mut net);
    assert!(net.run_until(secs(20), |net| net.a().agent.state() == State::Failed));
    assert_ne!(net.b().agent.state(), State::Failed);
    heal(&mut net);
    assert!(net.run_until(secs(7), |net| net.b().agent.state() == State::Failed), "at its next request");
}

#[test]
fn a_failed_agent_checks_nothing() {
    let mut scene = Scene::connected(Role::Controlled);
    scene.now += ms(29_900);
    let late = "1 1 udp 1 192.0.2.3 6000 typ host".parse().unwrap();
    scene.agent.add_remote_candidate(scene.now, late).unwrap();
    while scene.take().is_some() {}
    assert_eq!(scene.agent.pair_stats().len(), 2, "one of them is under check");
    for _ in 0..20 {
        scene.now += ms(500);
        scene.agent.handle_timeout(scene.now);
        assert_eq!(scene.agent.state(), State::Failed);
        assert!(scene.take().is_none());
    }
}

#[test]
fn other_ways_are_sought_without_a_pair_twice() {
    let mut scene = Scene::connected(Role::Controlled);
    for _ in 0..20 {
        scene.now += secs(1);
        scene.agent.handle_timeout(scene.now);
        while scene.take().is_some() {}
        assert_eq!(scene.agent.pair_stats().len(), 1);
    }
    assert_eq!(scene.agent.state(), State::Disconnected);
}

#[test]
fn a_blocked_path_is_not_asked_for_consent() {
    let mut scene = Scene::connected(Role::Controlled);
    scene.agent.handle_writable(scene.path(), false);
    scene.now += secs(6);
    assert!(scene.take().is_none());
    scene.agent.handle_writable(scene.path(), true);
    scene.request();
    assert_eq!(scene.agent.stats().consent_requests_sent, 1);
}

/// The other side may have lost the pair and found it again meanwhile: what is nominated is said again with every request.
#[test]
fn requests_for_consent_repeat_the_nomination() {
    for (role, wanted) in [(Role::Controlling, true), (Role::Controlled, false)] {
        let mut scene = Scene::connected(role);
        scene.now += ms(100);
        scene.agent.handle_timeout(scene.now);
        scene.answer_all();
        if role == Role::Controlling {
            assert!(scene.agent.pair_stats().iter().any(|pair| pair.nominated));
        }
        scene.now += secs(6);
        scene.agent.handle_timeout(scene.now);
        let request = scene.request();
        let nominates = Message::parse(&request).unwrap().get::<UseCandidate>().unwrap().is_some();
        assert_eq!(nominates, wanted);
        assert_eq!(scene.agent.stats().consent_requests_sent, 1);
    }
}
