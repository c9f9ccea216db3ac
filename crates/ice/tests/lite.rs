//! A lite agent (RFC 8445 section 2.5) as a server, and full agents that face it.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use common::{Net, ms, secs};
use taut_ice::{CandidateKind, Config, Host, Role, State, StunServer, Validation};
use taut_netsim::{Link, Loss, Nat, NatKind};

const A4: &[&str] = &["192.0.2.1"];
const B4: &[&str] = &["192.0.2.2"];

/// `a` is a full agent, `b` a lite one.
fn facing_lite(seed: u64, link: Link, config: Config) -> Net {
    Net::with_configs(seed, link, (A4, Config::default()), (B4, config.with_lite(true)))
}

/// Signals as an offer of `a` would, or of `b`.
fn start(net: &mut Net, offerer_is_lite: bool) {
    for id in [net.a, net.b] {
        net.with(id, |agent, now| agent.gather(now));
    }
    let (a, b) = (net.a, net.b);
    let credentials = net.b().agent.local_credentials().clone();
    net.with(a, |agent, now| {
        agent.set_role(now, if offerer_is_lite { Role::Controlled } else { Role::Controlling });
        agent.set_remote_credentials(now, credentials, true);
    });
    net.signal(b, if offerer_is_lite { Role::Controlling } else { Role::Controlled });
    net.exchange();
}

#[test]
fn a_lite_agent_connects_without_a_check_of_its_own() {
    for offerer_is_lite in [true, false] {
        let mut net = facing_lite(1, Link::default().latency(ms(20)), Config::default());
        start(&mut net, offerer_is_lite);
        assert_eq!((net.a().agent.role(), net.b().agent.role()), (Role::Controlling, Role::Controlled));
        net.connect(ms(90));
        net.world.run_for(secs(120));
        assert!(net.connected());
        let stats = net.b().agent.stats();
        assert_eq!((stats.requests_sent, stats.consent_requests_sent), (0, 0));
        assert!(stats.requests_received > 20 && stats.responses_sent == stats.requests_received);
        let path = net.b().agent.selected_path().unwrap();
        assert_eq!(net.b().agent.validation(&path), Validation::Validated);
        assert!(net.b().wakes < 60, "it wakes for consent alone: {}", net.b().wakes);
    }
}

#[test]
fn a_lite_agent_believes_no_path_that_is_not_nominated() {
    let mut net = facing_lite(1, Link::default().latency(ms(20)), Config::default());
    start(&mut net, false);
    net.run(ms(25));
    assert_eq!(net.b().agent.selected_path(), None, "checked, and not nominated yet");
    let path =
        taut_sansio::net::Path::udp("192.0.2.2:5000".parse().unwrap(), "192.0.2.1:5000".parse().unwrap());
    assert_eq!(net.b().agent.validation(&path), Validation::Authenticated);
    net.run(ms(40));
    assert_eq!(net.b().agent.selected_path(), Some(path));
}

#[test]
fn a_lite_agent_notices_that_the_other_side_is_gone() {
    let mut net = facing_lite(1, Link::default().latency(ms(20)), Config::default());
    start(&mut net, false);
    net.connect(secs(5));
    net.run(secs(1));
    let heard = net.world.now();
    net.world.set_default_link(Link::default().loss(Loss::Random(1.0)));
    assert!(net.run_until(secs(60), |net| net.b().agent.state() == State::Failed));
    let disconnected = net.b().state_at(State::Disconnected).unwrap() - heard;
    assert!(disconnected <= secs(11), "{disconnected:?}");
    assert!(net.world.now() - heard <= secs(31));
    let path = net.b().agent.selected_path();
    assert_eq!((path, net.b().agent.poll_timeout()), (None, None));
}

