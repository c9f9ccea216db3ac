//! TCP candidates (RFC 6544), where UDP gets through, and where it does not.

mod common;

use std::net::SocketAddr;

use common::{Net, PORT, ms, secs};
use taut_ice::{CandidateKind, CandidateTransport, Config, Event, Role, State, TcpPolicy, TcpType};
use taut_netsim::{Link, Loss, Nat, NatKind, NodeId, StreamRequest};
use taut_sansio::net::Transport;

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
        net.tell(other);
        net.tell(restarts);
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
