//! Bounds: whatever is signalled or sent, tables stay small and the good pair stays.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use std::net::SocketAddr;
use std::time::Instant;

use common::scene::check;
use common::{Net, ms, secs};
use taut_ice::{
    AddCandidateError, Agent, Candidate, Config, Credentials, Event, MAX_EARLY_CHECKS, MAX_NAMES,
    MAX_REMOTE_CANDIDATES, Role, TcpPolicy,
};
use taut_netsim::Link;
use taut_sansio::net::{Path, Received, Transport};
use taut_sansio::rng::Rng;

fn host(address: &str, priority: u32) -> Candidate {
    let address: SocketAddr = address.parse().unwrap();
    format!("1 1 udp {priority} {} {} typ host", address.ip(), address.port()).parse().unwrap()
}

#[test]
fn five_thousand_candidates_do_not_crowd_out_the_pair_in_use() {
    for max_pairs in [10, 100] {
        crowd(max_pairs);
    }
}

fn crowd(max_pairs: usize) {
    let config = Config::default().with_max_pairs(max_pairs);
    let link = Link::default().latency(ms(20));
    let mut net = Net::with_configs(1, link, (&["192.0.2.1"], config), (&["192.0.2.2"], Config::default()));
    net.start();
    assert!(net.run_until(secs(1), Net::connected));
    let a = net.a;
    let path = net.a().agent.selected_path().unwrap();
    for n in 0..5_000u32 {
        let candidate = host(&format!("198.51.{}.{}:4000", n / 250, n % 250 + 1), 2_130_706_431 + n);
        let _ = net.with(a, |agent, now| agent.add_remote_candidate(now, candidate));
        if n % 100 == 0 {
            assert!(net.a().agent.remote_candidates().count() <= MAX_REMOTE_CANDIDATES);
            assert!(net.a().agent.pair_stats().len() <= max_pairs);
        }
    }
    assert_eq!(net.a().agent.selected_path(), Some(path));
    net.connect(secs(10));
    assert_eq!(net.a().agent.selected_path(), Some(path));
}

#[test]
fn the_best_of_too_many_candidates_are_kept_and_found() {
    let config = Config::default().with_max_pairs(10);
    let mut net = Net::with_configs(
        1,
        Link::default().latency(ms(20)),
        (&["192.0.2.1"], config),
        (&["192.0.2.2"], Config::default()),
    );
    let a = net.a;
    for n in 0..5_000u32 {
        let candidate = host(&format!("198.51.{}.{}:4000", n / 250, n % 250 + 1), n + 1);
        net.with(a, |agent, now| agent.add_remote_candidate(now, candidate)).unwrap();
    }
    let worse = host("198.51.100.200:5000", 1);
    net.with(a, |agent, now| agent.add_remote_candidate(now, worse)).unwrap();
    assert_eq!(net.a().agent.remote_candidates().count(), MAX_REMOTE_CANDIDATES);
    assert!(net.a().agent.remote_candidates().all(|candidate| candidate.priority > 4_900));
    assert_eq!(net.a().agent.pair_stats().len(), 10);
    assert_eq!(net.a().agent.stats().dropped_remote_candidates, 4_901);
    net.start();
    net.connect(secs(5));
}

#[test]
fn a_candidate_that_is_signalled_again_stays_as_it_was() {
    let now = Instant::now();
    let mut agent = Agent::new(Config::default(), Rng::from_u64(1));
    for priority in [5, 9] {
        agent.add_remote_candidate(now, host("192.0.2.2:4000", priority)).unwrap();
    }
    assert_eq!(agent.remote_candidates().map(|candidate| candidate.priority).collect::<Vec<_>>(), [5]);
}

#[test]
fn a_worse_pair_takes_the_place_of_none() {
    let now = Instant::now();
    let mut agent = Agent::new(Config::default().with_max_pairs(10), Rng::from_u64(1));
    for _ in 0..2 {
        agent.add_local_address(now, "192.0.2.1:5000".parse().unwrap());
    }
    agent.gather(now);
    assert_eq!(agent.local_candidates().count(), 1, "an address that is known is none twice");
    for n in 0..20u32 {
        agent.add_remote_candidate(now, host(&format!("198.51.100.{}:4000", n + 1), 1_000 - n)).unwrap();
    }
    let pairs = agent.pair_stats();
    assert_eq!((pairs.len(), agent.stats().dropped_pairs), (10, 10));
    assert!(pairs.iter().all(|pair| pair.pair.remote.priority > 990));
}

