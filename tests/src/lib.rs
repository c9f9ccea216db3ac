//! Tests of taut from outside: the binary as a user starts it, browsers, and the shape of the workspace.
//!
//! This library holds what those tests share. They are in `tests/`: `dag.rs` (which crate may use which), `cli.rs` (the
//! binary and its HTTP interface) and `browser.rs` (Chromium, when `TAUT_INTEROP=1` is set).

#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

pub mod http;
pub mod namespace;
pub mod process;
pub mod workspace;
