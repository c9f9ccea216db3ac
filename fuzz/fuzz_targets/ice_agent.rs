//! Two agents, connected first if the flags say so; then commands, fuzzed datagrams, and checks with the right
//! password and any content.
#![no_main]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use taut_fuzz::{Machine, OPERATIONS, change, drain, settle, time};
use taut_ice::{
    Agent, Candidate, Config, Credentials, Event, Host, Loopback, ResolveId, Role, StunServer, Validation,
};
use taut_sansio::net::{Path, Received};
use taut_sansio::rng::Rng;
use taut_stun::attribute::{
    ErrorCode, IceControlled, IceControlling, Priority, UseCandidate, Username, XorMappedAddress,
};
use taut_stun::{Algorithm, Builder, Class, Key, Message, Method, TransactionId};

struct Side {
    agent: Agent,
    wire: VecDeque<(Path, Vec<u8>)>,
    candidates: Vec<Candidate>,
    resolve: Option<ResolveId>,
}

/// Small sets, so that operations meet each other.
fn address(number: u16) -> SocketAddr {
    let octets = number.to_be_bytes();
    match octets[0] % 4 {
        0 | 1 => SocketAddr::from(([192, 0, 2, octets[1] % 8 + 1], 5_000)),
        2 => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(octets[1] % 4) + 1], 5_000)),
        _ => SocketAddr::from((octets[1..].iter().fold([octets[1]; 4], |ip, _| ip), number)),
    }
}

impl Side {
    fn new(seed: u64, local: u16) -> Self {
        let now = Instant::now();
        let server = StunServer { host: Host::Ip([192, 0, 2, 200].into()), port: 3478 };
        let named = StunServer { host: Host::Name("stun.example".into()), port: 3478 };
        let config = Config::default().with_stun_servers(vec![server, named]).with_loopback(Loopback::Always);
        let mut agent = Agent::new(config, Rng::from_u64(seed));
        agent.add_local_address(now, address(local));
        Self { agent, wire: VecDeque::new(), candidates: Vec::new(), resolve: None }
    }
}

impl Machine for Side {
    fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
    }

    fn poll(&mut self, now: Instant) {
        drain(|| {
            let mut out = Vec::new();
            let Some(transmit) = self.agent.poll_transmit(now, 8, &mut out) else { return false };
            assert_eq!(transmit.len, out.len());
            let size = transmit.segment_size.unwrap_or(out.len()).max(1);
            for datagram in out.chunks(size).take(256 - self.wire.len().min(256)) {
                self.wire.push_back((transmit.path, datagram.to_vec()));
            }
            true
        });
        drain(|| {
            let Some(event) = self.agent.poll_event() else { return false };
            match event {
                Event::LocalCandidate(candidate) => self.candidates.push(candidate),
                Event::Resolve { id, .. } => self.resolve = Some(id),
                Event::SelectedPairChanged { path } => {
                    assert_ne!(self.agent.validation(&path), Validation::Unknown);
                }
                _ => {}
            }
            true
        });
        if let Some(path) = self.agent.selected_path() {
            assert_eq!(self.agent.validation(&path), Validation::Validated, "data would go to anybody");
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.agent.poll_timeout()
    }
}

fn exchange(sides: &mut [Side; 2], now: Instant) {
    for _ in 0..16 {
        settle(&mut sides[0], now);
        settle(&mut sides[1], now);
        if sides.iter().all(|side| side.wire.is_empty()) {
            return;
        }
        for (from, to) in [(0, 1), (1, 0)] {
            for (path, datagram) in std::mem::take(&mut sides[from].wire) {
                let path = Path { local: path.remote, remote: path.local, ..path };
                let meta = Received { at: now, path, ecn: None };
                sides[to].agent.handle_datagram(meta, BytesMut::from(&datagram[..]));
            }
        }
    }
}

fn introduce(sides: &mut [Side; 2], now: Instant, lite: bool) {
    for (near, far, role) in [(0, 1, Role::Controlling), (1, 0, Role::Controlled)] {
        let credentials = sides[far].agent.local_credentials().clone();
        sides[near].agent.set_role(now, role);
        sides[near].agent.set_remote_credentials(now, credentials, lite && near == 0);
    }
    for (near, far) in [(0, 1), (1, 0)] {
        for candidate in sides[far].candidates.clone() {
            let _ = sides[near].agent.add_remote_candidate(now, candidate);
        }
    }
}

