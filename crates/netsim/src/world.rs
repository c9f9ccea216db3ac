//! Nodes, the links between them, and the one loop that moves time.

mod routing;
mod stream;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use taut_sansio::rng::Rng;
use taut_sansio::time::{WallClock, earliest};

use self::routing::Delivery;
pub use self::routing::MULTICAST_GROUPS;
use crate::clock::Clock;
use crate::link::{Link, LinkState};
use crate::nat::Nat;
use crate::node::{Node, NodeId};
use crate::pcap::Pcap;

use self::stream::Streams;
pub use self::stream::{StreamEvent, StreamRequest};
/// How often a node may be polled for transmits and timeouts at one instant.
const MAX_POLLS: u32 = 10_000;
/// How many datagrams a node may put into one transmit, unless [`World::set_max_segments`] says otherwise.
const DEFAULT_MAX_SEGMENTS: usize = 10;
/// What stands in the output buffer before a node appends to it.
const SENTINEL: &[u8; 5] = b"taut!";

/// A translator of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatId(usize);

/// What became of all datagrams so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams that nodes have sent.
    pub sent: u64,
    /// Datagrams handed to nodes, duplicates counted.
    pub delivered: u64,
    /// Lost by the loss model of a link.
    pub lost: u64,
    /// Dropped because the queue of a link was full.
    pub queue_full: u64,
    /// Dropped because they were larger than the MTU of a link.
    pub too_big: u64,
    /// Dropped because nobody has the destination, or the node not the source.
    pub unroutable: u64,
    /// Dropped by the filter of a translator.
    pub filtered: u64,
    /// Came once more.
    pub duplicated: u64,
    /// Had a bit flipped.
    pub corrupted: u64,
}

#[derive(Debug)]
struct Slot<N> {
    node: N,
    addresses: Vec<IpAddr>,
    nat: Option<NatId>,
    joined: bool,
    polls: u32,
}

/// A simulated network: nodes, links, translators, a clock and a seed.
#[derive(Debug)]
pub struct World<N: Node> {
    seed: u64,
    rng: Rng,
    link_rng: Rng,
    nat_rng: Rng,
    clock: Clock,
    nodes: Vec<Slot<N>>,
    nats: Vec<Nat>,
    default_link: Link,
    links: BTreeMap<(NodeId, NodeId), LinkState>,
    in_flight: BTreeMap<(Instant, u64), Delivery>,
    next_delivery: u64,
    streams: Streams,
    max_segments: usize,
    pcap: Option<Pcap>,
    stats: Stats,
    trace: u64,
    buffer: Vec<u8>,
}

