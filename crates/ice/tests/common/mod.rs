//! Two agents, STUN and TURN servers and multicast DNS responders in a simulated network.
#![allow(dead_code, unreachable_pub, reason = "not every test uses everything")]
#![allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]

pub mod life;
pub mod scene;
pub mod streams;
pub mod turn;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_ice::{Agent, Candidate, Config, Event, Role, State};
use taut_netsim::{Link, NatId, Node, NodeId, StreamEvent, StreamRequest, World};
use taut_sansio::net::{Path, Received, Transmit, Transport};
use taut_sansio::rng::Rng;
use taut_stun::{Class, Message};

pub const PORT: u16 = 5000;

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// An agent with its history.
pub struct Peer {
    pub agent: Agent,
    pub events: Vec<(Instant, Event)>,
    /// Candidates to be signalled.
    pub outbox: VecDeque<Candidate>,
    pub wakes: u64,
    pub sent: u64,
    /// What is to be sent to the other side.
    pub data_out: VecDeque<Vec<u8>>,
    /// What came out of relays, and on which path.
    pub data_in: Vec<(Path, BytesMut)>,
    /// How many answers the requests that came in may still get.
    unanswered: BTreeMap<(SocketAddr, [u8; 12]), u32>,
    pub streams: streams::Streams,
    now: Instant,
}

/// Without its scope.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

/// What a STUN message is, and its transaction.
fn stun(datagram: &[u8]) -> Option<(Class, [u8; 12])> {
    let message = taut_stun::is_stun(datagram).then(|| Message::parse(datagram).ok())??;
    Some((message.class(), message.transaction_id().0))
}

impl Peer {
    pub fn new(agent: Agent, now: Instant) -> Self {
        Self {
            agent,
            events: Vec::new(),
            outbox: VecDeque::new(),
            wakes: 0,
            sent: 0,
            data_out: VecDeque::new(),
            data_in: Vec::new(),
            unanswered: BTreeMap::new(),
            streams: streams::Streams::default(),
            now,
        }
    }

    fn drain(&mut self) {
        while let Some(event) = self.agent.poll_event() {
            if let Event::LocalCandidate(candidate) = &event {
                self.outbox.push_back(candidate.clone());
            }
            self.streams.on_event(&event);
            self.events.push((self.now, event));
        }
    }

    pub fn states(&self) -> Vec<State> {
        let state = |event: &Event| match event {
            Event::StateChanged(state) => Some(*state),
            _ => None,
        };
        self.events.iter().filter_map(|(_, event)| state(event)).collect()
    }

    /// When this event happened first.
    pub fn at(&self, wanted: impl Fn(&Event) -> bool) -> Option<Instant> {
        self.events.iter().find(|(_, event)| wanted(event)).map(|(at, _)| *at)
    }

    pub fn state_at(&self, state: State) -> Option<Instant> {
        self.at(|event| *event == Event::StateChanged(state))
    }

    pub fn is_nominated(&self) -> bool {
        self.agent.pair_stats().iter().any(|pair| pair.nominated)
    }
}

impl Peer {
    /// Every request has one answer at most, whatever it is.
    fn assert_one_answer(&mut self, transmit: &Transmit, datagram: &[u8]) {
        let Some((Class::Success | Class::Error, id)) = stun(datagram) else { return };
        let left = self.unanswered.get_mut(&(plain(transmit.path.remote), id));
        let left = left.and_then(|left| left.checked_sub(1).map(|less| *left = less));
        assert!(left.is_some(), "more answers than requests to {}", transmit.path.remote);
    }

    /// Data on the selected path, as the composition sends it.
    fn poll_data(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let path = self.agent.selected_path()?;
        let data = self.data_out.pop_front()?;
        let start = out.len();
        let outer = self.agent.outer_path(&path)?;
        let most = self.agent.relay_overhead(&path) + data.len();
        let envelope = self.agent.open(&path, out)?;
        out.extend_from_slice(&data);
        assert!(self.agent.seal(envelope, out));
        assert!(out.len() - start <= most);
        Some(Transmit::single(outer, out.len() - start))
    }
}

impl Node for Peer {
    fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        self.now = self.now.max(meta.at);
        if let Some((Class::Request, id)) = stun(&datagram) {
            *self.unanswered.entry((plain(meta.path.remote), id)).or_default() += 1;
        }
        let relayed = self.agent.handle_datagram(meta, datagram);
        self.data_in.extend(relayed.map(|(meta, data)| (meta.path, data)));
        self.drain();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.wakes += 1;
        self.agent.handle_timeout(now);
        self.drain();
    }

    fn poll_transmit(&mut self, now: Instant, max_segments: usize, out: &mut Vec<u8>) -> Option<Transmit> {
        self.now = self.now.max(now);
        let start = out.len();
        let transmit = loop {
            let transmit = self.agent.poll_transmit(now, max_segments, out);
            if let Some(transmit) = &transmit {
                self.assert_one_answer(transmit, &out[start..]);
            }
            let transmit = transmit.or_else(|| self.poll_data(out));
            self.sent += u64::from(transmit.is_some());
            match transmit {
                Some(transmit) if transmit.path.transport == Transport::Tcp => {
                    self.streams.send(transmit.path, &out[start..]);
                    out.truncate(start);
                }
                transmit => break transmit,
            }
        };
        self.drain();
        transmit
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.agent.poll_timeout()
    }

    fn poll_stream(&mut self) -> Option<StreamRequest> {
        self.streams.requests.pop_front()
    }

    fn handle_stream(&mut self, at: Instant, event: StreamEvent) {
        self.now = self.now.max(at);
        for (path, datagram) in self.streams.handle(&mut self.agent, at, event) {
            if taut_stun::is_stun(&datagram) {
                self.handle_datagram(Received { at, path, ecn: None }, datagram);
            } else {
                self.data_in.push((path, datagram));
            }
        }
        self.drain();
    }
}

