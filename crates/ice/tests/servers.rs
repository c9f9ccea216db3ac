//! Servers that are set during a session: who is asked when, and what becomes of the allocations on the others.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use std::time::Instant;

use common::turn::{TurnServer, config, configured};
use common::{Host, Net, ips, ms, secs};
use taut_ice::{
    Agent, Candidate, CandidateKind, Config, Event, GatheringState, Host as ServerHost, Policy, StunServer,
    TcpPolicy, TurnTransport,
};
use taut_netsim::{Link, Nat, NatKind, NodeId};
use taut_sansio::net::{Path, Transport};
use taut_sansio::rng::Rng;
use taut_turn::server::ServerConfig;

const FIRST: &str = "198.51.100.1";
const SECOND: &str = "198.51.100.2";

fn add_server(net: &mut Net, address: &str, config: ServerConfig) -> NodeId {
    let clock = net.world.wall_clock();
    net.world.add_node(Host::Turn(TurnServer::new(config, clock, 7)), &ips(&[address]))
}

fn stun(address: &str) -> StunServer {
    StunServer { host: ServerHost::Ip(address.parse().unwrap()), port: 3478 }
}

/// Two agents that connect through the relay that `a` has on the first server, and a second one that nobody knows of.
fn over_a_relay() -> (Net, [NodeId; 2]) {
    let a = Config::default().with_turn_servers(vec![configured(FIRST)]);
    let b = Config::default().with_stun_servers(vec![stun(FIRST)]);
    let link = Link::default().latency(ms(10));
    let mut net = Net::with_configs(1, link, (&["10.0.0.1"], a), (&["10.1.0.1"], b));
    for (id, public) in [(net.a, "203.0.113.1"), (net.b, "203.0.113.2")] {
        let nat = net.world.add_nat(Nat::new(NatKind::Symmetric, public.parse().unwrap()));
        net.world.place_behind(id, nat);
    }
    let servers = [FIRST, SECOND].map(|address| add_server(&mut net, address, config(address)));
    net.start();
    net.connect(secs(5));
    net.run(secs(1));
    assert_eq!((relay(&net).as_str(), allocations(&net, servers)), (FIRST, [1, 0]));
    (net, servers)
}

/// Where the pair in use begins.
fn relay(net: &Net) -> String {
    net.a().agent.selected_path().expect("a pair").local.ip().to_string()
}

/// How many allocations each server has now.
fn allocations(net: &Net, servers: [NodeId; 2]) -> [usize; 2] {
    servers.map(|id| match net.world.node(id) {
        Host::Turn(turn) => turn.server.as_ref().map_or(0, |server| server.allocations()),
        _ => panic!("a server"),
    })
}

/// The candidates of the current generation.
fn kinds(net: &Net) -> Vec<CandidateKind> {
    let agent = &net.a().agent;
    let ours = |one: &&Candidate| one.ufrag.as_ref() == Some(&agent.local_credentials().ufrag);
    let mut kinds: Vec<CandidateKind> = agent.local_candidates().filter(ours).map(|one| one.kind).collect();
    kinds.sort();
    kinds
}

/// Data comes through a relay to `a`.
fn assert_data(net: &mut Net) {
    net.peer_mut(net.a).data_in.clear();
    net.peer_mut(net.b).data_out = [vec![23, 1, 2]].into();
    net.run(ms(100));
    assert_eq!(net.a().data_in.len(), 1);
}

#[test]
fn another_server_is_asked_with_the_next_restart_and_the_first_let_go() {
    let (mut net, servers) = over_a_relay();
    net.with(net.a, |agent, _| agent.set_servers(Vec::new(), vec![configured(SECOND)], Policy::All));
    net.world.run_for(secs(60));
    assert_eq!((relay(&net).as_str(), allocations(&net, servers)), (FIRST, [1, 0]), "not before");
    net.restart(net.a);
    assert_eq!(relay(&net), FIRST);
    assert_data(&mut net);
    assert!(net.run_until(secs(5), |net| relay(net) == SECOND), "it moves");
    assert_data(&mut net);
    net.run(secs(5));
    assert_eq!(kinds(&net), [CandidateKind::Host, CandidateKind::ServerReflexive, CandidateKind::Relayed]);
    assert_eq!((relay(&net).as_str(), allocations(&net, servers)), (SECOND, [0, 1]), "it was given back");
    net.world.run_for(secs(60));
    assert!(net.connected());
    assert_data(&mut net);
    // And back again.
    net.with(net.a, |agent, _| agent.set_servers(Vec::new(), vec![configured(FIRST)], Policy::All));
    net.restart(net.a);
    assert!(net.run_until(secs(5), |net| relay(net) == FIRST));
    net.run(secs(5));
    assert_eq!(allocations(&net, servers), [1, 0]);
    assert_data(&mut net);
}

