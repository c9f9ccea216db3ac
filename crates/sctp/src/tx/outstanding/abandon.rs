//! Messages that are given up, and the point that the other side is told to go on from (RFC 3758 section 3.5).

use super::*;

/// Streams whose skipped sequence numbers one FORWARD TSN tells: as many as fit into the smallest packet. The point
/// that is forwarded to stops where there would be more (RFC 3758 section 3.5, rule C4).
const SKIPPED_MAX: usize = (Config::MTU_MIN - HEADER_LEN - FORWARD_HEADER) / FORWARD_ITEM_MAX;

impl Outstanding {
    /// The first lost chunk would go next, and may not go any more: its time is over since it was lost.
    pub(crate) fn suspect_first(&mut self, now: Instant) -> bool {
        let first = self.lost.first().copied();
        let Some(tsn) = first.filter(|&tsn| self.get(tsn).is_some_and(|sent| sent.is_spent(now))) else {
            return false;
        };
        self.suspects.push_back(tsn);
        true
    }

    /// A lost chunk whose message must be given up.
    pub(crate) fn next_to_abandon(&mut self, now: Instant) -> Option<u64> {
        while let Some(tsn) = self.suspects.pop_front() {
            if self.get(tsn).is_some_and(|sent| sent.fate == Fate::Lost && sent.is_spent(now)) {
                return Some(tsn);
            }
        }
        None
    }

    /// Gives up the message that `tsn` is part of. Returns its stream if its end has no TSN yet.
    pub(crate) fn abandon(&mut self, tsn: u64) -> Option<u16> {
        let mut at = tsn;
        while let Some(sent) = self.get(at).filter(|sent| sent.back > 0) {
            let before = at - u64::from(sent.back);
            if before <= self.cumulative {
                break;
            }
            at = before;
        }
        let stream = self.get(tsn)?.stream;
        loop {
            let sent = self.get_mut(at)?;
            let (ends, ahead, fate, packet) = (sent.flags.is_end(), sent.ahead, sent.fate, sent.packet);
            let size = size_of(&sent.payload);
            if matches!(fate, Fate::InFlight | Fate::Lost) {
                sent.fate = Fate::Abandoned;
                sent.payload = Bytes::new();
                self.abandoned += 1;
                self.octets = self.octets.saturating_sub(size);
                if fate == Fate::InFlight {
                    self.in_flight = self.in_flight.saturating_sub(size);
                    self.flight.release(packet);
                } else {
                    self.lost.remove(&at);
                }
            }
            if ends {
                return None;
            }
            if ahead == 0 {
                return Some(stream);
            }
            at += u64::from(ahead);
        }
    }

    /// Moves the point up to which everything is given up (RFC 3758 section 3.5, rules C1 to C3). It stops at a
    /// chunk that was acknowledged: that may be the start of a message which goes on.
    pub(crate) fn advance_forward_point(&mut self) -> bool {
        let before = self.forward;
        if self.abandoned > 0 {
            while let Some(sent) = self.get(self.forward + 1) {
                if sent.fate != Fate::Abandoned {
                    break;
                }
                let (lane, number) = (sent.lane(), sent.number);
                // FORWARD TSN has no word for unordered messages, and needs none.
                if !lane.unordered || self.format == Format::Interleaved {
                    if self.skipped.len() >= SKIPPED_MAX && !self.skipped.contains_key(&lane) {
                        break;
                    }
                    self.skipped.insert(lane, number);
                }
                self.forward += 1;
            }
        }
        self.forward > before
    }

    /// The TSN to forward to, if it is beyond what is acknowledged.
    pub(crate) fn forward_point(&self) -> Option<Tsn> {
        (self.forward > self.cumulative).then(|| Tsn::new(self.forward as u32))
    }

    /// The highest number of the skipped messages of each stream and kind.
    pub(crate) fn skipped(&self) -> &BTreeMap<Lane, u32> {
        &self.skipped
    }
}
