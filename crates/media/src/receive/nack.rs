//! Stage: asking again (RFC 4585 section 6.2.1). Remembers what is missing, and when to ask for it next.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits::{DEFAULT_RTT, MAX_MISSING, MAX_NACK_TRIES};

/// The shortest time between two requests for the same packet.
const MIN_INTERVAL: Duration = Duration::from_millis(20);
/// The most that a first request waits for a packet that was overtaken.
const MAX_REORDERING: Duration = Duration::from_millis(40);

#[derive(Debug, Clone, Copy)]
struct Missing {
    index: u64,
    since: Instant,
    due: Instant,
    tries: u8,
    /// To be asked for in the next packet.
    wanted: bool,
}

/// The missing packets of one source, in order.
#[derive(Debug, Default)]
pub(crate) struct NackList {
    missing: VecDeque<Missing>,
    /// How many of them are wanted.
    wanted: usize,
    next: Option<Instant>,
    /// How late packets come that were overtaken; the first request waits so long.
    reordering: Duration,
}

impl NackList {
    /// Packets from `first` up to but not including `end` are missing.
    pub(crate) fn on_gap(&mut self, now: Instant, first: u64, end: u64) {
        let due = now + self.reordering;
        let first = first.max(end.saturating_sub(MAX_MISSING as u64));
        for index in first..end {
            if self.missing.len() >= MAX_MISSING {
                self.pop_front();
            }
            self.missing.push_back(Missing { index, since: now, due, tries: 0, wanted: false });
        }
        if first < end {
            self.next = Some(self.next.map_or(due, |next| next.min(due)));
        }
    }

    /// Packets from `first` up to but not including `end` may have been overtaken by the first packet of all. They are
    /// waited for until `end_of_wait`, and never asked for: a source that goes on does not begin with what is first here.
    pub(crate) fn on_overtaken(&mut self, now: Instant, first: u64, end: u64, end_of_wait: Instant) {
        for index in (first..end).rev() {
            if self.missing.len() >= MAX_MISSING {
                break;
            }
            let (due, tries) = (end_of_wait, MAX_NACK_TRIES);
            self.missing.push_front(Missing { index, since: now, due, tries, wanted: false });
        }
        self.update_next();
    }

    /// A packet that was missing came straight from the source. If that was before an answer could come, it was
    /// overtaken, and the next request waits longer.
    pub(crate) fn on_late(&mut self, now: Instant, index: u64, rtt: Option<Duration>) {
        let Some(missing) = self.remove(index) else { return };
        let lateness = now.saturating_duration_since(missing.since);
        if missing.tries == 0 || lateness < rtt.unwrap_or(DEFAULT_RTT) / 2 {
            self.reordering = self.reordering.max(lateness).min(MAX_REORDERING);
        }
    }

    /// A packet that was missing came as a retransmission.
    pub(crate) fn on_repaired(&mut self, index: u64) {
        self.remove(index);
        // A network that lost packets need not reorder them for ever.
        self.reordering = self.reordering.mul_f64(0.98);
    }

    /// Nothing before `index` is waited for any more.
    pub(crate) fn forget_before(&mut self, index: u64) {
        while self.missing.front().is_some_and(|missing| missing.index < index) {
            self.pop_front();
        }
        self.update_next();
    }

    pub(crate) fn clear(&mut self) {
        self.missing.clear();
        (self.wanted, self.next) = (0, None);
    }

    /// True while there is hope for `index`.
    pub(crate) fn is_waiting(&self, index: u64) -> bool {
        self.position(index).is_some()
    }

    /// Marks what is due to be asked for, and gives up what was asked for too often.
    pub(crate) fn advance(&mut self, now: Instant, rtt: Option<Duration>) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        let interval = retry_interval(rtt);
        self.missing.retain_mut(|missing| {
            if missing.due > now {
                return true;
            }
            if missing.tries >= MAX_NACK_TRIES {
                return false;
            }
            missing.tries += 1;
            missing.wanted = true;
            missing.due = now + interval;
            true
        });
        self.wanted = self.missing.iter().filter(|missing| missing.wanted).count();
        self.update_next();
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted > 0
    }

    /// What to ask for now, in order; what does not fit stays for the next packet.
    pub(crate) fn take_wanted(&mut self, limit: usize) -> Vec<u64> {
        let mut taken = Vec::with_capacity(self.wanted.min(limit));
        for missing in self.missing.iter_mut().filter(|missing| missing.wanted).take(limit) {
            missing.wanted = false;
            taken.push(missing.index);
        }
        self.wanted = self.wanted.saturating_sub(taken.len());
        taken
    }

    /// How long a packet that overtaken ones wait for may be late.
    pub(crate) fn reordering(&self) -> Duration {
        self.reordering
    }

    fn position(&self, index: u64) -> Option<usize> {
        self.missing.binary_search_by_key(&index, |missing| missing.index).ok()
    }

    fn remove(&mut self, index: u64) -> Option<Missing> {
        let missing = self.missing.remove(self.position(index)?)?;
        self.wanted = self.wanted.saturating_sub(usize::from(missing.wanted));
        self.update_next();
        Some(missing)
    }

    fn pop_front(&mut self) {
        if let Some(missing) = self.missing.pop_front() {
            self.wanted = self.wanted.saturating_sub(usize::from(missing.wanted));
        }
    }

    fn update_next(&mut self) {
        self.next = self.missing.iter().map(|missing| missing.due).min();
    }
}

