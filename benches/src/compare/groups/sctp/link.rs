//! The way between two ends: nothing at all, or delay, a rate with a queue, and random loss, the same for all.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use taut_sansio::rng::Rng;

use crate::peers::sctp::End;

/// What IP and UDP and DTLS add to a packet on the wire.
const HEADERS: usize = 28 + 37;

/// The properties of both directions.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    latency: Duration,
    /// Bits a second.
    rate: Option<u64>,
    /// How long a packet waits for its turn at the rate, at most.
    queue: Duration,
    loss: f64,
}

impl Default for Link {
    fn default() -> Self {
        Self { latency: Duration::ZERO, rate: None, queue: Duration::from_millis(40), loss: 0.0 }
    }
}

impl Link {
    pub(super) fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    pub(super) fn rate(mut self, bits: u64) -> Self {
        self.rate = Some(bits);
        self
    }

    pub(super) fn queue(mut self, longest: Duration) -> Self {
        self.queue = longest;
        self
    }

    pub(super) fn loss(mut self, probability: f64) -> Self {
        self.loss = probability;
        self
    }

    /// Whether packets go from one end to the other at once.
    pub(super) fn is_direct(&self) -> bool {
        self.latency.is_zero()
    }

    pub(super) fn is_lossy(&self) -> bool {
        self.loss > 0.0
    }

    /// Bits a second; without a limit none are known.
    pub(super) fn bits(&self) -> u64 {
        self.rate.unwrap_or_default()
    }
}

/// Both directions, and the time.
pub(super) struct Wire<'a> {
    link: &'a Link,
    rng: Rng,
    there: Direction,
    back: Direction,
    pub(super) now: Instant,
}

struct Direction {
    packets: VecDeque<(Instant, Bytes)>,
    busy_until: Instant,
}

impl Direction {
    fn new(now: Instant) -> Self {
        Self { packets: VecDeque::new(), busy_until: now }
    }

    fn send(&mut self, link: &Link, rng: &mut Rng, now: Instant, packet: Bytes) {
        let mut sent = now;
        if let Some(rate) = link.rate {
            if self.busy_until > now + link.queue {
                return;
            }
            let bits = (packet.len() + HEADERS) as u64 * 8;
            self.busy_until = self.busy_until.max(now) + Duration::from_nanos(bits * 1_000_000_000 / rate);
            sent = self.busy_until;
        }
        if rng.unit() >= link.loss {
            self.packets.push_back((sent + link.latency, packet));
        }
    }

    fn due(&mut self, now: Instant) -> Option<Bytes> {
        let (at, _) = self.packets.front()?;
        if *at > now {
            return None;
        }
        self.packets.pop_front().map(|(_, packet)| packet)
    }
}

impl<'a> Wire<'a> {
    pub(super) fn new(link: &'a Link, seed: u64, now: Instant) -> Self {
        let (there, back) = (Direction::new(now), Direction::new(now));
        Self { link, rng: Rng::from_u64(seed), there, back, now }
    }

    /// Moves what can be moved, or the time if nothing can.
    pub(super) fn step(&mut self, a: &mut impl End, b: &mut impl End) -> Result<(), String> {
        let moved = if self.link.is_direct() { self.hand_over(a, b) } else { self.carry(a, b) };
        if moved {
            return Ok(());
        }
        let arrivals =
            [&self.there, &self.back].into_iter().filter_map(|way| way.packets.front().map(|(at, _)| *at));
        let timers = [a.timeout(), b.timeout()].into_iter().flatten();
        let next = arrivals.chain(timers).min().ok_or("nothing is on its way and no timer runs")?;
        self.now = self.now.max(next);
        a.handle_timeout(self.now);
        b.handle_timeout(self.now);
        Ok(())
    }

    /// Each packet alone, and both sides are asked after it.
    fn hand_over(&mut self, a: &mut impl End, b: &mut impl End) -> bool {
        let mut moved = false;
        // Of a burst the application sees the first packets before the last are made.
        for _ in 0..32 {
            let packet = a.transmit(self.now);
            let (sent, more) = (packet.is_some(), &mut moved);
            if let Some(packet) = packet {
                b.handle_packet(self.now, packet);
                *more = true;
            }
            let mut answered = false;
            while let Some(packet) = b.transmit(self.now) {
                a.handle_packet(self.now, packet);
                answered = true;
            }
            moved |= answered;
            self.now += Duration::from_micros(1);
            if !sent && !answered {
                break;
            }
        }
        moved
    }

    /// Packets into the link, and those that are due out of it.
    fn carry(&mut self, a: &mut impl End, b: &mut impl End) -> bool {
        let mut moved = false;
        while let Some(packet) = a.transmit(self.now) {
            self.there.send(self.link, &mut self.rng, self.now, packet);
            moved = true;
        }
        while let Some(packet) = b.transmit(self.now) {
            self.back.send(self.link, &mut self.rng, self.now, packet);
            moved = true;
        }
        while let Some(packet) = self.there.due(self.now) {
            b.handle_packet(self.now, packet);
            moved = true;
        }
        while let Some(packet) = self.back.due(self.now) {
            a.handle_packet(self.now, packet);
            moved = true;
        }
        moved
    }
}
