//! TCP candidates (RFC 6544), where UDP gets through, and where it does not.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use common::scene::Scene;
use common::{Net, PORT, ms, secs};
use taut_ice::{
    AddCandidateError, Agent, Candidate, CandidateKind, CandidateTransport, Config, Event, ExternalAddress,
    MAX_TCP_STREAMS, PairState, Policy, Role, State, TcpId, TcpPolicy, TcpType, Validation,
};
use taut_netsim::{Link, Loss, Nat, NatKind, NodeId, StreamRequest};
use taut_sansio::net::{Path, Received, Transport};
use taut_sansio::rng::Rng;
use taut_stun::Algorithm;

const A: &[&str] = &["192.0.2.1"];
const B: &[&str] = &["192.0.2.2"];

fn tcp(policy: TcpPolicy) -> Config {
    Config::default().with_tcp(policy)
}

fn link() -> Link {
    Link::default().latency(ms(20))
}

/// Two agents between whom UDP is blocked.
fn blocked(seed: u64, link: Link, a: Config, b: Config) -> Net {
    let mut net = Net::with_configs(seed, link, (A, a), (B, b));
    net.world.block_udp(true);
    net
}

fn assert_tcp(net: &Net) {
    for id in [net.a, net.b] {
        let pair = net.peer(id).agent.selected_pair().expect("a pair");
        assert_eq!(pair.local.transport, CandidateTransport::Tcp);
        assert_eq!(pair.remote.transport, CandidateTransport::Tcp);
        assert_eq!(net.peer(id).agent.selected_path().expect("a path").transport, Transport::Tcp);
    }
}

/// Data goes both ways, all of it and in order, datagrams of up to 10,000 octets.
fn assert_data(net: &mut Net) {
    let data: Vec<Vec<u8>> = (1..20u8).map(|n| vec![22 + n; usize::from(n) * 500 + 500]).collect();
    for id in [net.a, net.b] {
        net.peer_mut(id).data_in.clear();
        net.peer_mut(id).data_out = data.clone().into();
    }
    let arrived = |net: &Net, id: NodeId| net.peer(id).data_in.len() == data.len();
    assert!(
        net.run_until(secs(60), |net| arrived(net, net.a) && arrived(net, net.b)),
        "{}",
        net.a().agent.report()
    );
    for id in [net.a, net.b] {
        let path = net.peer(id).agent.selected_path().expect("a path");
        assert!(
            net.peer(id)
                .data_in
                .iter()
                .zip(&data)
                .all(|((from, seen), sent)| (*from, &seen[..]) == (path, sent))
        );
    }
}

#[test]
fn where_udp_is_blocked_tcp_connects_whoever_opens_and_whoever_controls() {
    use TcpPolicy::{Active, Both, Passive};
    for (a, b) in [(Active, Passive), (Passive, Active), (Both, Passive), (Both, Both), (Active, Both)] {
        for loss in [0.0, 0.1] {
            for seed in 0..3 {
                let link = link().loss(Loss::Random(loss));
                let mut net = blocked(seed, link, tcp(a), tcp(b));
                net.start();
                net.connect(secs(20));
                // Where both open, they may still agree on one of two.
                net.run(secs(3));
                assert_tcp(&net);
                assert_data(&mut net);
                // One round trip opens, one checks, and one nominates.
                if loss == 0.0 {
                    let connected = net.a().state_at(State::Connected).expect("connected");
                    let took = connected - net.a().state_at(State::Checking).expect("checked");
                    assert!(took <= ms(2 * 40 + 60), "{took:?}");
                }
                net.world.run_for(secs(60));
                assert!(net.connected(), "consent is kept fresh");
                assert_eq!(net.world.streams(), 1, "what is not used is closed");
            }
        }
    }
}

#[test]
fn two_sides_that_only_open_or_only_wait_do_not_connect() {
    for policy in [TcpPolicy::Active, TcpPolicy::Passive, TcpPolicy::Off] {
        let mut net = blocked(1, link(), tcp(policy), tcp(policy));
        net.start();
        net.world.run_for(secs(90));
        assert_eq!(net.a().agent.state(), State::Failed);
        assert_eq!(net.a().agent.stats().tcp_opened, 0);
    }
}

#[test]
fn udp_is_better_and_the_connections_beside_it_are_closed() {
    for seed in 0..5 {
        let mut net = Net::with_configs(seed, link(), (A, tcp(TcpPolicy::Both)), (B, tcp(TcpPolicy::Both)));
        net.start();
        net.connect(secs(5));
        net.world.run_for(secs(60));
        for id in [net.a, net.b] {
            let pair = net.peer(id).agent.selected_pair().expect("a pair");
            assert_eq!(
                (pair.local.transport, pair.local.kind),
                (CandidateTransport::Udp, CandidateKind::Host)
            );
        }
        assert_eq!(net.world.streams(), 0, "{}{}", net.a().agent.report(), net.b().agent.report());
    }
}

