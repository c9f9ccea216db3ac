//! The sockets of a TURN server: listeners over UDP, TCP and TLS, a socket for each relay, and one clock.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use socket2::{Domain, Protocol, Socket, Type};
use taut_sansio::net::{Path, Received, Transport};
use taut_sansio::rng::Rng;
use taut_turn::Deframer;
use taut_turn::server::{Event, Server, ServerConfig, Stats};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::endpoint::runtime;
use super::failures::{Failures, Verdict};
use super::interfaces::{self, Interface};
use super::streams::{Stream, write_all};
use super::tcp::listener;
use super::tls;
use crate::error::{Error, ErrorKind};
use crate::{clock, ids};

/// How many streams of clients are open at a time; further ones are closed at once.
const MAX_STREAMS: usize = 4_096;

/// How many of these may be of one address, so that nobody alone can keep all others out.
const MAX_STREAMS_PER_SOURCE: usize = 128;

/// How many messages wait to be written to one stream; what comes above is dropped.
const MAX_QUEUED: usize = 256;

/// How long a stream may be silent without an allocation, and how long TLS may take to begin.
const IDLE: Duration = Duration::from_secs(30);

/// The longest datagram.
const MAX_DATAGRAM: usize = 65_536;

/// The clock is looked at no less often.
const TICK: Duration = Duration::from_secs(1);

/// What a [`TurnServer`] listens on, and how it behaves.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct TurnServerOptions {
    /// The rules: users, relays, quotas.
    pub server: ServerConfig,
    /// Where it listens over UDP. Port 0 takes a free one.
    pub udp: Vec<SocketAddr>,
    /// A second address, of another IP and another port than the first of `udp`. With it the server also listens over UDP on each
    /// of the two IPs at each of the two ports, and tells clients how the NATs on the way behave (RFC 5780), as
    /// [`discover_nat`](crate::discover_nat) asks.
    pub alternate: Option<SocketAddr>,
    /// Where it listens over TCP.
    pub tcp: Vec<SocketAddr>,
    /// Where it listens over TLS.
    pub tls: Vec<SocketAddr>,
    /// The certificate chain and its key for TLS, as PEM text.
    pub certificate: Option<(String, String)>,
}

impl TurnServerOptions {
    /// Options with these rules, that listen nowhere yet.
    #[must_use]
    pub fn new(server: ServerConfig) -> Self {
        Self { server, ..Self::default() }
    }

    /// Listens over UDP.
    #[must_use]
    pub fn with_udp(mut self, address: SocketAddr) -> Self {
        self.udp.push(address);
        self
    }

    /// Sets the second address, with which the server tells how NATs behave.
    #[must_use]
    pub fn with_alternate(mut self, address: SocketAddr) -> Self {
        self.alternate = Some(address);
        self
    }

    /// Listens over TCP.
    #[must_use]
    pub fn with_tcp(mut self, address: SocketAddr) -> Self {
        self.tcp.push(address);
        self
    }

    /// Listens over TLS, with [`with_certificate`](Self::with_certificate).
    #[must_use]
    pub fn with_tls(mut self, address: SocketAddr) -> Self {
        self.tls.push(address);
        self
    }

    /// Sets the certificate chain and its key, as PEM text.
    #[must_use]
    pub fn with_certificate(mut self, chain: impl Into<String>, key: impl Into<String>) -> Self {
        self.certificate = Some((chain.into(), key.into()));
        self
    }
}

impl std::fmt::Debug for TurnServerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TurnServerOptions")
            .field("server", &self.server)
            .field("udp", &self.udp)
            .field("alternate", &self.alternate)
            .field("tcp", &self.tcp)
            .field("tls", &self.tls)
            // Not the key.
            .field("certificate", &self.certificate.as_ref().map(|(chain, _)| chain))
            .finish_non_exhaustive()
    }
}

/// A TURN server (RFC 8656) on this host, for tests and small deployments. It runs until it is dropped.
///
/// By default it relays to public addresses only, and to none of this host's but those of its own relays; see
/// [`ServerConfig`].
#[derive(Debug)]
pub struct TurnServer {
    inner: Arc<Inner>,
    udp: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
    tls: Vec<SocketAddr>,
    tasks: Vec<AbortHandle>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    server: Server,
    listeners: BTreeMap<SocketAddr, Arc<UdpSocket>>,
    relays: BTreeMap<SocketAddr, (Arc<UdpSocket>, AbortHandle)>,
    streams: Streams,
    out: Vec<u8>,
}

