//! A server and its clients in one place, with virtual time.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "shared by several tests; they start somewhere"
)]

pub mod play;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_sansio::net::{Path, Received, Transport};
use taut_sansio::rng::Rng;
use taut_sansio::time::{WallClock, earliest};
use taut_stun::attribute::{
    AdditionalAddressFamily, AddressFamily, ErrorCode, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm,
    Username,
};
use taut_stun::{Algorithm, Builder, Class, Key, Message, Method, TransactionId};
use taut_turn::server::{self, Server, ServerConfig};
use taut_turn::{Client, ClientConfig, Credentials, Deframer, Event, Relayed};

pub const SERVER: &str = "203.0.113.1:3478";
pub const RELAY_V4: &str = "203.0.113.2";
pub const RELAY_V6: &str = "2001:db8::2";
pub const PEER: &str = "198.51.100.7:5000";
/// Seconds since the Unix epoch at the start.
pub const UNIX: u64 = 1_700_000_000;

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn server_config() -> ServerConfig {
    ServerConfig::default()
        .with_user("ann", "secret")
        .with_shared_secret("north")
        .with_relay(RELAY_V4.parse::<std::net::IpAddr>().unwrap())
        .with_relay(RELAY_V6.parse::<std::net::IpAddr>().unwrap())
}

pub fn client_config() -> ClientConfig {
    ClientConfig::default().with_credentials(Credentials::new("ann", "secret"))
}

/// What a peer got: from where, and what.
pub type Inbox = Vec<(SocketAddr, Vec<u8>)>;

pub struct End {
    pub client: Client,
    pub transport: Transport,
    pub events: Vec<Event>,
    pub received: Vec<Relayed>,
    to_server: Deframer,
    to_client: Deframer,
}

pub struct Lab {
    pub start: Instant,
    pub now: Instant,
    /// `None` while the server is dead.
    pub server: Option<Server>,
    pub ends: Vec<End>,
    pub inboxes: BTreeMap<SocketAddr, Inbox>,
    /// Of a thousand datagrams between clients and server.
    pub lost: u32,
    /// Says whether a relay's socket can be bound.
    pub bindable: fn(SocketAddr) -> bool,
    pub bound: Vec<SocketAddr>,
    rng: Rng,
}

pub fn make_server(config: ServerConfig, now: Instant, unix: Duration, seed: u64) -> Server {
    Server::new(config, WallClock { instant: now, unix }, Rng::from_u64(seed)).unwrap()
}

impl Lab {
    pub fn new(config: ServerConfig) -> Self {
        let now = Instant::now();
        Self {
            start: now,
            now,
            server: Some(make_server(config, now, Duration::from_secs(UNIX), 1)),
            ends: Vec::new(),
            inboxes: BTreeMap::new(),
            lost: 0,
            bindable: |_| true,
            bound: Vec::new(),
            rng: Rng::from_u64(9),
        }
    }

    pub fn unix(&self) -> Duration {
        Duration::from_secs(UNIX) + (self.now - self.start)
    }

    pub fn add(&mut self, transport: Transport, config: ClientConfig) -> usize {
        let index = self.ends.len();
        let local = SocketAddr::from(([10, 0, 0, 1], 6_000 + index as u16));
        let rng = Rng::from_u64(100 + index as u64);
        let client = Client::new(self.now, config, transport, local, address(SERVER), rng);
        self.ends.push(End {
            client,
            transport,
            events: Vec::new(),
            received: Vec::new(),
            to_server: Deframer::new(),
            to_client: Deframer::new(),
        });
        self.settle();
        index
    }

    /// A lab with one client that has its allocation.
    pub fn allocated(transport: Transport) -> Self {
        let mut lab = Self::new(server_config());
        lab.add(transport, client_config());
        lab.run(Duration::from_secs(2));
        assert!(!lab.ends[0].client.relayed().is_empty(), "{:?}", lab.ends[0].events);
        lab
    }

    /// The same, with a permission for [`PEER`], and a channel.
    pub fn bound(transport: Transport) -> Self {
        let mut lab = Self::allocated(transport);
        lab.ends[0].client.bind(lab.now, address(PEER));
        lab.run(Duration::from_millis(10));
        lab
    }

