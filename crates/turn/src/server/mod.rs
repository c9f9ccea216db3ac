//! A TURN server (RFC 8656), without I/O: it also answers Binding requests, as every TURN server does, and with two addresses tells
//! how NATs behave ([`ServerConfig::behavior`], RFC 5780).
//!
//! UDP, TCP and TLS clients are paths; whoever runs the server cuts streams into messages with
//! [`Deframer`](crate::Deframer). Sockets for relays are asked for with [`Event::Bind`], and what they receive is given to
//! [`Server::handle_datagram`] with the relay's address as the local one.
//!
//! Before a client has authenticated itself, no answer is longer than three times its datagram, and answers are limited by
//! the prefix of the source. Nothing is answered twice, and nothing but requests at all.
//!
//! # Bounds
//!
//! | What | Bound | When it is hit |
//! |---|---|---|
//! | allocations | [`ServerConfig::max_allocations`] | 508 |
//! | allocations of a user | [`ServerConfig::max_allocations_per_user`] | 486 |
//! | permissions of an allocation | [`MAX_PERMISSIONS`] | 508 |
//! | channels of an allocation | [`MAX_CHANNELS`] | 508 |
//! | octets a second of a user | [`ServerConfig::bandwidth_per_user`] | dropped |
//! | datagrams not yet polled | [`MAX_QUEUED`] | dropped |
//! | events not yet polled | [`MAX_EVENTS`] | Allocate requests are dropped |
//! | answers to a prefix before authentication | [`ServerConfig::unauthenticated_per_second`] | dropped |
//! | prefixes | [`PREFIX_BUCKETS`] | share a rate |

mod allocate;
mod auth;
mod config;
mod limit;
mod peers;
mod policy;
mod relay;
mod request;
mod stats;
mod table;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use taut_sansio::net::{Path, Received, Transmit, Transport};
use taut_sansio::rng::Rng;
use taut_sansio::time::WallClock;

pub use config::{RelayAddress, ServerConfig, ServerConfigError};
pub use limit::PREFIX_BUCKETS;
pub use policy::{ParseSubnetError, Subnet};
pub use stats::Stats;
pub use table::{MAX_CHANNELS, MAX_PERMISSIONS};

use auth::{Nonces, Users};
use limit::PrefixLimit;
use policy::Policy;
use relay::Outgoing;
use table::Table;

/// How many octets a realm may have: with more, the answer to the shortest Allocate would be more than three times as
/// long.
pub const MAX_REALM: usize = 28;

/// How many datagrams wait to be polled; what comes while there are so many is dropped.
pub const MAX_QUEUED: usize = 1_024;

/// How many events wait to be polled; while there are so many, Allocate requests are dropped.
pub const MAX_EVENTS: usize = 4_096;

/// What the server asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Bind a UDP socket to this address, and answer with [`Server::handle_bound`].
    Bind(SocketAddr),
    /// The socket that is bound to this address is not needed any more.
    Unbind(SocketAddr),
}

/// A TURN server.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    policy: Policy,
    users: Users,
    nonces: Nonces,
    prefixes: PrefixLimit,
    table: Table,
    queue: VecDeque<Outgoing>,
    events: VecDeque<Event>,
    clock: WallClock,
    rng: Rng,
    stats: Stats,
    now: Instant,
}

impl Server {
    /// A server. `clock` tells which time-limited credentials are over.
    ///
    /// # Errors
    /// If the configuration names nothing to relay from, nobody to relay for, or a realm that is too long.
    pub fn new(config: ServerConfig, clock: WallClock, mut rng: Rng) -> Result<Self, ServerConfigError> {
        config.check()?;
        Ok(Self {
            policy: Policy::new(&config),
            users: Users::new(&config),
            nonces: Nonces::new(rng.array(), config.nonce_lifetime),
            prefixes: PrefixLimit::new(rng.u64(), config.unauthenticated_per_second),
            table: Table::default(),
            queue: VecDeque::with_capacity(MAX_QUEUED),
            events: VecDeque::new(),
            now: clock.instant,
            config,
            clock,
            rng,
            stats: Stats::default(),
        })
    }

    /// Takes a datagram: one from a client, to an address that the server listens on, or one from a peer, to a relay. Of
    /// a stream it is a whole message.
    pub fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        let now = self.tick(meta.at);
        let path = meta.path;
        if path.transport == Transport::Udp
            && let Some(id) = self.table.by_relay(path.local)
        {
            self.on_peer(now, id, path, datagram);
        } else if crate::channel_data::is_channel_data(&datagram) {
            self.on_channel_data(now, path, datagram);
        } else {
            self.on_stun(now, path, datagram);
        }
    }

    /// The answer to [`Event::Bind`].
    #[allow(clippy::result_unit_err, reason = "why an address cannot be bound makes no difference here")]
    pub fn handle_bound(&mut self, now: Instant, relay: SocketAddr, bound: Result<(), ()>) {
        let now = self.tick(now);
        self.on_bound(now, relay, bound);
    }

    /// A client's stream is closed: its allocation goes with it.
    pub fn handle_disconnected(&mut self, now: Instant, path: Path) {
        let _ = self.tick(now);
        if let Some(id) = self.table.by_path(path) {
            self.remove(id);
        }
    }

    /// Says whether a client's stream can take more. What is relayed to a blocked one is dropped.
    pub fn handle_writable(&mut self, path: Path, writable: bool) {
        if let Some(allocation) = self.table.by_path(path).and_then(|id| self.table.get_mut(id)) {
            allocation.blocked = !writable;
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        while let Some(id) = self.table.next_expired(now) {
            self.stats.expired = self.stats.expired.saturating_add(1);
            self.remove(id);
        }
    }

    /// Appends what goes out next: datagrams of one size for one path, as many as there are in a row, up to
    /// `max_segments`.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: usize,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let _ = self.tick(now);
        self.poll_queue(max_segments, out)
    }

    /// What the server asks for.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.table.next_expiry()
    }

    /// True if there is an allocation for this path.
    pub fn is_allocated(&self, path: Path) -> bool {
        self.table.by_path(path).is_some()
    }

    /// How many allocations there are.
    pub fn allocations(&self) -> usize {
        self.table.len()
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn tick(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// Ends an allocation and its relays.
    fn remove(&mut self, id: table::AllocationId) {
        if let Some(allocation) = self.table.remove(id) {
            tracing::debug!(path = ?allocation.path, user = %allocation.user, "allocation ended");
            for relay in allocation.relays() {
                self.events.push_back(Event::Unbind(relay));
            }
        }
    }
}

/// Counts one more.
fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
