//! Gathering: what is told when, what servers may do wrong, and when it ends.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use taut_ice::{
    AddressFilter, Agent, Candidate, CandidateAddress, CandidateKind, Config, Event, ExternalAddress,
    Families, GatheringState, Host, Loopback, MAX_LOCAL_CANDIDATES, MAX_STUN_CLIENTS, MAX_STUN_SERVERS,
    Policy, ResolveId, StunServer,
};
use taut_sansio::net::{Path, Received};
use taut_sansio::rng::Rng;
use taut_stun::attribute::ErrorCode;
use taut_stun::{Builder, Class, Message};

fn server(host: &str) -> StunServer {
    let host = match host.parse() {
        Ok(ip) => Host::Ip(ip),
        Err(_) => Host::Name(host.to_owned()),
    };
    StunServer { host, port: 3478 }
}

fn agent(servers: &[&str], bases: &[&str]) -> (Agent, Instant) {
    let now = Instant::now();
    let config = Config::default().with_stun_servers(servers.iter().map(|host| server(host)).collect());
    let mut agent = Agent::new(config, Rng::from_u64(1));
    for base in bases {
        agent.add_local_address(now, base.parse().unwrap());
    }
    (agent, now)
}

fn events(agent: &mut Agent) -> Vec<Event> {
    std::iter::from_fn(|| agent.poll_event()).collect()
}

fn complete() -> Event {
    Event::GatheringStateChanged(GatheringState::Complete)
}

fn mapped(n: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, n], 61_000))
}

/// Polls everything that is to be sent now, and answers what `answer` makes of it.
fn serve(agent: &mut Agent, now: Instant, mut answer: impl FnMut(Path, &[u8]) -> Option<Vec<u8>>) -> usize {
    let mut count = 0;
    let mut out = Vec::new();
    while let Some(transmit) = agent.poll_transmit(now, 1, &mut out) {
        count += 1;
        if let Some(reply) = answer(transmit.path, &out) {
            agent.handle_datagram(
                Received { at: now, path: transmit.path, ecn: None },
                reply.as_slice().into(),
            );
        }
        out.clear();
    }
    count
}

fn as_mapped(address: SocketAddr) -> impl FnMut(Path, &[u8]) -> Option<Vec<u8>> {
    move |_, request| {
        let mut reply = Vec::new();
        taut_stun::binding::answer(request, address, &mut reply).map(|_| reply)
    }
}

fn agent_with(config: Config, bases: &[&str]) -> (Agent, Instant) {
    let now = Instant::now();
    let mut agent = Agent::new(config, Rng::from_u64(1));
    for base in bases {
        agent.add_local_address(now, base.parse().unwrap());
    }
    agent.gather(now);
    (agent, now)
}

#[test]
fn external_addresses_are_signalled_without_a_server_also_by_a_lite_agent() {
    let external = |external: &str, local: Option<&str>| ExternalAddress {
        external: external.parse().unwrap(),
        local: local.map(|local| local.parse().unwrap()),
    };
    let all = vec![
        external("203.0.113.1", Some("192.0.2.1")),
        external("203.0.113.9", Some("192.0.2.9")),
        external("2001:db8:1::1", None),
    ];
    for lite in [false, true] {
        let config = Config::default().with_external_addresses(all.clone()).with_lite(lite);
        let (mut agent, now) =
            agent_with(config, &["192.0.2.1:5000", "192.0.2.2:5000", "[2001:db8::1]:5000"]);
        let reflexive: Vec<String> = agent
            .local_candidates()
            .filter(|candidate| candidate.kind == CandidateKind::ServerReflexive)
            .map(ToString::to_string)
            .collect();
        assert_eq!(reflexive.len(), 2, "{reflexive:?}");
        assert!(
            reflexive[0].contains(" 203.0.113.1 5000 typ srflx raddr 192.0.2.1 rport 5000"),
            "{reflexive:?}"
        );
        assert!(reflexive[1].contains(" 2001:db8:1::1 5000 typ srflx raddr 2001:db8::1 rport 5000"));
        // They come again with every restart.
        agent.restart(now);
        assert_eq!(agent.local_candidates().count(), 2 * 5);
    }
}

#[test]
fn addresses_that_are_filtered_out_give_no_candidate() {
    let filter = AddressFilter::default().with_families(Families::V6);
    let config = Config::default().with_filter(filter);
    let (agent, _) = agent_with(config, &["192.0.2.1:5000", "[2001:db8::1]:5000"]);
    assert_eq!(agent.local_candidates().count(), 1);
}

