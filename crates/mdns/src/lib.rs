//! Multicast DNS (RFC 6762) for WebRTC host candidates, without I/O.
