//! Paths as drivers name them: scopes, mapped addresses, and ways kept in reserve.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use std::net::{SocketAddr, SocketAddrV6};
use std::time::Instant;

use common::scene::Scene;
use common::{Net, ms, secs};
use taut_ice::{Agent, Config, Credentials, PairState, Role, State, Validation, Verdict};
use taut_netsim::{Link, Loss};
use taut_sansio::net::{Path, Received};
use taut_sansio::rng::Rng;
use taut_stun::attribute::{ErrorCode, XorMappedAddress};
use taut_stun::{Algorithm, Builder, Class, Key, Message};

fn agent_at(base: SocketAddr) -> (Agent, Key, Instant) {
    let now = Instant::now();
    let mut agent = Agent::new(Config::default(), Rng::from_u64(1));
    agent.add_local_address(now, base);
    agent.set_role(now, Role::Controlled);
    let theirs = Credentials { ufrag: "them".into(), pwd: "t".repeat(24) };
    let key = Key::short_term(&theirs.pwd);
    agent.set_remote_credentials(now, theirs, false);
    (agent, key, now)
}

fn reply(request: &[u8], mapped: SocketAddr, key: &Key) -> Vec<u8> {
    let mut out = Vec::new();
    let request = Message::parse(request).unwrap();
    let builder = Builder::answer(&mut out, Class::Success, &request).push(&XorMappedAddress(mapped));
    builder.integrity(key, Algorithm::Sha1).fingerprint().finish().unwrap();
    out
}

#[test]
fn link_local_addresses_take_the_scope_of_their_socket() {
    let base = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 5_000, 0, 7));
    let (mut agent, key, now) = agent_at(base);
    agent.gather(now);
    assert!(agent.local_candidates().all(|candidate| !candidate.to_string().contains('%')));
    agent.add_remote_candidate(now, "1 1 udp 9 fe80::2 6000 typ host".parse().unwrap()).unwrap();
    let mut out = Vec::new();
    let transmit = agent.poll_transmit(now, 1, &mut out).unwrap();
    let SocketAddr::V6(remote) = transmit.path.remote else { panic!("IPv6") };
    assert_eq!((transmit.path.local, remote.scope_id()), (base, 7));
    // The kernel may name the sender with more or less than that.
    let bare = Path::udp(base, "[fe80::2]:6000".parse().unwrap());
    let answer = reply(&out, "[fe80::1]:5000".parse().unwrap(), &key);
    agent.handle_datagram(Received { at: now, path: bare, ecn: None }, answer.as_slice().into());
    assert_eq!(agent.selected_path(), Some(transmit.path));
    assert_eq!(agent.validation(&bare), Validation::Validated);
    let flow = SocketAddr::V6(SocketAddrV6::new("fe80::2".parse().unwrap(), 6_000, 99, 7));
    assert_eq!(agent.validation(&Path::udp(base, flow)), Validation::Validated);
}

#[test]
fn mapped_addresses_are_the_addresses_they_map() {
    let base: SocketAddr = "192.0.2.1:5000".parse().unwrap();
    let (mut agent, key, now) = agent_at(base);
    agent.add_remote_candidate(now, "1 1 udp 9 192.0.2.2 6000 typ host".parse().unwrap()).unwrap();
    let mut out = Vec::new();
    let transmit = agent.poll_transmit(now, 1, &mut out).unwrap();
    let answer = reply(&out, "[::ffff:192.0.2.1]:5000".parse().unwrap(), &key);
    let mapped = Path::udp(base, "[::ffff:192.0.2.2]:6000".parse().unwrap());
    agent.handle_datagram(Received { at: now, path: mapped, ecn: None }, answer.as_slice().into());
    assert_eq!(agent.selected_path(), Some(transmit.path));
    let pair = agent.selected_pair().unwrap();
    assert_eq!(pair.local.kind, taut_ice::CandidateKind::Host, "the mapped address is the host's own");
}

