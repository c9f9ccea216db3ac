//! The report: every way to fail has its verdict.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use common::scene::Scene;
use common::{Net, ms, secs};
use taut_ice::{Config, Credentials, Host, Role, State, StunServer, Verdict};
use taut_netsim::{Link, Loss};

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