#[test]
fn host_candidates_come_at_once_and_without_servers_that_is_all() {
    let (mut agent, now) = agent(&[], &["192.0.2.1:5000", "[2001:db8::1]:5000", "192.0.2.7:5000"]);
    assert_eq!(agent.gathering_state(), GatheringState::New);
    assert!(events(&mut agent).is_empty(), "nothing is told before gathering begins");
    assert_eq!(agent.local_candidates().count(), 0);
    agent.gather(now);
    agent.gather(now);
    let events = events(&mut agent);
    assert_eq!(events.len(), 5);
    assert_eq!(events[0], Event::GatheringStateChanged(GatheringState::Gathering), "told, however short");
    assert_eq!(events[4], complete());
    let candidates: Vec<_> = agent.local_candidates().cloned().collect();
    assert!(candidates.iter().all(|c| c.kind == CandidateKind::Host && c.related.is_none()));
    let by_priority = |text: &str| {
        let address = CandidateAddress::Ip(text.parse().unwrap());
        candidates.iter().find(|c| c.address == address).unwrap().priority
    };
    let (first, second, third) =
        (by_priority("[2001:db8::1]:5000"), by_priority("192.0.2.1:5000"), by_priority("192.0.2.7:5000"));
    assert!(first > second && second > third);
    let foundations: std::collections::BTreeSet<_> = candidates.iter().map(|c| &c.foundation).collect();
    assert_eq!(foundations.len(), 3);
    let ufrag = agent.local_credentials().ufrag.clone();
    assert!(candidates.iter().all(|c| c.to_string().ends_with(&format!("typ host ufrag {ufrag}"))));
}

#[test]
fn reflexive_candidates_have_their_base_and_the_redundant_are_dropped() {
    let servers = ["198.51.100.1", "198.51.100.2"];
    let (mut agent, now) = agent(&servers, &["10.0.0.1:5000", "[2001:db8::1]:5000"]);
    agent.gather(now);
    assert_eq!(serve(&mut agent, now, as_mapped(mapped(1))), 2, "only the base of the servers' family asks");
    let reflexive: Vec<_> =
        agent.local_candidates().filter(|c| c.kind == CandidateKind::ServerReflexive).cloned().collect();
    assert_eq!(reflexive.len(), 1, "both servers saw the same");
    assert_eq!(reflexive[0].address, CandidateAddress::Ip(mapped(1)));
    assert_eq!(reflexive[0].related, Some("10.0.0.1:5000".parse().unwrap()));
    assert!(reflexive[0].priority < agent.local_candidates().map(|c| c.priority).max().unwrap());
    assert_eq!(events(&mut agent).last(), Some(&complete()));
    // Without a translator the answer is the base, which is known already.
    let (mut agent, now) = self::agent(&servers, &["10.0.0.1:5000"]);
    agent.gather(now);
    serve(&mut agent, now, as_mapped("10.0.0.1:5000".parse().unwrap()));
    assert_eq!(agent.local_candidates().count(), 1);
    assert_eq!(agent.gathering_state(), GatheringState::Complete);
}

#[test]
fn a_mapped_address_that_is_none_is_not_signalled() {
    let (mut agent, now) = agent(&["198.51.100.1"], &["10.0.0.1:5000"]);
    agent.gather(now);
    serve(&mut agent, now, as_mapped("224.0.0.1:9".parse().unwrap()));
    assert_eq!(agent.local_candidates().count(), 1);
}

