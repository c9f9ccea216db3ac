//! What a machine has to be to live in a [`World`](crate::World).

use std::fmt;
use std::time::Instant;

use bytes::BytesMut;
use taut_sansio::net::{Received, Transmit};

use crate::world::{StreamEvent, StreamRequest};

/// A machine in a [`World`](crate::World); the methods are those of every machine that knows addresses.
pub trait Node {
    /// A datagram came in.
    fn handle_datagram(&mut self, meta: Received, datagram: BytesMut);
    /// The time that [`poll_timeout`](Self::poll_timeout) asked for has come.
    fn handle_timeout(&mut self, now: Instant);
    /// Appends datagrams for one path to `out`; called until it returns `None`.
    fn poll_transmit(&mut self, now: Instant, max_segments: usize, out: &mut Vec<u8>) -> Option<Transmit>;
    /// When to call [`handle_timeout`](Self::handle_timeout).
    fn poll_timeout(&self) -> Option<Instant>;
    /// What the node wants of streams; polled after transmits, until there is nothing. Most nodes have none.
    fn poll_stream(&mut self) -> Option<StreamRequest> {
        None
    }
    /// Something happened to a stream.
    fn handle_stream(&mut self, _at: Instant, _event: StreamEvent) {}
}

impl<T: Node + ?Sized> Node for Box<T> {
    fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        (**self).handle_datagram(meta, datagram);
    }
    fn handle_timeout(&mut self, now: Instant) {
        (**self).handle_timeout(now);
    }
    fn poll_transmit(&mut self, now: Instant, max_segments: usize, out: &mut Vec<u8>) -> Option<Transmit> {
        (**self).poll_transmit(now, max_segments, out)
    }
    fn poll_timeout(&self) -> Option<Instant> {
        (**self).poll_timeout()
    }
    fn poll_stream(&mut self) -> Option<StreamRequest> {
        (**self).poll_stream()
    }
    fn handle_stream(&mut self, at: Instant, event: StreamEvent) {
        (**self).handle_stream(at, event);
    }
}

/// A node of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) usize);

impl NodeId {
    #[cfg(test)]
    pub(crate) fn for_tests(index: usize) -> Self {
        Self(index)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}
