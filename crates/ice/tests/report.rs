//! The report: every way to fail has its verdict.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use common::scene::Scene;
use common::turn::configured;
use common::{Net, ms, secs};
use taut_ice::{Config, Credentials, Host, Policy, Role, State, StunServer, TurnServer, Verdict};
use taut_netsim::{Link, Loss};
use taut_stun::{Builder, Class, Method, TransactionId};

const A4: &[&str] = &["192.0.2.1"];
const B4: &[&str] = &["192.0.2.2"];

fn link() -> Link {
    Link::default().latency(ms(20))
}

fn verdict(net: &Net) -> Verdict {
    net.a().agent.report().verdict
}

#[test]
fn a_connection_from_its_beginning_to_its_end() {
    let mut net = Net::new(1, link(), A4, B4);
    assert_eq!(verdict(&net), Verdict::NotSignalled);
    let (a, b) = (net.a, net.b);
    net.signal(a, Role::Controlling);
    assert_eq!(verdict(&net), Verdict::NoRemoteCandidates);
    net.start();
    net.run(ms(10));
    assert_eq!(verdict(&net), Verdict::Checking);
    net.connect(secs(5));
    assert_eq!(verdict(&net), Verdict::Connected);
    let text = net.a().agent.report().to_string();
    assert!(text.starts_with("ICE Connected (Controlling): connected\n"), "{text}");
    assert!(text.contains("192.0.2.1:5000 -> 192.0.2.2:5000 succeeded, nominated, in use"), "{text}");
    assert!(text.contains("typ host") && text.contains("round trip 40ms"), "{text}");
    net.world.set_default_link(link().loss(Loss::Random(1.0)));
    assert!(net.run_until(secs(20), |net| net.a().agent.state() == State::Disconnected));
    assert_eq!(verdict(&net), Verdict::Silent);
    net.world.run_for(secs(40));
    assert_eq!((net.a().agent.state(), verdict(&net)), (State::Failed, Verdict::ConsentLost));
    assert!(net.a().agent.report().pairs[0].consent_lost);
    net.with(b, |agent, now| agent.close(now));
    assert_eq!(net.b().agent.report().verdict, Verdict::Closed);
}

#[test]
fn nothing_comes_back() {
    let mut net = Net::new(1, link().loss(Loss::Random(1.0)), A4, B4);
    net.start();
    net.world.run_for(secs(60));
    assert_eq!((net.a().agent.state(), verdict(&net)), (State::Failed, Verdict::NoAnswer));
    let report = net.a().agent.report();
    assert_eq!((report.local.len(), report.remote.len(), report.pairs.len()), (1, 1, 1));
    assert!(report.pairs[0].stats.requests_sent > 0 && report.stats.requests_sent > 10);
}

#[test]
fn one_direction_is_blocked() {
    let mut net = Net::new(1, link(), A4, B4);
    let (a, b) = (net.a, net.b);
    net.world.set_link(a, b, link().loss(Loss::Random(1.0)));
    net.start();
    // As long as checks come, there is hope.
    net.world.run_for(secs(120));
    assert_eq!((net.a().agent.state(), verdict(&net)), (State::Failed, Verdict::OneWay));
    assert_eq!(net.b().agent.report().verdict, Verdict::NoAnswer);
}

#[test]
fn the_families_have_nothing_in_common() {
    let mut net = Net::new(1, link(), A4, &["2001:db8::2"]);
    net.start();
    net.world.run_for(secs(60));
    assert_eq!((net.a().agent.state(), verdict(&net)), (State::Failed, Verdict::NothingInCommon));
}

#[test]
fn the_other_side_has_other_credentials() {
    let mut net = Net::new(1, link(), A4, B4);
    net.start();
    let mut other = Net::new(1, link(), A4, B4);
    let a = other.a;
    other.with(a, |agent, now| agent.gather(now));
    let wrong = Credentials { ufrag: "nobody".into(), pwd: "nobody-at-all-0123456789".into() };
    other.with(a, |agent, now| agent.set_remote_credentials(now, wrong, false));
    let b = other.b;
    other.signal(b, Role::Controlled);
    other.exchange();
    other.world.run_for(secs(60));
    assert_eq!((other.a().agent.state(), verdict(&other)), (State::Failed, Verdict::WrongCredentials));
}

#[test]
fn no_address_and_no_server() {
    let server = StunServer { host: Host::Ip("198.51.100.9".parse().unwrap()), port: 3478 };
    let config = Config::default().with_stun_servers(vec![server]);
    let mut net = Net::with_configs(1, link(), (A4, config), (B4, Config::default()));
    let a = net.a;
    net.start();
    net.connect(secs(5));
    net.world.run_for(secs(20));
    let report = net.a().agent.report();
    assert_eq!(report.server_errors.len(), 1, "{report}");
    assert!(report.to_string().contains("server stun:198.51.100.9:3478: 701 the server did not answer"));
    net.with(a, |agent, now| agent.remove_local_address(now, "192.0.2.1:5000".parse().unwrap()));
    assert_eq!(verdict(&net), Verdict::NoLocalAddress);
}

#[test]
fn every_check_is_refused() {
    let mut scene = Scene::checking(Role::Controlling);
    for _ in 0..200 {
        while let Some((transmit, bytes)) = scene.take() {
            let error = scene.error(&bytes, 400, Some(&scene.their_key()));
            scene.give(transmit.path, &error);
        }
        scene.now += ms(500);
        scene.agent.handle_timeout(scene.now);
    }
    assert_eq!((scene.agent.state(), scene.agent.report().verdict), (State::Failed, Verdict::Refused));
}

