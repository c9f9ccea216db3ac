//! ICE restarts (RFC 8445 section 9): from either side, from both at once, under loss, after an outage, taken back.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use std::net::SocketAddr;

use common::{Host, Net, PORT, StunServer, ips, ms, secs};
use taut_ice::{
    AddCandidateError, Candidate, Config, Credentials, Event, GatheringState, Role, State, Validation,
};
use taut_netsim::{Link, Loss, NodeId};

const A4: &[&str] = &["192.0.2.1"];
const B4: &[&str] = &["192.0.2.2"];

fn connected(seed: u64, link: Link) -> Net {
    let mut net = Net::new(seed, link, A4, B4);
    net.start();
    net.connect(secs(30));
    net.run(secs(1));
    net
}

fn ufrag(net: &Net, id: NodeId) -> String {
    net.peer(id).agent.local_credentials().ufrag.clone()
}

/// True once both sides send over a pair of the current generation.
fn moved(net: &Net) -> bool {
    [net.a, net.b].iter().all(|id| {
        let peer = net.peer(*id);
        let ours = peer.agent.local_credentials().ufrag.clone();
        peer.agent.selected_pair().and_then(|pair| pair.local.ufrag) == Some(ours)
    })
}

/// Only pairs of the current generation are left.
fn settled(net: &Net) -> bool {
    [net.a, net.b].iter().all(|id| {
        let peer = net.peer(*id);
        let ours = &peer.agent.local_credentials().ufrag;
        peer.agent.pair_stats().iter().all(|pair| pair.pair.local.ufrag.as_ref() == Some(ours))
            && peer.agent.local_candidates().all(|candidate| candidate.ufrag.as_ref() == Some(ours))
    })
}

#[test]
fn either_side_restarts_and_the_path_holds() {
    for seed in 0..5 {
        let mut net = connected(seed, Link::default().latency(ms(20)));
        for from in [net.a, net.b] {
            let (before, path) = (ufrag(&net, from), net.a().agent.selected_path());
            let told = net.a().events.len();
            let roles = [net.a().agent.role(), net.b().agent.role()];
            net.restart(from);
            assert_ne!(ufrag(&net, from), before);
            assert!(net.a().agent.selected_path() == path, "it goes on to carry data");
            let start = net.world.elapsed();
            assert!(net.run_until(secs(5), moved), "seed {seed}");
            assert!(net.world.elapsed() - start <= ms(85), "two round trips");
            assert_eq!(roles, [net.a().agent.role(), net.b().agent.role()]);
            net.run(secs(4));
            assert!(settled(&net), "what was before is given up");
            net.assert_same_path();
            let states: Vec<_> = net.a().events[told..]
                .iter()
                .filter(|(_, event)| matches!(event, Event::StateChanged(_)))
                .collect();
            assert!(states.is_empty(), "connected all the time: {states:?}");
            let routes = net.a().events[told..].iter().any(|(_, e)| matches!(e, Event::RouteRemoved(_)));
            assert!(!routes, "the route of the same path stays");
            // Consent goes on with the new credentials.
            net.world.run_for(secs(40));
            assert!(net.connected());
        }
    }
}

#[test]
fn both_sides_restart_at_once() {
    for seed in 0..50 {
        let mut net = connected(seed, Link::default().latency(ms(20)).jitter(ms(20)));
        let (a, b) = (net.a, net.b);
        for id in [a, b] {
            net.with(id, |agent, now| agent.restart(now));
        }
        // Who hears it first has restarted already, so it takes it as the answer.
        net.tell(a);
        net.run(ms(seed));
        net.tell(b);
        assert!(net.run_until(secs(5), moved), "seed {seed}");
        net.run(secs(4));
        assert!(settled(&net), "seed {seed}");
    }
}

#[test]
fn new_remote_credentials_alone_restart_this_side_too() {
    let mut net = connected(1, Link::default().latency(ms(20)));
    let (a, b) = (net.a, net.b);
    let before = ufrag(&net, b);
    net.with(a, |agent, now| agent.restart(now));
    net.tell(b);
    assert_ne!(ufrag(&net, b), before);
    let own = ufrag(&net, b);
    net.tell(b);
    assert_eq!(ufrag(&net, b), own, "the same credentials again are no restart");
    net.tell(a);
    assert!(net.run_until(secs(5), moved));
}

