//! Listeners: a connection waits here until its first frame, a check, says which peer connection it is for.
//!
//! What is open here has proved nothing. So there is a bound to how many wait in all, and how many from one source; each has to
//! speak soon, in a frame no longer than a check, with a ufrag that somebody here has given out.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::BytesMut;
use socket2::{Domain, Protocol, Socket, Type};
use taut_peer::Deframer;
use taut_sansio::net::{Path, Transport};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Accepted, set_up};
use crate::error::Error;
use crate::net::endpoint::{Endpoint, Inner, bind_within, lock, runtime};
use crate::net::follow::on_wildcards;

/// How many connections wait at a listener; further ones are closed at once.
const MAX_WAITING: usize = 512;

/// How many of them are from one source, an IPv4 address or the 64 bits of an IPv6 network.
const MAX_WAITING_PER_SOURCE: usize = 32;

/// How long a connection may take to say what it is for.
const FIRST_CHECK: Duration = Duration::from_secs(5);

/// The longest first frame, in octets. A check has some 100, and 513 of USERNAME at most.
const MAX_CHECK: usize = 1_280;

/// The rest of what a listener may hold, beyond which the octets behind the first frame stay in the kernel.
const READ: usize = 2 << 10;

/// How many connections the kernel keeps until they are accepted.
const BACKLOG: i32 = 1_024;

/// What to do when the operating system has no more to give: wait a little.
const PAUSE: Duration = Duration::from_millis(10);

impl Endpoint {
    /// Listens for TCP connections, too (RFC 6544). The connections of this endpoint whose
    /// [`ice_tcp`](crate::Configuration::ice_tcp) says so have a passive candidate on every listener; the first frame of what
    /// comes, a check, says which one it is for. A listener may have the address and port of a socket. An unspecified address
    /// stands for all addresses of its family.
    ///
    /// # Errors
    ///
    /// `InvalidState` outside a tokio runtime, `Operation` when an address cannot be bound.
    pub fn with_tcp(self, addresses: &[SocketAddr]) -> Result<Self, Error> {
        let runtime = runtime()?;
        let _context = runtime.enter();
        for &address in addresses {
            let listener =
                bind(address).map_err(|error| Error::io(format!("cannot listen on {address}"), error))?;
            self.inner.listen(listener);
        }
        Ok(self)
    }

    /// The addresses of the TCP listeners, as [`local_addresses`](Self::local_addresses) has those of the sockets.
    pub fn tcp_addresses(&self) -> Vec<SocketAddr> {
        lock(&self.inner.listeners).iter().map(|(local, _)| *local).collect()
    }

    /// The concrete addresses of the listeners, as `usable_addresses` has those of the sockets.
    pub(crate) fn usable_listeners(&self, select: impl FnOnce() -> Vec<IpAddr>) -> Vec<SocketAddr> {
        let (wild, mut addresses): (Vec<_>, Vec<_>) =
            self.tcp_addresses().into_iter().partition(|address| address.ip().is_unspecified());
        if !wild.is_empty() {
            addresses.extend(on_wildcards(&wild, &select()));
        }
        addresses
    }
}

impl Inner {
    /// Accepts from a listener from now on. Needs the context of a runtime.
    fn listen(&self, listener: TcpListener) -> Option<SocketAddr> {
        let local = listener.local_addr().ok()?;
        let task = tokio::spawn(listen(listener, self.weak.clone())).abort_handle();
        lock(&self.listeners).push((local, task));
        Some(local)
    }

    /// Listens on an address if that can be bound, on a port of the range if there is one. Needs the context of a runtime.
    pub(in crate::net) fn listen_within(
        &self,
        address: SocketAddr,
        ports: Option<(u16, u16)>,
    ) -> Option<SocketAddr> {
        match bind_within(address, ports, bind) {
            Ok(listener) => self.listen(listener),
            Err(error) => {
                tracing::debug!(%error, %address, "no listener");
                None
            }
        }
    }

    /// Closes the listener at this address.
    pub(in crate::net) fn stop_listening(&self, local: SocketAddr) {
        lock(&self.listeners).retain(|(listener, task)| {
            let other = *listener != local;
            if !other {
                task.abort();
            }
            other
        });
    }

