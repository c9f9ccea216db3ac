//! Messages that are given up: by the application, or because they may not be tried again (RFC 3758 section 3.5).

use super::*;

impl Transmitter {
    /// Gives up the message of the stream that is written in parts. `false` if the other side has a part of it and
    /// cannot be told.
    pub(crate) fn cancel(&mut self, now: Instant, stream: StreamId, stats: &mut Stats) -> bool {
        let Some(last) = self.queue.cancel(stream.0) else { return true };
        if !self.agreed.forwards() {
            return false;
        }
        stats.abandoned_messages += 1;
        self.out.abandon(last.previous);
        self.out.push_abandoned(last, now);
        if self.out.advance_forward_point() {
            self.forward = Forward::Due;
        }
        true
    }

    /// Gives up messages that are lost and may not be tried again, and moves the point that is forwarded to.
    pub(super) fn abandon(&mut self, now: Instant, stats: &mut Stats) {
        if !self.agreed.forwards() {
            return;
        }
        while let Some(tsn) = self.out.next_to_abandon(now) {
            stats.abandoned_messages += 1;
            if let Some(stream) = self.out.abandon(tsn) {
                // Its rest is not sent: a last fragment that nobody gets closes the message.
                if let Some(piece) = self.queue.break_off(stream) {
                    self.out.push_abandoned(piece, now);
                }
            }
        }
        if self.out.advance_forward_point() {
            self.forward = Forward::Due;
        }
    }

    /// Gives up what would be sent next, is half sent or lost, and would come too late (RFC 3758 section 3.5, rules
    /// A3 and A5).
    #[inline]
    pub(super) fn give_up_overdue(&mut self, now: Instant, stats: &mut Stats) {
        if self.agreed.forwards() && (self.queue.has_lifetimes() || self.out.has_losses()) {
            self.look_for_overdue(now, stats);
        }
    }

    fn look_for_overdue(&mut self, now: Instant, stats: &mut Stats) {
        while self.out.suspect_first(now) {
            self.abandon(now, stats);
        }
        while let Some((stream, last)) = self.queue.overdue(now) {
            stats.abandoned_messages += 1;
            self.out.abandon(last);
            if let Some(piece) = self.queue.break_off(stream) {
                self.out.push_abandoned(piece, now);
            }
            if self.out.advance_forward_point() {
                self.forward = Forward::Due;
            }
        }
    }
}