#[test]
fn a_restart_moves_the_data_even_at_twenty_percent_loss() {
    for seed in 0..100 {
        let link = Link::default().latency(ms(40)).jitter(ms(10)).loss(Loss::Random(0.2)).duplicate(0.05);
        let mut net = connected(seed, link);
        let from = if seed % 2 == 0 { net.a } else { net.b };
        net.restart(from);
        let mut gone = false;
        assert!(
            net.run_until(secs(30), |net| {
                assert!(net.a().agent.selected_path().is_some() && net.b().agent.selected_path().is_some());
                moved(net)
            }),
            "seed {seed}"
        );
        gone |= !net.connected();
        net.world.run_for(secs(40));
        assert!(settled(&net) && net.connected() && !gone, "seed {seed}");
    }
}

#[test]
fn completed_becomes_connected_and_completed_again() {
    let mut net = connected(1, Link::default().latency(ms(20)));
    let (a, b) = (net.a, net.b);
    for id in [a, b] {
        net.with(id, |agent, now| agent.end_of_remote_candidates(now));
        assert_eq!(net.peer(id).agent.state(), State::Completed);
    }
    net.restart(a);
    assert_eq!(net.a().agent.state(), State::Connected);
    net.run(secs(1));
    assert_eq!(net.a().agent.state(), State::Connected, "more candidates may come");
    for id in [a, b] {
        net.with(id, |agent, now| agent.end_of_remote_candidates(now));
        assert_eq!(net.peer(id).agent.state(), State::Completed);
    }
}

#[test]
fn gathering_begins_anew() {
    let mut config = Config::default();
    config.stun_servers =
        vec![taut_ice::StunServer { host: taut_ice::Host::Ip("198.51.100.1".parse().unwrap()), port: 3478 }];
    let link = Link::default().latency(ms(20));
    let mut net = Net::with_configs(1, link, (A4, config), (B4, Config::default()));
    let server = net.world.add_node(Host::Stun(StunServer::default()), &ips(&["198.51.100.1"]));
    let public = "203.0.113.1".parse().unwrap();
    let nat = net.world.add_nat(taut_netsim::Nat::new(taut_netsim::NatKind::FullCone, public));
    net.world.place_behind(net.a, nat);
    net.start();
    net.connect(secs(5));
    net.run(secs(1));
    let told = net.a().events.len();
    let a = net.a;
    net.restart(a);
    assert_eq!(net.a().agent.gathering_state(), GatheringState::Gathering);
    net.run(secs(1));
    let new = ufrag(&net, a);
    let mut candidates = Vec::new();
    let mut states = Vec::new();
    for (_, event) in &net.a().events[told..] {
        match event {
            Event::LocalCandidate(candidate) => candidates.push(candidate.clone()),
            Event::GatheringStateChanged(state) => states.push(*state),
            _ => {}
        }
    }
    assert_eq!(states, [GatheringState::Gathering, GatheringState::Complete]);
    assert_eq!(candidates.len(), 2, "host and server-reflexive: {candidates:?}");
    assert!(candidates.iter().all(|candidate| candidate.ufrag.as_ref() == Some(&new)));
    match net.world.node(server) {
        Host::Stun(server) => assert_eq!(server.asked, 2),
        _ => unreachable!(),
    }
    assert!(moved(&net));
}

#[test]
fn a_failed_agent_comes_back() {
    for seed in 0..5 {
        let mut net = connected(seed, Link::default().latency(ms(20)));
        let link = |latency| Link::default().latency(ms(latency));
        net.world.set_default_link(link(20).loss(Loss::Random(1.0)));
        assert!(net.run_until(secs(60), |net| {
            net.a().agent.state() == State::Failed && net.b().agent.state() == State::Failed
        }));
        assert_eq!(net.a().agent.selected_path(), None);
        net.world.set_default_link(link(20));
        net.run(secs(10));
        assert_eq!(net.a().agent.state(), State::Failed, "not by itself");
        let a = net.a;
        net.restart(a);
        assert_eq!(net.a().agent.state(), State::Checking);
        let start = net.world.elapsed();
        assert!(net.run_until(secs(5), Net::connected));
        assert!(net.world.elapsed() - start <= ms(85));
        assert!(net.run_until(secs(5), Net::nominated));
    }
}

#[test]
fn a_disconnected_agent_forgets_that_it_was_lost() {
    let mut net = connected(1, Link::default().latency(ms(20)));
    net.world.set_default_link(Link::default().latency(ms(20)).loss(Loss::Random(1.0)));
    assert!(net.run_until(secs(20), |net| net.a().agent.state() == State::Disconnected));
    let a = net.a;
    net.restart(a);
    assert_eq!(net.a().agent.state(), State::Checking);
    net.run(secs(3));
    assert_eq!(net.a().agent.state(), State::Checking);
    net.world.set_default_link(Link::default().latency(ms(20)));
    assert!(net.run_until(secs(5), moved));
    assert!(net.connected());
}

