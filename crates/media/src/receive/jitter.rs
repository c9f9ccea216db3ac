//! Stage: order. Holds packets that came before one that is missing.

use std::collections::VecDeque;
use std::time::Instant;

use taut_rtp::Packet;

use crate::config::Codec;
use crate::limits::{MAX_BUFFERED_OCTETS, MAX_BUFFERED_PACKETS};

/// A packet and when it came.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) packet: Packet,
    pub(crate) codec: Codec,
    pub(crate) at: Instant,
}

/// What became of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Insert {
    /// It is held.
    Stored,
    /// Its place was given up.
    Late,
    /// There is no room before the gap at the front is given up.
    Full,
}

/// The packets of one source that wait, in order.
#[derive(Debug)]
pub(crate) struct JitterBuffer {
    /// The extended number of the first slot: what the consumer waits for.
    next: u64,
    slots: VecDeque<Option<Entry>>,
    held: usize,
    octets: usize,
    /// Since when the front is missing while later packets are here.
    blocked_since: Option<Instant>,
}

impl JitterBuffer {
    /// A buffer whose first packet is `next`.
    pub(crate) fn new(next: u64) -> Self {
        Self { next, slots: VecDeque::new(), held: 0, octets: 0, blocked_since: None }
    }

    /// The extended number that comes out next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Makes place for packets from `index` on, where a later one came first and nothing came out yet.
    pub(crate) fn begin_at(&mut self, index: u64) {
        for _ in index..self.next {
            self.slots.push_front(None);
        }
        self.next = self.next.min(index);
    }

    /// Takes a packet. It is given back unless it is stored.
    pub(crate) fn insert(&mut self, index: u64, entry: Entry) -> (Insert, Option<Entry>) {
        let Some(place) = index.checked_sub(self.next) else { return (Insert::Late, Some(entry)) };
        let octets = entry.packet.payload.len();
        let fits = place < MAX_BUFFERED_PACKETS as u64 && self.octets + octets <= MAX_BUFFERED_OCTETS;
        // What comes next is always taken: it goes on at once.
        if !fits && (place > 0 || self.held > 0) {
            return (Insert::Full, Some(entry));
        }
        let place = place as usize; // below MAX_BUFFERED_PACKETS
        if self.slots.len() <= place {
            self.slots.resize_with(place + 1, || None);
        }
        let at = entry.at;
        match self.slots.get_mut(place) {
            Some(slot @ None) => *slot = Some(entry),
            _ => return (Insert::Late, Some(entry)),
        }
        self.held += 1;
        self.octets += octets;
        if place > 0 && self.blocked_since.is_none() && matches!(self.slots.front(), Some(None)) {
            self.blocked_since = Some(at);
        }
        (Insert::Stored, None)
    }

    /// The next packet, if it is there.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entry = match self.slots.front_mut() {
            Some(slot) => slot.take()?,
            None => return None,
        };
        self.slots.pop_front();
        self.next += 1;
        self.held -= 1; // one was taken
        self.octets -= entry.packet.payload.len(); // added by insert
        self.blocked_since = match self.slots.front() {
            Some(None) => self.slots.iter().flatten().map(|entry| entry.at).next(),
            _ => None,
        };
        Some(entry)
    }

    /// Since when the next packet is missing while later ones are here.
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    /// Gives up what is missing at the front; how many packets that is.
    pub(crate) fn skip(&mut self) -> u64 {
        let missing = self.slots.iter().take_while(|slot| slot.is_none()).count();
        self.slots.drain(..missing);
        self.next += missing as u64;
        self.blocked_since = None;
        missing as u64
    }

    /// Moves an empty buffer forward to `index`; how many packets are given up.
    pub(crate) fn skip_to(&mut self, index: u64) -> u64 {
        debug_assert_eq!(self.held, 0);
        let skipped = index.saturating_sub(self.next);
        *self = Self::new(self.next.max(index));
        skipped
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn entry(at: Instant, len: usize) -> Entry {
        let packet = Packet { payload: Bytes::from(vec![0; len]), ..Packet::default() };
        Entry { packet, codec: Codec::Vp8, at }
    }

    fn insert(buffer: &mut JitterBuffer, index: u64, at: Instant) -> Insert {
        buffer.insert(index, entry(at, 1)).0
    }

    #[test]
    fn packets_come_out_in_order_and_gaps_block() {
        let now = Instant::now();
        let mut buffer = JitterBuffer::new(10);
        assert_eq!(insert(&mut buffer, 10, now), Insert::Stored);
        assert!(buffer.pop().is_some());
        assert!(buffer.pop().is_none());
        let later = now + Duration::from_millis(5);
        assert_eq!(insert(&mut buffer, 13, later), Insert::Stored);
        assert_eq!(insert(&mut buffer, 12, later + Duration::from_millis(1)), Insert::Stored);
        assert_eq!(buffer.blocked_since(), Some(later), "since the first that waits");
        assert_eq!(insert(&mut buffer, 12, later), Insert::Late, "twice");
        assert_eq!(insert(&mut buffer, 9, later), Insert::Late);
        assert!(buffer.pop().is_none());
        assert_eq!(buffer.skip(), 1);
        assert!(buffer.pop().is_some() && buffer.pop().is_some() && buffer.pop().is_none());
        assert_eq!((buffer.next(), buffer.octets, buffer.held), (14, 0, 0));
    }

    #[test]
    fn a_second_gap_waits_from_its_own_start() {
        let now = Instant::now();
        let mut buffer = JitterBuffer::new(0);
        insert(&mut buffer, 1, now);
        let later = now + Duration::from_millis(9);
        insert(&mut buffer, 3, later);
        insert(&mut buffer, 0, later + Duration::from_millis(9));
        while buffer.pop().is_some() {}
        assert_eq!(buffer.blocked_since(), Some(later));
    }

    #[test]
    fn packets_and_octets_are_bounded() {
        let now = Instant::now();
        let mut buffer = JitterBuffer::new(0);
        assert_eq!(insert(&mut buffer, MAX_BUFFERED_PACKETS as u64, now), Insert::Full);
        assert_eq!(insert(&mut buffer, u64::MAX, now), Insert::Full);
        assert_eq!(buffer.skip_to(u64::MAX), u64::MAX);
        let mut buffer = JitterBuffer::new(0);
        for index in 1..65 {
            assert_eq!(buffer.insert(index, entry(now, 1 << 16)).0, Insert::Stored);
        }
        assert_eq!(insert(&mut buffer, 65, now), Insert::Full);
        assert_eq!(buffer.skip(), 1);
    }
}