#[test]
fn a_lite_agent_survives_loss_and_follows_a_new_mapping() {
    // The second half does not know that it faces a lite agent, and so does not nominate again.
    for seed in 0..20 {
        let link = Link::default().latency(ms(30)).loss(Loss::Random(0.1));
        let mut net = facing_lite(seed, link, Config::default());
        let nat = net.world.add_nat(Nat::new(NatKind::PortRestricted, "203.0.113.1".parse().unwrap()));
        let a = net.a;
        net.world.place_behind(a, nat);
        if seed < 10 {
            start(&mut net, false);
        } else {
            net.start();
        }
        net.connect(secs(10));
        net.world.run_for(secs(120));
        assert!(net.connected(), "seed {seed}");
        let before = net.b().agent.selected_pair().unwrap();
        assert_eq!(before.remote.kind, CandidateKind::PeerReflexive);
        net.world.nat_mut(nat).rebind();
        let moved =
            |net: &Net| net.b().agent.selected_pair().is_some_and(|pair| pair != before) && net.connected();
        assert!(net.run_until(secs(60), moved), "seed {seed}: {:?}", net.b().agent.pair_stats());
        net.world.run_for(secs(60));
        assert!(net.connected(), "seed {seed}");
    }
}

#[test]
fn a_lite_agent_has_host_candidates_only() {
    let server = StunServer { host: Host::Ip("198.51.100.1".parse().unwrap()), port: 3478 };
    let mut net = facing_lite(1, Link::default(), Config::default().with_stun_servers(vec![server]));
    let b = net.b;
    net.with(b, |agent, now| agent.gather(now));
    assert_eq!(net.b().agent.gathering_state(), taut_ice::GatheringState::Complete);
    assert_eq!(net.b().agent.local_candidates().count(), 1);
}

#[test]
fn a_full_agent_that_claims_the_same_role_yields_to_a_lite_one() {
    let mut net = facing_lite(1, Link::default().latency(ms(20)), Config::default());
    for id in [net.a, net.b] {
        net.with(id, |agent, now| agent.gather(now));
        // a does not know that b is lite.
        net.signal(id, Role::Controlled);
    }
    net.connect(secs(5));
    assert_eq!((net.a().agent.role(), net.b().agent.role()), (Role::Controlling, Role::Controlled));
}

#[test]
fn a_lite_agent_restarts() {
    let mut net = facing_lite(1, Link::default().latency(ms(20)), Config::default());
    start(&mut net, false);
    net.connect(secs(5));
    let (a, b) = (net.a, net.b);
    for id in [a, b] {
        net.with(id, |agent, now| agent.restart(now));
    }
    start(&mut net, false);
    let ours = net.b().agent.local_credentials().ufrag.clone();
    let moved = |net: &Net| {
        net.b().agent.selected_pair().is_some_and(|pair| pair.local.ufrag.as_ref() == Some(&ours))
    };
    assert!(net.run_until(secs(5), moved));
    net.world.run_for(secs(60));
    assert!(net.connected());
}

/// The path from the full agent to the lite one dies: the full one notices, nominates another pair, and the lite one follows as soon as
/// the old pair is overdue.
#[test]
fn a_lite_agent_follows_to_another_pair() {
    for seed in 0..10 {
        let mut net = Net::with_configs(
            seed,
            Link::default().latency(ms(20)),
            (&["192.0.2.1"], Config::default()),
            (&["198.51.100.1", "198.51.100.2"], Config::default().with_lite(true)),
        );
        start(&mut net, false);
        net.connect(secs(5));
        net.run(secs(20));
        let b = net.b;
        let dead = net.b().agent.selected_path().unwrap().local;
        net.world.remove_address(b, dead.ip());
        let began = net.world.elapsed();
        let moved = |net: &Net| {
            let [a, b] = [net.a(), net.b()].map(|peer| peer.agent.selected_path());
            let (Some(a), Some(b)) = (a, b) else { return false };
            b.local != dead && (a.local, a.remote) == (b.remote, b.local) && net.connected()
        };
        assert!(net.run_until(secs(30), moved), "seed {seed}");
        // The full agent asks after 6 s at most, and tries other pairs 5 s later.
        assert!(net.world.elapsed() - began <= secs(13), "seed {seed}: {:?}", net.world.elapsed() - began);
    }
}
