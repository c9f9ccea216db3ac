//! Two agents find each other. They do no I/O: what they want to send is carried from one to the other here, over a
//! network in memory on which both have two addresses, and one of the paths leads nowhere.
//!
//! ```console
//! $ cargo run -p taut-ice --example ice
//! ```

#![allow(clippy::disallowed_methods, reason = "machines are given the time; an application reads the clock")]

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_ice::{Agent, Config, Event, Role};
use taut_sansio::net::{Path, Received};
use taut_sansio::rng::Rng;
use taut_sansio::time::earliest;

/// How long a datagram travels.
const LATENCY: Duration = Duration::from_millis(20);

fn main() -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let mut now = begin;

    // In earnest the seed comes from the operating system; two agents must not have the same.
    let mut alice = Agent::new(Config::default(), Rng::from_u64(1));
    let mut bob = Agent::new(Config::default(), Rng::from_u64(2));

    // Signaling: roles and credentials. Bob gets Alice's with the offer and she gets his with the answer.
    alice.set_role(now, Role::Controlling);
    bob.set_role(now, Role::Controlled);
    bob.set_remote_credentials(now, alice.local_credentials().clone(), false);
    alice.set_remote_credentials(now, bob.local_credentials().clone(), false);

    // One address for each socket that is bound.
    for (agent, host) in [(&mut alice, 1), (&mut bob, 2)] {
        agent.add_local_address(now, SocketAddr::from(([192, 0, 2, host], 5000)));
        agent.add_local_address(now, SocketAddr::from(([198, 51, 100, host], 5000)));
        agent.gather(now);
    }

    // Until both have a nominated pair, and so agree on the path. A datagram arrives in the round after it was sent.
    let is_nominated = |agent: &Agent| agent.pair_stats().iter().any(|pair| pair.nominated);
    while !(is_nominated(&alice) && is_nominated(&bob)) {
        let (mut to_alice, mut to_bob) = (poll("bob", &mut bob, now), poll("alice", &mut alice, now));

        // More signaling: candidates go to the other side as they are found, in text.
        for candidate in to_bob.candidates.drain(..) {
            bob.add_remote_candidate(now, candidate.parse()?)?;
        }
        for candidate in to_alice.candidates.drain(..) {
            alice.add_remote_candidate(now, candidate.parse()?)?;
        }

        // Time passes: to the arrival of what is on its way, or else to what either of the agents waits for.
        let is_quiet = to_alice.datagrams.is_empty() && to_bob.datagrams.is_empty();
        let timeout = earliest(alice.poll_timeout(), bob.poll_timeout()).ok_or("the agents gave up")?;
        now = if is_quiet { now.max(timeout) } else { now + LATENCY };
        assert!(now < begin + Duration::from_secs(5), "they did not find each other");

        for (agent, arriving) in [(&mut alice, to_alice), (&mut bob, to_bob)] {
            for (path, datagram) in arriving.datagrams {
                agent.handle_datagram(Received { at: now, path, ecn: None }, datagram);
            }
            agent.handle_timeout(now);
        }
    }

    let path = alice.selected_path().ok_or("no path")?;
    println!("after {:?}: alice {} <-> bob {}", now - begin, path.local, path.remote);
    println!("round trip {:?}", alice.rtt().ok_or("nothing was measured")?);
    assert_eq!(Some(Path::udp(path.remote, path.local)), bob.selected_path());
    assert!(!is_broken(path), "the path that was chosen leads nowhere");
    Ok(())
}

/// What an agent has for the other side.
#[derive(Default)]
struct Output {
    /// For the signaling.
    candidates: Vec<String>,
    /// For the network, each with the path as the other side sees it.
    datagrams: Vec<(Path, BytesMut)>,
}

/// Asks an agent for all that it has to say.
fn poll(name: &str, agent: &mut Agent, now: Instant) -> Output {
    let mut output = Output::default();
    let mut octets = Vec::new();
    while let Some(transmit) = agent.poll_transmit(now, 1, &mut octets) {
        if !is_broken(transmit.path) {
            let path = Path::udp(transmit.path.remote, transmit.path.local);
            output.datagrams.push((path, BytesMut::from(&octets[..])));
        }
        octets.clear();
    }
    while let Some(event) = agent.poll_event() {
        println!("{name}: {event:?}");
        if let Event::LocalCandidate(candidate) = event {
            output.candidates.push(candidate.to_string());
        }
    }
    output
}

/// Packets between the addresses of the first network get lost.
fn is_broken(path: Path) -> bool {
    [path.local, path.remote].iter().any(|address| address.to_string().starts_with("192.0.2."))
}