#[test]
fn checks_from_five_thousand_places_by_the_peer_itself_stay_bounded() {
    let now = Instant::now();
    let local: SocketAddr = "192.0.2.1:5000".parse().unwrap();
    for early in [true, false] {
        let mut agent = Agent::new(Config::default(), Rng::from_u64(1));
        agent.add_local_address(now, local);
        agent.set_role(now, Role::Controlled);
        let theirs = Credentials { ufrag: "them".into(), pwd: "t".repeat(24) };
        if !early {
            agent.set_remote_credentials(now, theirs, false);
        }
        let (mut bytes_in, mut bytes_out, mut routes) = (0usize, 0usize, 0i64);
        for n in 0..5_000u32 {
            let remote = SocketAddr::from(([198, 51, (n / 250) as u8, (n % 250) as u8 + 1], 4_000));
            let check = check(&agent, "them", n);
            bytes_in += check.len();
            let meta = Received { at: now, path: Path::udp(local, remote), ecn: None };
            agent.handle_datagram(meta, check.as_slice().into());
            let mut out = Vec::new();
            while agent.poll_transmit(now, 1, &mut out).is_some() {}
            bytes_out += out.len();
            while let Some(event) = agent.poll_event() {
                routes += match event {
                    Event::RouteAdded(_) => 1,
                    Event::RouteRemoved(_) => -1,
                    _ => 0,
                };
            }
        }
        assert!(agent.remote_candidates().count() <= MAX_REMOTE_CANDIDATES);
        assert!(agent.pair_stats().len() <= 100);
        assert!(routes <= 100 + MAX_EARLY_CHECKS as i64, "{routes}");
        assert!(bytes_out as f64 <= 1.5 * bytes_in as f64, "{bytes_out} for {bytes_in}");
        assert_eq!(agent.selected_path(), None, "none of them is validated");
    }
}

#[test]
fn candidates_that_nothing_can_be_sent_to_are_refused() {
    let now = Instant::now();
    let mut agent = Agent::new(Config::default(), Rng::from_u64(1));
    agent.add_local_address(now, "192.0.2.1:5000".parse().unwrap());
    agent.add_local_address(now, "[2001:db8::1]:5000".parse().unwrap());
    agent.set_role(now, Role::Controlling);
    let theirs = Credentials { ufrag: "them".into(), pwd: "t".repeat(24) };
    agent.set_remote_credentials(now, theirs, false);
    let mut add = |text: &str| agent.add_remote_candidate(now, text.parse().unwrap());
    for address in
        ["192.0.2.2 0", "0.0.0.0 9", "224.0.0.251 5353", "255.255.255.255 9", ":: 9", "ff02::fb 5353"]
    {
        let result = add(&format!("1 1 udp 1 {address} typ host"));
        assert_eq!(result, Err(AddCandidateError::Address), "{address}");
    }
    assert_eq!(add("1 1 udp 1 ::ffff:224.0.0.1 9 typ host"), Err(AddCandidateError::Address));
    assert_eq!(add("1 1 tcp 1 192.0.2.2 9 typ host tcptype active"), Err(AddCandidateError::Transport));
    assert_eq!(add("1 2 udp 1 192.0.2.2 9 typ host"), Err(AddCandidateError::Component));
    assert_eq!(add("1 1 udp 1 host.example 9 typ host"), Err(AddCandidateError::Name));
    assert_eq!(add("1 1 udp 1 192.0.2.2 9 typ host ufrag other"), Err(AddCandidateError::Ufrag));
    // These are kept, but no base of ours reaches them.
    assert_eq!(add("1 1 udp 1 127.0.0.1 9 typ host"), Ok(()));
    assert_eq!(add("1 1 udp 1 ::1 9 typ host"), Ok(()));
    assert_eq!(add("1 1 udp 1 fe80::1 9 typ host"), Ok(()));
    let mut out = Vec::new();
    assert!(agent.poll_transmit(now, 1, &mut out).is_none(), "nothing was sent");
    assert!(agent.pair_stats().is_empty());
    agent.close(now);
    assert_eq!(agent.add_remote_candidate(now, host("192.0.2.2:9", 1)), Err(AddCandidateError::Closed));
}

#[test]
fn candidates_of_another_ufrag_go_when_the_credentials_come() {
    let now = Instant::now();
    let mut agent = Agent::new(Config::default(), Rng::from_u64(1));
    agent.add_local_address(now, "192.0.2.1:5000".parse().unwrap());
    for (address, ufrag) in [("192.0.2.2", "them"), ("192.0.2.3", "others")] {
        let text = format!("1 1 udp 1 {address} 9 typ host ufrag {ufrag}");
        agent.add_remote_candidate(now, text.parse().unwrap()).unwrap();
    }
    let theirs = Credentials { ufrag: "them".into(), pwd: "t".repeat(24) };
    agent.set_remote_credentials(now, theirs, false);
    assert_eq!(agent.remote_candidates().count(), 1);
    assert_eq!(agent.pair_stats().len(), 1);
}

