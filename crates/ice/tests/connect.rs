//! Two agents find each other: roles, trickling, loss, families, NATs, names, lite peers.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use std::time::{Duration, Instant};

use common::{Host, Net, PORT, Responder, StunServer, ms, secs};
use taut_ice::{
    Agent, CandidateKind, Config, Event, GatheringState, Loopback, Role, State, Validation, select_addresses,
};
use taut_netsim::{Link, Loss, Nat, NatKind};
use taut_sansio::rng::Rng;

const A4: &[&str] = &["192.0.2.1"];
const B4: &[&str] = &["192.0.2.2"];

fn link(latency: u64) -> Link {
    Link::default().latency(ms(latency))
}

#[test]
fn valid_in_one_round_trip_and_nominated_in_two() {
    for (a_role, b_role) in [(Role::Controlling, Role::Controlled), (Role::Controlled, Role::Controlling)] {
        let mut net = Net::new(1, link(20), A4, B4);
        for id in [net.a, net.b] {
            net.with(id, |agent, now| agent.gather(now));
        }
        let (a, b) = (net.a, net.b);
        net.signal(a, a_role);
        net.signal(b, b_role);
        let start = net.world.elapsed();
        assert!(net.run_until(secs(5), Net::connected));
        assert!(net.world.elapsed() - start <= ms(41), "{:?}", net.world.elapsed());
        assert!(net.run_until(secs(5), Net::nominated));
        assert!(net.world.elapsed() - start <= ms(81), "{:?}", net.world.elapsed());
        net.assert_same_path();
        assert_eq!(net.a().agent.role(), a_role);
        assert_eq!(net.a().states(), [State::Checking, State::Connected]);
        assert_eq!(net.a().agent.rtt(), Some(ms(40)));
        let path = net.a().agent.selected_path().unwrap();
        assert_eq!(net.a().agent.validation(&path), Validation::Validated);
        assert!(net.a().at(|event| *event == Event::RouteAdded(path)).is_some());
    }
}

#[test]
fn completed_when_no_candidate_is_to_come() {
    let mut net = Net::new(1, link(5), A4, B4);
    net.start();
    net.connect(secs(5));
    assert_eq!(net.a().agent.state(), State::Connected);
    for id in [net.a, net.b] {
        net.with(id, |agent, now| agent.end_of_remote_candidates(now));
        assert_eq!(net.peer(id).agent.state(), State::Completed);
    }
}

#[test]
fn both_controlling_and_both_controlled_settle_on_different_roles() {
    for role in [Role::Controlling, Role::Controlled] {
        for seed in 0..20 {
            let mut net = Net::new(seed, link(10).jitter(ms(5)), A4, B4);
            for id in [net.a, net.b] {
                net.with(id, |agent, now| agent.gather(now));
                net.signal(id, role);
            }
            net.connect(secs(5));
            assert_ne!(net.a().agent.role(), net.b().agent.role(), "seed {seed}");
            let conflicts = [net.a, net.b].map(|id| net.peer(id).agent.stats().role_conflicts);
            assert!(conflicts.iter().sum::<u64>() > 0);
        }
    }
}

#[test]
fn choosing_the_same_role_again_does_not_undo_a_resolved_conflict() {
    let mut net = Net::new(3, link(10), A4, B4);
    for id in [net.a, net.b] {
        net.with(id, |agent, now| agent.gather(now));
        net.signal(id, Role::Controlling);
    }
    net.connect(secs(5));
    let roles = [net.a().agent.role(), net.b().agent.role()];
    for id in [net.a, net.b] {
        net.with(id, |agent, now| agent.set_role(now, Role::Controlling));
    }
    assert_eq!(roles, [net.a().agent.role(), net.b().agent.role()]);
}

#[test]
fn candidates_that_trickle_late() {
    let mut net = Net::new(1, link(20), A4, B4);
    net.trickle = false;
    for id in [net.a, net.b] {
        net.with(id, |agent, now| agent.gather(now));
    }
    let (a, b) = (net.a, net.b);
    net.signal(a, Role::Controlling);
    net.signal(b, Role::Controlled);
    net.run(secs(8));
    assert_eq!(net.a().agent.state(), State::New, "nothing to check yet");
    net.trickle = true;
    assert!(net.connect(secs(5)) <= ms(90));
}

