//! A WebRTC stack in Rust: the W3C peer connection API on tokio.
