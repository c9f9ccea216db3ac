//! DTLS sessions for WebRTC (RFC 8827, RFC 5764, RFC 8842), without I/O.
//!
//! A [`Session`] is one DTLS association, 1.2 (RFC 6347) or 1.3 (RFC 9147), over one path. It authenticates the
//! other side by the fingerprints of its session description (RFC 8122), and by nothing else. Not one octet of
//! application data and not one SRTP key leaves it before that check held: both come with, or after, the
//! [`VerifiedPeer`] of [`Event::Connected`].
//!
//! # The contract of a session
//!
//! - Calls may come in any order and any number before polling; nothing breaks and nothing is lost that a bound
//!   does not say. `now` never decreases; an older value counts as the newest seen.
//! - [`Session::poll_transmit`] gives the datagrams of the handshake and the closing alert, and is called until it
//!   returns `None`. Application data goes through [`Session::seal`], one record per call, and comes out of
//!   [`Session::poll_plaintext`], which is called after every [`Session::handle_packet`] until it returns `None`.
//! - [`Session::poll_timeout`] is a pure read. After a `handle_*` or a command, poll in the order transmit, event,
//!   timeout.
//! - What the network sends can never produce an `Err`. Bad input is dropped, counted in [`Session::stats`] and
//!   logged at trace level. The end is one [`Event::Closed`].
//!
//! # The filter
//!
//! One forged datagram can end the engines of today, so every incoming datagram passes the record filter first: it
//! drops what the state of the handshake does not call for, puts the first flight in order, and bounds what is
//! held. A handshake that dies all the same, of something nobody had authenticated, is restarted once.
//!
//! # Engines
//!
//! Two implementations of the protocol are built in by default, and are chosen per session with
//! [`Config::with_engine`]; OpenSSL is the default where it is built in:
//!
//! | | OpenSSL | dimpl |
//! | --- | --- | --- |
//! | features | `vendored` (default), `openssl` | `dimpl` (default) |
//! | versions | 1.2 | 1.2, 1.3 |
//! | certificates of this side | ECDSA on P-256, RSA | ECDSA on P-256 |
//! | certificates of the other side | ECDSA, RSA, Ed25519 | ECDSA |
//! | SRTP profiles | those of the configuration, in their order | all, in its own order |
//! | key log | yes | no |
//!
//! The feature `openssl` takes the OpenSSL of the system, 1.1.1 or newer; `vendored` builds one from source instead. With
//! neither, no OpenSSL is compiled. OpenSSL does the handshake only: the records after it are protected here, with the keys
//! that came of it. Both engines run in the time that the session is told. What an engine cannot do is an
//! error of [`Session::new`], and so is an engine that is not built in.

#![cfg_attr(
    not(any(feature = "dimpl", feature = "openssl")),
    allow(dead_code, unused_imports, unused_variables, reason = "without an engine no session can be made")
)]

mod assembly;
mod certificate;
mod config;
mod engine;
mod filter;
mod fingerprint;
mod hello;
mod order;
mod outgoing;
mod peer;
mod record;
mod session;
mod stats;
#[cfg(test)]
mod tests;

pub use certificate::{Certificate, CertificateError};
pub use config::{Config, Engine, ParseEngineError, Role, SrtpProfile, Version};
pub use fingerprint::{Fingerprint, HashAlgorithm, ParseFingerprintError};
pub use peer::{CloseReason, Event, HandshakeFailure, SealError, SessionError, SrtpKeys, VerifiedPeer};
pub use session::{Session, State};
pub use stats::Stats;
