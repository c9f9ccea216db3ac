//! What is known of the path (section 2 of the draft): how much it delivers, its round-trip time, and how much in
//! flight it was seen to take.

use std::time::{Duration, Instant};

use super::super::super::flight::{LostPacket, RateSample};
use super::super::AckInfo;

/// Section 2.7 of the draft: the share of losses above which there is too much in flight, where there is a queue.
const LOSS_MAX: f64 = 0.02;

/// The same where no queue is seen: a policer, or a queue too short to be seen.
const LOSS_MAX_WITHOUT_QUEUE: f64 = 0.2;

/// Section 2.7: what is left of the bounds after a loss.
pub(super) const BETA: f64 = 0.7;

/// Section 2.13.1: for how long the lowest round-trip time is believed, and how often it is looked at.
const MIN_RTT_LIFE: Duration = Duration::from_secs(10);
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);

/// Rounds of half the time for which the most of [`Extra`] is remembered (section 2.12, ExtraACKedFilterLen is 10).
const EXTRA_ROUNDS: u32 = 5;

/// Acknowledgements that come bunched up: how much more than the rate explains.
#[derive(Debug, Clone, Copy)]
struct Extra {
    since: Option<Instant>,
    acked: usize,
    most: [usize; 2],
    rounds: u32,
}

/// The bounds that a loss moved, as they were before.
#[derive(Debug, Clone, Copy)]
struct Saved {
    bandwidth_lo: f64,
    inflight_lo: usize,
    inflight_hi: usize,
}

