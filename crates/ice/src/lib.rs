//! Interactive Connectivity Establishment (RFC 8445), without I/O.
