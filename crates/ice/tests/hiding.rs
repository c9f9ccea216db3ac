//! Host candidates with names under `.local`: what is told, and that both sides find each other by it.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use std::net::SocketAddr;
use std::time::Instant;

use common::{Net, PORT, ips, ms, secs};
use taut_ice::{
    Agent, Candidate, CandidateAddress, CandidateKind, Config, Event, ExternalAddress, Role, State,
};
use taut_mdns::{GROUP_V4, GROUP_V6, LOCAL_V4, LOCAL_V6};
use taut_netsim::Link;
use taut_sansio::net::{Path, Received};
use taut_sansio::rng::Rng;

fn hidden() -> Config {
    Config::default().with_hide_addresses(true)
}

fn net(seed: u64, a: Config, b: Config) -> Net {
    net_on(seed, ["192.0.2.1", "192.0.2.2"], a, b)
}

fn net_on(seed: u64, [at_a, at_b]: [&str; 2], a: Config, b: Config) -> Net {
    let link = Link::default().latency(ms(5));
    let mut net = Net::with_configs(seed, link, (&[at_a], a), (&[at_b], b));
    for id in [net.a, net.b] {
        net.world.join_multicast(id);
    }
    net
}

fn candidates(agent: &mut Agent) -> Vec<Candidate> {
    std::iter::from_fn(|| agent.poll_event())
        .filter_map(|event| match event {
            Event::LocalCandidate(candidate) => Some(candidate),
            _ => None,
        })
        .collect()
}

fn agent(config: Config, bases: &[&str]) -> (Agent, Instant) {
    let now = Instant::now();
    let mut agent = Agent::new(config, Rng::from_u64(3));
    for base in bases {
        agent.add_local_address(now, base.parse().unwrap());
    }
    (agent, now)
}

fn name(candidate: &Candidate) -> String {
    match &candidate.address {
        CandidateAddress::Name { name, .. } => name.clone(),
        CandidateAddress::Ip(address) => panic!("{address} is told"),
    }
}

/// A question for the address of a name, and what is answered to it.
fn ask(agent: &mut Agent, now: Instant, name: &str) -> Vec<(Vec<u8>, Path)> {
    let mut question = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(label.len() as u8);
        question.extend_from_slice(label.as_bytes());
    }
    question.extend_from_slice(&[0, 0, 1, 0, 1]);
    let path = Path::udp(LOCAL_V4, "192.0.2.9:5353".parse().unwrap());
    agent.handle_datagram(Received { at: now, path, ecn: None }, question.as_slice().into());
    sent(agent, now)
}

fn sent(agent: &mut Agent, now: Instant) -> Vec<(Vec<u8>, Path)> {
    std::iter::from_fn(|| {
        let mut out = Vec::new();
        let transmit = agent.poll_transmit(now, 1, &mut out)?;
        Some((out, transmit.path))
    })
    .filter(|(_, path)| [LOCAL_V4, LOCAL_V6].contains(&path.local))
    .collect()
}

#[test]
fn two_hidden_sides_find_each_other_and_tell_no_address() {
    for seed in 0..10 {
        for (a, b) in [(hidden(), hidden()), (hidden(), Config::default()), (Config::default(), hidden())] {
            let mut net = net(seed, a.clone(), b.clone());
            net.start();
            let took = net.connect(secs(5));
            assert!(took < ms(200), "{took:?}: the first question was answered");
            for (id, config) in [(net.a, a), (net.b, b)] {
                let peer = net.peer(id);
                let told = peer.events.iter().filter_map(|(_, event)| match event {
                    Event::LocalCandidate(candidate) => Some(candidate.to_string()),
                    _ => None,
                });
                for text in told.chain(peer.agent.local_candidates().map(ToString::to_string)) {
                    assert_eq!(text.contains(".local "), config.hide_addresses, "{text}");
                    assert_eq!(text.contains("192.0.2."), !config.hide_addresses, "{text}");
                }
                if config.hide_addresses {
                    let pair = peer.agent.selected_pair().unwrap();
                    assert!(pair.local.to_string().contains(".local "), "{}", pair.local);
                }
            }
        }
    }
}

/// No question leaves over IPv4, for there is none.
#[test]
fn two_hidden_sides_find_each_other_where_there_is_only_ipv6() {
    for seed in 0..10 {
        let mut net = net_on(seed, ["2001:db8::1", "2001:db8::2"], hidden(), hidden());
        net.start();
        let took = net.connect(secs(5));
        assert!(took < ms(200), "{took:?}: the first question was answered");
        for id in [net.a, net.b] {
            for candidate in net.peer(id).agent.local_candidates() {
                assert!(candidate.to_string().contains(".local "), "{candidate}");
            }
        }
    }
}

/// One side's candidates do not arrive, and its checks are not needed: the names are enough.
#[test]
fn a_name_is_enough_to_be_found() {
    let mut net = net(1, hidden(), Config::default());
    let (a, b) = (net.a, net.b);
    net.trickle = false;
    for id in [a, b] {
        net.with(id, |agent, now| agent.gather(now));
    }
    net.signal(a, Role::Controlling);
    net.signal(b, Role::Controlled);
    for candidate in std::mem::take(&mut net.peer_mut(a).outbox) {
        net.with(b, |agent, now| agent.add_remote_candidate(now, candidate)).unwrap();
    }
    net.connect(secs(5));
    assert_eq!(net.a().agent.state(), State::Connected);
}

