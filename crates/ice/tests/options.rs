//! Options, counters and events that nothing else shows: each makes the difference that it is for.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::scene::check;
use common::{Net, ms, secs};
use taut_ice::{
    Agent, Candidate, Config, Credentials, Event, GatheringState, Host, MAX_EARLY_CHECKS, Role, State,
    StunServer,
};
use taut_netsim::{Link, Loss};
use taut_sansio::net::{Path, Received};
use taut_sansio::rng::Rng;
use taut_stun::Retransmission;

const A4: &[&str] = &["192.0.2.1"];
const B4: &[&str] = &["192.0.2.2"];

/// Two agents of the same configuration; nothing gets through.
fn silent(config: Config) -> Net {
    let nothing = Link::default().loss(Loss::Random(1.0));
    let mut net = Net::with_configs(1, nothing, (A4, config.clone()), (B4, config));
    net.start();
    net
}

fn connected(config: Config) -> Net {
    let link = Link::default().latency(ms(20));
    let mut net = Net::with_configs(1, link, (A4, config.clone()), (B4, config));
    net.start();
    net.connect(secs(5));
    net
}

#[test]
fn patience_is_how_long_checks_are_given() {
    for patience in [secs(10), secs(20)] {
        // No check is under way any more then: that alone is no reason to give up.
        let once = Retransmission::default().with_transmissions(1).with_last_wait(1);
        let mut net = silent(Config::default().with_patience(patience).with_check_retransmission(once));
        let begin = net.world.elapsed();
        assert!(net.run_until(secs(60), |net| net.a().agent.state() == State::Failed));
        assert_eq!((net.world.elapsed() - begin).as_secs(), patience.as_secs());
    }
}

#[test]
fn a_check_is_repeated_as_often_as_it_is_told_to() {
    let sent = |transmissions| {
        let policy = Retransmission::default().with_transmissions(transmissions).with_last_wait(1);
        let mut net = silent(Config::default().with_check_retransmission(policy));
        net.world.run_for(secs(30));
        net.a().agent.stats().requests_sent
    };
    // Four would go in 4 s; a single pair may repeat its check every 500 ms for as long.
    assert_eq!((sent(1), sent(4)), (1, 8));
}

#[test]
fn checks_go_out_at_the_pace() {
    let after_a_second = |pace| {
        let config = Config::default().with_burst(1).with_pace(pace);
        let mut net = Net::with_configs(
            1,
            Link::default().loss(Loss::Random(1.0)),
            (A4, config),
            (B4, Config::default()),
        );
        let a = net.a;
        net.with(a, |agent, now| agent.gather(now));
        net.signal(a, Role::Controlling);
        for port in 1..=60 {
            let candidate: Candidate = format!("1 1 udp 1 192.0.2.2 {port} typ host").parse().unwrap();
            net.with(a, |agent, now| agent.add_remote_candidate(now, candidate)).unwrap();
        }
        net.world.run_for(ms(450));
        net.a().agent.pair_stats().iter().filter(|pair| pair.requests_sent > 0).count()
    };
    let (slow, fast) = (after_a_second(ms(50)), after_a_second(ms(10)));
    assert!((9..=11).contains(&slow) && (44..=47).contains(&fast), "{slow} {fast}");
}

#[test]
fn a_silent_connection_is_disconnected_after_the_time_that_is_set() {
    for after in [secs(3), secs(9)] {
        let mut net = connected(Config::default().with_disconnected_after(after));
        let cut = net.world.elapsed();
        net.world.set_default_link(Link::default().loss(Loss::Random(1.0)));
        assert!(net.run_until(secs(30), |net| net.a().agent.state() == State::Disconnected));
        // The first request without an answer comes within six seconds.
        let took = net.world.elapsed() - cut;
        assert!(took >= after && took <= after + secs(6) + ms(100), "{took:?}");
    }
}

