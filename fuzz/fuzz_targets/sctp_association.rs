//! Two associations, brought into a state by flags; then fuzzed packets and operations.
#![no_main]

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use taut_fuzz::{Machine, OPERATIONS, change, drain, finish_sctp, lose, sctp_packet, settle, time};
use taut_sansio::rng::Rng;
use taut_sctp::{Accounting, Association, Config, Event, Ordering, Reliability, StreamId, WriteOptions};

struct Side {
    sctp: Association,
    wire: VecDeque<Vec<u8>>,
    /// The newest verification tag in its packets that was not zero: that of the other side.
    tag: u32,
    open: BTreeSet<(u16, bool)>,
    /// Streams that were read in parts once.
    parts: BTreeSet<u16>,
    closed: bool,
    reads: bool,
}

impl Side {
    fn new(config: Config, seed: u64) -> Self {
        Self {
            sctp: Association::new(config, Rng::from_u64(seed)),
            wire: VecDeque::new(),
            tag: 0,
            open: BTreeSet::new(),
            parts: BTreeSet::new(),
            closed: false,
            reads: true,
        }
    }

    fn read(&mut self, now: Instant) {
        drain(|| {
            let Some(chunk) = self.sctp.poll_read(now) else { return false };
            let key = (chunk.stream.0, chunk.unordered);
            assert!(chunk.end || !chunk.bytes.is_empty(), "a piece of nothing");
            if chunk.abandoned {
                assert!(self.open.remove(&key) && chunk.end && chunk.bytes.is_empty());
                return true;
            }
            assert_eq!(chunk.begin, !self.open.contains(&key), "pieces go from begin to end");
            if chunk.end {
                self.open.remove(&key)
            } else {
                self.open.insert(key)
            };
            true
        });
        let unfinished = self.open.iter().filter(|(stream, _)| !self.parts.contains(stream)).count();
        assert!(unfinished <= 1, "two messages are unfinished");
    }
}

impl Machine for Side {
    fn handle_timeout(&mut self, now: Instant) {
        self.sctp.handle_timeout(now);
    }

