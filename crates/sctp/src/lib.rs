//! SCTP (RFC 9260) for WebRTC data channels, without I/O.
//!
//! One [`Association`] lives inside one DTLS connection (RFC 8261): no addresses, no multihoming. It does partial
//! reliability (RFC 3758) and stream reset (RFC 6525), mixes messages of different streams and schedules them (RFC
//! 8260), goes without checksums where DTLS has better ones (RFC 9653), finds losses by time and by probes (RFC
//! 8985), and how large packets may be (RFC 8899).
//!
//! What it holds of received data, all that it takes to keep it in order included, is at most the receive window and
//! 256 KiB, whatever the other side sends.
//!
//! # The contract
//!
//! - Calls may come in any order and any number before polling; nothing breaks and nothing is lost that a bound
//!   does not say.
//! - `now` never decreases; an older value counts as the newest seen. An early `handle_timeout` does nothing.
//! - `poll_transmit` is where outgoing bytes are made. It appends to `out` and is called until it returns `None`.
//! - `poll_timeout` is a pure read. After a `handle_*` or a command, poll in the order transmit, read, event,
//!   timeout.
//! - `handle_*` returns nothing: what is malformed, forged, unexpected or unaffordable is dropped, counted in
//!   [`Stats`] and logged at trace level. The end is one [`Event::Closed`].

mod assoc;
mod association;
mod config;
mod packet;
mod path_mtu;
mod rx;
mod stats;
mod steps;
#[cfg(test)]
mod tests;
mod timer;
mod tx;
mod types;

pub use association::Association;
pub use config::{Config, CongestionAlgorithm, Scheduler};
pub use rx::Chunk;
pub use stats::Stats;
pub use types::{
    Accounting, AddStreamsError, CloseReason, Event, Ordering, Reliability, ResetError, State, StreamId,
    WriteError, WriteOptions,
};