#[test]
fn a_restart_that_is_taken_back_leaves_the_relay_in_use() {
    let (mut net, servers) = over_a_relay();
    net.with(net.a, |agent, _| agent.set_servers(Vec::new(), vec![configured(SECOND)], Policy::All));
    net.with(net.a, |agent, now| agent.restart(now));
    net.run(secs(1));
    net.with(net.a, |agent, now| agent.roll_back_restart(now));
    net.run(secs(60));
    assert_eq!(relay(&net), FIRST);
    assert_eq!(allocations(&net, servers)[0], 1);
    assert_data(&mut net);
    let before = net.a().agent.selected_path();
    // A server that is named again is as it was.
    net.with(net.a, |agent, _| agent.set_servers(Vec::new(), vec![configured(FIRST)], Policy::All));
    net.restart(net.a);
    net.run(secs(10));
    assert_eq!((net.a().agent.selected_path(), allocations(&net, servers)), (before, [1, 0]));
    assert_eq!(kinds(&net), [CandidateKind::Host, CandidateKind::ServerReflexive, CandidateKind::Relayed]);
    assert_data(&mut net);
}

#[test]
fn without_servers_nothing_is_told_but_hosts() {
    let (mut net, servers) = over_a_relay();
    net.with(net.a, |agent, _| agent.set_servers(Vec::new(), Vec::new(), Policy::All));
    net.with(net.a, |agent, now| agent.restart(now));
    net.run(secs(1));
    assert_eq!(kinds(&net), [CandidateKind::Host]);
    assert_eq!(allocations(&net, servers), [1, 0], "while it is in use");
    assert_data(&mut net);
}

#[test]
fn other_credentials_are_for_the_next_allocation() {
    for renewed in [true, false] {
        let (mut net, servers) = over_a_relay();
        let before = net.a().agent.selected_path();
        let mut renamed = configured(FIRST);
        renamed.username = "bob".into();
        if renewed {
            net.with(net.a, |agent, _| agent.set_servers(Vec::new(), vec![renamed], Policy::All));
        }
        net.restart(net.a);
        net.run(secs(5));
        net.world.run_for(secs(700));
        assert_eq!(
            (net.a().agent.selected_path(), allocations(&net, servers)),
            (before, [1, 0]),
            "it goes on"
        );
        assert_data(&mut net);
        // The server begins anew, and knows nobody but the new name.
        let clock = net.world.wall_clock();
        let new = ServerConfig::default().with_user("bob", "secret").with_relay(ips(&[FIRST])[0]);
        match net.world.node_mut(servers[0]) {
            Host::Turn(turn) => *turn = TurnServer::new(new, clock, 8),
            _ => panic!("a server"),
        }
        let back = net.run_until(secs(30), |net| allocations(net, servers) == [1, 0]);
        assert_eq!(back, renewed);
    }
}

#[test]
fn a_request_that_is_refused_is_made_again_with_other_credentials() {
    let mut wrong = configured(FIRST);
    wrong.password = "wrong".into();
    let a = Config::default().with_turn_servers(vec![wrong]);
    let link = Link::default().latency(ms(10));
    let mut net = Net::with_configs(1, link, (&["192.0.2.1"], a), (&["192.0.2.2"], Config::default()));
    let server = add_server(&mut net, FIRST, config(FIRST));
    net.with(net.a, |agent, now| agent.gather(now));
    // The first request is on its way.
    net.run(ms(5));
    net.with(net.a, |agent, now| {
        agent.set_servers(Vec::new(), vec![configured(FIRST)], Policy::All);
        agent.restart(now);
    });
    net.run(secs(1));
    assert_eq!(allocations(&net, [server, server])[0], 1);
    assert_eq!(net.a().at(|event| matches!(event, Event::CandidateError(_))), None);
}

