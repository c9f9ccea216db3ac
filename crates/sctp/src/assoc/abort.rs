//! Ending at once (RFC 9260 section 9.1), and packets that belong to nobody (section 8.4).

use crate::association::{Association, Phase, Reply};
use crate::packet::{FLAG_T, cause, kind};
use crate::types::CloseReason;

impl Association {
    /// ABORT with a tag that holds.
    pub(crate) fn on_abort(&mut self, flags: u8, value: &[u8]) {
        // The other side knows nothing of us any more: it has our SHUTDOWN ACK, and its answer was lost or overtaken.
        let agreed = flags & FLAG_T != 0 && matches!(self.phase, Phase::ShutdownAckSent);
        let code = cause::first(value);
        self.close(if agreed { CloseReason::Shutdown } else { CloseReason::RemoteAbort { code } });
    }

    /// Tells the other side and ends.
    pub(crate) fn fail(&mut self, code: u16, reason: CloseReason) {
        if self.has_peer() {
            self.push_reply(Reply::Abort { tag: self.remote.tag, flags: 0, code });
        }
        self.close(reason);
    }

    /// A packet for an association that is over: its sender is told, unless that could go on for ever.
    pub(crate) fn on_out_of_the_blue(&mut self, tag: u32, kinds: impl Iterator<Item = u8>) {
        let mut any = false;
        for kind in kinds {
            any = true;
            if matches!(kind, kind::ABORT | kind::SHUTDOWN_COMPLETE | kind::COOKIE_ACK | kind::ERROR) {
                return;
            }
        }
        if any && tag != 0 && matches!(self.phase, Phase::Closed) {
            self.push_reply(Reply::Abort { tag, flags: FLAG_T, code: 0 });
        }
    }
}
