//! Two sessions, connected first if the flags say so; then fuzzed packets and operations.
#![no_main]

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use taut_datachannel::{
    ChannelId, ChannelInit, Config, Event, Message, MessageKind, RemoteParameters, Role, Session,
};
use taut_fuzz::{Machine, OPERATIONS, change, drain, finish_sctp, lose, sctp_packet, settle, time};
use taut_sansio::rng::Rng;

/// The largest message that a session takes.
const LARGEST: usize = 10_000;

struct Side {
    session: Session,
    wire: VecDeque<Vec<u8>>,
    /// The newest verification tag in its packets that was not zero: that of the other side.
    tag: u32,
    channels: BTreeMap<ChannelId, bool>,
    over: bool,
    reads: bool,
}

impl Side {
    fn new(seed: u64, interleaving: bool) -> Self {
        let config = Config::default()
            .with_max_message_size(LARGEST)
            .with_receive_buffer(40_000)
            .with_send_buffer(40_000)
            .with_max_incoming_channels(8)
            .with_interleaving(interleaving);
        let session = Session::new(config, Rng::from_u64(seed));
        Self { session, wire: VecDeque::new(), tag: 0, channels: BTreeMap::new(), over: false, reads: true }
    }

    fn open(&mut self, now: Instant, init: ChannelInit) {
        if self.channels.len() < 64
            && let Ok(id) = self.session.open(now, init)
        {
            self.channels.insert(id, false);
        }
    }

    fn id(&self, number: u16) -> Option<ChannelId> {
        self.channels.keys().nth(usize::from(number) % self.channels.len().max(1)).copied()
    }

    fn read(&mut self) {
        for id in self.channels.keys() {
            drain(|| {
                let Some(message) = self.session.poll_message(*id) else { return false };
                assert!(message.data.len() <= LARGEST, "a message larger than was allowed");
                true
            });
            drain(|| {
                let Some(part) = self.session.poll_part(*id) else { return false };
                assert!(!part.abandoned || part.end && part.data.is_empty());
                true
            });
        }
    }

    fn event(&mut self, event: Event) {
        assert!(
            !self.over || matches!(event, Event::Closed(_) | Event::Readable(_)),
            "{event:?} after the end"
        );
        match event {
            Event::Incoming(id) => assert!(self.channels.insert(id, false).is_none(), "{id} is new"),
            Event::Open(id) | Event::Closing(id) | Event::Readable(id) | Event::BufferedAmountLow(id) => {
                assert_eq!(self.channels.get(&id), Some(&false), "{event:?} of a closed channel");
            }
            Event::Closed(id) => {
                assert_eq!(self.channels.insert(id, true), Some(false), "{id} closed twice");
            }
            Event::Disconnected(_) => self.over = true,
            _ => {}
        }
    }
}

impl Machine for Side {
    fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now);
    }

    fn poll(&mut self, now: Instant) {
        if self.reads {
            self.read();
        }
        drain(|| {
            let mut out = Vec::new();
            if self.session.poll_transmit(now, 1_200, &mut out).is_none() {
                return false;
            }
            let tag = u32::from_be_bytes([out[4], out[5], out[6], out[7]]);
            if tag != 0 {
                self.tag = tag;
            }
            if self.wire.len() < 256 {
                self.wire.push_back(out);
            }
            true
        });
        drain(|| {
            let Some(event) = self.session.poll_event() else { return false };
            self.event(event);
            true
        });
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }
}

fn exchange(sides: &mut [Side; 2], now: Instant) {
    for _ in 0..32 {
        settle(&mut sides[0], now);
        settle(&mut sides[1], now);
        let [a, b] = &mut *sides;
        if a.wire.is_empty() && b.wire.is_empty() {
            return;
        }
        for packet in std::mem::take(&mut a.wire) {
            b.session.handle_packet(now, packet.into());
        }
        for packet in std::mem::take(&mut b.wire) {
            a.session.handle_packet(now, packet.into());
        }
    }
}

fn init(argument: u16, octets: &[u8]) -> ChannelInit {
    let mut init = ChannelInit::new(String::from_utf8_lossy(octets)).with_ordered(argument & 1 == 0);
    match argument >> 1 & 3 {
        1 => init = init.with_max_retransmits(argument >> 4),
        2 => init = init.with_max_packet_life_time(Duration::from_millis(u64::from(argument >> 4))),
        3 => init = init.with_negotiated(argument >> 4),
        _ => {}
    }
    if argument & 8 != 0 { init.with_protocol("p") } else { init }
}