/// aiortc tries everything with everything, and takes what answered last.
#[test]
fn a_check_on_a_path_that_we_would_not_try_is_answered_with_a_check() {
    let mut scene = Scene::new(Role::Controlled);
    let (loopback, remote) = ("[::1]:5000".parse().unwrap(), "[2001:db8::2]:6000".parse().unwrap());
    scene.agent.add_local_address(scene.now, loopback);
    scene
        .agent
        .add_remote_candidate(scene.now, "1 1 udp 9 2001:db8::2 6000 typ host".parse().unwrap())
        .unwrap();
    assert!(scene.take().is_none(), "loopback addresses are tried among themselves");

    let path = Path::udp(loopback, remote);
    let check = scene.good_check();
    scene.give(path, &check);
    let sent: Vec<_> = std::iter::from_fn(|| scene.take()).collect();
    let classes: Vec<_> = sent.iter().map(|(_, bytes)| Message::parse(bytes).unwrap().class()).collect();
    assert_eq!(classes, [Class::Success, Class::Request]);
    assert!(sent.iter().all(|(transmit, _)| transmit.path == path));
    let reply = scene.good_reply(&sent[1].1);
    scene.give(path, &reply);
    assert_eq!(scene.agent.validation(&path), Validation::Validated, "data from there is taken");
}

#[test]
fn when_the_first_way_dies_the_second_one_carries_on() {
    // IPv6 is nominated; before it is, IPv4 has become valid, too.
    let mut net = Net::new(
        1,
        Link::default().latency(ms(20)),
        &["192.0.2.1", "2001:db8::1"],
        &["192.0.2.2", "2001:db8::2"],
    );
    net.start();
    net.connect(secs(5));
    assert!(net.a().agent.selected_path().unwrap().local.is_ipv6());
    let valid = |net: &Net| {
        net.a().agent.pair_stats().iter().filter(|pair| pair.state == PairState::Succeeded).count()
    };
    assert_eq!(valid(&net), 2);
    // An idle second way lapses, and only it.
    net.world.run_for(secs(40));
    assert_eq!(valid(&net), 1);
    assert!(net.connected());
}

#[test]
fn corrupted_datagrams_are_dropped_and_repeated() {
    for seed in 0..20 {
        let link = Link::default().latency(ms(30)).corrupt(0.2).duplicate(0.2);
        let mut net = Net::new(seed, link, &["192.0.2.1"], &["192.0.2.2"]);
        net.start();
        net.connect(secs(20));
        net.world.run_for(secs(60));
        assert!(net.connected(), "seed {seed}");
    }
}

#[test]
fn every_seed_connects_under_every_kind_of_trouble() {
    for seed in 0..60u64 {
        let mut rng = Rng::from_u64(seed);
        let loss = rng.unit() * 0.3;
        let loss = if seed % 2 == 0 { Loss::Random(loss) } else { Loss::bursts(loss, 2.0) };
        let link = Link::default()
            .latency(ms(u64::from(rng.below(500))))
            .jitter(ms(u64::from(rng.below(100))))
            .loss(loss)
            .reorder(0.1, ms(50))
            .duplicate(0.1)
            .corrupt(0.01);
        let both = [&["192.0.2.1", "2001:db8::1"][..], &["192.0.2.2", "2001:db8::2"]];
        let one = [&["192.0.2.1"][..], &["192.0.2.2", "2001:db8::2"]];
        let [a, b] = if seed % 3 == 0 { one } else { both };
        let mut net = Net::new(seed, link, a, b);
        net.start();
        assert!(net.run_until(secs(30), Net::connected), "seed {seed}");
        assert!(net.run_until(secs(30), Net::nominated), "seed {seed}");
        net.world.run_for(secs(30));
        assert!(!net.a().states().contains(&State::Failed), "seed {seed}");
    }
}

#[test]
fn the_controlled_side_follows_the_pair_on_which_the_other_side_asks() {
    let mut scene = common::scene::Scene::connected(Role::Controlled);
    let first = scene.path();
    let second = Path::udp(scene.local, "192.0.2.3:6000".parse().unwrap());
    let (key, username) = (scene.our_key(), scene.username());
    let ask = |scene: &mut common::scene::Scene, path| {
        let check = scene.check(&username, |b| {
            b.push(&taut_stun::attribute::UseCandidate)
                .integrity(&key, Algorithm::Sha1)
                .fingerprint()
                .finish()
        });
        scene.give(path, &check);
        scene.answer_all();
    };
    ask(&mut scene, second);
    ask(&mut scene, first);
    assert_eq!(
        scene.agent.selected_path(),
        Some(first),
        "both are nominated, and it has the higher priority"
    );
    for seconds in (5..=30).step_by(5) {
        scene.now += std::time::Duration::from_secs(5);
        ask(&mut scene, second);
        let expected = if seconds <= 15 { first } else { second };
        assert_eq!(scene.agent.selected_path(), Some(expected), "after {seconds} s");
    }
    // And back, as soon as the other side asks there again.
    ask(&mut scene, first);
    assert_eq!(scene.agent.selected_path(), Some(first));
}

