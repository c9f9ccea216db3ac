//! Connectivity checks (RFC 8445 section 7): requests out, requests in, answers out, answers in.
//!
//! Nothing has an effect before its integrity held: a request needs a USERNAME of both ufrags and our password,
//! an answer needs a request of ours, the addresses of that request, and the password of the other side.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use taut_sansio::net::{Path, Transmit};
use taut_stun::attribute::{
    ErrorCode, IceControlled, IceControlling, Priority, UnknownAttributes, UseCandidate, Username,
    XorMappedAddress,
};
use taut_stun::{
    Algorithm, AttributeType, Builder, Class, Fingerprint, Message, Method, ParseError, Retransmission, Step,
    Transaction, TransactionId,
};

use crate::addresses::{may_send_to, plain};
use crate::agent::Agent;
use crate::candidate::{CandidateKind, priority};
use crate::config::Role;
use crate::consent::Consent;
use crate::event::State;
use crate::generation::{Generation, GenerationId};
use crate::pair::{Answered, Cause, Check, Pair, PairId, Status, Valid, Wish};

/// How many answers wait for the next poll; requests beyond get none.
pub const MAX_ANSWERS: usize = 64;

/// How many paths are remembered on which checks came before the remote credentials (RFC 8445 section 7.3).
pub const MAX_EARLY_CHECKS: usize = 32;

/// Consent is taken back (RFC 7675 section 5.2).
const FORBIDDEN: u16 = 403;

/// The longest ufrag (RFC 8839 section 5.4).
const MAX_UFRAG_LEN: usize = 256;

