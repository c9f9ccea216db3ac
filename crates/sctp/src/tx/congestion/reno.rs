//! Slow start, congestion avoidance and halving (RFC 9260 section 7.2), counting octets and not
//! acknowledgements (RFC 3465), so that one SACK for many packets grows the window as much as many SACKs.

use super::{AckInfo, INITIAL_PACKETS, LOSS_PACKETS};

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct NewReno {
    packet: usize,
    window: usize,
    threshold: usize,
    partial: usize,
}

impl NewReno {
    pub(crate) fn new(packet: usize) -> Self {
        Self { packet, window: INITIAL_PACKETS * packet, threshold: usize::MAX, partial: 0 }
    }

    pub(crate) fn window(&self) -> usize {
        self.window
    }

    pub(crate) fn on_ack(&mut self, info: AckInfo) {
        if !info.window_used {
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

    pub(crate) fn on_loss(&mut self) {
        self.threshold = (self.window / 2).max(LOSS_PACKETS * self.packet);
        self.window = self.threshold;
        self.partial = 0;
    }

    pub(crate) fn on_timeout(&mut self) {
        self.threshold = (self.window / 2).max(LOSS_PACKETS * self.packet);
        self.window = self.packet;
        self.partial = 0;
    }

    pub(crate) fn on_idle(&mut self, periods: u32) {
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
        AckInfo { now: Instant::now(), acked, rtt: None, window_used: true }
    }

    #[test]
    fn doubles_then_adds_one_packet_a_window() {
        let mut c = NewReno::new(1000);
        c.on_ack(ack(10_000));
        assert_eq!(c.window(), 20_000);
        c.on_loss();
        assert_eq!(c.window(), 10_000);
        for _ in 0..10 {
            c.on_ack(ack(1_000));
        }
        assert_eq!(c.window(), 11_000);
        c.on_timeout();
        assert_eq!(c.window(), 1_000);
        c.on_ack(AckInfo { window_used: false, ..ack(1_000) });
        assert_eq!(c.window(), 1_000);
    }

    #[test]
    fn idle_time_halves_down_to_the_initial_window() {
        let mut c = NewReno::new(1000);
        c.on_ack(ack(90_000));
        c.on_idle(1);
        assert_eq!(c.window(), 50_000);
        c.on_idle(40);
        assert_eq!(c.window(), 10_000);
    }
}