/// The streams of clients, each with the queue of what waits for it.
#[derive(Debug, Default)]
struct Streams(BTreeMap<Path, mpsc::Sender<Vec<u8>>>);

impl Streams {
    /// A further stream: what it is to send comes out here. `None` if too many are open.
    fn add(&mut self, path: Path) -> Option<mpsc::Receiver<Vec<u8>>> {
        let of_source = self.0.keys().filter(|other| other.remote.ip() == path.remote.ip()).count();
        if self.0.len() >= MAX_STREAMS || of_source >= MAX_STREAMS_PER_SOURCE {
            return None;
        }
        let (queue, queued) = mpsc::channel(MAX_QUEUED);
        self.0.insert(path, queue);
        Some(queued)
    }

    /// Queues a message; false, and it is dropped, if the stream is not there or does not keep up.
    fn send(&self, path: &Path, message: &[u8]) -> bool {
        self.0.get(path).is_some_and(|queue| queue.try_send(message.to_vec()).is_ok())
    }
}

impl TurnServer {
    /// Binds the listeners and begins. The addresses of this host are not relayed to, but where the rules allow it.
    ///
    /// # Errors
    ///
    /// `InvalidState` outside a tokio runtime; `Type` for rules that cannot work, a second address without a first one among them;
    /// `InvalidAccess` for TLS without a
    /// certificate; `Operation` when an address cannot be bound or a certificate not be used.
    ///
    /// Cancelling it closes what was bound.
    pub async fn bind(options: TurnServerOptions) -> Result<Self, Error> {
        let _ = runtime()?;
        let TurnServerOptions { server, udp, alternate, tcp, tls, certificate } = options;
        let acceptor = match &certificate {
            Some((chain, key)) => Some(
                tls::acceptor(chain, key).map_err(|error| Error::io("cannot use the certificate", error))?,
            ),
            None if tls.is_empty() => None,
            None => return Err(Error::new(ErrorKind::InvalidAccess, "TLS needs a certificate and its key")),
        };
        let interfaces =
            interfaces::list().map_err(|error| Error::io("cannot list the interfaces", error))?;
        let mut config = guarding(server, interfaces);
        let mut sockets = udp.into_iter().map(listen).collect::<Result<Vec<_>, _>>()?;
        let first = sockets.first().map(|(local, _)| *local);
        let second = alternate.map(listen).transpose()?;
        if let Some((second, _)) = &second {
            let missing = || Error::new(ErrorKind::Type, "a second address needs a first one over UDP");
            config = config.with_behavior(first.ok_or_else(missing)?, *second);
        }
        let behavior = config.behavior;
        let server = Server::new(config, clock::wall(), Rng::from_seed(ids::seed()?))
            .map_err(|error| Error::new(ErrorKind::Type, error.to_string()))?;
        sockets.extend(second);
        if let Some([first, second]) = behavior {
            sockets.push(listen(SocketAddr::new(first.ip(), second.port()))?);
            sockets.push(listen(SocketAddr::new(second.ip(), first.port()))?);
        }
        let state = State {
            server,
            listeners: BTreeMap::new(),
            relays: BTreeMap::new(),
            streams: Streams::default(),
            out: Vec::new(),
        };
        let inner = Arc::new(Inner { state: Mutex::new(state) });
        let mut this = Self { inner, udp: Vec::new(), tcp: Vec::new(), tls: Vec::new(), tasks: Vec::new() };
        for (local, socket) in sockets {
            this.inner.lock().listeners.insert(local, socket.clone());
            this.udp.push(local);
            this.tasks.push(tokio::spawn(receive(socket, local, this.inner.clone())).abort_handle());
        }
        for (address, acceptor) in tcp
            .into_iter()
            .map(|address| (address, None))
            .chain(tls.into_iter().map(|a| (a, acceptor.clone())))
        {
            let failed = |error| Error::io(format!("cannot bind {address}"), error);
            let listener = listener::bind(address).map_err(failed)?;
            let local = listener.local_addr().map_err(failed)?;
            if acceptor.is_some() { &mut this.tls } else { &mut this.tcp }.push(local);
            this.tasks.push(tokio::spawn(accept(listener, acceptor, this.inner.clone())).abort_handle());
        }
        this.tasks.push(tokio::spawn(keep_time(this.inner.clone())).abort_handle());
        Ok(this)
    }

