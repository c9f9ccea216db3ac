//! Session descriptions (RFC 8866) for WebRTC: parse, build and write.
