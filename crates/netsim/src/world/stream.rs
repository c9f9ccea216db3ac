//! Streams between nodes: reliable and in order, with the delay of the links. A segment that a link loses comes later, as if
//! repeated; one that it goes on losing ends the stream. A translator lets streams out and none in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_sansio::net::{Path, Transport};

use super::World;
use crate::link::Fate;
use crate::node::{Node, NodeId};

/// The most octets that travel as one segment; longer writes are read in pieces.
const SEGMENT: usize = 1_200;
/// The first wait before a lost segment is repeated; it doubles after each.
const REPEAT_AFTER: Duration = Duration::from_millis(200);
/// How often a segment is repeated before the stream counts as broken.
const MAX_REPEATED: u32 = 6;
/// Where the ports of opened streams begin.
const FIRST_PORT: u16 = 40_000;

/// What a node wants of its streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamRequest {
    /// Accept streams at this address.
    Listen(SocketAddr),
    /// Open a stream; [`StreamEvent::Connected`] with the same token follows.
    Connect {
        /// Chosen by the node.
        token: u64,
        /// From which of its addresses.
        local: IpAddr,
        /// Where to.
        remote: SocketAddr,
    },
    /// Send octets.
    Write(Path, Vec<u8>),
    /// Close a stream; what was sent before still arrives.
    Close(Path),
}

/// What happened to a stream of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// A stream is open, or cannot be opened.
    Connected(u64, Option<Path>),
    /// A stream came to a listener.
    Accepted(Path),
    /// Octets came in.
    Data(Path, BytesMut),
    /// The other side, or the network, has ended the stream.
    Closed(Path),
}

/// One end of a stream, as its node names it.
type End = (NodeId, Path);

#[derive(Debug)]
struct Half {
    peer: End,
    /// When the last segment from here arrives: none overtakes it.
    arrives: Instant,
}

#[derive(Debug)]
enum Segment {
    /// The answer to a wish for a stream, and the end that it is for.
    Answer(u64, Option<(Path, End)>),
    Data(BytesMut),
    End,
}

#[derive(Debug, Default)]
pub(super) struct Streams {
    listeners: BTreeSet<(NodeId, SocketAddr)>,
    halves: BTreeMap<End, Half>,
    in_flight: BTreeMap<(Instant, u64), (NodeId, Option<Path>, Segment)>,
    next_segment: u64,
    next_port: u16,
    pub(super) udp_blocked: bool,
}

impl Streams {
    pub(super) fn next_event(&self) -> Option<Instant> {
        self.in_flight.keys().next().map(|(at, _)| *at)
    }

    fn schedule(&mut self, at: Instant, to: NodeId, path: Option<Path>, segment: Segment) {
        self.in_flight.insert((at, self.next_segment), (to, path, segment));
        self.next_segment += 1;
    }
}

impl<N: Node> World<N> {
    /// Says whether datagrams are lost everywhere; streams are not.
    pub fn block_udp(&mut self, blocked: bool) {
        self.streams.udp_blocked = blocked;
    }

    /// Ends every stream of a node, as the network would; both ends are told at once.
    pub fn cut_streams(&mut self, node: NodeId) {
        let ends: Vec<End> = self.streams.halves.keys().filter(|(of, _)| *of == node).copied().collect();
        let now = self.now();
        for end in ends {
            let Some(half) = self.streams.halves.remove(&end) else { continue };
            self.streams.halves.remove(&half.peer);
            for (id, path) in [end, half.peer] {
                self.nodes[id.0].node.handle_stream(now, StreamEvent::Closed(path));
            }
        }
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.streams.halves.len() / 2
    }

    /// Does what a node wants of its streams; true if it wanted anything.
    pub(super) fn drain_streams(&mut self, id: NodeId) -> bool {
        let mut wanted = false;
        while let Some(request) = self.nodes[id.0].node.poll_stream() {
            wanted = true;
            self.count_poll(id);
            match request {
                StreamRequest::Listen(address) => {
                    self.streams.listeners.insert((id, address));
                }
                StreamRequest::Connect { token, local, remote } => self.connect(id, token, local, remote),
                StreamRequest::Write(path, octets) => {
                    for piece in octets.chunks(SEGMENT) {
                        self.send_segment((id, path), Segment::Data(BytesMut::from(piece)));
                    }
                }
                StreamRequest::Close(path) => {
                    self.send_segment((id, path), Segment::End);
                    self.streams.halves.remove(&(id, path));
                }
            }
        }
        wanted
    }

