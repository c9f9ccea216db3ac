//! What a connection has of an endpoint.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use taut_sansio::net::{Path, Transmit};

use super::{Endpoint, Inner, Kind, lock};
use crate::net::inbox::Inbox;
use crate::net::mdns;
use crate::net::router::{ConnectionId, RouteError};
use crate::net::sockets::{Batch, Sent, Socket};
use crate::net::tcp::Arrival;

/// One connection's place in an endpoint. Dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(in crate::net) inner: Arc<Inner>,
    pub(super) id: ConnectionId,
    pub(super) inbox: Arc<Inbox>,
    /// The sockets that it sends through.
    pub(in crate::net) sockets: Vec<Arc<Socket>>,
    /// The local addresses that the connection uses.
    pub(in crate::net) used: Vec<SocketAddr>,
    /// The TCP listeners that the connection uses.
    pub(in crate::net) listening: Vec<SocketAddr>,
    /// The addresses of the host when it was last looked.
    pub(in crate::net) listed: Vec<IpAddr>,
}

impl Registration {
    /// Says which of the listeners the connection uses.
    pub(crate) fn with_listeners(mut self, listening: Vec<SocketAddr>) -> Self {
        self.listening = listening;
        self
    }

    /// Takes what came in, see [`Inbox::take`].
    pub(crate) fn take(&self, batches: &mut VecDeque<Batch>, lost: &mut Vec<SocketAddr>) {
        self.inbox.take(batches, lost);
    }

    /// Takes what is to be known of TCP connections, see [`Inbox::take_arrivals`].
    pub(crate) fn take_arrivals(&self, arrivals: &mut VecDeque<Arrival>) {
        self.inbox.take_arrivals(arrivals);
    }

    /// Where whoever else receives for this connection puts it.
    pub(crate) fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }

    /// Makes a path a route.
    ///
    /// # Errors
    ///
    /// If another connection has it, or this one too many.
    pub(crate) fn add_route(&self, path: Path) -> Result<(), RouteError> {
        let added = lock(&self.inner.router).add_route(self.id, path);
        self.refused(path, added)
    }

    /// What is sent next, so that answers find back.
    ///
    /// # Errors
    ///
    /// If another connection has the path.
    pub(crate) fn note_sent(&self, transmit: &Transmit, contents: &[u8]) -> Result<(), RouteError> {
        if self.inner.kind != Kind::Shared || transmit.segment_size.is_some() {
            return Ok(());
        }
        let noted = lock(&self.inner.router).note_sent(self.id, &transmit.path, contents);
        self.refused(transmit.path, noted)
    }

    fn refused(&self, path: Path, result: Result<(), RouteError>) -> Result<(), RouteError> {
        if let Err(error) = result {
            self.inner.counters.routes_refused.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, ?path, "path refused");
        }
        result
    }

    pub(crate) fn remove_route(&self, path: Path) {
        lock(&self.inner.router).remove_route(self.id, path);
    }

    /// Where the connection says what is for it.
    pub(crate) fn claims(&self) -> Claims {
        Claims { inner: self.inner.weak.clone(), id: self.id }
    }

    /// How many datagrams one system call can send from this address.
    pub(crate) fn max_segments(&self) -> usize {
        // Without a socket, all goes over TCP, where any number may.
        self.sockets.iter().map(|socket| socket.max_segments()).max().unwrap_or(usize::MAX)
    }

    /// Sends datagrams.
    pub(crate) fn send(&self, transmit: &Transmit, contents: &[u8]) -> Sent {
        if mdns::is_multicast(transmit.path.local) {
            if let Some(multicast) = lock(&self.inner.multicast).as_ref() {
                multicast.send(transmit.path.remote, contents);
            }
            return Sent { octets: contents.len(), blocked: false, refused: 0 };
        }
        let sent = match self.socket(transmit.path.local) {
            Some(socket) => socket.send(transmit, contents),
            None => Sent { octets: contents.len(), blocked: false, refused: 1 },
        };
        self.inner.counters.refused.fetch_add(sent.refused, Ordering::Relaxed);
        sent
    }

    /// The socket that datagrams from this address leave through.
    pub(crate) fn socket(&self, local: SocketAddr) -> Option<&Arc<Socket>> {
        self.sockets.iter().find(|socket| socket.serves(local))
    }
}