impl<N: Node> World<N> {
    /// An empty world. Everything random in it comes from the seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::from_u64(seed);
        let (link_rng, nat_rng) = (rng.child(), rng.child());
        Self {
            seed,
            rng,
            link_rng,
            nat_rng,
            clock: Clock::new(),
            nodes: Vec::new(),
            nats: Vec::new(),
            default_link: Link::default(),
            links: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            next_delivery: 0,
            streams: Streams::default(),
            max_segments: DEFAULT_MAX_SEGMENTS,
            pcap: None,
            stats: Stats::default(),
            // The offset basis of FNV-1a.
            trace: 0xcbf2_9ce4_8422_2325,
            buffer: Vec::new(),
        }
    }

    /// Adds a node that has these addresses.
    pub fn add_node(&mut self, node: N, addresses: &[IpAddr]) -> NodeId {
        self.nodes.push(Slot { node, addresses: addresses.to_vec(), nat: None, joined: false, polls: 0 });
        NodeId(self.nodes.len() - 1)
    }

    /// Adds a translator; [`place_behind`](Self::place_behind) puts nodes behind it.
    pub fn add_nat(&mut self, nat: Nat) -> NatId {
        self.nats.push(nat);
        NatId(self.nats.len() - 1)
    }

    /// Puts a node behind a translator. Its addresses are then private: only nodes behind the same one reach them.
    pub fn place_behind(&mut self, node: NodeId, nat: NatId) {
        self.nodes[node.0].nat = Some(nat);
    }

    /// Puts a translator, and with it everything behind it, behind another one.
    pub fn place_nat_behind(&mut self, inner: NatId, outer: NatId) {
        self.nats[inner.0].set_realm(outer);
    }

    /// Makes a node a member of the [`MULTICAST_GROUPS`] of the families that it has addresses of. Datagrams to a group, and
    /// those to its port 5353, then come with the local address 0.0.0.0:5353 or `[::]:5353`. A sender that is a member hears itself.
    pub fn join_multicast(&mut self, node: NodeId) {
        self.nodes[node.0].joined = true;
    }

    /// Gives a node one more address.
    pub fn add_address(&mut self, node: NodeId, address: IpAddr) {
        self.nodes[node.0].addresses.push(address);
    }

    /// Takes an address from a node. What is on its way to it will not arrive.
    pub fn remove_address(&mut self, node: NodeId, address: IpAddr) {
        self.nodes[node.0].addresses.retain(|a| *a != address);
    }

    /// Sets one direction between two nodes; what is on its way is not touched.
    pub fn set_link(&mut self, from: NodeId, to: NodeId, link: Link) {
        match self.links.get_mut(&(from, to)) {
            Some(state) => state.link = link,
            None => {
                let rng = self.link_rng.child();
                self.links.insert((from, to), LinkState::new(link, rng));
            }
        }
    }

    /// Sets every direction between two different nodes, also those of nodes yet to come.
    pub fn set_default_link(&mut self, link: Link) {
        for ((from, to), state) in &mut self.links {
            if from != to {
                state.link = link.clone();
            }
        }
        self.default_link = link;
    }

    /// How many datagrams a node may put into one transmit.
    pub fn set_max_segments(&mut self, max_segments: usize) {
        self.max_segments = max_segments.max(1);
    }

    /// Writes every datagram that is sent from now on into a file, as its node sent it.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn pcap(&mut self, path: impl AsRef<std::path::Path>) -> io::Result<()> {
        self.pcap = Some(Pcap::create(path.as_ref())?);
        Ok(())
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The virtual time since the start.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// The anchor of the wall clock; the same Unix time at the start of every world.
    pub fn wall_clock(&self) -> WallClock {
        self.clock.wall()
    }

    /// Randomness for the test; drawing from it does not move the links.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> &N {
        &self.nodes[id.0].node
    }

    /// A node, to give it commands; what it wants to send goes out in the next step.
    pub fn node_mut(&mut self, id: NodeId) -> &mut N {
        &mut self.nodes[id.0].node
    }

    /// All nodes.
    pub fn node_ids(&self) -> impl Iterator<Item = NodeId> + use<N> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// A translator.
    pub fn nat_mut(&mut self, id: NatId) -> &mut Nat {
        &mut self.nats[id.0]
    }

    /// What became of all datagrams so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// A hash over every delivery so far: time, receiver, addresses and octets. Equal runs have equal hashes.
    pub fn trace_hash(&self) -> u64 {
        self.trace
    }

    /// Drains what the nodes want to send at the current instant.
    pub fn settle(&mut self) {
        for index in 0..self.nodes.len() {
            self.drain(NodeId(index));
        }
    }

    /// Goes to the next thing that happens and does it; false if nothing will ever happen.
    ///
    /// # Panics
    /// If a node breaks the contract of a machine; the message names the node and the seed.
    pub fn step(&mut self) -> bool {
        self.settle();
        let Some(at) = self.next_event() else { return false };
        self.advance(at);
        self.deliver_due();
        self.expire_due();
        self.settle();
        true
    }

    /// Lets this much time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Lets time pass until `done` is true or `limit` has passed; returns the last answer of `done`.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let deadline = self.now() + limit;
        loop {
            if done(self) {
                return true;
            }
            self.settle();
            match self.next_event() {
                Some(at) if at <= deadline => {
                    self.step();
                }
                _ => break,
            }
        }
        self.advance(deadline);
        done(self)
    }

    fn next_event(&self) -> Option<Instant> {
        let delivery = self.in_flight.keys().next().map(|(at, _)| *at);
        let delivery = earliest(delivery, self.streams.next_event());
        self.nodes.iter().fold(delivery, |next, slot| earliest(next, slot.node.poll_timeout()))
    }

    fn advance(&mut self, at: Instant) {
        if self.clock.advance(at) {
            self.nodes.iter_mut().for_each(|slot| slot.polls = 0);
        }
    }

    fn deliver_due(&mut self) {
        let now = self.now();
        while let Some(entry) = self.in_flight.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let delivery = entry.remove();
            self.deliver(delivery);
        }
        self.deliver_segments();
    }

    fn expire_due(&mut self) {
        let now = self.now();
        for index in 0..self.nodes.len() {
            let id = NodeId(index);
            let mut fired = 0;
            while let Some(at) = self.nodes[index].node.poll_timeout()
                && at <= now
            {
                if fired == 2 {
                    let behind = now.saturating_duration_since(at);
                    self.fail(id, &format!("its timeout is {behind:?} in the past, twice in a row"));
                }
                fired += 1;
                self.count_poll(id);
                self.nodes[index].node.handle_timeout(now);
                self.drain(id);
            }
        }
    }

    fn drain(&mut self, id: NodeId) {
        loop {
            while let ControlFlow::Continue(()) = self.drain_one(id) {}
            if !self.drain_streams(id) {
                return;
            }
        }
    }

    fn drain_one(&mut self, id: NodeId) -> ControlFlow<()> {
        self.count_poll(id);
        let (now, max_segments) = (self.now(), self.max_segments);
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.extend_from_slice(SENTINEL);
        let transmit = self.nodes[id.0].node.poll_transmit(now, max_segments, &mut buffer);
        let flow = match transmit {
            None => {
                if buffer != SENTINEL {
                    self.fail(id, "it appended octets without a transmit, or changed those before");
                }
                ControlFlow::Break(())
            }
            Some(transmit) => {
                self.send_transmit(id, &transmit, &buffer);
                ControlFlow::Continue(())
            }
        };
        self.buffer = buffer;
        flow
    }

    fn count_poll(&mut self, id: NodeId) {
        let polls = &mut self.nodes[id.0].polls;
        *polls += 1;
        if *polls > MAX_POLLS {
            self.fail(id, &format!("it was polled more than {MAX_POLLS} times at one instant"));
        }
    }

    fn fail(&mut self, id: NodeId, what: &str) -> ! {
        panic!("netsim: {id}, seed {}, after {:?}: {what}", self.seed, self.clock.elapsed());
    }
}

impl<N: Node> Drop for World<N> {
    fn drop(&mut self) {
        if let Some(pcap) = &mut self.pcap {
            pcap.flush();
        }
        if std::thread::panicking() {
            eprintln!("netsim: seed {}, failed after {:?} of virtual time", self.seed, self.clock.elapsed());
        }
    }
}
