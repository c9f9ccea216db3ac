//! Many networks, each drawn from a seed: whatever happened before, two agents that can reach each other are connected in the end,
//! over the same path; no side stays connected when the other one has failed; every datagram has at most one answer; consent is
//! asked for at its rate; and nothing grows without a bound.
//!
//! `TAUT_SEEDS=10000 cargo test -p taut-ice --test seeds` runs more of them, from `TAUT_FIRST_SEED` on; a failure names its seed and
//! tells what happened.

mod common;

use std::time::Duration;

use common::life::Life;
use common::{Net, ms, secs};
use taut_ice::{Candidate, Credentials, Role, State};
use taut_netsim::Link;

/// How long it may take once the network is well: the last restart may begin when a side has failed, which it knows 30 s after
/// the last answer at the latest; at 20 % loss in each direction checks take their time.
const BOUND: Duration = Duration::from_secs(60);

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    let first = variable("TAUT_FIRST_SEED").unwrap_or(0);
    first..first + variable("TAUT_SEEDS").unwrap_or(default)
}

#[test]
fn agents_that_can_reach_each_other_end_up_connected() {
    let mut slowest = Duration::ZERO;
    for seed in seeds(30) {
        let mut life = Life::new(seed);
        life.start();
        let took = life.settle(secs(40));
        assert!(took.is_some(), "at the start, {}", life.show());
        for _ in 0..1 + seed % 5 {
            life.something();
        }
        let took = life.settle(BOUND);
        assert!(took.is_some(), "in the end, {}", life.show());
        slowest = slowest.max(took.unwrap_or_default());
        life.rest();
    }
    println!("well again after {slowest:?} at the latest");
}

#[test]
fn a_mismatched_ufrag_connects_nobody() {
    for seed in seeds(20) {
        let mut net = Net::new(seed, Link::default().latency(ms(20)), &["192.0.2.1"], &["192.0.2.2"]);
        let wrong = Credentials { ufrag: "wrong".into(), pwd: "wrong-password-0123456789".into() };
        for id in [net.a, net.b] {
            net.with(id, |agent, now| agent.gather(now));
        }
        let (a, b) = (net.a, net.b);
        net.signal(a, Role::Controlling);
        net.with(b, |agent, now| agent.set_remote_credentials(now, wrong, false));
        net.exchange();
        let candidate: Candidate = "1 1 udp 1 192.0.2.1 5000 typ host".parse().expect("a candidate");
        net.with(b, |agent, now| agent.add_remote_candidate(now, candidate)).expect("it names no ufrag");
        net.world.run_for(secs(50));
        for id in [a, b] {
            assert_eq!(net.peer(id).agent.state(), State::Failed, "seed {seed}");
            assert!(net.peer(id).agent.stats().dropped_username > 0);
        }
    }
}