#[test]
fn names_stay_bounded_and_are_asked_for_once() {
    let now = Instant::now();
    let mut agent = Agent::new(Config::default(), Rng::from_u64(1));
    for n in 0..5_000 {
        let text = format!("1 1 udp 1 name{n}.local 9 typ host");
        agent.add_remote_candidate(now, text.parse().unwrap()).unwrap();
    }
    assert_eq!(agent.stats().dropped_remote_candidates, 5_000 - taut_ice::MAX_NAMES as u64);
    let mut wanted = 0;
    while let Some(event) = agent.poll_event() {
        wanted += usize::from(event == Event::MulticastWanted);
    }
    assert_eq!(wanted, 1);
    let mut without = Agent::new(Config::default().with_mdns(false), Rng::from_u64(1));
    let named = "1 1 udp 1 name.local 9 typ host".parse().unwrap();
    assert_eq!(without.add_remote_candidate(now, named), Err(AddCandidateError::Name));
    assert_eq!(without.poll_event(), None);
}

#[test]
fn what_belongs_to_a_generation_goes_with_it() {
    let now = Instant::now();
    let mut agent = Agent::new(Config::default(), Rng::from_u64(1));
    agent.add_local_address(now, "192.0.2.1:5000".parse().unwrap());
    agent.add_remote_candidate(now, host("192.0.2.2:4000", 1)).unwrap();
    let named = |n: usize| format!("1 1 udp 1 name{n}.local 9 typ host").parse().unwrap();
    for _ in 0..2 {
        (0..MAX_NAMES).for_each(|n| agent.add_remote_candidate(now, named(n)).unwrap());
    }
    assert_eq!(agent.stats().dropped_remote_candidates, 0, "the same name again takes no room");
    agent.restart(now);
    agent.set_remote_credentials(now, Credentials { ufrag: "them".into(), pwd: "t".repeat(24) }, false);
    assert_eq!((agent.remote_candidates().count(), agent.pair_stats().len()), (0, 0));
    (0..MAX_NAMES).for_each(|n| agent.add_remote_candidate(now, named(n)).unwrap());
    assert_eq!(agent.stats().dropped_remote_candidates, 0, "there is room for as many again");
    agent.close(now);
    assert!(agent.poll_transmit(now + secs(1), 1, &mut Vec::new()).is_none(), "no name is asked for");
    assert_eq!(agent.poll_timeout(), None);
}

/// RFC 8839 section 5.4: a ufrag has at most 256 characters. It is kept until the credentials come.
#[test]
fn a_check_with_too_long_a_ufrag_is_dropped() {
    let now = Instant::now();
    let local: SocketAddr = "192.0.2.1:5000".parse().unwrap();
    for (octets, dropped) in [(256, 0), (257, 1), (1_000, 1)] {
        let mut agent = Agent::new(Config::default(), Rng::from_u64(1));
        agent.add_local_address(now, local);
        let path = Path::udp(local, "198.51.100.1:4000".parse().unwrap());
        let check = check(&agent, &"x".repeat(octets), 1);
        agent.handle_datagram(Received { at: now, path, ecn: None }, check.as_slice().into());
        let mut out = Vec::new();
        assert_eq!(agent.poll_transmit(now, 1, &mut out).is_some(), dropped == 0, "{octets}");
        assert_eq!(agent.stats().dropped_username, dropped, "{octets}");
    }
}

#[test]
fn paths_that_are_blocked_are_bounded() {
    let now = Instant::now();
    let local: SocketAddr = "192.0.2.1:5000".parse().unwrap();
    for (others, goes) in [(127, false), (128, true), (10_000, true)] {
        let mut agent = Agent::new(Config::default(), Rng::from_u64(1));
        agent.add_local_address(now, local);
        agent.set_role(now, Role::Controlling);
        let theirs = Credentials { ufrag: "them".into(), pwd: "t".repeat(24) };
        agent.set_remote_credentials(now, theirs, false);
        agent.add_remote_candidate(now, host("192.0.2.2:4000", 1)).unwrap();
        let path = |port: u16| Path::udp(local, ([192, 0, 2, 2], port).into());
        (5_000..5_000 + others).for_each(|port| agent.handle_writable(path(port), false));
        agent.handle_writable(path(4_000), false);
        assert_eq!(agent.poll_transmit(now, 1, &mut Vec::new()).is_some(), goes, "{others}");
    }
}

