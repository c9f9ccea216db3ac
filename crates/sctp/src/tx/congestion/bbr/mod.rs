//! A controller of the BBR family, after BBRv3 (draft-ietf-ccwg-bbr): it sends at the rate that the path was seen to
//! deliver, probes for more every few seconds, and keeps in flight little more than what fills the path, so that
//! random loss does not slow it down and a long queue does not fill up.
//!
//! Different from the draft are, beside the gains of the window:
//!
//! - A loss counts as a sign of congestion only where the round-trip time shows a queue ([`Model::has_queue`]), or when
//!   very much is lost; and outside of a probe only when more than two packets in a hundred are lost, as in one.
//!   Without that, one packet lost in a hundred costs a fifth of the rate.
//! - A probe is judged by what was sent in it, and not by the round trip before.
//! - The bound of what is in flight is raised faster ([`cycle`]).

mod cycle;
mod model;

use std::time::{Duration, Instant};

use super::super::flight::LostPacket;
use super::{AckInfo, Controller, INITIAL_PACKETS, Limit, rate_of};
use cycle::{Cycle, FullPipe};
use model::Model;

/// Section 2.7 of the draft: never less in flight than what keeps acknowledgements coming.
const WINDOW_MIN_PACKETS: usize = 4;

/// Section 2.4: gains of the rate and the window by phase.
const STARTUP_RATE_GAIN: f64 = 2.77;
const DRAIN_RATE_GAIN: f64 = 0.5;
const DOWN_RATE_GAIN: f64 = 0.9;
const UP_RATE_GAIN: f64 = 1.25;
const WINDOW_GAIN: f64 = 2.0;
const PROBE_RTT_WINDOW_GAIN: f64 = 0.5;

/// The same where the draft has 2 and 2.25: in a short queue those leave a CUBIC flow a fifth of the path, these two
/// fifths. What comes late or bunched up is allowed for by [`Model::extra_acked`].
const CRUISE_WINDOW_GAIN: f64 = 1.3;
const UP_WINDOW_GAIN: f64 = 1.5;

/// Section 2.5: a hundredth below the rate of the path, so that a queue gets shorter.
const RATE_MARGIN: f64 = 0.99;

/// What is in flight covers at least this time: both ends keep packets in batches for about as long.
const RTT_FLOOR: Duration = Duration::from_millis(2);

/// Section 2.8: how long little is in flight to see the round-trip time without a queue.
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);