    /// Where it listens over UDP.
    pub fn udp_addresses(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// Where it listens over TCP.
    pub fn tcp_addresses(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// Where it listens over TLS.
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls
    }

    /// How many allocations there are.
    pub fn allocations(&self) -> usize {
        self.inner.lock().server.allocations()
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        self.inner.lock().server.stats()
    }
}

impl Drop for TurnServer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        let mut state = self.inner.lock();
        for (_, task) in std::mem::take(&mut state.relays).into_values() {
            task.abort();
        }
        // Without their queues, the streams end.
        state.streams = Streams::default();
        state.listeners.clear();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the server something, and does what follows from it.
    fn with<R>(self: &Arc<Self>, f: impl FnOnce(&mut Server) -> R) -> R {
        let mut state = self.lock();
        let result = f(&mut state.server);
        state.pump(self);
        result
    }

    fn take(self: &Arc<Self>, path: Path, datagram: BytesMut) {
        let meta = Received { at: clock::now(), path, ecn: None };
        self.with(|server| server.handle_datagram(meta, datagram));
    }
}

impl State {
    /// Binds and closes sockets as the server asks, and sends what it has. What a socket does not take is lost, as on any
    /// network.
    fn pump(&mut self, inner: &Arc<Inner>) {
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::Bind(relay) => {
                    let bound = self.bind_relay(relay, inner);
                    if let Err(error) = &bound {
                        tracing::debug!(%error, %relay, "a relay cannot be bound");
                    }
                    self.server.handle_bound(clock::now(), relay, bound.map_err(|_| ()));
                }
                Event::Unbind(relay) => {
                    if let Some((_, task)) = self.relays.remove(&relay) {
                        task.abort();
                    }
                }
                _ => {}
            }
        }
        loop {
            self.out.clear();
            let Some(transmit) = self.server.poll_transmit(clock::now(), 1, &mut self.out) else { return };
            let path = transmit.path;
            let relay = self.relays.get(&path.local).map(|(socket, _)| socket);
            match relay.or_else(|| self.listeners.get(&path.local)) {
                Some(socket) if path.transport == Transport::Udp => {
                    let _ = socket.try_send_to(&self.out, path.remote);
                }
                _ => {
                    let _ = self.streams.send(&path, &self.out);
                }
            }
        }
    }

    fn bind_relay(&mut self, relay: SocketAddr, inner: &Arc<Inner>) -> io::Result<()> {
        let socket = Arc::new(bind_udp(relay)?);
        let task = tokio::spawn(receive(socket.clone(), relay, inner.clone()));
        self.relays.insert(relay, (socket, task.abort_handle()));
        Ok(())
    }
}

/// Binds a listener over UDP. The address is the bound one.
fn listen(address: SocketAddr) -> Result<(SocketAddr, Arc<UdpSocket>), Error> {
    let bound = bind_udp(address).and_then(|socket| Ok((socket.local_addr()?, Arc::new(socket))));
    bound.map_err(|error| Error::io(format!("cannot bind {address}"), error))
}

/// Binds a socket for one family alone: clients of the other would be seen with addresses that stand for theirs, and be told of them.
fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Receives from one socket, a listener or a relay.
async fn receive(socket: Arc<UdpSocket>, local: SocketAddr, inner: Arc<Inner>) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    let mut failures = Failures::default();
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) => {
                failures.forget();
                let datagram = BytesMut::from(buffer.get(..length).unwrap_or_default());
                inner.take(Path::udp(local, from), datagram);
            }
            Err(error) => {
                tracing::debug!(%error, %local, "receiving failed");
                match failures.judge(&error) {
                    Verdict::GoOn => {}
                    Verdict::Pause(time) => tokio::time::sleep(time).await,
                    // Nobody takes it away: it may come back.
                    Verdict::Dead => tokio::time::sleep(TICK).await,
                }
            }
        }
    }
}