    fn is_lost(&mut self) -> bool {
        self.rng.below(1_000) < self.lost
    }

    /// Moves everything that is on the way; no time passes.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut moved = false;
            for index in 0..self.ends.len() {
                moved |= self.settle_client(index);
            }
            moved |= self.settle_server();
            if !moved {
                return;
            }
        }
        panic!("it never ends");
    }

    fn settle_client(&mut self, index: usize) -> bool {
        let mut moved = false;
        let now = self.now;
        let mut out = Vec::new();
        while let Some(transmit) = self.ends[index].client.poll_transmit(now, 1, &mut out) {
            moved = true;
            assert_eq!(transmit.len, out.len());
            let datagram = std::mem::take(&mut out);
            self.carry_to_server(index, transmit.path, &datagram);
        }
        while let Some(event) = self.ends[index].client.poll_event() {
            moved = true;
            if let Event::Connect(server) = event {
                let alive = self.server.is_some();
                let end = &mut self.ends[index];
                (end.to_server, end.to_client) = (Deframer::new(), Deframer::new());
                if alive {
                    let local = SocketAddr::from(([10, 0, 0, 1], 7_000 + self.rng.u16() % 1_000));
                    let path = Path { transport: end.transport, local, remote: server };
                    end.client.handle_connected(now, path);
                } else {
                    end.client.handle_disconnected(now);
                }
            }
            self.ends[index].events.push(event);
        }
        moved
    }

    /// What a client sends, on its way.
    pub fn carry_to_server(&mut self, index: usize, path: Path, datagram: &[u8]) {
        let Path { transport, local, remote } = path;
        let meta =
            Received { at: self.now, path: Path { transport, local: remote, remote: local }, ecn: None };
        if transport == Transport::Udp {
            if !self.is_lost()
                && let Some(server) = &mut self.server
            {
                server.handle_datagram(meta, BytesMut::from(datagram));
            }
            return;
        }
        assert!(datagram.len().is_multiple_of(4), "padded");
        for octet in datagram.chunks(7) {
            self.ends[index].to_server.push(octet);
            while let Some(message) = self.ends[index].to_server.poll_message().unwrap() {
                if let Some(server) = &mut self.server {
                    server.handle_datagram(meta, message);
                }
            }
        }
    }

    fn settle_server(&mut self) -> bool {
        let now = self.now;
        let Some(server) = &mut self.server else { return false };
        let mut moved = false;
        while let Some(event) = server.poll_event() {
            moved = true;
            match event {
                server::Event::Bind(relay) => {
                    let bound = (self.bindable)(relay);
                    server.handle_bound(now, relay, if bound { Ok(()) } else { Err(()) });
                    if bound {
                        self.bound.push(relay);
                    }
                }
                server::Event::Unbind(relay) => self.bound.retain(|bound| *bound != relay),
                _ => {}
            }
        }
        let mut out = Vec::new();
        let mut sent = Vec::new();
        while let Some(transmit) = server.poll_transmit(now, 4, &mut out) {
            let octets = std::mem::take(&mut out);
            assert_eq!(transmit.len, octets.len());
            for datagram in octets.chunks(transmit.segment_size.unwrap_or(octets.len()).max(1)) {
                sent.push((transmit.path, datagram.to_vec()));
            }
            if octets.is_empty() {
                sent.push((transmit.path, Vec::new()));
            }
        }
        moved |= !sent.is_empty();
        for (path, datagram) in sent {
            self.carry_from_server(path, &datagram);
        }
        moved
    }

    fn carry_from_server(&mut self, path: Path, datagram: &[u8]) {
        let Path { transport, local, remote } = path;
        let back = Path { transport, local: remote, remote: local };
        if self.bound.contains(&local) {
            if self.bound.contains(&remote) {
                return self.server.as_mut().unwrap().handle_datagram(
                    Received { at: self.now, path: back, ecn: None },
                    BytesMut::from(datagram),
                );
            }
            return self.inboxes.entry(remote).or_default().push((local, datagram.to_vec()));
        }
        let Some(index) = self.ends.iter().position(|end| end.client.path() == Some(back)) else { return };
        if transport == Transport::Udp && self.is_lost() {
            return;
        }
        let meta = Received { at: self.now, path: back, ecn: None };
        let end = &mut self.ends[index];
        let mut messages = Vec::new();
        if transport == Transport::Udp {
            messages.push(BytesMut::from(datagram));
        } else {
            assert!(datagram.len().is_multiple_of(4), "padded");
            end.to_client.push(datagram);
            while let Some(message) = end.to_client.poll_message().unwrap() {
                messages.push(message);
            }
        }
        for message in messages {
            end.received.extend(end.client.handle_datagram(meta, message));
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        let mut turns = 0;
        loop {
            self.settle();
            let clients = self.ends.iter().filter_map(|end| end.client.poll_timeout()).min();
            let server = self.server.as_ref().and_then(Server::poll_timeout);
            let Some(next) = earliest(clients, server).filter(|next| *next <= until) else { break };
            turns = if next <= self.now { turns + 1 } else { 0 };
            assert!(turns < 100, "a timeout stays in the past");
            self.now = self.now.max(next);
            for end in &mut self.ends {
                end.client.handle_timeout(self.now);
            }
            if let Some(server) = &mut self.server {
                server.handle_timeout(self.now);
            }
        }
        self.now = until;
        self.settle();
    }

    /// Sends through the relay.
    pub fn send(&mut self, index: usize, peer: SocketAddr, payload: &[u8]) -> bool {
        let mut out = b"before".to_vec();
        let client = &mut self.ends[index].client;
        let overhead = client.overhead(peer);
        let Some(envelope) = client.open(peer, &mut out) else { return false };
        out.extend_from_slice(payload);
        let length = client.seal(envelope, &mut out).expect("it fits");
        assert_eq!(length, out.len() - 6);
        assert!(length <= overhead + payload.len(), "the overhead was told");
        let path = client.path().unwrap();
        self.carry_to_server(index, path, &out[6..]);
        self.settle();
        true
    }

    /// A peer sends to a relay.
    pub fn peer_sends(&mut self, peer: SocketAddr, relay: SocketAddr, payload: &[u8]) {
        let meta = Received { at: self.now, path: Path::udp(relay, peer), ecn: None };
        self.server.as_mut().unwrap().handle_datagram(meta, BytesMut::from(payload));
        self.settle();
    }

    pub fn relayed(&self, index: usize) -> SocketAddr {
        self.ends[index].client.relayed()[0]
    }

    pub fn server(&mut self) -> &mut Server {
        self.server.as_mut().unwrap()
    }
}

