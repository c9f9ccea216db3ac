//! How a session ends, and how a handshake begins anew.

use std::time::Instant;

use super::drive::packets;
use super::{Session, State};
use crate::engine::Failure;
use crate::filter::Side;
use crate::peer::{CloseReason, Event, HandshakeFailure};

/// Handshakes begun anew after one died of something unauthenticated.
const MAX_RESTARTS: u64 = 1;

impl Session {
    pub(super) fn on_close_notify(&mut self, now: Instant) {
        if self.state == State::Connected {
            self.say_goodbye(now);
            self.end(State::Closed, CloseReason::Remote);
        }
    }

    /// Makes the engine close, and keeps what it then has to send.
    pub(super) fn say_goodbye(&mut self, now: Instant) {
        let Some(mut engine) = self.engine.take() else { return };
        let _ = engine.handle_timeout(now);
        let _ = engine.close();
        for packet in packets(&mut engine) {
            self.on_packet(now, packet);
        }
    }

    pub(super) fn on_failure(&mut self, now: Instant, failure: Failure) {
        let failure = match failure {
            Failure::Timeout => return self.fail_late(),
            Failure::Protocol(failure) => failure,
        };
        if self.state == State::Connected {
            let reason = match failure {
                HandshakeFailure::Alert(alert) => CloseReason::Alert(alert),
                failure => CloseReason::Protocol(failure),
            };
            return self.end(State::Failed, reason);
        }
        #[cfg(test)]
        if self.unfiltered {
            return self.end(State::Failed, CloseReason::Handshake(failure));
        }
        // Until the end of the handshake nothing is authenticated, so whoever can send may have caused this.
        self.handshake.first_failure.get_or_insert(failure);
        if self.filter.stats.restarts >= MAX_RESTARTS {
            return self.end(State::Failed, CloseReason::Handshake(failure));
        }
        self.filter.stats.restarts += 1;
        self.engine = None;
        self.engine_timeout = None;
        self.outgoing.clear();
        self.handshake.client_random = None;
        self.handshake.certificate = None;
        match self.handshake.side {
            // What comes within this time answers the hello whose handshake died, so it is refused, and known when it
            // comes again.
            Side::Client => {
                self.filter.restart(Side::Client);
                self.handshake.resume = now.checked_add(self.handshake.first_timeout);
            }
            Side::Server => self.filter.restart(Side::Server),
        }
    }

    pub(super) fn fail_late(&mut self) {
        let reason = self.handshake.first_failure.map_or(CloseReason::Timeout, CloseReason::Handshake);
        self.outgoing.clear();
        self.end(State::Failed, reason);
    }

    pub(super) fn end(&mut self, state: State, reason: CloseReason) {
        self.state = state;
        self.engine = None;
        self.engine_timeout = None;
        self.outgoing.forget_flight();
        self.early = Vec::new();
        self.events.push_back(Event::Closed(reason));
    }
}