    fn connect(&mut self, id: NodeId, token: u64, local: IpAddr, remote: SocketAddr) {
        let now = self.now();
        let port = FIRST_PORT + self.streams.next_port % (u16::MAX - FIRST_PORT);
        self.streams.next_port = self.streams.next_port.wrapping_add(1);
        let (mut source, mut realm) = (SocketAddr::new(local, port), self.nodes[id.0].nat);
        let ours = Path { transport: Transport::Tcp, local: source, remote };
        let there = loop {
            let found = self.find_node(realm, remote.ip(), id);
            match (found, realm) {
                (Some(node), _) => break Some(node),
                (None, None) => break None,
                (None, Some(nat)) => {
                    source.set_ip(self.nats[nat.0].public());
                    realm = self.nats[nat.0].realm();
                }
            }
        };
        let there = there.filter(|_| self.nodes[id.0].addresses.contains(&local));
        // There and back, and one answer even where nobody listens.
        let arrives = there.and_then(|to| Some((to, self.travel(id, to, 40)?)));
        let Some((to, out)) = arrives else {
            let late = now + REPEAT_AFTER * (1 << MAX_REPEATED);
            return self.streams.schedule(late, id, None, Segment::Answer(token, None));
        };
        let back = out + out.saturating_duration_since(now);
        let theirs = Path { transport: Transport::Tcp, local: remote, remote: source };
        self.streams.schedule(back, id, None, Segment::Answer(token, Some((ours, (to, theirs)))));
    }

    /// When a segment arrives; `None` if the link goes on losing it.
    fn travel(&mut self, from: NodeId, to: NodeId, octets: usize) -> Option<Instant> {
        let (now, mut late) = (self.now(), Duration::ZERO);
        for repeated in 0..=MAX_REPEATED {
            let mut segment = BytesMut::zeroed(octets);
            match self.link(from, to).carry(now, &mut segment, 40, None) {
                Fate::Arrives(arrival) => return Some(arrival.at + late),
                _ => late += REPEAT_AFTER * (1 << repeated),
            }
        }
        None
    }

    fn send_segment(&mut self, end: End, segment: Segment) {
        let Some((to, path)) = self.streams.halves.get(&end).map(|half| half.peer) else { return };
        let octets = if let Segment::Data(data) = &segment { data.len() } else { 1 };
        let Some(at) = self.travel(end.0, to, octets) else {
            // Both find out at once.
            let now = self.now();
            self.streams.schedule(now, end.0, Some(end.1), Segment::End);
            return self.streams.schedule(now, to, Some(path), Segment::End);
        };
        let Some(half) = self.streams.halves.get_mut(&end) else { return };
        half.arrives = half.arrives.max(at);
        let at = half.arrives;
        self.streams.schedule(at, to, Some(path), segment);
    }

    /// Delivers what has arrived by now.
    pub(super) fn deliver_segments(&mut self) {
        let now = self.now();
        while let Some(entry) = self.streams.in_flight.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let (to, path, segment) = entry.remove();
            self.deliver_segment(now, to, path, segment);
        }
    }

    fn deliver_segment(&mut self, now: Instant, to: NodeId, path: Option<Path>, segment: Segment) {
        let event = match (segment, path) {
            (Segment::Answer(token, Some((ours, theirs))), _)
                if self.streams.listeners.contains(&(theirs.0, theirs.1.local)) =>
            {
                self.streams.halves.insert((to, ours), Half { peer: theirs, arrives: now });
                self.streams.halves.insert(theirs, Half { peer: (to, ours), arrives: now });
                self.nodes[theirs.0.0].node.handle_stream(now, StreamEvent::Accepted(theirs.1));
                StreamEvent::Connected(token, Some(ours))
            }
            (Segment::Answer(token, _), _) => StreamEvent::Connected(token, None),
            (Segment::Data(data), Some(path)) if self.streams.halves.contains_key(&(to, path)) => {
                self.note(&format!("{:?} {} {path:?} ", self.clock.elapsed(), to.0), &data);
                StreamEvent::Data(path, data)
            }
            (Segment::End, Some(path)) if self.streams.halves.remove(&(to, path)).is_some() => {
                StreamEvent::Closed(path)
            }
            _ => return,
        };
        self.nodes[to.0].node.handle_stream(now, event);
    }
}