#[test]
fn one_side_that_knows_no_candidates_learns_them() {
    let mut net = Net::new(1, link(20), A4, B4);
    net.trickle = false;
    for id in [net.a, net.b] {
        net.with(id, |agent, now| agent.gather(now));
    }
    let (a, b) = (net.a, net.b);
    net.signal(a, Role::Controlling);
    net.signal(b, Role::Controlled);
    let candidate = net.b().outbox[0].clone();
    net.with(a, |agent, now| agent.add_remote_candidate(now, candidate)).unwrap();
    net.connect(secs(5));
    let remote = net.b().agent.selected_pair().unwrap().remote;
    assert_eq!(remote.kind, CandidateKind::PeerReflexive);
    let candidate = net.a().outbox[0].clone();
    net.with(b, |agent, now| agent.add_remote_candidate(now, candidate.clone())).unwrap();
    let remote = net.b().agent.selected_pair().unwrap().remote;
    assert_eq!(remote, candidate, "what was learned becomes what was signalled");
    assert_eq!(net.b().agent.remote_candidates().count(), 1);
}

#[test]
fn early_checks_are_answered_at_once_and_caught_up_with() {
    let mut net = Net::new(1, link(20), A4, B4);
    for id in [net.a, net.b] {
        net.with(id, |agent, now| agent.gather(now));
    }
    let (a, b) = (net.a, net.b);
    // The answer is still on its way to a, while b checks already.
    net.signal(b, Role::Controlled);
    assert!(net.run_until(secs(1), |net| net.b().agent.state() == State::Connected), "a has answered");
    assert_eq!(net.a().agent.selected_path(), None);
    let path = net.b().agent.selected_path().unwrap();
    let reverse = taut_sansio::net::Path::udp(path.remote, path.local);
    assert_eq!(net.a().agent.validation(&reverse), Validation::Authenticated);
    assert!(net.a().at(|event| *event == Event::RouteAdded(reverse)).is_some());
    net.run(ms(300));
    let start = net.world.elapsed();
    net.signal(a, Role::Controlling);
    assert!(net.run_until(secs(1), Net::connected));
    assert!(net.world.elapsed() - start <= ms(41));
    net.connect(secs(2));
}

#[test]
fn an_early_nomination_counts_once_the_pair_is_valid() {
    let mut net = Net::new(1, link(20), A4, B4);
    for id in [net.a, net.b] {
        net.with(id, |agent, now| agent.gather(now));
    }
    let (a, b) = (net.a, net.b);
    net.signal(a, Role::Controlling);
    assert!(net.run_until(secs(1), |net| net.a().is_nominated()));
    net.signal(b, Role::Controlled);
    net.connect(ms(60));
}

#[test]
fn twenty_percent_loss_in_both_directions() {
    let mut times = Vec::new();
    for seed in 0..100 {
        let mut net = Net::new(seed, link(40).jitter(ms(10)).loss(Loss::Random(0.2)), A4, B4);
        net.start();
        assert!(net.run_until(secs(30), Net::connected), "seed {seed}");
        times.push(net.world.elapsed());
        net.connect(secs(30));
    }
    times.sort();
    assert!(times[98] <= secs(5), "{:?}", &times[90..]);
}

#[test]
fn thirty_percent_loss_in_bursts_with_reordering_and_duplicates() {
    let mut times = Vec::new();
    for seed in 0..100 {
        let link = link(100).jitter(ms(50)).loss(Loss::bursts(0.3, 3.0)).reorder(0.1, ms(80)).duplicate(0.1);
        let mut net = Net::new(seed, link, A4, B4);
        net.start();
        assert!(net.run_until(secs(30), Net::connected), "seed {seed}");
        times.push(net.world.elapsed());
    }
    times.sort();
    assert!(times[98] <= secs(8), "{:?}", &times[90..]);
}

