//! One agent, and a test that knows everything that its true peer knows: what it forges is as good as it likes.

use std::net::SocketAddr;
use std::time::Instant;

use taut_ice::{Agent, Config, Credentials, Role, State, Stats};
use taut_sansio::net::{Path, Received, Transmit};
use taut_sansio::rng::Rng;
use taut_stun::attribute::{ErrorCode, IceControlled, IceControlling, Priority, Username, XorMappedAddress};
use taut_stun::{
    Algorithm, Attribute, AttributeType, Builder, Class, Key, Message, Method, ParseError, TransactionId,
};

/// An attribute that nobody knows and everybody has to.
pub struct Strange;

impl Attribute<'_> for Strange {
    const TYPE: AttributeType = AttributeType(0x7777);

    fn parse(_: &[u8], _: TransactionId) -> Result<Self, ParseError> {
        Ok(Self)
    }

    fn write(&self, _: TransactionId, _: &mut Vec<u8>) {}
}

/// A check to `agent` from a controlling side that it does not know yet, or that has this ufrag; each `number` is another one.
pub fn check(agent: &Agent, remote_ufrag: &str, number: u32) -> Vec<u8> {
    let ours = agent.local_credentials();
    let mut id = [0; 12];
    id[..4].copy_from_slice(&number.to_be_bytes());
    let mut out = Vec::new();
    let _ = Builder::new(&mut out, Class::Request, Method::BINDING, TransactionId(id))
        .push(&Username::new(&format!("{}:{remote_ufrag}", ours.ufrag)))
        .push(&Priority(1_000_000 + number))
        .push(&IceControlling(1))
        .integrity(&Key::short_term(&ours.pwd), Algorithm::Sha1)
        .finish();
    out
}

/// An agent, and everything that its true peer knows.
pub struct Scene {
    pub agent: Agent,
    pub now: Instant,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub theirs: Credentials,
    pub counter: u8,
}

impl Scene {
    pub fn new(role: Role) -> Self {
        let now = Instant::now();
        let (local, remote) = ("192.0.2.1:5000".parse().unwrap(), "192.0.2.2:6000".parse().unwrap());
        let mut agent = Agent::new(Config::default(), Rng::from_u64(1));
        agent.add_local_address(now, local);
        let theirs = Credentials { ufrag: "them".into(), pwd: "their-password-0123456789".into() };
        agent.set_role(now, role);
        agent.set_remote_credentials(now, theirs.clone(), false);
        while agent.poll_event().is_some() {}
        Self { agent, now, local, remote, theirs, counter: 0 }
    }

    /// One whose agent knows nothing of its peer yet, and has no role.
    pub fn unsignaled(config: Config) -> Self {
        let mut scene = Self::new(Role::Controlled);
        scene.agent = Agent::new(config, Rng::from_u64(2));
        scene.agent.add_local_address(scene.now, scene.local);
        scene
    }

    /// The same, with a pair that is being checked.
    pub fn checking(role: Role) -> Self {
        let mut scene = Self::new(role);
        let text = format!("1 1 udp 2130706431 {} {} typ host", scene.remote.ip(), scene.remote.port());
        scene.agent.add_remote_candidate(scene.now, text.parse().unwrap()).unwrap();
        scene
    }

    /// The same, connected.
    pub fn connected(role: Role) -> Self {
        let mut scene = Self::checking(role);
        scene.answer_all();
        assert_eq!(scene.agent.state(), State::Connected);
        while scene.agent.poll_event().is_some() {}
        scene
    }

    pub fn path(&self) -> Path {
        Path::udp(self.local, self.remote)
    }

    /// Another way to the peer, which both sides have checked.
    pub fn second_way(&mut self) -> Path {
        let second = Path::udp(self.local, "192.0.2.3:6000".parse().unwrap());
        let check = self.good_check();
        self.give(second, &check);
        self.answer_all();
        second
    }

    pub fn our_key(&self) -> Key {
        Key::short_term(&self.agent.local_credentials().pwd)
    }

    pub fn their_key(&self) -> Key {
        Key::short_term(&self.theirs.pwd)
    }

    pub fn username(&self) -> String {
        format!("{}:{}", self.agent.local_credentials().ufrag, self.theirs.ufrag)
    }

