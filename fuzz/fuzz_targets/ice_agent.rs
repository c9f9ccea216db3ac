//! Two agents, connected first if the flags say so, over UDP or TCP; then commands, connections that open, come in and end, fuzzed
//! datagrams, and checks with the right password and any content.
#![no_main]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use taut_fuzz::streams::{Streams, through_frame};
use taut_fuzz::{Machine, OPERATIONS, change, drain, settle, time};
use taut_ice::{
    Agent, Candidate, Config, Credentials, Event, Host, Loopback, Policy, ResolveId, Role, StunServer, TcpId,
    TcpPolicy, TurnServer, TurnTransport, Validation,
};
use taut_sansio::net::{Path, Received, Transport};
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
    streams: Streams,
    /// Whether datagrams get through to the other side.
    udp: bool,
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

/// A listener, or the other end of one's connections.
fn listener(number: u16) -> SocketAddr {
    let mut address = address(number);
    address.set_port(6_000 + number % 2);
    address
}

fn connection(local: SocketAddr, remote: SocketAddr) -> Path {
    Path { transport: Transport::Tcp, local, remote }
}

fn reverse(path: Path) -> Path {
    Path { local: path.remote, remote: path.local, ..path }
}

/// Some of the servers that there are; none answers.
fn servers(choice: u16) -> (Vec<StunServer>, Vec<TurnServer>) {
    let chosen = |bit: u16| choice >> bit & 1 == 1;
    let hosts = [Host::Ip([192, 0, 2, 200].into()), Host::Name("stun.example".into())];
    let stun = (0..2).zip(hosts.clone()).filter(|(bit, _)| chosen(*bit));
    let stun = stun.map(|(_, host)| StunServer { host, port: 3478 }).collect();
    let transports = [TurnTransport::Udp, TurnTransport::Tcp, TurnTransport::Tls, TurnTransport::Udp];
    let turn = (2..6).zip(transports).filter(|(bit, _)| chosen(*bit)).map(|(bit, transport)| TurnServer {
        host: hosts[usize::from(bit / 5)].clone(),
        port: 3479,
        transport,
        username: if chosen(6) { "ann" } else { "bob" }.into(),
        password: "secret".into(),
    });
    (stun, turn.collect())
}

/// The TCP candidates of both sides.
fn policies(flags: u8) -> [TcpPolicy; 2] {
    match flags >> 4 & 3 {
        0 => [TcpPolicy::Off, TcpPolicy::Off],
        1 => [TcpPolicy::Active, TcpPolicy::Passive],
        2 => [TcpPolicy::Passive, TcpPolicy::Both],
        _ => [TcpPolicy::Both, TcpPolicy::Both],
    }
}