#[test]
fn both_families_prefer_version_6() {
    let mut net = Net::new(1, link(20), &["192.0.2.1", "2001:db8::1"], &["192.0.2.2", "2001:db8::2"]);
    net.start();
    net.connect(secs(5));
    assert!(net.a().agent.selected_path().unwrap().local.is_ipv6());
}

#[test]
fn a_family_that_leads_nowhere_gives_way() {
    let lossy = link(20).loss(Loss::filter(|_, octets| octets.len() > 60 && octets.len() < 2));
    let mut net = Net::new(1, lossy, &["192.0.2.1", "2001:db8::1"], &["192.0.2.2"]);
    net.start();
    assert!(net.connect(secs(5)) <= ms(82));
    assert!(net.a().agent.selected_path().unwrap().local.is_ipv4());
}

#[test]
fn patience_for_a_better_pair_is_short() {
    // b signals a second, better address that nobody has.
    let mut net = Net::new(1, link(20), A4, B4);
    net.start();
    let a = net.a;
    let dead = "candidate:9 1 udp 2147483647 192.0.2.99 4000 typ host".parse().unwrap();
    net.with(a, |agent, now| agent.add_remote_candidate(now, dead)).unwrap();
    let took = net.connect(secs(5));
    assert!(took >= ms(80) && took <= ms(2 * 40 + 50 + 5), "{took:?}");
}

#[test]
fn server_reflexive_through_nats() {
    let server = "198.51.100.9";
    let config = Config::default().with_stun_servers(vec![taut_ice::StunServer {
        host: taut_ice::Host::Ip(server.parse().unwrap()),
        port: 3478,
    }]);
    for kind in [NatKind::FullCone, NatKind::PortRestricted] {
        let mut net =
            Net::with_configs(1, link(20), (&["10.0.0.1"], config.clone()), (&["10.1.0.1"], config.clone()));
        net.world.add_node(Host::Stun(StunServer::default()), &common::ips(&[server]));
        for (id, public) in [(net.a, "203.0.113.1"), (net.b, "203.0.113.2")] {
            let nat = net.world.add_nat(Nat::new(kind, public.parse().unwrap()));
            net.world.place_behind(id, nat);
        }
        net.start();
        net.connect(secs(10));
        for id in [net.a, net.b] {
            let peer = net.peer(id);
            let reflexive: Vec<_> =
                peer.agent.local_candidates().filter(|c| c.kind == CandidateKind::ServerReflexive).collect();
            assert_eq!(reflexive.len(), 1);
            assert_eq!(reflexive[0].related.unwrap().port(), PORT);
            let complete = Event::GatheringStateChanged(GatheringState::Complete);
            assert!(peer.at(|event| *event == complete).is_some());
        }
        // Once nominated, the server is not asked any more.
        let asked = |net: &Net| {
            let ids: Vec<_> = net.world.node_ids().collect();
            ids.iter()
                .filter_map(|id| match net.world.node(*id) {
                    Host::Stun(server) => Some(server.asked),
                    _ => None,
                })
                .sum::<u64>()
        };
        let before = asked(&net);
        net.run(secs(60));
        assert_eq!(asked(&net), before);
        assert!(net.connected());
    }
}

#[test]
fn a_name_is_resolved_by_multicast_dns() {
    let name = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local";
    let mut net = Net::new(1, link(5), A4, B4);
    let responder = Host::Responder(Responder::new(name, "192.0.2.2".parse().unwrap()));
    let responder = net.world.add_node(responder, &common::ips(&["192.0.2.3"]));
    net.world.join_multicast(responder);
    let (a, b) = (net.a, net.b);
    net.world.join_multicast(a);
    net.trickle = false;
    net.signal(a, Role::Controlling);
    net.signal(b, Role::Controlled);
    let text = format!("candidate:1 1 udp 2122260223 {name} {PORT} typ host");
    net.with(a, |agent, now| agent.add_remote_candidate(now, text.parse().unwrap())).unwrap();
    assert!(net.a().at(|event| *event == Event::MulticastWanted).is_some());
    net.connect(secs(5));
    let asked = |net: &Net| match net.world.node(responder) {
        Host::Responder(responder) => responder.asked,
        _ => 0,
    };
    let before = asked(&net);
    net.run(secs(120));
    assert_eq!(asked(&net), before, "what is resolved is not asked for again");
}

