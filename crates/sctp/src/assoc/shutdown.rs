//! Ending in agreement (RFC 9260 section 9.2).

use std::time::Instant;

use taut_sansio::codec::Reader;

use crate::association::{Association, Phase, Reply};
use crate::packet::sack::SackView;
use crate::packet::{FLAG_T, Tsn};
use crate::types::CloseReason;

impl Association {
    /// SHUTDOWN: the other side has sent everything. It acknowledges as a SACK without gaps does.
    pub(crate) fn on_shutdown(&mut self, now: Instant, value: &[u8]) {
        let Ok(cumulative) = Reader::new(value).u32().map(Tsn::new) else {
            self.stats.malformed_chunks += 1;
            return;
        };
        if self.is_open() {
            let window = self.tx.remote_window().min(u32::MAX as usize) as u32;
            if !self.take_sack(now, &SackView::without_gaps(cumulative, window)) {
                return;
            }
        }
        match self.phase {
            Phase::Established | Phase::ShutdownPending => {
                self.phase = Phase::ShutdownReceived;
                self.cancel_all(now);
            }
            // Both sides shut down at once.
            Phase::ShutdownSent => {
                self.phase = Phase::ShutdownAckSent;
                self.pending.shutdown = true;
                self.shutdown_attempts = 0;
            }
            Phase::ShutdownAckSent => self.pending.shutdown = true,
            Phase::ShutdownReceived => {}
            Phase::Idle | Phase::CookieWait | Phase::CookieEchoed { .. } | Phase::Closed => {
                self.stats.unexpected_chunks += 1;
            }
        }
    }

    /// SHUTDOWN ACK: answered in every state, because its sender waits for the answer (RFC 9260 section 8.5.1 E).
    pub(crate) fn on_shutdown_ack(&mut self, tag: u32) {
        match self.phase {
            Phase::ShutdownSent | Phase::ShutdownAckSent if tag == self.local_tag => {
                self.push_reply(Reply::ShutdownComplete { tag: self.remote.tag, flags: 0 });
                self.close(CloseReason::Shutdown);
            }
            Phase::CookieWait | Phase::CookieEchoed { .. } | Phase::Closed => {
                self.push_reply(Reply::ShutdownComplete { tag, flags: FLAG_T });
            }
            _ if tag != self.local_tag => self.stats.bad_tags += 1,
            _ => self.stats.unexpected_chunks += 1,
        }
    }

    /// SHUTDOWN COMPLETE.
    pub(crate) fn on_shutdown_complete(&mut self) {
        if matches!(self.phase, Phase::ShutdownAckSent) {
            self.close(CloseReason::Shutdown);
        } else {
            self.stats.unexpected_chunks += 1;
        }
    }

    /// Goes on with a shutdown that waited for data to be acknowledged.
    pub(crate) fn settle_shutdown(&mut self) {
        let next = match self.phase {
            Phase::ShutdownPending => Phase::ShutdownSent,
            Phase::ShutdownReceived => Phase::ShutdownAckSent,
            _ => return,
        };
        if self.tx.is_drained() {
            self.phase = next;
            self.pending.shutdown = true;
            self.shutdown_attempts = 0;
        }
    }

    /// T2 went off.
    pub(crate) fn on_shutdown_timeout(&mut self) {
        if self.shutdown_attempts > self.config.max_retransmits {
            return self.close(CloseReason::ShutdownTimeout);
        }
        self.pending.shutdown = true;
    }
}
