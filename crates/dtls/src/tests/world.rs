//! Sessions in a simulated network.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_netsim::{Link, Loss, Node, World};
use taut_sansio::net::{Path, Received, Transmit};

use super::pair::UNIX;
use super::{CASES, Case};
use crate::{Certificate, HashAlgorithm, Role, Session, State};

#[derive(Debug)]
struct Host {
    session: Session,
    path: Path,
    got: Vec<u8>,
}

impl Node for Host {
    fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        self.session.handle_packet(meta.at, datagram);
        while let Some(data) = self.session.poll_plaintext() {
            self.got.extend_from_slice(&data);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Instant, _max_segments: usize, out: &mut Vec<u8>) -> Option<Transmit> {
        let length = self.session.poll_transmit(now, 1200, out)?;
        Some(Transmit::single(self.path, length))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }
}

fn world(seed: u64, case: Case, link: impl Fn() -> Link) -> World<Host> {
    let mut world = World::new(seed);
    let now = world.now();
    let config = case.up_to();
    let certificates = [(); 2].map(|()| Certificate::generate(UNIX).unwrap());
    let addresses: [SocketAddr; 2] = ["192.0.2.1:5000".parse().unwrap(), "192.0.2.2:5000".parse().unwrap()];
    for (end, role) in [Role::Client, Role::Server].into_iter().enumerate() {
        let mut session = Session::new(&config, &certificates[end], now).unwrap();
        let remote = vec![certificates[1 - end].fingerprint(HashAlgorithm::Sha256)];
        session.start(now, role, remote, Some(Duration::from_millis(100)));
        let path = Path::udp(addresses[end], addresses[1 - end]);
        world.add_node(Host { session, path, got: Vec::new() }, &[addresses[end].ip()]);
    }
    world.set_default_link(link());
    world
}

fn connected(world: &mut World<Host>) -> bool {
    world.node_ids().all(|id| world.node(id).session.state() == State::Connected)
}

/// What a case makes of a link.
type Change = fn(Link) -> Link;

#[test]
fn handshakes_in_bad_networks() {
    let bad = || Link::default().latency(Duration::from_millis(50)).jitter(Duration::from_millis(30));
    let links: [(&str, Change); 4] = [
        ("30 %", |link| link.loss(Loss::Random(0.3))),
        ("bursts", |link| link.loss(Loss::bursts(0.25, 3.0))),
        ("reorder", |link| link.reorder(0.4, Duration::from_millis(80)).duplicate(0.2)),
        ("thin", |link| link.rate(64_000).queue(8000).loss(Loss::Random(0.1))),
    ];
    for &case in CASES {
        for (name, change) in links {
            for seed in 0..12 {
                let mut world = world(seed, case, || change(bad()));
                let done = world.run_until(Duration::from_secs(31), connected);
                assert!(done, "{case:?} {name} seed {seed}");
            }
        }
    }
}

/// A changed bit in a message of a handshake that nothing protects yet is a forgery. Each side begins anew once, which
/// does not help when the other side has gone on; the checksum of UDP is there for that.
#[test]
fn most_handshakes_survive_flipped_bits() {
    for &case in CASES {
        let link = || Link::default().latency(Duration::from_millis(50)).corrupt(0.05);
        let done = (0..40)
            .filter(|&seed| world(seed, case, link).run_until(Duration::from_secs(31), connected))
            .count();
        assert!(done > 30, "{case:?}: {done} of 40");
    }
}