#[test]
fn a_name_is_not_resolved_from_another_port() {
    let name = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local";
    for (port, resolved) in [(5354, 0), (5353, 1)] {
        let now = Instant::now();
        let mut agent = Agent::new(Config::default(), Rng::from_u64(1));
        let text = format!("candidate:1 1 udp 2122260223 {name} {PORT} typ host");
        agent.add_remote_candidate(now, text.parse().unwrap()).unwrap();
        let now = agent.poll_timeout().expect("the question is due some time");
        agent.handle_timeout(now);
        let mut question = Vec::new();
        let _ = agent.poll_transmit(now, 1, &mut question).expect("a question");
        let response = Responder::new(name, "192.0.2.2".parse().unwrap()).response();
        let path = taut_sansio::net::Path::udp(taut_mdns::LOCAL_V4, (common::ips(A4)[0], port).into());
        let meta = taut_sansio::net::Received { at: now, path, ecn: None };
        agent.handle_datagram(meta, response.as_slice().into());
        assert_eq!(agent.remote_candidates().count(), resolved, "{port}");
    }
}

/// A lite agent: answers checks, sends none (RFC 8445 section 2.5).
#[test]
fn a_lite_peer_is_checked_and_nominated_by_us() {
    let now = Instant::now();
    let mut agent = Agent::new(Config::default(), Rng::from_u64(1));
    let local = "192.0.2.1:5000".parse().unwrap();
    let remote = "198.51.100.1:443".parse().unwrap();
    agent.add_local_address(now, local);
    agent.set_role(now, Role::Controlled);
    let credentials = taut_ice::Credentials { ufrag: "lite".into(), pwd: "l".repeat(24) };
    agent.set_remote_credentials(now, credentials.clone(), true);
    assert_eq!(agent.role(), Role::Controlling, "who faces a lite agent controls");
    agent.set_role(now, Role::Controlling);
    agent.add_remote_candidate(now, "1 1 udp 2130706431 198.51.100.1 443 typ host".parse().unwrap()).unwrap();
    let key = taut_stun::Key::short_term(&credentials.pwd);
    let (mut now, mut requests) = (now, 0);
    for _ in 0..100 {
        let mut out = Vec::new();
        while let Some(transmit) = agent.poll_transmit(now, 1, &mut out) {
            assert_eq!(transmit.path.remote, remote);
            requests += 1;
            let request = taut_stun::Message::parse(&out).unwrap();
            assert!(request.verify(&key).is_ok());
            let mut reply = Vec::new();
            let _ = taut_stun::Builder::answer(&mut reply, taut_stun::Class::Success, &request)
                .push(&taut_stun::attribute::XorMappedAddress(local))
                .integrity(&key, taut_stun::Algorithm::Sha1)
                .fingerprint()
                .finish();
            let meta = taut_sansio::net::Received { at: now, path: transmit.path, ecn: None };
            agent.handle_datagram(meta, reply.as_slice().into());
            out.clear();
        }
        now = agent.poll_timeout().unwrap();
        agent.handle_timeout(now);
    }
    assert!(agent.pair_stats()[0].nominated);
    assert_eq!(agent.state(), State::Connected);
    assert!(agent.stats().consent_requests_sent > 40 && requests < 110, "{requests}");
}

