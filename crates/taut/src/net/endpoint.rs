//! The endpoint: a set of sockets that many connections can share, with the tasks that receive from them.

mod registration;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

pub(crate) use self::registration::{Claims, Registration};
use super::failures::{Failures, Verdict};
use super::follow::on_wildcards;
use super::inbox::Inbox;
use super::interfaces::Interface;
use super::mdns::Multicast;
use super::router::Router;
use super::sockets::{Batch, Slab, Socket};
use crate::error::{Error, ErrorKind};
use crate::{Configuration, IceServerKind, IceTcpPolicy, TurnTransport};

/// After how many system calls a receiving task lets others run.
const CALLS_PER_TURN: u32 = 4;

/// A set of UDP sockets that many connections share, for instance one port for a whole server.
///
/// Every [`PeerConnection`](crate::PeerConnection) that is made with [`with_endpoint`](crate::PeerConnection::with_endpoint)
/// keeps the sockets open; they are closed when the last connection and the last handle are gone. A datagram goes to
/// the connection whose path it came on. A path belongs to a connection once it has authenticated the other side, and
/// to one connection only: DTLS and SRTP do not say which connection they are for. So two endpoints with one socket each
/// have one connection between them; the next one fails with [`IceVerdict::PathTaken`](crate::IceVerdict::PathTaken).
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub(super) inner: Arc<Inner>,
}

/// What an [`Endpoint`] has counted since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Datagrams taken in.
    pub received: u64,
    /// Datagrams that belonged to no connection.
    pub unrouted: u64,
    /// Datagrams that were dropped because their connection did not keep up.
    pub overflowed: u64,
    /// Datagrams that the operating system refused to send.
    pub refused: u64,
    /// Paths that a connection asked for and did not get, because another one has it or it has too many.
    pub routes_refused: u64,
    /// TCP connections that came to the listeners.
    pub streams: u64,
    /// TCP connections that were closed at once, because too many had not said what they are for.
    pub streams_refused: u64,
    /// TCP connections that said nothing, or nothing that is for a connection of this endpoint.
    pub streams_dropped: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    received: AtomicU64,
    unrouted: AtomicU64,
    overflowed: AtomicU64,
    refused: AtomicU64,
    routes_refused: AtomicU64,
    pub(super) streams: AtomicU64,
    pub(super) streams_refused: AtomicU64,
    pub(super) streams_dropped: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// All datagrams are for the one connection, and a full queue leaves the rest in the kernel. Its sockets, and listeners where
    /// there are passive candidates, come and go with the addresses of the host, on a port of the range if there is one.
    Private { ports: Option<(u16, u16)>, tcp: IceTcpPolicy },
    /// Datagrams are routed, and a connection that does not keep up loses its own.
    Shared,
}

/// What the handles of an endpoint share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(super) kind: Kind,
    /// Where its tasks run.
    runtime: Handle,
    /// Each with the task that receives from it.
    sockets: Mutex<Vec<(Arc<Socket>, AbortHandle)>>,
    /// Each with the task that accepts from it.
    pub(super) listeners: Mutex<Vec<(SocketAddr, AbortHandle)>>,
    pub(super) router: Mutex<Router>,
    multicast: Mutex<Option<Arc<Multicast>>>,
    pub(super) tasks: Mutex<Vec<AbortHandle>>,
    pub(super) weak: Weak<Self>,
    slabs: Mutex<Vec<Slab>>,
    pub(super) counters: Counters,
}

impl Endpoint {
    /// Binds a socket to each address. With port 0 each gets a port of its own. An unspecified address stands for
    /// all addresses of its family.
    ///
    /// # Errors
    ///
    /// `InvalidState` outside a tokio runtime, `Operation` when an address cannot be bound.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Self, Error> {
        let runtime = runtime()?;
        let sockets = addresses
            .iter()
            .map(|&address| {
                Socket::bind(address).map_err(|error| Error::io(format!("cannot bind {address}"), error))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::start(&runtime, Kind::Shared, sockets))
    }

