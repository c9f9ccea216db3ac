//! The one anchor between virtual time and the wall clock.

use std::time::{Duration, Instant};

/// Seconds between the NTP epoch (1900) and the Unix epoch (1970), RFC 5905 section 6.
const NTP_UNIX_OFFSET: u64 = 2_208_988_800;

/// A pair of readings taken at the same moment: monotonic time and time since the Unix epoch.
///
/// Given once, when a machine is made; steps of the system clock afterwards change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock {
    /// The monotonic reading.
    pub instant: Instant,
    /// The time since 1970-01-01 00:00:00 UTC at that reading.
    pub unix: Duration,
}

impl WallClock {
    /// The time since the Unix epoch at `at`.
    pub fn unix(&self, at: Instant) -> Duration {
        match at.checked_duration_since(self.instant) {
            Some(later) => self.unix.saturating_add(later),
            None => self.unix.saturating_sub(self.instant.saturating_duration_since(at)),
        }
    }

    /// The NTP timestamp at `at`, 32.32 fixed point (RFC 3550 section 4); it wraps in 2036.
    pub fn ntp(&self, at: Instant) -> u64 {
        let unix = self.unix(at);
        let seconds = unix.as_secs().wrapping_add(NTP_UNIX_OFFSET);
        let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
        (seconds << 32) | fraction
    }
}

/// The middle 32 bits of an NTP timestamp, the "compact" form of RTCP reports (RFC 3550 section 6.4.1).
pub fn ntp_middle(ntp: u64) -> u32 {
    ((ntp >> 16) & 0xffff_ffff) as u32
}

/// The earlier of two timeouts, where `None` means never.
pub fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    #[test]
    fn ntp_counts_from_1900_and_has_a_binary_fraction() {
        let instant = Instant::now();
        let clock = WallClock { instant, unix: Duration::from_secs(10) };
        assert_eq!(clock.ntp(instant), (NTP_UNIX_OFFSET + 10) << 32);
        let half = clock.ntp(instant + Duration::from_millis(1500));
        assert_eq!(half, ((NTP_UNIX_OFFSET + 11) << 32) | 0x8000_0000);
        assert_eq!(ntp_middle(0x1122_3344_5566_7788), 0x3344_5566);
    }

    #[test]
    fn times_before_the_anchor_are_earlier() {
        let instant = Instant::now() + Duration::from_secs(100);
        let clock = WallClock { instant, unix: Duration::from_secs(50) };
        assert_eq!(clock.unix(instant - Duration::from_secs(20)), Duration::from_secs(30));
        assert_eq!(clock.unix(instant - Duration::from_secs(70)), Duration::ZERO);
    }

    #[test]
    fn earliest_treats_none_as_never() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        assert_eq!(earliest(Some(later), Some(now)), Some(now));
        assert_eq!(earliest(None, Some(now)), Some(now));
        assert_eq!(earliest(None, None), None);
    }
}