#[test]
fn a_restart_that_nobody_answers_leaves_the_connection_as_it_is() {
    let mut net = connected(1, Link::default().latency(ms(20)));
    let (a, path) = (net.a, net.a().agent.selected_path());
    net.with(a, |agent, now| agent.restart(now));
    net.world.run_for(secs(120));
    assert_eq!(net.a().agent.selected_path(), path);
    assert!(net.connected(), "consent is kept fresh with the old credentials on both sides");
    let b = net.b;
    net.tell(b);
    net.tell(a);
    assert!(net.run_until(secs(5), moved), "it can still be answered");
}

#[test]
fn new_pairs_that_never_work_leave_the_connection_as_it_is() {
    let mut net = connected(1, Link::default().latency(ms(20)));
    let (a, path) = (net.a, net.a().agent.selected_path());
    let wrong = Credentials { ufrag: "nobody".into(), pwd: "nobody-at-all-0123456789".into() };
    net.with(a, |agent, now| agent.set_remote_credentials(now, wrong, false));
    net.world.run_for(secs(120));
    assert_eq!(net.a().agent.selected_path(), path);
    assert!(net.connected());
}

#[test]
fn a_restart_is_rolled_back_to_what_was() {
    let mut net = connected(1, Link::default().latency(ms(20)));
    let (a, b) = (net.a, net.b);
    for id in [a, b] {
        net.with(id, |agent, now| agent.end_of_remote_candidates(now));
    }
    let (before, path) = (ufrag(&net, a), net.a().agent.selected_path());
    let candidates: Vec<Candidate> = net.a().agent.local_candidates().cloned().collect();
    net.with(a, |agent, now| agent.restart(now));
    let taken_back = ufrag(&net, a);
    net.run(secs(1));
    net.with(a, |agent, now| agent.roll_back_restart(now));
    assert_eq!((ufrag(&net, a), net.a().agent.selected_path()), (before, path));
    assert_eq!(net.a().agent.local_candidates().cloned().collect::<Vec<_>>(), candidates);
    assert_eq!(net.a().agent.state(), State::Completed);
    assert_ne!(net.a().agent.next_credentials().ufrag, taken_back, "never used twice");
    net.with(a, |agent, now| agent.roll_back_restart(now));
    net.run(secs(60));
    assert_eq!(net.a().agent.state(), State::Completed);
    net.restart(b);
    assert!(net.run_until(secs(5), moved), "and then the other side restarts");
}

#[test]
fn a_rollback_of_a_failed_agent_leaves_it_failed() {
    let mut net = connected(1, Link::default().latency(ms(20)));
    net.world.set_default_link(Link::default().loss(Loss::Random(1.0)));
    net.run(secs(60));
    let a = net.a;
    assert_eq!(net.a().agent.state(), State::Failed);
    net.with(a, |agent, now| agent.restart(now));
    assert_eq!(net.a().agent.state(), State::Checking);
    net.with(a, |agent, now| agent.roll_back_restart(now));
    assert_eq!(net.a().agent.state(), State::Failed);
    assert_eq!(net.a().agent.poll_timeout(), None, "and at rest");
}

#[test]
fn a_restart_while_checking_is_rolled_back_and_goes_on() {
    let mut net = Net::new(1, Link::default().latency(ms(200)), A4, B4);
    net.start();
    net.run(ms(100));
    let a = net.a;
    net.with(a, |agent, now| agent.restart(now));
    net.run(secs(2));
    net.with(a, |agent, now| agent.roll_back_restart(now));
    net.connect(secs(10));
}

#[test]
fn restarts_without_end_keep_three_generations_at_most() {
    let mut net = connected(1, Link::default().latency(ms(20)));
    let (a, path) = (net.a, net.a().agent.selected_path());
    let mut begun = std::collections::BTreeSet::from([ufrag(&net, a)]);
    for n in 0..100u32 {
        if n % 3 == 0 {
            net.with(a, |agent, now| agent.restart(now));
        } else {
            let wrong = Credentials { ufrag: format!("other{n}"), pwd: "nobody-at-all-0123456789".into() };
            net.with(a, |agent, now| agent.set_remote_credentials(now, wrong, false));
        }
        net.run(ms(100));
        let retired = |event: &Event| matches!(event, Event::CredentialsRetired { .. });
        let ended = net.a().events.iter().filter(|(_, event)| retired(event)).count();
        begun.insert(ufrag(&net, a));
        assert!(ended + 3 >= begun.len(), "{ended} of {} generations have ended", begun.len());
        assert!(net.a().agent.local_candidates().count() <= 3);
        assert_eq!(net.a().agent.selected_path(), path);
    }
}

