//! Packets with DATA that are out, and how fast what is out arrives: the delivery rate is what was acknowledged between
//! the sending of a packet and its acknowledgement, over the longer of the time it took to send and the time it took to
//! acknowledge (draft-ietf-ccwg-bbr section 4.1, which takes up draft-cheng-iccrg-delivery-rate-estimation).
//!
//! Octets here are those of DATA chunks with their headers, as the congestion window counts them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The number of the first packet: above those that stand for "none yet" in the loss detection.
const FIRST: u64 = 4;

/// Appends to a queue that may become large: it grows by a quarter, and not to the double, so that what is in flight
/// takes little more than its data.
#[inline]
pub(super) fn push_tight<T>(queue: &mut VecDeque<T>, value: T) {
    if queue.len() == queue.capacity() {
        queue.reserve_exact(queue.len() / 4 + 16);
    }
    queue.push_back(value);
}

/// What was known when a packet was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet {
    pub(crate) sent_at: Instant,
    /// Chunks of it that are in flight.
    chunks: u32,
    /// Octets in flight, those of the packet included.
    pub(crate) in_flight: usize,
    delivered: u64,
    delivered_at: Instant,
    first_sent: Instant,
    /// Octets that were lost until then.
    lost: u64,
    app_limited: bool,
    /// Octets of its chunks.
    octets: u32,
}

/// What an acknowledgement says of the rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateSample {
    /// Octets a second, if the time was long enough to tell.
    pub(crate) rate: Option<f64>,
    /// Octets that were delivered between the sending of the packet and now.
    pub(crate) delivered: usize,
    /// Octets in flight just after the packet was sent.
    pub(crate) in_flight: usize,
    /// Octets lost since the packet was sent.
    pub(crate) lost: usize,
    /// The sender had nothing more to send at that time: the path may take more.
    pub(crate) app_limited: bool,
    /// Octets that had been delivered when the packet was sent.
    pub(crate) prior_delivered: u64,
}

/// A packet that was lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LostPacket {
    /// Octets in flight just after it was sent.
    pub(crate) in_flight: usize,
    /// Octets lost since it was sent, its own included.
    pub(crate) lost: usize,
    pub(crate) app_limited: bool,
}

/// All packets that have a chunk in flight, and all sent since the first of those.
#[derive(Debug)]
pub(crate) struct Flight {
    packets: VecDeque<Packet>,
    /// The number of the first of them.
    first: u64,
    /// Octets acknowledged since the start.
    delivered: u64,
    delivered_at: Option<Instant>,
    first_sent: Option<Instant>,
    /// Octets lost since the start.
    lost: u64,
    /// Until this much is delivered, samples are of a time when there was nothing more to send.
    app_limited_until: u64,
    /// The packet that is being made has a number.
    open: bool,
    /// Packets of more than so many octets of chunks are large.
    large: u32,
    /// The newest large packet that was acknowledged.
    large_acked: u64,
    /// The last large packet that was lost and is newer than that, and how many of them there were.
    large_lost: (u64, usize),
}

impl Default for Flight {
    fn default() -> Self {
        Self {
            packets: VecDeque::new(),
            first: FIRST,
            delivered: 0,
            delivered_at: None,
            first_sent: None,
            lost: 0,
            app_limited_until: 0,
            open: false,
            large: u32::MAX,
            large_acked: 0,
            large_lost: (0, 0),
        }
    }
}

impl Flight {
    /// The chunks that are added now are in a new packet.
    pub(crate) fn begin(&mut self) {
        self.open = false;
    }

    /// Adds a chunk to the packet that is being made and returns its number. `in_flight` is without the chunk.
    #[inline]
    pub(crate) fn add(&mut self, now: Instant, in_flight: usize, octets: usize) -> u64 {
        if in_flight == 0 && !self.open {
            self.delivered_at = Some(now);
            self.first_sent = Some(now);
        }
        if !std::mem::replace(&mut self.open, true) {
            push_tight(
                &mut self.packets,
                Packet {
                    sent_at: now,
                    chunks: 0,
                    in_flight,
                    delivered: self.delivered,
                    delivered_at: self.delivered_at.unwrap_or(now),
                    first_sent: self.first_sent.unwrap_or(now),
                    lost: self.lost,
                    app_limited: self.app_limited_until > self.delivered,
                    octets: 0,
                },
            );
        }
        if let Some(packet) = self.packets.back_mut() {
            packet.chunks += 1;
            packet.in_flight = in_flight + octets;
            packet.octets = packet.octets.saturating_add(octets as u32);
        }
        self.newest()
    }

    /// The number of the newest packet; one below the first if there was none.
    pub(crate) fn newest(&self) -> u64 {
        self.first + self.packets.len() as u64 - 1
    }

