//! Relayed candidates: two agents that reach each other through TURN servers, or through nothing else.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use common::turn::{TurnServer, config, configured};
use common::{Host, Net, PORT, ips, ms, secs};
use taut_ice::{
    Agent, CandidateAddress, CandidateKind, Config, Credentials, Event, GatheringState, MAX_RELAYS, Policy,
    Role, State, TurnTransport,
};
use taut_netsim::{Link, Nat, NatKind, NodeId};
use taut_sansio::net::{Path, Received, Transport};
use taut_sansio::rng::Rng;
use taut_sansio::time::WallClock;

const SERVER: &str = "198.51.100.1";
const A: &[&str] = &["10.0.0.1"];
const B: &[&str] = &["10.1.0.1"];

fn link() -> Link {
    Link::default().latency(ms(10))
}

fn relayed(policy: Policy) -> Config {
    Config::default().with_turn_servers(vec![configured(SERVER)]).with_policy(policy)
}

fn add_server(net: &mut Net) -> NodeId {
    let clock = net.world.wall_clock();
    net.world.add_node(Host::Turn(TurnServer::new(config(SERVER), clock, 7)), &ips(&[SERVER]))
}

/// Both behind translators that let nobody in who was not asked.
fn behind_symmetric_nats(seed: u64, a: Config, b: Config) -> (Net, NodeId) {
    let mut net = Net::with_configs(seed, link(), (A, a), (B, b));
    for (id, public) in [(net.a, "203.0.113.1"), (net.b, "203.0.113.2")] {
        let nat = net.world.add_nat(Nat::new(NatKind::Symmetric, public.parse().unwrap()));
        net.world.place_behind(id, nat);
    }
    let server = add_server(&mut net);
    (net, server)
}

fn kinds(net: &Net, id: NodeId) -> (CandidateKind, CandidateKind) {
    let pair = net.peer(id).agent.selected_pair().expect("a pair");
    (pair.local.kind, pair.remote.kind)
}

/// Data goes both ways, and over channels.
fn assert_data(net: &mut Net, round: u8) {
    net.run(ms(200));
    for id in [net.a, net.b] {
        net.peer_mut(id).data_in.clear();
        // The first octet is that of DTLS: nothing that ICE takes for itself.
        let data = (0..5u8).map(|length| [&[23, round][..], &vec![7; usize::from(length)]].concat());
        net.peer_mut(id).data_out = data.collect();
    }
    net.run(ms(200));
    for id in [net.a, net.b] {
        let peer = net.peer(id);
        let path = peer.agent.selected_path().expect("a path");
        if peer.agent.relay_overhead(&path) == 0 {
            continue;
        }
        assert_eq!(peer.data_in.len(), 5);
        for (length, (from, data)) in peer.data_in.iter().enumerate() {
            assert_eq!((*from, data.len()), (path, 2 + length));
        }
        assert_eq!(peer.agent.relay_overhead(&path), 4, "a channel is bound");
    }
}

#[test]
fn two_agents_behind_symmetric_translators_connect_through_a_relay() {
    for seed in 0..5 {
        // One relay is enough, if it is known whom it is for; with two, one is taken.
        let server = taut_ice::StunServer { host: taut_ice::Host::Ip(SERVER.parse().unwrap()), port: 3478 };
        for b in [Config::default().with_stun_servers(vec![server]), relayed(Policy::All)] {
            let (mut net, _) = behind_symmetric_nats(seed, relayed(Policy::All), b);
            net.start();
            net.connect(secs(5));
            net.run(secs(2));
            let (local, remote) = kinds(&net, net.a);
            assert!(local == CandidateKind::Relayed || remote == CandidateKind::Relayed);
            assert_data(&mut net, 1);
            if seed == 0 {
                net.world.run_for(secs(700));
                assert!(net.connected(), "permissions, channels and the allocation are kept");
                assert_data(&mut net, 2);
            }
        }
    }
}

#[test]
fn a_relay_is_the_last_resort() {
    let mut net = Net::with_configs(
        1,
        link(),
        (&["192.0.2.1"], relayed(Policy::All)),
        (&["192.0.2.2"], relayed(Policy::All)),
    );
    add_server(&mut net);
    net.start();
    net.connect(secs(5));
    net.run(secs(1));
    assert_eq!(kinds(&net, net.a), (CandidateKind::Host, CandidateKind::Host));
}

