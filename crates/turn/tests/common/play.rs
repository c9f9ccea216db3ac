//! A client whose server is played by the test.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_sansio::net::{Path, Received, Transport};
use taut_sansio::rng::Rng;
use taut_stun::attribute::{ErrorCode, Lifetime, Nonce, Realm, XorMappedAddress, XorRelayedAddress};
use taut_stun::{Algorithm, Attribute, Builder, Class, Key, Message, Method};
use taut_turn::{Client, ClientConfig, CloseReason, Event, Relayed};

use super::{SERVER, address, client_config};

pub const NONCE: &str = "n0";
pub const REALM: &str = "r";

/// A client whose server is played by the test.
pub struct Play {
    pub now: Instant,
    pub client: Client,
    pub path: Path,
}

pub type Push<'p> = &'p dyn for<'b> Fn(Builder<'b>) -> Builder<'b>;

impl Play {
    pub fn new() -> Self {
        Self::with(client_config())
    }

    pub fn with(config: ClientConfig) -> Self {
        Self::over(Transport::Udp, config)
    }

    fn over(transport: Transport, config: ClientConfig) -> Self {
        let now = Instant::now();
        let path = Path { transport, ..Path::udp(address("10.0.0.1:6000"), address(SERVER)) };
        let client = Client::new(now, config, transport, path.local, path.remote, Rng::from_u64(5));
        Self { now, client, path }
    }

    /// One whose server is reached over TCP, and whose stream is opening.
    pub fn stream() -> Self {
        let mut play = Self::over(Transport::Tcp, client_config());
        assert_eq!(play.client.poll_event(), Some(Event::Connect(play.path.remote)));
        play
    }

    pub fn next(&mut self) -> Option<(Path, Vec<u8>)> {
        let mut out = Vec::new();
        self.client.poll_transmit(self.now, 1, &mut out).map(|transmit| (transmit.path, out))
    }

    /// The next request; there must be one.
    pub fn request(&mut self) -> Vec<u8> {
        self.next().expect("a request").1
    }

    pub fn key() -> Key {
        Key::long_term_md5("ann", REALM, "secret")
    }

    pub fn give(&mut self, datagram: &[u8]) -> Option<Relayed> {
        let meta = Received { at: self.now, path: self.path, ecn: None };
        self.client.handle_datagram(meta, BytesMut::from(datagram))
    }

    pub fn answer(&mut self, request: &[u8], class: Class, key: Option<&Key>, push: Push<'_>) {
        let mut out = Vec::new();
        let builder = push(Builder::answer(&mut out, class, &Message::parse(request).unwrap()));
        match key {
            Some(key) => builder.integrity(key, Algorithm::Sha1).finish().unwrap(),
            None => builder.finish().unwrap(),
        };
        self.give(&out);
    }

    pub fn refuse(&mut self, request: &[u8], code: u16, key: Option<&Key>) {
        self.answer(request, Class::Error, key, &|b| b.push(&ErrorCode::new(code, "no")));
    }

    pub fn challenge(&mut self, request: &[u8], code: u16, nonce: &'static str) {
        self.answer(request, Class::Error, None, &|b| {
            b.push(&ErrorCode::new(code, "")).push(&Realm::new(REALM)).push(&Nonce::new(nonce))
        });
    }

    /// Answers the first request with a challenge. The next one, which is signed.
    pub fn challenged(&mut self) -> Vec<u8> {
        let first = self.request();
        self.challenge(&first, 401, NONCE);
        self.request()
    }

    pub fn grant(&mut self, request: &[u8]) {
        self.answer(request, Class::Success, Some(&Self::key()), &granted);
    }

    /// Brings the client to an allocation.
    pub fn allocated() -> Self {
        let mut play = Self::new();
        play.allocate();
        play
    }

    /// Answers the requests that lead to an allocation.
    pub fn allocate(&mut self) {
        let request = self.challenged();
        self.grant(&request);
        assert!(matches!(self.client.poll_event(), Some(Event::Allocated { .. })));
    }

    pub fn closed(&mut self) -> Option<CloseReason> {
        std::iter::from_fn(|| self.client.poll_event()).find_map(|event| match event {
            Event::Closed(reason) => Some(reason),
            _ => None,
        })
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.client.handle_timeout(self.now);
    }
}

pub fn granted(builder: Builder<'_>) -> Builder<'_> {
    builder
        .push(&XorRelayedAddress(address("203.0.113.2:50000")))
        .push(&XorMappedAddress(address("198.51.100.1:6000")))
        .push(&Lifetime(600))
}

pub fn method(request: &[u8]) -> Method {
    Message::parse(request).unwrap().method()
}

pub fn get<'a, A: Attribute<'a>>(request: &'a [u8]) -> Option<A> {
    Message::parse(request).unwrap().get().unwrap()
}
