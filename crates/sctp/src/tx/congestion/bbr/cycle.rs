//! When to probe for more, and what comes of it: the start (section 5.3.1 of the draft), and the cycle of probing
//! after it (section 5.3.3).

use std::time::{Duration, Instant};

use super::super::super::flight::{LostPacket, RateSample};
use super::model::BETA;
use super::{AckInfo, Bbr, Limit, Phase};

/// Section 5.3.1.2 of the draft: a round trip in which the path delivers a quarter more than before.
const FULL_GROWTH: f64 = 1.25;
/// So many round trips without it, and the path is full.
const FULL_ROUNDS: u32 = 3;

/// Section 5.3.1.3: packets lost in a round trip that end the start, where there is a queue.
const STARTUP_LOSSES: u32 = 6;
/// And the share of what was delivered.
const STARTUP_LOSS_SHARE: f64 = 0.02;

/// Section 5.3.3.5: how long to wait before more is probed for, and by how much it is spread.
const WAIT: Duration = Duration::from_secs(2);
const WAIT_SPREAD_MS: u32 = 1_000;
/// After so many round trips at most: as often as Reno would have grown by what is probed for, on a short path.
const WAIT_ROUNDS: u32 = 63;

/// The bound is raised by four packets in the first round trip of a probe (as a power of two). The draft begins with
/// one, with which a flow that got little of a short queue takes a minute to get its share.
const RAISE_FIRST: u32 = 2;

/// Whether the path is full.
#[derive(Debug, Clone, Default)]
pub(super) struct FullPipe {
    bandwidth: f64,
    rounds: u32,
    /// Since the last probe.
    now: bool,
    /// At some time.
    pub(super) reached: bool,
}

impl FullPipe {
    fn restart(&mut self, bandwidth: f64) {
        self.bandwidth = bandwidth;
        self.rounds = 0;
        self.now = false;
    }
}

/// What acknowledgements tell of in the cycle of probing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// Of nothing in particular.
    Idle,
    /// Of what was sent before the probe.
    Refilling,
    Starting,
    /// Of the probe.
    Probe,
    /// Of the last of the probe.
    Stopping,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Cycle {
    answers: Answers,
    /// Losses tell of the probe.
    sampling: bool,
    since: Option<Instant>,
    wait: Duration,
    rounds: u32,
    /// How fast the bound is raised: by one packet for so many octets; twice as fast each round trip.
    raise_each: usize,
    raise_rounds: u32,
    raise_acked: usize,
    random: u32,
}

impl Cycle {
    pub(super) fn new(seed: u32) -> Self {
        Self {
            answers: Answers::Idle,
            sampling: false,
            since: None,
            wait: WAIT,
            rounds: 0,
            raise_each: usize::MAX,
            raise_rounds: 0,
            raise_acked: 0,
            random: seed | 1,
        }
    }

    /// Losses tell whether what is probed for is too much.
    pub(super) fn is_sampling(&self) -> bool {
        self.sampling
    }

    pub(super) fn on_stop(&mut self) {
        self.sampling = false;
        self.answers = Answers::Idle;
    }

    /// Spreads the probes of flows that share a queue (xorshift; nothing depends on how good it is).
    fn draw(&mut self, below: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random % below
    }
}

impl Bbr {
    /// Whether the path delivers no more than it did three round trips ago, or loses too much.
    pub(super) fn check_full_pipe(&mut self, sample: &RateSample, round_start: bool) {
        if self.phase == Phase::Startup && round_start {
            let (packets, octets) = std::mem::take(&mut self.model.round_losses);
            let share = octets as f64 / sample.delivered.max(1) as f64;
            if packets >= STARTUP_LOSSES && share > STARTUP_LOSS_SHARE && self.model.has_queue() {
                self.full.reached = true;
                let fills = self.inflight(self.model.max_bandwidth(), 1.0);
                self.model.inflight_hi = fills.max(self.model.inflight_latest());
            }
        } else if round_start {
            self.model.round_losses = (0, 0);
        }
        if let Some(rate) = sample.rate.filter(|_| !self.full.now && !sample.app_limited) {
            if rate >= self.full.bandwidth * FULL_GROWTH {
                self.full.restart(rate);
            } else if round_start {
                self.full.rounds += 1;
                self.full.now = self.full.rounds >= FULL_ROUNDS;
                self.full.reached |= self.full.now;
            }
        }
        if self.phase == Phase::Startup && self.full.reached {
            self.phase = Phase::Drain;
            self.model.start_round();
        }
    }

    pub(super) fn check_drained(&mut self, info: &AckInfo) {
        if self.phase == Phase::Drain && info.in_flight <= self.inflight(self.model.max_bandwidth(), 1.0) {
            self.start_down(info.now);
        }
    }

    pub(super) fn start_down(&mut self, now: Instant) {
        self.model.reset_signals();
        self.cycle.raise_each = usize::MAX;
        self.cycle.rounds = self.cycle.draw(2);
        self.cycle.wait = WAIT + Duration::from_millis(u64::from(self.cycle.draw(WAIT_SPREAD_MS)));
        self.cycle.since = Some(now);
        self.cycle.answers = Answers::Stopping;
        self.model.start_round();
        self.phase = Phase::Down;
    }

