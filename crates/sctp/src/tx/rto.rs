//! The retransmission timeout (RFC 9260 section 6.3).

use std::time::Duration;

/// The least that the timeout is above the round-trip time. On an even path the variation goes to nothing, and an
/// acknowledgement that is held back, for 200 ms in the implementations that are in use, would always come too late
/// (the G of RFC 9260 section 6.3.1, and more).
const MARGIN_MIN: Duration = Duration::from_millis(200);

/// Smoothed round-trip time, its variation, and the timeout with its back-off.
#[derive(Debug, Clone)]
pub(crate) struct Rto {
    measured: Measured,
    rto: Duration,
    backoff: u32,
    min: Duration,
    max: Duration,
}

/// Whether there was a sample yet.
#[derive(Debug, Clone, Copy)]
enum Measured {
    Never,
    Srtt { smoothed: Duration, variation: Duration, lowest: Duration, latest: Duration },
}

impl Rto {
    pub(crate) fn new(initial: Duration, min: Duration, max: Duration) -> Self {
        Self { measured: Measured::Never, rto: initial, backoff: 0, min, max }
    }

    /// Takes a sample (rules C2 and C3, alpha 1/8, beta 1/4); the back-off ends.
    pub(crate) fn sample(&mut self, rtt: Duration) {
        let (smoothed, variation, lowest) = match self.measured {
            Measured::Never => (rtt, rtt / 2, rtt),
            Measured::Srtt { smoothed, variation, lowest, .. } => {
                (smoothed * 7 / 8 + rtt / 8, variation * 3 / 4 + smoothed.abs_diff(rtt) / 4, lowest.min(rtt))
            }
        };
        self.measured = Measured::Srtt { smoothed, variation, lowest, latest: rtt };
        self.rto = (smoothed + (variation * 4).max(MARGIN_MIN)).clamp(self.min, self.max);
        self.backoff = 0;
    }

    /// Doubles the timeout (rule E2), up to the maximum.
    pub(crate) fn back_off(&mut self) {
        if self.current() < self.max {
            self.backoff += 1;
        }
    }

    /// The timeout with its back-off.
    pub(crate) fn current(&self) -> Duration {
        self.rto.saturating_mul(1u32.checked_shl(self.backoff).unwrap_or(u32::MAX)).min(self.max)
    }

    /// The smoothed round-trip time.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        match self.measured {
            Measured::Never => None,
            Measured::Srtt { smoothed, .. } => Some(smoothed),
        }
    }

    /// The round-trip time by which losses are told: the smoothed or the latest, whichever is longer (RFC 9002
    /// section 6.1.2).
    pub(crate) fn for_losses(&self) -> Option<Duration> {
        match self.measured {
            Measured::Never => None,
            Measured::Srtt { smoothed, latest, .. } => Some(smoothed.max(latest)),
        }
    }

    /// The lowest sample.
    pub(crate) fn lowest(&self) -> Duration {
        match self.measured {
            Measured::Never => Duration::ZERO,
            Measured::Srtt { lowest, .. } => lowest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn follows_the_rules_and_backs_off_to_the_maximum() {
        let mut rto = Rto::new(1000 * MS, 400 * MS, 10_000 * MS);
        rto.sample(10 * MS);
        assert_eq!(rto.current(), 400 * MS, "never below the minimum");
        let mut rto = Rto::new(1000 * MS, 100 * MS, 10_000 * MS);
        assert_eq!(rto.current(), 1000 * MS);
        rto.sample(100 * MS);
        assert_eq!(rto.current(), 300 * MS);
        for _ in 0..200 {
            rto.back_off();
        }
        assert_eq!(rto.current(), 10_000 * MS);
        rto.sample(100 * MS);
        assert!(rto.current() <= 300 * MS);
        for _ in 0..50 {
            rto.sample(10 * MS);
        }
        assert_eq!(rto.current().as_millis(), 10 + 200, "never just the round trip");
        assert_eq!(rto.lowest(), 10 * MS);
    }
}
