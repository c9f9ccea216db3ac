//! What is done when acknowledgements stay out, before the retransmission timer goes off: chunks that later ones
//! overtook are given up after a while, and the end of a flight, which nothing overtakes, is asked for with one more
//! packet (tail loss probe, RFC 8985 section 7). Its answer shows what is missing, so that it is repaired without
//! giving up the congestion window. Probes also go while losses are being repaired, as in RFC 9002 section 6.2: where
//! much is lost a flight is short, and its end is lost more often than not.

use super::*;

/// What the other side may take to acknowledge a packet that came alone, at most: 200 ms in the implementations
/// that are in use (RFC 8985 section 7.2 calls it WCDelAckT).
const DELAYED_ACK: Duration = Duration::from_millis(200);

/// How far probing is. One probe goes for each time that something new is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    Armed,
    /// One packet goes now, whatever the congestion window says.
    Due,
    Sent,
}

impl Transmitter {
    /// When [`on_probe_timeout`](Self::on_probe_timeout) wants to be called: a loss shows by then, or a probe is due.
    pub(crate) fn probe_at(&self) -> Option<Instant> {
        if self.out.is_empty() {
            return None;
        }
        self.out.loss_deadline(self.tolerance().delay).or_else(|| self.tail_probe_at())
    }

    fn tail_probe_at(&self) -> Option<Instant> {
        let wanted =
            self.probe == Probe::Armed && self.out.in_flight() > 0 && self.out.first_lost().is_none();
        let quiet_since = self.last_sent.max(self.last_acked).filter(|_| wanted)?;
        let alone = if self.out.in_flight() <= self.max_packet { DELAYED_ACK } else { Duration::ZERO };
        quiet_since.checked_add(self.rto.smoothed()? * 2 + alone)
    }

    /// The time has come that [`probe_at`](Self::probe_at) told.
    pub(crate) fn on_probe_timeout(&mut self, now: Instant, stats: &mut Stats) {
        let probes = self.out.loss_deadline(self.tolerance().delay).is_none();
        self.find_losses(now, stats);
        self.abandon(now, stats);
        if !probes || self.tail_probe_at().is_none() {
            return;
        }
        // New data if there is any, else the newest again (RFC 8985 section 7.3).
        let new = !self.queue.is_idle() && self.out.octets() < self.remote_window;
        self.probe = if new || self.out.lose_newest(now) { Probe::Due } else { Probe::Sent };
        self.fast_packet |= !new && self.probe == Probe::Due;
    }

    pub(super) fn note_probe_sent(&mut self, stats: &mut Stats) {
        if self.probe == Probe::Due {
            self.probe = Probe::Sent;
            self.restart_timer = true;
            stats.probes += 1;
        }
    }
}
