//! What sets the congestion window. A controller sees acknowledgements, losses and timeouts, and answers with a
//! window; it knows nothing of TSNs. An enum and not a trait object: the set is closed and the calls are hot.

mod cubic;
mod reno;

use std::time::{Duration, Instant};

use crate::config::CongestionAlgorithm;

use cubic::Cubic;
use reno::NewReno;

/// The initial window in packets (RFC 6928 section 2, which RFC 9260 section 7.2.1 leaves behind).
const INITIAL_PACKETS: usize = 10;

/// The least window after a loss in packets (RFC 9260 section 7.2.3 says 4).
const LOSS_PACKETS: usize = 4;

/// What an acknowledgement says to a controller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AckInfo {
    pub(crate) now: Instant,
    /// Octets acknowledged for the first time.
    pub(crate) acked: usize,
    /// The smoothed round-trip time.
    pub(crate) rtt: Option<Duration>,
    /// The window was in use when this was acknowledged: only then may it grow (RFC 9260 section 7.2.1).
    pub(crate) window_used: bool,
}

/// A congestion controller.
#[derive(Debug, Clone)]
pub(crate) enum Controller {
    NewReno(NewReno),
    Cubic(Cubic),
}

impl Controller {
    pub(crate) fn new(algorithm: CongestionAlgorithm, packet: usize) -> Self {
        match algorithm {
            CongestionAlgorithm::NewReno => Self::NewReno(NewReno::new(packet)),
            CongestionAlgorithm::Cubic => Self::Cubic(Cubic::new(packet)),
        }
    }

    pub(crate) fn window(&self) -> usize {
        match self {
            Self::NewReno(c) => c.window(),
            Self::Cubic(c) => c.window(),
        }
    }

    pub(crate) fn on_ack(&mut self, info: AckInfo) {
        match self {
            Self::NewReno(c) => c.on_ack(info),
            Self::Cubic(c) => c.on_ack(info),
        }
    }

    /// Losses began: once for all that is in flight at this moment.
    pub(crate) fn on_loss(&mut self, now: Instant) {
        match self {
            Self::NewReno(c) => c.on_loss(),
            Self::Cubic(c) => c.on_loss(now),
        }
    }

    /// T3-rtx went off.
    pub(crate) fn on_timeout(&mut self) {
        match self {
            Self::NewReno(c) => c.on_timeout(),
            Self::Cubic(c) => c.on_timeout(),
        }
    }

    /// Nothing was sent for `periods` retransmission timeouts (RFC 9260 section 7.2.1).
    pub(crate) fn on_idle(&mut self, periods: u32) {
        match self {
            Self::NewReno(c) => c.on_idle(periods),
            Self::Cubic(c) => c.on_idle(periods),
        }
    }
}