/// The time between two requests: an answer takes a round trip and some jitter.
pub(crate) fn retry_interval(rtt: Option<Duration>) -> Duration {
    let rtt = rtt.unwrap_or(DEFAULT_RTT);
    (rtt + rtt / 4).max(MIN_INTERVAL)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const RTT: Option<Duration> = Some(Duration::from_millis(40));

    #[test]
    fn a_gap_is_asked_for_at_once_and_again_after_a_round_trip() {
        let start = Instant::now();
        let mut list = NackList::default();
        list.on_gap(start, 5, 8);
        list.advance(start, RTT);
        assert_eq!(list.take_wanted(100), [5, 6, 7]);
        assert!(!list.is_wanted());
        assert_eq!(list.next(), Some(start + 50 * MS));
        list.on_repaired(6);
        list.advance(start + 49 * MS, RTT);
        assert!(!list.is_wanted());
        list.advance(start + 50 * MS, RTT);
        assert_eq!(list.take_wanted(1), [5], "a packet may have no room for all");
        assert_eq!(list.take_wanted(100), [7]);
    }

    #[test]
    fn ten_requests_are_enough() {
        let mut now = Instant::now();
        let mut list = NackList::default();
        list.on_gap(now, 5, 6);
        let mut asked = 0;
        while let Some(next) = list.next() {
            now = next;
            list.advance(now, RTT);
            asked += list.take_wanted(100).len();
        }
        assert_eq!(asked, usize::from(MAX_NACK_TRIES));
        assert!(!list.is_waiting(5));
    }

    #[test]
    fn reordering_delays_the_first_request() {
        let start = Instant::now();
        let mut list = NackList::default();
        list.on_gap(start, 1, 2);
        list.advance(start, RTT);
        list.on_late(start + 5 * MS, 1, RTT);
        list.on_gap(start + 100 * MS, 2, 3);
        assert_eq!(list.next(), Some(start + 105 * MS));
        list.on_late(start + 104 * MS, 2, RTT);
        list.advance(start + 105 * MS, RTT);
        assert!(!list.is_wanted(), "what was overtaken was not asked for");
        // What comes after an answer could come says nothing about the order.
        list.on_gap(start + 200 * MS, 3, 4);
        list.advance(start + 205 * MS, RTT);
        list.on_late(start + 250 * MS, 3, RTT);
        assert_eq!(list.reordering(), 5 * MS);
    }

    #[test]
    fn what_the_first_packet_overtook_is_waited_for_and_not_asked_for() {
        let start = Instant::now();
        let mut list = NackList::default();
        list.on_gap(start, 11, 12);
        list.on_overtaken(start, 7, 10, start + 20 * MS);
        list.advance(start, RTT);
        assert_eq!(list.take_wanted(100), [11]);
        assert!((7..10).all(|index| list.is_waiting(index)));
        list.on_late(start + 5 * MS, 8, RTT);
        assert_eq!(list.next(), Some(start + 20 * MS));
        list.advance(start + 20 * MS, RTT);
        assert!((7..10).all(|index| !list.is_waiting(index)) && list.is_waiting(11));
        assert!(!list.is_wanted());
    }

    #[test]
    fn what_is_wanted_is_counted() {
        let now = Instant::now();
        let mut list = NackList::default();
        list.on_gap(now, 0, 20);
        list.advance(now, RTT);
        list.on_repaired(3);
        list.forget_before(2);
        assert_eq!(list.take_wanted(5), [2, 4, 5, 6, 7]);
        assert_eq!(list.wanted, list.missing.iter().filter(|missing| missing.wanted).count());
        list.on_late(now, 19, RTT);
        list.on_gap(now, 20, 5_000);
        list.advance(now, RTT);
        assert_eq!((list.take_wanted(usize::MAX).len(), list.is_wanted()), (MAX_MISSING, false));
    }

    #[test]
    fn the_list_is_bounded() {
        let now = Instant::now();
        let mut list = NackList::default();
        list.on_gap(now, 0, u64::from(u32::MAX));
        list.on_gap(now, u64::from(u32::MAX) + 1, u64::from(u32::MAX) + 500);
        assert_eq!(list.missing.len(), MAX_MISSING);
        assert!(list.is_waiting(u64::from(u32::MAX) + 499));
        list.forget_before(u64::from(u32::MAX) + 499);
        assert_eq!(list.missing.len(), 1);
        list.clear();
        assert_eq!(list.next(), None);
    }
}
