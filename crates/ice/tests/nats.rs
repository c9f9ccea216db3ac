//! Which translators let two agents find each other with server-reflexive candidates: mapping and filtering of both sides (RFC 4787
//! sections 4.1 and 5), all 81 combinations, as a table.

#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

mod common;

use common::turn::{self, TurnServer};
use common::{Host, Net, StunServer, ips, ms, secs};
use taut_ice::{CandidateKind, Config, Role, State, StunServer as Server};
use taut_netsim::{Dependence, Link, Nat, NatKind};

fn config() -> Config {
    let host = taut_ice::Host::Ip(SERVER.parse().unwrap());
    Config::default().with_stun_servers(vec![Server { host, port: 3478 }])
}

/// The address of the STUN server, which is a TURN server where there is one.
const SERVER: &str = "198.51.100.1";

/// Two agents, each behind a translator of its own, and a STUN server.
fn behind(seed: u64, nats: [Nat; 2]) -> Net {
    let link = Link::default().latency(ms(20));
    let mut net = Net::with_configs(seed, link, (&["10.0.0.1"], config()), (&["10.1.0.1"], config()));
    net.world.add_node(Host::Stun(StunServer::default()), &ips(&[SERVER]));
    for (id, nat) in [net.a, net.b].into_iter().zip(nats) {
        let nat = net.world.add_nat(nat);
        net.world.place_behind(id, nat);
        net.nats.push(nat);
    }
    net
}

fn connects(a: Kind, b: Kind) -> bool {
    let nat = |(mapping, filtering), public: &str| Nat::with(mapping, filtering, public.parse().unwrap());
    let results: Vec<bool> = (0..3)
        .map(|seed| {
            let mut net = behind(seed, [nat(a, "203.0.113.1"), nat(b, "203.0.113.2")]);
            net.step = ms(10);
            net.start();
            let connected = net.run_until(secs(20), Net::connected);
            if connected {
                // It holds, by consent, beyond the time that a mapping lives without traffic.
                assert!(net.run_until(secs(20), Net::nominated), "{a:?} {b:?}");
                net.world.run_for(secs(60));
                assert!(net.connected(), "{a:?} {b:?}");
            }
            connected
        })
        .collect();
    assert!(results.iter().all(|result| *result == results[0]), "chance decides: {a:?} {b:?}");
    results[0]
}

fn name(kind: Kind) -> String {
    let short = |dependence| match dependence {
        Dependence::EndpointIndependent => "EI",
        Dependence::AddressDependent => "AD",
        Dependence::AddressAndPortDependent => "APD",
    };
    format!("{}/{}", short(kind.0), short(kind.1))
}

/// `+` connects directly, `-` needs a relay.
const TABLE: &str = "
EI/EI          +       +       +       +       +       +       +       +       +
EI/AD          +       +       +       +       +       +       +       +       +
EI/APD         +       +       +       -       -       -       -       -       -
AD/EI          +       +       -       +       +       -       +       +       -
AD/AD          +       +       -       +       -       -       +       -       -
AD/APD         +       +       -       -       -       -       -       -       -
APD/EI         +       +       -       +       +       -       -       -       -
APD/AD         +       +       -       +       -       -       -       -       -
APD/APD        +       +       -       -       -       -       -       -       -";

type Kind = (Dependence, Dependence);

/// What `outcome` says of every combination, mapping and filtering of a by row, of b by column.
fn table(outcome: impl Fn(Kind, Kind) -> &'static str) -> String {
    let kinds: Vec<Kind> =
        Dependence::ALL.into_iter().flat_map(|m| Dependence::ALL.into_iter().map(move |f| (m, f))).collect();
    let mut table = String::new();
    for a in &kinds {
        table += &format!("{:8}", name(*a));
        for b in &kinds {
            table += &format!("{:>8}", outcome(*a, *b));
        }
        table.push('\n');
    }
    println!("{table}");
    table.trim().to_owned()
}

#[test]
fn all_eighty_one_combinations() {
    let table = table(|a, b| if connects(a, b) { "+" } else { "-" });
    assert_eq!(table, TABLE.trim());
}

