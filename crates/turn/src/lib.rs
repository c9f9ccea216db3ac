//! TURN (RFC 8656), without I/O: relays for those who cannot reach each other.
//!
//! - [`Client`] keeps an allocation on one server, over datagrams or a stream: the long-term mechanism with both password
//!   algorithms, redirects, permissions, channels, both address families; an allocation that was lost is asked for again.
//! - [`server`] is the other end.
//! - [`Deframer`] cuts a stream into messages.
//! - [`ChannelData`] is the four octets before most of what is relayed.
//!
//! The machines keep the contract of `taut_sansio`: calls may come in any order; `now` never decreases, an older value
//! counts as the newest seen; bytes are made in `poll_transmit`; bad input is dropped and counted.
//!
//! # Bounds of the client
//!
//! | What | Bound | When it is hit |
//! |---|---|---|
//! | permissions | [`MAX_PERMISSIONS`] | further ones are not asked for |
//! | channels | [`MAX_CHANNELS`] | further peers are sent to by indications |
//! | channels that were forgotten | [`MAX_CHANNELS`] | the number of the oldest is forgotten, too |
//! | requests under way | [`MAX_REQUESTS`] | further ones wait |
//! | events not yet polled | [`MAX_EVENTS`] | the oldest goes |
//! | a message of a stream that is not complete | [`MAX_PARTIAL`] | cannot be hit: the length has 16 bits |

mod channel_data;
mod client;
mod credentials;
mod known;
pub mod server;
mod stream;

pub use channel_data::{ChannelData, ChannelNumber, ParseError, is_channel_data};
pub use client::{
    Client, ClientConfig, ClientStats, CloseReason, Envelope, Event, Families, LossReason, MAX_CHANNELS,
    MAX_EVENTS, MAX_PERMISSIONS, MAX_REQUESTS, Relayed,
};
pub use credentials::Credentials;
pub use stream::{Deframer, MAX_PARTIAL, NotTurn};
