//! Spreads packets over the round trip, so that a window is no burst into the queue of the path.
//!
//! A bucket of octets that fills at the rate of the controller. What goes out may take the last of it and more, once;
//! then nothing goes before there is a whole quantum again, so that packets leave in batches (of one millisecond,
//! which is as exact as the timers of most systems are) and the caller is not woken for each of them.

use std::time::{Duration, Instant};

/// The time that a batch is worth.
const BATCH: Duration = Duration::from_millis(1);

/// For how long the bucket fills while nothing is sent: a timer that comes late by less costs nothing.
const FILL: Duration = Duration::from_millis(4);

/// The least batch, in packets: acknowledgements come for two.
const BATCH_PACKETS: usize = 2;

/// The largest batch in octets, as large as a batch of the kernel is.
const BATCH_MAX: usize = 64 << 10;

/// What a burst may be at least, in packets: the initial window (RFC 6928).
const BURST_PACKETS: usize = 10;

/// What a burst may be at most, in octets.
const BURST_MAX: usize = 512 << 10;

/// Below this round-trip time a timer cannot pace: the window alone decides.
const RTT_MIN: Duration = Duration::from_millis(1);

/// Whether packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// Until the bucket holds a batch.
    Waiting,
}

/// See the module. Rates in octets a second.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// What the controller wants.
    rate: Option<f64>,
    /// What the application allows at most.
    cap: Option<f64>,
    packet: usize,
    /// What may go now; below zero what went too early.
    credit: f64,
    filled: Option<Instant>,
    gate: Gate,
}

impl Pacer {
    pub(crate) fn new(packet: usize) -> Self {
        Self { rate: None, cap: None, packet, credit: 0.0, filled: None, gate: Gate::Open }
    }

    /// Sets what the controller wants; on a path with this round-trip time.
    pub(crate) fn set_rate(&mut self, now: Instant, rate: Option<f64>, rtt: Option<Duration>) {
        let rate = rate.filter(|_| rtt.is_some_and(|rtt| rtt >= RTT_MIN));
        self.fill(now);
        let was_unlimited = self.rate().is_none();
        self.rate = rate;
        self.credit = if was_unlimited { self.burst() } else { self.credit.min(self.burst()) };
    }

    /// Sets what may be sent at most; `None` for no bound.
    pub(crate) fn set_cap(&mut self, now: Instant, cap: Option<f64>) {
        self.fill(now);
        self.cap = cap;
        self.credit = self.credit.min(self.burst());
    }

    /// The rate at which packets go; `None` if nothing spreads them.
    pub(crate) fn rate(&self) -> Option<f64> {
        match (self.rate, self.cap) {
            (Some(rate), Some(cap)) => Some(rate.min(cap)),
            (rate, cap) => rate.or(cap),
        }
    }

    fn batch(&self) -> f64 {
        let least = (BATCH_PACKETS * self.packet) as f64;
        self.rate()
            .map_or(least, |rate| (rate * BATCH.as_secs_f64()).clamp(least, (BATCH_MAX as f64).max(least)))
    }

    fn burst(&self) -> f64 {
        let least = (BURST_PACKETS * self.packet) as f64;
        self.rate()
            .map_or(least, |rate| (rate * FILL.as_secs_f64()).clamp(least, (BURST_MAX as f64).max(least)))
    }

    fn fill(&mut self, now: Instant) {
        let Some(rate) = self.rate().filter(|_| self.filled != Some(now)) else { return };
        let burst = self.burst();
        self.credit = match self.filled {
            Some(filled) => {
                (self.credit + rate * now.saturating_duration_since(filled).as_secs_f64()).min(burst)
            }
            None => burst,
        };
        self.filled = Some(now);
    }

    /// Whether a packet may go now.
    pub(crate) fn is_open(&mut self, now: Instant) -> bool {
        if self.rate().is_none() {
            return true;
        }
        self.fill(now);
        let needed = match self.gate {
            Gate::Open => 1.0,
            // A hair less, because the time that was told is rounded.
            Gate::Waiting => self.batch() * 0.999,
        };
        self.gate = if self.credit >= needed { Gate::Open } else { Gate::Waiting };
        self.gate == Gate::Open
    }

    /// A packet went out.
    pub(crate) fn on_sent(&mut self, octets: usize) {
        if self.rate().is_some() {
            self.credit -= octets as f64;
        }
    }

    /// When the next packet may go, if not now.
    pub(crate) fn opens_at(&self) -> Option<Instant> {
        let (rate, filled) = (self.rate()?, self.filled?);
        let missing = (self.batch() - self.credit).max(0.0);
        let wait = Duration::try_from_secs_f64(missing / rate.max(1.0)).unwrap_or(Duration::MAX);
        // At least a microsecond on, so that time moves.
        filled.checked_add(wait.max(Duration::from_micros(1)))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    /// Sends packets of 1,000 octets for a second, asked each `step`; returns octets and the largest burst.
    fn run(pacer: &mut Pacer, start: Instant, step: Option<Duration>) -> (usize, usize) {
        let (mut now, mut sent, mut most) = (start, 0, 0);
        while now < start + Duration::from_secs(1) {
            let mut burst = 0;
            while pacer.is_open(now) {
                pacer.on_sent(1_000);
                burst += 1_000;
            }
            sent += burst;
            if now > start {
                most = most.max(burst);
            }
            now = match step {
                Some(step) => now + step,
                None => pacer.opens_at().expect("it is not open"),
            };
        }
        (sent, most)
    }

    #[test]
    fn the_rate_is_kept_in_batches_of_a_millisecond_also_by_a_late_timer() {
        for (rate, batch) in [(10_000_000.0, 11_000), (100_000_000.0, 66_000), (100_000.0, 3_000)] {
            let start = Instant::now();
            let mut pacer = Pacer::new(1_000);
            pacer.set_rate(start, Some(rate), Some(Duration::from_millis(40)));
            let (sent, most) = run(&mut pacer, start, None);
            let least = sent as f64 / rate;
            assert!((1.0..1.12).contains(&least), "{least} of {rate}");
            assert!(most <= batch, "{most}");
            let mut pacer = Pacer::new(1_000);
            pacer.set_rate(start, Some(rate), Some(Duration::from_millis(40)));
            let (sent, _) = run(&mut pacer, start, Some(Duration::from_micros(3_700)));
            assert!(sent as f64 / rate > 0.98, "late: {sent}");
        }
    }

    #[test]
    fn a_cap_holds_without_a_rate_and_idle_time_is_not_saved() {
        let start = Instant::now();
        let mut pacer = Pacer::new(1_000);
        assert!(pacer.is_open(start) && pacer.opens_at().is_none());
        pacer.set_cap(start, Some(50_000.0));
        let (sent, _) = run(&mut pacer, start, None);
        assert!((50_000..=62_000).contains(&sent), "{sent}");
        let later = start + Duration::from_secs(100);
        let mut burst = 0;
        while pacer.is_open(later) {
            pacer.on_sent(1_000);
            burst += 1;
        }
        assert!(burst <= 11, "{burst}");
        pacer.set_rate(later, Some(1e9), Some(Duration::from_micros(100)));
        assert_eq!(pacer.rate(), Some(50_000.0), "too short a round trip for the timer; the cap holds");
    }
}