    fn poll(&mut self, now: Instant) {
        drain(|| {
            let mut out = Vec::new();
            let sent = self.sctp.poll_transmit(now, 1_200, &mut out);
            assert_eq!(sent, (!out.is_empty()).then_some(out.len()));
            assert!(out.len() <= 1_200);
            if sent.is_none() {
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
        drain(|| self.sctp.poll_buffered_amount_change().is_some());
        drain(|| {
            let Some(event) = self.sctp.poll_event() else { return false };
            match event {
                // What is ready belongs to the new life.
                Event::Restarted => self.open.clear(),
                // What is ready belongs to the old life.
                Event::IncomingReset(_) if self.reads => self.read(now),
                _ => {}
            }
            assert!(!self.closed || matches!(event, Event::IncomingReset(_)), "{event:?} after the end");
            self.closed |= matches!(event, Event::Closed(_));
            true
        });
        if self.reads {
            self.read(now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.sctp.poll_timeout()
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
            b.sctp.handle_packet(now, packet.into());
        }
        for packet in std::mem::take(&mut b.wire) {
            a.sctp.handle_packet(now, packet.into());
        }
    }
}

fn options(bits: u16) -> WriteOptions {
    WriteOptions {
        ppid: 51,
        ordering: if bits & 1 == 0 { Ordering::Ordered } else { Ordering::Unordered },
        reliability: match bits >> 1 & 3 {
            0 | 1 => Reliability::Reliable,
            2 => Reliability::MaxRetransmits(bits >> 3 & 1),
            _ => Reliability::MaxLifetime(Duration::from_millis(u64::from(bits >> 3 & 0xff))),
        },
        accounting: if bits & 0x800 == 0 { Accounting::Counted } else { Accounting::Control },
    }
}

/// What the flags ask for: `0x01` connected, `0x02` small window, `0x04` data delivered, `0x08` data on the way,
/// `0x10` packets lost, `0x20` a reset wanted, `0x40` shutting down, `0x80` nothing is read. Data goes in DATA chunks if
/// their number is odd, else in I-DATA.
fn prepare(flags: u8, now: Instant) -> [Side; 2] {
    let config = match flags & 0x02 {
        0 => Config::default(),
        _ => Config::default().with_receive_window(4_000).with_send_buffer(8_000).with_streams(16),
    };
    let config = config.with_interleaving(flags.count_ones() % 2 == 0).with_max_streams(30);
    let mut sides = [Side::new(config.clone(), 1), Side::new(config, 2)];
    if flags & 0x01 != 0 {
        sides[0].sctp.connect(now);
        exchange(&mut sides, now);
    }
    if flags & 0x80 != 0 {
        sides.iter_mut().for_each(|side| side.reads = false);
    }
    for (flag, length) in [(0x04, 3_000), (0x08, 5_000)] {
        if flags & flag != 0 {
            for side in &mut sides {
                for n in 0..4u16 {
                    let data = Bytes::from(vec![n as u8; length]);
                    let _ = side.sctp.write(now, StreamId(n), data, &options(n << 1 | n >> 1));
                }
            }
        }
        if flag == 0x04 {
            exchange(&mut sides, now);
        }
    }
    for side in &mut sides {
        side.poll(now);
        if flags & 0x10 != 0 {
            lose(&mut side.wire);
        }
        if flags & 0x20 != 0 {
            let _ = side.sctp.reset_streams(now, &[StreamId(0), StreamId(1)]);
        }
        if flags & 0x40 != 0 {
            side.sctp.shutdown(now);
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
        let side = &mut sides[near];
        match operation & 0x7f {
            0..=3 => side.sctp.handle_packet(now, sctp_packet(tag, &octets).into()),
            4..=7 => {
                // A packet that the other side made, changed.
                let index = usize::from(argument) % sides[far].wire.len().max(1);
                let Some(mut packet) = sides[far].wire.get(index).cloned() else { continue };
                change(&mut packet[12..], &octets);
                finish_sctp(&mut packet);
                sides[near].sctp.handle_packet(now, packet.into());
            }
            8 => side.sctp.handle_packet(now, octets.into()),
            9 => side.sctp.handle_packet(now, sctp_packet(0, &octets).into()),
            10..=12 => exchange(&mut sides, now),
            13 => side.wire.clear(),
            14 | 15 => now += time(argument),
            16 => {
                if let Some(at) = side.sctp.poll_timeout() {
                    now = now.max(at);
                }
            }
            17..=20 => {
                let length = usize::from(octets.first().copied().unwrap_or(1)) * 32;
                let data = Bytes::from(vec![operation; length]);
                let stream = StreamId(u16::from(octets.get(1).copied().unwrap_or(0)) % 20);
                let _ = side.sctp.write(now, stream, data, &options(argument));
            }
            21 => {
                let streams: Vec<StreamId> = octets.iter().map(|n| StreamId(u16::from(n % 20))).collect();
                let _ = side.sctp.reset_streams(now, &streams);
            }
            22 => side.sctp.pause_stream(StreamId(argument % 20)),
            23 => side.sctp.resume_stream(StreamId(argument % 20)),
            24 => side.reads = argument & 1 == 0,
            25 => side.sctp.connect(now),
            26 => side.sctp.shutdown(now),
            27 => side.sctp.abort(now),
            28 => {
                // The other side starts anew.
                sides[far] = Side::new(Config::default(), u64::from(argument));
                sides[far].sctp.connect(now);
            }
            29..=31 => {
                let _ = side.sctp.begin_message(now, StreamId(argument % 20), &options(argument >> 5));
            }
            32..=35 => {
                let length = usize::from(octets.first().copied().unwrap_or(1)) * 32;
                let _ =
                    side.sctp.append_message(now, StreamId(argument % 20), vec![operation; length].into());
            }
            36 => {
                let _ = side.sctp.end_message(now, StreamId(argument % 20));
            }
            37 => {
                let _ = side.sctp.cancel_message(now, StreamId(argument % 20));
            }
            38 => {
                side.parts.insert(argument % 20);
                side.sctp.read_in_parts(StreamId(argument % 20), argument & 0x100 == 0);
            }
            39 => {
                let _ = side.sctp.add_streams(now, argument & 0xff, argument >> 8);
            }
            40 => {
                let streams: Vec<StreamId> = octets.iter().map(|n| StreamId(u16::from(n % 20))).collect();
                let _ = side.sctp.reset_incoming_streams(now, &streams);
            }
            41 => side.sctp.set_priority(StreamId(argument % 20), argument >> 5),
            _ => continue,
        }
        settle(&mut sides[near], now);
    }
    exchange(&mut sides, now);
});
