//! Is the other side there (RFC 9260 section 8.3)? The information is a counter with its HMAC, so that it cannot be
//! made up and says nothing of this host.

use std::time::Instant;

use bytes::Bytes;
use taut_sansio::codec::Reader;

use crate::association::Association;
use crate::packet::Walker;
use crate::packet::parameter::parameter_kind;
use crate::types::CloseReason;

/// Octets of the HMAC that are sent.
const MAC_SENT: usize = 16;

/// Heartbeats of the other side that wait for their answer.
const ANSWERS_MAX: usize = 4;

/// The most octets of a heartbeat that are sent back.
const INFO_MAX: usize = 256;

/// The heartbeat that is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Heartbeat {
    #[default]
    Answered,
    Out {
        counter: u64,
        sent_at: Instant,
    },
}

impl Association {
    /// HEARTBEAT: sent back as it is.
    pub(crate) fn on_heartbeat(&mut self, value: Bytes) {
        if value.len() > INFO_MAX {
            self.stats.malformed_chunks += 1;
        } else if self.pending.heartbeat_acks.len() < ANSWERS_MAX {
            self.pending.heartbeat_acks.push_back(Bytes::copy_from_slice(&value));
        }
    }

    /// HEARTBEAT ACK.
    pub(crate) fn on_heartbeat_ack(&mut self, now: Instant, value: &[u8]) {
        let told = self.read_info(value);
        if told.is_some_and(|number| self.path_mtu.on_answer(now, number)) {
            return self.tx.clear_errors();
        }
        let (Heartbeat::Out { counter, sent_at }, Some(told)) = (self.heartbeat, told) else {
            self.stats.bad_heartbeats += 1;
            return;
        };
        if told != counter {
            self.stats.bad_heartbeats += 1;
            return;
        }
        self.heartbeat = Heartbeat::Answered;
        self.tx.clear_errors();
        self.tx.sample_rtt(now.saturating_duration_since(sent_at));
    }

    fn read_info(&self, value: &[u8]) -> Option<u64> {
        let info = Walker::new(value).next()?.ok()?;
        let (body, mac) = info.value.split_at_checked(8)?;
        if info.head != parameter_kind::HEARTBEAT_INFO
            || mac.len() != MAC_SENT
            || !self.signer.verify(body, mac)
        {
            return None;
        }
        Reader::new(body).u64().ok()
    }

    /// The number of the next heartbeat, and its information.
    pub(crate) fn heartbeat_info(&mut self) -> (u64, Vec<u8>) {
        self.heartbeat_counter += 1;
        let counter = self.heartbeat_counter;
        let mut info = counter.to_be_bytes().to_vec();
        let mac = self.signer.sign(&info);
        info.extend(mac.iter().take(MAC_SENT));
        (counter, info)
    }

    /// The time for the next heartbeat has come; the last one counts as unanswered if it is.
    pub(crate) fn on_heartbeat_timeout(&mut self) {
        if matches!(self.heartbeat, Heartbeat::Out { .. }) {
            self.tx.back_off();
            if self.tx.count_error() > self.config.max_retransmits {
                return self.close(CloseReason::Unreachable);
            }
        }
        self.pending.heartbeat = true;
    }
}