    /// A private endpoint: a socket for each address that can be bound, on a port of the range if there is one, and with a
    /// policy that has passive candidates a listener.
    pub(crate) fn private(
        runtime: &Handle,
        addresses: &[SocketAddr],
        ports: Option<(u16, u16)>,
        tcp: IceTcpPolicy,
    ) -> Self {
        let _context = runtime.enter();
        let bind = |&address: &SocketAddr| match bind_within(address, ports, Socket::bind) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::debug!(%error, %address, "address not used");
                None
            }
        };
        let sockets = addresses.iter().filter_map(bind).collect();
        let endpoint = Self::start(runtime, Kind::Private { ports, tcp }, sockets);
        if tcp.is_passive() {
            for &address in addresses {
                endpoint.inner.listen_within(address, ports);
            }
        }
        endpoint
    }

    fn start(runtime: &Handle, kind: Kind, sockets: Vec<Socket>) -> Self {
        let inner = Arc::new_cyclic(|weak| Inner {
            kind,
            runtime: runtime.clone(),
            sockets: Mutex::default(),
            listeners: Mutex::default(),
            router: Mutex::default(),
            multicast: Mutex::default(),
            tasks: Mutex::default(),
            weak: weak.clone(),
            slabs: Mutex::default(),
            counters: Counters::default(),
        });
        let _context = runtime.enter();
        for socket in sockets {
            inner.receive_on(socket);
        }
        Self { inner }
    }

    /// The addresses of the sockets. A wildcard socket is named by the address it was bound to.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.inner.sockets().iter().map(|socket| socket.local()).collect()
    }

    /// The counters.
    pub fn stats(&self) -> EndpointStats {
        let counters = &self.inner.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EndpointStats {
            received: get(&counters.received),
            unrouted: get(&counters.unrouted),
            overflowed: get(&counters.overflowed),
            refused: get(&counters.refused),
            routes_refused: get(&counters.routes_refused),
            streams: get(&counters.streams),
            streams_refused: get(&counters.streams_refused),
            streams_dropped: get(&counters.streams_dropped),
        }
    }

    /// The concrete addresses that a connection may use: those bound, and for a wildcard socket those that `select`
    /// picks among the interfaces.
    pub(crate) fn usable_addresses(&self, select: impl FnOnce() -> Vec<IpAddr>) -> Vec<SocketAddr> {
        let sockets = self.inner.sockets();
        let (wild, mut addresses): (Vec<_>, Vec<_>) =
            sockets.iter().map(|socket| socket.local()).partition(|address| address.ip().is_unspecified());
        if !wild.is_empty() {
            addresses.extend(on_wildcards(&wild, &select()));
        }
        addresses
    }

    /// Binds sockets of its own for TURN over UDP, if a connection of this configuration needs them: with a shared endpoint, as such a
    /// server knows its clients by their sockets. `select` picks among the addresses of a wildcard socket.
    pub(crate) fn bind_relays(
        &self,
        config: &Configuration,
        select: impl FnOnce() -> Vec<IpAddr>,
    ) -> Result<Option<Self>, Error> {
        let over_udp = IceServerKind::Turn(TurnTransport::Udp);
        let relayed = config.ice_servers.iter().any(|server| server.kind == over_udp);
        if !relayed || self.inner.kind != Kind::Shared {
            return Ok(None);
        }
        let mut addresses = self.usable_addresses(select);
        addresses.iter_mut().for_each(|address| address.set_port(0));
        let relays = Self::private(&self.inner.runtime, &addresses, config.port_range, IceTcpPolicy::Off);
        if relays.local_addresses().is_empty() {
            return Err(Error::new(ErrorKind::Operation, "cannot bind a socket for TURN over UDP"));
        }
        Ok(Some(relays))
    }

    /// Takes a place for a connection, whose driver is woken when there is something for it. It uses these local addresses, of
    /// a host that has these interfaces.
    pub(crate) fn register(
        &self,
        driver: Arc<Notify>,
        used: Vec<SocketAddr>,
        interfaces: &[Interface],
    ) -> Registration {
        let inbox = Arc::new(Inbox::new(driver));
        let id = lock(&self.inner.router).add(inbox.clone());
        let listed = interfaces.iter().map(|interface| interface.address).collect();
        let (inner, sockets) = (self.inner.clone(), self.inner.sockets());
        Registration { inner, id, inbox, sockets, used, listening: Vec::new(), listed }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
        for (_, task) in lock(&self.sockets).drain(..) {
            task.abort();
        }
        for (_, task) in lock(&self.listeners).drain(..) {
            task.abort();
        }
    }
}

