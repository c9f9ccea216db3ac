//! HyStart++ (RFC 9406): slow start ends when the round-trip time begins to grow, before it has lost a queue of
//! packets. As all sending is paced, the growth of a round is not limited (section 4.3, L).

use std::time::Duration;

use super::AckInfo;

/// RFC 9406 section 4.3.
const THRESHOLD_MIN: Duration = Duration::from_millis(4);
const THRESHOLD_MAX: Duration = Duration::from_millis(16);
const THRESHOLD_DIVISOR: u32 = 8;
const SAMPLES: u32 = 8;
const GROWTH_DIVISOR: usize = 4;
const CONSERVATIVE_ROUNDS: u32 = 5;

/// How slow start goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Standard,
    /// The round-trip time has grown: the window grows by a quarter of that, for as many rounds.
    Conservative {
        baseline: Duration,
        rounds: u32,
    },
}

/// What slow start does with an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// The window grows by so many octets.
    By(usize),
    /// Slow start is over.
    End,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct HyStart {
    phase: Phase,
    last_round: Option<Duration>,
    this_round: Option<Duration>,
    samples: u32,
}

impl HyStart {
    pub(super) fn new() -> Self {
        Self { phase: Phase::Standard, last_round: None, this_round: None, samples: 0 }
    }

    /// How much the window grows.
    pub(super) fn on_ack(&mut self, info: &AckInfo) -> Growth {
        if info.round_start {
            self.last_round = self.this_round.take();
            self.samples = 0;
            if let Phase::Conservative { rounds, .. } = &mut self.phase {
                *rounds += 1;
                if *rounds >= CONSERVATIVE_ROUNDS {
                    return Growth::End;
                }
            }
        }
        if let Some(rtt) = info.latest_rtt {
            self.this_round = Some(self.this_round.map_or(rtt, |lowest| lowest.min(rtt)));
            self.samples += 1;
        }
        if let (true, Some(this), Some(last)) = (self.samples >= SAMPLES, self.this_round, self.last_round) {
            self.phase = match self.phase {
                Phase::Standard => {
                    let threshold = (last / THRESHOLD_DIVISOR).clamp(THRESHOLD_MIN, THRESHOLD_MAX);
                    if this >= last + threshold {
                        Phase::Conservative { baseline: this, rounds: 0 }
                    } else {
                        Phase::Standard
                    }
                }
                // It was a flicker.
                Phase::Conservative { baseline, .. } if this < baseline => Phase::Standard,
                phase => phase,
            };
        }
        match self.phase {
            Phase::Standard => Growth::By(info.acked),
            Phase::Conservative { .. } => Growth::By(info.acked / GROWTH_DIVISOR),
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use std::time::Instant;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A round of ten acknowledgements; what the window grew by, or `None` if slow start ended.
    fn round(hystart: &mut HyStart, rtt: Duration) -> Option<usize> {
        let mut grown = 0;
        for i in 0..10 {
            let mut info = AckInfo::test(Instant::now(), 1_000, Some(rtt));
            info.round_start = i == 0;
            match hystart.on_ack(&info) {
                Growth::By(octets) => grown += octets,
                Growth::End => return None,
            }
        }
        Some(grown)
    }

    #[test]
    fn slow_start_ends_five_rounds_after_the_delay_grew_for_good() {
        let mut hystart = HyStart::new();
        for _ in 0..5 {
            assert_eq!(round(&mut hystart, 40 * MS), Some(10_000));
        }
        assert_eq!(round(&mut hystart, 44 * MS), Some(10_000), "less than an eighth more");
        let grown = round(&mut hystart, 60 * MS).unwrap();
        assert!(grown < 8_000, "{grown}");
        for _ in 0..4 {
            assert_eq!(round(&mut hystart, 61 * MS), Some(2_500));
        }
        assert_eq!(round(&mut hystart, 61 * MS), None);
    }

    #[test]
    fn a_flicker_is_forgiven() {
        let mut hystart = HyStart::new();
        round(&mut hystart, 40 * MS);
        round(&mut hystart, 60 * MS);
        round(&mut hystart, 40 * MS);
        assert_eq!(round(&mut hystart, 41 * MS), Some(10_000));
    }
}