/// Anything in any order: no panic, bounded tables, and timers that come to rest.
#[test]
fn random_calls_in_any_order() {
    for seed in 0..30 {
        let mut rng = Rng::from_u64(seed);
        let mut now = Instant::now();
        let config = Config::default().with_tcp(TcpPolicy::Both);
        let mut agents = [1, 2].map(|n| Agent::new(config.clone(), Rng::from_u64(seed * 2 + n)));
        let mut opening = [const { Vec::new() }; 2];
        let address = |n: u32| SocketAddr::from(([192, 0, 2, (n % 6) as u8], (n % 3 * 1_000) as u16));
        let stream = |local, remote| Path { transport: Transport::Tcp, local, remote };
        let mut wire: Vec<(usize, Path, Vec<u8>)> = Vec::new();
        for _ in 0..1_500 {
            let (who, n) = (rng.below(2) as usize, rng.u32());
            let other = agents[1 - who].local_credentials().clone();
            let agent = &mut agents[who];
            match rng.below(21) {
                0 => agent.add_local_address(now, address(n)),
                1 if n % 8 == 0 => agent.remove_local_address(now, address(n)),
                2 => agent.gather(now),
                3 => agent.set_role(now, if n % 2 == 0 { Role::Controlling } else { Role::Controlled }),
                4 => agent.set_remote_credentials(now, other, n % 16 == 0),
                5 => drop(agent.add_remote_candidate(now, host(&address(n).to_string(), n))),
                6 => agent.end_of_remote_candidates(now),
                7 => agent.handle_writable(Path::udp(address(n), address(n >> 8)), n % 3 > 0),
                8 if n % 400 == 0 => agent.close(now),
                16 => agent.add_tcp_listener(now, address(n)),
                17 if n % 4 == 0 => agent.remove_tcp_listener(now, address(n)),
                17 => agent.handle_tcp_accepted(now, stream(address(n), address(n >> 8))),
                18 => {
                    let text = format!("1 1 tcp {n} {} 2000 typ host tcptype passive", address(n).ip());
                    let _ = agent.add_remote_candidate(now, text.parse().unwrap());
                }
                19 => {
                    let Some((id, local, remote)) = opening[who].pop() else { continue };
                    let local = SocketAddr::new(local, 40_000 + (n % 8) as u16);
                    let path = if n % 3 > 0 { Ok(stream(local, remote)) } else { Err(()) };
                    agent.handle_tcp_opened(now, id, path);
                    if let (Ok(path), true) = (path, n % 2 == 0) {
                        agents[1 - who].handle_tcp_accepted(now, stream(path.remote, path.local));
                    }
                }
                20 => {
                    let paths: Vec<Path> = agent.pair_stats().iter().map(|pair| pair.path).collect();
                    let path = paths.get(n as usize % paths.len().max(1)).copied();
                    if let Some(path) = path.filter(|_| n % 4 == 0) {
                        agent.handle_tcp_closed(now, path);
                    }
                }
                9 => now += ms(u64::from(n % 3_000)),
                10 => agent.handle_timeout(now),
                11 | 12 => {
                    if let Some((to, path, mut bytes)) = wire.pop() {
                        if n % 5 == 0
                            && let Some(octet) = bytes.get_mut(n as usize % 60)
                        {
                            *octet ^= 1;
                        }
                        let meta = Received { at: now, path, ecn: None };
                        agents[to].handle_datagram(meta, bytes.as_slice().into());
                    }
                }
                _ => {
                    agent.handle_timeout(now);
                    let mut polls = 0;
                    let mut out = Vec::new();
                    while let Some(transmit) = agent.poll_transmit(now, 10, &mut out) {
                        let Path { transport, local, remote } = transmit.path;
                        let reverse = Path { transport, local: remote, remote: local };
                        wire.push((1 - who, reverse, std::mem::take(&mut out)));
                        polls += 1;
                        assert!(polls < 1_000, "seed {seed}");
                    }
                    assert!(out.is_empty(), "nothing is appended without a transmit");
                    if let Some(at) = agent.poll_timeout() {
                        assert!(at > now, "seed {seed}: all that was due was done");
                    }
                }
            }
            wire.truncate(500);
            for (agent, opening) in agents.iter_mut().zip(&mut opening) {
                assert!(agent.remote_candidates().count() <= 100);
                while let Some(event) = agent.poll_event() {
                    if let Event::OpenTcp { id, local, remote } = event {
                        opening.push((id, local.ip(), remote));
                    }
                }
            }
        }
    }
}

#[test]
fn machines_are_send_sync_and_debug() {
    fn is<T: Send + Sync + std::fmt::Debug>() {}
    is::<Agent>();
    is::<Config>();
    is::<Event>();
    let _ = secs(1);
}
