//! One UDP socket: batches out with UDP_SEGMENT, batches in with UDP_GRO, single datagrams by the cheapest call.

use std::array;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV6};
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::BytesMut;
use quinn_udp::{EcnCodepoint, RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, Type};
use taut_sansio::net::{Ecn, Path, Received, Transmit};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::failures::{is_of_the_past, is_of_the_way};
use crate::clock;

/// The sizes of the kernel's buffers that are tried, largest first. The default of Linux, 208 KiB, loses packets of
/// one burst of a fast sender even on loopback.
const BUFFER_SIZES: [usize; 4] = [4 << 20, 2 << 20, 1 << 20, 512 << 10];

/// How many messages one system call takes in. Each may be a GRO buffer of up to 64 datagrams.
const RECEIVE_MESSAGES: usize = 8;

/// The room of one message: the largest UDP payload, and the most that GRO puts together.
const MESSAGE_ROOM: usize = 1 << 16;

/// The most octets in one call with UDP_SEGMENT: one IP packet before it is cut.
const MAX_BATCH: usize = 65_000;

/// After how many refused batches in a row datagrams go one by one for good. Devices exist that cannot do what the system offers.
const MAX_FAILED_BATCHES: u32 = 8;

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Socket {
    io: UdpSocket,
    offload: UdpSocketState,
    local: SocketAddr,
    /// How many batches in a row were refused that the system was to cut.
    failed_batches: AtomicU32,
}

/// The memory that datagrams are received into. Only its touched pages are real.
pub(crate) struct Slab {
    octets: Vec<u8>,
    meta: Box<[RecvMeta; RECEIVE_MESSAGES]>,
}

/// Datagrams of one path that came in together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// What is known of each of them.
    pub(crate) meta: Received,
    /// The datagrams, one after the other.
    pub(crate) octets: BytesMut,
    /// The length of each but the last, which may be shorter. Never zero.
    pub(crate) stride: usize,
}

/// What became of a batch that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    /// How many octets need no further attention: whole datagrams, sent or refused for good.
    pub(crate) octets: usize,
    /// True if the kernel's buffer is full and the rest has to wait.
    pub(crate) blocked: bool,
    /// How many datagrams the system refused.
    pub(crate) refused: u64,
}

impl Slab {
    pub(crate) fn new() -> Self {
        Self {
            octets: vec![0; RECEIVE_MESSAGES * MESSAGE_ROOM],
            meta: Box::new([RecvMeta::default(); RECEIVE_MESSAGES]),
        }
    }
}

impl std::fmt::Debug for Slab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slab")
    }
}

impl Iterator for Batch {
    type Item = (Received, BytesMut);

    /// Splits the next datagram off.
    fn next(&mut self) -> Option<Self::Item> {
        if self.octets.is_empty() {
            return None;
        }
        Some((self.meta, self.octets.split_to(self.stride.min(self.octets.len()))))
    }
}