/// A STUN server: answers binding requests.
#[derive(Default)]
pub struct StunServer {
    replies: VecDeque<(Path, Vec<u8>)>,
    pub asked: u64,
}

/// A multicast DNS responder for one name.
pub struct Responder {
    pub name: String,
    pub address: IpAddr,
    pub asked: u64,
    replies: VecDeque<Vec<u8>>,
}

impl Responder {
    pub fn new(name: &str, address: IpAddr) -> Self {
        Self { name: name.to_owned(), address, asked: 0, replies: VecDeque::new() }
    }

    fn labels(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for label in self.name.split('.') {
            out.push(label.len() as u8);
            out.extend_from_slice(label.as_bytes());
        }
        out.push(0);
        out
    }

    /// A response with one address record (RFC 1035 section 4.1, RFC 6762 section 18).
    pub fn response(&self) -> Vec<u8> {
        let mut out = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        out.extend_from_slice(&self.labels());
        let (kind, data) = match self.address {
            IpAddr::V4(ip) => (1u16, ip.octets().to_vec()),
            IpAddr::V6(ip) => (28, ip.octets().to_vec()),
        };
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0x80, 1, 0, 0, 0, 120]);
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(&data);
        out
    }
}

#[allow(clippy::large_enum_variant, reason = "there are few")]
pub enum Host {
    Peer(Peer),
    Stun(StunServer),
    Turn(turn::TurnServer),
    Responder(Responder),
}

impl Node for Host {
    fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        match self {
            Self::Peer(peer) => peer.handle_datagram(meta, datagram),
            Self::Stun(server) => {
                let mut reply = Vec::new();
                if taut_stun::binding::answer(&datagram, meta.path.remote, &mut reply).is_some() {
                    server.asked += 1;
                    server.replies.push_back((meta.path, reply));
                }
            }
            Self::Turn(server) => server.handle_datagram(meta, datagram),
            Self::Responder(responder) => {
                let labels = responder.labels();
                let question = datagram.get(2).is_some_and(|flags| flags & 0x80 == 0);
                if question && datagram.windows(labels.len()).any(|window| window == labels) {
                    responder.asked += 1;
                    let response = responder.response();
                    responder.replies.push_back(response);
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Peer(peer) => peer.handle_timeout(now),
            Self::Turn(server) => server.handle_timeout(now),
            Self::Stun(_) | Self::Responder(_) => {}
        }
    }

    fn poll_transmit(&mut self, now: Instant, max_segments: usize, out: &mut Vec<u8>) -> Option<Transmit> {
        match self {
            Self::Peer(peer) => peer.poll_transmit(now, max_segments, out),
            Self::Stun(server) => {
                let (path, reply) = server.replies.pop_front()?;
                out.extend_from_slice(&reply);
                Some(Transmit::single(path, reply.len()))
            }
            Self::Turn(server) => server.poll_transmit(now, max_segments, out),
            Self::Responder(responder) => {
                let reply = responder.replies.pop_front()?;
                out.extend_from_slice(&reply);
                let path = Path::udp(taut_mdns::LOCAL_V4, taut_mdns::GROUP_V4);
                Some(Transmit::single(path, reply.len()))
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Peer(peer) => peer.poll_timeout(),
            Self::Turn(server) => server.poll_timeout(),
            _ => None,
        }
    }

    fn poll_stream(&mut self) -> Option<StreamRequest> {
        match self {
            Self::Peer(peer) => peer.poll_stream(),
            _ => None,
        }
    }

    fn handle_stream(&mut self, at: Instant, event: StreamEvent) {
        if let Self::Peer(peer) = self {
            peer.handle_stream(at, event);
        }
    }
}

/// Two peers and what is between them.
pub struct Net {
    pub world: World<Host>,
    pub a: NodeId,
    pub b: NodeId,
    /// The translators that tests have put between them.
    pub nats: Vec<NatId>,
    /// Whether candidates are signalled as they are found.
    pub trickle: bool,
    /// How much time passes between two looks at what is to be signalled.
    pub step: Duration,
}

pub fn ips(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|text| text.parse().expect("an address")).collect()
}

impl Net {
    pub fn new(seed: u64, link: Link, a: &[&str], b: &[&str]) -> Self {
        Self::with_configs(seed, link, (a, Config::default()), (b, Config::default()))
    }

