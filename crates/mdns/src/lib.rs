//! Multicast DNS (RFC 6762, message format of RFC 1035) without I/O, for the names of WebRTC host candidates: a
//! [`Querier`] that resolves `<uuid>.local` to an address, and a [`Responder`] that answers for names of our own.
//!
//! The contract of a machine holds (see `taut-sansio`): calls may come in any order, `now` never decreases and an older
//! value counts as the newest seen, what comes in never makes an error and never panics, `poll_transmit` is called
//! until it gives `None`, and after a call one polls transmit, event, timeout. Every query gives exactly one [`Event`].
//!
//! The caller opens a socket on [`LOCAL_V4`] that has joined the group of [`GROUP_V4`], and one on [`LOCAL_V6`] that has
//! joined that of [`GROUP_V6`]; one of them may be missing. It sends what `poll_transmit` appends to where it says, from the
//! socket of that family, and hands in what comes in **from hosts on the link** (RFC 6762 section 11: only the caller knows the
//! networks of its interfaces). The querier is given what comes **from port 5353** (section 6: responses from another port are to
//! be ignored), the responder everything, with the source.
//!
//! The two groups are two networks (section 20): what is asked in one is answered there, whatever the family of the address.

mod name;
mod querier;
mod responder;
mod wire;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use querier::{Event, MAX_QUERIES, Querier, QueryId, Stats};
pub use responder::{MAX_NAMES, MAX_UNICAST, RegisterError, Responder, ResponderStats};

/// The port of multicast DNS (RFC 6762 section 3).
const PORT: u16 = 5353;

/// Where the socket for IPv4 is bound.
pub const LOCAL_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);

/// Where the socket for IPv6 is bound.
pub const LOCAL_V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), PORT);

/// The group of IPv4 that questions go to and answers come from (RFC 6762 section 3).
pub const GROUP_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251)), PORT);

/// The same of IPv6.
pub const GROUP_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb)), PORT);

/// Both groups.
const GROUPS: [SocketAddr; 2] = [GROUP_V4, GROUP_V6];

/// The socket from which datagrams for this address leave.
pub fn local_for(remote: SocketAddr) -> SocketAddr {
    if remote.is_ipv4() { LOCAL_V4 } else { LOCAL_V6 }
}
