//! Setting up (RFC 9260 sections 5.1 and 5.2): INIT, INIT ACK, COOKIE ECHO, COOKIE ACK, both sides at once, and
//! a peer that starts anew. In WebRTC both sides send an INIT at about the same time, so the collision is the
//! usual case.

use std::time::Instant;

use bytes::Bytes;

use super::cookie::Cookie;
use crate::association::{Association, Phase, Remote, Reply, Streams};
use crate::packet::Tsn;
use crate::packet::cause::{self, code};
use crate::packet::init::{Init, InitFields};
use crate::packet::parameter::Capabilities;
use crate::types::{CloseReason, Event};

impl Association {
    /// The fixed fields of our INIT, and of an INIT ACK that comes of the same tag.
    pub(crate) fn init_fields(&self, tag: u32, tsn: Tsn) -> InitFields {
        InitFields {
            tag,
            window: self.config.receive_window as u32,
            outgoing: self.config.streams,
            incoming: self.config.streams,
            tsn,
        }
    }

    /// An INIT came: it is answered in every state, and changes none (RFC 9260 sections 5.1 B, 5.2.1, 5.2.2).
    pub(crate) fn on_init(&mut self, now: Instant, value: &[u8]) {
        let Ok(init) = Init::parse(value) else {
            self.stats.malformed_chunks += 1;
            let tag = value.first_chunk().map_or(0, |tag| u32::from_be_bytes(*tag));
            // Without a tag there is nobody to answer (RFC 9260 section 3.3.2).
            if tag != 0 && !self.has_peer() {
                self.push_reply(Reply::Abort { tag, flags: 0, code: code::INVALID_MANDATORY });
            }
            return;
        };
        if init.parameters.host_name {
            let tag = init.fields.tag;
            return self.push_reply(Reply::Abort { tag, flags: 0, code: code::UNRESOLVABLE_ADDRESS });
        }
        let (tag, tsn, ties) = match self.phase {
            Phase::Idle | Phase::CookieWait => (self.local_tag, self.local_tsn, (0, 0)),
            Phase::CookieEchoed { .. } => (self.local_tag, self.local_tsn, (self.local_tag, self.remote.tag)),
            Phase::Established | Phase::ShutdownPending | Phase::ShutdownSent | Phase::ShutdownReceived => {
                let tag = self.rng.u32().max(1);
                (tag, Tsn::new(self.rng.u32()), (self.local_tag, self.remote.tag))
            }
            Phase::ShutdownAckSent => {
                self.pending.shutdown = true;
                return;
            }
            Phase::Closed => {
                let tag = init.fields.tag;
                return self.push_reply(Reply::Abort { tag, flags: 0, code: 0 });
            }
        };
        let cookie = Cookie {
            created: self.since_epoch(now),
            local_tag: tag,
            local_tsn: tsn,
            remote: init.fields,
            capabilities: init.parameters.capabilities,
            tie_local: ties.0,
            tie_remote: ties.1,
        };
        let fields = self.init_fields(tag, tsn);
        self.push_reply(Reply::InitAck {
            tag: init.fields.tag,
            fields,
            cookie: cookie.seal(&self.signer),
            unrecognized: init.parameters.unrecognized,
        });
    }

    /// INIT ACK: only for the INIT that is out (RFC 9260 section 5.2.3).
    pub(crate) fn on_init_ack(&mut self, value: &[u8]) {
        if !matches!(self.phase, Phase::CookieWait) {
            self.stats.unexpected_chunks += 1;
            return;
        }
        let Ok(init) = Init::parse(value) else {
            // It has our tag, so it is the peer's own error (RFC 9260 section 3.3.3).
            self.stats.malformed_chunks += 1;
            return self.fail(code::INVALID_MANDATORY, CloseReason::ProtocolViolation);
        };
        let Some(cookie) = init.parameters.cookie.filter(|_| !init.parameters.host_name) else {
            self.stats.malformed_chunks += 1;
            return self.fail(code::INVALID_MANDATORY, CloseReason::ProtocolViolation);
        };
        self.adopt(Remote {
            tag: init.fields.tag,
            tsn: init.fields.tsn,
            outgoing: init.fields.outgoing,
            incoming: init.fields.incoming,
            capabilities: init.parameters.capabilities,
        });
        self.tx.start(init.fields.window, self.agreed);
        self.phase = Phase::CookieEchoed { cookie: Bytes::from(cookie) };
        self.handshake_attempts = 0;
        self.timers.stop(crate::timer::Timer::Handshake);
        self.pending.handshake = true;
        if !init.parameters.unrecognized.is_empty() {
            self.push_error(code::UNRECOGNIZED_PARAMETERS, &init.parameters.unrecognized);
        }
    }

    fn adopt(&mut self, remote: Remote) {
        self.agreed = Capabilities::of(&self.config).and(remote.capabilities);
        self.rx.start(remote.tsn, self.agreed.format());
        self.reconfig.start(self.local_tsn, remote.tsn);
        self.streams = Streams {
            outgoing: remote.incoming.min(self.config.streams),
            incoming: remote.outgoing.min(self.config.streams),
        };
        self.remote = remote;
    }

