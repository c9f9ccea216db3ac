//! DTLS sessions for WebRTC (RFC 8827, RFC 5764), without I/O.