    /// Hands a TCP connection to the connection that its first frame is for; false if that is none, or one with too many.
    fn deliver_stream(&self, accepted: Accepted) -> bool {
        let inbox = lock(&self.router).by_check(&accepted.first).cloned();
        inbox.is_some_and(|inbox| inbox.push_accepted(accepted))
    }
}

/// Binds a listener.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // On Windows, this would share the port with others.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How many connections wait, by their source.
#[derive(Debug, Default)]
struct Waiting {
    sources: BTreeMap<IpAddr, usize>,
}

/// A connection's place among those that wait.
#[derive(Debug)]
struct Place {
    waiting: Arc<Mutex<Waiting>>,
    source: IpAddr,
}

impl Place {
    /// `None` if there is no room.
    fn take(waiting: &Arc<Mutex<Waiting>>, address: IpAddr) -> Option<Self> {
        let source = source_of(address);
        let mut table = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = table.sources.values().sum();
        let here = table.sources.get(&source).copied().unwrap_or_default();
        if all >= MAX_WAITING || here >= MAX_WAITING_PER_SOURCE {
            return None;
        }
        table.sources.insert(source, here + 1);
        drop(table);
        Some(Self { waiting: waiting.clone(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = table.sources.get_mut(&self.source) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                table.sources.remove(&self.source);
            }
        }
    }
}

fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Accepts connections until the endpoint is gone.
pub(crate) async fn listen(listener: TcpListener, endpoint: Weak<Inner>) {
    let waiting = Arc::new(Mutex::new(Waiting::default()));
    // Dropped with this task, and all that wait with it.
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
        };
        let Some(inner) = endpoint.upgrade() else { return };
        match accepted {
            Ok((stream, remote)) => match Place::take(&waiting, remote.ip()) {
                Some(place) => {
                    count(&inner.counters.streams);
                    tasks.spawn(greet(stream, remote, place, endpoint.clone()));
                }
                None => count(&inner.counters.streams_refused),
            },
            Err(error) => {
                tracing::debug!(%error, "accepting failed");
                drop(inner);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Waits for the first frame of a connection, and hands it on.
async fn greet(mut stream: TcpStream, remote: SocketAddr, place: Place, endpoint: Weak<Inner>) {
    let first = tokio::time::timeout(FIRST_CHECK, first_frame(&mut stream)).await;
    drop(place);
    let Some(inner) = endpoint.upgrade() else { return };
    let handed_on = match (first, set_up(&stream).and_then(|()| stream.local_addr())) {
        (Ok(Some((first, mut deframer))), Ok(local)) => {
            deframer.set_limit(taut_peer::MAX_FRAME);
            let path = Path { transport: Transport::Tcp, local, remote };
            inner.deliver_stream(Accepted { path, stream, first, deframer })
        }
        _ => false,
    };
    if !handed_on {
        count(&inner.counters.streams_dropped);
        tracing::trace!(%remote, "a TCP connection is for nobody");
    }
}

/// The first frame, and what came behind it, unless the connection ends before or it cannot be a check.
async fn first_frame(stream: &mut TcpStream) -> Option<(BytesMut, Deframer)> {
    let mut deframer = Deframer::new();
    deframer.set_limit(MAX_CHECK);
    let mut buffer = [0; READ];
    loop {
        match deframer.poll_datagram() {
            Ok(Some(first)) => return Some((first, deframer)),
            Ok(None) => {}
            Err(_) => return None,
        }
        let length @ 1.. = stream.read(&mut buffer).await.ok()? else { return None };
        deframer.push(buffer.get(..length).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use taut_sansio::net::{Path, Transport};
    use taut_stun::attribute::{IceControlling, Priority, Username};
    use taut_stun::{Algorithm, Builder, Class, Key, Method, TransactionId};
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::{Configuration, DataChannelInit, IceTcpPolicy, Loopback, PeerConnection, SessionDescription};

    #[tokio::test]
    async fn a_first_frame_that_is_too_long_for_a_check_ends_the_connection() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        for (octets, taken) in [(1_280u16, true), (1_281, false), (u16::MAX, false)] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut client, &octets.to_be_bytes()).await.unwrap();
            if taken {
                let frame = vec![0; usize::from(octets)];
                tokio::io::AsyncWriteExt::write_all(&mut client, &frame).await.unwrap();
            }
            // Of a longer one not more is waited for than its length.
            let first = tokio::time::timeout(FIRST_CHECK * 24, first_frame(&mut stream)).await;
            assert_eq!(first.expect("it is judged").is_some(), taken, "{octets}");
        }
    }

    #[test]
    fn places_are_bounded_in_all_and_for_each_source() {
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let take = |address: IpAddr| Place::take(&waiting, address);
        let v6 = |n: u128| IpAddr::from(Ipv6Addr::from_bits((0x2001_0db8 << 96) + n));
        let one: Vec<Place> = (0..1_000).map_while(|n| take(v6(n))).collect();
        assert_eq!(one.len(), MAX_WAITING_PER_SOURCE, "one network is one source");
        let mut others: Vec<Place> = (1..1_000).map_while(|n| take(v6(n << 64))).collect();
        assert_eq!(one.len() + others.len(), MAX_WAITING);
        others.pop();
        assert!(take([192, 0, 2, 1].into()).is_some(), "there is room again");
        assert_eq!(source_of("::ffff:192.0.2.1".parse().unwrap()), IpAddr::from([192, 0, 2, 1]));
        drop((one, others));
        assert!(waiting.lock().unwrap().sources.is_empty());
    }

    /// The value of an attribute.
    fn value(description: &SessionDescription, attribute: &str) -> String {
        description.sdp.lines().find_map(|line| line.strip_prefix(attribute)).unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_connection_that_comes_back_before_its_end_was_heard_takes_the_place_of_the_old_one() {
        let any = ([127, 0, 0, 1], 0).into();
        let endpoint = Endpoint::bind(&[]).unwrap().with_tcp(&[any]).unwrap();
        let config = || Configuration::default().with_loopback(Loopback::Always);
        let passive = config().with_ice_tcp(IceTcpPolicy::Passive);
        let (pc, _events) = PeerConnection::with_endpoint(passive, &endpoint).unwrap();
        let (other, _events) = PeerConnection::new(config()).unwrap();
        let _channel = other.create_data_channel("x", DataChannelInit::default()).unwrap();
        other.set_local_description(None).await.unwrap();
        let theirs = other.local_description().unwrap();
        pc.set_remote_description(theirs.clone()).await.unwrap();
        pc.set_local_description(None).await.unwrap();
        let ours = pc.local_description().unwrap();

        let [ufrag, their_ufrag] = [&ours, &theirs].map(|side| value(side, "a=ice-ufrag:"));
        let key = Key::short_term(&value(&ours, "a=ice-pwd:"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let path = Path {
            transport: Transport::Tcp,
            local: endpoint.tcp_addresses()[0],
            remote: ([127, 0, 0, 1], 9).into(),
        };
        let mut before: Option<TcpStream> = None;
        for turn in 0..3 {
            let mut far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let mut check = Vec::new();
            Builder::new(&mut check, Class::Request, Method::BINDING, TransactionId([turn; 12]))
                .push(&Username::new(&format!("{ufrag}:{their_ufrag}")))
                .push(&Priority(1))
                .push(&IceControlling(1))
                .integrity(&key, Algorithm::Sha1)
                .finish()
                .unwrap();
            let first = BytesMut::from(&check[..]);
            assert!(endpoint.inner.deliver_stream(Accepted {
                path,
                stream,
                first,
                deframer: Deframer::new()
            }));
            let mut answer = [0; 2 + 20];
            far.read_exact(&mut answer).await.expect("it is not closed");
            assert_eq!(&answer[10..], &[turn; 12], "the first frame answers the check");
            if let Some(mut before) = before.replace(far) {
                before.read_to_end(&mut Vec::new()).await.expect("the old one is closed");
            }
        }
    }
}
