//! Tests of taut from outside: the binary as a user starts it, browsers, and the shape of the workspace.
//!
//! This library holds what those tests share. They are in `tests/`: `dag.rs` (which crate may use which), `cli.rs` (the
//! binary and its HTTP interface), and the tests with real clients, which run when `TAUT_INTEROP` is set: `browser.rs` (the
//! page, in Chromium and Firefox), `matrix.rs` (both browsers and aiortc, each task in each role), `recording.rs` (a recorded
//! call, looked at with ffmpeg), `turn.rs` (calls through coturn and through `taut turn-server`), `kernel_nat.rs` (calls
//! between hosts behind routers that translate addresses) and `soak.rs` (hundreds of sessions).

#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

pub mod beats;
pub mod http;
pub mod interop;
pub mod namespace;
pub mod process;
pub mod scratch;
pub mod turn;
pub mod workspace;
