//! Requests: who asks, what for, and the answers (RFC 8489 sections 6.3 and 9.2.4).

use std::time::Instant;

use bytes::BytesMut;
use taut_sansio::net::{Path, Transport};
use taut_stun::attribute::{
    ErrorCode, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, UnknownAttributes, UserHash, Username,
    XorMappedAddress,
};
use taut_stun::{Algorithm, Builder, Class, Fingerprint, Message, Method, ParseError};

use super::auth::{Offer, algorithms};
use super::table::Signing;
use super::{Server, count};
use crate::known;

/// How much longer than its cause an answer may be, before anybody has authenticated himself.
const MAX_AMPLIFICATION: usize = 3;

/// A request of somebody who has shown that he knows the password.
#[derive(Debug)]
pub(super) struct Authenticated {
    /// Whose quotas count.
    pub(super) user: String,
    pub(super) signing: Signing,
}

/// Why a request is not answered with what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) reason: &'static str,
}

impl Refusal {
    pub(super) const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason }
    }

    pub(super) const BAD_REQUEST: Self = Self::new(ErrorCode::BAD_REQUEST, "Bad Request");
}

impl From<ParseError> for Refusal {
    fn from(_: ParseError) -> Self {
        Self::BAD_REQUEST
    }
}

impl Server {
    /// A STUN message of a client.
    pub(super) fn on_stun(&mut self, now: Instant, path: Path, datagram: BytesMut) {
        let Ok(message) = Message::parse(&datagram) else {
            return count(&mut self.stats.malformed);
        };
        if message.fingerprint() == Fingerprint::Bad {
            return count(&mut self.stats.malformed);
        }
        match message.class() {
            Class::Request if message.method() == Method::BINDING => self.on_binding(path, &message),
            Class::Request => self.on_request(now, path, &message),
            Class::Indication if message.method() == Method::SEND => self.on_send(now, path, datagram),
            // A Binding indication keeps a NAT's mapping alive, and is all there is to it.
            Class::Indication | Class::Success | Class::Error => count(&mut self.stats.unexpected),
        }
    }

    fn on_binding(&mut self, path: Path, request: &Message<'_>) {
        let mut out = Vec::new();
        if let Some((from, length)) = self.answer_behavior(path, request, &mut out) {
            // Where the answer would be too long, and came from where it is expected, the mapped address alone will do.
            if from != path || length <= longest_answer(request) {
                self.answer_anybody(from, request, &out);
                return;
            }
            out.clear();
        }
        // What a server without authentication answers is the same everywhere.
        if taut_stun::binding::answer(request.as_bytes(), path.remote, &mut out).is_some() {
            self.answer_anybody(path, request, &out);
        }
    }

    /// Appends the answer of a server with two addresses (RFC 5780 section 6.1), which is for datagrams alone. The path is the one
    /// that it takes.
    fn answer_behavior(&self, path: Path, request: &Message<'_>, out: &mut Vec<u8>) -> Option<(Path, usize)> {
        let opposite = self.config.opposite(path.local).filter(|_| path.transport == Transport::Udp)?;
        let datagram = request.as_bytes();
        let (length, from) = taut_stun::behavior::answer(datagram, path.remote, path.local, opposite, out)?;
        Some((Path { local: from, ..path }, length))
    }

    fn on_request(&mut self, now: Instant, path: Path, request: &Message<'_>) {
        let who = match self.authenticate(path, request) {
            Ok(who) => who,
            Err(code) => return self.challenge(path, request, code),
        };
        let unknown: UnknownAttributes = request.unknown_required(known::IN_REQUESTS).collect();
        if !unknown.is_empty() {
            let refusal = Refusal::new(ErrorCode::UNKNOWN_ATTRIBUTE, "Unknown Attribute");
            return self.refuse_with(path, request, &who.signing, refusal, |builder| builder.push(&unknown));
        }
        let signing = who.signing.clone();
        let done = match request.method() {
            Method::ALLOCATE => self.on_allocate(now, path, request, who),
            Method::REFRESH => self.on_refresh(now, path, request, &who),
            Method::CREATE_PERMISSION => self.on_create_permission(now, path, request, &who),
            Method::CHANNEL_BIND => self.on_channel_bind(now, path, request, &who),
            _ => Err(Refusal::BAD_REQUEST),
        };
        if let Err(refusal) = done {
            self.refuse_with(path, request, &signing, refusal, |builder| builder);
        }
    }

    /// The checks of RFC 8489 section 9.2.4, in their order. The error is the code of the answer.
    fn authenticate(&mut self, path: Path, request: &Message<'_>) -> Result<Authenticated, u16> {
        const BAD: u16 = ErrorCode::BAD_REQUEST;
        if !request.has_integrity() {
            return Err(ErrorCode::UNAUTHENTICATED);
        }
        let username = request.get::<Username<'_>>().map_err(|_| BAD)?;
        let realm = request.get::<Realm<'_>>().map_err(|_| BAD)?.ok_or(BAD)?;
        let nonce = request.get::<Nonce<'_>>().map_err(|_| BAD)?.ok_or(BAD)?;
        let username = match (username, request.get::<UserHash>()) {
            (Some(username), _) => username.text(),
            // No challenge of ours has asked for it.
            (None, Ok(Some(_))) => return Err(ErrorCode::UNAUTHENTICATED),
            (None, _) => return Err(BAD),
        };
        let (password, algorithm) = algorithm_of(request).ok_or(BAD)?;
        if realm.text() != self.config.realm {
            return Err(ErrorCode::UNAUTHENTICATED);
        }
        let who = self.claim(path, username, password, algorithm).ok_or(ErrorCode::UNAUTHENTICATED)?;
        if request.verify(&who.signing.key) != Ok(algorithm) {
            return Err(ErrorCode::UNAUTHENTICATED);
        }
        if !self.nonces.is_fresh(nonce.text(), self.clock.unix(self.now), path.remote.ip()) {
            return Err(ErrorCode::STALE_NONCE);
        }
        Ok(who)
    }

