//! RTP media sessions: jitter buffer, repair, reports and frames, without I/O.
//!
//! A [`Session`] is all media of one transport. It takes RTP packets and RTCP compounds in the clear, and gives
//! frames or repaired packets; it takes frames or packets to forward, and gives RTP and RTCP to protect and send.
//! It knows no addresses and no keys.
//!
//! - Receiving is one function that runs a packet through the stages of its source, `receive/stream.rs`: sequence
//!   numbers, clock, requests for what is missing (RFC 4585), order, frames, reports (RFC 3550). Retransmissions
//!   (RFC 4588) are turned back into what was lost and join at the same point.
//! - Sending cuts frames into packets without copying them, keeps them for a while, and answers requests within
//!   limits.
//! - Every table that the network can grow has a bound, see `limits.rs`.
//!
//! After a call of a `handle_*` method or a command, poll in the order [`Session::poll_rtcp`],
//! [`Session::poll_rtp`], [`Session::poll_event`], [`Session::poll_timeout`].

mod config;
mod error;
mod forwarding;
mod frame;
mod limits;
mod receive;
mod report;
mod send;
mod session;
mod stats;

pub use config::{
    Codec, CodecConfig, Config, Kind, Mode, ReceiverConfig, ReceiverId, SenderConfig, SenderId,
};
pub use error::SendError;
pub use frame::Frame;
pub use session::{Event, Session};
pub use stats::{ReceiverStats, RemoteInbound, RemoteOutbound, SenderStats, Stats};
