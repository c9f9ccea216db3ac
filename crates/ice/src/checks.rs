//! The connectivity checks that this agent makes (RFC 8445 section 7.2): requests out, answers in.
//!
//! Nothing has an effect before its integrity held: an answer needs a request of ours, the addresses of that request, and the
//! password of the other side.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use taut_sansio::net::{Path, Transmit, Transport};
use taut_stun::attribute::{
    ErrorCode, IceControlled, IceControlling, Priority, UseCandidate, Username, XorMappedAddress,
};
use taut_stun::{
    Algorithm, AttributeType, Builder, Class, Fingerprint, Message, Method, Retransmission, Step,
    Transaction, TransactionId,
};

use crate::addresses::{may_send_to, plain};
use crate::agent::Agent;
use crate::candidate::{CandidateKind, priority};
use crate::config::Role;
use crate::consent::Consent;
use crate::generation::{Generation, GenerationId};
use crate::pair::{Answered, Cause, Check, Pair, PairId, Status, Valid, Wish};
use crate::tcp::peer_reflexive_priority;

/// Consent is taken back (RFC 7675 section 5.2).
pub(crate) const FORBIDDEN: u16 = 403;

/// The comprehension-required attributes that are understood in checks and their answers.
pub(crate) const KNOWN: &[AttributeType] = &[
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
            self.generations.current_mut().strangers = true;
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
            let mapped = self.mapped_end(&path, host, plain(mapped), check.priority);
            let consent = Consent::new(now, &mut self.rng);
            self.make_valid(pair_id, Valid { mapped, consent, recheck: None, nominated: false });
            self.add_route(path);
        }
        let nominated = match self.role {
            Role::Controlling => check.nominates(),
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
        pair.opens.proved();
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
            // A newer check is about to begin.
            Status::Waiting if self.checklist.is_triggered(id) => {}
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
        self.checklist.next(current, |pair| known(pair) && self.may_begin(pair))
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
                let due = check.transaction.timeout() <= now && self.is_ready(&pair.path);
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
        let check = Check { transaction, cause, role, tiebreaker: self.tiebreaker, priority, started: now };
        self.write_request(generation, &check, out).map(|len| Transmit::single(path, len))
    }

    /// Says again what is nominated: the other side may have lost the pair meanwhile, or see us come from elsewhere because a NAT has
    /// changed its mapping, and a lite agent follows only what is nominated.
    fn consent_cause(&self, id: PairId) -> Cause {
        let nominated = self.checklist.get(id).is_some_and(Pair::is_nominated);
        if nominated && self.role == Role::Controlling { Cause::Nomination } else { Cause::Ordinary }
    }

    /// Starts a check on a pair; the request itself is written when its transaction says so, which is now.
    fn start_check(&mut self, now: Instant, id: PairId) {
        let (triggered, policy) = (self.checklist.is_triggered(id), self.check_policy());
        self.checklist.untrigger(id);
        let Some(priority) = self.check_priority(id) else { return };
        let (role, nominating) = (self.role, self.nominates(id));
        let transaction = TransactionId::random(&mut self.rng);
        let Some(pair) = self.checklist.get_mut(id) else { return };
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
        // A connection repeats what is lost itself (RFC 6544 section 7.1).
        let policy = if pair.path.transport == Transport::Udp { policy } else { once(policy) };
        let transaction = Transaction::new(now, transaction, policy);
        pair.counters.requests_sent = pair.counters.requests_sent.saturating_add(1);
        let tiebreaker = self.tiebreaker;
        pair.start(Check { transaction, cause, role, tiebreaker, priority, started: now });
        self.open_stream_for(now, id);
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
        let pair = self.checklist.get(id)?;
        if pair.path.transport != Transport::Udp {
            return self.locals.get(&pair.local).map(|local| peer_reflexive_priority(&local.candidate));
        }
        Some(priority(CandidateKind::PeerReflexive, self.base_of(pair.path.local)?.preference))
    }

    fn write_request(&self, generation: GenerationId, check: &Check, out: &mut Vec<u8>) -> Option<usize> {
        let remote = self.generations.get(generation)?.remote()?;
        let builder = Builder::new(out, Class::Request, Method::BINDING, check.transaction.id())
            .push(&Username::new(&remote.username))
            .push(&Priority(check.priority));
        let builder = match check.role {
            Role::Controlling => builder.push(&IceControlling(check.tiebreaker)),
            Role::Controlled => builder.push(&IceControlled(check.tiebreaker)),
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

/// The same time in all, with one transmission.
fn once(policy: Retransmission) -> Retransmission {
    let wait = policy.span().saturating_add(policy.rto.saturating_mul(policy.last_wait));
    let rtos = wait.as_millis().div_ceil(policy.rto.as_millis().max(1));
    policy.with_transmissions(1).with_last_wait(u32::try_from(rtos).unwrap_or(u32::MAX))
}

/// Counts a datagram that has no effect.
pub(crate) fn drop_one(counter: &mut u64) {
    *counter = counter.saturating_add(1);
    tracing::trace!("datagram dropped");
}