#[test]
fn another_policy_holds_from_the_next_restart_on() {
    let a = Config::default().with_turn_servers(vec![configured(FIRST)]).with_tcp(TcpPolicy::Both);
    let link = Link::default().latency(ms(10));
    let mut net = Net::with_configs(1, link, (&["192.0.2.1"], a), (&["192.0.2.2"], Config::default()));
    add_server(&mut net, FIRST, config(FIRST));
    net.start();
    net.connect(secs(5));
    net.run(secs(1));
    let host = net.a().agent.selected_path();
    assert_eq!(relay(&net), "192.0.2.1");
    let set = |net: &mut Net, policy| {
        net.with(net.a, |agent, _| agent.set_servers(Vec::new(), vec![configured(FIRST)], policy));
    };
    set(&mut net, Policy::Relay);
    net.run(secs(60));
    assert_eq!(net.a().agent.selected_path(), host);
    let told = net.a().events.len();
    net.with(net.a, |agent, now| agent.restart(now));
    net.run(secs(60));
    assert!(net.connected() && net.a().agent.selected_path() == host, "until there is another pair");
    net.restart(net.a);
    assert!(net.run_until(secs(5), |net| relay(net) == FIRST));
    net.run(secs(5));
    assert_data(&mut net);
    for (_, event) in &net.a().events[told..] {
        let Event::LocalCandidate(candidate) = event else { continue };
        assert_eq!(candidate.kind, CandidateKind::Relayed, "nothing else is told");
    }
    assert!(net.a().agent.pair_stats().iter().all(|pair| pair.path.local.ip().to_string() == FIRST));
    // A connection that comes to a listener is for nobody now, and a check at the socket neither.
    let listener = "192.0.2.1:9000".parse().unwrap();
    let path = Path { transport: Transport::Tcp, local: listener, remote: "192.0.2.9:1".parse().unwrap() };
    let refused = |net: &mut Net| {
        net.with(net.a, |agent, now| {
            agent.add_tcp_listener(now, listener);
            agent.handle_tcp_accepted(now, path);
            let refused =
                std::iter::from_fn(|| agent.poll_event()).any(|event| event == Event::CloseTcp(path));
            agent.handle_tcp_closed(now, path);
            refused
        })
    };
    assert!(refused(&mut net));
    set(&mut net, Policy::All);
    assert!(refused(&mut net), "not yet");
    net.restart(net.a);
    assert!(net.run_until(secs(5), |net| relay(net) == "192.0.2.1"));
    assert!(!refused(&mut net));
}

#[test]
fn before_gathering_it_is_as_if_they_had_been_configured() {
    let mut agent = Agent::new(Config::default(), Rng::from_u64(1));
    let now = Instant::now();
    agent.add_local_address(now, "192.0.2.1:5000".parse().unwrap());
    agent.set_servers(vec![stun(FIRST)], vec![configured(SECOND)], Policy::All);
    assert!(agent.poll_transmit(now, 1, &mut Vec::new()).is_none());
    agent.gather(now);
    let asked = std::iter::from_fn(|| agent.poll_transmit(now, 1, &mut Vec::new()));
    let mut asked: Vec<String> = asked.map(|transmit| transmit.path.remote.ip().to_string()).collect();
    asked.sort();
    assert_eq!(asked, [FIRST, SECOND]);
}

#[test]
fn the_stream_to_a_server_that_is_let_go_or_refuses_is_closed() {
    let mut over_tcp = configured(FIRST);
    over_tcp.transport = TurnTransport::Tcp;
    let mut agent = Agent::new(Config::default().with_turn_servers(vec![over_tcp]), Rng::from_u64(1));
    let now = Instant::now();
    agent.add_local_address(now, "192.0.2.1:5000".parse().unwrap());
    agent.gather(now);
    let stream = std::iter::from_fn(|| agent.poll_event()).find_map(|event| match event {
        Event::Connect { id, .. } => Some(id),
        _ => None,
    });
    agent.set_servers(Vec::new(), Vec::new(), Policy::All);
    agent.restart(now);
    let closed = std::iter::from_fn(|| agent.poll_event()).find_map(|event| match event {
        Event::CloseStream(id) => Some(id),
        _ => None,
    });
    assert!(stream.is_some() && closed == stream, "{stream:?}, {closed:?}");
    assert_eq!(agent.gathering_state(), GatheringState::Complete);
}