    /// COOKIE ECHO (RFC 9260 sections 5.1.5 and 5.2.4). `true` if what follows in the packet may be read.
    pub(crate) fn on_cookie_echo(&mut self, now: Instant, tag: u32, value: &[u8]) -> bool {
        let Some(cookie) = Cookie::open(&self.signer, value).filter(|cookie| cookie.local_tag == tag) else {
            self.stats.bad_cookies += 1;
            return false;
        };
        let same_local = cookie.local_tag == self.local_tag;
        let same_remote = cookie.remote.tag == self.remote.tag;
        let known = same_local && same_remote && self.has_peer();
        let ties_hold = (cookie.tie_local, cookie.tie_remote) == (self.local_tag, self.remote.tag);
        let is_restart = ties_hold && !same_local && !same_remote;
        let age = self.since_epoch(now).saturating_sub(cookie.created);
        if age > self.config.cookie_life && !known {
            self.stats.bad_cookies += 1;
            let staleness = (age - self.config.cookie_life).as_micros().min(u128::from(u32::MAX)) as u32;
            self.push_reply(Reply::StaleCookie { tag: cookie.remote.tag, staleness });
            return false;
        }
        match self.phase {
            Phase::Idle | Phase::CookieWait if same_local => self.accept_cookie(&cookie),
            // Case D: the cookie, or our COOKIE ACK, came twice; or both sides sent an INIT.
            Phase::CookieEchoed { .. } if known => self.establish(),
            Phase::Established | Phase::ShutdownPending if known => {}
            Phase::ShutdownSent | Phase::ShutdownReceived | Phase::ShutdownAckSent if known => {
                self.pending.shutdown = true;
                return true;
            }
            // Case B: the peer answered our INIT before it made its own.
            Phase::CookieEchoed { .. } if same_local => self.accept_cookie(&cookie),
            // Case A: the peer lost its state and starts anew; not where its shutdown was just agreed to.
            Phase::ShutdownAckSent if is_restart => {
                self.pending.shutdown = true;
                self.push_error(code::COOKIE_WHILE_SHUTTING_DOWN, &[]);
                return false;
            }
            Phase::Established | Phase::ShutdownPending | Phase::ShutdownSent | Phase::ShutdownReceived
                if is_restart =>
            {
                self.restart(&cookie);
            }
            // Case C and everything else.
            _ => {
                self.stats.unexpected_chunks += 1;
                return false;
            }
        }
        self.pending.cookie_ack = true;
        true
    }

    fn accept_cookie(&mut self, cookie: &Cookie) {
        self.adopt_cookie(cookie);
        self.establish();
    }

    fn restart(&mut self, cookie: &Cookie) {
        self.local_tag = cookie.local_tag;
        self.local_tsn = cookie.local_tsn;
        self.tx.restart(&self.config, cookie.local_tsn);
        self.timers = crate::timer::Timers::default();
        self.pending = crate::association::Pending::default();
        self.incoming_resets.clear();
        // What the application wanted before, it still wants.
        self.phase = match self.phase {
            Phase::ShutdownPending | Phase::ShutdownSent => Phase::ShutdownPending,
            _ => Phase::Established,
        };
        self.adopt_cookie(cookie);
        self.push_event(Event::Restarted);
    }

    /// The other side is as the cookie says.
    fn adopt_cookie(&mut self, cookie: &Cookie) {
        self.adopt(Remote {
            tag: cookie.remote.tag,
            tsn: cookie.remote.tsn,
            outgoing: cookie.remote.outgoing,
            incoming: cookie.remote.incoming,
            capabilities: cookie.capabilities,
        });
        self.tx.start(cookie.remote.window, self.agreed);
    }

    /// COOKIE ACK (RFC 9260 section 5.2.5).
    pub(crate) fn on_cookie_ack(&mut self) {
        if matches!(self.phase, Phase::CookieEchoed { .. }) {
            self.establish();
        }
    }

    fn establish(&mut self) {
        if self.handshake_attempts > 1 {
            self.tx.resend_all();
        }
        self.phase = Phase::Established;
        self.pending.handshake = false;
        self.tx.clear_errors();
        self.push_event(Event::Connected);
    }

    /// T1 went off (RFC 9260 section 5.1, rules A and C).
    pub(crate) fn on_handshake_timeout(&mut self) {
        if self.handshake_attempts > self.config.max_init_retransmits {
            return self.close(CloseReason::HandshakeTimeout);
        }
        self.pending.handshake = true;
    }

    /// ERROR: only a stale cookie needs something done (RFC 9260 section 5.2.6).
    pub(crate) fn on_error(&mut self, value: &[u8]) {
        let code = cause::first(value);
        tracing::trace!(code, "ERROR chunk");
        if code == code::STALE_COOKIE && matches!(self.phase, Phase::CookieEchoed { .. }) {
            self.stale_cookies += 1;
            if self.stale_cookies > self.config.max_init_retransmits {
                return self.close(CloseReason::HandshakeTimeout);
            }
            // Start over with a new INIT.
            self.phase = Phase::CookieWait;
            self.remote = Remote::default();
            self.pending.handshake = true;
        }
    }
}