impl Socket {
    /// Binds a socket. Needs a tokio runtime with its I/O driver. What `quinn-udp` sets up forbids IP fragmentation, which
    /// probes of the path MTU need.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        raise_buffers(&socket);
        let io = UdpSocket::from_std(socket.into())?;
        let offload = UdpSocketState::new((&io).into())?;
        let local = io.local_addr()?;
        Ok(Self { io, offload, local, failed_batches: AtomicU32::new(0) })
    }

    /// The bound address; its IP is unspecified for a wildcard socket.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// True if datagrams from `local` leave through this socket.
    pub(crate) fn serves(&self, local: SocketAddr) -> bool {
        self.local.port() == local.port()
            && (self.local.ip() == local.ip()
                || self.is_wildcard() && self.local.is_ipv4() == local.is_ipv4())
    }

    /// True if bound to the unspecified address.
    pub(crate) fn is_wildcard(&self) -> bool {
        self.local.ip().is_unspecified()
    }

    /// How many datagrams one call can send.
    pub(crate) fn max_segments(&self) -> usize {
        if self.failed_batches.load(Ordering::Relaxed) >= MAX_FAILED_BATCHES {
            return 1;
        }
        self.offload.max_gso_segments().max(1)
    }

    /// Waits until the socket has, or may have, something to receive. Cancel-safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Waits until the socket takes, or may take, another datagram. Cancel-safe.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Sends the datagrams of `contents`.
    pub(crate) fn send(&self, transmit: &Transmit, contents: &[u8]) -> Sent {
        let segment = transmit.segment_size.unwrap_or(contents.len()).max(1);
        let mut sent = hand_over(
            contents,
            segment,
            || self.max_segments(),
            |chunk| {
                let result = self.send_chunk(transmit, chunk, segment);
                if chunk.len() > segment {
                    self.note_batch(result.as_ref().err());
                }
                result.inspect_err(|error| {
                    tracing::trace!(%error, remote = %transmit.path.remote, "datagrams not sent");
                })
            },
        );
        // A probe that is too large for the interface is an answer, too.
        if transmit.mtu_probe {
            sent.refused = 0;
        }
        sent
    }

    /// What became of datagrams that were to be cut by the system.
    fn note_batch(&self, error: Option<&io::Error>) {
        match error {
            None => self.failed_batches.store(0, Ordering::Relaxed),
            Some(error) if is_of_the_past(error) || is_of_the_way(error) => {}
            Some(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Some(_) => {
                // At the bound there are no more batches, so it does not wrap.
                self.failed_batches.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// One system call. A single datagram goes by plain `sendto`, which costs less than a call with control messages.
    fn send_chunk(&self, transmit: &Transmit, chunk: &[u8], segment: usize) -> io::Result<()> {
        let destination = transmit.path.remote;
        if chunk.len() <= segment && transmit.ecn.is_none() && !self.is_wildcard() {
            return self.io.try_send_to(chunk, destination).map(|_| ());
        }
        let message = quinn_udp::Transmit {
            destination,
            ecn: transmit.ecn.map(to_codepoint),
            contents: chunk,
            segment_size: Some(segment),
            src_ip: self.is_wildcard().then(|| transmit.path.local.ip()),
        };
        self.io.try_io(Interest::WRITABLE, || self.offload.try_send((&self.io).into(), &message))
    }

    /// Takes in what one system call gives and appends it to `out`. `WouldBlock` when there is nothing.
    pub(crate) fn receive(&self, slab: &mut Slab, out: &mut Vec<Batch>) -> io::Result<()> {
        let mut rooms = slab.octets.chunks_exact_mut(MESSAGE_ROOM);
        let mut slices: [IoSliceMut<'_>; RECEIVE_MESSAGES] =
            array::from_fn(|_| IoSliceMut::new(rooms.next().unwrap_or_default()));
        let meta = slab.meta.as_mut();
        let count =
            self.io.try_io(Interest::READABLE, || self.offload.recv((&self.io).into(), &mut slices, meta))?;
        let at = clock::now();
        let taken = || slab.meta.iter().zip(slab.octets.chunks_exact(MESSAGE_ROOM)).take(count);
        let mut memory = BytesMut::with_capacity(taken().map(|(meta, _)| meta.len).sum());
        for (meta, room) in taken() {
            let Some(octets) = room.get(..meta.len).filter(|octets| !octets.is_empty()) else { continue };
            memory.extend_from_slice(octets);
            let path = Path::udp(self.local_of(meta), normal(meta.addr));
            out.push(Batch {
                meta: Received { at, path, ecn: meta.ecn.map(from_codepoint) },
                octets: memory.split(),
                stride: if meta.stride == 0 { meta.len } else { meta.stride },
            });
        }
        Ok(())
    }

    /// The local address that a message was sent to.
    fn local_of(&self, meta: &RecvMeta) -> SocketAddr {
        match meta.dst_ip {
            Some(ip) if self.is_wildcard() => SocketAddr::new(ip, self.local.port()),
            _ => normal(self.local),
        }
    }
}

/// Hands datagrams to the system, as many at a time as it takes. What it does not cut is tried one by one, what failed for an
/// earlier datagram is tried again, and what is refused for good does not keep the rest back.
fn hand_over(
    contents: &[u8],
    segment: usize,
    max_segments: impl Fn() -> usize,
    mut call: impl FnMut(&[u8]) -> io::Result<()>,
) -> Sent {
    let mut sent = Sent { octets: 0, blocked: false, refused: 0 };
    let (mut one_by_one, mut again) = (false, false);
    while let Some(rest) = contents.get(sent.octets..).filter(|rest| !rest.is_empty()) {
        let most = if one_by_one { 1 } else { max_segments() };
        let segments = most.min(MAX_BATCH / segment).max(1);
        let chunk = rest.get(..segment.saturating_mul(segments)).unwrap_or(rest);
        match call(chunk) {
            Ok(()) => {
                sent.octets += chunk.len();
                again = false;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sent.blocked = true;
                return sent;
            }
            Err(error) if is_of_the_past(&error) && !again => again = true,
            Err(error) if chunk.len() > segment && !is_of_the_way(&error) => one_by_one = true,
            Err(_) => {
                sent.octets += chunk.len();
                sent.refused += chunk.len().div_ceil(segment) as u64;
                again = false;
            }
        }
    }
    sent
}

/// Raises the kernel's buffers as far as it lets us. Linux silently clamps, other systems refuse what is too large.
fn raise_buffers(socket: &socket2::Socket) {
    if !BUFFER_SIZES.into_iter().any(|size| socket.set_recv_buffer_size(size).is_ok()) {
        tracing::debug!("the receive buffer keeps its default size");
    }
    if !BUFFER_SIZES.into_iter().any(|size| socket.set_send_buffer_size(size).is_ok()) {
        tracing::debug!("the send buffer keeps its default size");
    }
}

/// An address with nothing in it that differs between datagrams of one path: no flow label, and a scope only where it
/// is part of the address.
fn normal(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => {
            let scope = if v6.ip().is_unicast_link_local() { v6.scope_id() } else { 0 };
            SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope).into()
        }
        v4 => v4,
    }
}

fn to_codepoint(ecn: Ecn) -> EcnCodepoint {
    match ecn {
        Ecn::Ect0 => EcnCodepoint::Ect0,
        Ecn::Ect1 => EcnCodepoint::Ect1,
        Ecn::Ce => EcnCodepoint::Ce,
    }
}

fn from_codepoint(ecn: EcnCodepoint) -> Ecn {
    match ecn {
        EcnCodepoint::Ect0 => Ecn::Ect0,
        EcnCodepoint::Ect1 => Ecn::Ect1,
        EcnCodepoint::Ce => Ecn::Ce,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    async fn send_all(socket: &Socket, transmit: &Transmit, contents: &[u8]) {
        let mut contents = contents;
        while !contents.is_empty() {
            let sent = socket.send(transmit, contents);
            assert_eq!(sent.refused, 0);
            contents = &contents[sent.octets..];
            if sent.blocked {
                timeout(Duration::from_secs(60), socket.writable()).await.unwrap().unwrap();
            }
        }
    }

    async fn receive_some(socket: &Socket, slab: &mut Slab) -> Vec<Batch> {
        let mut out = Vec::new();
        while out.is_empty() {
            timeout(Duration::from_secs(60), socket.readable()).await.unwrap().unwrap();
            match socket.receive(slab, &mut out) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
        out
    }

    #[tokio::test]
    async fn a_batch_arrives_as_its_datagrams() {
        let (a, b) = (Socket::bind(loopback()).unwrap(), Socket::bind(loopback()).unwrap());
        let path = Path::udp(a.local(), b.local());
        let contents: Vec<u8> = (0..100u8).flat_map(|i| vec![i; if i == 99 { 7 } else { 1_000 }]).collect();
        let transmit = Transmit { segment_size: Some(1_000), ..Transmit::single(path, contents.len()) };
        send_all(&a, &transmit, &contents).await;
        let mut slab = Slab::new();
        let mut datagrams = Vec::new();
        while datagrams.len() < 100 {
            for batch in receive_some(&b, &mut slab).await {
                assert_eq!(batch.meta.path, Path::udp(b.local(), a.local()));
                datagrams.extend(batch.map(|(_, datagram)| datagram));
            }
        }
        for (i, datagram) in datagrams.iter().enumerate() {
            let length = if i == 99 { 7 } else { 1_000 };
            assert_eq!(&datagram[..], &vec![i as u8; length][..], "datagram {i}");
        }
    }

    #[tokio::test]
    async fn a_single_datagram_keeps_its_congestion_mark() {
        let (a, b) = (Socket::bind(loopback()).unwrap(), Socket::bind(loopback()).unwrap());
        let transmit =
            Transmit { ecn: Some(Ecn::Ect0), ..Transmit::single(Path::udp(a.local(), b.local()), 3) };
        send_all(&a, &transmit, b"abc").await;
        let mut slab = Slab::new();
        let mut batches = receive_some(&b, &mut slab).await;
        let (meta, datagram) = batches[0].next().unwrap();
        assert_eq!(&datagram[..], b"abc");
        assert!(batches[0].next().is_none());
        if cfg!(target_os = "linux") {
            assert_eq!(meta.ecn, Some(Ecn::Ect0));
        }
    }

    #[tokio::test]
    async fn a_wildcard_socket_tells_and_uses_the_concrete_address() {
        let (a, b) = (Socket::bind(loopback()).unwrap(), Socket::bind(([0, 0, 0, 0], 0).into()).unwrap());
        let b_concrete = SocketAddr::from(([127, 0, 0, 1], b.local().port()));
        assert!(b.serves(b_concrete) && !b.serves(a.local()));
        let mut slab = Slab::new();
        let there = Path::udp(a.local(), b_concrete);
        send_all(&a, &Transmit::single(there, 1), b"x").await;
        let batches = receive_some(&b, &mut slab).await;
        let back = batches[0].meta.path;
        assert_eq!(back, Path::udp(b_concrete, a.local()));
        send_all(&b, &Transmit::single(back, 1), b"y").await;
        assert_eq!(receive_some(&a, &mut slab).await[0].meta.path, there);
    }

    #[tokio::test]
    async fn a_refused_datagram_is_counted_and_does_not_block_the_rest() {
        let socket = Socket::bind(loopback()).unwrap();
        let path = Path::udp(socket.local(), SocketAddr::from(([127, 0, 0, 1], 9)));
        timeout(Duration::from_secs(60), socket.writable()).await.unwrap().unwrap();
        let too_long = vec![0; 70_000];
        let sent = socket.send(&Transmit::single(path, too_long.len()), &too_long);
        assert_eq!(sent, Sent { octets: 70_000, blocked: false, refused: 1 });
        let probe = Transmit { mtu_probe: true, ..Transmit::single(path, too_long.len()) };
        assert_eq!(socket.send(&probe, &too_long), Sent { octets: 70_000, blocked: false, refused: 0 });
    }

    /// What a system was given that answers each call as `answer` says.
    fn given(
        contents: &[u8],
        max_segments: usize,
        mut answer: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> (Sent, Vec<usize>) {
        let mut calls = Vec::new();
        let sent = hand_over(
            contents,
            100,
            || max_segments,
            |chunk| {
                calls.push(chunk.len());
                answer(chunk)
            },
        );
        (sent, calls)
    }

    const ALL: Sent = Sent { octets: 950, blocked: false, refused: 0 };

    #[test]
    fn what_the_system_does_not_cut_goes_one_by_one() {
        let cuts_not = |chunk: &[u8]| match chunk.len() {
            ..=100 => Ok(()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        };
        let (sent, calls) = given(&[0; 950], 64, cuts_not);
        assert_eq!(sent, ALL);
        assert_eq!((calls[0], &calls[1..10], calls[10]), (950, &[100; 9][..], 50));
        assert_eq!(given(&[0; 950], 4, |_| Ok(())), (ALL, vec![400, 400, 150]));
    }

    #[test]
    fn an_error_of_an_earlier_datagram_costs_none() {
        let mut errors = vec![io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionRefused];
        let mut answers = [true, false].into_iter().cycle();
        let (sent, calls) = given(&[0; 950], 1, |_| match answers.next() {
            Some(true) => errors.pop().map_or(Ok(()), |kind| Err(kind.into())),
            _ => Ok(()),
        });
        assert_eq!((sent, calls.len()), (ALL, 12), "each is told once, and the datagram sent then");
        let (sent, calls) = given(&[0; 950], 64, |_| Err(io::ErrorKind::ConnectionReset.into()));
        assert_eq!((sent.refused, sent.octets), (10, 950), "but not for ever");
        assert!(calls.len() <= 22, "{calls:?}");
    }

    #[test]
    fn without_a_way_a_batch_is_refused_at_once() {
        let (sent, calls) = given(&[0; 950], 64, |_| Err(io::ErrorKind::NetworkUnreachable.into()));
        assert_eq!((sent, calls.len()), (Sent { refused: 10, ..ALL }, 1));
        let mut room = 3;
        let (sent, _) = given(&[0; 950], 1, |_| match room {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => {
                room -= 1;
                Ok(())
            }
        });
        assert_eq!(sent, Sent { octets: 300, blocked: true, refused: 0 });
    }

    #[tokio::test]
    async fn a_socket_whose_batches_are_refused_stops_making_them() {
        let socket = Socket::bind(loopback()).unwrap();
        let most = socket.offload.max_gso_segments().max(1);
        let (refused, no_way) = (io::ErrorKind::InvalidInput.into(), io::ErrorKind::HostUnreachable.into());
        for _ in 0..MAX_FAILED_BATCHES - 1 {
            socket.note_batch(Some(&refused));
        }
        socket.note_batch(None);
        assert_eq!(socket.max_segments(), most, "a batch that goes makes up for all");
        for _ in 0..MAX_FAILED_BATCHES {
            assert_eq!(socket.max_segments(), most);
            socket.note_batch(Some(&no_way));
            socket.note_batch(Some(&refused));
        }
        assert_eq!(socket.max_segments(), 1);
    }

    #[tokio::test]
    async fn datagrams_are_not_cut_on_their_way() {
        let socket = Socket::bind(loopback()).unwrap();
        assert!(!cfg!(target_os = "linux") || !socket.offload.may_fragment());
    }

    #[test]
    fn flow_labels_are_no_part_of_a_path() {
        let labelled = SocketAddrV6::new("2001:db8::1".parse().unwrap(), 5, 77, 3);
        assert_eq!(normal(labelled.into()).to_string(), "[2001:db8::1]:5");
        assert_eq!(normal(labelled.into()), SocketAddr::new("2001:db8::1".parse().unwrap(), 5));
        let scoped = SocketAddrV6::new("fe80::1".parse().unwrap(), 5, 77, 3);
        assert_eq!(normal(scoped.into()), SocketAddrV6::new("fe80::1".parse().unwrap(), 5, 0, 3).into());
    }
}