    fn start_refill(&mut self) {
        self.model.reset_lower_bounds();
        self.cycle.raise_rounds = RAISE_FIRST;
        self.cycle.raise_acked = 0;
        self.cycle.answers = Answers::Refilling;
        self.model.start_round();
        self.phase = Phase::Refill;
    }

    fn start_up(&mut self, sample: &RateSample) {
        // What is lost of the round trip before says nothing of the probe: the other flow of a queue may have probed.
        self.cycle.sampling = false;
        self.cycle.answers = Answers::Starting;
        self.model.start_round();
        self.full.restart(sample.rate.unwrap_or(0.0));
        self.phase = Phase::Up;
        self.raise_slope();
    }

    /// The bound grows by 4, 8, 16 packets a round trip.
    fn raise_slope(&mut self) {
        let packets = 1usize << self.cycle.raise_rounds;
        self.cycle.raise_rounds = (self.cycle.raise_rounds + 1).min(30);
        self.cycle.raise_each = (self.window / packets).max(self.packet);
    }

    /// The cycle of probing goes on.
    pub(super) fn update_cycle(&mut self, info: &AckInfo, sample: &RateSample, round_start: bool) {
        if !self.full.reached {
            return;
        }
        self.cycle.rounds += u32::from(round_start);
        self.update_bound(info, sample, round_start);
        match self.phase {
            Phase::Down | Phase::Cruise if self.is_time_to_probe(info) => self.start_refill(),
            Phase::Down => {
                let fills = self.inflight(self.model.max_bandwidth(), 1.0);
                if info.in_flight <= self.inflight_with_headroom() && info.in_flight <= fills {
                    self.phase = Phase::Cruise;
                }
            }
            Phase::Refill if round_start => self.start_up(sample),
            Phase::Up if info.limit == Limit::Window && self.window >= self.model.inflight_hi => {
                // The bound holds it up and not the path.
                self.full.restart(sample.rate.unwrap_or(0.0));
            }
            Phase::Up if self.full.now => self.start_down(info.now),
            _ => {}
        }
    }

    fn is_time_to_probe(&self, info: &AckInfo) -> bool {
        let packets = self.window_target() / self.packet.max(1);
        let rounds = u32::try_from(packets).unwrap_or(u32::MAX).min(WAIT_ROUNDS);
        self.cycle.since.is_none_or(|since| info.now >= since + self.cycle.wait)
            || self.cycle.rounds >= rounds
    }

    /// What came of the probe moves the bound (section 5.3.3.6).
    fn update_bound(&mut self, info: &AckInfo, sample: &RateSample, round_start: bool) {
        if self.cycle.answers == Answers::Starting && round_start {
            self.cycle.answers = Answers::Probe;
            self.cycle.sampling = true;
        }
        if self.cycle.answers == Answers::Stopping && round_start {
            self.cycle.on_stop();
            if self.is_probe_bandwidth() && !sample.app_limited {
                self.model.advance_filter();
            }
        }
        if self.cycle.sampling && self.model.is_sample_too_much(sample) {
            let lost = LostPacket {
                in_flight: sample.in_flight,
                lost: sample.lost,
                app_limited: sample.app_limited,
            };
            return self.on_inflight_too_high(info.now, &lost);
        }
        if self.model.inflight_hi == usize::MAX {
            return;
        }
        self.model.inflight_hi = self.model.inflight_hi.max(sample.in_flight);
        if self.phase == Phase::Up {
            self.raise_bound(info, round_start);
        }
    }

    fn raise_bound(&mut self, info: &AckInfo, round_start: bool) {
        if info.limit != Limit::Window || self.window < self.model.inflight_hi {
            return;
        }
        self.cycle.raise_acked += info.acked;
        let packets = self.cycle.raise_acked / self.cycle.raise_each;
        self.cycle.raise_acked %= self.cycle.raise_each;
        self.model.inflight_hi = self.model.inflight_hi.saturating_add(packets * self.packet);
        if round_start {
            self.raise_slope();
        }
    }

    /// A packet of the probe was lost, and too many before it.
    pub(super) fn on_inflight_too_high(&mut self, now: Instant, lost: &LostPacket) {
        self.cycle.sampling = false;
        if !lost.app_limited {
            let fills = self.inflight(self.model.bandwidth(), 1.0).min(self.window);
            self.model.inflight_hi = lost.in_flight.max((fills as f64 * BETA) as usize);
        }
        if self.phase == Phase::Up {
            self.start_down(now);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::super::Controller;
    use super::*;

    #[test]
    fn only_losses_of_the_probe_end_it() {
        let now = Instant::now();
        let mut bbr = Bbr::new(1_000, 1);
        bbr.full.reached = true;
        let sample = RateSample {
            rate: Some(1e6),
            delivered: 10_000,
            in_flight: 10_000,
            lost: 0,
            app_limited: false,
            prior_delivered: 0,
        };
        let info = AckInfo { sample: Some(sample), ..AckInfo::test(now, 1_000, None) };
        bbr.start_refill();
        bbr.start_up(&sample);
        let lost = LostPacket { in_flight: 10_000, lost: 5_000, app_limited: false };
        bbr.on_lost_packet(now, &lost);
        assert_eq!((bbr.phase, bbr.model.inflight_hi), (Phase::Up, usize::MAX), "it was sent before");
        bbr.update_bound(&info, &sample, true);
        bbr.on_lost_packet(now, &lost);
        assert_eq!((bbr.phase, bbr.model.inflight_hi), (Phase::Down, 10_000));
    }
}
