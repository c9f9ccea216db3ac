//! WebRTC data channels (RFC 8831, RFC 8832), without I/O.
//!
//! A [`Session`] owns the SCTP association of one DTLS connection and the channels on it. It puts messages together,
//! opens channels with DCEP, and closes them with stream resets.
//!
//! # The contract
//!
//! - Calls may come in any order and any number before polling; nothing breaks and nothing is lost that a bound
//!   does not say.
//! - `now` never decreases; an older value counts as the newest seen. An early `handle_timeout` does nothing.
//! - `poll_transmit` is where outgoing bytes are made. It appends to `out` and is called until it returns `None`.
//! - `poll_timeout` is a pure read. After a `handle_*` or a command, poll in the order transmit, event, timeout;
//!   reading messages may make something to transmit.
//! - `handle_*` returns nothing: what is malformed, forged, unexpected or unaffordable is dropped, counted in
//!   [`Stats`] and logged at trace level.

mod channel;
mod config;
mod dcep;
mod session;
mod types;

pub use channel::{Channel, ChannelState};
pub use config::{ChannelInit, Config, Priority, Timing};
pub use session::Session;
pub use taut_sctp::{CongestionAlgorithm, Scheduler};
pub use types::{
    ChannelId, CloseReason, Event, Message, MessageKind, MessagePart, OpenError, RemoteParameters, Role,
    SendError, Stats,
};