/// A client by hand, against a server alone.
pub struct Raw {
    pub now: Instant,
    pub server: Server,
    pub source: SocketAddr,
    pub username: String,
    pub password: String,
    pub challenge: Option<(String, String, bool)>,
    next: u8,
}

impl Raw {
    pub fn new(config: ServerConfig) -> Self {
        let now = Instant::now();
        Self {
            now,
            server: make_server(config, now, Duration::from_secs(UNIX), 2),
            source: address("192.0.2.77:4000"),
            username: "ann".into(),
            password: "secret".into(),
            challenge: None,
            next: 0,
        }
    }

    pub fn id(&mut self) -> TransactionId {
        self.next = self.next.wrapping_add(1);
        TransactionId([self.next; 12])
    }

    pub fn path(&self) -> Path {
        Path::udp(address(SERVER), self.source)
    }

    /// Gives the server a datagram, grants it every socket, and returns all that it sends.
    pub fn give(&mut self, path: Path, datagram: &[u8]) -> Vec<(Path, Vec<u8>)> {
        let meta = Received { at: self.now, path, ecn: None };
        self.server.handle_datagram(meta, BytesMut::from(datagram));
        while let Some(event) = self.server.poll_event() {
            if let server::Event::Bind(relay) = event {
                self.server.handle_bound(self.now, relay, Ok(()));
            }
        }
        let mut sent = Vec::new();
        let mut out = Vec::new();
        while let Some(transmit) = self.server.poll_transmit(self.now, 1, &mut out) {
            sent.push((transmit.path, std::mem::take(&mut out)));
        }
        sent
    }

