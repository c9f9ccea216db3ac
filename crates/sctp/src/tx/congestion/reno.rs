//! Slow start, congestion avoidance and halving (RFC 9260 section 7.2), counting octets and not
//! acknowledgements (RFC 3465), so that one SACK for many packets grows the window as much as many SACKs.

use std::time::{Duration, Instant};

use super::{
    AckInfo, Controller, INITIAL_PACKETS, LOSS_PACKETS, Limit, PACING_AVOIDANCE, PACING_SLOW_START, rate_of,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct NewReno {
    packet: usize,
    window: usize,
    threshold: usize,
    partial: usize,
    /// Window and threshold before the last reduction.
    before: (usize, usize),
}

impl NewReno {
    pub(crate) fn new(packet: usize) -> Self {
        let window = INITIAL_PACKETS * packet;
        Self { packet, window, threshold: usize::MAX, partial: 0, before: (window, usize::MAX) }
    }

    fn reduce(&mut self) {
        self.before = (self.window, self.threshold);
        self.threshold = (self.window / 2).max(LOSS_PACKETS * self.packet);
        self.partial = 0;
    }
}

impl Controller for NewReno {
    fn window(&self) -> usize {
        self.window
    }

    fn rate(&self, rtt: Option<Duration>) -> Option<f64> {
        let gain = if self.window < self.threshold { PACING_SLOW_START } else { PACING_AVOIDANCE };
        rate_of(self.window as f64, gain, rtt)
    }

    fn on_ack(&mut self, info: &AckInfo) {
        if info.limit == Limit::Application || info.recovering {
            return;
        }
        if self.window < self.threshold {
            self.window = self.window.saturating_add(info.acked);
            return;
        }
        self.partial += info.acked;
        if self.partial >= self.window {
            self.partial -= self.window;
            self.window = self.window.saturating_add(self.packet);
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
        let (window, threshold) = self.before;
        self.window = self.window.max(window);
        self.threshold = self.threshold.max(threshold);
    }

    fn on_idle(&mut self, periods: u32) {
        let floor = INITIAL_PACKETS * self.packet;
        if self.window > floor {
            self.threshold = self.threshold.max(self.window / 4 * 3);
            self.window = (self.window >> periods.min(31)).max(floor);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use std::time::Instant;

    use super::*;

    fn ack(acked: usize) -> AckInfo {
        AckInfo::test(Instant::now(), acked, None)
    }

    #[test]
    fn doubles_then_adds_one_packet_a_window() {
        let mut c = NewReno::new(1000);
        c.on_ack(&ack(10_000));
        assert_eq!(c.window(), 20_000);
        c.on_loss(Instant::now());
        assert_eq!(c.window(), 10_000);
        for _ in 0..10 {
            c.on_ack(&ack(1_000));
        }
        assert_eq!(c.window(), 11_000);
        c.on_timeout();
        assert_eq!(c.window(), 1_000);
        c.on_ack(&AckInfo { limit: Limit::Application, ..ack(1_000) });
        c.on_ack(&AckInfo { recovering: true, ..ack(1_000) });
        assert_eq!(c.window(), 1_000);
        c.undo();
        assert_eq!(c.window(), 11_000);
    }

    #[test]
    fn idle_time_halves_down_to_the_initial_window() {
        let mut c = NewReno::new(1000);
        c.on_ack(&ack(90_000));
        c.on_idle(1);
        assert_eq!(c.window(), 50_000);
        c.on_idle(40);
        assert_eq!(c.window(), 10_000);
    }
}
