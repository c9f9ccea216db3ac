//! Paths and datagrams: what a machine that knows addresses is told, and what it answers.

use std::net::SocketAddr;
use std::time::Instant;

/// How octets travel between two addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A TCP stream with a framing of its own (RFC 4571, or STUN's).
    Tcp,
    /// A TLS stream over TCP.
    Tls,
}

/// A way from a local to a remote address. The local address is that of a socket, never unspecified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// How octets travel.
    pub transport: Transport,
    /// The address of the local socket.
    pub local: SocketAddr,
    /// The address of the other side, as this host sees it.
    pub remote: SocketAddr,
}

impl Path {
    /// A UDP path.
    pub fn udp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { transport: Transport::Udp, local, remote }
    }
}

/// Explicit congestion notification, the two low bits of the traffic class (RFC 3168).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// ECN-capable transport, codepoint 01.
    Ect1,
    /// ECN-capable transport, codepoint 10.
    Ect0,
    /// Congestion experienced, codepoint 11.
    Ce,
}

/// What is known of a datagram that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// When it came.
    pub at: Instant,
    /// Where it came from, and to which socket.
    pub path: Path,
    /// Its congestion mark.
    pub ecn: Option<Ecn>,
}

/// A batch of octets to send, appended to the caller's buffer.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub path: Path,
    /// How many octets were appended.
    pub len: usize,
    /// When several datagrams were appended: the length of each but the last, which may be shorter.
    pub segment_size: Option<usize>,
    /// The congestion mark to set.
    pub ecn: Option<Ecn>,
    /// True for a path-MTU probe: it must not be fragmented, and its loss means nothing.
    pub mtu_probe: bool,
}

impl Transmit {
    /// One datagram of `len` octets.
    pub fn single(path: Path, len: usize) -> Self {
        Self { path, len, segment_size: None, ecn: None, mtu_probe: false }
    }
}