    /// A datagram of a client, and the answer.
    pub fn ask(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let path = self.path();
        let mut answers = self.give(path, datagram);
        assert!(answers.len() <= 1, "one answer at most");
        let (to, answer) = answers.pop()?;
        assert_eq!(to, path);
        Some(answer)
    }

    pub fn key(&self) -> Key {
        let (realm, _, sha256) = self.challenge.as_ref().expect("a challenge");
        match sha256 {
            true => Key::long_term_sha256(&self.username, realm, &self.password),
            false => Key::long_term_md5(&self.username, realm, &self.password),
        }
    }

    /// Writes a request as one would who was challenged.
    pub fn signed(&mut self, method: Method, push: impl FnOnce(Builder<'_>) -> Builder<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let id = self.id();
        let builder = push(Builder::new(&mut out, Class::Request, method, id));
        let (realm, nonce, sha256) = self.challenge.clone().expect("a challenge");
        let mut builder =
            builder.push(&Username::new(&self.username)).push(&Realm::new(&realm)).push(&Nonce::new(&nonce));
        let mut algorithm = Algorithm::Sha1;
        if sha256 {
            let list = [PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5];
            builder = builder.push(&PasswordAlgorithms::from_iter(list)).push(&PasswordAlgorithm::Sha256);
            algorithm = Algorithm::Sha256;
        }
        builder.integrity(&self.key(), algorithm).finish().unwrap();
        out
    }

    /// A request as above, and its answer: `Ok`, or the number of the error.
    pub fn request(
        &mut self,
        method: Method,
        push: impl FnOnce(Builder<'_>) -> Builder<'_>,
    ) -> Result<Vec<u8>, u16> {
        let request = self.signed(method, push);
        let answer = self.ask(&request).expect("an answer");
        let message = Message::parse(&answer).unwrap();
        match message.class() {
            Class::Success => {
                assert!(message.verify(&self.key()).is_ok(), "a grant is signed");
                Ok(answer)
            }
            _ => Err(code(&answer)),
        }
    }

    /// Gets a challenge, with an Allocate of the shortest kind or padded to `length`.
    pub fn get_challenged(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let id = self.id();
        let builder = Builder::new(&mut out, Class::Request, Method::ALLOCATE, id);
        let transport = taut_stun::attribute::RequestedTransport::UDP;
        builder.push(&transport).finish().unwrap();
        let answer = self.ask(&out).expect("a challenge");
        self.learn(&answer);
        answer
    }

    pub fn learn(&mut self, answer: &[u8]) {
        let message = Message::parse(answer).unwrap();
        let realm = message.get::<Realm<'_>>().unwrap().unwrap().text().to_owned();
        let nonce = message.get::<Nonce<'_>>().unwrap().unwrap().text().to_owned();
        let algorithms = message.get::<PasswordAlgorithms>().unwrap();
        self.challenge = Some((realm, nonce, algorithms.is_some()));
    }

    pub fn allocate(&mut self) -> Result<Vec<u8>, u16> {
        let transport = taut_stun::attribute::RequestedTransport::UDP;
        self.request(Method::ALLOCATE, |builder| builder.push(&transport))
    }

    /// One that has an allocation.
    pub fn allocated(config: ServerConfig) -> Self {
        let mut raw = Self::new(config);
        raw.get_challenged();
        raw.allocate().unwrap();
        raw
    }

    /// The same, with a relay of each family.
    pub fn allocated_both(config: ServerConfig) -> Self {
        let mut raw = Self::new(config);
        raw.get_challenged();
        let udp = taut_stun::attribute::RequestedTransport::UDP;
        let additional = AdditionalAddressFamily(AddressFamily::V6);
        raw.request(Method::ALLOCATE, |builder| builder.push(&udp).push(&additional)).unwrap();
        raw
    }
}

/// The number of an error.
pub fn code(answer: &[u8]) -> u16 {
    let message = Message::parse(answer).unwrap();
    assert_eq!(message.class(), Class::Error);
    message.get::<ErrorCode<'_>>().unwrap().unwrap().code
}
