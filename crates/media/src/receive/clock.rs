//! Stage: timestamps. Extends them, measures interarrival jitter (RFC 3550 section A.8), and maps them to the wall
//! clock of the sender (section 6.4.1).

use std::time::{Duration, Instant};

use taut_sansio::seq::Unwrapper;

use crate::report::ntp_to_unix;

/// The timestamps of one source.
#[derive(Debug)]
pub(crate) struct Clock {
    rate: u32,
    unwrapper: Unwrapper<32>,
    first: Option<u64>,
    /// Arrival and timestamp of the packet before.
    previous: Option<(Instant, u64)>,
    /// Sixteen times the jitter, in units of the clock.
    scaled_jitter: u64,
    /// Wall clock since the Unix epoch, and the timestamp at that time.
    anchor: Option<(Duration, u64)>,
}

impl Clock {
    pub(crate) fn new(rate: u32) -> Self {
        Self {
            rate: rate.max(1),
            unwrapper: Unwrapper::new(),
            first: None,
            previous: None,
            scaled_jitter: 0,
            anchor: None,
        }
    }

    /// Sets the rate, which changes with the codec.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        if self.rate != rate.max(1) {
            *self = Self::new(rate);
        }
    }

    /// A packet came straight from the source.
    pub(crate) fn on_packet(&mut self, now: Instant, timestamp: u32) {
        let timestamp = self.unwrapper.unwrap(timestamp);
        self.first.get_or_insert(timestamp);
        if let Some((before, earlier)) = self.previous {
            let arrival = self.units(now.saturating_duration_since(before));
            let sent = i128::from(timestamp) - i128::from(earlier);
            let difference = (i128::from(arrival) - sent).unsigned_abs();
            // A difference of more than a minute is a jump of the source's clock, not of the network.
            if difference < u128::from(self.rate) * 60 {
                let decay = (self.scaled_jitter + 8) >> 4;
                self.scaled_jitter = (self.scaled_jitter + difference as u64).saturating_sub(decay);
            }
        }
        self.previous = Some((now, timestamp));
    }

    /// Media time is counted from this timestamp if it is before the first: its packet was overtaken.
    pub(crate) fn begin_at(&mut self, timestamp: u32) {
        let timestamp = self.unwrapper.peek(timestamp);
        self.first = self.first.map(|first| first.min(timestamp));
    }

    /// A sender report said what the wall clock was at a timestamp.
    pub(crate) fn on_sender_report(&mut self, ntp: u64, timestamp: u32) {
        self.anchor = Some((ntp_to_unix(ntp), self.unwrapper.peek(timestamp)));
    }

    /// The jitter in units of the clock, for reports.
    pub(crate) fn jitter_units(&self) -> u32 {
        u32::try_from(self.scaled_jitter >> 4).unwrap_or(u32::MAX)
    }

    /// The jitter.
    pub(crate) fn jitter(&self) -> Duration {
        self.duration(self.scaled_jitter >> 4)
    }

    /// The media time of a timestamp since the first packet.
    pub(crate) fn presentation(&self, timestamp: u32) -> Duration {
        let timestamp = self.unwrapper.peek(timestamp);
        self.duration(timestamp.saturating_sub(self.first.unwrap_or(timestamp)))
    }

    /// The sender's wall clock at a timestamp.
    pub(crate) fn captured(&self, timestamp: u32) -> Option<Duration> {
        let (wall, anchor) = self.anchor?;
        let timestamp = self.unwrapper.peek(timestamp);
        Some(match timestamp.checked_sub(anchor) {
            Some(later) => wall.saturating_add(self.duration(later)),
            None => wall.saturating_sub(self.duration(anchor - timestamp)),
        })
    }

    fn duration(&self, units: u64) -> Duration {
        let nanos = u128::from(units) * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn units(&self, time: Duration) -> u64 {
        u64::try_from(time.as_nanos() * u128::from(self.rate) / 1_000_000_000).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn jitter_follows_the_formula() {
        let start = Instant::now();
        let mut clock = Clock::new(8_000);
        let arrivals = [0u32, 21, 39, 70, 80, 95, 121, 140, 171, 180];
        let (mut model, mut previous) = (0f64, None::<(f64, f64)>);
        for (i, arrival) in arrivals.into_iter().enumerate() {
            clock.on_packet(start + arrival * MS, i as u32 * 160);
            let (arrival, sent) = (f64::from(arrival) * 8.0, i as f64 * 160.0);
            if let Some((a, s)) = previous {
                let d: f64 = (arrival - a) - (sent - s);
                model += (d.abs() - model) / 16.0;
            }
            previous = Some((arrival, sent));
        }
        assert!((f64::from(clock.jitter_units()) - model).abs() <= 1.0, "{model} {clock:?}");
        assert_eq!(clock.jitter(), clock.jitter_units() * Duration::from_micros(125));
    }

    #[test]
    fn even_arrivals_have_no_jitter_also_through_the_wrap() {
        let start = Instant::now();
        let mut clock = Clock::new(90_000);
        for i in 0..1_000u32 {
            clock.on_packet(start + i * 20 * MS, (u32::MAX - 500_000).wrapping_add(i * 1_800));
        }
        assert_eq!(clock.jitter_units(), 0);
        let newest = (u32::MAX - 500_000).wrapping_add(999 * 1_800);
        assert_eq!(clock.presentation(newest), 999 * 20 * MS);
        assert_eq!(clock.presentation(u32::MAX - 500_001), Duration::ZERO, "before the first");
    }

    #[test]
    fn a_report_maps_timestamps_to_the_wall_clock() {
        let mut clock = Clock::new(90_000);
        clock.on_packet(Instant::now(), u32::MAX - 10);
        assert_eq!(clock.captured(5), None);
        clock.on_sender_report((2_208_988_800 + 1_000) << 32, u32::MAX);
        assert_eq!(clock.captured(89_999), Some(Duration::from_secs(1_001)));
        assert_eq!(clock.captured(u32::MAX - 90_000), Some(Duration::from_secs(999)));
    }

    #[test]
    fn a_jump_of_the_timestamp_is_no_jitter() {
        let now = Instant::now();
        let mut clock = Clock::new(48_000);
        clock.on_packet(now, 0);
        clock.on_packet(now + 20 * MS, 0x7000_0000);
        assert_eq!(clock.jitter_units(), 0);
    }
}
