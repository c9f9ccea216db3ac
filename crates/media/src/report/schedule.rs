//! When reports are due (RFC 3550 section 6.2, with the reduced minimum that RFC 4585 allows): one timer for all
//! sources of the transport.

use std::time::{Duration, Instant};

use taut_sansio::rng::Rng;

/// The mean time between two reports.
const INTERVAL: Duration = Duration::from_secs(1);

/// The report timer. It does not run before there is media.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    next: Option<Instant>,
}

impl Schedule {
    /// There is media: the first report comes after half an interval (RFC 3550 section 6.2).
    pub(crate) fn start(&mut self, now: Instant, rng: &mut Rng) {
        if self.next.is_none() {
            self.next = Some(now + randomized(INTERVAL / 2, rng));
        }
    }

    /// There is no media any more.
    pub(crate) fn stop(&mut self) {
        self.next = None;
    }

    /// True once for each report that is due.
    pub(crate) fn take_due(&mut self, now: Instant, rng: &mut Rng) -> bool {
        let due = self.next.is_some_and(|next| next <= now);
        if due {
            self.next = Some(now + randomized(INTERVAL, rng));
        }
        due
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }
}

/// Between half and one and a half times the interval, so that participants do not report in step.
fn randomized(interval: Duration, rng: &mut Rng) -> Duration {
    interval.mul_f64(0.5 + rng.unit())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_random_around_a_second() {
        let mut rng = Rng::from_u64(1);
        let start = Instant::now();
        let mut schedule = Schedule::default();
        assert!(!schedule.take_due(start, &mut rng), "nothing before there is media");
        schedule.start(start, &mut rng);
        let first = schedule.next().unwrap() - start;
        assert!((Duration::from_millis(250)..=Duration::from_millis(750)).contains(&first));
        let (mut now, mut intervals) = (schedule.next().unwrap(), Vec::new());
        for _ in 0..1_000 {
            assert!(schedule.take_due(now, &mut rng));
            assert!(!schedule.take_due(now, &mut rng));
            let next = schedule.next().unwrap();
            intervals.push(next - now);
            now = next;
        }
        assert!(intervals.iter().all(|i| (INTERVAL / 2..INTERVAL * 3 / 2).contains(i)));
        let mean = intervals.iter().sum::<Duration>() / 1_000;
        assert!((Duration::from_millis(970)..Duration::from_millis(1_030)).contains(&mean), "{mean:?}");
    }
}