#[test]
fn aggressive_nomination_is_followed_to_the_best_pair() {
    // A controlling side that puts USE-CANDIDATE into every check, worst pair first.
    let start = Instant::now();
    let mut agent = Agent::new(Config::default(), Rng::from_u64(1));
    let local = "192.0.2.1:5000".parse().unwrap();
    agent.add_local_address(start, local);
    agent.set_role(start, Role::Controlled);
    let theirs = taut_ice::Credentials { ufrag: "them".into(), pwd: "t".repeat(24) };
    agent.set_remote_credentials(start, theirs.clone(), false);
    let ours = agent.local_credentials().clone();
    let (our_key, their_key) =
        (taut_stun::Key::short_term(&ours.pwd), taut_stun::Key::short_term(&theirs.pwd));
    let username = format!("{}:{}", ours.ufrag, theirs.ufrag);
    let mut now = start;
    for (step, priority) in [(1u8, 10u32), (2, 30), (3, 20)] {
        let path = taut_sansio::net::Path::udp(local, format!("198.51.100.{step}:1000").parse().unwrap());
        let meta = taut_sansio::net::Received { at: now, path, ecn: None };
        let mut check = Vec::new();
        let id = taut_stun::TransactionId([step; 12]);
        let _ =
            taut_stun::Builder::new(&mut check, taut_stun::Class::Request, taut_stun::Method::BINDING, id)
                .push(&taut_stun::attribute::Username::new(&username))
                .push(&taut_stun::attribute::Priority(priority))
                .push(&taut_stun::attribute::IceControlling(7))
                .push(&taut_stun::attribute::UseCandidate)
                .integrity(&our_key, taut_stun::Algorithm::Sha1)
                .finish();
        agent.handle_datagram(meta, check.as_slice().into());
        let mut out = Vec::new();
        while let Some(transmit) = agent.poll_transmit(now, 1, &mut out) {
            let request = taut_stun::Message::parse(&out).unwrap();
            if request.class() == taut_stun::Class::Request {
                let mut reply = Vec::new();
                let _ = taut_stun::Builder::answer(&mut reply, taut_stun::Class::Success, &request)
                    .push(&taut_stun::attribute::XorMappedAddress(local))
                    .integrity(&their_key, taut_stun::Algorithm::Sha1)
                    .finish();
                let meta = taut_sansio::net::Received { at: now, path: transmit.path, ecn: None };
                agent.handle_datagram(meta, reply.as_slice().into());
            }
            out.clear();
        }
        now += ms(20);
    }
    assert_eq!(agent.pair_stats().iter().filter(|pair| pair.nominated).count(), 3);
    assert_eq!(agent.selected_path().unwrap().remote, "198.51.100.2:1000".parse().unwrap());
}

#[test]
fn checks_go_out_in_a_burst_and_then_at_the_pace() {
    let start = Instant::now();
    let mut agent = Agent::new(Config::default().with_burst(3), Rng::from_u64(1));
    agent.add_local_address(start, "192.0.2.1:5000".parse().unwrap());
    agent.set_role(start, Role::Controlling);
    let credentials = taut_ice::Credentials { ufrag: "them".into(), pwd: "t".repeat(24) };
    agent.set_remote_credentials(start, credentials, false);
    for n in 1..=8 {
        let text = format!("{n} 1 udp {} 198.51.100.{n} 1000 typ host", 1000 - n);
        agent.add_remote_candidate(start, text.parse().unwrap()).unwrap();
    }
    let (mut times, mut now) = (Vec::new(), start);
    while now < start + ms(300) {
        let mut out = Vec::new();
        while let Some(transmit) = agent.poll_transmit(now, 1, &mut out) {
            times.push((now.duration_since(start).as_millis(), transmit.path.remote.to_string()));
        }
        now = agent.poll_timeout().unwrap();
        agent.handle_timeout(now);
    }
    let expected: Vec<(u128, String)> =
        (1..=8u128).map(|n| (n.saturating_sub(3) * 50, format!("198.51.100.{n}:1000"))).collect();
    assert_eq!(times, expected, "by priority");
}

#[test]
fn without_any_answer_the_agent_fails_when_its_patience_ends() {
    let mut net = Net::new(1, link(20).loss(Loss::Random(1.0)), A4, B4);
    net.start();
    let start = net.world.now();
    assert!(net.run_until(secs(120), |net| net.a().agent.state() == State::Failed));
    let took = net.world.now() - start;
    assert!(took >= ms(39_500) && took <= ms(41_000), "{took:?}");
    assert_eq!(net.a().states(), [State::Checking, State::Failed]);
    net.run(secs(60));
    assert_eq!(net.a().agent.poll_timeout(), None, "and then it is quiet");
}

