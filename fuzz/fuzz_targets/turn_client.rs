//! A TURN client and its server, over datagrams or a stream; then answers with the right key and any content, losses,
//! commands and time.
#![no_main]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use taut_fuzz::turn::{LISTENS, address, poll_server, server};
use taut_fuzz::{Machine, OPERATIONS, change, drain, lose, settle, time};
use taut_sansio::net::{Path, Received, Transport};
use taut_sansio::rng::Rng;
use taut_stun::attribute::{
    AlternateServer, ErrorCode, Lifetime, Nonce, Realm, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use taut_stun::{Algorithm, Builder, Class, Key, Message, TransactionId};
use taut_turn::server::Server;
use taut_turn::{Client, ClientConfig, Credentials, Event, MAX_EVENTS};

struct Side {
    client: Client,
    server: Server,
    to_server: VecDeque<(Path, Vec<u8>)>,
    to_client: VecDeque<(Path, Vec<u8>)>,
    transport: Transport,
    closed: bool,
    streams: u16,
}

impl Machine for Side {
    fn handle_timeout(&mut self, now: Instant) {
        self.client.handle_timeout(now);
        self.server.handle_timeout(now);
    }

    fn poll(&mut self, now: Instant) {
        drain(|| {
            let mut out = Vec::new();
            let Some(transmit) = self.client.poll_transmit(now, 8, &mut out) else { return false };
            assert_eq!(transmit.len, out.len());
            assert!(!self.closed, "nothing is sent after the end");
            if self.to_server.len() < 64 {
                self.to_server.push_back((transmit.path, out));
            }
            true
        });
        let mut told = 0;
        while let Some(event) = self.client.poll_event() {
            told += 1;
            assert!(told <= MAX_EVENTS, "more events than fit");
            match event {
                Event::Connect(to) => {
                    assert_ne!(self.transport, Transport::Udp);
                    self.streams = self.streams.wrapping_add(1);
                    let local = SocketAddr::from(([192, 0, 2, 1], 1 + self.streams));
                    self.client.handle_connected(now, Path { transport: self.transport, local, remote: to });
                }
                Event::Closed(_) => self.closed = true,
                Event::Allocated { relayed, .. } => assert!(!relayed.is_empty() && relayed.len() <= 2),
                _ => {}
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.client.poll_timeout()
    }
}

/// An answer to what the client has asked, or something like it.
fn forge(seen: Option<&[u8]>, argument: u16, octets: &[u8]) -> Vec<u8> {
    let at = |n: usize| octets.get(n).copied().unwrap_or(0);
    let number = |n: usize| u16::from_be_bytes([at(n), at(n + 1)]);
    let mut id = TransactionId([at(0); 12]);
    let mut method = taut_stun::Method::DATA;
    if let Some(Ok(message)) = seen.map(Message::parse) {
        (id, method) = (message.transaction_id(), message.method());
    }
    let class = [Class::Success, Class::Error, Class::Indication, Class::Request][usize::from(argument & 3)];
    let mut out = Vec::new();
    let mut builder = Builder::new(&mut out, class, method, id);
    if argument & 4 != 0 {
        let codes = [300, 401, 403, 437, 438, 440, 442, 443, 486, 508, 400, 500];
        builder = builder.push(&ErrorCode::new(codes[usize::from(at(1)) % codes.len()], "r"));
    }
    if argument & 8 != 0 {
        builder = builder.push(&XorRelayedAddress(address(number(2))));
    }
    if argument & 16 != 0 {
        builder = builder.push(&XorMappedAddress(address(number(4))));
    }
    if argument & 32 != 0 {
        builder = builder.push(&Lifetime(u32::from(number(6))));
    }
    if argument & 64 != 0 {
        builder = builder.push(&AlternateServer(address(number(8))));
    }
    if argument & 128 != 0 {
        builder = builder.push(&Realm::new("taut")).push(&Nonce::new("nonce"));
    }
    if argument & 256 != 0 {
        builder = builder.push(&XorPeerAddress(address(number(10))));
    }
    if argument & 512 == 0 {
        builder = builder.integrity(&Key::long_term_md5("ann", "taut", "secret"), Algorithm::Sha1);
    }
    let _ = builder.finish();
    out
}

fn exchange(side: &mut Side, now: Instant) {
    for _ in 0..16 {
        settle(side, now);
        if side.to_server.is_empty() && side.to_client.is_empty() {
            return;
        }
        for (path, datagram) in std::mem::take(&mut side.to_server) {
            let path = Path { local: path.remote, remote: path.local, ..path };
            side.server.handle_datagram(Received { at: now, path, ecn: None }, BytesMut::from(&datagram[..]));
        }
        side.to_client.extend(poll_server(&mut side.server, now, true));
        for (path, datagram) in std::mem::take(&mut side.to_client) {
            let path = Path { local: path.remote, remote: path.local, ..path };
            let meta = Received { at: now, path, ecn: None };
            side.client.handle_datagram(meta, BytesMut::from(&datagram[..]));
        }
    }
}

fuzz_target!(|input: (u8, Vec<(u8, u16, Vec<u8>)>)| {
    let (flags, operations) = input;
    let mut now = Instant::now();
    let transport = if flags & 1 == 0 { Transport::Udp } else { Transport::Tcp };
    let config = ClientConfig::default().with_credentials(Credentials::new("ann", "secret"));
    let local = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let client = Client::new(now, config, transport, local, LISTENS.into(), Rng::from_u64(1));
    let mut side = Side {
        client,
        server: server(now, 1),
        to_server: VecDeque::new(),
        to_client: VecDeque::new(),
        transport,
        closed: false,
        streams: 0,
    };
    if flags & 2 != 0 {
        exchange(&mut side, now);
        assert!(!side.client.relayed().is_empty());
    }
    for (operation, argument, octets) in operations.into_iter().take(OPERATIONS) {
        match operation % 24 {
            0..=5 => {
                let index = usize::from(argument >> 12) % side.to_server.len().max(1);
                let seen = side.to_server.get(index).cloned();
                let path = seen.as_ref().map_or(Path::udp(local, LISTENS.into()), |(path, _)| *path);
                let mut message = forge(seen.as_ref().map(|(_, message)| &message[..]), argument, &octets);
                if operation == 5 {
                    change(&mut message, octets.get(..3).unwrap_or_default());
                }
                side.client
                    .handle_datagram(Received { at: now, path, ecn: None }, BytesMut::from(&message[..]));
            }
            6 | 7 => {
                let path = side.client.path().unwrap_or(Path::udp(local, LISTENS.into()));
                side.client
                    .handle_datagram(Received { at: now, path, ecn: None }, BytesMut::from(&octets[..]));
            }
            8 => side.client.permit(now, address(argument).ip()),
            9 => side.client.bind(now, address(argument)),
            10 => side.client.forget(address(argument).ip()),
            11 => side.client.handle_disconnected(now),
            12 if argument & 15 == 0 => side.client.close(now),
            13 => side.server = server(now, u64::from(argument)),
            14 => lose(&mut side.to_server),
            15 | 16 => {
                let mut out = b"before".to_vec();
                let peer = address(argument);
                let most = side.client.overhead(peer) + octets.len();
                if let Some(envelope) = side.client.open(peer, &mut out) {
                    out.extend_from_slice(&octets);
                    let length = side.client.seal(envelope, &mut out).expect("it fits");
                    assert!(length <= most && out.len() == length + 6 && out.starts_with(b"before"));
                }
            }
            17..=20 => exchange(&mut side, now),
            _ => now += time(argument),
        }
        settle(&mut side, now);
        if side.closed {
            assert!(side.client.relayed().is_empty() && side.client.poll_timeout().is_none());
        }
    }
});