impl Inner {
    fn sockets(&self) -> Vec<Arc<Socket>> {
        lock(&self.sockets).iter().map(|(socket, _)| socket.clone()).collect()
    }

    /// Receives from a socket from now on. Needs the context of a runtime.
    fn receive_on(&self, socket: Socket) -> Arc<Socket> {
        let socket = Arc::new(socket);
        let task = tokio::spawn(receive_from(socket.clone(), self.weak.clone())).abort_handle();
        lock(&self.sockets).push((socket.clone(), task));
        socket
    }

    /// Binds one more socket. Needs the context of a runtime.
    pub(super) fn bind(&self, address: SocketAddr, ports: Option<(u16, u16)>) -> io::Result<Arc<Socket>> {
        Ok(self.receive_on(bind_within(address, ports, Socket::bind)?))
    }

    /// Closes the socket that is bound to this address.
    pub(super) fn unbind(&self, local: SocketAddr) {
        lock(&self.sockets).retain(|(socket, task)| {
            let other = socket.local() != local;
            if !other {
                task.abort();
            }
            other
        });
    }

    /// Opens the sockets of multicast DNS, if that has not been done, and listens to them.
    fn open_multicast(&self) -> io::Result<()> {
        let mut multicast = lock(&self.multicast);
        if multicast.is_none() {
            let _context = self.runtime.enter();
            let new = multicast.insert(Arc::new(Multicast::open()?));
            let task = tokio::spawn(receive_multicast(new.clone(), self.weak.clone()));
            lock(&self.tasks).push(task.abort_handle());
        }
        Ok(())
    }

    /// The sockets of multicast DNS, if they are open.
    pub(super) fn multicast(&self) -> Option<Arc<Multicast>> {
        lock(&self.multicast).clone()
    }

    /// Takes in what one system call gives.
    fn receive(&self, socket: &Socket, batches: &mut Vec<Batch>) -> io::Result<()> {
        let pooled = lock(&self.slabs).pop();
        let mut slab = pooled.unwrap_or_else(Slab::new);
        let result = socket.receive(&mut slab, batches);
        lock(&self.slabs).push(slab);
        result
    }

    /// Hands batches on. What a private connection has no room for stays in `batches`, and its inbox is returned.
    fn deliver(&self, batches: &mut VecDeque<Batch>) -> Option<Arc<Inbox>> {
        let count = |counter: &AtomicU64, n: usize| counter.fetch_add(n as u64, Ordering::Relaxed);
        let router = lock(&self.router);
        while let Some(batch) = batches.pop_front() {
            let datagrams = batch.octets.len().div_ceil(batch.stride);
            if matches!(self.kind, Kind::Private { .. }) {
                let Some(inbox) = router.all().next() else { continue };
                if let Some(batch) = inbox.push(batch) {
                    batches.push_front(batch);
                    return Some(inbox.clone());
                }
            } else if let Some(inbox) =
                router.by_check(&batch.octets).or_else(|| router.by_path(&batch.meta.path))
            {
                if inbox.push(batch).is_some() {
                    count(&self.counters.overflowed, datagrams);
                }
            } else {
                for (meta, octets) in batch {
                    match router.by_check(&octets).or_else(|| router.by_response(&octets)) {
                        Some(inbox) => {
                            let stride = octets.len().max(1);
                            if inbox.push(Batch { meta, octets, stride }).is_some() {
                                count(&self.counters.overflowed, 1);
                            }
                        }
                        None => {
                            count(&self.counters.unrouted, 1);
                        }
                    }
                }
            }
            count(&self.counters.received, datagrams);
        }
        None
    }

    /// A socket is dead: everybody is told.
    fn lose(&self, local: SocketAddr) {
        lock(&self.router).all().for_each(|inbox| inbox.push_lost(local));
    }
}