#[test]
fn with_relays_alone_nothing_else_is_told_or_used() {
    let mut net = Net::with_configs(
        1,
        link(),
        (&["192.0.2.1"], relayed(Policy::Relay)),
        (&["192.0.2.2"], relayed(Policy::All)),
    );
    add_server(&mut net);
    net.start();
    net.connect(secs(5));
    net.run(secs(1));
    assert_eq!(kinds(&net, net.a).0, CandidateKind::Relayed);
    for (_, event) in &net.a().events {
        if let Event::LocalCandidate(candidate) = event {
            assert_eq!(candidate.kind, CandidateKind::Relayed);
            assert_eq!(candidate.related, Some("0.0.0.0:9".parse().unwrap()), "nor by the way");
            let CandidateAddress::Ip(address) = candidate.address else { panic!("an address") };
            assert_eq!(address.ip().to_string(), SERVER);
            assert_eq!(candidate.priority >> 24, 0);
        }
    }
    assert!(net.a().agent.pair_stats().iter().all(|pair| pair.path.local.ip().to_string() == SERVER));
    // A check to the host address itself, as good as any other, is not answered.
    let (local, remote) = ("192.0.2.1:5000".parse().unwrap(), "192.0.2.2:5000".parse().unwrap());
    let before = net.a().agent.stats();
    let check = {
        use taut_stun::attribute::{IceControlled, Priority, Username};
        use taut_stun::{Algorithm, Builder, Class, Key, Method, TransactionId};
        let (ours, theirs) = (net.a().agent.local_credentials(), net.b().agent.local_credentials());
        let name = format!("{}:{}", ours.ufrag, theirs.ufrag);
        let mut out = Vec::new();
        Builder::new(&mut out, Class::Request, Method::BINDING, TransactionId([1; 12]))
            .push(&Username::new(&name))
            .push(&Priority(1))
            .push(&IceControlled(1))
            .integrity(&Key::short_term(&ours.pwd), Algorithm::Sha1)
            .fingerprint()
            .finish()
            .unwrap();
        out
    };
    net.with(net.a, |agent, now| {
        let meta = Received { at: now, path: Path::udp(local, remote), ecn: None };
        agent.handle_datagram(meta, BytesMut::from(&check[..]));
    });
    let after = net.a().agent.stats();
    assert_eq!((after.dropped_policy, after.requests_received), (1, before.requests_received));
}

#[test]
fn related_addresses_are_those_that_the_server_saw() {
    let (mut net, _) = behind_symmetric_nats(1, relayed(Policy::All), Config::default());
    net.start();
    net.run(secs(1));
    let of_kind = |kind| {
        let of = |event: &Event| match event {
            Event::LocalCandidate(candidate) if candidate.kind == kind => Some(candidate.clone()),
            _ => None,
        };
        net.a().events.iter().find_map(|(_, event)| of(event)).expect("a candidate")
    };
    let (relay, reflexive) = (of_kind(CandidateKind::Relayed), of_kind(CandidateKind::ServerReflexive));
    let CandidateAddress::Ip(mapped) = reflexive.address else { panic!("an address") };
    assert_eq!(mapped.ip().to_string(), "203.0.113.1");
    assert_eq!(relay.related, Some(mapped));
    assert_eq!(reflexive.related, Some("10.0.0.1:5000".parse().unwrap()));
    assert_ne!(relay.foundation, reflexive.foundation);
    assert_eq!(net.a().agent.gathering_state(), GatheringState::Complete);
}

#[test]
fn gathering_waits_for_relays_and_tells_why_there_is_none() {
    let mut wrong = configured(SERVER);
    wrong.password = "wrong".into();
    let mut dead = configured("198.51.100.99");
    dead.port = 3479;
    let config = Config::default().with_turn_servers(vec![wrong, dead]);
    let mut net = Net::with_configs(1, link(), (&["192.0.2.1"], config), (&["192.0.2.2"], Config::default()));
    add_server(&mut net);
    net.with(net.a, |agent, now| agent.gather(now));
    net.run(secs(9));
    assert_eq!(net.a().agent.gathering_state(), GatheringState::Gathering);
    net.run(secs(1));
    assert_eq!(net.a().agent.gathering_state(), GatheringState::Complete);
    let errors: Vec<_> = net
        .a()
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::CandidateError(error) => Some((error.url.as_str(), error.code, error.address)),
            _ => None,
        })
        .collect();
    let local = Some(SocketAddr::new("192.0.2.1".parse().unwrap(), PORT));
    let expected = [
        ("turn:198.51.100.1:3478?transport=udp", 401, local),
        ("turn:198.51.100.99:3479?transport=udp", 701, local),
    ];
    assert_eq!(errors, expected);
}