#[test]
fn without_candidates_the_agent_fails_when_its_patience_ends() {
    let mut net = Net::new(1, link(20), A4, B4);
    net.trickle = false;
    let a = net.a;
    net.signal(a, Role::Controlling);
    net.with(a, |agent, now| agent.end_of_remote_candidates(now));
    net.run(ms(39_400));
    assert_eq!(net.a().agent.state(), State::New, "RFC 8863: the other side may still be heard of");
    net.run(ms(200));
    assert_eq!(net.a().agent.state(), State::Failed);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut net = Net::new(9, link(40).jitter(ms(10)).loss(Loss::Random(0.2)), A4, B4);
        net.start();
        net.run(secs(60));
        net.world.trace_hash()
    };
    assert_eq!(run(), run());
}

#[test]
fn closing_says_goodbye_to_routes_and_is_final() {
    let mut net = Net::new(1, link(20), A4, B4);
    net.start();
    net.connect(secs(5));
    let a = net.a;
    let path = net.a().agent.selected_path().unwrap();
    net.with(a, |agent, now| agent.close(now));
    assert!(net.a().at(|event| *event == Event::RouteRemoved(path)).is_some());
    assert_eq!(net.a().agent.state(), State::Closed);
    assert_eq!(net.a().agent.poll_timeout(), None);
    assert_eq!(net.a().agent.validation(&path), Validation::Unknown);
    let sent = net.a().sent;
    net.run(secs(10));
    assert_eq!(net.a().sent, sent);
}

#[test]
fn removing_the_address_in_use_ends_its_pairs() {
    let mut net = Net::new(1, link(20), A4, B4);
    net.start();
    net.connect(secs(5));
    let a = net.a;
    let path = net.a().agent.selected_path().unwrap();
    net.with(a, |agent, now| agent.remove_local_address(now, path.local));
    assert_eq!(net.a().agent.selected_path(), None);
    assert_eq!(net.a().agent.state(), State::Disconnected, "another address may come");
    assert!(net.a().at(|event| *event == Event::RouteRemoved(path)).is_some());
    assert_eq!(net.a().agent.local_candidates().count(), 0);
    net.run(ms(29_900));
    assert_eq!(net.a().agent.state(), State::Disconnected);
    net.run(ms(200));
    assert_eq!(net.a().agent.state(), State::Failed);
}

#[test]
fn a_socket_added_during_checks_is_used() {
    let mut net = Net::new(1, link(20), &[], B4);
    net.start();
    net.run(secs(2));
    let a = net.a;
    let ip = "192.0.2.1".parse().unwrap();
    net.world.add_address(a, ip);
    net.with(a, |agent, now| agent.add_local_address(now, (ip, PORT).into()));
    net.connect(secs(5));
}

#[test]
fn blocked_paths_wait_and_do_not_spin() {
    let mut net = Net::new(1, link(20), A4, B4);
    net.start();
    net.connect(secs(5));
    let a = net.a;
    let path = net.a().agent.selected_path().unwrap();
    net.with(a, |agent, _| agent.handle_writable(path, false));
    let sent = net.a().sent;
    net.run(secs(8));
    assert_eq!(net.a().sent, sent);
    assert!(net.a().wakes < 50);
    net.with(a, |agent, _| agent.handle_writable(path, true));
    net.run(secs(1));
    assert!(net.a().sent > sent);
    assert!(net.connected());
}

#[test]
fn loopback_addresses_connect_where_there_is_nothing_else() {
    let config = Config::default();
    assert_eq!(config.loopback, Loopback::Auto);
    assert!(select_addresses(&[], &config).is_empty());
    let now = Instant::now();
    let mut agent = Agent::new(config.with_loopback(Loopback::Never), Rng::from_u64(1));
    agent.add_local_address(now, "127.0.0.1:5000".parse().unwrap());
    agent.gather(now);
    assert_eq!(agent.local_candidates().count(), 0);
    let _: Duration = ms(1);
}