/// What the flags ask for: `0x01` connected, `0x02` channels opened by both before, `0x04` messages sent,
/// `0x08` messages on the way, `0x10` packets lost, `0x20` a channel closing, `0x40` one without an answer,
/// `0x80` nothing is read. Data goes in DATA chunks if their number is odd, else in I-DATA.
fn prepare(flags: u8, now: Instant) -> [Side; 2] {
    let interleaving = flags.count_ones() % 2 == 0;
    let mut sides = [Side::new(1, interleaving), Side::new(2, interleaving)];
    if flags & 0x02 != 0 {
        for (n, side) in sides.iter_mut().enumerate() {
            side.open(now, init(n as u16, b"one"));
            side.open(now, init(7 << 4 | 6, b"two"));
        }
    }
    if flags & 0x01 != 0 {
        let parameters = RemoteParameters { max_message_size: LARGEST, port: 5000 };
        sides[0].session.start(now, Role::Client, parameters);
        sides[1].session.start(now, Role::Server, parameters);
        exchange(&mut sides, now);
    }
    sides.iter_mut().for_each(|side| side.reads = flags & 0x80 == 0);
    for flag in [0x04, 0x08] {
        for side in sides.iter_mut().filter(|_| flags & flag != 0) {
            for id in side.channels.keys() {
                let _ = side.session.send(now, *id, Message::binary(vec![1; 4_000]));
                let _ = side.session.send(now, *id, Message::text(""));
            }
        }
        if flag == 0x04 {
            exchange(&mut sides, now);
        }
    }
    for side in &mut sides {
        if flags & 0x40 != 0 {
            side.open(now, init(0, b"three"));
        }
        side.poll(now);
        if flags & 0x10 != 0 {
            lose(&mut side.wire);
        }
        if flags & 0x20 != 0
            && let Some(id) = side.id(0)
        {
            side.session.close_channel(now, id);
        }
    }
    sides
}

fuzz_target!(|input: (u8, Vec<(u8, u16, Vec<u8>)>)| {
    let (flags, operations) = input;
    let mut now = Instant::now();
    let mut sides = prepare(flags, now);
    for (operation, argument, octets) in operations.into_iter().take(OPERATIONS) {
        let (near, far) = if operation & 0x80 == 0 { (0, 1) } else { (1, 0) };
        let tag = sides[far].tag;
        let index = usize::from(argument) % sides[far].wire.len().max(1);
        let packet = sides[far].wire.get(index).cloned();
        let side = &mut sides[near];
        let id = side.id(argument);
        match (operation & 0x7f, id) {
            (0..=2, _) => side.session.handle_packet(now, sctp_packet(tag, &octets).into()),
            (3..=7, _) => {
                // A packet that the other side made, changed.
                let Some(mut packet) = packet else { continue };
                change(&mut packet[12..], &octets);
                finish_sctp(&mut packet);
                side.session.handle_packet(now, packet.into());
            }
            (8, _) => side.session.handle_packet(now, octets.into()),
            (9..=11, _) => exchange(&mut sides, now),
            (12, _) => side.wire.clear(),
            (13, _) => now += time(argument),
            (14, _) => now = now.max(side.session.poll_timeout().unwrap_or(now)),
            (15..=16, _) => side.open(now, init(argument, &octets)),
            (17..=20, Some(id)) => {
                let length = usize::from(octets.first().copied().unwrap_or(0)) * 48;
                let _ = side.session.send(now, id, Message::binary(Bytes::from(vec![0; length])));
            }
            (21, Some(id)) => side.session.close_channel(now, id),
            (22, Some(id)) => side.session.set_buffered_amount_low_threshold(id, octets.len()),
            (23, _) => side.reads = argument & 1 == 0,
            (24, _) => {
                let role = if argument & 1 == 0 { Role::Client } else { Role::Server };
                let parameters = RemoteParameters { max_message_size: octets.len(), port: 5000 };
                side.session.start(now, role, parameters);
            }
            (25, _) => side.session.shutdown(now),
            (26, _) => side.session.abort(now),
            (27, _) => side.session.handle_transport_closed(now),
            (28..=30, Some(id)) => {
                let kind = if argument & 0x8000 == 0 { MessageKind::Text } else { MessageKind::Binary };
                let _ = side.session.begin_message(now, id, kind);
            }
            (31..=34, Some(id)) => {
                let length = usize::from(octets.first().copied().unwrap_or(0)) * 16;
                let _ = side.session.append_message(now, id, Bytes::from(vec![0; length]));
            }
            (35, Some(id)) => {
                let _ = side.session.end_message(now, id);
            }
            (36, Some(id)) => {
                let _ = side.session.cancel_message(now, id);
            }
            (37, Some(id)) => side.session.read_in_parts(now, id, argument & 0x8000 == 0),
            _ => continue,
        }
        settle(&mut sides[near], now);
        let stats = sides[near].session.stats();
        assert!(stats.unread <= 40_000 + 2 * LARGEST, "{} octets wait", stats.unread);
    }
    exchange(&mut sides, now);
});
