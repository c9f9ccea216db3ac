//! Two peers in a simulated world, with signalling that costs nothing.
#![allow(dead_code, reason = "every test file uses a part")]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use taut_netsim::{Link, Node, NodeId, World};
use taut_peer::{
    ChannelId, ChannelInit, Codec, Config, ConnectionState, DtlsEngine, Event, Frame, IceCandidate, Kind,
    Message, MessageKind, OfferOptions, Peer, SessionDescription, SignalingState, TrackInfo, TransceiverId,
    TransportStats,
};
use taut_sansio::net::{Path, Received, Transmit};
use taut_sansio::rng::Rng;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

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
    /// What was sent.
    pub(crate) sent: Vec<Sent>,
    /// The octets of what was sent, where a test wants them.
    pub(crate) tape: Option<Vec<Vec<u8>>>,
    /// How often its timer has fired.
    pub(crate) wakes: u64,
    /// How far its clock is behind that of the world.
    behind: Duration,
    sleep: Option<Sleep>,
}

/// What the clock of a machine does while the machine sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    Stops,
    GoesOn,
}

/// A machine that sleeps, and what its socket holds.
struct Sleep {
    since: Instant,
    clock: Clock,
    inbox: Vec<(Received, BytesMut)>,
}

/// What a socket holds in Linux unless told (`net.core.rmem_default`), in octets.
const SOCKET_BUFFER: usize = 212_992;

/// A datagram that was sent, as far as the tests look into it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) remote: SocketAddr,
    pub(crate) len: usize,
    pub(crate) what: What,
    pub(crate) mtu_probe: bool,
}

/// What a datagram is, by its first two octets (RFC 7983, RFC 5761 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
}

impl What {
    pub(crate) fn of(datagram: &[u8]) -> Self {
        match datagram {
            [0..=3, ..] => Self::Stun,
            [20..=63, ..] => Self::Dtls,
            [128..=191, 192..=223, ..] => Self::Rtcp,
            [128..=191, ..] => Self::Rtp,
            _ => panic!("a datagram of no protocol was sent"),
        }
    }
}

impl Side {
    fn new(peer: Peer) -> Self {
        Self {
            peer,
            events: Vec::new(),
            messages: BTreeMap::new(),
            frames: BTreeMap::new(),
            reading: true,
            sent: Vec::new(),
            tape: None,
            wakes: 0,
            behind: Duration::ZERO,
            sleep: None,
        }
    }

    /// The machine sleeps, until [`Call::wake`]: nothing runs on it, and its socket fills.
    pub(crate) fn sleep(&mut self, now: Instant, clock: Clock) {
        self.sleep = Some(Sleep { since: now, clock, inbox: Vec::new() });
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

    /// How many datagrams of a kind were sent.
    pub(crate) fn count(&self, what: What) -> usize {
        self.sent.iter().filter(|sent| sent.what == what).count()
    }
}

impl Node for Side {
    fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        let Some(sleep) = &mut self.sleep else {
            return self.peer.handle_datagram(Received { at: meta.at - self.behind, ..meta }, datagram);
        };
        let held: usize = sleep.inbox.iter().map(|(_, datagram)| datagram.len()).sum();
        if held + datagram.len() <= SOCKET_BUFFER {
            sleep.inbox.push((meta, datagram));
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.wakes += 1;
        self.peer.handle_timeout(now - self.behind);
    }