/// Another connection has the only path: the agent fails at once where nothing else is to come, and refuses checks on it.
#[test]
fn a_path_of_another_connection_ends_its_pair() {
    let mut scene = Scene::checking(Role::Controlling);
    let path = scene.path();
    scene.agent.gather(scene.now);
    scene.agent.handle_taken(scene.now, path);
    assert_eq!(scene.agent.state(), State::Checking, "candidates may come");
    assert_eq!(scene.agent.report().verdict, Verdict::PathTaken);
    assert!(scene.agent.report().pairs.iter().all(|pair| pair.taken && !pair.consent_lost));
    let check = scene.good_check();
    scene.give(path, &check);
    let (_, answer) = scene.take().expect("an answer");
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(answer.get::<ErrorCode<'_>>().unwrap().map(|error| error.code), Some(403));
    assert!(scene.take().is_none(), "and no check of ours");
    scene.agent.end_of_remote_candidates(scene.now);
    assert_eq!(scene.agent.state(), State::Failed);
    assert_eq!(scene.agent.report().verdict, Verdict::PathTaken);
    // The path may be free again after a restart.
    scene.agent.restart(scene.now);
    let again = Credentials { ufrag: "again".into(), ..scene.theirs.clone() };
    scene.agent.set_remote_credentials(scene.now, again, false);
    let candidate = format!("1 1 udp 2130706431 {} {} typ host", scene.remote.ip(), scene.remote.port());
    scene.agent.add_remote_candidate(scene.now, candidate.parse().unwrap()).unwrap();
    assert_eq!(scene.take().expect("a check").0.path, path);
}

#[test]
fn an_address_that_comes_back_is_not_blocked() {
    let mut scene = Scene::checking(Role::Controlling);
    scene.agent.handle_writable(scene.path(), false);
    assert!(scene.take().is_none());
    scene.agent.remove_local_address(scene.now, scene.local);
    scene.agent.add_local_address(scene.now, scene.local);
    assert_eq!(scene.take().map(|(transmit, _)| transmit.path), Some(scene.path()));
}

#[test]
fn a_blocked_path_takes_no_answers_from_others() {
    let mut scene = Scene::connected(Role::Controlled);
    scene.agent.handle_writable(scene.path(), false);
    for _ in 0..100 {
        let check = scene.good_check();
        scene.give(scene.path(), &check);
    }
    let other = Path::udp(scene.local, "192.0.2.3:6000".parse().unwrap());
    let check = scene.good_check();
    scene.give(other, &check);
    let (transmit, answer) = scene.take().expect("an answer");
    assert_eq!(transmit.path, other);
    assert_eq!(Message::parse(&answer).unwrap().transaction_id().0, [scene.counter; 12]);
}

#[test]
fn a_socket_on_the_port_of_multicast_dns_is_like_any_other() {
    let mut scene = Scene::new(Role::Controlled);
    let local = "192.0.2.1:5353".parse().unwrap();
    scene.agent.add_local_address(scene.now, local);
    let check = scene.good_check();
    scene.give(Path::udp(local, scene.remote), &check);
    assert_eq!(scene.take().map(|(transmit, _)| transmit.path), Some(Path::udp(local, scene.remote)));
}

#[test]
fn addresses_that_come_and_go_leave_nothing_behind() {
    let mut scene = Scene::checking(Role::Controlling);
    scene.agent.gather(scene.now);
    let mut size = |from: u16, to: u16| {
        for n in from..to {
            let local = SocketAddr::from(([10, 0, (n / 250) as u8, (n % 250) as u8], 5_000));
            scene.agent.add_local_address(scene.now, local);
            while scene.take().is_some() {}
            scene.agent.handle_writable(Path::udp(local, scene.remote), false);
            scene.agent.remove_local_address(scene.now, local);
            while scene.agent.poll_event().is_some() {}
        }
        format!("{:?}", scene.agent).len()
    };
    let few = size(0, 10);
    let many = size(10, 2_000);
    assert!(many < few + 200, "numbers grow, tables do not: {few} {many}");
}