/// With a TURN server that both sides may use: `+` for a pair without relays, `r` for one with.
fn connects_with_turn(a: Kind, b: Kind) -> &'static str {
    let nat = |(mapping, filtering), public: &str| Nat::with(mapping, filtering, public.parse().unwrap());
    let config = config().with_turn_servers(vec![turn::configured(SERVER)]);
    let link = Link::default().latency(ms(20));
    let mut net = Net::with_configs(0, link, (&["10.0.0.1"], config.clone()), (&["10.1.0.1"], config));
    let clock = net.world.wall_clock();
    net.world.add_node(Host::Turn(TurnServer::new(turn::config(SERVER), clock, 7)), &ips(&[SERVER]));
    for (id, nat) in [(net.a, nat(a, "203.0.113.1")), (net.b, nat(b, "203.0.113.2"))] {
        let nat = net.world.add_nat(nat);
        net.world.place_behind(id, nat);
    }
    net.step = ms(10);
    net.start();
    assert!(net.run_until(secs(20), Net::nominated), "{a:?} {b:?} do not connect");
    net.world.run_for(secs(60));
    assert!(net.connected(), "{a:?} {b:?} do not stay connected");
    let pair = net.a().agent.selected_pair().expect("a pair");
    let relayed = [pair.local.kind, pair.remote.kind].contains(&CandidateKind::Relayed);
    if relayed { "r" } else { "+" }
}

#[test]
fn with_a_relay_all_eighty_one_connect_and_directly_where_that_is_possible() {
    assert_eq!(table(connects_with_turn), TABLE.trim().replace('-', "r"));
}

/// Only server-reflexive candidates are signalled: what a translator does with them is what counts.
fn connects_reflexively(mut net: Net) -> bool {
    let (a, b) = (net.a, net.b);
    for id in [a, b] {
        net.with(id, |agent, now| agent.gather(now));
    }
    net.signal(a, Role::Controlling);
    net.signal(b, Role::Controlled);
    net.trickle = false;
    net.run(secs(1));
    for id in [a, b] {
        net.peer_mut(id).outbox.retain(|candidate| candidate.kind == CandidateKind::ServerReflexive);
    }
    net.exchange();
    net.run_until(secs(20), Net::connected)
}

#[test]
fn two_hosts_behind_one_translator_meet_outside_only_if_it_hairpins() {
    let easy = || Nat::new(NatKind::FullCone, "203.0.113.1".parse().unwrap());
    for (nat, expected) in [(easy().with_hairpin(), true), (easy(), false)] {
        let mut net = Net::with_configs(
            1,
            Link::default().latency(ms(20)),
            (&["10.0.0.1"], config()),
            (&["10.0.0.2"], config()),
        );
        net.world.add_node(Host::Stun(StunServer::default()), &ips(&[SERVER]));
        let nat = net.world.add_nat(nat);
        for id in [net.a, net.b] {
            net.world.place_behind(id, nat);
        }
        assert_eq!(connects_reflexively(net), expected);
    }
}

#[test]
fn through_two_levels_the_harder_one_decides() {
    use Dependence::{AddressAndPortDependent as Hard, EndpointIndependent as Easy};
    for (inner, outer) in [(Easy, Easy), (Easy, Hard), (Hard, Easy), (Hard, Hard)] {
        for (other, expected) in [((Easy, Easy), true), ((Easy, Hard), (inner, outer) == (Easy, Easy))] {
            let nat = |kind, public: &str| Nat::with(kind, Hard, public.parse().unwrap());
            let far = Nat::with(other.0, other.1, "203.0.113.2".parse().unwrap());
            let mut net = behind(1, [nat(outer, "203.0.113.1"), far]);
            // The agent moves behind another translator, which is behind the first.
            let inner = net.world.add_nat(nat(inner, "100.64.0.1"));
            net.world.place_behind(net.a, inner);
            net.world.place_nat_behind(inner, net.nats[0]);
            net.start();
            assert_eq!(net.run_until(secs(20), Net::connected), expected, "{inner:?} {outer:?} {other:?}");
        }
    }
}

#[test]
fn mappings_that_time_out_after_ten_seconds_are_kept_by_consent() {
    let nat = |public: &str| {
        Nat::new(NatKind::PortRestricted, public.parse().unwrap()).timeout(std::time::Duration::from_secs(10))
    };
    for seed in 0..10 {
        let mut net = behind(seed, [nat("203.0.113.1"), nat("203.0.113.2")]);
        net.start();
        assert!(net.run_until(secs(20), Net::nominated));
        net.world.run_for(secs(300));
        assert!(net.connected() && !net.a().states().contains(&State::Disconnected), "seed {seed}");
    }
}
