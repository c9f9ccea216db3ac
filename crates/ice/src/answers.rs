//! The connectivity checks of the other side (RFC 8445 section 7.3): requests in, answers out.
//!
//! Nothing has an effect before its integrity held: a request needs a USERNAME of both ufrags and our password.

use std::time::Instant;

use taut_sansio::net::{Path, Transmit, Transport};
use taut_stun::attribute::{
    ErrorCode, IceControlled, IceControlling, Priority, UnknownAttributes, UseCandidate, Username,
    XorMappedAddress,
};
use taut_stun::{Algorithm, Builder, Class, Fingerprint, Message, Method, ParseError, TransactionId};

use crate::addresses::plain;
use crate::agent::Agent;
use crate::candidate::{CandidateKind, priority};
use crate::checks::{FORBIDDEN, KNOWN, drop_one};
use crate::config::Role;
use crate::event::State;
use crate::generation::{Generation, GenerationId};
use crate::pair::{PairId, Status, Wish};

/// How many answers wait for the next poll; requests beyond get none.
pub const MAX_ANSWERS: usize = 64;

/// How many paths are remembered on which checks came before the remote credentials (RFC 8445 section 7.3).
pub const MAX_EARLY_CHECKS: usize = 32;

/// The longest ufrag (RFC 8839 section 5.4).
const MAX_UFRAG_LEN: usize = 256;

/// An answer to be written at the next poll.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    path: Path,
    id: TransactionId,
    /// Whose password it is made with.
    generation: GenerationId,
    algorithm: Algorithm,
    kind: AnswerKind,
}

impl Answer {
    pub(crate) fn path(&self) -> Path {
        self.path
    }
}

#[derive(Debug, Clone, Copy)]
enum AnswerKind {
    Success,
    RoleConflict,
    Forbidden,
    Unknown(UnknownAttributes),
}

/// A check that came before the remote credentials; its sender has been answered already.
#[derive(Debug, Clone)]
pub(crate) struct EarlyCheck {
    pub(crate) path: Path,
    remote_ufrag: String,
    priority: u32,
    wish: Wish,
}

/// The attributes of a request that are not its integrity.
struct Request<'a> {
    local_ufrag: &'a str,
    remote_ufrag: &'a str,
    priority: u32,
    /// The sender's role and tiebreaker.
    role: Option<(Role, u64)>,
    wish: Wish,
}

impl<'a> Request<'a> {
    /// `None` without a USERNAME of two parts.
    fn read(message: &Message<'a>) -> Result<Option<Self>, ParseError> {
        let Some(username) = message.get::<Username<'_>>()? else { return Ok(None) };
        let Some((local_ufrag, remote_ufrag)) = username.text().split_once(':') else { return Ok(None) };
        if remote_ufrag.len() > MAX_UFRAG_LEN {
            return Ok(None);
        }
        let role = match (message.get()?, message.get()?) {
            (Some(IceControlling(tiebreaker)), _) => Some((Role::Controlling, tiebreaker)),
            (None, Some(IceControlled(tiebreaker))) => Some((Role::Controlled, tiebreaker)),
            (None, None) => None,
        };
        let wish = match message.get::<UseCandidate>()? {
            Some(UseCandidate) => Wish::Nominate,
            None => Wish::Nothing,
        };
        // PRIORITY is mandatory (RFC 8445 section 7.1.1); without it the candidate counts as the worst of its type.
        let priority = message.get()?.map_or(priority(CandidateKind::PeerReflexive, 0), |Priority(p)| p);
        Ok(Some(Self { local_ufrag, remote_ufrag, priority, role, wish }))
    }
}