#[test]
fn a_better_pair_is_waited_for_as_long_as_is_set() {
    let nominated = |patience| {
        let config = Config::default().with_nomination_patience(patience);
        let both: [&[&str]; 2] = [&["2001:db8::1", "192.0.2.1"], &["2001:db8::2", "192.0.2.2"]];
        let link = Link::default().latency(ms(20));
        let mut net = Net::with_configs(1, link, (both[0], config.clone()), (both[1], config));
        net.trickle = false;
        for id in [net.a, net.b] {
            net.with(id, |agent, now| agent.gather(now));
        }
        let (a, b) = (net.a, net.b);
        net.signal(a, Role::Controlling);
        net.signal(b, Role::Controlled);
        // The better one is told with a port that nobody has.
        for id in [a, b] {
            let to = net.other(id);
            for candidate in std::mem::take(&mut net.peer_mut(id).outbox) {
                let text = candidate.to_string().replace("2001:db8::2 5000", "2001:db8::2 1");
                let candidate = text.parse().unwrap();
                if text.contains("2001:db8::1") {
                    continue;
                }
                net.with(to, |agent, now| agent.add_remote_candidate(now, candidate)).unwrap();
            }
        }
        net.connect(secs(10))
    };
    let (soon, late) = (nominated(ms(50)), nominated(ms(900)));
    assert!(soon < ms(250) && (ms(900)..ms(1_100)).contains(&late), "{soon:?} {late:?}");
}

/// How long gathering takes, with a server that never answers.
fn gathering(policy: Retransmission) -> Duration {
    let nobody = StunServer { host: Host::Ip([198, 51, 100, 1].into()), port: 3478 };
    let config = Config::default().with_stun_servers(vec![nobody]).with_gather_retransmission(policy);
    let mut net = Net::with_configs(1, Link::default(), (A4, config), (B4, Config::default()));
    let a = net.a;
    net.with(a, |agent, now| agent.gather(now));
    let begin = net.world.elapsed();
    let over = |net: &Net| {
        net.a()
            .events
            .iter()
            .any(|(_, event)| *event == Event::GatheringStateChanged(GatheringState::Complete))
    };
    assert!(net.run_until(secs(60), over));
    net.world.elapsed() - begin
}

#[test]
fn a_silent_server_is_asked_as_often_as_it_is_told_to() {
    let once = Retransmission::default().with_transmissions(1).with_last_wait(2);
    assert_eq!(gathering(once).as_millis(), 1_000, "twice the first 500 ms");
    let twice = Retransmission::default().with_transmissions(2).with_last_wait(2);
    assert_eq!(gathering(twice).as_millis(), 1_500);
}

#[test]
fn the_selected_pair_is_told_and_its_round_trips_are_measured() {
    let mut net = connected(Config::default());
    let path = net.a().agent.selected_path().unwrap();
    let told = |net: &Net| {
        let changes = net.a().events.iter().filter_map(|(_, event)| match event {
            Event::SelectedPairChanged { path } => Some(*path),
            _ => None,
        });
        changes.collect::<Vec<_>>()
    };
    assert_eq!(told(&net), [path]);
    net.world.run_for(secs(30));
    let pair = net.a().agent.pair_stats()[0].clone();
    assert_eq!(pair.current_rtt, Some(ms(40)));
    assert!(pair.rtt_measurements >= 6, "consent, too: {}", pair.rtt_measurements);
    assert_eq!(pair.total_rtt, ms(40) * pair.rtt_measurements as u32);
}

#[test]
fn pairs_of_before_a_restart_are_superseded() {
    let mut net = connected(Config::default());
    let a = net.a;
    let superseded =
        |net: &Net| net.a().agent.report().pairs.iter().map(|pair| pair.superseded).collect::<Vec<_>>();
    assert_eq!(superseded(&net), [false]);
    net.with(a, |agent, now| agent.restart(now));
    assert_eq!(superseded(&net), [true]);
    assert!(net.a().agent.report().to_string().contains("superseded"));
}

#[test]
fn early_checks_and_pairs_beyond_their_bounds_are_counted() {
    let now = Instant::now();
    let local: SocketAddr = "192.0.2.1:5000".parse().unwrap();
    let mut agent = Agent::new(Config::default().with_max_pairs(10), Rng::from_u64(1));
    agent.add_local_address(now, local);
    agent.set_role(now, Role::Controlled);
    for number in 0..MAX_EARLY_CHECKS as u16 + 5 {
        let remote = SocketAddr::from(([198, 51, 100, 1], 4_000 + number));
        let meta = Received { at: now, path: Path::udp(local, remote), ecn: None };
        agent.handle_datagram(meta, check(&agent, "them", number.into()).as_slice().into());
    }
    assert_eq!((agent.stats().dropped_early_checks, agent.stats().dropped_pairs), (5, 0));
    agent.set_remote_credentials(now, Credentials { ufrag: "them".into(), pwd: "t".repeat(24) }, false);
    assert_eq!(agent.pair_stats().len(), 10);
    assert_eq!(agent.stats().dropped_pairs, MAX_EARLY_CHECKS as u64 - 10);
}
