//! TCP candidates (RFC 6544) of one agent, whose network the test plays.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use common::scene::Scene;
use common::{ms, secs};
use taut_ice::{
    AddCandidateError, Agent, Candidate, CandidateKind, Config, Event, ExternalAddress, MAX_TCP_STREAMS,
    PairState, Policy, Role, TcpId, TcpPolicy, TcpType, Validation,
};
use taut_sansio::net::{Path, Received, Transport};
use taut_sansio::rng::Rng;
use taut_stun::Algorithm;

fn tcp(policy: TcpPolicy) -> Config {
    Config::default().with_tcp(policy)
}

fn candidate(rest: &str) -> Candidate {
    format!("1 1 {rest}").parse().expect("a candidate")
}

/// An agent that may open and accept, and its time.
fn agent(policy: TcpPolicy) -> (Agent, Instant) {
    let now = Instant::now();
    let mut agent = Agent::new(tcp(policy), Rng::from_u64(1));
    agent.add_local_address(now, "192.0.2.1:5000".parse().unwrap());
    agent.add_tcp_listener(now, "192.0.2.1:5000".parse().unwrap());
    agent.gather(now);
    let theirs = taut_ice::Credentials { ufrag: "them".into(), pwd: "their-password-0123456789".into() };
    agent.set_role(now, Role::Controlling);
    agent.set_remote_credentials(now, theirs, false);
    (agent, now)
}

fn poll(agent: &mut Agent, now: Instant) -> Vec<Event> {
    let mut out = Vec::new();
    while agent.poll_transmit(now, 1, &mut out).is_some() {}
    std::iter::from_fn(|| agent.poll_event()).collect()
}

fn opens(events: &[Event]) -> Vec<TcpId> {
    let id = |event: &Event| match event {
        Event::OpenTcp { id, .. } => Some(*id),
        _ => None,
    };
    events.iter().filter_map(id).collect()
}

fn path(port: u16) -> Path {
    let (local, remote) = ("192.0.2.1:5000".parse().unwrap(), SocketAddr::from(([198, 51, 100, 1], port)));
    Path { transport: Transport::Tcp, local, remote }
}

#[test]
fn the_policy_says_which_candidates_there_are_and_are_taken() {
    for (policy, wanted) in [
        (TcpPolicy::Off, vec![]),
        (TcpPolicy::Active, vec![TcpType::Active]),
        (TcpPolicy::Passive, vec![TcpType::Passive]),
        (TcpPolicy::Both, vec![TcpType::Active, TcpType::Passive]),
    ] {
        let (mut agent, now) = agent(policy);
        let ours: Vec<TcpType> = agent.local_candidates().filter_map(|one| one.tcp_type).collect();
        assert_eq!(ours, wanted);
        let taken =
            agent.add_remote_candidate(now, candidate("tcp 9 192.0.2.9 5000 typ host tcptype passive"));
        let refused = policy == TcpPolicy::Off;
        assert_eq!(taken, if refused { Err(AddCandidateError::Transport) } else { Ok(()) });
        assert_eq!(!opens(&poll(&mut agent, now)).is_empty(), policy.is_active(), "{policy:?}");
    }
    let relay = Config::default().with_tcp(TcpPolicy::Both).with_policy(Policy::Relay);
    let now = Instant::now();
    let mut hidden = Agent::new(relay, Rng::from_u64(1));
    hidden.add_local_address(now, "192.0.2.1:5000".parse().unwrap());
    hidden.add_tcp_listener(now, "192.0.2.1:5000".parse().unwrap());
    hidden.gather(now);
    assert_eq!(hidden.local_candidates().count(), 0, "with relays alone, nobody learns an address");
}

#[test]
fn candidates_that_nobody_can_connect_to_are_refused_or_ignored() {
    let (mut agent, now) = agent(TcpPolicy::Both);
    for (text, wanted) in [
        ("tcp 9 192.0.2.9 5000 typ host", Err(AddCandidateError::Transport)),
        ("tcp 9 192.0.2.9 25 typ host tcptype passive", Err(AddCandidateError::Address)),
        ("tcp 9 192.0.2.9 0 typ host tcptype so", Err(AddCandidateError::Address)),
        ("tcp 9 192.0.2.9 9 typ host tcptype active", Ok(())),
        ("tcp 9 hidden.local 9 typ host tcptype active", Ok(())),
        ("tcp 9 2001:db8::9 5000 typ host tcptype passive", Ok(())),
    ] {
        assert_eq!(agent.add_remote_candidate(now, candidate(text)), wanted, "{text}");
    }
    let events = poll(&mut agent, now);
    assert!(opens(&events).is_empty() && !events.contains(&Event::MulticastWanted), "{events:?}");
    // The other side listens on these, too.
    for side in ["so", "passive"] {
        let text = format!("tcp 9 192.0.2.{} 5000 typ host tcptype {side}", side.len());
        agent.add_remote_candidate(now, candidate(&text)).unwrap();
    }
    assert_eq!(opens(&poll(&mut agent, now)).len(), 2);
}

