//! Everything that touches the operating system: interfaces and their changes, sockets, the endpoint that connections share,
//! multicast DNS, name resolution, streams to TURN servers and the proxies on their way, TCP connections, a TURN server's sockets, and that of NAT
//! behaviour discovery. No other module of the crate opens a socket.

pub(crate) mod endpoint;
mod failures;
mod follow;
pub(crate) mod inbox;
pub(crate) mod interfaces;
mod mdns;
mod nat;
mod proxy;
pub(crate) mod resolve;
pub(crate) mod router;
pub(crate) mod sockets;
pub(crate) mod streams;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod turn_server;
pub(crate) mod watch;

pub use endpoint::{Endpoint, EndpointStats};
pub use nat::discover_nat;
pub use turn_server::{TurnServer, TurnServerOptions};