/// Receives from one socket until the endpoint or the socket is gone.
async fn receive_from(socket: Arc<Socket>, endpoint: Weak<Inner>) {
    let (mut batches, mut taken) = (VecDeque::new(), Vec::new());
    let (mut failures, mut calls) = (Failures::default(), 0);
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        let Some(inner) = endpoint.upgrade() else { return };
        let result = inner.receive(&socket, &mut taken);
        batches.extend(taken.drain(..));
        let full = inner.deliver(&mut batches);
        let mut pause = None;
        match result {
            Ok(()) => failures.forget(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::debug!(%error, local = %socket.local(), "receiving failed");
                match failures.judge(&error) {
                    Verdict::GoOn => {}
                    Verdict::Pause(time) => pause = Some(time),
                    Verdict::Dead => return inner.lose(socket.local()),
                }
            }
        }
        drop(inner);
        let mut full = full;
        while let Some(inbox) = full {
            inbox.room().await;
            drop(inbox);
            let Some(inner) = endpoint.upgrade() else { return };
            full = inner.deliver(&mut batches);
        }
        if let Some(time) = pause {
            tokio::time::sleep(time).await;
        }
        calls += 1;
        if calls % CALLS_PER_TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Hands what the multicast socket hears to the connections that listen.
async fn receive_multicast(multicast: Arc<Multicast>, endpoint: Weak<Inner>) {
    let mut failures = Failures::default();
    loop {
        match multicast.receive().await {
            Ok(batch) => {
                failures.forget();
                let Some(inner) = endpoint.upgrade() else { return };
                for inbox in lock(&inner.router).multicast() {
                    // A connection that does not keep up misses an announcement; its querier asks again.
                    let _ = inbox.push(Batch {
                        meta: batch.meta,
                        octets: batch.octets.clone(),
                        stride: batch.stride,
                    });
                }
            }
            Err(error) => {
                tracing::debug!(%error, "receiving multicast failed");
                match failures.judge(&error) {
                    Verdict::GoOn => tokio::task::yield_now().await,
                    Verdict::Pause(time) => tokio::time::sleep(time).await,
                    Verdict::Dead => {
                        // The next connection that wants one opens another.
                        if let Some(inner) = endpoint.upgrade() {
                            *lock(&inner.multicast) = None;
                        }
                        return;
                    }
                }
            }
        }
    }
}

/// The runtime that the caller runs in.
pub(crate) fn runtime() -> Result<Handle, Error> {
    Handle::try_current().map_err(|_| {
        Error::new(
            ErrorKind::InvalidState,
            "taut needs a tokio runtime with I/O and time: call this inside one",
        )
    })
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The tables are consistent after every statement, so a panic elsewhere leaves nothing half-done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Binds the first port of the range that is free, or any port without a range.
pub(super) fn bind_within<T>(
    address: SocketAddr,
    ports: Option<(u16, u16)>,
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let Some((first, last)) = ports else { return bind(address) };
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    for port in first..=last {
        let mut address = address;
        address.set_port(port);
        result = bind(address);
        match &result {
            // Windows keeps ports for itself, and does not say that they are in use.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {}
            _ => break,
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use taut_sansio::net::Path;
    use taut_stun::attribute::Username;
    use taut_stun::{Builder, Class, Method, TransactionId};
    use tokio::time::timeout;

    use super::*;
    use crate::net::router::RouteError;

    fn check(username: &str) -> Vec<u8> {
        let mut out = Vec::new();
        Builder::new(&mut out, Class::Request, Method::BINDING, TransactionId([1; 12]))
            .push(&Username::new(username))
            .finish()
            .unwrap();
        out
    }

    async fn next(registration: &Registration, driver: &Notify) -> Vec<(Path, Vec<u8>)> {
        let (mut batches, mut lost) = (VecDeque::new(), Vec::new());
        while batches.is_empty() {
            timeout(Duration::from_secs(60), driver.notified()).await.expect("a datagram arrives");
            registration.take(&mut batches, &mut lost);
        }
        batches.into_iter().flatten().map(|(meta, datagram)| (meta.path, datagram.to_vec())).collect()
    }

    #[tokio::test]
    async fn a_shared_endpoint_routes_by_ufrag_and_then_by_path() {
        let endpoint = Endpoint::bind(&[([127, 0, 0, 1], 0).into()]).unwrap();
        let local = endpoint.local_addresses()[0];
        let drivers = [(); 2].map(|()| Arc::new(Notify::new()));
        let [a, b] = [0, 1].map(|i: usize| endpoint.register(drivers[i].clone(), vec![local], &[]));
        a.claims().add_ufrag("aaaa");
        b.claims().add_ufrag("bbbb");
        let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let path = Path::udp(local, client.local_addr().unwrap());

        client.send_to(b"who am I", local).await.unwrap();
        client.send_to(&check("bbbb:x"), local).await.unwrap();
        assert_eq!(next(&b, &drivers[1]).await, [(path, check("bbbb:x"))]);
        assert_eq!(endpoint.stats().unrouted, 1);

        assert_eq!(b.add_route(path), Ok(()));
        assert_eq!(a.add_route(path), Err(RouteError::Taken));
        assert_eq!(endpoint.stats().routes_refused, 1);
        client.send_to(b"media", local).await.unwrap();
        assert_eq!(next(&b, &drivers[1]).await, [(path, b"media".to_vec())]);
        client.send_to(&check("aaaa:x"), local).await.unwrap();
        assert_eq!(next(&a, &drivers[0]).await.len(), 1, "a check is for who has its ufrag");
        client.send_to(b"more media", local).await.unwrap();
        assert_eq!(next(&b, &drivers[1]).await.len(), 1, "and does not take a path away");

        drop(b);
        client.send_to(&check("aaaa:x"), local).await.unwrap();
        assert_eq!(next(&a, &drivers[0]).await.len(), 1, "the path is free again");
    }

    #[tokio::test]
    async fn the_last_handle_closes_the_sockets() {
        let endpoint = Endpoint::bind(&[([127, 0, 0, 1], 0).into()]).unwrap();
        let (local, inner) = (endpoint.local_addresses()[0], Arc::downgrade(&endpoint.inner));
        let registration = endpoint.register(Arc::default(), vec![local], &[]);
        drop(endpoint);
        assert!(inner.upgrade().is_some());
        drop(registration);
        assert!(inner.upgrade().is_none());
        // The receiving task drops its socket when it is scheduled next.
        timeout(Duration::from_secs(60), async {
            while tokio::net::UdpSocket::bind(local).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn a_private_endpoint_loses_nothing_to_a_slow_driver() {
        let runtime = Handle::current();
        let endpoint = Endpoint::private(&runtime, &[([127, 0, 0, 1], 0).into()], None, IceTcpPolicy::Off);
        let local = endpoint.local_addresses()[0];
        let driver = Arc::new(Notify::new());
        let registration = endpoint.register(driver.clone(), vec![local], &[]);
        let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        const COUNT: u16 = 2_000;
        for i in 0..COUNT {
            client.send_to(&[&i.to_be_bytes()[..], &[0; 700]].concat(), local).await.unwrap();
        }
        let mut seen = 0u16;
        while seen < COUNT {
            for (_, datagram) in next(&registration, &driver).await {
                assert_eq!(datagram[..2], seen.to_be_bytes());
                seen += 1;
            }
        }
        assert_eq!(endpoint.stats().overflowed, 0);
    }

    #[test]
    fn ports_that_cannot_be_had_are_passed_over() {
        let bind = |address: SocketAddr| match address.port() {
            5_000 => Err(io::Error::from(io::ErrorKind::AddrInUse)),
            5_001 => Err(io::ErrorKind::PermissionDenied.into()),
            port => Ok(port),
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        assert_eq!(bind_within(any, Some((5_000, 5_010)), bind).unwrap(), 5_002);
        assert!(bind_within(any, Some((5_000, 5_001)), bind).is_err());
        let gone = |_| Err::<(), _>(io::ErrorKind::AddrNotAvailable.into());
        assert_eq!(
            bind_within(any, Some((5_000, 5_001)), gone).unwrap_err().kind(),
            io::ErrorKind::AddrNotAvailable
        );
    }

    #[test]
    fn outside_a_runtime_the_error_says_so() {
        let error = Endpoint::bind(&[([127, 0, 0, 1], 0).into()]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidState);
        assert!(error.to_string().contains("tokio"));
    }
}
