//! WebRTC data channels (RFC 8831, RFC 8832), without I/O.