impl Side {
    fn new(now: Instant, seed: u64, local: u16, tcp: TcpPolicy, udp: bool) -> Self {
        let server = StunServer { host: Host::Ip([192, 0, 2, 200].into()), port: 3478 };
        let named = StunServer { host: Host::Name("stun.example".into()), port: 3478 };
        let config = Config::default()
            .with_stun_servers(vec![server, named])
            .with_loopback(Loopback::Always)
            .with_tcp(tcp);
        let mut agent = Agent::new(config, Rng::from_u64(seed));
        agent.add_local_address(now, address(local));
        let mut streams = Streams::new(tcp);
        streams.listen(&mut agent, now, listener(local));
        Self { agent, wire: VecDeque::new(), candidates: Vec::new(), resolve: None, streams, udp }
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
            self.streams.on_transmit(&self.agent, &transmit.path);
            let size = transmit.segment_size.unwrap_or(out.len()).max(1);
            for datagram in out.chunks(size).take(256 - self.wire.len().min(256)) {
                self.wire.push_back((transmit.path, datagram.to_vec()));
            }
            true
        });
        drain(|| {
            let Some(event) = self.agent.poll_event() else { return false };
            self.streams.on_event(now, &event);
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
        self.streams.check(&self.agent, now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.agent.poll_timeout()
    }
}

/// Opens what was asked for and has a listener on the other side.
fn connect(sides: &mut [Side; 2], now: Instant) {
    for (from, to) in [(0, 1), (1, 0)] {
        for asked in sides[from].streams.asked.clone() {
            if sides[to].streams.listeners.contains(&asked.remote) {
                let Side { agent, streams, .. } = &mut sides[from];
                let path = streams.path(&asked);
                streams.answer(agent, now, asked.id, Some(path));
                let Side { agent, streams, .. } = &mut sides[to];
                streams.accept(agent, now, reverse(path));
                settle(&mut sides[to], now);
            }
        }
    }
}

/// Tells each side which connections the other one has ended.
fn hang_up(sides: &mut [Side; 2], now: Instant) {
    for (from, to) in [(0, 1), (1, 0)] {
        for path in std::mem::take(&mut sides[from].streams.ended) {
            let Side { agent, streams, .. } = &mut sides[to];
            streams.close(agent, now, reverse(path));
            settle(&mut sides[to], now);
        }
    }
}

fn exchange(sides: &mut [Side; 2], now: Instant) {
    for _ in 0..16 {
        settle(&mut sides[0], now);
        settle(&mut sides[1], now);
        connect(sides, now);
        if sides.iter().all(|side| side.wire.is_empty() && side.streams.ended.is_empty()) {
            break;
        }
        for (from, to) in [(0, 1), (1, 0)] {
            for (path, datagram) in std::mem::take(&mut sides[from].wire) {
                let datagram = match path.transport {
                    Transport::Udp if !sides[from].udp => continue,
                    Transport::Udp => BytesMut::from(&datagram[..]),
                    _ => through_frame(&datagram),
                };
                let meta = Received { at: now, path: reverse(path), ecn: None };
                sides[to].agent.handle_datagram(meta, datagram);
            }
        }
        hang_up(sides, now);
    }
    settle(&mut sides[0], now);
    settle(&mut sides[1], now);
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

/// What happens to connections.
fn stream_operation(side: &mut Side, now: Instant, operation: u8, argument: u16, ids: [&[TcpId]; 2]) {
    let Side { agent, streams, .. } = side;
    let index = usize::from(argument >> 4);
    let open = streams.open.get(index % streams.open.len().max(1)).copied();
    match operation {
        0 => streams.listen(agent, now, listener(argument)),
        1 => streams.stop_listening(agent, now, listener(argument)),
        2 | 3 => {
            let Some(asked) = streams.asked.get(index % streams.asked.len().max(1)).copied() else { return };
            let path = streams.path(&asked);
            streams.answer(agent, now, asked.id, Some(path).filter(|_| operation == 2));
        }
        // An id of before, or one of the other side, which may be any.
        4 => {
            let ids = ids[usize::from(argument & 1)];
            let Some(id) = ids.get(index % ids.len().max(1)).copied() else { return };
            let path = connection(listener(argument), address(argument));
            streams.answer(agent, now, id, Some(path).filter(|_| argument & 2 == 0));
        }
        5..=7 => {
            let local = streams.listeners.get(index % streams.listeners.len().max(1)).copied();
            let local = local.filter(|_| operation < 7).unwrap_or(listener(argument));
            let many = if operation == 6 { 1 + argument % 64 } else { 1 };
            for number in 0..many {
                let mut remote = address(argument);
                remote.set_port(20_000 + argument % 16 + number);
                side.streams.accept(&mut side.agent, now, connection(local, remote));
                // Whoever accepts connections closes one that gave way before the next.
                settle(side, now);
            }
        }
        8 => {
            let path = open.unwrap_or(connection(listener(argument), address(argument)));
            streams.close(agent, now, path);
            streams.ended.push(path);
        }
        9 => streams.close(agent, now, connection(listener(argument), address(argument))),
        10 => {
            let Some(path) = open else { return };
            streams.set_writable(agent, path, argument & 1 == 0);
        }
        _ => {
            let to = listener(argument);
            let side = ["passive", "so", "active", "none"][index % 4];
            let text = format!("1 1 tcp {argument} {} {} typ host tcptype {side}", to.ip(), to.port());
            let Ok(candidate) = text.parse() else { return };
            let _ = agent.add_remote_candidate(now, candidate);
        }
    }
}

fuzz_target!(|input: (u8, Vec<(u8, u16, Vec<u8>)>)| {
    let (flags, operations) = input;
    let mut now = Instant::now();
    let (policies, udp) = (policies(flags), flags & 64 == 0);
    let mut sides = [Side::new(now, 1, 0, policies[0], udp), Side::new(now, 2, 1, policies[1], udp)];
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
        let given_up = sides[far].streams.over.clone();
        let side = &mut sides[near];
        let ours = side.agent.local_credentials().clone();
        let agent = &mut side.agent;
        let at = |n: usize| u16::from(octets.get(n).copied().unwrap_or(0));
        match operation & 0x7f {
            0..=6 => {
                let seen = side.wire.get(usize::from(at(9)) % side.wire.len().max(1)).cloned();
                let path = match &seen {
                    Some((path, _)) if argument & 512 == 0 => *path,
                    _ if argument & 1_024 != 0 && !side.streams.open.is_empty() => {
                        side.streams.open[usize::from(at(10)) % side.streams.open.len()]
                    }
                    _ => Path::udp(address(near as u16), address(at(10) << 8 | at(11))),
                };
                let message = forge(&ours, &theirs, seen.as_ref().map(|(_, m)| &m[..]), argument, &octets);
                agent.handle_datagram(Received { at: now, path, ecn: None }, BytesMut::from(&message[..]));
            }
            7 => {
                let Some((path, mut datagram)) = packet else { continue };
                change(&mut datagram, &octets);
                let meta = Received { at: now, path: reverse(path), ecn: None };
                agent.handle_datagram(meta, BytesMut::from(&datagram[..]));
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
            24 => {
                introduce(&mut sides, now, argument & 1 == 0);
                settle(&mut sides[far], now);
            }
            25 => {
                let Some(id) = side.resolve else { continue };
                let answer = if argument & 1 == 0 { Ok(vec![address(argument).ip()]) } else { Err(()) };
                agent.handle_resolved(now, id, answer);
            }
            26 => {
                let path = agent.selected_path().unwrap_or(Path::udp(address(0), address(1)));
                side.streams.set_writable(agent, path, argument & 1 == 0);
            }
            27 => agent.close(now),
            28 => agent.restart(now),
            29 => agent.roll_back_restart(now),
            30 => drop(agent.report().to_string()),
            31..=42 => {
                let ours = side.streams.over.clone();
                stream_operation(side, now, (operation & 0x7f) - 31, argument, [&ours, &given_up]);
            }
            43 => {
                let (stun, turn) = servers(argument);
                let policy = if argument & 256 == 0 { Policy::All } else { Policy::Relay };
                agent.set_servers(stun, turn, policy);
            }
            _ => continue,
        }
        settle(&mut sides[near], now);
    }
    exchange(&mut sides, now);
    for side in &mut sides {
        side.agent.close(now);
        settle(side, now);
    }
});
