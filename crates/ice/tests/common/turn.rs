//! Our TURN server in the simulated network: every address of its host can be bound at once.

use std::net::IpAddr;
use std::time::Instant;

use bytes::BytesMut;
use taut_ice::{Host, TurnServer as Configured, TurnTransport};
use taut_netsim::Node;
use taut_sansio::net::{Received, Transmit};
use taut_sansio::rng::Rng;
use taut_sansio::time::WallClock;
use taut_turn::server::{Event, Server, ServerConfig};

/// A TURN server, or nobody while it is dead.
pub struct TurnServer {
    pub server: Option<Server>,
}

/// What the server of these tests knows.
pub fn config(address: &str) -> ServerConfig {
    let address: IpAddr = address.parse().expect("an address");
    ServerConfig::default().with_user("ann", "secret").with_relay(address)
}

/// How clients are told of it.
pub fn configured(address: &str) -> Configured {
    Configured {
        host: Host::Ip(address.parse().expect("an address")),
        port: 3478,
        transport: TurnTransport::Udp,
        username: "ann".into(),
        password: "secret".into(),
    }
}

impl TurnServer {
    pub fn new(config: ServerConfig, clock: WallClock, seed: u64) -> Self {
        Self { server: Some(Server::new(config, clock, Rng::from_u64(seed)).expect("it can work")) }
    }

    fn bind(&mut self, now: Instant) {
        let Some(server) = &mut self.server else { return };
        while let Some(event) = server.poll_event() {
            if let Event::Bind(relay) = event {
                server.handle_bound(now, relay, Ok(()));
            }
        }
    }
}

impl Node for TurnServer {
    fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        if let Some(server) = &mut self.server {
            server.handle_datagram(meta, datagram);
        }
        self.bind(meta.at);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(server) = &mut self.server {
            server.handle_timeout(now);
        }
        self.bind(now);
    }

    fn poll_transmit(&mut self, now: Instant, max_segments: usize, out: &mut Vec<u8>) -> Option<Transmit> {
        self.server.as_mut()?.poll_transmit(now, max_segments, out)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.server.as_ref()?.poll_timeout()
    }
}
