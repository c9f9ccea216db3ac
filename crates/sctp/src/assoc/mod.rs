//! The procedures of an association, a file each.

pub(crate) mod abort;
pub(crate) mod cookie;
pub(crate) mod handshake;
pub(crate) mod heartbeat;
pub(crate) mod incoming;
pub(crate) mod mtu_probe;
pub(crate) mod outgoing;
pub(crate) mod reconfig;
pub(crate) mod shutdown;
pub(crate) mod timeout;
pub(crate) mod write;