#[test]
fn udp_and_tcp_at_one_port_are_two_candidates() {
    let (mut agent, now) = agent(TcpPolicy::Both);
    for text in ["udp 9 192.0.2.9 5000 typ host", "tcp 8 192.0.2.9 5000 typ host tcptype passive"] {
        agent.add_remote_candidate(now, candidate(text)).unwrap();
    }
    assert_eq!((agent.remote_candidates().count(), agent.pair_stats().len()), (2, 2));
    let foundations: Vec<&String> = agent.local_candidates().map(|one| &one.foundation).collect();
    assert_eq!(foundations[1], foundations[2], "the transport is part of it, the side is not");
    assert_ne!(foundations[0], foundations[1]);
}

#[test]
fn what_does_not_open_fails_and_what_opens_too_late_is_closed() {
    let (mut agent, mut now) = agent(TcpPolicy::Active);
    for host in [8, 9] {
        let text = format!("tcp 9 192.0.2.{host} 5000 typ host tcptype passive");
        agent.add_remote_candidate(now, candidate(&text)).unwrap();
    }
    let ids = opens(&poll(&mut agent, now));
    agent.handle_tcp_opened(now, ids[0], Err(()));
    assert_eq!(agent.pair_stats()[0].state, PairState::Failed);
    now += secs(8);
    assert_eq!(agent.poll_timeout().map(|at| at <= now), Some(true));
    agent.handle_timeout(now);
    assert!(poll(&mut agent, now).contains(&Event::AbandonTcp(ids[1])));
    assert_eq!(agent.pair_stats()[1].state, PairState::Failed);
    agent.handle_tcp_opened(now, ids[1], Ok(path(7)));
    assert!(poll(&mut agent, now).contains(&Event::CloseTcp(path(7))));
}

#[test]
fn a_check_waits_for_its_connection_and_is_sent_once() {
    let (mut agent, mut now) = agent(TcpPolicy::Active);
    agent.add_remote_candidate(now, candidate("tcp 9 198.51.100.1 5000 typ host tcptype passive")).unwrap();
    let ids = opens(&poll(&mut agent, now));
    assert_eq!(agent.stats().requests_sent, 0);
    now += secs(1);
    let mut path = path(5000);
    path.local.set_port(40_000);
    agent.handle_tcp_opened(now, ids[0], Ok(path));
    let mut out = Vec::new();
    let transmit = agent.poll_transmit(now, 1, &mut out).expect("the check");
    assert_eq!(transmit.path, path);
    for _ in 0..30 {
        now += secs(1);
        agent.handle_timeout(now);
        assert!(agent.poll_transmit(now, 1, &mut out).is_none(), "TCP repeats it");
    }
    now += secs(30);
    agent.handle_timeout(now);
    let events = poll(&mut agent, now);
    assert_eq!(agent.pair_stats()[0].state, PairState::Failed);
    now += secs(5);
    agent.handle_timeout(now);
    assert!(events.into_iter().chain(poll(&mut agent, now)).any(|event| event == Event::CloseTcp(path)));
}

