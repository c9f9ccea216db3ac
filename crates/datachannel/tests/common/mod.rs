//! Two sessions in a simulated network.
#![allow(dead_code, reason = "not every test file uses every helper")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_datachannel::*;
use taut_netsim::{Link, Node, NodeId, World};
use taut_sansio::net::{Path, Received, Transmit};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// A session, and all that it said.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) session: Session,
    path: Path,
    pub(crate) events: Vec<Event>,
    pub(crate) messages: BTreeMap<ChannelId, Vec<Message>>,
    /// The channels that the other side opened, and whether they are ordered.
    pub(crate) ordered: BTreeMap<ChannelId, bool>,
    /// The channels that said so since they were read last.
    readable: BTreeSet<ChannelId>,
    pub(crate) reads: bool,
}

impl End {
    /// Takes what there is to take.
    pub(crate) fn drain(&mut self) {
        self.drain_events();
        while let Some(id) = self.readable.first().copied().filter(|_| self.reads) {
            self.readable.remove(&id);
            while let Some(message) = self.session.poll_message(id) {
                self.messages.entry(id).or_default().push(message);
            }
            self.drain_events();
        }
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Incoming(id) => {
                    if let Some(channel) = self.session.channel(id) {
                        self.ordered.insert(id, channel.ordered());
                    }
                }
                Event::Readable(id) => {
                    self.readable.insert(id);
                }
                _ => {}
            }
            self.events.push(event);
        }
    }

    pub(crate) fn saw(&self, event: Event) -> bool {
        self.events.contains(&event)
    }

    pub(crate) fn incoming(&self) -> Vec<ChannelId> {
        self.events
            .iter()
            .filter_map(|e| if let Event::Incoming(id) = e { Some(*id) } else { None })
            .collect()
    }

    pub(crate) fn received(&self) -> usize {
        self.messages.values().map(Vec::len).sum()
    }
}

impl Node for End {
    fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        self.session.handle_packet(meta.at, datagram.freeze());
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now);
    }
    fn poll_transmit(&mut self, now: Instant, _: usize, out: &mut Vec<u8>) -> Option<Transmit> {
        if let Some(length) = self.session.poll_transmit(now, 1200, out) {
            return Some(Transmit::single(self.path, length));
        }
        self.drain();
        // Reading may open the window.
        let length = self.session.poll_transmit(now, 1200, out)?;
        Some(Transmit::single(self.path, length))
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }
}

pub(crate) struct Net {
    pub(crate) world: World<End>,
    pub(crate) a: NodeId,
    pub(crate) b: NodeId,
}

impl Net {
    pub(crate) fn new(seed: u64, link: Link) -> Self {
        Self::with(seed, link, Config::default())
    }

    pub(crate) fn with(seed: u64, link: Link, config: Config) -> Self {
        let mut world = World::new(seed);
        world.set_default_link(link);
        let (one, two) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:1".parse().unwrap());
        let mut end = |local: std::net::SocketAddr, remote| {
            let session = Session::new(config.clone(), world.rng().child());
            let path = Path::udp(local, remote);
            let (messages, ordered) = (BTreeMap::new(), BTreeMap::new());
            let readable = BTreeSet::new();
            let end = End { session, path, events: vec![], messages, ordered, readable, reads: true };
            world.add_node(end, &[local.ip()])
        };
        let (a, b) = (end(one, two), end(two, one));
        Self { world, a, b }
    }

    pub(crate) fn a(&mut self) -> &mut End {
        self.world.node_mut(self.a)
    }

    pub(crate) fn b(&mut self) -> &mut End {
        self.world.node_mut(self.b)
    }

    pub(crate) fn start(&mut self) {
        self.start_with(262_144);
    }

    /// A is the DTLS client.
    pub(crate) fn start_with(&mut self, max_message_size: usize) {
        let now = self.world.now();
        let remote = RemoteParameters { max_message_size, port: 5000 };
        self.a().session.start(now, Role::Client, remote);
        self.b().session.start(now, Role::Server, remote);
    }

    pub(crate) fn connected(seed: u64, link: Link) -> Self {
        let mut net = Self::new(seed, link);
        net.start();
        assert!(net.until(|a, b| a.saw(Event::Connected) && b.saw(Event::Connected)));
        net
    }

    pub(crate) fn until(&mut self, done: impl Fn(&End, &End) -> bool) -> bool {
        let (a, b) = (self.a, self.b);
        self.world.run_until(LIMIT, |world| done(world.node(a), world.node(b)))
    }

    pub(crate) fn open_a(&mut self, init: ChannelInit) -> ChannelId {
        let now = self.world.now();
        self.a().session.open(now, init).unwrap()
    }

    pub(crate) fn open_b(&mut self, init: ChannelInit) -> ChannelId {
        let now = self.world.now();
        self.b().session.open(now, init).unwrap()
    }

    pub(crate) fn send_a(&mut self, id: ChannelId, message: impl Into<Message>) {
        let now = self.world.now();
        self.a().session.send(now, id, message.into()).unwrap();
    }

    pub(crate) fn send_b(&mut self, id: ChannelId, message: impl Into<Message>) {
        let now = self.world.now();
        self.b().session.send(now, id, message.into()).unwrap();
    }

    pub(crate) fn close_a(&mut self, id: ChannelId) {
        let now = self.world.now();
        self.a().session.close_channel(now, id);
    }
}

/// 10 ms each way, without loss.
pub(crate) fn clean() -> Link {
    Link::default().latency(10 * MS)
}