#[test]
fn silence_errors_and_unresolved_names_are_told_and_do_not_hold_up_the_end() {
    let servers = ["198.51.100.1", "198.51.100.2", "stun.example", "gone.example"];
    let (mut agent, start) = agent(&servers, &["10.0.0.1:5000"]);
    agent.gather(start);
    let told = events(&mut agent);
    let ids: Vec<(ResolveId, String)> = told
        .iter()
        .filter_map(|event| match event {
            Event::Resolve { id, host } => Some((*id, host.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(ids.len(), 2);
    agent.handle_resolved(start, ids[1].0, Ok(vec![]));
    agent.handle_resolved(start, ids[1].0, Ok(vec!["198.51.100.3".parse().unwrap()]));
    let mut now = start;
    let mut errors = Vec::new();
    while agent.gathering_state() != GatheringState::Complete {
        serve(&mut agent, now, |path, request| {
            // The second server refuses, the first one is silent.
            let refuses = path.remote.ip() == std::net::IpAddr::from([198, 51, 100, 2]);
            let request = Message::parse(request).unwrap();
            let mut reply = Vec::new();
            let builder =
                Builder::answer(&mut reply, Class::Error, &request).push(&ErrorCode::new(500, "busy"));
            builder.finish().filter(|_| refuses).map(|_| reply)
        });
        errors.extend(events(&mut agent));
        now = agent.poll_timeout().expect("something is under way");
        agent.handle_timeout(now);
        errors.extend(events(&mut agent));
    }
    assert!(now - start <= Duration::from_millis(10_000), "{:?}", now - start);
    let mut codes: Vec<_> = errors
        .into_iter()
        .filter_map(|event| match event {
            Event::CandidateError(error) => Some((error.url, error.address.is_some(), error.code)),
            _ => None,
        })
        .collect();
    codes.sort();
    let expected = [
        ("stun:198.51.100.1:3478".to_owned(), true, 701),
        ("stun:198.51.100.2:3478".to_owned(), true, 500),
        ("stun:gone.example:3478".to_owned(), false, 701),
        ("stun:stun.example:3478".to_owned(), false, 701),
    ];
    assert_eq!(codes, expected);
    agent.handle_resolved(now, ids[0].0, Ok(vec!["198.51.100.3".parse().unwrap()]));
    assert_eq!(serve(&mut agent, now, |_, _| None), 0, "too late");
}

#[test]
fn a_resolved_name_is_asked_in_each_family() {
    let (mut agent, now) = agent(&["stun.example"], &["10.0.0.1:5000", "[2001:db8::1]:5000"]);
    agent.gather(now);
    let id = events(&mut agent)
        .into_iter()
        .find_map(|event| match event {
            Event::Resolve { id, .. } => Some(id),
            _ => None,
        })
        .unwrap();
    let ip = |text: &str| text.parse().unwrap();
    agent.handle_resolved(now, id, Ok(vec![ip("198.51.100.1"), ip("198.51.100.2"), ip("2001:db8::53")]));
    assert_eq!(serve(&mut agent, now, as_mapped(mapped(1))), 2);
}

#[test]
fn an_address_that_comes_late_gives_candidates_too() {
    let (mut agent, now) = agent(&["198.51.100.1"], &[]);
    agent.gather(now);
    assert_eq!(agent.gathering_state(), GatheringState::Complete);
    agent.add_local_address(now, "10.0.0.1:5000".parse().unwrap());
    assert_eq!(agent.gathering_state(), GatheringState::Gathering);
    serve(&mut agent, now, as_mapped(mapped(1)));
    assert_eq!(agent.local_candidates().count(), 2);
    assert_eq!(agent.gathering_state(), GatheringState::Complete);
}

#[test]
fn an_idle_reflexive_address_is_kept_alive() {
    let (mut agent, start) = agent(&["198.51.100.1"], &["10.0.0.1:5000"]);
    agent.gather(start);
    let mut now = start;
    let mut asked = 0;
    while now < start + Duration::from_secs(61) {
        asked += serve(&mut agent, now, as_mapped(mapped(1)));
        now = agent.poll_timeout().unwrap();
        agent.handle_timeout(now);
    }
    assert_eq!(asked, 5, "at 0, 15, 30, 45 and 60 s");
    assert_eq!(agent.local_candidates().count(), 2);
}

#[test]
fn questions_are_paced_and_bounded() {
    let servers: Vec<String> = (1..=20).map(|n| format!("198.51.100.{n}")).collect();
    let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
    let bases: Vec<String> = (1..=40).map(|n| format!("10.0.0.{n}:5000")).collect();
    let bases: Vec<&str> = bases.iter().map(String::as_str).collect();
    let (mut agent, start) = agent(&servers, &bases);
    agent.gather(start);
    assert_eq!(agent.local_candidates().count(), taut_ice::MAX_LOCAL_ADDRESSES);
    let mut now = start;
    let mut asked = Vec::new();
    while now < start + Duration::from_secs(5) {
        let count = serve(&mut agent, now, as_mapped(mapped(1)));
        asked.push((now - start, count));
        let Some(next) = agent.poll_timeout() else { break };
        now = next;
        agent.handle_timeout(now);
    }
    assert_eq!(asked[0].1, 10, "a burst");
    assert!(asked[1..].iter().all(|(_, count)| *count <= 1), "and then one at a time");
    assert_eq!(asked.iter().map(|(_, count)| count).sum::<usize>(), MAX_STUN_CLIENTS);
}

#[test]
fn a_removed_address_takes_its_candidates_along() {
    let (mut agent, now) = agent(&["198.51.100.1"], &["10.0.0.1:5000", "10.0.0.2:5000"]);
    agent.gather(now);
    agent.remove_local_address(now, "10.0.0.1:5000".parse().unwrap());
    let remaining = |path: Path| assert_eq!(path.local, "10.0.0.2:5000".parse().unwrap());
    serve(&mut agent, now, |path, request| {
        remaining(path);
        as_mapped(mapped(1))(path, request)
    });
    assert_eq!(agent.local_candidates().count(), 2);
    assert_eq!(agent.gathering_state(), GatheringState::Complete);
}

#[test]
fn private_addresses_of_version_6_come_after_version_4() {
    // RFC 6724 section 2.1: global addresses of version 6, of version 4, tunnels, and unique local ones.
    let now = Instant::now();
    let mut agent = Agent::new(Config::default(), Rng::from_u64(1));
    let order = ["2001:db8::1", "192.0.2.1", "fd00::1", "2001:0:1::1", "2002:c000:201::1"];
    for address in order.into_iter().rev() {
        agent.add_local_address(now, SocketAddr::new(address.parse().unwrap(), 5_000));
    }
    agent.gather(now);
    let mut candidates: Vec<_> = agent.local_candidates().collect();
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority));
    let address = |candidate: &&Candidate| match candidate.address {
        CandidateAddress::Ip(address) => address.ip().to_string(),
        _ => unreachable!(),
    };
    let sorted: Vec<_> = candidates.iter().map(address).collect();
    assert_eq!(sorted[..2], order[..2]);
    let later = |text: &&str| ["fd00::1", "2001:0:1::1", "2002:c000:201::1"].contains(text);
    assert!(sorted[2..].iter().all(|one| later(&one.as_str())), "{sorted:?}");
}

#[test]
fn a_server_that_sees_another_address_each_time_fills_no_table() {
    let (mut agent, mut now) = agent(&["198.51.100.1"], &["192.0.2.1:5000"]);
    agent.gather(now);
    for n in 0..MAX_LOCAL_CANDIDATES as u16 + 50 {
        let seen = SocketAddr::from(([203, 0, 113, 1], 1_000 + n));
        assert_eq!(serve(&mut agent, now, as_mapped(seen)), 1);
        events(&mut agent);
        now = agent.poll_timeout().expect("the next time that it is asked");
    }
    assert_eq!(agent.local_candidates().count(), MAX_LOCAL_CANDIDATES);
}

#[test]
fn addresses_that_are_none_of_this_host_are_ignored() {
    let now = Instant::now();
    let mut agent = Agent::new(Config::default().with_loopback(Loopback::Never), Rng::from_u64(1));
    agent.gather(now);
    for bad in ["0.0.0.0:5000", "192.0.2.1:0", "224.0.0.1:5000", "[::]:5000", "127.0.0.1:5000", "[::1]:5000"]
    {
        agent.add_local_address(now, bad.parse().unwrap());
        assert_eq!(agent.local_candidates().count(), 0, "{bad}");
    }
    agent.close(now);
    agent.add_local_address(now, "192.0.2.1:5000".parse().unwrap());
    assert_eq!(agent.local_candidates().count(), 0, "closed");
}

#[test]
fn servers_that_are_no_single_host_are_not_asked() {
    for bad in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"] {
        let (mut agent, now) = agent(&[bad], &["192.0.2.1:5000", "[2001:db8::1]:5000"]);
        agent.gather(now);
        assert_eq!(serve(&mut agent, now, |_, _| None), 0, "{bad}");
        let told = |event: &Event| matches!(event, Event::CandidateError(error) if error.code == 701);
        assert!(events(&mut agent).iter().any(told), "{bad}");
    }
}

#[test]
fn with_relays_alone_no_server_learns_an_address() {
    let config = Config::default().with_policy(Policy::Relay).with_stun_servers(vec![server("198.51.100.1")]);
    let (mut agent, now) = agent_with(config, &["192.0.2.1:5000"]);
    assert_eq!(serve(&mut agent, now, |_, _| None), 0);
    assert_eq!(agent.gathering_state(), GatheringState::Complete);
}

#[test]
fn eight_servers_are_asked() {
    let servers: Vec<String> = (1..=20).map(|n| format!("198.51.100.{n}")).collect();
    let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
    let (mut agent, mut now) = agent(&servers, &["192.0.2.1:5000"]);
    agent.gather(now);
    let mut asked = BTreeSet::new();
    for _ in 0..100 {
        serve(&mut agent, now, |path, _| {
            asked.insert(path.remote);
            None
        });
        now += Duration::from_millis(50);
        agent.handle_timeout(now);
    }
    assert_eq!(asked.len(), MAX_STUN_SERVERS);
}