#[test]
fn a_server_that_returns_is_used_again_after_a_restart() {
    let (mut net, server) = behind_symmetric_nats(3, relayed(Policy::Relay), relayed(Policy::Relay));
    net.start();
    net.connect(secs(5));
    net.run(secs(20));
    assert_data(&mut net, 1);
    let kill = |net: &mut Net| match net.world.node_mut(server) {
        Host::Turn(turn) => turn.server = None,
        _ => panic!("not a server"),
    };
    kill(&mut net);
    let died = net.world.elapsed();
    let is_lost = |net: &Net, id| !matches!(net.peer(id).agent.state(), State::Connected | State::Completed);
    let lost = |net: &Net| is_lost(net, net.a) && is_lost(net, net.b);
    assert!(net.run_until(secs(12), lost), "noticed");
    assert!(net.world.elapsed() - died <= secs(12));
    net.run(secs(10));
    for id in [net.a, net.b] {
        assert_eq!(net.peer(id).states().last(), Some(&State::Disconnected), "there is time to come back");
    }
    let clock = WallClock { instant: net.world.now(), unix: secs(1_700_000_100) };
    match net.world.node_mut(server) {
        Host::Turn(turn) => *turn = TurnServer::new(config(SERVER), clock, 8),
        _ => panic!("not a server"),
    }
    net.run(secs(3));
    let (a, b) = (net.a, net.b);
    net.with(a, |agent, now| agent.restart(now));
    net.with(b, |agent, now| agent.restart(now));
    net.signal(a, Role::Controlling);
    net.signal(b, Role::Controlled);
    assert!(net.run_until(secs(7), Net::connected), "within 10 s of its return: {:?}", net.a().agent.state());
    net.run(secs(1));
    assert_data(&mut net, 2);
}

/// A client has room for so many permissions.
#[test]
fn peers_of_former_generations_take_no_room_from_those_of_the_next() {
    let mut net = Net::with_configs(
        1,
        link(),
        (&["192.0.2.1"], relayed(Policy::Relay)),
        (&["192.0.2.2"], Config::default()),
    );
    add_server(&mut net);
    net.trickle = false;
    let (a, b) = (net.a, net.b);
    for id in [a, b] {
        net.with(id, |agent, now| agent.gather(now));
    }
    net.run(secs(1));
    for (round, wait) in [(0, 1), (1, 1), (2, 310)] {
        let nobody = Credentials { ufrag: format!("nobody{round}"), pwd: "a password of twenty-four".into() };
        net.with(a, |agent, now| {
            agent.set_role(now, Role::Controlling);
            agent.set_remote_credentials(now, nobody, false);
            for n in 1..=90 {
                let text = format!("candidate:{n} 1 udp 1 203.0.{round}.{n} 5000 typ host");
                agent.add_remote_candidate(now, text.parse().unwrap()).unwrap();
            }
        });
        net.run(secs(1));
        net.with(a, |agent, now| agent.restart(now));
        // The server keeps what it has granted for five minutes, and has room for so many, too.
        net.world.run_for(secs(wait));
    }
    net.signal(a, Role::Controlling);
    net.signal(b, Role::Controlled);
    for candidate in std::mem::take(&mut net.peer_mut(b).outbox) {
        net.with(a, |agent, now| agent.add_remote_candidate(now, candidate)).unwrap();
    }
    net.connect(secs(20));
}

#[test]
fn a_peer_that_the_server_refuses_fails_alone() {
    // An address that no server relays to by default.
    let mut net = Net::with_configs(
        1,
        link(),
        (&["192.0.2.1"], relayed(Policy::Relay)),
        (&["10.9.9.9", "192.0.2.2"], Config::default()),
    );
    add_server(&mut net);
    net.start();
    net.connect(secs(5));
    let states = net.a().agent.pair_stats();
    assert!(states.iter().all(|pair| pair.path.remote.ip().to_string() != "10.9.9.9" || !pair.selected));
    assert_eq!(net.a().agent.selected_path().unwrap().remote.ip().to_string(), "192.0.2.2");
}

#[test]
fn closing_gives_the_allocations_back() {
    let (mut net, server) = behind_symmetric_nats(1, relayed(Policy::All), relayed(Policy::All));
    net.start();
    net.connect(secs(5));
    let allocations = |net: &Net| match net.world.node(server) {
        Host::Turn(turn) => turn.server.as_ref().unwrap().allocations(),
        _ => panic!("not a server"),
    };
    assert_eq!(allocations(&net), 2);
    for id in [net.a, net.b] {
        net.with(id, |agent, now| agent.close(now));
    }
    net.run(secs(3));
    assert_eq!(allocations(&net), 0);
    let quiet = |id| net.peer(id).agent.poll_timeout();
    assert_eq!((net.a().agent.state(), quiet(net.a), quiet(net.b)), (State::Closed, None, None));
    let routes =
        |wanted: fn(&Event) -> bool| net.a().events.iter().filter(|(_, event)| wanted(event)).count();
    let added = routes(|event| matches!(event, Event::RouteAdded(_)));
    assert_eq!(added, routes(|event| matches!(event, Event::RouteRemoved(_))), "every route is given up");
}

