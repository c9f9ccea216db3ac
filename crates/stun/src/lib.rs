//! STUN (RFC 8489): messages, integrity, client transactions.
