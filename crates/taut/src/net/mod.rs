//! Everything that touches the operating system: interfaces, sockets, the endpoint that connections share, multicast
//! DNS and name resolution. No other module of the crate opens a socket.

pub(crate) mod endpoint;
pub(crate) mod inbox;
pub(crate) mod interfaces;
mod mdns;
pub(crate) mod resolve;
mod router;
pub(crate) mod sockets;

pub use endpoint::{Endpoint, EndpointStats};