#[test]
fn connections_are_bounded_those_without_a_use_make_room() {
    let (mut agent, now) = agent(TcpPolicy::Both);
    for host in 0..100 {
        let text = format!("tcp {host} 198.51.100.{host} 5000 typ host tcptype passive");
        let _ = agent.add_remote_candidate(now, candidate(&text));
    }
    let mut opened = Vec::new();
    let mut at = now;
    for _ in 0..200 {
        at += ms(20);
        agent.handle_timeout(at);
        opened.extend(opens(&poll(&mut agent, at)));
    }
    assert_eq!(opened.len(), MAX_TCP_STREAMS, "100 ways to try, one after the other");

    let (mut agent, now) = self::agent(TcpPolicy::Passive);
    for port in 0..100 {
        agent.handle_tcp_accepted(now, path(10_000 + port));
    }
    let closed =
        poll(&mut agent, now).into_iter().filter(|event| matches!(event, Event::CloseTcp(_))).count();
    assert_eq!(closed, 100 - MAX_TCP_STREAMS, "a new one takes the place of one without a use");
    assert!(agent.is_tcp(&path(10_099)) && !agent.is_tcp(&path(10_000)));
    agent.handle_timeout(now + secs(5));
    assert!((0..100).all(|port| !agent.is_tcp(&path(10_000 + port))), "nobody has said anything");
}

#[test]
fn only_authentic_checks_give_a_connection_a_use() {
    let mut scene = Scene::new(Role::Controlling);
    scene.agent = agent(TcpPolicy::Passive).0;
    while scene.agent.poll_event().is_some() {}
    let (forged, username) = (path(10_001), scene.username());
    scene.agent.handle_tcp_accepted(scene.now, forged);
    let check = scene.check(&username, |b| {
        b.integrity(&taut_stun::Key::short_term("wrong"), Algorithm::Sha1).fingerprint().finish()
    });
    scene.assert_dropped(forged, &check, |stats| stats.dropped_request_integrity);
    let unknown = path(10_002);
    let good = scene.good_check();
    scene.assert_dropped(unknown, &good, |stats| stats.dropped_unknown_local);

    let true_one = path(10_003);
    scene.agent.handle_tcp_accepted(scene.now, true_one);
    let good = scene.good_check();
    scene.give(true_one, &good);
    assert_eq!(scene.agent.validation(&true_one), Validation::Authenticated);
    scene.answer_all();
    assert_eq!(scene.agent.validation(&true_one), Validation::Validated);
    scene.now += secs(6);
    scene.agent.handle_timeout(scene.now);
    assert!(scene.agent.is_tcp(&true_one) && !scene.agent.is_tcp(&forged));

    // UDP from the same addresses is another path.
    let path = Path { transport: Transport::Udp, ..true_one };
    assert_eq!(scene.agent.validation(&path), Validation::Unknown);
    scene.agent.close(scene.now);
    let events: Vec<Event> = std::iter::from_fn(|| scene.agent.poll_event()).collect();
    assert!(events.contains(&Event::CloseTcp(true_one)), "{events:?}");
}

#[test]
fn a_blocked_connection_is_skipped() {
    let mut scene = Scene::new(Role::Controlling);
    scene.agent = agent(TcpPolicy::Passive).0;
    let path = path(10_001);
    scene.agent.handle_tcp_accepted(scene.now, path);
    scene.agent.handle_writable(path, false);
    let good = scene.good_check();
    scene.give(path, &good);
    assert!(scene.take().is_none(), "neither an answer nor a check");
    scene.agent.handle_writable(path, true);
    scene.answer_all();
    assert_eq!(scene.agent.selected_path(), Some(path));
    let meta = Received { at: scene.now, path, ecn: None };
    assert!(scene.agent.handle_datagram(meta, BytesMut::from(&[0u8, 1, 2][..])).is_none());
}

#[test]
fn a_listener_has_the_address_that_it_has_outside() {
    let now = Instant::now();
    let external = ExternalAddress { external: [203, 0, 113, 5].into(), local: None };
    let config = tcp(TcpPolicy::Both).with_external_addresses(vec![external]);
    let mut agent = Agent::new(config, Rng::from_u64(1));
    agent.add_local_address(now, "10.0.0.1:5000".parse().unwrap());
    agent.add_tcp_listener(now, "10.0.0.1:443".parse().unwrap());
    agent.gather(now);
    let outside: Vec<String> = agent
        .local_candidates()
        .filter(|one| one.kind != CandidateKind::Host)
        .map(ToString::to_string)
        .collect();
    assert_eq!(outside.len(), 2, "{outside:?}");
    assert!(
        outside[1].contains(" 203.0.113.5 443 typ srflx raddr 10.0.0.1 rport 443 tcptype passive"),
        "{outside:?}"
    );
}

