//! STUN (RFC 8489): messages, integrity, client transactions.
//!
//! - [`Message`] is a checked view over a received datagram: parsing allocates nothing, and [`Message::verify`]
//!   checks MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 with a [`Key`] whose HMAC state is kept.
//! - [`Builder`] appends a message to the caller's buffer.
//! - [`attribute`] has a file per family. A new attribute is a type with the trait [`Attribute`]; nothing else in
//!   this crate needs to know it.
//! - [`Transaction`] is the retransmission timer of one request (section 6.2.1).
//! - [`behavior`] finds out how the translators on the way to a server behave (RFC 5780).
//! - [`binding`] is a client that learns and keeps a server-reflexive address, and the answer of a binding server.
//!
//! What a datagram is, is decided by its first octet (RFC 7983) and, for STUN, the magic cookie: [`is_stun`].
//!
//! The machines [`binding::Client`] and [`behavior::Discovery`] keep the contract of `taut_sansio`: calls in any order, time as an argument,
//! bad input dropped and counted.

pub mod attribute;
pub mod behavior;
pub mod binding;
mod builder;
mod fingerprint;
mod hmac_sha1;
mod integrity;
mod message;
mod transaction;

pub use attribute::{Attribute, AttributeType, RawAttribute};
pub use builder::Builder;
pub use fingerprint::Fingerprint;
pub use integrity::{Algorithm, IntegrityError, Key};
pub use message::{
    Attributes, Class, HEADER_LEN, MAGIC_COOKIE, Message, Method, ParseError, TransactionId, is_stun,
};
pub use transaction::{Retransmission, Step, Transaction};