/// A message that the integrity check lets through. `seen` is a request of the agent, to answer it.
fn forge(
    ours: &Credentials,
    theirs: &Credentials,
    seen: Option<&[u8]>,
    argument: u16,
    octets: &[u8],
) -> Vec<u8> {
    let at = |n: usize| octets.get(n).copied().unwrap_or(0);
    let class = [Class::Request, Class::Success, Class::Error, Class::Indication][usize::from(argument & 3)];
    let mut id = TransactionId([at(0); 12]);
    if let Some(Ok(message)) = seen.map(Message::parse) {
        id = message.transaction_id();
    }
    // A request is protected with the password of who gets it, an answer with that of who gives it.
    let key =
        Key::short_term(if matches!(class, Class::Success | Class::Error) { &theirs.pwd } else { &ours.pwd });
    let mut out = Vec::new();
    let mut builder = Builder::new(&mut out, class, Method::BINDING, id);
    if argument & 4 != 0 {
        builder = builder.push(&XorMappedAddress(address(u16::from_be_bytes([at(1), at(2)]))));
    }
    if argument & 8 != 0 {
        builder = builder.push(&Username::new(&format!("{}:{}", ours.ufrag, theirs.ufrag)));
    }
    if argument & 16 != 0 {
        builder = builder.push(&Priority(u32::from_be_bytes([at(3), at(4), at(5), at(6)])));
    }
    if argument & 32 != 0 {
        builder = builder.push(&UseCandidate);
    }
    if argument & 64 != 0 {
        builder = builder.push(&IceControlling(u64::from(at(7)) << 56));
    }
    if argument & 128 != 0 {
        builder = builder.push(&IceControlled(u64::from(at(7)) << 56));
    }
    if argument & 256 != 0 {
        builder = builder.push(&ErrorCode::new(300 + u16::from(at(8)) * 2 % 400, "r"));
    }
    let _ = builder.integrity(&key, Algorithm::Sha1).fingerprint().finish();
    out
}

fuzz_target!(|input: (u8, Vec<(u8, u16, Vec<u8>)>)| {
    let (flags, operations) = input;
    let mut now = Instant::now();
    let mut sides = [Side::new(1, 0), Side::new(2, 1)];
    for side in &mut sides {
        if flags & 1 != 0 {
            side.agent.gather(now);
        }
        settle(side, now);
    }
    if flags & 2 != 0 {
        introduce(&mut sides, now, flags & 8 != 0);
    }
    if flags & 4 != 0 {
        for _ in 0..8 {
            exchange(&mut sides, now);
            now += time(20);
        }
    }
    for (operation, argument, octets) in operations.into_iter().take(OPERATIONS) {
        let (near, far) = if operation & 0x80 == 0 { (0, 1) } else { (1, 0) };
        let index = usize::from(argument) % sides[far].wire.len().max(1);
        let (theirs, packet) =
            (sides[far].agent.local_credentials().clone(), sides[far].wire.get(index).cloned());
        let side = &mut sides[near];
        let ours = side.agent.local_credentials().clone();
        let agent = &mut side.agent;
        let at = |n: usize| u16::from(octets.get(n).copied().unwrap_or(0));
        match operation & 0x7f {
            0..=6 => {
                let seen = side.wire.get(usize::from(at(9)) % side.wire.len().max(1)).cloned();
                let path = match &seen {
                    Some((path, _)) if argument & 512 == 0 => *path,
                    _ => Path::udp(address(near as u16), address(at(10) << 8 | at(11))),
                };
                let message = forge(&ours, &theirs, seen.as_ref().map(|(_, m)| &m[..]), argument, &octets);
                agent.handle_datagram(Received { at: now, path, ecn: None }, BytesMut::from(&message[..]));
            }
            7 => {
                let Some((path, mut datagram)) = packet else { continue };
                change(&mut datagram, &octets);
                let path = Path { local: path.remote, remote: path.local, ..path };
                agent.handle_datagram(Received { at: now, path, ecn: None }, BytesMut::from(&datagram[..]));
            }
            8 => {
                let local = if argument & 1 == 0 { address(near as u16) } else { taut_mdns::LOCAL_V4 };
                let path = Path::udp(local, address(argument));
                agent.handle_datagram(Received { at: now, path, ecn: None }, BytesMut::from(&octets[..]));
            }
            9..=11 => exchange(&mut sides, now),
            12 => side.wire.clear(),
            13 => now += time(argument),
            14 => now = now.max(agent.poll_timeout().unwrap_or(now)),
            15 => agent.add_local_address(now, address(argument)),
            16 => agent.remove_local_address(now, address(argument)),
            17..=18 => {
                let to = address(argument);
                let text = format!("1 1 udp {} {} {} typ host", at(0) << 8 | at(1), to.ip(), to.port());
                let Ok(candidate) = text.parse() else { continue };
                let _ = agent.add_remote_candidate(now, candidate);
            }
            19 => {
                let Ok(candidate) = String::from_utf8_lossy(&octets).parse() else { continue };
                let _ = agent.add_remote_candidate(now, candidate);
            }
            20 => agent.end_of_remote_candidates(now),
            21 => agent.gather(now),
            22 => agent.set_role(now, if argument & 1 == 0 { Role::Controlling } else { Role::Controlled }),
            23 => agent.set_remote_credentials(now, theirs, argument & 1 == 0),
            24 => introduce(&mut sides, now, argument & 1 == 0),
            25 => {
                let Some(id) = side.resolve else { continue };
                let answer = if argument & 1 == 0 { Ok(vec![address(argument).ip()]) } else { Err(()) };
                agent.handle_resolved(now, id, answer);
            }
            26 => {
                let path = agent.selected_path().unwrap_or(Path::udp(address(0), address(1)));
                agent.handle_writable(path, argument & 1 == 0);
            }
            27 => agent.close(now),
            28 => agent.restart(now),
            29 => agent.roll_back_restart(now),
            30 => drop(agent.report().to_string()),
            _ => continue,
        }
        settle(&mut sides[near], now);
    }
    exchange(&mut sides, now);
});
