//! CUBIC (RFC 9438): after a loss the window grows along a cubic curve through the window at which the loss
//! happened, and never slower than Reno would. Slow start is that of HyStart++ ([`HyStart`]).

use std::time::{Duration, Instant};

use super::hystart::{Growth, HyStart};
use super::{
    AckInfo, Controller, INITIAL_PACKETS, LOSS_PACKETS, Limit, PACING_AVOIDANCE, PACING_SLOW_START, rate_of,
};

/// RFC 9438 section 4.6.
const BETA: f64 = 0.7;
/// RFC 9438 section 5.1, packets per second cubed.
const C: f64 = 0.4;
/// RFC 9438 section 4.3: what makes Reno-like growth with this BETA as fast as Reno's.
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// The growth within one round trip is bounded (RFC 9438 section 4.4).
const TARGET_MAX: f64 = 1.5;

/// See the module. Windows in octets; the curve is computed in packets.
#[derive(Debug)]
pub(crate) struct Cubic {
    packet: f64,
    window: f64,
    threshold: f64,
    /// The window before the last reduction.
    w_max: f64,
    /// Where Reno would be.
    w_est: f64,
    phase: Phase,
    slow_start: HyStart,
    before: Before,
}

/// Where on the curve.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// No acknowledgement since the last reduction.
    Fresh,
    /// Since when, and how many seconds until `w_max` is reached again (K).
    Running { since: Instant, k: f64 },
}

/// What is put back when a reduction turns out to have answered no loss (RFC 9438 section 4.9).
#[derive(Debug, Clone, Copy)]
struct Before {
    window: f64,
    threshold: f64,
    w_max: f64,
    w_est: f64,
    phase: Phase,
}

impl Cubic {
    pub(crate) fn new(packet: usize) -> Self {
        let packet = packet as f64;
        let window = INITIAL_PACKETS as f64 * packet;
        let (threshold, phase) = (f64::INFINITY, Phase::Fresh);
        let before = Before { window, threshold, w_max: window, w_est: window, phase };
        Self {
            packet,
            window,
            threshold,
            w_max: window,
            w_est: window,
            phase,
            slow_start: HyStart::new(),
            before,
        }
    }

    fn is_slow_start(&self) -> bool {
        self.window < self.threshold
    }

    fn grow(&mut self, info: &AckInfo) {
        let acked = info.acked as f64;
        let (since, k) = match self.phase {
            Phase::Running { since, k } => (since, k),
            Phase::Fresh => {
                let missing = (self.w_max - self.window).max(0.0) / self.packet;
                let k = (missing / C).cbrt();
                self.w_max = self.w_max.max(self.window);
                self.w_est = self.window;
                self.phase = Phase::Running { since: info.now, k };
                (info.now, k)
            }
        };
        let rtt = info.rtt.map_or(0.0, |rtt| rtt.as_secs_f64());
        let t = info.now.saturating_duration_since(since).as_secs_f64() + rtt;
        let target = self.w_max + C * (t - k).powi(3) * self.packet;
        let target = target.clamp(self.window, TARGET_MAX * self.window);
        let alpha = if self.w_est < self.w_max { ALPHA } else { 1.0 };
        self.w_est += alpha * self.packet * acked / self.window;
        self.window += (target - self.window) * acked / self.window;
        self.window = self.window.max(self.w_est);
    }

    fn reduce(&mut self) {
        let Self { window, threshold, w_max, w_est, phase, .. } = *self;
        self.before = Before { window, threshold, w_max, w_est, phase };
        // Fast convergence (RFC 9438 section 4.7): give way to a newcomer.
        self.w_max = if window < w_max { window * (1.0 + BETA) / 2.0 } else { window };
        self.threshold = (window * BETA).max(LOSS_PACKETS as f64 * self.packet);
        self.phase = Phase::Fresh;
        self.slow_start = HyStart::new();
    }
}

impl Controller for Cubic {
    fn window(&self) -> usize {
        self.window as usize
    }

    fn rate(&self, rtt: Option<Duration>) -> Option<f64> {
        let gain = if self.is_slow_start() { PACING_SLOW_START } else { PACING_AVOIDANCE };
        rate_of(self.window, gain, rtt)
    }

    fn on_ack(&mut self, info: &AckInfo) {
        if info.recovering {
            return;
        }
        if self.is_slow_start() {
            match self.slow_start.on_ack(info) {
                Growth::By(octets) if info.limit > Limit::Application => self.window += octets as f64,
                Growth::By(_) => {}
                Growth::End => {
                    self.threshold = self.window;
                    self.w_max = self.window;
                    self.phase = Phase::Fresh;
                }
            }
        } else if info.limit > Limit::Application {
            self.grow(info);
        } else {
            // Time that the application did not use must not count on the curve (RFC 9438 section 5.8).
            self.phase = Phase::Fresh;
        }
    }

    fn on_loss(&mut self, _now: Instant) {
        self.reduce();
        self.window = self.threshold;
    }

    fn on_timeout(&mut self) {
        self.reduce();
        self.window = self.packet;
    }

    fn undo(&mut self) {
        let Before { window, threshold, w_max, w_est, phase } = self.before;
        if self.window < window {
            self.window = window;
            (self.threshold, self.w_max, self.w_est, self.phase) = (threshold, w_max, w_est, phase);
        }
    }

    fn on_idle(&mut self, periods: u32) {
        let floor = INITIAL_PACKETS as f64 * self.packet;
        if self.window > floor {
            if self.threshold.is_finite() {
                self.threshold = self.threshold.max(self.window * 0.75);
            }
            self.window = (self.window / 2f64.powi(periods.min(31) as i32)).max(floor);
            self.phase = Phase::Fresh;
        }
        self.slow_start = HyStart::new();
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn comes_back_to_where_it_lost_after_k_seconds() {
        let start = Instant::now();
        let mut c = Cubic::new(1_000);
        let rtt = Duration::from_millis(50);
        c.on_ack(&AckInfo::test(start, 490_000, Some(rtt)));
        assert_eq!(c.window(), 500_000);
        c.on_loss(start);
        assert_eq!(c.window(), 350_000);
        // K = cbrt(150 / 0.4) = 7.2 s.
        let mut reached = None;
        for i in 0..400u32 {
            let now = start + rtt * i;
            let acked = c.window();
            c.on_ack(&AckInfo::test(now, acked, Some(rtt)));
            if reached.is_none() && c.window() >= 499_000 {
                reached = Some(rtt * i);
            }
        }
        let reached = reached.expect("the window comes back").as_secs_f64();
        assert!((4.0..8.0).contains(&reached), "{reached}");
        assert!(c.window() > 600_000, "and goes on: {}", c.window());
    }

    #[test]
    fn a_timeout_starts_from_one_packet_and_is_undone() {
        let mut c = Cubic::new(1_000);
        c.on_timeout();
        assert_eq!(c.window(), 1_000);
        c.undo();
        assert_eq!(c.window(), 10_000);
        assert!(c.is_slow_start());
    }
}