/// See the module. Rates in octets a second.
#[derive(Debug, Clone)]
pub(super) struct Model {
    /// The most of this cycle of probing, and of the one before.
    max_bandwidth: [f64; 2],
    /// Bounds since losses of this cycle.
    bandwidth_lo: f64,
    pub(super) inflight_lo: usize,
    /// What the path takes at most.
    pub(super) inflight_hi: usize,
    /// The most of the round trip.
    bandwidth_latest: f64,
    inflight_latest: usize,
    min_rtt: Option<(Duration, Instant)>,
    probe_rtt: Option<(Duration, Instant)>,
    probe_rtt_due: bool,
    /// The lowest of the last round trip, and of this.
    round_rtt: [Option<Duration>; 2],
    /// Octets acknowledged since the start, now and at the start of the round trip.
    delivered: u64,
    round_end: u64,
    /// Something was lost in the round trip since the phase began.
    loss_in_round: bool,
    /// Octets lost in all of that round trip.
    lost_in_round: usize,
    loss_round_end: u64,
    loss_round_start: bool,
    /// Of the round that is going on: packets and octets lost.
    pub(super) round_losses: (u32, usize),
    extra: Extra,
    saved: Option<Saved>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            max_bandwidth: [0.0; 2],
            bandwidth_lo: f64::INFINITY,
            inflight_lo: usize::MAX,
            inflight_hi: usize::MAX,
            bandwidth_latest: 0.0,
            inflight_latest: 0,
            min_rtt: None,
            probe_rtt: None,
            probe_rtt_due: false,
            round_rtt: [None; 2],
            delivered: 0,
            round_end: 0,
            loss_in_round: false,
            lost_in_round: 0,
            loss_round_end: 0,
            loss_round_start: false,
            round_losses: (0, 0),
            extra: Extra { since: None, acked: 0, most: [0; 2], rounds: 0 },
            saved: None,
        }
    }

    pub(super) fn max_bandwidth(&self) -> f64 {
        let [this, last] = self.max_bandwidth;
        this.max(last)
    }

    /// What it sends by.
    pub(super) fn bandwidth(&self) -> f64 {
        self.max_bandwidth().min(self.bandwidth_lo)
    }

    pub(super) fn min_rtt(&self) -> Option<Duration> {
        self.min_rtt.map(|(rtt, _)| rtt)
    }

    pub(super) fn extra_acked(&self) -> usize {
        let [this, last] = self.extra.most;
        this.max(last)
    }

    pub(super) fn inflight_latest(&self) -> usize {
        self.inflight_latest
    }

    /// A round trip begins now.
    pub(super) fn start_round(&mut self) {
        self.round_end = self.delivered;
    }

    /// Every packet of the last round trip waited somewhere.
    pub(super) fn has_queue(&self) -> bool {
        let lowest = self.round_rtt.iter().flatten().min();
        match (lowest, self.min_rtt()) {
            (Some(&rtt), Some(min)) => rtt > min + min / 10 + Duration::from_millis(1),
            _ => false,
        }
    }

    /// A cycle of probing is over: what was measured two ago is forgotten.
    pub(super) fn advance_filter(&mut self) {
        let [this, last] = self.max_bandwidth;
        if this > 0.0 {
            self.max_bandwidth = [0.0, this];
        } else {
            self.max_bandwidth = [0.0, last];
        }
    }

    /// Takes an acknowledgement in; true if a round trip is over.
    pub(super) fn on_ack(&mut self, info: &AckInfo, probing: bool, window: usize) -> bool {
        self.delivered = info.delivered;
        let Some(sample) = info.sample else { return false };
        let round_start = sample.prior_delivered >= self.round_end;
        if round_start {
            self.round_end = info.delivered;
        }
        self.note_rtt(info, round_start);
        self.note_rate(info, &sample);
        if self.loss_round_start {
            let lost = std::mem::take(&mut self.lost_in_round);
            let too_much = lost as f64 > (lost + sample.delivered) as f64 * LOSS_MAX;
            if !probing && self.loss_in_round && too_much && self.has_queue() {
                self.lower_bounds(window);
            }
            self.loss_in_round = false;
        }
        self.note_extra(info, round_start, window);
        round_start
    }

    fn note_rtt(&mut self, info: &AckInfo, round_start: bool) {
        let [this, last] = self.round_rtt;
        let (this, last) = if round_start { (None, this) } else { (this, last) };
        let this = match (this, info.latest_rtt) {
            (Some(lowest), Some(rtt)) => Some(lowest.min(rtt)),
            (lowest, rtt) => lowest.or(rtt),
        };
        self.round_rtt = [this, last];
    }

    fn note_rate(&mut self, info: &AckInfo, sample: &RateSample) {
        self.loss_round_start = sample.prior_delivered >= self.loss_round_end;
        if self.loss_round_start {
            self.loss_round_end = info.delivered;
        }
        self.inflight_latest = self.inflight_latest.max(sample.delivered);
        let Some(rate) = sample.rate else { return };
        self.bandwidth_latest = self.bandwidth_latest.max(rate);
        if !sample.app_limited || rate >= self.max_bandwidth() {
            let [this, last] = self.max_bandwidth;
            self.max_bandwidth = [this.max(rate), last];
        }
    }

    /// Losses in a queue: the next round trips are no faster than this one was (section 5.5.10.3). The draft does so
    /// for any loss; but a path that loses one packet in a hundred loses some in each round trip, and the one after a
    /// probe has a queue, which is ours, and delivers only the nine tenths that are sent.
    fn lower_bounds(&mut self, window: usize) {
        if self.bandwidth_lo.is_infinite() {
            self.bandwidth_lo = self.max_bandwidth();
        }
        if self.inflight_lo == usize::MAX {
            self.inflight_lo = window;
        }
        // Acknowledgements that came bunched up do not raise it.
        self.bandwidth_lo = self.bandwidth_latest.clamp(self.bandwidth_lo * BETA, self.bandwidth_lo);
        self.inflight_lo = self.inflight_latest.max((self.inflight_lo as f64 * BETA) as usize);
    }

    pub(super) fn reset_lower_bounds(&mut self) {
        self.bandwidth_lo = f64::INFINITY;
        self.inflight_lo = usize::MAX;
    }

    /// What losses said counts no more.
    pub(super) fn reset_signals(&mut self) {
        self.loss_in_round = false;
        self.bandwidth_latest = 0.0;
        self.inflight_latest = 0;
    }

    /// Section 5.5.9 of the draft.
    fn note_extra(&mut self, info: &AckInfo, round_start: bool, window: usize) {
        let extra = &mut self.extra;
        if round_start {
            extra.rounds += 1;
            if extra.rounds >= EXTRA_ROUNDS {
                let [this, _] = extra.most;
                extra.most = [0, this];
                extra.rounds = 0;
            }
        }
        let since = *extra.since.get_or_insert(info.now);
        let [this, last] = self.max_bandwidth;
        let bandwidth = this.max(last).min(self.bandwidth_lo);
        let elapsed = info.now.saturating_duration_since(since).as_secs_f64();
        let mut expected = (bandwidth * elapsed) as usize;
        if extra.acked <= expected {
            (extra.acked, extra.since, expected) = (0, Some(info.now), 0);
        }
        extra.acked += info.acked;
        let more = extra.acked.saturating_sub(expected).min(window);
        let [this, last] = extra.most;
        extra.most = [this.max(more), last];
    }

    /// The acknowledgement is through (section 5.5.10.2).
    pub(super) fn end_ack(&mut self, info: &AckInfo) {
        if let Some(sample) = info.sample.filter(|_| self.loss_round_start) {
            self.bandwidth_latest = sample.rate.unwrap_or(0.0);
            self.inflight_latest = sample.delivered;
        }
    }

    /// Section 5.5.7: the lowest of ten seconds, and whether it is time to look at it.
    pub(super) fn update_min_rtt(&mut self, info: &AckInfo) {
        let Some(rtt) = info.latest_rtt else { return };
        let (lowest, seen) = *self.probe_rtt.get_or_insert((rtt, info.now));
        self.probe_rtt_due = info.now > seen + PROBE_RTT_INTERVAL;
        if rtt < lowest || self.probe_rtt_due {
            self.probe_rtt = Some((rtt, info.now));
        } else if rtt <= lowest + lowest / 32 {
            // As low as ever: there is no queue, and no need to empty one.
            self.probe_rtt = Some((lowest, info.now));
        }
        let Some((lowest, seen)) = self.probe_rtt else { return };
        let (min, at) = *self.min_rtt.get_or_insert((lowest, seen));
        if lowest <= min || info.now > at + MIN_RTT_LIFE {
            self.min_rtt = Some((lowest, seen));
        }
    }

    pub(super) fn is_probe_rtt_due(&self) -> bool {
        self.probe_rtt_due
    }

    pub(super) fn on_probe_rtt_done(&mut self, now: Instant) {
        self.probe_rtt_due = false;
        if let Some((_, seen)) = &mut self.probe_rtt {
            *seen = now;
        }
    }

    /// A packet was lost.
    pub(super) fn on_lost(&mut self, octets: usize) {
        self.loss_in_round = true;
        self.lost_in_round += octets;
        let (packets, lost) = self.round_losses;
        self.round_losses = (packets + 1, lost + octets);
    }

    /// More was lost than a path loses that is not overloaded.
    pub(super) fn is_too_much(&self, lost: &LostPacket) -> bool {
        let most = if self.has_queue() { LOSS_MAX } else { LOSS_MAX_WITHOUT_QUEUE };
        lost.lost as f64 > lost.in_flight as f64 * most
    }

    /// The same for what is acknowledged.
    pub(super) fn is_sample_too_much(&self, sample: &RateSample) -> bool {
        let most = if self.has_queue() { LOSS_MAX } else { LOSS_MAX_WITHOUT_QUEUE };
        sample.lost as f64 > sample.in_flight as f64 * most
    }

    pub(super) fn save(&mut self) {
        self.saved = Some(Saved {
            bandwidth_lo: self.bandwidth_lo,
            inflight_lo: self.inflight_lo,
            inflight_hi: self.inflight_hi,
        });
    }

    pub(super) fn undo(&mut self) {
        if let Some(saved) = self.saved.take() {
            self.bandwidth_lo = self.bandwidth_lo.max(saved.bandwidth_lo);
            self.inflight_lo = self.inflight_lo.max(saved.inflight_lo);
            self.inflight_hi = self.inflight_hi.max(saved.inflight_hi);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A path of 1 MB/s that then delivers nine tenths for some round trips with a queue; of each, so much is lost.
    fn after_losses(lost: usize) -> Model {
        let (start, mut model, octets) = (Instant::now(), Model::new(), 100_000);
        for round in 0..5_u32 {
            let (rtt, rate) = if round < 2 { (40 * MS, 1e6) } else { (60 * MS, 0.9e6) };
            let prior_delivered = u64::from(round) * octets as u64;
            let sample = RateSample {
                rate: Some(rate),
                delivered: octets,
                in_flight: octets,
                lost,
                app_limited: false,
                prior_delivered,
            };
            let info = AckInfo {
                delivered: prior_delivered + octets as u64,
                sample: Some(sample),
                ..AckInfo::test(start + round * 60 * MS, octets, Some(rtt))
            };
            if lost > 0 {
                model.on_lost(lost);
            }
            model.on_ack(&info, round < 2, octets);
            model.update_min_rtt(&info);
            model.end_ack(&info);
        }
        assert!(model.has_queue());
        model
    }

    #[test]
    fn only_many_losses_in_a_queue_lower_the_bounds() {
        for lost in [0, 1_000, 2_000] {
            assert!((after_losses(lost).bandwidth() - 1e6).abs() < 1.0, "{lost}");
        }
        assert!((after_losses(3_000).bandwidth() - 0.9e6).abs() < 1.0);
    }
}
