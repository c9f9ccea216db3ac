//! How large the receive window is. It begins small and grows to four times what comes in a round trip, so that it
//! never caps a sender that still speeds up, nor one that repairs a loss while a window waits behind the gap; the
//! config bounds it.

use std::time::{Duration, Instant};

/// What it begins with, if the config does not ask for less.
const INITIAL: usize = 1 << 20;

/// How much of what comes in a round trip: what a sender that doubles has out in the next, and that once more.
const ROUNDS: usize = 4;

/// What a round trip counts for that was never measured.
const RTT_UNKNOWN: Duration = Duration::from_millis(100);

/// For how long a round-trip time is believed while data comes.
const RTT_LIFE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Window {
    size: usize,
    most: usize,
    /// The round trip that is measured: since when, and octets that came in it.
    since: Option<Instant>,
    octets: usize,
    /// When the round-trip time is asked for next.
    ask_at: Option<Instant>,
    /// The last moment it was looked at: packets that come at once change nothing more.
    looked: Option<Instant>,
}

/// Whether the round-trip time must be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rtt {
    Known,
    Wanted,
}

impl Window {
    pub(super) fn new(most: usize) -> Self {
        Self { size: most.min(INITIAL), most, since: None, octets: 0, ask_at: None, looked: None }
    }

    /// The bound, which it may grow to.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Octets came, with what it costs to keep them.
    pub(super) fn on_received(&mut self, octets: usize) {
        self.octets += octets;
    }

    /// A packet is through. At the end of a round trip the window grows, if need be.
    #[inline]
    pub(super) fn on_packet_end(&mut self, now: Instant, rtt: Option<Duration>) -> Rtt {
        if self.octets == 0 || self.size >= self.most || self.looked == Some(now) {
            return Rtt::Known;
        }
        self.looked = Some(now);
        let since = *self.since.get_or_insert(now);
        let round = rtt.unwrap_or(RTT_UNKNOWN);
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= round {
            // After a pause what came is of more than one round trip.
            if elapsed < round * 2 {
                self.size = self.size.max((self.octets * ROUNDS).min(self.most));
            }
            self.since = Some(now);
            self.octets = 0;
        }
        if self.ask_at.is_none_or(|at| now >= at) {
            self.ask_at = now.checked_add(RTT_LIFE);
            return Rtt::Wanted;
        }
        Rtt::Known
    }

    /// It is half full of what cannot be read yet: only more of it can end that.
    pub(super) fn on_unreadable(&mut self) {
        self.size = (self.size * 2).min(self.most);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Lets packets of 1,000 octets come at a rate, for a time.
    fn receive(window: &mut Window, start: Instant, octets_a_ms: usize, time: u32) -> usize {
        let mut asked = 0;
        for i in 0..time {
            window.on_received(octets_a_ms);
            asked += usize::from(window.on_packet_end(start + i * MS, Some(40 * MS)) == Rtt::Wanted);
        }
        asked
    }

    #[test]
    fn it_grows_to_four_round_trips_and_no_further() {
        let mut window = Window::new(16 << 20);
        let start = Instant::now();
        assert_eq!(receive(&mut window, start, 1_000, 10_000), 2, "the round trip is measured now and then");
        assert_eq!(window.size(), INITIAL, "40 KB a round trip");
        receive(&mut window, start + 20_000 * MS, 100_000, 200);
        assert!((15_900_000..17_000_000).contains(&window.size()), "{}", window.size());
        receive(&mut window, start + 30_000 * MS, 1_000_000, 200);
        assert_eq!(window.size(), 16 << 20);
        assert_eq!(Window::new(5_000).size(), 5_000);
    }

    #[test]
    fn what_cannot_be_read_makes_room_for_its_rest() {
        let mut window = Window::new(3 << 20);
        window.on_unreadable();
        assert_eq!(window.size(), 2 << 20);
        window.on_unreadable();
        assert_eq!(window.size(), 3 << 20);
    }
}
