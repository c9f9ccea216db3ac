//! What sets the congestion window and the rate. A controller sees acknowledgements, losses and timeouts, and answers
//! with a window and a rate at which it is to be sent; it knows nothing of TSNs.

mod bbr;
mod cubic;
mod hystart;
mod reno;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use crate::config::CongestionAlgorithm;

use super::flight::{LostPacket, RateSample};
use bbr::Bbr;
use cubic::Cubic;
use reno::NewReno;

/// The initial window in packets (RFC 6928 section 2, which RFC 9260 section 7.2.1 leaves behind).
const INITIAL_PACKETS: usize = 10;

/// The least window after a loss in packets (RFC 9260 section 7.2.3 says 4).
const LOSS_PACKETS: usize = 4;

/// How much faster than a window in a round trip packets go, so that pacing never holds up a window that grows: the
/// values that Linux uses.
const PACING_SLOW_START: f64 = 2.0;
const PACING_AVOIDANCE: f64 = 1.25;

/// What an acknowledgement says to a controller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AckInfo {
    pub(crate) now: Instant,
    /// Octets acknowledged for the first time.
    pub(crate) acked: usize,
    /// The smoothed round-trip time.
    pub(crate) rtt: Option<Duration>,
    /// The round-trip time of this acknowledgement, if it tells one.
    pub(crate) latest_rtt: Option<Duration>,
    /// What held data back since the last acknowledgement.
    pub(crate) limit: Limit,
    /// Losses are being repaired.
    pub(crate) recovering: bool,
    /// A packet is acknowledged that was sent after the last such: a round trip is over.
    pub(crate) round_start: bool,
    /// Octets in flight after it.
    pub(crate) in_flight: usize,
    /// Octets acknowledged since the start.
    pub(crate) delivered: u64,
    /// What it says of the rate.
    pub(crate) sample: Option<RateSample>,
}

/// What holds data back; from the least to the most of a reason for the window to grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    /// There is no more, or the other side takes no more: the window is not used, and does not grow (RFC 9260 section
    /// 7.2.1).
    Application,
    /// It is spread over the round trip.
    Pacer,
    /// The window is full.
    Window,
}

/// A congestion controller.
pub(crate) trait Controller: Debug + Send + Sync {
    /// Octets that may be in flight.
    fn window(&self) -> usize;

    /// Octets a second at which they are sent; `None` before there is something to tell it from.
    fn rate(&self, rtt: Option<Duration>) -> Option<f64>;

    /// Something was acknowledged.
    fn on_ack(&mut self, info: &AckInfo);

    /// A packet was lost: called for each.
    fn on_lost_packet(&mut self, _now: Instant, _lost: &LostPacket) {}

    /// Losses began: once for all that is in flight at this moment.
    fn on_loss(&mut self, now: Instant);

    /// T3-rtx went off.
    fn on_timeout(&mut self);

    /// What the last [`on_loss`](Self::on_loss) or [`on_timeout`](Self::on_timeout) answered was no loss.
    fn undo(&mut self);

    /// Nothing was sent for `periods` retransmission timeouts (RFC 9260 section 7.2.1).
    fn on_idle(&mut self, periods: u32);
}

/// The controller that the config names. `seed` spreads in time what would be done by many at once.
pub(crate) fn controller(algorithm: CongestionAlgorithm, packet: usize, seed: u32) -> Box<dyn Controller> {
    match algorithm {
        CongestionAlgorithm::NewReno => Box::new(NewReno::new(packet)),
        CongestionAlgorithm::Cubic => Box::new(Cubic::new(packet)),
        CongestionAlgorithm::Bbr => Box::new(Bbr::new(packet, seed)),
    }
}

/// The rate that sends a window in a part of a round trip.
fn rate_of(window: f64, gain: f64, rtt: Option<Duration>) -> Option<f64> {
    rtt.filter(|rtt| !rtt.is_zero()).map(|rtt| window * gain / rtt.as_secs_f64())
}

#[cfg(test)]
impl AckInfo {
    /// An acknowledgement in a window that is in use and loses nothing.
    fn test(now: Instant, acked: usize, rtt: Option<Duration>) -> Self {
        Self {
            now,
            acked,
            rtt,
            latest_rtt: rtt,
            limit: Limit::Window,
            recovering: false,
            round_start: false,
            in_flight: 0,
            delivered: 0,
            sample: None,
        }
    }
}