/// The comprehension-required attributes that are understood in checks and their answers.
const KNOWN: &[AttributeType] = &[
    AttributeType::USERNAME,
    AttributeType::PRIORITY,
    AttributeType::USE_CANDIDATE,
    AttributeType::XOR_MAPPED_ADDRESS,
    AttributeType::MAPPED_ADDRESS,
    AttributeType::ERROR_CODE,
    AttributeType::UNKNOWN_ATTRIBUTES,
    AttributeType::REALM,
    AttributeType::NONCE,
];

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
    /// Takes a STUN datagram that came on a path of ours.
    pub(crate) fn on_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        let Ok(message) = Message::parse(datagram) else {
            return drop_one(&mut self.stats.dropped_malformed);
        };
        if message.method() != Method::BINDING {
            return drop_one(&mut self.stats.dropped_method);
        }
        match message.class() {
            Class::Request => self.on_request(now, path, &message),
            Class::Indication => self.stats.indications = self.stats.indications.saturating_add(1),
            Class::Success | Class::Error => self.on_response(now, path, &message),
        }
    }

    fn on_request(&mut self, now: Instant, path: Path, message: &Message<'_>) {
        let request = match Request::read(message) {
            Ok(Some(request)) => request,
            Ok(None) => return drop_one(&mut self.stats.dropped_username),
            Err(_) => return drop_one(&mut self.stats.dropped_malformed),
        };
        let Some(generation) = self.generations.by_local_ufrag(request.local_ufrag) else {
            return drop_one(&mut self.stats.dropped_username);
        };
        if generation.remote().is_some_and(|remote| remote.credentials.ufrag != request.remote_ufrag) {
            return drop_one(&mut self.stats.dropped_username);
        }
        if message.fingerprint() == Fingerprint::Bad {
            return drop_one(&mut self.stats.dropped_fingerprint);
        }
        let Ok(algorithm) = message.verify(&generation.local_key) else {
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
        pair.is_some_and(|pair| matches!(pair.status, Status::Revoked))
    }

    fn answer(&mut self, answer: Answer) {
        if self.answers.len() >= MAX_ANSWERS {
            return drop_one(&mut self.stats.dropped_answers);
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
        if self.state.is_final() {
            return;
        }
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
        self.add_route(path);
        if wish == Wish::Nominate && self.role == Role::Controlled {
            self.on_use_candidate(now, id);
        }
    }

    /// Forms the pair of a check that came on an unknown path, with a peer-reflexive candidate where needed. Also where we
    /// would not have tried: a host reaches its loopback addresses from all the others, and the other side, which has our
    /// answer, may nominate the pair and send its data there (RFC 8445 section 7.3.1.4 makes no exception).
    fn add_triggered_pair(&mut self, generation: GenerationId, path: Path, priority: u32) -> Option<PairId> {
        let host = self.host_at(generation, path.local)?;
        let known = self.remote_at(generation, path.remote);
        let remote = known.or_else(|| self.add_peer_reflexive(generation, path.remote, priority))?;
        self.add_pair(host, remote)
    }

    fn on_response(&mut self, now: Instant, path: Path, message: &Message<'_>) {
        let id = message.transaction_id();
        let asked = |(pair_id, pair): (PairId, &Pair)| {
            Some((pair_id, pair.path, pair.generation, pair.answered(id)?))
        };
        let Some((pair_id, asked_on, generation, answered)) = self.checklist.iter().find_map(asked) else {
            return drop_one(&mut self.stats.dropped_unknown_transaction);
        };
        if asked_on != path {
            return drop_one(&mut self.stats.dropped_asymmetric);
        }
        if message.fingerprint() == Fingerprint::Bad {
            return drop_one(&mut self.stats.dropped_fingerprint);
        }
        let Some(remote) = self.generations.get(generation).and_then(Generation::remote) else { return };
        if message.verify(&remote.key).is_err() {
            return drop_one(&mut self.stats.dropped_response_integrity);
        }
        if message.unknown_required(KNOWN).next().is_some() {
            return drop_one(&mut self.stats.dropped_unknown_attributes);
        }
        if message.class() == Class::Error {
            let Ok(Some(error)) = message.get::<ErrorCode<'_>>() else {
                return drop_one(&mut self.stats.dropped_malformed);
            };
            return self.on_error(pair_id, answered, id, error.code);
        }
        let Ok(Some(XorMappedAddress(mapped))) = message.get() else {
            return drop_one(&mut self.stats.dropped_malformed);
        };
        self.stats.responses_received = self.stats.responses_received.saturating_add(1);
        match answered {
            Answered::Check => self.on_success(now, pair_id, id, mapped),
            Answered::Consent => self.on_consent(now, pair_id, id),
        }
    }

    fn on_consent(&mut self, now: Instant, pair_id: PairId, id: TransactionId) {
        let Some(pair) = self.checklist.get_mut(pair_id) else { return };
        pair.counters.responses_received = pair.counters.responses_received.saturating_add(1);
        if let Some(rtt) = pair.valid_mut().and_then(|valid| valid.consent.answered(now, id)) {
            pair.counters.measured(rtt);
        }
    }

    /// A check succeeded (RFC 8445 section 7.2.5.3).
    fn on_success(&mut self, now: Instant, pair_id: PairId, id: TransactionId, mapped: SocketAddr) {
        let Some(pair) = self.checklist.get_mut(pair_id) else { return };
        pair.counters.responses_received = pair.counters.responses_received.saturating_add(1);
        let Some(check) = pair.take_check(id) else { return };
        if let Some(rtt) = check.transaction.rtt(now) {
            pair.counters.measured(rtt);
        }
        let (host, path, wish) = (pair.local, pair.path, pair.wish);
        let fresh = pair.valid().is_none();
        if let Some(valid) = pair.valid_mut() {
            valid.consent.refreshed(now, check.started);
        } else {
            let mapped = self.mapped_local(host, plain(mapped), check.priority);
            let consent = Consent::new(now, &mut self.rng);
            self.make_valid(pair_id, Valid { mapped, consent, recheck: None, nominated: false });
            self.add_route(path);
        }
        let nominated = match self.role {
            Role::Controlling => check.nominates() && check.role == Role::Controlling,
            Role::Controlled => wish == Wish::Nominate,
        };
        if nominated {
            self.on_nominated(pair_id);
        }
        if fresh {
            self.doubt_selected(pair_id);
        }
    }

    pub(crate) fn make_valid(&mut self, id: PairId, valid: Valid) {
        let Some(pair) = self.checklist.get_mut(id) else { return };
        // A newer check may be under way; its answer still counts.
        pair.restart();
        pair.status = Status::Succeeded(valid);
        self.checklist.untrigger(id);
        self.unfreeze_mates(id);
        self.reprioritise();
    }

    /// A new pair became valid after the end of the checks: the other side may have moved, so ask whether the
    /// selected pair still answers.
    fn doubt_selected(&mut self, fresh: PairId) {
        let Some(id) = self.selected.filter(|id| *id != fresh) else { return };
        let Some(generation) = self.checklist.get(fresh).map(|pair| pair.generation) else { return };
        let same = self.checklist.get(id).filter(|pair| pair.generation == generation);
        let nominated = same.filter(|pair| pair.is_nominated());
        if nominated.is_some_and(|pair| pair.check().is_none()) {
            self.checklist.trigger(id);
        }
    }

    /// An authenticated error answer (RFC 8445 section 7.2.5.1 and 7.2.5.2.4, RFC 7675 section 5.2).
    fn on_error(&mut self, pair_id: PairId, answered: Answered, id: TransactionId, code: u16) {
        let Some(pair) = self.checklist.get_mut(pair_id) else { return };
        if code == FORBIDDEN && pair.valid().is_some() {
            return self.end_pair(pair_id, Status::Revoked);
        }
        pair.refused |= code != ErrorCode::ROLE_CONFLICT;
        if answered == Answered::Consent {
            return;
        }
        if code != ErrorCode::ROLE_CONFLICT && pair.valid().is_some() && !self.has_other_valid(pair_id) {
            // There is nothing better to turn to: the check goes on being repeated, and consent decides.
            return;
        }
        let Some(check) = self.checklist.get_mut(pair_id).and_then(|pair| pair.take_check(id)) else {
            return;
        };
        if code != ErrorCode::ROLE_CONFLICT {
            return self.on_check_failed(pair_id, &check);
        }
        if check.role == self.role {
            self.switch_role(check.role.other());
            self.tiebreaker = self.rng.u64();
        }
        if let Some(pair) = self.checklist.get_mut(pair_id).filter(|pair| pair.valid().is_none()) {
            pair.restart();
        }
        self.checklist.trigger(pair_id);
    }

    fn on_check_failed(&mut self, id: PairId, check: &Check) {
        let Some(pair) = self.checklist.get(id) else { return };
        match &pair.status {
            Status::Succeeded(_) if check.nominates() => self.on_nomination_failed(id),
            // A pair that a newer check is under way on, or that consent will decide about.
            Status::InProgress(_) | Status::Succeeded(_) => {}
            _ => self.end_pair(id, Status::Failed),
        }
    }

    /// True once checks can be made.
    pub(crate) fn can_check(&self) -> bool {
        !self.config.lite
            && !self.state.is_final()
            && self.generations.iter().any(|generation| generation.remote().is_some())
    }

    /// The pair to start a check on.
    pub(crate) fn next_pair(&self) -> Option<PairId> {
        let known =
            |pair: &Pair| self.generations.get(pair.generation).and_then(Generation::remote).is_some();
        let current = self.generations.current().id;
        self.checklist.next(current, |pair| known(pair) && !self.blocked.contains(&pair.path))
    }

    /// Writes the oldest answer whose path is not blocked.
    pub(crate) fn poll_answer(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        loop {
            let at = self.answers.iter().position(|answer| !self.blocked.contains(&answer.path))?;
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

    /// Writes a repetition, a consent request, or a new check, whichever is due.
    pub(crate) fn poll_check(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if !self.can_check() {
            return None;
        }
        loop {
            if let Some(transmit) = self.poll_due_check(now, out).or_else(|| self.poll_consent(now, out)) {
                return Some(transmit);
            }
            let id = self.next_pair()?;
            if !self.pacer.take(now) {
                return None;
            }
            self.start_check(now, id);
        }
    }

    fn poll_due_check(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        loop {
            let due = |(id, pair): (PairId, &Pair)| {
                let check = pair.check()?;
                let due = check.transaction.timeout() <= now && !self.blocked.contains(&pair.path);
                due.then_some(id)
            };
            let id = self.checklist.iter().find_map(due)?;
            let pair = self.checklist.get_mut(id)?;
            let (path, generation) = (pair.path, pair.generation);
            let check = pair.check_mut()?;
            match check.transaction.poll(now) {
                Step::Wait => return None,
                Step::Send => {
                    let check = check.clone();
                    let len = self.write_request(generation, &check, out)?;
                    self.stats.requests_sent = self.stats.requests_sent.saturating_add(1);
                    return Some(Transmit::single(path, len));
                }
                Step::TimedOut => {
                    let transaction = check.transaction.id();
                    self.unsettled = true;
                    if let Some(check) = pair.take_check(transaction) {
                        self.on_check_failed(id, &check);
                    }
                }
            }
        }
    }

    fn poll_consent(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let id = self.selected?;
        let (role, priority) = (self.role, self.check_priority(id)?);
        let cause = self.consent_cause(id);
        let pair = self.checklist.get_mut(id)?;
        let (path, generation) = (pair.path, pair.generation);
        let valid = pair.valid_mut()?;
        if valid.consent.next() > now || self.blocked.contains(&path) {
            return None;
        }
        let transaction = TransactionId::random(&mut self.rng);
        valid.consent.ask(now, transaction, &mut self.rng);
        pair.counters.consent_requests_sent = pair.counters.consent_requests_sent.saturating_add(1);
        self.stats.consent_requests_sent = self.stats.consent_requests_sent.saturating_add(1);
        let transaction = Transaction::new(now, transaction, Retransmission::default());
        let check = Check { transaction, cause, role, priority, started: now };
        self.write_request(generation, &check, out).map(|len| Transmit::single(path, len))
    }

    /// A lite agent that sees us come from elsewhere, because a NAT has changed its mapping, follows only what is nominated.
    fn consent_cause(&self, id: PairId) -> Cause {
        let nominated = self.checklist.get(id).filter(|pair| pair.is_nominated());
        let generation = nominated.and_then(|pair| self.generations.get(pair.generation));
        let lite = generation.is_some_and(|generation| generation.remote_lite);
        if lite && self.role == Role::Controlling { Cause::Nomination } else { Cause::Ordinary }
    }

    /// Starts a check on a pair; the request itself is written when its transaction says so, which is now.
    fn start_check(&mut self, now: Instant, id: PairId) {
        let (triggered, policy) = (self.checklist.is_triggered(id), self.check_policy());
        self.checklist.untrigger(id);
        let Some(priority) = self.check_priority(id) else { return };
        let (role, nominating) = (self.role, self.nominates(id));
        let transaction = TransactionId::random(&mut self.rng);
        let Some(pair) = self.checklist.get_mut(id) else { return };
        if matches!(pair.status, Status::Failed | Status::Revoked) {
            return;
        }
        let cause = match (nominating, triggered) {
            (true, _) => Cause::Nomination,
            (false, true) => Cause::Triggered,
            (false, false) => Cause::Ordinary,
        };
        let policy = match pair.valid() {
            // Data flows already; what is asked here is settled within 5.5 s.
            Some(_) => self.config.check_retransmission.with_transmissions(4).with_last_wait(4),
            None => policy,
        };
        let transaction = Transaction::new(now, transaction, policy);
        pair.counters.requests_sent = pair.counters.requests_sent.saturating_add(1);
        pair.start(Check { transaction, cause, role, priority, started: now });
    }

    /// How a check is repeated: with few pairs under way more often than configured, as long as all of them
    /// together keep to the pace (what RFC 8445 section 14.3 is after), and for the same time in all.
    fn check_policy(&self) -> Retransmission {
        let policy = self.config.check_retransmission;
        let hopeful = self.checklist.iter().filter(|(_, pair)| pair.is_hopeful()).count();
        let paced = self.config.pace.saturating_mul(u32::try_from(hopeful).unwrap_or(u32::MAX));
        let interval =
            paced.clamp(policy.rto, policy.max_interval.max(policy.rto)).max(Duration::from_millis(1));
        let times = policy.span().as_millis().div_ceil(interval.as_millis());
        let transmissions = u32::try_from(times).unwrap_or(u32::MAX).saturating_add(1);
        policy.with_max_interval(interval).with_transmissions(transmissions)
    }

    /// What PRIORITY says: that of a peer-reflexive candidate with this base (RFC 8445 section 7.1.1).
    fn check_priority(&self, id: PairId) -> Option<u32> {
        let local = self.checklist.get(id)?.path.local;
        Some(priority(CandidateKind::PeerReflexive, self.base_of(local)?.preference))
    }

    fn write_request(&self, generation: GenerationId, check: &Check, out: &mut Vec<u8>) -> Option<usize> {
        let remote = self.generations.get(generation)?.remote()?;
        let builder = Builder::new(out, Class::Request, Method::BINDING, check.transaction.id())
            .push(&Username::new(&remote.username))
            .push(&Priority(check.priority));
        let builder = match check.role {
            Role::Controlling => builder.push(&IceControlling(self.tiebreaker)),
            Role::Controlled => builder.push(&IceControlled(self.tiebreaker)),
        };
        let builder = if check.nominates() { builder.push(&UseCandidate) } else { builder };
        builder.integrity(&remote.key, Algorithm::Sha1).fingerprint().finish()
    }

    /// True if a datagram from there can be what it seems.
    pub(crate) fn is_possible_source(&mut self, remote: SocketAddr) -> bool {
        let possible = may_send_to(remote);
        if !possible {
            drop_one(&mut self.stats.dropped_bad_source);
        }
        possible
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

fn drop_one(counter: &mut u64) {
    *counter = counter.saturating_add(1);
    tracing::trace!("datagram dropped");
}
