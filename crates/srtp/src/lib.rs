//! SRTP and SRTCP (RFC 3711; AES-GCM of RFC 7714): protecting and unprotecting packets in place.
//!
//! [`Outbound`] protects with the keys of this side, [`Inbound`] unprotects with those of the other; DTLS gives both
//! (RFC 5764 section 4.2). Both are pure: no time, no randomness. Cipher contexts are keyed once and kept.
//!
//! What is promised, each with a test:
//!
//! - State is touched only after the tag of a packet held: a forged packet changes nothing, and a source that never
//!   sent an authentic packet takes no memory. At most [`MAX_SOURCES`] sources are kept for each of RTP and RTCP.
//! - Each source has its own rollover counter and its own replay window of 128 packets, for RTP and for RTCP.
//! - No packet index is used twice under a key: a repeated sequence number is refused, the window is kept for the life
//!   of the key when a sender goes from one source to another and back, and at the last index protecting stops.
//!
//! A sender starts its sequence numbers in 0..=32767 (RFC 3711 section 3.3.1): then a receiver cannot be wrong about
//! the rollover counter when the first packets are lost. A receiver here also tries a counter of one for the first
//! packet of a source, so that it follows a sender that did not.
//!
//! Errors of [`Inbound`] are for counting: the packet is dropped and nothing else happens.

mod cipher;
mod error;
mod kdf;
mod profile;
mod replay;
mod rtcp;
mod rtp;
mod session;
#[cfg(test)]
mod vectors;

pub use error::{KeyError, ProtectError, UnprotectError};
pub use profile::Profile;
pub use session::{Inbound, Outbound};

/// How many sources (SSRCs) a session keeps state of, for each of RTP and RTCP. Packets of a further source are refused:
/// to forget one would be to forget which of its indices were used.
pub const MAX_SOURCES: usize = 1_024;
