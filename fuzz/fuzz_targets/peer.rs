//! Two whole peers, connected in memory first if the flags say so; then what the network and the application do, in
//! any order. Nothing that was not sent by the other side is delivered.
#![no_main]

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use taut_fuzz::{Machine, OPERATIONS, change, drain, lose, settle, time};
use taut_peer::{
    Certificate, ChannelId, ChannelInit, Codec, Config, ConnectionState, Event, Frame, IceCandidate, Kind,
    Loopback, Message, Mode, OfferOptions, Peer, ResolveId, SessionDescription, TransceiverId,
    TransceiverInit,
};
use taut_sansio::net::{Path, Received};
use taut_sansio::time::WallClock;

/// What messages and frames are made of: nothing else may come out.
const OCTET: u8 = 0x5a;

struct Side {
    peer: Peer,
    wire: VecDeque<(Path, Vec<u8>)>,
    candidates: VecDeque<Option<IceCandidate>>,
    channels: BTreeSet<ChannelId>,
    resolve: Option<ResolveId>,
    reads: bool,
    closed: bool,
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number as u8 + 1], 5_000))
}

impl Side {
    fn new(number: usize, now: Instant) -> Self {
        static CERTIFICATES: [OnceLock<Certificate>; 2] = [OnceLock::new(), OnceLock::new()];
        let unix = Duration::from_secs(1_700_000_000);
        let certificate =
            CERTIFICATES[number].get_or_init(|| Certificate::generate(unix).expect("a certificate"));
        let config = Config::default().with_certificate(certificate.clone()).with_loopback(Loopback::Always);
        let clock = WallClock { instant: now, unix };
        let mut peer = Peer::new(config, clock, [number as u8; 32]).expect("a peer");
        peer.add_local_address(now, address(number));
        Self {
            peer,
            wire: VecDeque::new(),
            candidates: VecDeque::new(),
            channels: BTreeSet::new(),
            resolve: None,
            reads: true,
            closed: false,
        }
    }

    fn channel(&self, number: u16) -> Option<ChannelId> {
        self.channels.iter().nth(usize::from(number) % self.channels.len().max(1)).copied()
    }

    fn transceiver(&self, number: u16) -> Option<TransceiverId> {
        let count = self.peer.transceivers().count();
        self.peer.transceivers().nth(usize::from(number) % count.max(1)).map(|transceiver| transceiver.id())
    }

    fn read(&mut self) {
        for id in &self.channels {
            drain(|| {
                let Some(message) = self.peer.poll_message(*id) else { return false };
                assert!(message.data.iter().all(|octet| *octet == OCTET), "nobody sent this");
                true
            });
        }
        let ids: Vec<TransceiverId> = self.peer.transceivers().map(|transceiver| transceiver.id()).collect();
        for id in ids {
            drain(|| {
                let Some(frame) = self.peer.poll_frame(id) else { return false };
                assert!(frame.data.iter().all(|octet| *octet == OCTET), "nobody sent this");
                true
            });
            drain(|| self.peer.poll_rtp(id).is_some());
        }
    }
}

impl Machine for Side {
    fn handle_timeout(&mut self, now: Instant) {
        self.peer.handle_timeout(now);
    }

    fn poll(&mut self, now: Instant) {
        if self.reads {
            self.read();
        }
        drain(|| {
            let mut out = Vec::new();
            let Some(transmit) = self.peer.poll_transmit(now, 8, &mut out) else { return false };
            assert_eq!(transmit.len, out.len());
            let size = transmit.segment_size.unwrap_or(out.len()).max(1);
            for datagram in out.chunks(size).take(256 - self.wire.len().min(256)) {
                self.wire.push_back((transmit.path, datagram.to_vec()));
            }
            true
        });
        drain(|| {
            let Some(event) = self.peer.poll_event() else { return false };
            assert!(!self.closed, "{event:?} after the end");
            match event {
                Event::IceCandidate(candidate) => self.candidates.push_back(candidate),
                Event::DataChannel(id) => assert!(self.channels.insert(id), "{id} is new"),
                Event::Resolve { id, .. } => self.resolve = Some(id),
                Event::Closed(_) => self.closed = true,
                _ => {}
            }
            true
        });
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.peer.poll_timeout()
    }
}

fn exchange(sides: &mut [Side; 2], now: Instant, turns: usize) {
    for _ in 0..turns {
        for (from, to) in [(0, 1), (1, 0)] {
            settle(&mut sides[from], now);
            while let Some(candidate) = sides[from].candidates.pop_front() {
                let _ = sides[to].peer.add_ice_candidate(now, candidate);
            }
            for (path, datagram) in std::mem::take(&mut sides[from].wire) {
                let path = Path { local: path.remote, remote: path.local, ..path };
                let meta = Received { at: now, path, ecn: None };
                sides[to].peer.handle_datagram(meta, BytesMut::from(&datagram[..]));
            }
        }
        if sides.iter().all(|side| side.wire.is_empty()) {
            return;
        }
    }
}

fn negotiate(sides: &mut [Side; 2], from: usize, now: Instant) -> Option<()> {
    let offer = sides[from].peer.create_offer(now, OfferOptions::default()).ok()?;
    sides[from].peer.set_local_description(now, Some(offer.clone())).ok()?;
    sides[1 - from].peer.set_remote_description(now, offer).ok()?;
    let answer = sides[1 - from].peer.create_answer(now).ok()?;
    sides[1 - from].peer.set_local_description(now, Some(answer.clone())).ok()?;
    sides[from].peer.set_remote_description(now, answer).ok()
}

