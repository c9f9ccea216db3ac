//! Reports: when they are due (RFC 3550 section 6.2), how a compound is made (section 6.1), and the arithmetic of
//! its times (section 4).

mod compound;
mod schedule;

use std::time::Duration;

pub(crate) use compound::{Compound, blocks_in, description, receiver_report, sender_report};
pub(crate) use schedule::Schedule;

/// Seconds between the NTP epoch (1900) and the Unix epoch (1970).
const NTP_UNIX_OFFSET: u64 = 2_208_988_800;
/// A longer round trip is a forged or broken report.
const MAX_RTT: Duration = Duration::from_secs(30);

/// The time since the Unix epoch of an NTP timestamp; one from before 1970 is one of the next era (RFC 5905
/// section 6), which begins in 2036.
pub(crate) fn ntp_to_unix(ntp: u64) -> Duration {
    let seconds = ntp >> 32;
    let seconds = match seconds.checked_sub(NTP_UNIX_OFFSET) {
        Some(seconds) => seconds,
        None => seconds + (1 << 32) - NTP_UNIX_OFFSET,
    };
    let nanos = ((ntp & 0xffff_ffff) * 1_000_000_000) >> 32;
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

/// A duration in units of 1/65,536 s.
pub(crate) fn to_short(duration: Duration) -> u32 {
    let fraction = (u64::from(duration.subsec_nanos()) << 16) / 1_000_000_000;
    u32::try_from((duration.as_secs() << 16).saturating_add(fraction)).unwrap_or(u32::MAX)
}

/// The duration of a number of 1/65,536 s.
pub(crate) fn from_short(short: u32) -> Duration {
    Duration::from_nanos((u64::from(short) * 1_000_000_000) >> 16)
}

/// The round trip that a report block tells (RFC 3550 section 6.4.1): now, less the time of our report, less the
/// time the other side kept it. All are middle 32 bits of NTP timestamps. `None` if it cannot be.
pub(crate) fn round_trip(now: u32, last_sender_report: u32, delay: u32) -> Option<Duration> {
    let elapsed = now.wrapping_sub(last_sender_report).wrapping_sub(delay);
    match elapsed as i32 {
        // Rounding can make it negative by a few units.
        -64..=0 => Some(Duration::from_nanos(15_259)),
        1.. => Some(from_short(elapsed)).filter(|rtt| *rtt <= MAX_RTT),
        _ => None,
    }
}

/// A round trip, smoothed as in RFC 6298 section 2.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RoundTrip {
    smoothed: Option<Duration>,
    hint: Option<Duration>,
}

impl RoundTrip {
    pub(crate) fn on_sample(&mut self, sample: Duration) {
        self.smoothed = Some(match self.smoothed {
            Some(smoothed) => (smoothed * 7 + sample) / 8,
            None => sample,
        });
    }

    /// Something else measured it; used until reports do.
    pub(crate) fn set_hint(&mut self, hint: Duration) {
        self.hint = Some(hint.min(MAX_RTT));
    }

    pub(crate) fn get(&self) -> Option<Duration> {
        self.smoothed.or(self.hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 3550 section 6.4.1, figure 2: 6.125 s.
        let rtt = round_trip(0xb710_8000, 0xb705_2000, 0x0005_4000);
        assert_eq!(rtt, Some(Duration::from_millis(6_125)));
        assert_eq!(round_trip(100, 0, 200), None);
        assert!(round_trip(100, 0, 110).is_some_and(|rtt| rtt < Duration::from_millis(1)));
        assert_eq!(round_trip(31 << 16, 0, 0), None);
    }

    #[test]
    fn times_convert() {
        assert_eq!(to_short(Duration::from_millis(1_500)), 0x1_8000);
        assert_eq!(to_short(Duration::from_secs(100_000)), u32::MAX);
        assert_eq!(from_short(0x1_8000), Duration::from_millis(1_500));
        assert_eq!(ntp_to_unix((NTP_UNIX_OFFSET + 5) << 32 | 0x8000_0000), Duration::from_millis(5_500));
        assert_eq!(ntp_to_unix(0), Duration::from_secs((1 << 32) - NTP_UNIX_OFFSET));
    }

    #[test]
    fn a_measured_round_trip_beats_a_hint() {
        let mut rtt = RoundTrip::default();
        rtt.set_hint(Duration::from_millis(80));
        rtt.set_hint(Duration::from_millis(70));
        assert_eq!(rtt.get(), Some(Duration::from_millis(70)));
        rtt.on_sample(Duration::from_millis(160));
        assert_eq!(rtt.get(), Some(Duration::from_millis(160)));
        rtt.set_hint(Duration::from_millis(1));
        rtt.on_sample(Duration::from_millis(80));
        assert_eq!(rtt.get(), Some(Duration::from_millis(150)));
    }
}
