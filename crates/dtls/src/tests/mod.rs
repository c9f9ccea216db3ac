//! Sessions against each other, in virtual time.
#![allow(clippy::disallowed_methods, reason = "a starting point for virtual time")]

mod figures;
mod handshake;
mod hostile;
mod lifecycle;
mod openssl;
mod pair;
mod world;
