//! The vocabulary that every protocol machine of taut speaks.
//!
//! No protocol knowledge lives here, no clock, no socket and no global randomness: only the words that all
//! machines share. [`codec`] reads the wire, [`net`] names paths and datagrams, [`time`] ties virtual time to
//! the wall clock, [`seq`] is serial-number arithmetic, [`replay`] the window against replays, and [`rng`] is the one
//! seeded source of randomness.
//!
//! # The contract of a machine
//!
//! - Calls may come in any order and any number before polling; nothing breaks and nothing is lost that a bound
//!   does not say.
//! - `now` never decreases; an older value counts as the newest seen. An early `handle_timeout` does nothing.
//! - `poll_transmit` is where outgoing bytes are made. It appends to `out` and is called until it returns `None`.
//! - `poll_timeout` is a pure read. After a `handle_*` or a command, poll in the order transmit, event, timeout.
//! - `handle_*` returns nothing, except where a layer unwraps and the return value is the inner packet. Bad input
//!   is dropped, counted and logged at trace level.
//! - Commands return a `Result` with that command's own small error. The end is one `Event::Closed(CloseReason)`.

pub mod codec;
pub mod net;
pub mod replay;
pub mod rng;
pub mod seq;
pub mod time;
