//! The allocation: granted, refreshed, refused, lost and asked for again (RFC 8656 sections 7 and 8).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use taut_stun::Message;
use taut_stun::attribute::{
    AddressFamily, AlternateServer, Attribute, ErrorCode, Lifetime, XorMappedAddress, XorRelayedAddress,
};

use super::request::Kind;
use super::{Client, CloseReason, Event, Families, Link, LossReason, State};

/// How often in a row the client lets itself be sent to another server.
const MAX_REDIRECTS: u32 = 4;
/// How often an old allocation on this 5-tuple is cleared away (RFC 8656 section 7.4: three tries).
const MAX_MISMATCHES: u32 = 3;
/// How long before its end an allocation is refreshed (RFC 8656 section 8).
const REFRESH_EARLY: Duration = Duration::from_secs(60);
/// A server that grants less than this is asked again no sooner.
const MIN_LIFETIME: Duration = Duration::from_secs(4);
/// How long a server that had no room is left alone (RFC 8656 section 7.4).
const NO_ROOM: Duration = Duration::from_secs(60);

impl Client {
    /// When the server is next asked to keep the allocation: before it ends, and when nothing was heard for a while.
    pub(super) fn refresh_due(&self, refresh: Instant) -> Instant {
        self.heard.checked_add(self.config.keepalive).map_or(refresh, |silent| refresh.min(silent))
    }

    pub(super) fn advance_allocation(&mut self, now: Instant) {
        match self.state {
            State::Allocated { refresh }
                if self.refresh_due(refresh) <= now && !self.is_asking(&Kind::Refresh) =>
            {
                self.ask(Kind::Refresh);
            }
            State::Recovering { until } if until <= now => self.end(CloseReason::TimedOut),
            _ => {}
        }
    }

    /// False if the answer lacks what it must have.
    pub(super) fn on_allocated(&mut self, message: &Message<'_>) -> bool {
        let relayed = message
            .attributes()
            .filter(|attribute| attribute.kind == XorRelayedAddress::TYPE)
            .filter_map(|raw| message.read::<XorRelayedAddress>(raw).ok())
            .map(|XorRelayedAddress(address)| address)
            .filter(|address| self.is_wanted(*address));
        // One of each family at most, whatever the server says.
        let mut of = [None, None];
        for address in relayed {
            if let Some(place) = of.get_mut(usize::from(address.is_ipv6())) {
                place.get_or_insert(address);
            }
        }
        let mapped = message.get::<XorMappedAddress>();
        let (Ok(Some(XorMappedAddress(mapped))), [Some(_), _] | [_, Some(_)]) = (mapped, of) else {
            return false;
        };
        self.relayed = of.into_iter().flatten().collect();
        self.mapped = Some(mapped);
        self.redirects = 0;
        self.mismatches = 0;
        self.on_refreshed(message);
        let relayed = self.relayed.clone();
        tracing::debug!(server = %self.server, ?relayed, %mapped, "allocated");
        self.tell(Event::Allocated { relayed, mapped });
        true
    }

    fn is_wanted(&self, address: SocketAddr) -> bool {
        let family = match self.families {
            Families::Both => true,
            Families::Only(family) => family == AddressFamily::of(address),
        };
        family && address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
    }

    /// The server has granted some time.
    pub(super) fn on_refreshed(&mut self, message: &Message<'_>) {
        let granted = match message.get::<Lifetime>() {
            Ok(Some(Lifetime(seconds))) => Duration::from_secs(u64::from(seconds)),
            // It must be there; what was asked for is the best guess.
            _ => self.config.lifetime,
        };
        let granted = granted.max(MIN_LIFETIME);
        let wait = granted.saturating_sub(REFRESH_EARLY).max(granted / 2);
        // A wait beyond the clock's range is as good as a day.
        let refresh = self.now.checked_add(wait).unwrap_or(self.now + Duration::from_secs(86_400));
        self.state = State::Allocated { refresh };
    }

    pub(super) fn on_allocate_error(&mut self, error: &ErrorCode<'_>, message: &Message<'_>) {
        match error.code {
            ErrorCode::TRY_ALTERNATE => self.on_redirect(message),
            ErrorCode::ALLOCATION_MISMATCH if self.mismatches < MAX_MISMATCHES => {
                self.mismatches = self.mismatches.saturating_add(1);
                self.ask(Kind::Clear);
            }
            // It has no IPv4: what is left is IPv6.
            ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED if self.families == Families::Both => {
                self.families = Families::Only(AddressFamily::V6);
                self.ask(Kind::Allocate);
            }
            ErrorCode::ALLOCATION_QUOTA_REACHED | ErrorCode::INSUFFICIENT_CAPACITY
                if matches!(self.state, State::Recovering { .. }) =>
            {
                self.link = Link::Waiting(self.now + NO_ROOM);
            }
            _ => self.refused(error),
        }
    }

    /// 300 (RFC 8489 section 10): the same from another server, which knows nothing of the first one's nonce.
    fn on_redirect(&mut self, message: &Message<'_>) {
        let alternate = match message.get::<AlternateServer>() {
            Ok(Some(AlternateServer(address))) => address,
            _ => return self.on_malformed_redirect(),
        };
        let usable = alternate.is_ipv4() == self.local.is_ipv4()
            && alternate.port() != 0
            && !alternate.ip().is_unspecified()
            && !alternate.ip().is_multicast();
        if !usable || self.redirects >= MAX_REDIRECTS {
            return self.end(CloseReason::TooManyRedirects);
        }
        self.redirects = self.redirects.saturating_add(1);
        self.server = alternate;
        self.auth.reset();
        self.connect();
    }

    fn on_malformed_redirect(&mut self) {
        self.on_malformed();
        self.end(CloseReason::TooManyRedirects);
    }

    /// The allocation is gone: everything begins anew, at the same server.
    pub(super) fn lose(&mut self, reason: LossReason) {
        let had = matches!(self.state, State::Allocated { .. });
        self.requests.clear();
        self.relayed.clear();
        self.auth.reset();
        if had {
            tracing::debug!(server = %self.server, ?reason, "allocation lost");
            self.peers.lose(self.now);
            self.families = self.config.families;
            self.tell(Event::Lost(reason));
            let until = self.now.checked_add(self.config.recovery).unwrap_or(self.now);
            if until <= self.now {
                return self.end(CloseReason::TimedOut);
            }
            self.state = State::Recovering { until };
        }
        // A stream on which nothing was answered is given up for a new one.
        if reason != LossReason::Disconnected {
            if self.is_stream() && reason == LossReason::Forgotten {
                self.ask(Kind::Allocate);
            } else {
                self.connect();
            }
        }
    }
}