#[test]
fn candidates_go_to_the_generation_that_they_name() {
    let mut net = connected(1, Link::default().latency(ms(20)));
    let (a, b) = (net.a, net.b);
    let old = ufrag(&net, b);
    let named = |ufrag: &str| -> Candidate {
        format!("1 1 udp 2130706431 192.0.2.77 5000 typ host ufrag {ufrag}").parse().unwrap()
    };
    let remote = |net: &Net, ufrag: &str| {
        let mut all = net.a().agent.remote_candidates();
        all.any(|c| c.ufrag.as_deref() == Some(ufrag) && c.to_string().contains("192.0.2.77"))
    };
    net.with(a, |agent, now| agent.restart(now));
    // The other side has not heard of it.
    net.with(a, |agent, now| agent.add_remote_candidate(now, named(&old))).unwrap();
    net.with(a, |agent, now| agent.add_remote_candidate(now, named("early"))).unwrap();
    assert!(remote(&net, &old) && remote(&net, "early"));
    net.tell(b);
    net.tell(a);
    let new = ufrag(&net, b);
    assert!(!remote(&net, "early"), "of another generation than that which came");
    let refused = net.with(a, |agent, now| agent.add_remote_candidate(now, named(&old)));
    assert_eq!(refused, Err(AddCandidateError::Ufrag));
    net.with(a, |agent, now| agent.add_remote_candidate(now, named(&new))).unwrap();
    assert!(remote(&net, &new));
}

#[test]
fn checks_of_the_new_generation_that_come_early_are_answered_and_kept() {
    let mut net = connected(1, Link::default().latency(ms(20)));
    let (a, b) = (net.a, net.b);
    net.with(a, |agent, now| agent.restart(now));
    net.tell(b);
    // The answer is still on its way to a; b checks already.
    net.run(ms(200));
    assert!(
        net.b()
            .agent
            .pair_stats()
            .iter()
            .any(|pair| { pair.responses_received > 0 && pair.pair.local.ufrag == Some(ufrag(&net, b)) })
    );
    let path = net.a().agent.selected_path().unwrap();
    assert_eq!(net.a().agent.validation(&path), Validation::Validated);
    net.tell(a);
    let start = net.world.elapsed();
    assert!(net.run_until(secs(2), moved));
    assert!(net.world.elapsed() - start <= ms(85));
}

#[test]
fn an_address_that_comes_during_a_restart_belongs_to_both_generations() {
    let mut net = Net::new(1, Link::default().latency(ms(20)), &["192.0.2.1", "192.0.2.3"], B4);
    let (a, second) = (net.a, SocketAddr::new("192.0.2.3".parse().unwrap(), PORT));
    net.with(a, |agent, now| agent.remove_local_address(now, second));
    net.start();
    net.connect(secs(5));
    net.with(a, |agent, now| agent.restart(now));
    net.with(a, |agent, now| agent.add_local_address(now, second));
    net.with(a, |agent, now| agent.roll_back_restart(now));
    let ours = ufrag(&net, a);
    let hosts = net.a().agent.local_candidates().filter(|c| c.ufrag.as_ref() == Some(&ours)).count();
    assert_eq!(hosts, 2);
}

#[test]
fn a_closed_agent_stays_closed() {
    let mut net = connected(1, Link::default().latency(ms(20)));
    let a = net.a;
    let before = ufrag(&net, a);
    net.with(a, |agent, now| agent.close(now));
    net.with(a, |agent, now| agent.restart(now));
    net.with(a, |agent, now| agent.roll_back_restart(now));
    assert_eq!((net.a().agent.state(), ufrag(&net, a)), (State::Closed, before));
}

#[test]
fn the_role_stays_unless_it_conflicts() {
    let mut net = connected(1, Link::default().latency(ms(20)));
    let (a, b) = (net.a, net.b);
    net.restart(b);
    // As after a negotiation that the other side offered.
    net.with(a, |agent, now| agent.set_role(now, Role::Controlling));
    assert!(net.run_until(secs(5), moved));
    assert_eq!(net.a().agent.role(), Role::Controlling);
    net.restart(a);
    net.with(b, |agent, now| agent.set_role(now, Role::Controlling));
    assert!(net.run_until(secs(5), moved));
    assert_ne!(net.a().agent.role(), net.b().agent.role());
}