/// What it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The rate doubles each round trip until the path delivers no more.
    Startup,
    /// The queue that made drains.
    Drain,
    /// Less than the path delivers, until what is in flight just fills it.
    Down,
    /// As much as it delivers.
    Cruise,
    /// A round trip that fills it, before more is tried.
    Refill,
    /// More than it delivers, to see whether it delivers that.
    Up,
    /// Little in flight, to see the round-trip time.
    ProbeRtt(ProbeRtt),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProbeRtt {
    /// What is in flight becomes less.
    Emptying,
    /// It is little, until then and for a round trip.
    Until { at: Instant, rounds: u32 },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Bbr {
    packet: usize,
    phase: Phase,
    model: Model,
    full: FullPipe,
    cycle: Cycle,
    window: usize,
    rate: Option<f64>,
    /// The window before [`Phase::ProbeRtt`].
    window_before: usize,
    /// Nothing was sent for a while, and since then nothing was acknowledged.
    idle: bool,
}

impl Bbr {
    pub(crate) fn new(packet: usize, seed: u32) -> Self {
        let window = INITIAL_PACKETS * packet;
        Self {
            packet,
            phase: Phase::Startup,
            model: Model::new(),
            full: FullPipe::default(),
            cycle: Cycle::new(seed),
            window,
            rate: None,
            window_before: window,
            idle: false,
        }
    }

    fn window_min(&self) -> usize {
        WINDOW_MIN_PACKETS * self.packet
    }

    fn gains(&self) -> (f64, f64) {
        match self.phase {
            Phase::Startup => (STARTUP_RATE_GAIN, WINDOW_GAIN),
            Phase::Drain => (DRAIN_RATE_GAIN, WINDOW_GAIN),
            Phase::Down => (DOWN_RATE_GAIN, WINDOW_GAIN),
            Phase::Cruise | Phase::Refill => (1.0, CRUISE_WINDOW_GAIN),
            Phase::Up => (UP_RATE_GAIN, UP_WINDOW_GAIN),
            Phase::ProbeRtt(_) => (1.0, PROBE_RTT_WINDOW_GAIN),
        }
    }

    /// More than the path delivered so far is being tried.
    fn is_probing(&self) -> bool {
        matches!(self.phase, Phase::Startup | Phase::Refill | Phase::Up)
    }

    fn is_probe_bandwidth(&self) -> bool {
        matches!(self.phase, Phase::Down | Phase::Cruise | Phase::Refill | Phase::Up)
    }

    /// What may be in flight at this multiple of what fills the path.
    fn inflight(&self, bandwidth: f64, gain: f64) -> usize {
        match self.model.min_rtt() {
            Some(rtt) if bandwidth > 0.0 => (bandwidth * rtt.max(RTT_FLOOR).as_secs_f64() * gain) as usize,
            _ => INITIAL_PACKETS * self.packet,
        }
    }

    /// Section 5.6.4.2 of the draft: room for batches of the sender and of acknowledgements.
    fn window_target(&self) -> usize {
        let (_, gain) = self.gains();
        let batch = (self.rate.unwrap_or(0.0) * 0.001) as usize;
        let budget = 3 * batch.clamp(2 * self.packet, 64 << 10);
        let extra = if matches!(self.phase, Phase::ProbeRtt(_)) { 0 } else { self.model.extra_acked() };
        let target = self.inflight(self.model.bandwidth(), gain) + extra;
        let target = if matches!(self.phase, Phase::ProbeRtt(_)) { target } else { target.max(budget) };
        target.max(self.window_min())
    }

    /// The bound with a part left free for others (section 2.7, Headroom).
    fn inflight_with_headroom(&self) -> usize {
        match self.model.inflight_hi {
            usize::MAX => usize::MAX,
            bound => (bound - (bound * 15 / 100).max(self.packet).min(bound)).max(self.window_min()),
        }
    }

    /// Section 5.6.2 of the draft: until the path is known to be full, what it delivered bounds nothing; it may have been asked
    /// for little. The first rate is that of the initial window.
    fn set_rate(&mut self, info: &AckInfo) {
        let bandwidth = self.model.bandwidth();
        if bandwidth <= 0.0 {
            return;
        }
        let rate = self.gains().0 * bandwidth * RATE_MARGIN;
        let initial = (INITIAL_PACKETS * self.packet) as f64;
        let before = self.rate.or_else(|| rate_of(initial, STARTUP_RATE_GAIN, info.rtt));
        let least = if self.full.reached { None } else { before };
        self.rate = Some(least.map_or(rate, |least| rate.max(least)));
    }

    fn set_window(&mut self, info: &AckInfo) {
        let target = self.window_target();
        if self.full.reached {
            self.window = (self.window + info.acked).min(target);
        } else if self.window < target || info.delivered < (INITIAL_PACKETS * self.packet) as u64 {
            self.window += info.acked;
        }
        let bound = match self.phase {
            Phase::Startup | Phase::Drain => usize::MAX,
            Phase::Cruise | Phase::ProbeRtt(_) => self.inflight_with_headroom(),
            Phase::Down | Phase::Refill | Phase::Up => self.model.inflight_hi,
        };
        self.window = self.window.min(bound).min(self.model.inflight_lo);
        if let Phase::ProbeRtt(_) = self.phase {
            self.window = self.window.min(target);
        }
        self.window = self.window.max(self.window_min());
    }

    /// Section 5.3.4.3: the round-trip time is looked at anew when it was not seen for a while.
    fn update_probe_rtt(&mut self, info: &AckInfo, round_start: bool) {
        match self.phase {
            Phase::ProbeRtt(state) => self.continue_probe_rtt(info, round_start, state),
            // Where little is out anyway, its round-trip time is one without a queue of ours.
            _ if self.model.is_probe_rtt_due() && !self.idle && !self.is_little_out(info) => {
                self.window_before = self.window;
                self.phase = Phase::ProbeRtt(ProbeRtt::Emptying);
                self.cycle.on_stop();
                self.model.start_round();
            }
            _ => {}
        }
    }

    fn is_little_out(&self, info: &AckInfo) -> bool {
        let little = self.inflight(self.model.bandwidth(), PROBE_RTT_WINDOW_GAIN).max(self.window_min());
        info.sample.is_some_and(|sample| sample.in_flight <= little)
    }

    fn continue_probe_rtt(&mut self, info: &AckInfo, round_start: bool, state: ProbeRtt) {
        match state {
            ProbeRtt::Emptying if info.in_flight <= self.window_target() => {
                self.model.start_round();
                self.phase = Phase::ProbeRtt(ProbeRtt::Until { at: info.now + PROBE_RTT_TIME, rounds: 0 });
            }
            ProbeRtt::Emptying => {}
            ProbeRtt::Until { at, rounds } => {
                let rounds = rounds + u32::from(round_start);
                self.phase = Phase::ProbeRtt(ProbeRtt::Until { at, rounds });
                if info.now >= at && rounds > 0 {
                    self.leave_probe_rtt(info);
                }
            }
        }
    }

    fn leave_probe_rtt(&mut self, info: &AckInfo) {
        self.model.on_probe_rtt_done(info.now);
        self.window = self.window.max(self.window_before);
        self.model.reset_lower_bounds();
        if self.full.reached {
            self.start_down(info.now);
            self.phase = Phase::Cruise;
        } else {
            self.phase = Phase::Startup;
        }
    }
}

impl Controller for Bbr {
    fn window(&self) -> usize {
        self.window
    }

    fn rate(&self, rtt: Option<Duration>) -> Option<f64> {
        self.rate.or_else(|| rate_of(self.window as f64, STARTUP_RATE_GAIN, rtt))
    }

    fn on_ack(&mut self, info: &AckInfo) {
        let probing = self.is_probing();
        let round_start = self.model.on_ack(info, probing, self.window);
        if let Some(sample) = info.sample {
            self.check_full_pipe(&sample, round_start);
            self.check_drained(info);
            self.update_cycle(info, &sample, round_start);
        }
        self.model.update_min_rtt(info);
        self.update_probe_rtt(info, round_start);
        self.model.end_ack(info);
        self.idle = false;
        self.set_rate(info);
        self.set_window(info);
    }

    fn on_lost_packet(&mut self, now: Instant, lost: &LostPacket) {
        self.model.on_lost(self.packet);
        if self.cycle.is_sampling() && self.model.is_too_much(lost) {
            self.on_inflight_too_high(now, lost);
        }
    }

    fn on_loss(&mut self, _now: Instant) {
        self.model.save();
    }

    fn on_timeout(&mut self) {
        self.model.save();
        self.window_before = self.window_before.max(self.window);
        self.window = self.window_min();
    }

    fn undo(&mut self) {
        self.model.undo();
        if self.is_probe_bandwidth() {
            self.window = self.window.max(self.window_target());
        }
    }

    fn on_idle(&mut self, _periods: u32) {
        // The window stays: what goes is paced at the rate that the path had.
        self.idle = true;
    }
}
