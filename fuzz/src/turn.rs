//! A TURN server and what its clients need to get past its door.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_sansio::net::{Path, Received};
use taut_sansio::rng::Rng;
use taut_sansio::time::WallClock;
use taut_turn::server::{Event, Server, ServerConfig};

use crate::drain;

/// Where the server listens.
pub const LISTENS: ([u8; 4], u16) = ([203, 0, 113, 1], 3_478);

/// Small sets, so that operations meet each other; some must never be relayed to.
pub fn address(number: u16) -> SocketAddr {
    let [kind, last] = number.to_be_bytes();
    match kind % 8 {
        0..=3 => SocketAddr::from(([198, 51, 100, last % 4], 5_000)),
        4 => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last % 4)], 5_000)),
        5 => SocketAddr::from(([127, 0, 0, 1], number)),
        6 => SocketAddr::from(([203, 0, 113, 2], 49_152 + u16::from(last % 4))),
        _ => SocketAddr::from(([last; 4], number)),
    }
}

/// A server with two families and few ports.
pub fn server(now: Instant, seed: u64) -> Server {
    let config = ServerConfig::default()
        .with_user("ann", "secret")
        .with_relay(IpAddr::from([203, 0, 113, 2]))
        .with_relay(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 1, 1]))
        .with_relay_ports(49_152, 49_155)
        .with_max_allocations(6)
        .with_max_allocations_per_user(4)
        .with_bandwidth_per_user(100_000)
        .with_nonce_lifetime(Duration::from_secs(100));
    let clock = WallClock { instant: now, unix: Duration::from_secs(1_700_000_000) };
    Server::new(config, clock, Rng::from_u64(seed)).expect("a good configuration")
}

/// Polls a server dry. Sockets are bound where `bindable` says so; nothing leaves for where nobody may go. Returns what it
/// sends to clients.
pub fn poll_server(server: &mut Server, now: Instant, bindable: bool) -> Vec<(Path, Vec<u8>)> {
    let mut sent = Vec::new();
    drain(|| {
        let mut moved = false;
        while let Some(event) = server.poll_event() {
            moved = true;
            if let Event::Bind(relay) = event {
                server.handle_bound(now, relay, if bindable { Ok(()) } else { Err(()) });
            }
        }
        let mut out = Vec::new();
        if let Some(transmit) = server.poll_transmit(now, 4, &mut out) {
            moved = true;
            assert_eq!(transmit.len, out.len());
            if transmit.path.local == SocketAddr::from(LISTENS) {
                let size = transmit.segment_size.unwrap_or(out.len()).max(1);
                sent.extend(out.chunks(size).map(|datagram| (transmit.path, datagram.to_vec())));
            } else {
                let to = transmit.path.remote;
                assert!(!to.ip().is_loopback() && !to.ip().is_multicast() && !to.ip().is_unspecified());
                assert!(to.port() != 0);
                if transmit.path.remote.ip() == transmit.path.local.ip() {
                    let path = Path { local: to, remote: transmit.path.local, ..transmit.path };
                    let meta = Received { at: now, path, ecn: None };
                    server.handle_datagram(meta, BytesMut::from(&out[..]));
                }
            }
        }
        moved
    });
    sent
}