#[test]
fn listeners_and_connections_that_cannot_be_are_refused() {
    let now = Instant::now();
    let filter = taut_ice::AddressFilter::default().without_network("10.0.0.0/8".parse().unwrap());
    let config = tcp(TcpPolicy::Passive).with_loopback(taut_ice::Loopback::Never).with_filter(filter);
    let mut agent = Agent::new(config, Rng::from_u64(1));
    agent.gather(now);
    for bad in ["0.0.0.0:5000", "192.0.2.1:0", "224.0.0.1:5000", "127.0.0.1:5000", "10.0.0.1:5000"] {
        agent.add_tcp_listener(now, bad.parse().unwrap());
        assert_eq!(agent.local_candidates().count(), 0, "{bad}");
    }
    for last in [1, 1].into_iter().chain(2..100) {
        agent.add_tcp_listener(now, SocketAddr::from(([192, 0, 2, last], 5_000)));
        assert!(agent.local_candidates().count() <= usize::from(last).min(taut_ice::MAX_LOCAL_ADDRESSES));
    }
    let nowhere = Path { local: "192.0.2.1:5001".parse().unwrap(), ..path(10_000) };
    for (connection, refused) in [(nowhere, 1), (path(10_000), 1), (path(10_000), 2)] {
        agent.handle_tcp_accepted(now, connection);
        assert_eq!(agent.stats().tcp_refused, refused);
    }
    agent.close(now);
    agent.handle_tcp_accepted(now, path(10_001));
    assert_eq!(agent.stats().tcp_refused, 3, "closed");
}

#[test]
fn a_connection_is_for_the_pair_that_it_was_opened_for_and_for_no_other() {
    let (mut agent, now) = agent(TcpPolicy::Active);
    for host in [8, 9] {
        let text = format!("tcp 9 192.0.2.{host} 5000 typ host tcptype passive");
        agent.add_remote_candidate(now, candidate(&text)).unwrap();
    }
    let ids = opens(&poll(&mut agent, now));
    agent.handle_tcp_opened(now, ids[1], Ok(path(7)));
    let paths = |agent: &Agent| agent.pair_stats().iter().map(|pair| pair.path).collect::<Vec<_>>();
    let before = paths(&agent);
    assert_eq!((before[0] == path(7), before[1]), (false, path(7)));
    agent.handle_tcp_opened(now, ids[0], Ok(path(7)));
    assert_eq!((paths(&agent), agent.pair_stats()[0].state), (before, PairState::Failed), "it has a pair");
    assert_eq!(agent.pair_stats()[1].state, PairState::InProgress);
}

#[test]
fn a_connection_that_is_used_makes_no_room() {
    let mut scene = Scene::new(Role::Controlling);
    scene.agent = agent(TcpPolicy::Passive).0;
    let ports = 10_000..10_000 + MAX_TCP_STREAMS as u16;
    for port in ports.clone() {
        scene.agent.handle_tcp_accepted(scene.now, path(port));
        if port != 10_003 {
            let good = scene.good_check();
            scene.give(path(port), &good);
        }
    }
    scene.agent.handle_tcp_accepted(scene.now, path(20_000));
    let there = |scene: &Scene, port| scene.agent.is_tcp(&path(port));
    assert!(ports.clone().all(|port| there(&scene, port) == (port != 10_003)), "the one without a use");
    assert!(there(&scene, 20_000));
    let good = scene.good_check();
    scene.give(path(20_000), &good);
    scene.agent.handle_tcp_accepted(scene.now, path(20_001));
    assert!(!there(&scene, 20_001) && there(&scene, 20_000) && there(&scene, 10_000));
    assert_eq!(scene.agent.stats().tcp_refused, 1);
}

#[test]
fn there_is_no_listener_with_relays_alone_or_after_the_end() {
    let now = Instant::now();
    let listener: SocketAddr = "192.0.2.1:5000".parse().unwrap();
    let mut hidden = Agent::new(tcp(TcpPolicy::Passive).with_policy(Policy::Relay), Rng::from_u64(1));
    hidden.gather(now);
    hidden.add_tcp_listener(now, listener);
    hidden.handle_tcp_accepted(now, path(10_000));
    assert_eq!((hidden.is_tcp(&path(10_000)), hidden.stats().tcp_refused), (false, 1));

    let mut closed = Agent::new(tcp(TcpPolicy::Passive), Rng::from_u64(1));
    closed.gather(now);
    closed.close(now);
    closed.add_tcp_listener(now, listener);
    assert_eq!(closed.local_candidates().count(), 0);
}