    pub fn with_configs(seed: u64, link: Link, a: (&[&str], Config), b: (&[&str], Config)) -> Self {
        let mut world = World::new(seed);
        world.set_default_link(link);
        let mut add = |(addresses, config): (&[&str], Config)| {
            let addresses = ips(addresses);
            let rng: Rng = world.rng().child();
            let now = world.now();
            let listens = config.tcp.is_passive();
            let mut peer = Peer::new(Agent::new(config, rng), now);
            for ip in &addresses {
                let address = SocketAddr::new(*ip, PORT);
                peer.agent.add_local_address(now, address);
                if listens {
                    // The same port as that of the socket: nothing may take one for the other.
                    peer.agent.add_tcp_listener(now, address);
                    peer.streams.requests.push_back(StreamRequest::Listen(address));
                }
            }
            world.add_node(Host::Peer(peer), &addresses)
        };
        let (a, b) = (add(a), add(b));
        Self { world, a, b, nats: Vec::new(), trickle: true, step: ms(1) }
    }

    pub fn peer(&self, id: NodeId) -> &Peer {
        match self.world.node(id) {
            Host::Peer(peer) => peer,
            _ => panic!("not a peer"),
        }
    }

    pub fn peer_mut(&mut self, id: NodeId) -> &mut Peer {
        match self.world.node_mut(id) {
            Host::Peer(peer) => peer,
            _ => panic!("not a peer"),
        }
    }

    pub fn a(&self) -> &Peer {
        self.peer(self.a)
    }

    pub fn b(&self) -> &Peer {
        self.peer(self.b)
    }

    /// Gives a command to a peer at the current time.
    pub fn with<T>(&mut self, id: NodeId, command: impl FnOnce(&mut Agent, Instant) -> T) -> T {
        let now = self.world.now();
        let peer = self.peer_mut(id);
        peer.now = now;
        let result = command(&mut peer.agent, now);
        peer.drain();
        result
    }

    pub fn other(&self, id: NodeId) -> NodeId {
        if id == self.a { self.b } else { self.a }
    }

    /// Tells `to` what the other one signalled, and its role.
    pub fn signal(&mut self, to: NodeId, role: Role) {
        self.with(to, |agent, now| agent.set_role(now, role));
        self.tell(to);
    }

    /// Tells `to` the credentials of the other one.
    pub fn tell(&mut self, to: NodeId) {
        let credentials = self.peer(self.other(to)).agent.local_credentials().clone();
        self.with(to, |agent, now| agent.set_remote_credentials(now, credentials, false));
    }

    /// Restarts from one side, the other side follows; signalling takes no time.
    pub fn restart(&mut self, from: NodeId) {
        self.with(from, |agent, now| agent.restart(now));
        self.tell(self.other(from));
        self.tell(from);
    }

    /// Gathers and signals on both sides; `a` controls.
    pub fn start(&mut self) {
        for id in [self.a, self.b] {
            self.with(id, |agent, now| agent.gather(now));
        }
        self.signal(self.a, Role::Controlling);
        self.signal(self.b, Role::Controlled);
        self.exchange();
    }

    /// Signals the candidates found so far.
    pub fn exchange(&mut self) {
        for id in [self.a, self.b] {
            let to = self.other(id);
            for candidate in std::mem::take(&mut self.peer_mut(id).outbox) {
                let candidate = candidate.to_string().parse().expect("what was written parses");
                let _ = self.with(to, |agent, now| agent.add_remote_candidate(now, candidate));
            }
        }
    }

    /// Lets time pass, candidates being signalled as they are found.
    pub fn run(&mut self, time: Duration) {
        let end = self.world.now() + time;
        self.run_until(time, |_| false);
        debug_assert!(self.world.now() >= end);
    }

    pub fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.world.now() + limit;
        loop {
            if self.trickle {
                self.exchange();
            }
            if done(self) {
                return true;
            }
            let left = end.saturating_duration_since(self.world.now());
            if left.is_zero() {
                return false;
            }
            self.world.run_for(left.min(self.step));
        }
    }

    pub fn connected(&self) -> bool {
        [self.a, self.b]
            .iter()
            .all(|id| matches!(self.peer(*id).agent.state(), State::Connected | State::Completed))
    }

    pub fn nominated(&self) -> bool {
        self.a().is_nominated() && self.b().is_nominated()
    }

    /// Runs until both sides have nominated, and asserts that they took the same pair.
    pub fn connect(&mut self, limit: Duration) -> Duration {
        let start = self.world.elapsed();
        assert!(self.run_until(limit, Self::nominated), "seed {}: {:?}", self.world.seed(), self.a().agent);
        self.assert_same_path();
        self.world.elapsed() - start
    }

    pub fn assert_same_path(&self) {
        let (a, b) = (self.a().agent.selected_path(), self.b().agent.selected_path());
        let (a, b) = (a.expect("a pair"), b.expect("a pair"));
        assert_eq!((a.local.is_ipv4(), b.local.is_ipv4()), (a.remote.is_ipv4(), b.remote.is_ipv4()));
        assert_eq!(a.local.is_ipv4(), b.local.is_ipv4());
    }
}
