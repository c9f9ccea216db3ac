//! A simulated network with virtual time, for tests of sans-IO protocol machines.
//!
//! A [`World`] is a set of nodes, the [`Link`]s between them, the [`Nat`]s in front of them, one virtual clock and
//! one seed. The same seed and the same nodes give the same run, datagram for datagram: see
//! [`World::trace_hash`]. A failure names the seed, and [`World::pcap`] writes what was sent to a file.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use bytes::BytesMut;
//! use taut_netsim::{Link, Node, World};
//! use taut_sansio::net::{Path, Received, Transmit};
//!
//! /// Answers every datagram with the same octets.
//! #[derive(Default)]
//! struct Echo(Vec<(Path, BytesMut)>);
//!
//! impl Node for Echo {
//!     fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
//!         self.0.push((meta.path, datagram));
//!     }
//!     fn handle_timeout(&mut self, _now: Instant) {}
//!     fn poll_transmit(&mut self, _now: Instant, _max_segments: usize, out: &mut Vec<u8>) -> Option<Transmit> {
//!         let (path, octets) = self.0.pop()?;
//!         out.extend_from_slice(&octets);
//!         Some(Transmit::single(path, octets.len()))
//!     }
//!     fn poll_timeout(&self) -> Option<Instant> {
//!         None
//!     }
//! }
//!
//! let mut world = World::new(7);
//! let a = world.add_node(Echo::default(), &["192.0.2.1".parse().unwrap()]);
//! let b = world.add_node(Echo::default(), &["192.0.2.2".parse().unwrap()]);
//! world.set_default_link(Link::default().latency(Duration::from_millis(20)));
//! let path = Path::udp("192.0.2.1:1000".parse().unwrap(), "192.0.2.2:2000".parse().unwrap());
//! world.node_mut(a).0.push((path, BytesMut::from(&b"ping"[..])));
//! world.run_for(Duration::from_millis(50));
//! assert_eq!(world.stats().delivered, 2, "there and back");
//! # let _ = b;
//! ```

mod clock;
mod link;
mod loss;
mod nat;
mod node;
mod pcap;
mod world;

pub use link::Link;
pub use loss::Loss;
pub use nat::{Dependence, Nat, NatKind};
pub use node::{Node, NodeId};
pub use world::{MULTICAST_GROUPS, NatId, Stats, StreamEvent, StreamRequest, World};
