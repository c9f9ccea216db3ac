//! Timers as an enum that indexes an array.

use std::time::Instant;

/// The timers of RFC 9260, T-reconf of RFC 6525, one for all that RFC 8985 asks for, and one of RFC 8899.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// INIT or COOKIE ECHO is unanswered (T1-init, T1-cookie).
    Handshake,
    /// SHUTDOWN or SHUTDOWN ACK is unanswered (T2-shutdown).
    Shutdown,
    /// The whole shutdown takes too long (T5-shutdown-guard).
    ShutdownGuard,
    /// Data is unacknowledged (T3-rtx).
    Retransmit,
    /// Acknowledgements stay out: something is lost by now, or a probe is due (RFC 8985).
    Probe,
    /// Packets are spread in time, and the next may go.
    Pace,
    /// An acknowledgement is held back.
    Sack,
    /// The association is idle, or a heartbeat is unanswered.
    Heartbeat,
    /// A reset request is unanswered.
    Reconfig,
    /// A probe of the path MTU is unanswered.
    PathMtu,
}

impl Timer {
    pub(crate) const ALL: [Self; 10] = [
        Self::Handshake,
        Self::Shutdown,
        Self::ShutdownGuard,
        Self::Retransmit,
        Self::Probe,
        Self::Pace,
        Self::Sack,
        Self::Heartbeat,
        Self::Reconfig,
        Self::PathMtu,
    ];
}

/// When each timer goes off.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    at: [Option<Instant>; Timer::ALL.len()],
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        if let Some(slot) = self.at.get_mut(timer as usize) {
            *slot = Some(at);
        }
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        if let Some(slot) = self.at.get_mut(timer as usize) {
            *slot = None;
        }
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.at.get(timer as usize).is_some_and(Option::is_some)
    }

    /// Stops the timer and says whether it was due.
    pub(crate) fn take_due(&mut self, timer: Timer, now: Instant) -> bool {
        match self.at.get_mut(timer as usize) {
            Some(slot) if slot.is_some_and(|at| at <= now) => {
                *slot = None;
                true
            }
            _ => false,
        }
    }

    /// The earliest timer.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.at.iter().flatten().min().copied()
    }
}
