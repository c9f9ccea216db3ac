//! What was sent, to be sent again: header fields and payload slices, never ciphertext.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::packet::Outgoing;
use crate::limits::{
    DEFAULT_RTT, MAX_HISTORY_AGE, MAX_HISTORY_OCTETS, MAX_HISTORY_PACKETS, MAX_RESENT_PER_ROUND_TRIP,
};

/// The shortest window of the limit on retransmissions, and time between two of the same packet.
const MIN_WINDOW: Duration = Duration::from_millis(20);

/// A packet that was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) packet: Outgoing,
    /// It had the MID. Sent again as it is, it must have it again: the same index under the same key must never
    /// protect two different packets.
    pub(crate) had_mid: bool,
    at: Instant,
    again: Option<Instant>,
}

/// The last packets of one source, by their extended sequence numbers.
#[derive(Debug, Default)]
pub(crate) struct History {
    sent: VecDeque<Sent>,
    octets: usize,
    /// The start of the current window of the limit, and what was granted in it.
    window: Option<(Instant, u32)>,
}

impl History {
    /// Keeps a packet.
    pub(crate) fn insert(&mut self, now: Instant, packet: Outgoing, had_mid: bool) {
        self.octets += packet.body.len();
        let index = packet.index;
        let sent = Sent { packet, had_mid, at: now, again: None };
        if self.sent.back().is_none_or(|last| last.packet.index < index) {
            self.sent.push_back(sent);
        } else {
            let place = self.sent.partition_point(|sent| sent.packet.index < index);
            self.sent.insert(place, sent);
        }
        while self.is_over(now) {
            if let Some(sent) = self.sent.pop_front() {
                self.octets -= sent.packet.body.len(); // added above
            }
        }
    }

    /// Grants that a packet is sent again: it is here, was not sent again within a round trip, and not too many were.
    pub(crate) fn grant(&mut self, now: Instant, index: u64, rtt: Option<Duration>) -> bool {
        let window = rtt.unwrap_or(DEFAULT_RTT).max(MIN_WINDOW);
        let granted = match self.window {
            Some((start, granted)) if now.saturating_duration_since(start) < window => granted,
            _ => {
                self.window = Some((now, 0));
                0
            }
        };
        if granted >= MAX_RESENT_PER_ROUND_TRIP {
            return false;
        }
        let spacing = window * 3 / 4;
        let Some(sent) = self.find(index) else { return false };
        if sent.again.is_some_and(|at| now.saturating_duration_since(at) < spacing) {
            return false;
        }
        sent.again = Some(now);
        if let Some((_, granted)) = &mut self.window {
            *granted += 1;
        }
        true
    }

    pub(crate) fn get(&self, index: u64) -> Option<&Sent> {
        self.place(index).and_then(|place| self.sent.get(place))
    }

    fn find(&mut self, index: u64) -> Option<&mut Sent> {
        self.place(index).and_then(|place| self.sent.get_mut(place))
    }

    fn place(&self, index: u64) -> Option<usize> {
        self.sent.binary_search_by_key(&index, |sent| sent.packet.index).ok()
    }

    fn is_over(&self, now: Instant) -> bool {
        let old = |sent: &Sent| now.saturating_duration_since(sent.at) > MAX_HISTORY_AGE;
        self.sent.len() > MAX_HISTORY_PACKETS
            || self.octets > MAX_HISTORY_OCTETS
            || self.sent.front().is_some_and(old)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use bytes::Bytes;
    use taut_rtp::Extensions;

    use super::super::packet::Body;
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const RTT: Option<Duration> = Some(Duration::from_millis(40));

    fn packet(index: u64, len: usize, at: Instant) -> Outgoing {
        Outgoing {
            index,
            marker: false,
            payload_type: 96,
            timestamp: 0,
            csrc: vec![],
            extensions: Extensions::new(),
            body: Body::Whole(Bytes::from(vec![0; len])),
            at,
        }
    }

    #[test]
    fn packets_octets_and_age_are_bounded() {
        let now = Instant::now();
        let mut history = History::default();
        for index in 0..3_000 {
            history.insert(now, packet(index, 10, now), false);
        }
        assert_eq!((history.sent.len(), history.octets), (MAX_HISTORY_PACKETS, MAX_HISTORY_PACKETS * 10));
        assert!(history.get(2_999).is_some() && history.get(0).is_none());
        for index in 3_000..3_200 {
            history.insert(now, packet(index, 1 << 16, now), false);
        }
        assert!(history.octets <= MAX_HISTORY_OCTETS);
        let later = now + MAX_HISTORY_AGE + MS;
        history.insert(later, packet(3_200, 10, later), false);
        assert_eq!(history.sent.len(), 1);
    }

    #[test]
    fn a_packet_goes_again_once_a_round_trip() {
        let now = Instant::now();
        let mut history = History::default();
        history.insert(now, packet(5, 10, now), false);
        history.insert(now, packet(3, 10, now), false);
        assert!(history.grant(now, 3, RTT), "also one that was sent out of order");
        assert!(!history.grant(now + 29 * MS, 3, RTT));
        assert!(history.grant(now + 30 * MS, 3, RTT));
        assert!(!history.grant(now, 4, RTT), "never sent");
    }

    #[test]
    fn a_flood_of_requests_gets_a_hundred_packets_a_round_trip() {
        let start = Instant::now();
        let mut history = History::default();
        for index in 0..2_000 {
            history.insert(start, packet(index, 10, start), false);
        }
        let mut granted = 0;
        for ms in 0..400 {
            granted += (0..2_000).filter(|index| history.grant(start + ms * MS, *index, RTT)).count();
        }
        assert_eq!(granted, 10 * 100);
    }
}