impl Agent {
    pub(crate) fn on_request(&mut self, now: Instant, path: Path, message: &Message<'_>) {
        let request = match Request::read(message) {
            Ok(Some(request)) => request,
            Ok(None) => return drop_one(&mut self.stats.dropped_username),
            Err(_) => return drop_one(&mut self.stats.dropped_malformed),
        };
        let known = self.generations.by_local_ufrag(request.local_ufrag);
        let of_pair = |generation: &&Generation| {
            generation.remote().is_none_or(|remote| remote.credentials.ufrag == request.remote_ufrag)
        };
        let Some(generation) = known.filter(of_pair) else {
            self.generations.current_mut().strangers = true;
            return drop_one(&mut self.stats.dropped_username);
        };
        if message.fingerprint() == Fingerprint::Bad {
            return drop_one(&mut self.stats.dropped_fingerprint);
        }
        let Ok(algorithm) = message.verify(&generation.local_key) else {
            self.generations.current_mut().strangers = true;
            return drop_one(&mut self.stats.dropped_request_integrity);
        };
        let generation = generation.id;
        self.stats.requests_received = self.stats.requests_received.saturating_add(1);
        let answer = |kind| Answer { path, id: message.transaction_id(), generation, algorithm, kind };
        let unknown: UnknownAttributes = message.unknown_required(KNOWN).collect();
        if !unknown.is_empty() {
            return self.answer(answer(AnswerKind::Unknown(unknown)));
        }
        if self.on_claimed_role(request.role) == Conflict::TheirsToYield {
            return self.answer(answer(AnswerKind::RoleConflict));
        }
        if self.state == State::Failed || self.is_revoked(generation, &path) {
            return self.answer(answer(AnswerKind::Forbidden));
        }
        self.answer(answer(AnswerKind::Success));
        self.on_check(now, path, generation, &request);
    }

    /// True for a pair that is never used again with these credentials. The other side has to know, here and when the agent has
    /// failed, or it would go on to send what is not taken (RFC 7675 section 5.2).
    fn is_revoked(&self, generation: GenerationId, path: &Path) -> bool {
        let pair = self.checklist.by_path(generation, path).and_then(|id| self.checklist.get(id));
        pair.is_some_and(|pair| matches!(pair.status, Status::Revoked | Status::Taken))
    }

    fn answer(&mut self, answer: Answer) {
        if self.answers.len() >= MAX_ANSWERS {
            drop_one(&mut self.stats.dropped_answers);
            // One that waits for a blocked path keeps none from another path waiting.
            let stuck = self.answers.iter().position(|other| !self.is_ready(&other.path));
            let Some(stuck) = stuck.filter(|_| self.is_ready(&answer.path)) else { return };
            self.answers.remove(stuck);
        }
        self.answers.push_back(answer);
    }

    /// Detects and repairs role conflicts (RFC 8445 section 7.3.1.1).
    fn on_claimed_role(&mut self, claimed: Option<(Role, u64)>) -> Conflict {
        let Some((role, theirs)) = claimed else { return Conflict::None };
        if role != self.role || !self.role_is_set() {
            return Conflict::None;
        }
        self.stats.role_conflicts = self.stats.role_conflicts.saturating_add(1);
        if self.config.lite {
            return Conflict::TheirsToYield;
        }
        let we_are_larger = self.tiebreaker >= theirs;
        if we_are_larger == (role == Role::Controlling) {
            return Conflict::TheirsToYield;
        }
        self.switch_role(role.other());
        Conflict::None
    }

    /// An authenticated check came in (RFC 8445 sections 7.3.1.3 to 7.3.1.5).
    fn on_check(&mut self, now: Instant, path: Path, id: GenerationId, request: &Request<'_>) {
        match self.generations.get(id).and_then(Generation::remote) {
            Some(_) => self.on_known_check(now, path, id, request.priority, request.wish),
            None => self.on_early_check(path, id, request),
        }
    }

    fn on_early_check(&mut self, path: Path, id: GenerationId, request: &Request<'_>) {
        let Some(generation) = self.generations.get_mut(id) else { return };
        let known = generation
            .early
            .iter_mut()
            .find(|early| early.path == path && early.remote_ufrag == request.remote_ufrag);
        if let Some(early) = known {
            if request.wish == Wish::Nominate {
                early.wish = Wish::Nominate;
            }
            return;
        }
        if generation.early.len() >= MAX_EARLY_CHECKS {
            return drop_one(&mut self.stats.dropped_early_checks);
        }
        let remote_ufrag = request.remote_ufrag.to_owned();
        generation.early.push(EarlyCheck {
            path,
            remote_ufrag,
            priority: request.priority,
            wish: request.wish,
        });
        self.add_route(path);
    }

