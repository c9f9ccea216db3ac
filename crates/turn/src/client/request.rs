//! Requests that wait for their answers: written once, repeated with the times of RFC 8489 section 6.2.1.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use taut_stun::attribute::{
    AdditionalAddressFamily, AddressFamily, ChannelNumber as ChannelNumberAttribute, ErrorCode, Lifetime,
    RequestedAddressFamily, RequestedTransport, XorPeerAddress,
};
use taut_stun::{
    Builder, Class, Fingerprint, Message, Method, Retransmission, Step, Transaction, TransactionId,
};

use super::auth::{ChallengeError, Changed};
use super::{Client, CloseReason, Families, LossReason, State};
use crate::ChannelNumber;
use crate::known;

/// How many requests wait for an answer at one time; further ones wait to be sent.
pub const MAX_REQUESTS: usize = 8;

/// How often one request is sent again because its nonce was stale.
const MAX_STALE: u32 = 4;

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Allocate,
    Refresh,
    /// A Refresh with lifetime 0 at the end.
    Release,
    /// The same for an allocation that an earlier client left on this 5-tuple.
    Clear,
    Permit(Vec<IpAddr>),
    Bind(ChannelNumber, SocketAddr),
}

impl Kind {
    fn method(&self) -> Method {
        match self {
            Self::Allocate => Method::ALLOCATE,
            Self::Refresh | Self::Release | Self::Clear => Method::REFRESH,
            Self::Permit(_) => Method::CREATE_PERMISSION,
            Self::Bind(..) => Method::CHANNEL_BIND,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    transaction: Transaction,
    /// Empty before the first transmission.
    message: Vec<u8>,
    authenticated: bool,
    stale: u32,
}

impl Request {
    pub(crate) fn timeout(&self) -> Instant {
        self.transaction.timeout()
    }
}

impl Client {
    /// Sends a request as soon as it is polled for.
    pub(super) fn ask(&mut self, kind: Kind) {
        self.push(kind, 0);
    }

    pub(super) fn is_asking(&self, kind: &Kind) -> bool {
        self.requests.iter().any(|request| request.kind == *kind)
    }

    fn push(&mut self, kind: Kind, stale: u32) {
        let id = TransactionId::random(&mut self.rng);
        let transaction = Transaction::new(self.now, id, self.policy(&kind));
        self.requests.push(Request { kind, transaction, message: Vec::new(), authenticated: false, stale });
    }

    /// How often a request is repeated, and when it has failed.
    fn policy(&self, kind: &Kind) -> Retransmission {
        let policy = Retransmission::default();
        if self.is_stream() {
            // A stream repeats by itself: 5 s.
            return policy.with_transmissions(1).with_last_wait(10);
        }
        match (kind, self.state) {
            // As long as there may be a server: every 2 s.
            (Kind::Allocate, State::Recovering { .. }) => {
                policy.with_max_interval(Duration::from_secs(2)).with_transmissions(u32::MAX)
            }
            // 0, 0.5, 1.5, 3.5, 5.5, 7.5 s, and failed after 9.5 s, long before ICE is done waiting.
            (Kind::Allocate | Kind::Clear, _) => {
                policy.with_max_interval(Duration::from_secs(2)).with_transmissions(6).with_last_wait(4)
            }
            (Kind::Release, _) => policy.with_transmissions(2).with_last_wait(2),
            // Every 0.5 s, and failed after 5 s: ten chances, as a failure ends the allocation.
            (Kind::Refresh, _) => {
                policy.with_max_interval(policy.rto).with_transmissions(10).with_last_wait(1)
            }
            // 0, 0.5, 1.5, 2.5, 3.5 s, and once more from 5 s on.
            (Kind::Permit(_) | Kind::Bind(..), _) => {
                policy.with_max_interval(Duration::from_secs(1)).with_transmissions(5).with_last_wait(3)
            }
        }
    }

    /// Appends the next request that is due.
    pub(super) fn poll_request(&mut self, out: &mut Vec<u8>) -> Option<usize> {
        for index in 0..self.requests.len() {
            let now = self.now;
            let request = self.requests.get_mut(index)?;
            if request.transaction.poll(now) != Step::Send {
                continue;
            }
            if request.message.is_empty() {
                let id = request.transaction.id();
                let kind = request.kind.clone();
                let mut message = Vec::new();
                // What does not fit a message would have been refused long before: names are bounded.
                let written = self.write(&kind, id, &mut message);
                let request = self.requests.get_mut(index)?;
                if written.is_none() {
                    continue;
                }
                request.message = message;
                request.authenticated = self.auth.is_challenged();
            }
            let request = self.requests.get(index)?;
            out.extend_from_slice(&request.message);
            return Some(request.message.len());
        }
        None
    }

    fn write(&self, kind: &Kind, id: TransactionId, out: &mut Vec<u8>) -> Option<usize> {
        let builder = Builder::new(out, Class::Request, kind.method(), id);
        let lifetime = Lifetime(u32::try_from(self.config.lifetime.as_secs()).unwrap_or(u32::MAX));
        let builder = match kind {
            Kind::Allocate => {
                let builder = builder.push(&RequestedTransport::UDP).push(&lifetime);
                match self.families {
                    Families::Both => builder.push(&AdditionalAddressFamily(AddressFamily::V6)),
                    Families::Only(AddressFamily::V4) => builder,
                    Families::Only(family) => builder.push(&RequestedAddressFamily(family)),
                }
            }
            Kind::Refresh => builder.push(&lifetime),
            Kind::Release | Kind::Clear => builder.push(&Lifetime(0)),
            Kind::Permit(peers) => peers
                .iter()
                .fold(builder, |builder, peer| builder.push(&XorPeerAddress(SocketAddr::new(*peer, 0)))),
            Kind::Bind(number, peer) => {
                builder.push(&ChannelNumberAttribute(number.get())).push(&XorPeerAddress(*peer))
            }
        };
        self.auth.finish(builder)
    }

    /// Requests that nobody answers.
    pub(super) fn expire_requests(&mut self, now: Instant) {
        while let Some(index) =
            self.requests.iter().position(|request| request.transaction.has_timed_out(now))
        {
            let request = self.requests.remove(index);
            self.on_silence(request.kind);
        }
    }

    fn on_silence(&mut self, kind: Kind) {
        match (kind, self.state) {
            (_, State::Closing) => self.end(CloseReason::Local),
            (Kind::Allocate | Kind::Clear, State::Allocating) => self.end(CloseReason::TimedOut),
            // Whether the server is dead is what the next Refresh will tell.
            (Kind::Permit(peers), _) => self.peers.ask_again(self.now, &peers, None),
            (Kind::Bind(_, peer), _) => self.peers.ask_again(self.now, &[], Some(peer)),
            (_, State::Allocated { .. } | State::Recovering { .. }) => self.lose(LossReason::Silent),
            (_, State::Allocating | State::Closed) => {}
        }
    }

    /// An answer, or something that looks like one.
    pub(super) fn on_answer(&mut self, message: &Message<'_>) {
        let index = self.requests.iter().position(|request| {
            request.transaction.id() == message.transaction_id()
                && request.transaction.transmissions() > 0
                && request.kind.method() == message.method()
        });
        let Some(index) = index else {
            self.stats.unexpected = self.stats.unexpected.saturating_add(1);
            return tracing::trace!("an answer that nobody waits for: dropped");
        };
        if message.fingerprint() == Fingerprint::Bad
            || message.unknown_required(known::IN_REQUESTS).next().is_some()
        {
            return self.on_malformed();
        }
        let error = match message.class() {
            Class::Success => None,
            _ => match message.get::<ErrorCode<'_>>() {
                Ok(Some(error)) => Some(error),
                _ => return self.on_malformed(),
            },
        };
        let challenge = error
            .as_ref()
            .is_some_and(|error| matches!(error.code, ErrorCode::UNAUTHENTICATED | ErrorCode::STALE_NONCE));
        let authenticated = self.requests.get(index).is_some_and(|request| request.authenticated);
        // RFC 8489 section 9.2.5. Before the server has asked for credentials, nothing can be protected.
        if !challenge && authenticated && !self.auth.verify(message) {
            self.stats.unauthenticated = self.stats.unauthenticated.saturating_add(1);
            return tracing::trace!("an answer without integrity: dropped");
        }
        self.heard = self.now;
        match error {
            Some(error) if challenge => self.on_challenge(index, &error, message),
            Some(error) => {
                let request = self.requests.remove(index);
                self.on_error(request.kind, &error, message);
            }
            None => self.on_success(index, message),
        }
    }

    pub(super) fn on_malformed(&mut self) {
        self.stats.malformed = self.stats.malformed.saturating_add(1);
        tracing::trace!("malformed: dropped");
    }

    /// 401 or 438: once more, with what it says.
    fn on_challenge(&mut self, index: usize, error: &ErrorCode<'_>, message: &Message<'_>) {
        let changed = match self.auth.take(message) {
            Ok(changed) => changed,
            Err(ChallengeError::Malformed) => return self.on_malformed(),
            Err(ChallengeError::UnknownAlgorithm) => return self.end(CloseReason::UnknownPasswordAlgorithm),
        };
        let request = self.requests.remove(index);
        let stale = request.stale.saturating_add(1);
        let stays =
            error.code == ErrorCode::UNAUTHENTICATED && request.authenticated && changed == Changed::Nonce;
        let allocated = matches!(self.state, State::Allocated { .. });
        if stale <= MAX_STALE && (!stays || !allocated && self.auth.renew()) {
            return self.push(request.kind, stale);
        }
        match (request.kind, self.state) {
            (Kind::Release, _) => self.end(CloseReason::Local),
            // The credentials were good when the allocation was made: the server has begun anew.
            (_, State::Allocated { .. }) => self.lose(LossReason::Forgotten),
            _ => self.refused(error),
        }
    }

    pub(super) fn refused(&mut self, error: &ErrorCode<'_>) {
        self.end(CloseReason::Refused { code: error.code, reason: error.reason.to_string() });
    }

    fn on_success(&mut self, index: usize, message: &Message<'_>) {
        let Some(kind) = self.requests.get(index).map(|request| request.kind.clone()) else { return };
        match kind {
            Kind::Allocate => {
                if !self.on_allocated(message) {
                    return self.on_malformed();
                }
            }
            Kind::Refresh => self.on_refreshed(message),
            Kind::Release => return self.end(CloseReason::Local),
            Kind::Clear => self.ask(Kind::Allocate),
            Kind::Permit(peers) => self.peers.on_permitted(self.now, &peers),
            Kind::Bind(number, peer) => self.peers.on_bound(self.now, number, peer),
        }
        self.requests.retain(|request| request.transaction.id() != message.transaction_id());
    }

    fn on_error(&mut self, kind: Kind, error: &ErrorCode<'_>, message: &Message<'_>) {
        match kind {
            Kind::Allocate => self.on_allocate_error(error, message),
            Kind::Release => self.end(CloseReason::Local),
            // There was nothing to clear, or it is another user's: the next Allocate tells.
            Kind::Clear => self.ask(Kind::Allocate),
            Kind::Refresh => self.lose(LossReason::Forgotten),
            _ if error.code == ErrorCode::ALLOCATION_MISMATCH => self.lose(LossReason::Forgotten),
            Kind::Permit(peers) => self.on_permit_error(&peers, error),
            Kind::Bind(number, peer) => self.on_bind_error(number, peer, error),
        }
    }
}