#[test]
fn a_socket_that_goes_takes_its_relays_with_it() {
    let mut net = Net::with_configs(
        1,
        link(),
        (&["192.0.2.1", "192.0.2.3"], relayed(Policy::All)),
        (&["192.0.2.2"], Config::default()),
    );
    add_server(&mut net);
    net.start();
    net.run(secs(1));
    let relayed = |net: &Net| {
        let locals = net.a().agent.local_candidates();
        locals.filter(|candidate| candidate.kind == CandidateKind::Relayed).count()
    };
    assert_eq!(relayed(&net), 2);
    net.with(net.a, |agent, now| agent.remove_local_address(now, "192.0.2.1:5000".parse().unwrap()));
    assert_eq!(relayed(&net), 1);
}

#[test]
fn streams_are_asked_for_by_event_and_opened_once_per_server() {
    let now = Instant::now();
    let mut server = configured(SERVER);
    server.transport = TurnTransport::Tls;
    server.host = taut_ice::Host::Name("turn.example".into());
    let mut agent = Agent::new(Config::default().with_turn_servers(vec![server]), Rng::from_u64(1));
    for last in 1..4 {
        agent.add_local_address(now, SocketAddr::from(([192, 0, 2, last], PORT)));
    }
    agent.gather(now);
    let mut asked = Vec::new();
    let mut events = |agent: &mut Agent| {
        while let Some(event) = agent.poll_event() {
            match event {
                Event::Resolve { id, host } => {
                    assert_eq!(host, "turn.example");
                    agent.handle_resolved(now, id, Ok(vec![SERVER.parse().unwrap()]));
                }
                Event::Connect { id, replaces, transport, remote, host } => {
                    assert_eq!((transport, host.as_str()), (Transport::Tls, "turn.example"));
                    assert_eq!(replaces, None);
                    asked.push((id, remote));
                }
                _ => {}
            }
        }
        std::mem::take(&mut asked)
    };
    let streams = events(&mut agent);
    assert_eq!(streams.len(), 1);
    assert!(agent.poll_transmit(now, 1, &mut Vec::new()).is_none(), "nothing before it is open");
    let local = "192.0.2.1:40000".parse().unwrap();
    let path = Path { transport: Transport::Tls, local, remote: streams[0].1 };
    agent.handle_connected(now, streams[0].0, Ok(path));
    let transmit = agent.poll_transmit(now, 1, &mut Vec::new()).expect("a request");
    assert_eq!(transmit.path, path);
    agent.handle_disconnected(now, path);
    assert_eq!(agent.gathering_state(), GatheringState::Complete, "it was never there");
}

#[test]
fn sockets_for_relays_are_asked_from_alone_and_give_nothing_else() {
    let now = Instant::now();
    let mut over_tcp = configured("198.51.100.2");
    over_tcp.transport = TurnTransport::Tcp;
    let servers = vec![configured(SERVER), over_tcp];
    let mut agent = Agent::new(Config::default().with_turn_servers(servers), Rng::from_u64(1));
    let shared = SocketAddr::from(([192, 0, 2, 1], PORT));
    let own = SocketAddr::from(([192, 0, 2, 1], 6_000));
    agent.add_relay_socket(now, own);
    agent.add_local_address(now, shared);
    agent.gather(now);
    let transmit = agent.poll_transmit(now, 1, &mut Vec::new()).expect("a request");
    assert_eq!(transmit.path, Path::udp(own, format!("{SERVER}:3478").parse().unwrap()));
    assert!(agent.poll_transmit(now, 1, &mut Vec::new()).is_none(), "from nowhere else");
    let events: Vec<Event> = std::iter::from_fn(|| agent.poll_event()).collect();
    let streams = events.iter().filter(|event| matches!(event, Event::Connect { .. })).count();
    assert_eq!(streams, 1, "a stream needs no socket of its own");
    assert!(agent.local_candidates().all(|candidate| candidate.address == CandidateAddress::Ip(shared)));
    assert_eq!(agent.gathering_state(), GatheringState::Gathering);
    agent.remove_local_address(now, own);
    agent.remove_local_address(now, shared);
    assert_eq!(agent.gathering_state(), GatheringState::Complete, "nobody is asked any more");
    for port in 1..100 {
        agent.add_relay_socket(now, SocketAddr::from(([192, 0, 2, 1], port)));
    }
    let mut asked = 0;
    while agent.poll_transmit(now, 1, &mut Vec::new()).is_some() {
        asked += 1;
    }
    assert!((1..=MAX_RELAYS).contains(&asked), "{asked}");
}