/// What the flags ask for: `0x01` a data channel, `0x02` media, `0x04` descriptions exchanged, `0x08` connected,
/// `0x10` messages and frames on the way, `0x20` packets lost, `0x40` nothing is read, `0x80` packets rather than
/// frames.
fn prepare(flags: u8, now: &mut Instant) -> [Side; 2] {
    let mut sides = [Side::new(0, *now), Side::new(1, *now)];
    if flags & 0x01 != 0
        && let Ok(id) = sides[0].peer.create_data_channel(*now, ChannelInit::new("d"))
    {
        sides[0].channels.insert(id);
    }
    if flags & 0x02 != 0 {
        for kind in [Kind::Audio, Kind::Video] {
            let _ = sides[0].peer.add_transceiver(*now, kind, TransceiverInit::default());
        }
    }
    if flags & 0x04 != 0 {
        negotiate(&mut sides, 0, *now);
    }
    if flags & 0x0c == 0x0c && flags & 0x03 != 0 {
        for _ in 0..32 {
            exchange(&mut sides, *now, 8);
            if sides.iter().all(|side| side.peer.connection_state() == ConnectionState::Connected) {
                break;
            }
            *now += time(20);
        }
        assert!(
            sides.iter().all(|side| side.peer.connection_state() == ConnectionState::Connected),
            "two peers that nothing disturbs connect"
        );
        exchange(&mut sides, *now, 8);
    }
    for side in &mut sides {
        side.reads = flags & 0x40 == 0;
        for n in 0..2 {
            if let Some(id) = side.transceiver(n) {
                side.peer.set_receive_mode(id, if flags & 0x80 == 0 { Mode::Frames } else { Mode::Packets });
            }
            if flags & 0x10 != 0 {
                send(side, *now, n, 3_000);
            }
        }
        side.poll(*now);
        if flags & 0x20 != 0 {
            lose(&mut side.wire);
        }
    }
    sides
}

fn send(side: &mut Side, now: Instant, argument: u16, length: usize) {
    if let Some(id) = side.channel(argument) {
        let _ = side.peer.send(now, id, Message::binary(vec![OCTET; length]));
    }
    let Some(id) = side.transceiver(argument) else { return };
    let video = side.peer.transceiver(id).is_some_and(|transceiver| transceiver.kind() == Kind::Video);
    let codec = if video { Codec::Vp8 } else { Codec::Opus };
    let frame =
        Frame::new(codec, vec![OCTET; length.min(10_000)], Duration::from_millis(u64::from(argument)));
    let _ = side.peer.send_frame(now, id, frame.with_keyframe(true));
}

fuzz_target!(|input: (u8, Vec<(u8, u16, Vec<u8>)>)| {
    let (flags, operations) = input;
    let mut now = Instant::now();
    let mut sides = prepare(flags, &mut now);
    for (operation, argument, octets) in operations.into_iter().take(OPERATIONS) {
        let (near, far) = if operation & 0x80 == 0 { (0, 1) } else { (1, 0) };
        let index = usize::from(argument) % sides[far].wire.len().max(1);
        let packet = sides[far].wire.get(index).cloned();
        let side = &mut sides[near];
        let from = if argument & 1 == 0 { address(far) } else { address(9) };
        let meta = Received { at: now, path: Path::udp(address(near), from), ecn: None };
        match operation & 0x7f {
            0..=5 => side.peer.handle_datagram(meta, BytesMut::from(&octets[..])),
            6..=10 => {
                // A datagram that the other side made, changed or not, from where it comes or from elsewhere.
                let Some((_, mut datagram)) = packet else { continue };
                change(&mut datagram, &octets);
                side.peer.handle_datagram(meta, BytesMut::from(&datagram[..]));
            }
            11..=15 => exchange(&mut sides, now, 8),
            16 => side.wire.clear(),
            17..=18 => now += time(argument),
            19..=20 => now = now.max(side.peer.poll_timeout().unwrap_or(now)),
            21..=24 => send(side, now, argument, octets.first().map_or(1, |n| usize::from(*n) * 48 + 1)),
            25 => {
                let init = ChannelInit::new("more").with_ordered(argument & 1 == 0);
                if let Ok(id) = side.peer.create_data_channel(now, init) {
                    side.channels.insert(id);
                }
            }
            26 => {
                let Some(id) = side.channel(argument) else { continue };
                side.peer.close_channel(now, id);
            }
            27 => {
                negotiate(&mut sides, near, now);
            }
            28 => {
                let kind = if argument & 1 == 0 { Kind::Audio } else { Kind::Video };
                let _ = side.peer.add_transceiver(now, kind, TransceiverInit::default());
            }
            29 => {
                let Some(id) = side.transceiver(argument) else { continue };
                let _ = side.peer.stop_transceiver(now, id);
            }
            30 => {
                let text = String::from_utf8_lossy(&octets).into_owned();
                let _ = side.peer.set_remote_description(now, SessionDescription::offer(text));
            }
            31 => {
                let text = String::from_utf8_lossy(&octets).into_owned();
                let _ = side.peer.add_ice_candidate(now, Some(IceCandidate::new(text, None, Some(0))));
            }
            32 => side.reads = argument & 1 == 0,
            33 => side.peer.handle_writable(Path::udp(address(near), from), argument & 2 == 0),
            34 => {
                let Some(id) = side.transceiver(argument) else { continue };
                side.peer.request_keyframe(now, id);
            }
            35 => side.peer.remove_local_address(now, address(near)),
            36 => side.peer.add_local_address(now, address(near)),
            37 => {
                let Some(id) = side.resolve else { continue };
                side.peer.handle_resolved(now, id, Ok(vec![from.ip()]));
            }
            38 => drop(side.peer.stats(now)),
            39 => side.peer.close(now),
            _ => continue,
        }
        settle(&mut sides[near], now);
    }
    exchange(&mut sides, now, 8);
});