    /// Catches up with the checks that came before the remote credentials.
    pub(crate) fn replay_early_checks(&mut self, now: Instant) {
        let generation = self.generations.current_mut();
        let (id, checks) = (generation.id, std::mem::take(&mut generation.early));
        for early in checks {
            let remote = self.generations.current().remote();
            if remote.is_some_and(|remote| remote.credentials.ufrag == early.remote_ufrag) {
                self.on_known_check(now, early.path, id, early.priority, early.wish);
            }
            self.forget_route(&early.path);
        }
    }

    fn on_known_check(
        &mut self,
        now: Instant,
        path: Path,
        generation: GenerationId,
        priority: u32,
        wish: Wish,
    ) {
        let known = self.checklist.by_path(generation, &path);
        let Some(id) = known.or_else(|| self.add_triggered_pair(generation, path, priority)) else { return };
        let Some(pair) = self.checklist.get_mut(id) else { return };
        pair.counters.requests_received = pair.counters.requests_received.saturating_add(1);
        pair.counters.responses_sent = pair.counters.responses_sent.saturating_add(1);
        pair.authenticated = true;
        pair.asked = Some(now);
        if self.config.lite {
            return self.on_check_as_lite(now, id, wish);
        }
        if pair.wants_trigger(now) {
            pair.restart();
            self.checklist.trigger(id);
        }
        // The other side uses a pair that did not answer us: it may again.
        self.settle_doubt(now, id);
        self.add_route(path);
        if wish == Wish::Nominate && self.role == Role::Controlled {
            self.on_use_candidate(now, id);
        }
    }

    /// Forms the pair of a check that came on an unknown path, with a peer-reflexive candidate where needed. Also where we
    /// would not have tried: a host reaches its loopback addresses from all the others, and the other side, which has our
    /// answer, may nominate the pair and send its data there (RFC 8445 section 7.3.1.4 makes no exception).
    fn add_triggered_pair(&mut self, generation: GenerationId, path: Path, priority: u32) -> Option<PairId> {
        let host = match path.transport {
            Transport::Udp => self.host_at(generation, path.local),
            _ => self.tcp_host_of(generation, &path),
        }?;
        let known = self.remote_at(generation, &self.far_end(&path).0, path.remote);
        let remote = known.or_else(|| self.add_peer_reflexive(generation, &path, priority))?;
        self.add_pair_on(host, remote, path)
    }

    /// Writes the oldest answer whose path is not blocked.
    pub(crate) fn poll_answer(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        loop {
            let at = self.answers.iter().position(|answer| self.is_ready(&answer.path))?;
            let Answer { path, id, generation, algorithm, kind } = self.answers.remove(at)?;
            let Some(generation) = self.generations.get(generation) else { continue };
            let builder = match kind {
                AnswerKind::Success => Builder::new(out, Class::Success, Method::BINDING, id)
                    .push(&XorMappedAddress(plain(path.remote))),
                AnswerKind::RoleConflict => Builder::new(out, Class::Error, Method::BINDING, id)
                    .push(&ErrorCode::new(ErrorCode::ROLE_CONFLICT, "")),
                AnswerKind::Forbidden => {
                    Builder::new(out, Class::Error, Method::BINDING, id).push(&ErrorCode::new(FORBIDDEN, ""))
                }
                AnswerKind::Unknown(unknown) => Builder::new(out, Class::Error, Method::BINDING, id)
                    .push(&ErrorCode::new(ErrorCode::UNKNOWN_ATTRIBUTE, ""))
                    .push(&unknown),
            };
            if let Some(len) = builder.integrity(&generation.local_key, algorithm).fingerprint().finish() {
                self.stats.responses_sent = self.stats.responses_sent.saturating_add(1);
                return Some(Transmit::single(path, len));
            }
        }
    }
}

/// What a request's claim of a role leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conflict {
    /// Nothing, or our own role has changed.
    None,
    /// The sender has to change its role.
    TheirsToYield,
}
