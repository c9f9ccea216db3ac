//! Two peers in a simulated world, with signalling that costs nothing.
#![allow(dead_code, reason = "every test file uses a part")]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use taut_netsim::{Link, Node, NodeId, World};
use taut_peer::{
    ChannelId, Config, ConnectionState, Event, Frame, IceCandidate, Message, OfferOptions, Peer,
    SignalingState, TransceiverId,
};
use taut_sansio::net::{Received, Transmit};
use taut_sansio::rng::Rng;

/// The port of the only socket of each side.
pub(crate) const PORT: u16 = 4000;

/// One side of a call: a peer and all that it said.
pub(crate) struct Side {
    pub(crate) peer: Peer,
    pub(crate) events: Vec<Event>,
    pub(crate) messages: BTreeMap<ChannelId, Vec<Message>>,
    pub(crate) frames: BTreeMap<TransceiverId, Vec<Frame>>,
    /// Whether messages are read as they come.
    pub(crate) reading: bool,
}

impl Side {
    fn new(peer: Peer) -> Self {
        Self { peer, events: Vec::new(), messages: BTreeMap::new(), frames: BTreeMap::new(), reading: true }
    }

    /// The channels that the other side opened, in order.
    pub(crate) fn incoming(&self) -> Vec<ChannelId> {
        self.events
            .iter()
            .filter_map(|e| if let Event::DataChannel(id) = e { Some(*id) } else { None })
            .collect()
    }

    /// How many messages came on all channels.
    pub(crate) fn message_count(&self) -> usize {
        self.messages.values().map(Vec::len).sum()
    }

    /// True if the event was seen.
    pub(crate) fn saw(&self, event: &Event) -> bool {
        self.events.contains(event)
    }
}

impl Node for Side {
    fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        self.peer.handle_datagram(meta, datagram);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.peer.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Instant, max_segments: usize, out: &mut Vec<u8>) -> Option<Transmit> {
        self.peer.poll_transmit(now, max_segments, out)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.peer.poll_timeout()
    }
}

/// Two sides and the world between them.
pub(crate) struct Call {
    pub(crate) world: World<Side>,
    pub(crate) a: NodeId,
    pub(crate) b: NodeId,
    /// Candidates are carried over as they come; when false they are kept back.
    pub(crate) trickle: bool,
}

/// A seed of 32 octets from a small number.
pub(crate) fn seed(number: u64) -> [u8; 32] {
    Rng::from_u64(number).array()
}

impl Call {
    /// Two peers with a configuration each and the same link in both directions.
    pub(crate) fn with_configs(number: u64, link: Link, config_a: Config, config_b: Config) -> Self {
        let mut world = World::new(number);
        world.set_default_link(link);
        let now = world.now();
        let mut add = |address: &str, salt: u64, config: Config| {
            let address: IpAddr = address.parse().unwrap();
            let clock = world.wall_clock();
            let mut peer = Peer::new(config, clock, seed(number.wrapping_mul(2).wrapping_add(salt))).unwrap();
            peer.add_local_address(now, SocketAddr::new(address, PORT));
            world.add_node(Side::new(peer), &[address])
        };
        let a = add("10.0.0.1", 0, config_a);
        let b = add("10.0.0.2", 1, config_b);
        Self { world, a, b, trickle: true }
    }

    pub(crate) fn new(number: u64, link: Link) -> Self {
        Self::with_configs(number, link, Config::default(), Config::default())
    }

    pub(crate) fn side(&mut self, id: NodeId) -> &mut Side {
        self.world.node_mut(id)
    }

    pub(crate) fn peer(&mut self, id: NodeId) -> &mut Peer {
        &mut self.world.node_mut(id).peer
    }

    pub(crate) fn now(&self) -> Instant {
        self.world.now()
    }

    pub(crate) fn other(&self, id: NodeId) -> NodeId {
        if id == self.a { self.b } else { self.a }
    }

    /// Offer from `from`, answer from the other side.
    pub(crate) fn negotiate(&mut self, from: NodeId) {
        let now = self.now();
        let to = self.other(from);
        let offer = self.peer(from).create_offer(now, OfferOptions::default()).expect("an offer");
        self.peer(from).set_local_description(now, Some(offer.clone())).expect("the offer is set locally");
        self.peer(to).set_remote_description(now, offer).expect("the offer is accepted");
        let answer = self.peer(to).create_answer(now).expect("an answer");
        self.peer(to).set_local_description(now, Some(answer.clone())).expect("the answer is set locally");
        self.peer(from).set_remote_description(now, answer).expect("the answer is accepted");
        assert_eq!(self.peer(from).signaling_state(), SignalingState::Stable);
        assert_eq!(self.peer(to).signaling_state(), SignalingState::Stable);
        pump(&mut self.world, self.a, self.b, self.trickle);
    }

    /// Runs until `done`, at most `limit` of virtual time. True if it came to that.
    pub(crate) fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut World<Side>, NodeId, NodeId) -> bool,
    ) -> bool {
        let (a, b, trickle) = (self.a, self.b, self.trickle);
        self.world.run_until(limit, |world| {
            pump(world, a, b, trickle);
            done(world, a, b)
        })
    }

    /// Runs for a while, carrying candidates and collecting messages.
    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_, _, _| false);
    }

    /// Runs until both sides are connected.
    pub(crate) fn connect(&mut self, limit: Duration) -> bool {
        self.run_until(limit, |world, a, b| {
            [a, b].iter().all(|&id| world.node(id).peer.connection_state() == ConnectionState::Connected)
        })
    }
}

/// Carries what the sides say to each other, and collects what they received.
pub(crate) fn pump(world: &mut World<Side>, a: NodeId, b: NodeId, trickle: bool) {
    let now = world.now();
    for (from, to) in [(a, b), (b, a)] {
        while let Some(event) = world.node_mut(from).peer.poll_event() {
            if let Event::IceCandidate(candidate) = &event
                && trickle
            {
                deliver(world, to, now, candidate.clone());
            }
            let side = world.node_mut(from);
            collect(side, &event);
            side.events.push(event);
        }
    }
}

fn collect(side: &mut Side, event: &Event) {
    match event {
        Event::ChannelReadable(id) if side.reading => {
            while let Some(message) = side.peer.poll_message(*id) {
                side.messages.entry(*id).or_default().push(message);
            }
        }
        Event::FrameReady(id) => {
            while let Some(frame) = side.peer.poll_frame(*id) {
                side.frames.entry(*id).or_default().push(frame);
            }
        }
        _ => {}
    }
}

/// Gives a candidate to a side, if it can take it already.
pub(crate) fn deliver(world: &mut World<Side>, to: NodeId, now: Instant, candidate: Option<IceCandidate>) {
    let peer = &mut world.node_mut(to).peer;
    if peer.remote_description().is_some() {
        peer.add_ice_candidate(now, candidate).expect("a candidate of our own is accepted");
    }
}

/// Octets that tell which message they are.
pub(crate) fn body(number: usize, len: usize) -> Bytes {
    let mut out = format!("{number}:").into_bytes();
    while out.len() < len {
        out.push((number.wrapping_mul(31).wrapping_add(out.len())) as u8);
    }
    Bytes::from(out)
}
