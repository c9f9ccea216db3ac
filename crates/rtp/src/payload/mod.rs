//! Payload formats: pure packetizers and depacketizers, a file per codec.

pub mod opus;
pub mod vp8;