#[test]
fn the_wire_and_the_report_say_tcp() {
    let mut net = blocked(1, link(), tcp(TcpPolicy::Active), tcp(TcpPolicy::Passive));
    net.start();
    net.connect(secs(5));
    let ours: Vec<String> = net.a().agent.local_candidates().map(ToString::to_string).collect();
    let theirs: Vec<String> = net.b().agent.local_candidates().map(ToString::to_string).collect();
    let active = ours.iter().find(|one| one.contains(" tcp ")).expect("an active candidate");
    assert!(active.contains(" 192.0.2.1 9 typ host tcptype active "), "{active}");
    let passive = theirs.iter().find(|one| one.contains(" tcp ")).expect("a passive candidate");
    assert!(passive.contains(&format!(" 192.0.2.2 {PORT} typ host tcptype passive ")), "{passive}");
    let pair = net.a().agent.selected_pair().expect("a pair");
    assert_eq!((pair.local.kind, pair.local.tcp_type), (CandidateKind::Host, Some(TcpType::Active)));
    let pair = net.b().agent.selected_pair().expect("a pair");
    assert_eq!(
        (pair.remote.kind, pair.remote.tcp_type),
        (CandidateKind::PeerReflexive, Some(TcpType::Active))
    );
    assert!(net.a().agent.report().to_string().contains("tcp 192.0.2.1:"), "{}", net.a().agent.report());
    assert_eq!((net.a().agent.stats().tcp_opened, net.b().agent.stats().tcp_accepted), (1, 1));
    // No datagram of a connection has to be routed.
    let routed = |event: &Event| matches!(event, Event::RouteAdded(path) if path.transport == Transport::Tcp);
    assert_eq!((net.a().at(routed), net.b().at(routed)), (None, None));
}

#[test]
fn an_active_side_behind_a_translator_learns_its_address() {
    let mut net =
        Net::with_configs(1, link(), (&["10.0.0.1"], tcp(TcpPolicy::Active)), (B, tcp(TcpPolicy::Passive)));
    let nat = net.world.add_nat(Nat::new(NatKind::Symmetric, "203.0.113.1".parse().unwrap()));
    net.world.place_behind(net.a, nat);
    net.world.block_udp(true);
    net.start();
    net.connect(secs(5));
    let pair = net.a().agent.selected_pair().expect("a pair");
    assert_eq!((pair.local.kind, pair.local.tcp_type), (CandidateKind::PeerReflexive, Some(TcpType::Active)));
    assert_data(&mut net);
}

#[test]
fn a_connection_that_is_lost_is_opened_again() {
    for (seed, roles) in [(1, false), (2, true)] {
        let mut net = blocked(seed, link(), tcp(TcpPolicy::Active), tcp(TcpPolicy::Passive));
        for id in [net.a, net.b] {
            net.with(id, |agent, now| agent.gather(now));
        }
        let (a, b) =
            if roles { (Role::Controlled, Role::Controlling) } else { (Role::Controlling, Role::Controlled) };
        net.signal(net.a, a);
        net.signal(net.b, b);
        net.connect(secs(5));
        for _ in 0..4 {
            net.run(secs(1));
            net.world.cut_streams(net.a);
            net.run(ms(1));
            let lost = |net: &Net| [net.a, net.b].map(|id| net.peer(id).agent.state());
            assert_eq!(lost(&net), [State::Disconnected; 2], "nobody gives up");
            net.connect(secs(10));
            assert_data(&mut net);
        }
        assert!(net.a().agent.stats().tcp_lost == 4 && net.b().agent.stats().tcp_lost == 4);
        // What has gone leaves nothing behind.
        assert_eq!(net.b().agent.pair_stats().len(), 1);
        assert_eq!(
            net.b().agent.remote_candidates().filter(|one| one.kind == CandidateKind::PeerReflexive).count(),
            1
        );
    }
}

#[test]
fn it_is_opened_so_often_and_no_more() {
    let mut net = blocked(1, link(), tcp(TcpPolicy::Active), tcp(TcpPolicy::Passive));
    net.start();
    net.connect(secs(5));
    // Cut as soon as it is there: what lasts a while would count anew.
    for _ in 0..2_000 {
        net.run(ms(20));
        net.world.cut_streams(net.a);
    }
    let opened = net.a().agent.stats().tcp_opened;
    assert!((6..=12).contains(&opened), "{opened}");
    assert_eq!(net.a().agent.state(), State::Failed);
    assert_eq!(net.b().agent.state(), State::Failed);
}