    fn poll_transmit(&mut self, now: Instant, max_segments: usize, out: &mut Vec<u8>) -> Option<Transmit> {
        if self.sleep.is_some() {
            return None;
        }
        let start = out.len();
        let transmit = self.peer.poll_transmit(now - self.behind, max_segments, out)?;
        for datagram in out[start..].chunks(transmit.segment_size.unwrap_or(transmit.len)) {
            let (len, what) = (datagram.len(), What::of(datagram));
            self.sent.push(Sent {
                at: now,
                remote: transmit.path.remote,
                len,
                what,
                mtu_probe: transmit.mtu_probe,
            });
            self.tape.iter_mut().for_each(|tape| tape.push(datagram.to_vec()));
        }
        Some(transmit)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = self.peer.poll_timeout().filter(|_| self.sleep.is_none())?;
        Some(due + self.behind)
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

/// The DTLS engine that the environment variable `TAUT_DTLS` names.
fn named_engine() -> Option<DtlsEngine> {
    std::env::var("TAUT_DTLS").ok().map(|name| name.parse().expect("the name of a DTLS engine"))
}

/// The configuration of every peer, with the engine that is named or the default.
pub(crate) fn config() -> Config {
    Config::default().with_dtls_engine(named_engine().unwrap_or_default())
}

/// A configuration for each DTLS engine that is built in, or for the one that is named.
pub(crate) fn configs() -> Vec<Config> {
    const BUILT: &[DtlsEngine] = &[
        #[cfg(feature = "openssl")]
        DtlsEngine::OpenSsl,
        #[cfg(feature = "dimpl")]
        DtlsEngine::Dimpl,
    ];
    let engines = named_engine().map_or(BUILT.to_vec(), |engine| vec![engine]);
    engines.into_iter().map(|engine| Config::default().with_dtls_engine(engine)).collect()
}

/// A seed of 32 octets from a small number.
pub(crate) fn seed(number: u64) -> [u8; 32] {
    Rng::from_u64(number).array()
}

impl Call {
    /// Two peers with a configuration each and the same link in both directions.
    pub(crate) fn with_configs(number: u64, link: Link, config_a: Config, config_b: Config) -> Self {
        Self::with_addresses(number, link, [("10.0.0.1", config_a), ("10.0.0.2", config_b)])
    }

    /// Two peers with an address and a configuration each.
    pub(crate) fn with_addresses(number: u64, link: Link, sides: [(&str, Config); 2]) -> Self {
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
        let [(address_a, config_a), (address_b, config_b)] = sides;
        let a = add(address_a, 0, config_a);
        let b = add(address_b, 1, config_b);
        Self { world, a, b, trickle: true }
    }

    pub(crate) fn new(number: u64, link: Link) -> Self {
        Self::with_configs(number, link, config(), config())
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

    /// Wakes a side that sleeps: it goes on where it was, and then reads its socket.
    pub(crate) fn wake(&mut self, id: NodeId) {
        let now = self.now();
        let side = self.world.node_mut(id);
        let Sleep { since, clock, inbox } = side.sleep.take().expect("it sleeps");
        if clock == Clock::Stops {
            side.behind += now - since;
        }
        for (meta, datagram) in inbox {
            side.handle_datagram(Received { at: now, ..meta }, datagram);
        }
    }

    /// Offer from `from`, answer from the other side.
    pub(crate) fn negotiate(&mut self, from: NodeId) {
        self.negotiate_changed(from, |offer| offer, |answer| answer);
    }

    /// The same, with the descriptions changed on their way.
    pub(crate) fn negotiate_changed(
        &mut self,
        from: NodeId,
        change_offer: impl Fn(String) -> String,
        change_answer: impl Fn(String) -> String,
    ) {
        let now = self.now();
        let to = self.other(from);
        let offer = self.peer(from).create_offer(now, OfferOptions::default()).expect("an offer");
        self.peer(from).set_local_description(now, Some(offer.clone())).expect("the offer is set locally");
        let offer = SessionDescription::offer(change_offer(offer.sdp));
        self.peer(to).set_remote_description(now, offer).expect("the offer is accepted");
        let answer = self.peer(to).create_answer(now).expect("an answer");
        self.peer(to).set_local_description(now, Some(answer.clone())).expect("the answer is set locally");
        let answer = SessionDescription::answer(change_answer(answer.sdp));
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

pub(crate) fn binary(data: Bytes) -> Message {
    Message { kind: MessageKind::Binary, data }
}

pub(crate) fn video_frame(number: usize) -> Frame {
    // A VP8 key frame has the low bit of its first octet clear (RFC 6386 section 9.1).
    let mut data = body(number, 3_000 + number % 700).to_vec();
    data[0] = if number.is_multiple_of(30) { 0x10 } else { 0x11 };
    Frame::new(Codec::Vp8, data, Duration::from_millis(33 * number as u64))
}

pub(crate) fn audio_frame(number: usize) -> Frame {
    // An Opus TOC octet: 20 ms, one frame (RFC 6716 section 3.1).
    let mut data = body(number, 80).to_vec();
    data[0] = 0x78;
    Frame::new(Codec::Opus, data, Duration::from_millis(20 * number as u64))
}

/// Octets that tell which message they are.
pub(crate) fn body(number: usize, len: usize) -> Bytes {
    let mut out = format!("{number}:").into_bytes();
    while out.len() < len {
        out.push((number.wrapping_mul(31).wrapping_add(out.len())) as u8);
    }
    Bytes::from(out)
}

/// A connected pair with a data channel and a video track.
pub(crate) fn pair(seed: u64) -> (Call, ChannelId) {
    pair_of(seed, config())
}

/// The same with this configuration on both sides.
pub(crate) fn pair_of(seed: u64, config: Config) -> (Call, ChannelId) {
    let mut call = Call::with_configs(seed, Link::default().latency(10 * MS), config.clone(), config);
    let (now, a) = (call.now(), call.a);
    let id = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    call.peer(a).add_track(now, TrackInfo::new("v", Kind::Video), vec![]).unwrap();
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    call.run_for(SECOND);
    (call, id)
}

/// Puts a datagram in front of a side, as if it came from `from`.
pub(crate) fn inject(call: &mut Call, to: NodeId, from: SocketAddr, datagram: &[u8]) {
    let local = SocketAddr::new(if to == call.a { [10, 0, 0, 1] } else { [10, 0, 0, 2] }.into(), PORT);
    let meta = Received { at: call.now(), path: Path::udp(local, from), ecn: None };
    call.peer(to).handle_datagram(meta, BytesMut::from(datagram));
}

pub(crate) fn true_peer() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], PORT))
}

pub(crate) fn stranger(number: u32) -> SocketAddr {
    SocketAddr::from(([172, 16, (number >> 8) as u8, number as u8], 9))
}

pub(crate) fn assert_alive(call: &mut Call, id: ChannelId) {
    let (now, a) = (call.now(), call.a);
    let before = call.world.node(call.b).message_count();
    call.peer(a).send(now, id, Message { kind: MessageKind::Binary, data: body(before, 3_000) }).unwrap();
    assert!(call.run_until(5 * SECOND, |w, _, b| w.node(b).message_count() == before + 1));
    for side in [call.a, call.b] {
        assert_eq!(call.peer(side).connection_state(), ConnectionState::Connected);
    }
    let b = call.b;
    assert!(call.side(b).frames.is_empty(), "nothing forged became a frame");
}

/// The start of a ClientHello that offers the null cipher, in one record of epoch 0.
pub(crate) fn client_hello() -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([7; 32]);
    body.extend([0, 0, 0, 2, 0, 0, 1, 0]);
    let mut message = vec![1, 0, 0, body.len() as u8, 0, 0, 0, 0, 0, 0, 0, body.len() as u8];
    message.extend(body);
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, message.len() as u8];
    record.extend(message);
    record
}

/// What b dropped, and why.
pub(crate) fn stats(call: &mut Call) -> TransportStats {
    let b = call.b;
    call.peer(b).transport_stats()
}

/// Makes the next datagrams of a side and keeps them from the network.
pub(crate) fn take(call: &mut Call, from: NodeId) -> Vec<Vec<u8>> {
    let now = call.now();
    let (mut out, mut packets) = (Vec::new(), Vec::new());
    while call.peer(from).poll_transmit(now, 1, &mut out).is_some() {
        packets.push(std::mem::take(&mut out));
    }
    packets
}