    /// A packet that is still known.
    pub(crate) fn get(&self, number: u64) -> Option<&Packet> {
        self.packets.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// A chunk of the packet is not in flight any more.
    pub(crate) fn release(&mut self, number: u64) {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(packet) = index.and_then(|index| self.packets.get_mut(index)) {
            packet.chunks = packet.chunks.saturating_sub(1);
        }
        // The one that is being made may get more.
        while self.packets.len() > 1 && self.packets.front().is_some_and(|packet| packet.chunks == 0) {
            self.packets.pop_front();
            self.first += 1;
        }
    }

    /// Octets were acknowledged for the first time.
    pub(crate) fn on_delivered(&mut self, now: Instant, octets: usize) {
        self.delivered += octets as u64;
        self.delivered_at = Some(now);
    }

    /// Octets acknowledged since the start.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// A chunk of a packet was lost.
    pub(crate) fn on_lost(&mut self, number: u64, octets: usize) -> Option<LostPacket> {
        self.lost += octets as u64;
        let packet = *self.get(number)?;
        let (last, count) = self.large_lost;
        if packet.octets > self.large && number > self.large_acked && number != last {
            self.large_lost = (number, count + 1);
        }
        Some(LostPacket {
            in_flight: packet.in_flight,
            lost: (self.lost - packet.lost) as usize,
            app_limited: packet.app_limited,
        })
    }

    /// From how many octets of chunks on a packet is large.
    pub(crate) fn set_large(&mut self, octets: usize) {
        self.large = u32::try_from(octets).unwrap_or(u32::MAX);
        self.large_lost = (0, 0);
    }

    /// A packet was acknowledged.
    pub(crate) fn on_acked(&mut self, number: u64, packet: &Packet) {
        if packet.octets > self.large && number > self.large_acked {
            self.large_acked = number;
            self.large_lost = (0, 0);
        }
    }

    /// How many large packets were lost since one was acknowledged that was sent later.
    pub(crate) fn large_lost(&self) -> usize {
        self.large_lost.1
    }

    /// Those that were lost are dealt with.
    pub(crate) fn forget_large_lost(&mut self) {
        self.large_lost.1 = 0;
        self.large_acked = self.newest();
    }

    /// There is less to send than the window takes.
    pub(crate) fn on_app_limited(&mut self, in_flight: usize) {
        self.app_limited_until = self.delivered + in_flight.max(1) as u64;
    }

    /// What the acknowledgement of a packet says, the newest of those that one SACK acknowledges. To be asked after
    /// [`on_delivered`](Self::on_delivered).
    pub(crate) fn sample(&mut self, packet: &Packet, lowest_rtt: Duration) -> RateSample {
        self.first_sent = self.first_sent.max(Some(packet.sent_at));
        let send_time = packet.sent_at.saturating_duration_since(packet.first_sent);
        let ack_time =
            self.delivered_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(packet.delivered_at));
        let delivered = self.delivered - packet.delivered;
        let interval = send_time.max(ack_time);
        // Shorter than the shortest round trip: acknowledgements came bunched up, and would tell too high a rate.
        let told = interval >= lowest_rtt && !interval.is_zero();
        RateSample {
            rate: told.then(|| delivered as f64 / interval.as_secs_f64()),
            delivered: delivered as usize,
            in_flight: packet.in_flight,
            lost: (self.lost - packet.lost) as usize,
            app_limited: packet.app_limited,
            prior_delivered: packet.delivered,
        }
    }

    /// Gives back memory that a large flight took, once nothing is out.
    pub(crate) fn shrink(&mut self) {
        if self.packets.capacity() > 64 {
            self.first += self.packets.len() as u64;
            self.packets = VecDeque::new();
            self.open = false;
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_rate_is_what_the_path_delivers_and_not_what_was_sent() {
        let start = Instant::now();
        let mut flight = Flight::default();
        let mut numbers = Vec::new();
        // Ten packets at once, delivered one each 10 ms after 100 ms.
        for i in 0..10 {
            flight.begin();
            numbers.push(flight.add(start, i * 1_000, 1_000));
        }
        let mut last = None;
        for (i, number) in (0u32..).zip(numbers) {
            let now = start + 100 * MS + 10 * MS * i;
            let packet = *flight.get(number).unwrap();
            flight.release(number);
            flight.on_delivered(now, 1_000);
            last = Some((flight.sample(&packet, 100 * MS), packet.in_flight));
        }
        let (sample, in_flight) = last.unwrap();
        // Ten thousand octets in 190 ms.
        assert!((sample.rate.unwrap() - 10_000.0 / 0.19).abs() < 1.0, "{sample:?}");
        assert_eq!((sample.delivered, sample.lost, in_flight), (10_000, 0, 10_000));
        assert!(!sample.app_limited);
        assert_eq!(flight.packets.len(), 1, "what is answered is forgotten");
        flight.shrink();
        flight.on_app_limited(0);
        flight.begin();
        let number = flight.add(start + 300 * MS, 0, 500);
        let packet = *flight.get(number).unwrap();
        flight.on_delivered(start + 310 * MS, 500);
        let sample = flight.sample(&packet, 100 * MS);
        assert!(sample.app_limited && sample.rate.is_none(), "faster than the path can be: {sample:?}");
    }

    #[test]
    fn a_lost_packet_knows_what_was_lost_since_it_was_sent() {
        let now = Instant::now();
        let mut flight = Flight::default();
        flight.begin();
        let a = flight.add(now, 0, 1_000);
        flight.begin();
        let b = flight.add(now, 1_000, 1_000);
        assert_eq!(flight.on_lost(a, 1_000).map(|lost| (lost.in_flight, lost.lost)), Some((1_000, 1_000)));
        assert_eq!(flight.on_lost(b, 1_000).map(|lost| (lost.in_flight, lost.lost)), Some((2_000, 2_000)));
        flight.release(a);
        assert!(flight.get(a).is_none() && flight.get(b).is_some());
    }
}
