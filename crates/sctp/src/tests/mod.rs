//! Two associations and the network between them, in virtual time.
#![allow(clippy::disallowed_methods, reason = "a starting point in time is needed; it is never read again")]

mod abandon;
mod bounds;
mod congestion;
mod floods;
mod handshake;
mod hostile;
mod interleave;
mod loss;
mod options;
mod partial;
mod path_mtu;
mod reset;
mod restart;
mod shutdown;
mod transfer;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use taut_sansio::rng::Rng;

use crate::packet::{Header, Tsn, finish};
use crate::*;

pub(super) const MS: Duration = Duration::from_millis(1);

/// What the layers below have room for.
pub(super) const ROOM: usize = 16_000;

/// What the network does to packets; the same both ways.
#[derive(Debug, Clone, Copy)]
pub(super) struct Net {
    pub(super) latency: Duration,
    pub(super) jitter: Duration,
    pub(super) loss: f64,
    pub(super) duplicate: f64,
    /// The largest packet that passes.
    pub(super) mtu: usize,
}

impl Default for Net {
    fn default() -> Self {
        Self { latency: 5 * MS, jitter: Duration::ZERO, loss: 0.0, duplicate: 0.0, mtu: usize::MAX }
    }
}

/// Which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    A,
    B,
}

impl End {
    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// One end with all that it said.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) sctp: Association,
    pub(super) events: Vec<Event>,
    pub(super) messages: Vec<(StreamId, u32, Vec<u8>)>,
    pub(super) partial: BTreeMap<(StreamId, bool), Vec<u8>>,
    /// Streams that are read in parts.
    pub(super) in_parts: Vec<StreamId>,
    pub(super) reads: bool,
    late: u32,
}

impl Side {
    fn new(sctp: Association) -> Self {
        Self {
            sctp,
            events: vec![],
            messages: vec![],
            partial: BTreeMap::new(),
            in_parts: vec![],
            reads: true,
            late: 0,
        }
    }

    pub(super) fn read(&mut self, now: Instant) {
        while let Some(chunk) = self.sctp.poll_read(now) {
            let key = (chunk.stream, chunk.unordered);
            if chunk.begin {
                assert!(self.partial.insert(key, Vec::new()).is_none(), "a message begins inside another");
            }
            if chunk.abandoned {
                assert!(self.partial.remove(&key).is_some());
                continue;
            }
            self.partial.get_mut(&key).expect("a message begins with its begin").extend(&chunk.bytes);
            if chunk.end {
                let message = self.partial.remove(&key).unwrap();
                self.messages.push((chunk.stream, chunk.ppid, message));
            }
        }
        let unfinished = self.partial.keys().filter(|(stream, _)| !self.in_parts.contains(stream)).count();
        assert!(unfinished <= 1, "unfinished: {:?} {:?}", self.partial.keys(), self.sctp.rx);
    }
}

pub(super) struct Pair {
    pub(super) a: Side,
    pub(super) b: Side,
    pub(super) now: Instant,
    pub(super) net: Net,
    pub(super) rng: Rng,
    pub(super) wire: BTreeMap<(Instant, u64), (End, Bytes)>,
    sequence: u64,
    pub(super) record: Vec<(End, Bytes)>,
}

/// With DATA; [`interleaved`] has I-DATA.
pub(super) fn config() -> Config {
    Config::default().with_interleaving(false)
}

pub(super) fn interleaved() -> Config {
    Config::default()
}

/// DATA for some seeds and I-DATA for the others.
pub(super) fn config_of(seed: u64) -> Config {
    if seed.is_multiple_of(3) { config() } else { interleaved() }
}

/// An association whose first TSN is `tsn`.
pub(super) fn association(config: Config, seed: u64, tsn: u32) -> Association {
    let mut association = Association::new(config, Rng::from_u64(seed));
    association.local_tsn = Tsn::new(tsn);
    association.tx.restart(&association.config, Tsn::new(tsn));
    association
}

impl Pair {
    pub(super) fn new(seed: u64, net: Net, config: Config) -> Self {
        let mut rng = Rng::from_u64(seed);
        let a = Association::new(config.clone(), rng.child());
        let b = Association::new(config, rng.child());
        Self::of(a, b, rng, net)
    }

    pub(super) fn of(a: Association, b: Association, rng: Rng, net: Net) -> Self {
        Self {
            a: Side::new(a),
            b: Side::new(b),
            now: Instant::now(),
            net,
            rng,
            wire: BTreeMap::new(),
            sequence: 0,
            record: Vec::new(),
        }
    }

    /// Both sides connect at once, and the handshake runs.
    pub(super) fn connected(seed: u64, net: Net, config: Config) -> Self {
        let mut pair = Self::new(seed, net, config);
        pair.connect();
        pair
    }

