//! Which chunks are lost: what later packets left behind, what the timer takes for lost, and what is sent again as a
//! probe.

use super::super::doubt::Count;
use super::super::flight::LostPacket;
use super::*;
use crate::steps;

/// What was found to be lost.
#[derive(Debug, Clone, Default)]
pub(crate) struct Losses {
    pub(crate) tsns: Vec<u64>,
    /// The last of the packets.
    pub(crate) packet: Option<LostPacket>,
}

impl Outstanding {
    /// Marks as lost what later packets left behind.
    pub(crate) fn find_losses(&mut self, now: Instant, tolerance: Tolerance) -> Losses {
        let [newest, .., third] = self.top;
        let point = if tolerance.count == Count::Packets { third } else { 0 };
        let is_lost = |sent: &Sent| {
            let late = now.saturating_duration_since(sent.sent_at) >= tolerance.delay;
            sent.packet < point || (sent.packet < newest && late)
        };
        let mut found = Losses::default();
        while let Some(sent) = self.get(self.scanned) {
            steps::count(1);
            if sent.transmits == 1 && sent.fate == Fate::InFlight {
                if !is_lost(sent) {
                    break;
                }
                found.packet = self.lose(self.scanned).or(found.packet);
                found.tsns.push(self.scanned);
            }
            self.scanned += 1;
        }
        while let Some(&(packet, tsn)) = self.resent.front() {
            steps::count(1);
            if let Some(sent) = self.in_flight_since(packet, tsn) {
                if !is_lost(sent) {
                    break;
                }
                found.packet = self.lose(tsn).or(found.packet);
                found.tsns.push(tsn);
            }
            self.resent.pop_front();
        }
        found
    }

    /// The chunk, if that packet was the last to carry it and it is in flight.
    fn in_flight_since(&self, packet: u64, tsn: u64) -> Option<&Sent> {
        self.get(tsn).filter(|sent| sent.packet == packet && sent.fate == Fate::InFlight)
    }

    /// When [`find_losses`](Self::find_losses) would find one by time alone.
    pub(crate) fn loss_deadline(&self, delay: Duration) -> Option<Instant> {
        let [newest, ..] = self.top;
        let first = self.get(self.scanned).filter(|sent| sent.transmits == 1 && sent.fate == Fate::InFlight);
        let resent = self.resent.front().and_then(|&(packet, tsn)| self.in_flight_since(packet, tsn));
        let passed = first.into_iter().chain(resent).filter(|sent| sent.packet < newest);
        passed.filter_map(|sent| sent.sent_at.checked_add(delay)).min()
    }

    fn lose(&mut self, tsn: u64) -> Option<LostPacket> {
        let sent = self.get_mut(tsn).filter(|sent| sent.fate == Fate::InFlight)?;
        sent.fate = Fate::Lost;
        let (size, packet) = (size_of(&sent.payload), sent.packet);
        let limited = sent.max_transmits != u32::MAX || sent.expires.is_some();
        self.in_flight = self.in_flight.saturating_sub(size);
        self.lost.insert(tsn);
        if limited {
            self.suspects.push_back(tsn);
        }
        let lost = self.flight.on_lost(packet, size);
        self.flight.release(packet);
        lost
    }

    /// The timer went off: everything in flight is lost. So is what gap blocks acknowledged, if the first chunk is
    /// among it: the receiver has dropped what it had told of (RFC 9260 section 6.2.1, rule D iii). `false` if nothing
    /// is lost.
    pub(crate) fn lose_all(&mut self) -> bool {
        if self.ring.front().is_some_and(|sent| sent.fate == Fate::Acked) {
            self.renege();
        }
        self.timeout_scanned = self.scanned;
        for index in 0..self.ring.len() {
            self.lose(self.cumulative + 1 + index as u64);
        }
        self.probed = None;
        !self.lost.is_empty()
    }

    /// The timer went off too early: what it took for lost and was not sent again is in flight still.
    pub(crate) fn find_again(&mut self) {
        let taken = std::mem::take(&mut self.timeout_scanned).max(self.cumulative + 1);
        let again: Vec<u64> = self.lost.range(taken..).copied().collect();
        for tsn in again {
            let Some(sent) = self.get_mut(tsn).filter(|sent| sent.transmits == 1) else { continue };
            sent.fate = Fate::InFlight;
            let size = size_of(&sent.payload);
            self.in_flight += size;
            self.lost.remove(&tsn);
        }
        self.scanned = self.scanned.min(taken);
    }

    fn renege(&mut self) {
        for sent in self.ring.iter_mut().filter(|sent| sent.fate == Fate::Acked) {
            sent.fate = Fate::InFlight;
            self.in_flight += size_of(&sent.payload);
            self.octets += size_of(&sent.payload);
        }
        self.ranges.clear();
    }

    /// The newest chunk in flight is to be sent again as a probe (RFC 8985 section 7.3); `false` if it may not be.
    pub(crate) fn lose_newest(&mut self, now: Instant) -> bool {
        let Some(back) = self.ring.iter().rev().position(|sent| sent.fate == Fate::InFlight) else {
            return false;
        };
        let tsn = self.newest() - back as u64;
        if self.get(tsn).is_none_or(|sent| sent.is_spent(now)) {
            return false;
        }
        self.lose(tsn);
        self.probed = Some(tsn);
        true
    }

    /// The window opens: what was sent into the closed one, so long ago that word of it would have come, was refused there, and is
    /// sent again. No sign of congestion.
    pub(crate) fn lose_refused(&mut self, now: Instant, rtt: Duration) {
        for tsn in self.cumulative + 1..=self.newest() {
            steps::count(1);
            let is_old = |sent: &Sent| now.saturating_duration_since(sent.sent_at) >= rtt;
            if self.get(tsn).is_some_and(is_old) {
                self.lose(tsn);
            }
        }
        self.probed = None;
    }
}
