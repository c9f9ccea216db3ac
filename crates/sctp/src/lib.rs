//! SCTP (RFC 9260) for WebRTC data channels, without I/O.