#[test]
fn a_call_that_falls_back_to_tcp_and_back_to_udp() {
    let mut net = Net::with_configs(3, link(), (A, tcp(TcpPolicy::Active)), (B, tcp(TcpPolicy::Passive)));
    net.start();
    net.connect(secs(5));
    net.run(secs(1));
    net.world.block_udp(true);
    assert!(
        net.run_until(secs(20), |net| {
            let over_tcp =
                |id| net.peer(id).agent.selected_path().is_some_and(|path| path.transport == Transport::Tcp);
            over_tcp(net.a) && over_tcp(net.b)
        }),
        "{}",
        net.a().agent.report()
    );
    assert_data(&mut net);
}

#[test]
fn a_restart_opens_another_connection_and_data_goes_on() {
    for restarts_at_a in [true, false] {
        let mut net = blocked(4, link(), tcp(TcpPolicy::Active), tcp(TcpPolicy::Passive));
        net.start();
        net.connect(secs(5));
        let before = net.a().agent.selected_path().expect("a path");
        let restarts = if restarts_at_a { net.a } else { net.b };
        net.trickle = false;
        net.with(restarts, |agent, now| agent.restart(now));
        assert_data(&mut net);
        net.trickle = true;
        assert_eq!(net.a().agent.selected_path(), Some(before), "the old one carries data until then");
        let other = net.other(restarts);
        for id in [other, restarts] {
            let credentials = net.peer(net.other(id)).agent.local_credentials().clone();
            net.with(id, |agent, now| agent.set_remote_credentials(now, credentials, false));
        }
        net.run(secs(10));
        assert_tcp(&net);
        assert_ne!(
            net.a().agent.selected_path(),
            Some(before),
            "{}{}",
            net.a().agent.report(),
            net.b().agent.report()
        );
        assert_eq!(net.world.streams(), 1, "that of the old generation is closed");
        assert_data(&mut net);
    }
}

#[test]
fn a_lite_agent_waits_on_its_listener() {
    let mut net = blocked(1, link(), tcp(TcpPolicy::Active), tcp(TcpPolicy::Both).with_lite(true));
    for id in [net.a, net.b] {
        net.with(id, |agent, now| agent.gather(now));
    }
    let credentials = net.b().agent.local_credentials().clone();
    net.with(net.a, |agent, now| {
        agent.set_role(now, Role::Controlling);
        agent.set_remote_credentials(now, credentials, true);
    });
    net.signal(net.b, Role::Controlled);
    net.connect(secs(5));
    assert!(net.b().agent.local_candidates().all(|one| one.tcp_type != Some(TcpType::Active)));
    assert_tcp(&net);
    assert_data(&mut net);
    net.world.cut_streams(net.a);
    net.run(ms(1));
    net.connect(secs(10));
    assert_data(&mut net);
}

#[test]
fn an_address_that_goes_takes_its_connections_with_it() {
    let mut net = blocked(1, link(), tcp(TcpPolicy::Active), tcp(TcpPolicy::Passive));
    net.start();
    net.connect(secs(5));
    let address: SocketAddr = format!("192.0.2.1:{PORT}").parse().unwrap();
    net.with(net.a, |agent, now| agent.remove_local_address(now, address));
    net.run(secs(1));
    assert_eq!(net.world.streams(), 0);
    assert!(net.a().agent.pair_stats().is_empty() && net.a().agent.local_candidates().next().is_none());
    assert_eq!(net.a().agent.state(), State::Disconnected);
    net.with(net.a, |agent, now| agent.add_local_address(now, address));
    net.connect(secs(10));
    assert_data(&mut net);

    let listener: SocketAddr = format!("192.0.2.2:{PORT}").parse().unwrap();
    net.with(net.b, |agent, now| agent.remove_tcp_listener(now, listener));
    net.run(secs(1));
    assert_eq!(net.b().agent.local_candidates().filter(|one| one.tcp_type.is_some()).count(), 0);
    assert!(net.b().agent.pair_stats().iter().all(|pair| pair.path.transport == Transport::Udp));

    // A listener that comes in mid-call is told of and connected to.
    let moved: SocketAddr = format!("192.0.2.9:{PORT}").parse().unwrap();
    net.world.add_address(net.b, moved.ip());
    net.peer_mut(net.b).streams.requests.push_back(StreamRequest::Listen(moved));
    net.with(net.b, |agent, now| agent.add_tcp_listener(now, moved));
    assert!(net.run_until(secs(10), |net| {
        let path = net.b().agent.selected_path();
        path.is_some_and(|path| path.local == moved) && net.connected()
    }));
    assert_data(&mut net);
}

// ---- one agent, and a test that plays the network

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