#[test]
fn allocations_are_bounded() {
    let now = Instant::now();
    let servers = (1..=20).map(|last| configured(&format!("198.51.100.{last}"))).collect();
    let mut agent = Agent::new(Config::default().with_turn_servers(servers), Rng::from_u64(1));
    for last in 1..20 {
        agent.add_local_address(now, SocketAddr::from(([192, 0, 2, last], PORT)));
    }
    agent.gather(now);
    let mut asked = 0;
    while agent.poll_transmit(now, 1, &mut Vec::new()).is_some() {
        asked += 1;
    }
    assert_eq!(asked, MAX_RELAYS);
}

#[test]
fn what_a_relay_has_seen_is_told_again_after_a_restart() {
    let (mut net, _) = behind_symmetric_nats(1, relayed(Policy::All), relayed(Policy::All));
    net.start();
    net.connect(secs(5));
    let a = net.a;
    let told = |net: &Net| {
        let ufrag = Some(&net.a().agent.local_credentials().ufrag);
        let current = net.a().agent.local_candidates().filter(|one| one.ufrag.as_ref() == ufrag);
        current.map(|one| one.kind).collect::<Vec<_>>()
    };
    let before = told(&net);
    assert!(before.contains(&CandidateKind::ServerReflexive), "{before:?}");
    net.with(a, |agent, now| agent.restart(now));
    let (mut before, mut after) = (before, told(&net));
    before.sort();
    after.sort();
    assert_eq!(after, before, "nobody has to be asked for that");
    assert_eq!(net.a().agent.gathering_state(), GatheringState::Complete);
}

#[test]
fn a_server_that_is_asked_both_ways_is_heard_both_ways() {
    use taut_stun::attribute::XorMappedAddress;
    use taut_stun::{Builder, Class, Message, Method};
    let now = Instant::now();
    let server = taut_ice::StunServer { host: taut_ice::Host::Ip(SERVER.parse().unwrap()), port: 3478 };
    let config = relayed(Policy::All).with_stun_servers(vec![server]);
    let mut agent = Agent::new(config, Rng::from_u64(1));
    agent.add_local_address(now, SocketAddr::from(([192, 0, 2, 1], PORT)));
    agent.gather(now);
    let (mut at, mut bindings) = (now, 0);
    for _ in 0..10 {
        at += ms(50);
        agent.handle_timeout(at);
        let mut out = Vec::new();
        let Some(transmit) = agent.poll_transmit(at, 1, &mut out) else { continue };
        let request = Message::parse(&out).unwrap();
        if request.method() == Method::BINDING {
            bindings += 1;
            let mut answer = Vec::new();
            Builder::answer(&mut answer, Class::Success, &request)
                .push(&XorMappedAddress("203.0.113.1:7000".parse().unwrap()))
                .finish()
                .unwrap();
            let meta = Received { at, path: transmit.path, ecn: None };
            assert!(agent.handle_datagram(meta, BytesMut::from(&answer[..])).is_none());
        }
    }
    assert_eq!(bindings, 1, "it was heard");
    assert!(agent.local_candidates().any(|one| one.kind == CandidateKind::ServerReflexive));
}

#[test]
fn a_stream_is_for_the_server_that_it_was_asked_for() {
    let now = Instant::now();
    let servers = ["198.51.100.1", "198.51.100.2"].map(|host| {
        let mut server = configured(host);
        server.transport = TurnTransport::Tcp;
        server
    });
    let mut agent = Agent::new(Config::default().with_turn_servers(servers.to_vec()), Rng::from_u64(1));
    agent.add_local_address(now, SocketAddr::from(([192, 0, 2, 1], PORT)));
    agent.gather(now);
    let mut streams = Vec::new();
    while let Some(event) = agent.poll_event() {
        if let Event::Connect { id, remote, .. } = event {
            streams.push((id, remote));
        }
    }
    assert_eq!(streams.len(), 2);
    for (id, remote) in streams.into_iter().rev() {
        let path = Path { transport: Transport::Tcp, local: "192.0.2.1:40000".parse().unwrap(), remote };
        agent.handle_connected(now, id, Ok(path));
        let transmit = agent.poll_transmit(now, 1, &mut Vec::new()).expect("a request");
        assert_eq!(transmit.path, path);
    }
}