/// The addresses of this host are no peers: other programs on it may trust who comes from here.
fn guarding(mut config: ServerConfig, interfaces: Vec<Interface>) -> ServerConfig {
    config.own_addresses.extend(interfaces.into_iter().map(|interface| interface.address));
    config
}

/// Accepts streams.
async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, inner: Arc<Inner>) {
    loop {
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "accepting failed");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let Ok(local) = stream.local_addr() else { continue };
        let _ = stream.set_nodelay(true);
        let transport = if acceptor.is_some() { Transport::Tls } else { Transport::Tcp };
        let path = Path { transport, local, remote };
        let Some(queued) = inner.lock().streams.add(path) else { continue };
        let (acceptor, inner) = (acceptor.clone(), inner.clone());
        tokio::spawn(async move {
            let stream: Option<Box<dyn Stream>> = match acceptor {
                None => Some(Box::new(stream)),
                Some(acceptor) => match tokio::time::timeout(IDLE, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => Some(Box::new(stream)),
                    _ => None,
                },
            };
            if let Some(stream) = stream {
                serve(stream, path, queued, &inner).await;
            }
            inner.lock().streams.0.remove(&path);
            inner.with(|server| server.handle_disconnected(clock::now(), path));
        });
    }
}

/// Reads and writes one stream until either ends, it is silent for too long, or the server is gone.
async fn serve(stream: Box<dyn Stream>, path: Path, mut queued: mpsc::Receiver<Vec<u8>>, inner: &Arc<Inner>) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let read = async {
        let mut deframer = Deframer::new();
        let mut buffer = vec![0; 16 << 10];
        loop {
            let length = match tokio::time::timeout(IDLE, reader.read(&mut buffer)).await {
                Ok(Ok(length @ 1..)) => length,
                Err(_) if inner.lock().server.is_allocated(path) => continue,
                _ => return,
            };
            deframer.push(buffer.get(..length).unwrap_or_default());
            loop {
                match deframer.poll_message() {
                    Ok(Some(message)) => inner.take(path, message),
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
        }
    };
    let write = async {
        while let Some(octets) = queued.recv().await {
            if !write_all(&mut writer, &octets).await {
                return;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}

/// Tells the server the time.
async fn keep_time(inner: Arc<Inner>) {
    loop {
        tokio::time::sleep(TICK).await;
        let now = clock::now();
        let due = inner.lock().server.poll_timeout().is_some_and(|at| at <= now);
        if due {
            inner.with(|server| server.handle_timeout(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of the `host`-th client address.
    fn path(host: u8, port: u16) -> Path {
        let (local, remote) = (([127, 0, 0, 1], 3478).into(), ([127, 0, 1, host], port).into());
        Path { transport: Transport::Tcp, ..Path::udp(local, remote) }
    }

    #[test]
    fn the_addresses_of_the_host_are_its_own() {
        let named = [192, 0, 2, 1].into();
        let config =
            guarding(ServerConfig::default().with_own_addresses(vec![named]), interfaces::list().unwrap());
        assert_eq!(config.own_addresses[0], named);
        assert!(config.own_addresses.iter().skip(1).any(|address| address.is_loopback()), "{config:?}");
    }

    #[test]
    fn streams_and_what_waits_for_one_are_bounded() {
        let mut streams = Streams::default();
        let mut open: Vec<_> = (1..1_000).filter_map(|port| streams.add(path(1, port))).collect();
        assert_eq!(open.len(), 128, "of one address");
        open.extend(
            (2..100)
                .flat_map(|host| (1..200).map(move |port| path(host, port)))
                .filter_map(|path| streams.add(path)),
        );
        assert_eq!(open.len(), 4_096, "of all");
        assert_eq!((0..1_000).filter(|_| streams.send(&path(1, 1), b"x")).count(), 256);
        assert!(open[0].try_recv().is_ok() && streams.send(&path(1, 1), b"x"), "there is room again");
        assert!(!streams.send(&path(200, 1), b"x"));
        streams.0.remove(&path(1, 1));
        assert!(streams.add(path(200, 1)).is_some());
    }
}
