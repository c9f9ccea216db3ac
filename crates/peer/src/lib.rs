//! The sans-IO WebRTC peer connection: where the protocol crates meet.