/// What must be in place before the other side can know of it, which is as soon as a description or a candidate is handed out: a TCP
/// connection whose check came sooner would be closed, and browsers ask for a name under `.local` only once.
#[derive(Debug)]
pub(crate) struct Claims {
    inner: Weak<Inner>,
    id: ConnectionId,
}

impl Claims {
    /// Checks with this ufrag are for the connection.
    pub(crate) fn add_ufrag(&self, ufrag: &str) {
        if let Some(inner) = self.inner.upgrade() {
            lock(&inner.router).add_ufrag(self.id, ufrag);
        }
    }

    /// Checks with this ufrag are no longer for the connection.
    pub(crate) fn remove_ufrag(&self, ufrag: &str) {
        if let Some(inner) = self.inner.upgrade() {
            lock(&inner.router).remove_ufrag(self.id, ufrag);
        }
    }

    /// What the connection is on, as long as its driver is there.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        self.inner.upgrade().map(|inner| Endpoint { inner })
    }

    /// The connection hears multicast DNS. Where there is no multicast, names ending in `.local` are neither resolved nor answered
    /// for.
    pub(crate) fn want_multicast(&self) {
        if let Some(inner) = self.inner.upgrade() {
            lock(&inner.router).want_multicast(self.id);
            if let Err(error) = inner.open_multicast() {
                tracing::debug!(%error, "no multicast DNS");
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.inner.router).remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use taut_stun::attribute::Username;
    use taut_stun::{Builder, Class, Method, TransactionId};

    use super::lock;
    use crate::net::mdns::Multicast;
    use crate::{Configuration, DataChannelInit, Endpoint, Loopback, PeerConnection};

    #[tokio::test]
    async fn a_ufrag_is_claimed_before_the_other_side_can_know_it() {
        let endpoint = Endpoint::bind(&[([127, 0, 0, 1], 0).into()]).unwrap();
        let config = Configuration::default().with_loopback(Loopback::Always);
        let (pc, _events) = PeerConnection::with_endpoint(config, &endpoint).unwrap();
        let _channel = pc.create_data_channel("x", DataChannelInit::default()).unwrap();
        // There is one thread, and nothing here lets the driver run on it.
        pc.set_local_description(None).await.unwrap();
        let sdp = pc.local_description().unwrap().sdp;
        let ufrag = sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap();
        let mut check = Vec::new();
        Builder::new(&mut check, Class::Request, Method::BINDING, TransactionId([1; 12]))
            .push(&Username::new(&format!("{ufrag}:them")))
            .finish()
            .unwrap();
        assert!(lock(&endpoint.inner.router).by_check(&check).is_some());
    }

    #[tokio::test]
    async fn multicast_dns_is_heard_before_the_other_side_can_know_a_name() {
        let endpoint = Endpoint::bind(&[([0, 0, 0, 0], 0).into()]).unwrap();
        if let Err(error) = Multicast::open() {
            eprintln!("SKIPPED: no multicast DNS here: {error}");
            return;
        }
        let config = Configuration::default().with_loopback(Loopback::Always).with_hide_addresses(true);
        let (pc, _events) = PeerConnection::with_endpoint(config, &endpoint).unwrap();
        let _channel = pc.create_data_channel("x", DataChannelInit::default()).unwrap();
        // There is one thread, and nothing here lets the driver run on it.
        pc.set_local_description(None).await.unwrap();
        assert!(pc.local_description().unwrap().sdp.contains(".local "));
        assert!(endpoint.inner.multicast().is_some());
        assert_eq!(lock(&endpoint.inner.router).multicast().count(), 1);
    }
}
