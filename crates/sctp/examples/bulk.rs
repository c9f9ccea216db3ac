//! A lossless transfer between two associations in memory, to be counted:
//!
//! ```text
//! valgrind --tool=callgrind target/release/examples/bulk 16384 64 zero
//! ```
//!
//! Octets of a message, MiB to send, and optionally `zero` (no checksum), `data` (no I-DATA), `each` (packets are
//! handed over one by one, and answered at once) and `flight=KIB`: then packets do not arrive at once but over a line of
//! 30 MB/s that holds this much, and each is taken as it comes. The difference of two volumes leaves the start out
//! (with 4 MiB in flight some 64 MiB).
#![allow(clippy::disallowed_methods, reason = "a starting point in time is needed")]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use taut_sansio::rng::Rng;
use taut_sctp::{Association, Config, StreamId, WriteError, WriteOptions};

/// Octets a second of a line.
const RATE: f64 = 30e6;

/// Octets of the blocks that received packets are cut off.
const BLOCK: usize = 64 << 10;

/// One packet at a time, in memory that is kept as a driver keeps it: made in one buffer, received in large blocks.
#[derive(Default)]
struct Socket {
    out: Vec<u8>,
    block: BytesMut,
}

impl Socket {
    /// The next packet that an end has to send, as the other one receives it.
    fn packet(&mut self, from: &mut Association, now: Instant) -> Option<Bytes> {
        self.out.clear();
        from.poll_transmit(now, 1_200, &mut self.out)?;
        if self.block.capacity() < self.out.len() {
            self.block = BytesMut::with_capacity(BLOCK);
        }
        self.block.extend_from_slice(&self.out);
        Some(self.block.split().freeze())
    }

    /// So many packets of one end, one after the other, if there are; and into the other end.
    fn carry(&mut self, from: &mut Association, to: &mut Association, now: Instant, packets: usize) -> bool {
        for moved in 0..packets {
            let Some(packet) = self.packet(from, now) else { return moved > 0 };
            to.handle_packet(now, packet);
        }
        true
    }
}

/// What is on its way to one end.
struct Line {
    socket: Socket,
    packets: VecDeque<(Instant, Bytes)>,
    latency: Duration,
    free_at: Instant,
}

impl Line {
    fn new(flight: usize, now: Instant) -> Self {
        let latency = Duration::from_secs_f64(flight as f64 / RATE / 2.0);
        Self { socket: Socket::default(), packets: VecDeque::new(), latency, free_at: now }
    }

    /// Takes what an end has to send.
    fn fill(&mut self, from: &mut Association, now: Instant) {
        while let Some(packet) = self.socket.packet(from, now) {
            self.free_at = self.free_at.max(now) + Duration::from_secs_f64(packet.len() as f64 / RATE);
            self.packets.push_back((self.free_at + self.latency, packet));
        }
    }

    fn next(&self) -> Option<Instant> {
        self.packets.front().map(|(at, _)| *at)
    }

    /// Gives what is due to an end, and says whether something was.
    fn empty(&mut self, to: &mut Association, now: Instant) -> bool {
        let mut any = false;
        while self.next().is_some_and(|at| at <= now) {
            if let Some((_, packet)) = self.packets.pop_front() {
                to.handle_packet(now, packet);
                any = true;
            }
        }
        any
    }
}

/// Writes as long as there is something to write and room.
fn write(a: &mut Association, now: Instant, message: &Bytes, unsent: &mut usize) {
    while *unsent > 0 {
        match a.write(now, StreamId(0), message.clone(), &WriteOptions::default()) {
            Ok(()) => *unsent -= 1,
            Err(WriteError::Full) => break,
            Err(error) => panic!("{error}"),
        }
    }
}

fn read(b: &mut Association, now: Instant) -> usize {
    let mut octets = 0;
    while let Some(chunk) = b.poll_read(now) {
        octets += chunk.bytes.len();
    }
    octets
}

/// The next moment at which something happens.
fn step(moments: impl IntoIterator<Item = Option<Instant>>, now: Instant) -> Instant {
    moments.into_iter().flatten().min().unwrap_or(now).max(now)
}

/// All of it over lines that hold `flight` octets; returns how much was in flight on average.
fn over_lines(
    a: &mut Association,
    b: &mut Association,
    mut now: Instant,
    work: &Work,
    flight: usize,
) -> usize {
    let mut lines = [Line::new(flight, now), Line::new(flight, now)];
    let [to_b, to_a] = &mut lines;
    let (mut unsent, mut arrived, mut looked, mut in_flight) = (work.messages, 0, 0, 0);
    while arrived < work.total() {
        write(a, now, &work.message, &mut unsent);
        to_b.fill(a, now);
        to_a.fill(b, now);
        now = step([to_b.next(), to_a.next(), a.poll_timeout(), b.poll_timeout()], now);
        if to_b.empty(b, now) {
            arrived += read(b, now);
        }
        to_a.empty(a, now);
        for end in [&mut *a, &mut *b] {
            if end.poll_timeout().is_some_and(|at| at <= now) {
                end.handle_timeout(now);
            }
        }
        if arrived >= (looked + 1) << 20 {
            looked += 1;
            in_flight += a.stats().in_flight;
        }
    }
    in_flight / looked.max(1)
}

/// All of it, so many packets at once.
fn at_once(a: &mut Association, b: &mut Association, mut now: Instant, work: &Work, packets: usize) {
    let (mut unsent, mut arrived, mut socket) = (work.messages, 0, Socket::default());
    while arrived < work.total() {
        now += Duration::from_micros(if packets == 1 { 1 } else { 100 });
        write(a, now, &work.message, &mut unsent);
        let mut moved = socket.carry(a, b, now, packets);
        arrived += read(b, now);
        moved |= socket.carry(b, a, now, packets);
        if !moved {
            now = step([a.poll_timeout(), b.poll_timeout()], now);
            a.handle_timeout(now);
            b.handle_timeout(now);
        }
    }
}

/// What is to be sent.
struct Work {
    message: Bytes,
    messages: usize,
}

impl Work {
    fn total(&self) -> usize {
        self.messages * self.message.len()
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (length, volume) = (number(0, 16_384), number(1, 64) << 20);
    let has = |word: &str| arguments.iter().any(|a| a == word);
    let flight = arguments.iter().find_map(|a| a.strip_prefix("flight=")?.parse::<usize>().ok());
    let config = Config::default()
        .with_mtu(1_200)
        .with_send_buffer(1 << 20)
        .with_zero_checksum(has("zero"))
        .with_interleaving(!has("data"));
    let mut a = Association::new(config.clone(), Rng::from_u64(1));
    let mut b = Association::new(config, Rng::from_u64(2));
    let now = Instant::now();
    a.connect(now);
    let mut socket = Socket::default();
    while socket.carry(&mut a, &mut b, now, 1) | socket.carry(&mut b, &mut a, now, 1) {}
    let work = Work { message: Bytes::from(vec![7; length]), messages: volume / length };
    let start = Instant::now();
    match flight {
        Some(kib) => {
            let average = over_lines(&mut a, &mut b, now, &work, kib << 10);
            println!("{} KiB in flight on average", average >> 10);
        }
        None => at_once(&mut a, &mut b, now, &work, if has("each") { 1 } else { usize::MAX }),
    }
    let per_mib = start.elapsed().as_secs_f64() * 1e3 / (work.total() as f64 / f64::from(1 << 20));
    println!("{per_mib:.3} ms per MiB, {} packets", a.stats().packets_sent);
}