#[test]
fn a_lite_agent_waits() {
    let mut net =
        Net::with_configs(1, link(), (A4, Config::default().with_lite(true)), (B4, Config::default()));
    let (a, b) = (net.a, net.b);
    for id in [a, b] {
        net.with(id, |agent, now| agent.gather(now));
        net.signal(id, Role::Controlled);
    }
    let candidate = net.b().outbox[0].clone();
    net.with(a, |agent, now| agent.add_remote_candidate(now, candidate)).unwrap();
    assert_eq!(verdict(&net), Verdict::WaitingForNomination);
}

#[test]
fn errors_of_servers_stay_bounded() {
    let named = |n: usize| StunServer { host: Host::Name(format!("stun{n}.example")), port: 3478 };
    let config = Config::default().with_stun_servers((0..8).map(named).collect());
    let mut net = Net::with_configs(1, link(), (A4, config), (B4, Config::default()));
    let a = net.a;
    net.with(a, |agent, now| agent.gather(now));
    for _ in 0..5 {
        // No name is resolved in time.
        net.world.run_for(secs(11));
        net.with(a, |agent, now| agent.restart(now));
    }
    let errors = net.a().agent.report().server_errors;
    assert_eq!(errors.len(), 16);
    assert!(errors.iter().all(|error| error.code == 701 && error.url.starts_with("stun:stun")));
}

/// The verdict of a side that may use relays alone, when it has failed; the server knows `password`, if there is one.
fn verdict_of_relays(policy: Policy, password: Option<&str>) -> (Verdict, String) {
    let server = TurnServer { password: password.unwrap_or_default().into(), ..configured("198.51.100.1") };
    let config = Config::default().with_policy(policy).with_turn_servers(vec![server]);
    // Nobody reaches anybody but the server.
    let silence = link().loss(Loss::Random(1.0));
    let mut net = Net::with_configs(1, silence, (A4, config), (B4, Config::default()));
    let a = net.a;
    if password.is_some() {
        let (clock, seed) = (net.world.wall_clock(), 7);
        let server = common::turn::TurnServer::new(common::turn::config("198.51.100.1"), clock, seed);
        let server = net.world.add_node(common::Host::Turn(server), &common::ips(&["198.51.100.1"]));
        net.world.set_link(a, server, link());
        net.world.set_link(server, a, link());
    }
    net.start();
    net.run(secs(60));
    let report = net.a().agent.report();
    assert_eq!(report.state, State::Failed);
    (report.verdict, report.to_string())
}

#[test]
fn a_relay_that_is_not_to_be_had() {
    for policy in [Policy::Relay, Policy::All] {
        let (verdict, text) = verdict_of_relays(policy, None);
        assert_eq!(verdict, Verdict::RelayUnanswered);
        assert!(text.contains("no answer from the TURN server"), "{text}");
        let (verdict, text) = verdict_of_relays(policy, Some("wrong"));
        assert_eq!(verdict, Verdict::RelayCredentials);
        assert!(text.contains("credentials") && text.contains("401"), "{text}");
    }
    let (verdict, _) = verdict_of_relays(Policy::All, Some("secret"));
    assert_eq!(verdict, Verdict::NoAnswer, "the relay was there");
}

#[test]
fn a_passer_by_is_not_the_other_side() {
    let mut scene = Scene::checking(Role::Controlling);
    let mut question = Vec::new();
    let id = TransactionId([1; 12]);
    Builder::new(&mut question, Class::Request, Method::BINDING, id).finish().unwrap();
    scene.give(scene.path(), &question);
    for _ in 0..100 {
        while scene.take().is_some() {}
        scene.now += ms(500);
        scene.agent.handle_timeout(scene.now);
    }
    assert_eq!((scene.agent.state(), scene.agent.report().verdict), (State::Failed, Verdict::NoAnswer));
}

#[test]
fn what_went_before_a_restart_is_no_reason() {
    let mut scene = Scene::connected(Role::Controlling);
    // Somebody else asks in vain, and the other side answers.
    let stranger = scene.check("nobody:nowhere", |b| b.fingerprint().finish());
    scene.give(scene.path(), &stranger);
    let restarted = |scene: &mut Scene, code: Option<u16>| {
        scene.theirs.ufrag.push('x');
        let theirs = scene.theirs.clone();
        scene.agent.set_remote_credentials(scene.now, theirs, false);
        let text = format!("1 1 udp 2130706431 {} {} typ host", scene.remote.ip(), scene.remote.port());
        scene.agent.add_remote_candidate(scene.now, text.parse().unwrap()).unwrap();
        for _ in 0..200 {
            while let Some((transmit, bytes)) = scene.take() {
                let Some(code) = code else { continue };
                let error = scene.error(&bytes, code, Some(&scene.their_key()));
                scene.give(transmit.path, &error);
            }
            scene.now += ms(500);
            scene.agent.handle_timeout(scene.now);
        }
        (scene.agent.state(), scene.agent.report().verdict)
    };
    assert_eq!(restarted(&mut scene, Some(400)), (State::Failed, Verdict::Refused));
    assert_eq!(restarted(&mut scene, None), (State::Failed, Verdict::NoAnswer));
}