    pub(super) fn connect(&mut self) {
        self.a.sctp.connect(self.now);
        self.b.sctp.connect(self.now);
        let up = self.run_until(60_000 * MS, |pair| {
            pair.a.events.contains(&Event::Connected) && pair.b.events.contains(&Event::Connected)
        });
        assert!(up, "both ends are connected: {:?} {:?}", self.a.events, self.b.events);
    }

    pub(super) fn side(&mut self, end: End) -> &mut Side {
        match end {
            End::A => &mut self.a,
            End::B => &mut self.b,
        }
    }

    /// Polls one end: transmit, read, event.
    pub(super) fn poll(&mut self, end: End) {
        let now = self.now;
        let mut polls = 0;
        loop {
            let mut out = Vec::new();
            let side = self.side(end);
            let mut sent = side.sctp.poll_transmit(now, ROOM, &mut out);
            if sent.is_none() {
                sent = side.sctp.poll_mtu_probe(now, ROOM, &mut out);
            }
            assert_eq!(sent, (!out.is_empty()).then_some(out.len()));
            assert!(out.len() <= ROOM);
            polls += 1;
            assert!(polls < 10_000, "polling ends");
            if sent.is_none() {
                let before = side.messages.len();
                if side.reads {
                    side.read(now);
                }
                if side.messages.len() > before {
                    // Reading may open the window.
                    side.sctp.handle_timeout(now);
                    continue;
                }
                break;
            }
            self.send(end, Bytes::from(out));
        }
        let side = self.side(end);
        while let Some(event) = side.sctp.poll_event() {
            side.events.push(event);
        }
        let busy = side.sctp.is_open() && !side.sctp.tx.is_drained();
        if busy && side.sctp.tx.wants_timer() {
            assert!(side.sctp.poll_timeout().is_some(), "something is outstanding and there is no timer");
        }
    }

    pub(super) fn send(&mut self, from: End, packet: Bytes) {
        self.record.push((from, packet.clone()));
        let copies = if self.rng.unit() < self.net.duplicate { 2 } else { 1 };
        for _ in 0..copies {
            if self.rng.unit() < self.net.loss || packet.len() > self.net.mtu {
                continue;
            }
            let at = self.now + self.net.latency + self.net.jitter.mul_f64(self.rng.unit());
            self.sequence += 1;
            self.wire.insert((at, self.sequence), (from.other(), packet.clone()));
        }
    }

    /// Goes to the next thing that happens; `false` if nothing will.
    pub(super) fn step(&mut self) -> bool {
        self.poll(End::A);
        self.poll(End::B);
        let timers = [self.a.sctp.poll_timeout(), self.b.sctp.poll_timeout()];
        let packet = self.wire.first_key_value().map(|((at, _), _)| *at);
        let Some(at) = timers.into_iter().flatten().chain(packet).min() else { return false };
        self.now = self.now.max(at);
        let now = self.now;
        while let Some(entry) = self.wire.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let (to, packet) = entry.remove();
            self.side(to).sctp.handle_packet(now, packet);
        }
        for side in [&mut self.a, &mut self.b] {
            side.sctp.handle_timeout(now);
            let late = side.sctp.poll_timeout().is_some_and(|at| at <= now);
            side.late = if late { side.late + 1 } else { 0 };
            assert!(side.late < 2, "a timer is in the past twice");
        }
        true
    }

    pub(super) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            self.poll(End::A);
            self.poll(End::B);
            if done(self) {
                return true;
            }
            if self.now >= end || !self.step() {
                return false;
            }
        }
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(time, |pair| pair.now >= end);
    }

    pub(super) fn write(&mut self, end: End, stream: u16, data: Vec<u8>, options: WriteOptions) {
        let now = self.now;
        self.side(end).sctp.write(now, StreamId(stream), Bytes::from(data), &options).unwrap();
    }
}

/// A packet for an end, with its tag and a good checksum.
pub(super) fn packet(pair: &mut Pair, end: End, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let tag = pair.side(end).sctp.local_tag;
    packet_with_tag(tag, write)
}

/// A packet with a good checksum.
pub(super) fn packet_with_tag(tag: u32, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::new();
    Header { source: 5000, destination: 5000, tag }.write(&mut out);
    write(&mut out);
    finish(&mut out, 0);
    out.into()
}

/// A packet comes in that has the tag of the end and a good checksum.
pub(super) fn give(pair: &mut Pair, end: End, write: impl FnOnce(&mut Vec<u8>)) {
    let (packet, now) = (packet(pair, end, write), pair.now);
    pair.side(end).sctp.handle_packet(now, packet);
}

pub(super) fn reliable() -> WriteOptions {
    WriteOptions { ppid: 53, ..WriteOptions::default() }
}

pub(super) fn unordered() -> WriteOptions {
    WriteOptions { ordering: Ordering::Unordered, ..reliable() }
}

#[test]
fn public_types_are_send_sync_debug() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<Association>();
    check::<Config>();
    check::<Chunk>();
    check::<Event>();
    check::<Stats>();
}