    /// Who a name stands for. The client of an allocation keeps its key, even if its name runs out meanwhile.
    fn claim(
        &self,
        path: Path,
        username: &str,
        password: PasswordAlgorithm,
        algorithm: Algorithm,
    ) -> Option<Authenticated> {
        let allocation = self.table.by_path(path).and_then(|id| self.table.get(id));
        if let Some(known) = allocation.filter(|known| {
            known.signing.username == username
                && known.signing.password == password
                && known.signing.algorithm == algorithm
        }) {
            return Some(Authenticated { user: known.user.clone(), signing: known.signing.clone() });
        }
        let claim = self.users.claim(username, password, self.clock.unix(self.now))?;
        let username = username.to_owned();
        Some(Authenticated {
            user: claim.user,
            signing: Signing { username, password, key: claim.key, algorithm },
        })
    }

    /// 401 and 438 with realm and nonce, 400 without: the answers to those who are not known.
    fn challenge(&mut self, path: Path, request: &Message<'_>, code: u16) {
        let unix = self.clock.unix(self.now);
        if code == ErrorCode::BAD_REQUEST {
            let mut out = Vec::new();
            let builder = Builder::answer(&mut out, Class::Error, request).push(&ErrorCode::new(code, ""));
            if finish_answer(builder, request.fingerprint()).is_some()
                && self.answer_anybody(path, request, &out)
            {
                count(&mut self.stats.refused);
            }
            return;
        }
        let longest = longest_answer(request);
        let mut out = Vec::new();
        for offer in [Offer::Algorithms, Offer::Short] {
            out.clear();
            let nonce = self.nonces.make(unix, path.remote.ip(), offer);
            let mut builder = Builder::answer(&mut out, Class::Error, request)
                .push(&ErrorCode::new(code, ""))
                .push(&Realm::new(&self.config.realm))
                .push(&Nonce::new(&nonce));
            if offer == Offer::Algorithms {
                builder = builder.push(&algorithms());
            }
            let length = finish_answer(builder, request.fingerprint());
            if length.is_some_and(|length| length <= longest) {
                break;
            }
        }
        if self.answer_anybody(path, request, &out) {
            count(&mut self.stats.challenged);
        }
    }

    /// An answer to somebody who has not authenticated himself: short, and not too many of them. Whoever has opened a
    /// stream is where he says he is.
    fn answer_anybody(&mut self, path: Path, request: &Message<'_>, answer: &[u8]) -> bool {
        if path.transport == Transport::Udp {
            if answer.len() > longest_answer(request) {
                count(&mut self.stats.amplifying);
                return false;
            }
            if !self.prefixes.allows(self.now, path.remote.ip()) {
                count(&mut self.stats.limited);
                return false;
            }
        }
        self.send(path, BytesMut::from(answer));
        true
    }

    /// Refuses a request of somebody known.
    fn refuse_with(
        &mut self,
        path: Path,
        request: &Message<'_>,
        signing: &Signing,
        refusal: Refusal,
        more: impl FnOnce(Builder<'_>) -> Builder<'_>,
    ) {
        tracing::trace!(?path, code = refusal.code, "request refused");
        count(&mut self.stats.refused);
        let mut out = Vec::new();
        let builder = Builder::answer(&mut out, Class::Error, request)
            .push(&ErrorCode::new(refusal.code, refusal.reason));
        let builder = more(builder).integrity(&signing.key, signing.algorithm);
        if finish_answer(builder, request.fingerprint()).is_some() {
            self.send(path, BytesMut::from(&out[..]));
        }
    }

    /// Grants a request of somebody known.
    pub(super) fn grant(
        &mut self,
        path: Path,
        request: &Message<'_>,
        signing: &Signing,
        more: impl FnOnce(Builder<'_>) -> Builder<'_>,
    ) {
        let mut out = Vec::new();
        let builder = more(Builder::answer(&mut out, Class::Success, request));
        let builder = builder.integrity(&signing.key, signing.algorithm);
        if finish_answer(builder, request.fingerprint()).is_some() {
            self.send(path, BytesMut::from(&out[..]));
        }
    }

    /// The client's own address, as it is seen here.
    pub(super) fn mapped(path: Path) -> XorMappedAddress {
        XorMappedAddress(path.remote)
    }
}

/// How long an answer to somebody may be who has not authenticated himself.
fn longest_answer(request: &Message<'_>) -> usize {
    request.as_bytes().len().saturating_mul(MAX_AMPLIFICATION)
}

/// Ends an answer, with FINGERPRINT if the request had it.
pub(super) fn finish_answer(builder: Builder<'_>, request: Fingerprint) -> Option<usize> {
    match request {
        Fingerprint::Good => builder.fingerprint().finish(),
        _ => builder.finish(),
    }
}

/// How the key of a request was made, and what protects its answer; `None` if the list of algorithms is not the one that
/// was sent, as when somebody on the way has shortened it.
fn algorithm_of(request: &Message<'_>) -> Option<(PasswordAlgorithm, Algorithm)> {
    let list = request.get::<PasswordAlgorithms>().ok()?;
    let chosen = request.get::<PasswordAlgorithm>().ok()?;
    match (list, chosen) {
        (None, None) => Some((PasswordAlgorithm::Md5, Algorithm::Sha1)),
        (Some(list), Some(chosen)) if list == algorithms() => {
            list.iter().any(|known| known == chosen).then_some((chosen, Algorithm::Sha256))
        }
        _ => None,
    }
}