    pub fn give(&mut self, path: Path, datagram: &[u8]) {
        let meta = Received { at: self.now, path, ecn: None };
        self.agent.handle_datagram(meta, datagram.into());
    }

    pub fn take(&mut self) -> Option<(Transmit, Vec<u8>)> {
        let mut out = Vec::new();
        self.agent.poll_transmit(self.now, 1, &mut out).map(|transmit| (transmit, out))
    }

    /// The next request that the agent sends.
    pub fn request(&mut self) -> Vec<u8> {
        loop {
            let (_, bytes) = self.take().expect("a request is due");
            if Message::parse(&bytes).unwrap().class() == Class::Request {
                return bytes;
            }
        }
    }

    pub fn next_id(&mut self) -> TransactionId {
        self.counter += 1;
        TransactionId([self.counter; 12])
    }

    /// A check as the true peer sends it, finished by `finish`.
    pub fn check(&mut self, username: &str, finish: impl FnOnce(Builder<'_>) -> Option<usize>) -> Vec<u8> {
        let mut out = Vec::new();
        let id = self.next_id();
        let builder = Builder::new(&mut out, Class::Request, Method::BINDING, id)
            .push(&Username::new(username))
            .push(&Priority(1_000_000));
        let builder = match self.agent.role() {
            Role::Controlled => builder.push(&IceControlling(1)),
            Role::Controlling => builder.push(&IceControlled(1)),
        };
        finish(builder).unwrap();
        out
    }

    pub fn good_check(&mut self) -> Vec<u8> {
        let (key, username) = (self.our_key(), self.username());
        self.check(&username, |b| b.integrity(&key, Algorithm::Sha1).fingerprint().finish())
    }

    pub fn reply(&self, request: &[u8], finish: impl FnOnce(Builder<'_>) -> Option<usize>) -> Vec<u8> {
        let mut out = Vec::new();
        let request = Message::parse(request).unwrap();
        let builder = Builder::answer(&mut out, Class::Success, &request).push(&XorMappedAddress(self.local));
        finish(builder).unwrap();
        out
    }

    pub fn good_reply(&self, request: &[u8]) -> Vec<u8> {
        let key = self.their_key();
        self.reply(request, |b| b.integrity(&key, Algorithm::Sha1).fingerprint().finish())
    }

    pub fn error(&self, request: &[u8], code: u16, key: Option<&Key>) -> Vec<u8> {
        let mut out = Vec::new();
        let request = Message::parse(request).unwrap();
        let builder = Builder::answer(&mut out, Class::Error, &request).push(&ErrorCode::new(code, "no"));
        let _ = match key {
            Some(key) => builder.integrity(key, Algorithm::Sha1).finish(),
            None => builder.finish(),
        };
        out
    }

    /// Answers everything that is asked now.
    pub fn answer_all(&mut self) {
        while let Some((transmit, bytes)) = self.take() {
            if Message::parse(&bytes).unwrap().class() == Class::Request {
                let reply = self.good_reply(&bytes);
                self.give(transmit.path, &reply);
            }
        }
    }

    /// Gives a datagram that must change nothing but one counter, and gets no answer.
    pub fn assert_dropped(&mut self, path: Path, datagram: &[u8], counter: impl Fn(&Stats) -> u64) {
        while self.take().is_some() || self.agent.poll_event().is_some() {}
        let (before, pairs, state) =
            (counter(&self.agent.stats()), self.agent.pair_stats(), self.agent.state());
        let selected = self.agent.selected_path();
        let validation = self.agent.validation(&path);
        let timeout = self.agent.poll_timeout();
        self.give(path, datagram);
        assert_eq!(counter(&self.agent.stats()), before + 1, "{:?}", self.agent.stats());
        assert!(self.take().is_none(), "no answer, no check");
        assert_eq!(self.agent.poll_event(), None);
        assert_eq!(self.agent.pair_stats(), pairs);
        assert_eq!(self.agent.validation(&path), validation);
        assert_eq!((self.agent.state(), self.agent.selected_path()), (state, selected));
        assert_eq!(self.agent.poll_timeout(), timeout);
    }
}