#[test]
fn nothing_is_told_of_what_is_behind_a_candidate() {
    let external = ExternalAddress { external: "203.0.113.5".parse().unwrap(), local: None };
    for (config, related) in [(hidden(), "0.0.0.0:9"), (Config::default(), "10.0.0.1:5000")] {
        let config = config.with_external_addresses(vec![external]);
        let (mut agent, now) = agent(config, &["10.0.0.1:5000"]);
        agent.gather(now);
        let all = candidates(&mut agent);
        let reflexive = all.iter().find(|c| c.kind == CandidateKind::ServerReflexive).unwrap();
        assert_eq!(reflexive.related, Some(related.parse().unwrap()));
        assert_eq!(reflexive.address, CandidateAddress::Ip("203.0.113.5:5000".parse().unwrap()));
    }
}

#[test]
fn each_address_has_a_name_that_lasts_through_a_restart() {
    let bases = ["10.0.0.1:5000", "10.0.0.1:5001", "10.0.0.2:5000", "[2001:db8::1]:5000"];
    let (mut agent, now) = agent(hidden(), &bases);
    agent.gather(now);
    let names: Vec<String> = candidates(&mut agent).iter().map(name).collect();
    assert_eq!(names.len(), 4);
    assert_eq!(names[0], names[1], "one address");
    assert!(names[1] != names[2] && names[2] != names[3] && names[1] != names[3]);
    agent.restart(now);
    let again: Vec<String> = candidates(&mut agent).iter().map(name).collect();
    assert_eq!(again, names);
    let (mut other, now) = self::agent(hidden().with_mdns(false), &bases);
    other.gather(now);
    assert_eq!(candidates(&mut other).len(), 4, "to resolve names is another matter");
}

#[test]
fn a_name_is_answered_for_from_when_it_is_told_until_the_address_goes() {
    let (mut agent, now) = agent(hidden(), &["10.0.0.1:5000", "10.0.0.1:5001", "10.0.0.2:5000"]);
    assert!(!std::iter::from_fn(|| agent.poll_event()).any(|event| event == Event::MulticastWanted));
    agent.gather(now);
    let mut events: Vec<Event> = std::iter::from_fn(|| agent.poll_event()).collect();
    let first = events.iter().position(|event| matches!(event, Event::LocalCandidate(_))).unwrap();
    let wanted = events.iter().position(|event| *event == Event::MulticastWanted).unwrap();
    assert!(wanted < first, "the socket is there before anybody can ask");
    events.retain(|event| matches!(event, Event::LocalCandidate(_)));
    let names: Vec<String> = agent.local_candidates().map(name).collect();
    let answers = ask(&mut agent, now, &names[0]);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].1, Path::udp(LOCAL_V4, GROUP_V4));
    assert!(answers[0].0.ends_with(&[10, 0, 0, 1]));
    assert!(ask(&mut agent, now, "other.local").is_empty());

    let now = now + secs(2);
    agent.remove_local_address(now, "10.0.0.1:5000".parse().unwrap());
    assert_eq!(ask(&mut agent, now, &names[0]).len(), 1, "another socket has the address");
    agent.remove_local_address(now, "10.0.0.1:5001".parse().unwrap());
    let goodbye = sent(&mut agent, now);
    assert_eq!(goodbye.len(), 1);
    assert!(goodbye[0].0.ends_with(&[0, 0, 0, 0, 0, 4, 10, 0, 0, 1]), "a time to live of zero");
    let now = now + secs(2);
    assert!(ask(&mut agent, now, &names[0]).is_empty());

    assert_eq!(ask(&mut agent, now, &names[2]).len(), 1);
    agent.close(now);
    assert_eq!(sent(&mut agent, now).len(), 1, "a goodbye, after the end too");
    assert!(ask(&mut agent, now, &names[2]).is_empty());
    assert_eq!(agent.poll_timeout(), None);
}

#[test]
fn questions_that_come_too_fast_are_answered_later_and_a_blocked_socket_is_waited_for() {
    let (mut agent, now) = agent(hidden(), &["10.0.0.1:5000"]);
    agent.gather(now);
    let name = name(&candidates(&mut agent)[0]);
    for path in [Path::udp(LOCAL_V4, GROUP_V4), Path::udp(LOCAL_V6, GROUP_V6)] {
        agent.handle_writable(path, false);
        assert!(ask(&mut agent, now, &name).is_empty());
        assert!(agent.poll_timeout().is_none_or(|at| at > now));
        agent.handle_writable(path, true);
    }
    assert_eq!(sent(&mut agent, now).len(), 1);
    assert!(ask(&mut agent, now, &name).is_empty());
    let due = agent.poll_timeout().unwrap();
    assert_eq!(due, now + secs(1));
    agent.handle_timeout(due);
    assert_eq!(sent(&mut agent, due).len(), 1);
}

#[test]
fn without_the_option_nothing_is_answered() {
    let mut net = net(1, Config::default(), Config::default());
    net.start();
    net.connect(secs(5));
    assert!(net.a().at(|event| *event == Event::MulticastWanted).is_none());
    let address = SocketAddr::new(ips(&["192.0.2.1"])[0], PORT);
    assert!(net.a().agent.local_candidates().any(|c| c.address == CandidateAddress::Ip(address)));
}
