//! Timers: one function arms them all from the state, one handles those that went off.

use std::time::{Duration, Instant};

use crate::association::{Association, Phase};
use crate::timer::Timer;
use crate::types::CloseReason;

impl Association {
    /// Brings everything that follows from the state up to date. Called at the end of every call that may have
    /// changed something.
    pub(crate) fn settle(&mut self, now: Instant) {
        self.settle_shutdown();
        self.settle_reconfig();
        self.settle_path_mtu();
        self.arm_timers(now);
    }

    /// Sets the timers that the state wants and that do not run; stops those that it does not want.
    fn arm_timers(&mut self, now: Instant) {
        if self.tx.take_timer_restart() {
            self.timers.stop(Timer::Retransmit);
        }
        // This one has no duration: it moves with what is sent and acknowledged.
        match self.tx.probe_at().filter(|_| self.is_open()) {
            Some(at) => self.timers.set(Timer::Probe, at),
            None => self.timers.stop(Timer::Probe),
        }
        self.arm_pacing();
        let (open, phase) = (self.is_open(), &self.phase);
        let handshake = matches!(phase, Phase::CookieWait | Phase::CookieEchoed { .. });
        let shutdown = matches!(phase, Phase::ShutdownSent | Phase::ShutdownAckSent);
        let closing = shutdown || matches!(phase, Phase::ShutdownPending | Phase::ShutdownReceived);
        self.arm(Timer::Handshake, handshake, now);
        self.arm(Timer::Shutdown, shutdown, now);
        self.arm(Timer::ShutdownGuard, closing, now);
        self.arm(Timer::Retransmit, open && self.tx.wants_timer(), now);
        self.arm(Timer::Sack, open && self.rx.is_ack_delayed(), now);
        self.arm(Timer::Heartbeat, open, now);
        self.arm(Timer::Reconfig, open && self.reconfig.is_waiting(), now);
    }

    /// A timer that is wanted runs, and goes on if it did; one that is not wanted does not.
    #[inline]
    fn arm(&mut self, timer: Timer, wanted: bool, now: Instant) {
        if !wanted {
            self.timers.stop(timer);
        } else if !self.timers.is_set(timer) {
            let after = self.duration(timer);
            self.timers.set(timer, now + after);
        }
    }

    /// Wakes the caller when data may go that the pacer holds back.
    pub(crate) fn arm_pacing(&mut self) {
        match self.tx.paced_until().filter(|_| self.has_peer()) {
            Some(at) => self.timers.set(Timer::Pace, at),
            None => self.timers.stop(Timer::Pace),
        }
    }

    fn duration(&mut self, timer: Timer) -> Duration {
        match timer {
            Timer::Handshake => self.doubled(self.config.rto_initial, self.handshake_attempts),
            Timer::Shutdown => self.doubled(self.tx.rto(), self.shutdown_attempts),
            // Five times RTO.Max is what RFC 9260 section 9.2 names; data that is still queued may need longer, and
            // has its own limit.
            Timer::ShutdownGuard => {
                self.config.rto_max * 5 + self.config.rto_max * self.config.max_retransmits
            }
            Timer::Retransmit | Timer::Probe | Timer::Pace | Timer::Reconfig | Timer::PathMtu => {
                self.tx.rto()
            }
            Timer::Sack => self.config.sack_delay,
            Timer::Heartbeat => {
                // Jitter of half the timeout either way (RFC 9260 section 8.3).
                let rto = self.tx.rto();
                self.config.heartbeat_interval + rto / 2 + rto.mul_f64(self.rng.unit())
            }
        }
    }

    /// The timer was set with `attempts` already made, the first of which is not a back-off.
    fn doubled(&self, base: Duration, attempts: u32) -> Duration {
        let factor = 1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        base.saturating_mul(factor).min(self.config.rto_max)
    }

    /// Does what timers that went off ask for.
    pub(crate) fn on_timers(&mut self, now: Instant) {
        for timer in Timer::ALL {
            if !self.timers.take_due(timer, now) {
                continue;
            }
            match timer {
                Timer::Handshake => self.on_handshake_timeout(),
                Timer::Shutdown => self.on_shutdown_timeout(),
                Timer::ShutdownGuard => self.fail(0, CloseReason::ShutdownTimeout),
                Timer::Retransmit => {
                    if self.tx.on_timeout(now, &mut self.stats) > self.config.max_retransmits {
                        self.close(CloseReason::Unreachable);
                    }
                }
                Timer::Probe => self.tx.on_probe_timeout(now, &mut self.stats),
                // What waited is polled for now.
                Timer::Pace => self.tx.on_pace_timeout(),
                Timer::Sack => self.rx.ack_now(),
                Timer::Heartbeat => self.on_heartbeat_timeout(),
                Timer::Reconfig => self.on_reconfig_timeout(),
                Timer::PathMtu => self.path_mtu.handle_timeout(now),
            }
        }
    }
}
