//! Nomination (RFC 8445 sections 7.2.5.3.4, 7.3.1.5 and 8.1): which valid pair carries the data.
//!
//! The controlling side nominates the best valid pair as soon as no better one can still succeed, or after a short
//! patience; and again when a better one becomes valid later, or when the nominated one stops answering and another one
//! answers. The controlled side follows, and takes the best of several pairs that an aggressive controlling
//! side nominates. Data needs no nomination, only a valid pair.

use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::config::Role;
use crate::pair::{Pair, PairId, Status, Wish};

/// What a patience beyond the range of the clock is cut to.
const A_DAY: Duration = Duration::from_secs(86_400);

/// A side that uses a pair asks for consent on it every 6 s at the latest (RFC 7675 section 5.1); two in a row may be lost.
const TURNED_AWAY_AFTER: Duration = Duration::from_secs(18);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nomination {
    /// Nothing to nominate, or done.
    Idle,
    /// A pair is valid, and a better one is hoped for until then.
    Patient(Instant),
    /// This pair is being nominated.
    Trying(PairId),
}

impl Agent {
    /// True if a check of this pair is to carry USE-CANDIDATE.
    pub(crate) fn nominates(&self, id: PairId) -> bool {
        self.role == Role::Controlling && self.generations.current().nomination == Nomination::Trying(id)
    }

    /// Goes one step on towards a nominated pair.
    pub(crate) fn advance_nomination(&mut self, now: Instant) {
        let nomination = self.generations.current().nomination;
        let next = self.next_nomination(now, nomination);
        self.generations.current_mut().nomination = next;
        if let Nomination::Trying(best) = next
            && next != nomination
        {
            self.checklist.trigger_first(best);
        }
    }

    fn next_nomination(&self, now: Instant, nomination: Nomination) -> Nomination {
        if self.role != Role::Controlling || !self.can_check() {
            return Nomination::Idle;
        }
        if let Nomination::Trying(id) = nomination
            && self.checklist.get(id).is_some_and(|pair| pair.valid().is_some() && !pair.is_nominated())
        {
            return nomination;
        }
        let Some((best, priority)) = self.best_valid(now) else { return Nomination::Idle };
        if self.checklist.get(best).is_some_and(Pair::is_nominated) {
            return Nomination::Idle;
        }
        let names = self.naming.is_busy();
        let mut pairs = self.checklist.of(self.generations.current().id);
        if names || pairs.any(|(_, pair)| pair.is_hopeful() && pair.priority > priority) {
            match nomination {
                Nomination::Patient(until) if until <= now => {}
                Nomination::Patient(_) => return nomination,
                Nomination::Idle | Nomination::Trying(_) => {
                    // A name is asked for after up to 120 ms; the address behind it is most often the best.
                    let patience = self.config.nomination_patience.saturating_mul(if names { 6 } else { 1 });
                    return Nomination::Patient(now.checked_add(patience).unwrap_or(now + A_DAY));
                }
            }
        }
        Nomination::Trying(best)
    }

    fn best_valid(&self, now: Instant) -> Option<(PairId, u64)> {
        let current = self.generations.current().id;
        let valid = self.checklist.of(current).filter(|(_, pair)| pair.valid().is_some());
        let sure = valid.filter(|(_, pair)| self.doubted_at(pair).is_none_or(|at| at > now));
        sure.map(|(id, pair)| (id, pair.priority)).max_by_key(|(_, priority)| *priority)
    }

    /// True if the current generation has a nominated pair.
    pub(crate) fn has_nominated(&self) -> bool {
        self.checklist.of(self.generations.current().id).any(|(_, pair)| pair.is_nominated())
    }

    /// The controlling side asked for this pair.
    pub(crate) fn on_use_candidate(&mut self, now: Instant, id: PairId) {
        let Some(pair) = self.checklist.get_mut(id) else { return };
        pair.wish = Wish::Nominate;
        let Some(valid) = pair.valid() else { return };
        // A pair that lay idle is asked at once whether it still answers.
        let idle = now.saturating_duration_since(valid.consent.last_answer) > self.config.disconnected_after;
        let unasked = valid.recheck.is_none();
        self.on_nominated(id);
        if idle && unasked && self.selected != Some(id) {
            self.checklist.trigger(id);
        }
    }

    /// A pair is nominated: the checks are over (RFC 8445 section 8.1.2), but for those that were asked for.
    pub(crate) fn on_nominated(&mut self, id: PairId) {
        let Some(pair) = self.checklist.get_mut(id) else { return };
        let of = pair.generation;
        match pair.valid_mut() {
            Some(valid) if !valid.nominated => valid.nominated = true,
            _ => return,
        }
        if let Some(generation) = self.generations.get_mut(of) {
            generation.nomination = Nomination::Idle;
            generation.concluded = true;
        }
        let over = |pair: &Pair| match pair.status {
            Status::Frozen | Status::Waiting | Status::InProgress(_) => pair.wish == Wish::Nothing,
            Status::Failed => true,
            Status::Succeeded(_) | Status::Revoked | Status::Taken => false,
        };
        let ids: Vec<PairId> =
            self.checklist.of(of).filter(|(_, pair)| over(pair)).map(|(id, _)| id).collect();
        for id in ids {
            self.remove_pair(id);
        }
        if of == self.generations.current().id {
            self.stop_keepalives();
        }
    }

    /// The check that was to nominate a pair failed: try another one, or the same again.
    pub(crate) fn on_nomination_failed(&mut self, id: PairId) {
        let generation = self.generations.current_mut();
        if generation.nomination == Nomination::Trying(id) {
            generation.nomination = Nomination::Idle;
        }
        if self.has_other_valid(id) {
            self.end_pair(id, Status::Failed);
        }
    }

    /// True if another pair of its generation is valid.
    pub(crate) fn has_other_valid(&self, id: PairId) -> bool {
        let Some(generation) = self.checklist.get(id).map(|pair| pair.generation) else { return false };
        self.checklist.of(generation).any(|(other, pair)| other != id && pair.valid().is_some())
    }

    /// The pair that data takes: while a restart goes on that of the generation before, as long as it answers.
    pub(crate) fn choose(&self, now: Instant) -> Option<PairId> {
        let current = self.generations.current().id;
        let new = self.choose_among(now, |pair| pair.generation == current);
        let old = self.choose_among(now, |pair| pair.generation != current);
        let (Some(new), Some(old)) = (new, old) else { return new.or(old) };
        let nominated = self.checklist.get(new).is_some_and(Pair::is_nominated);
        let doubted = self.checklist.get(old).and_then(|pair| self.doubted_at(pair));
        Some(if nominated || doubted.is_some_and(|at| at <= now) { new } else { old })
    }

    /// The best nominated pair of those `among` holds for, else the best valid one; but not one that stopped answering
    /// while another one answers, and, on the controlled side, not one that the other side has turned away from.
    fn choose_among(&self, now: Instant, among: impl Fn(&Pair) -> bool) -> Option<PairId> {
        let wanted = |pair: &Pair| {
            self.role == Role::Controlling
                || pair.asked.is_some_and(|at| now.saturating_duration_since(at) <= TURNED_AWAY_AFTER)
        };
        let rank = |pair: &Pair| (pair.is_nominated(), wanted(pair), pair.priority);
        let valid = || self.checklist.iter().filter(|(_, pair)| pair.valid().is_some() && among(pair));
        let (best, pair) = valid().max_by_key(|(_, pair)| rank(pair))?;
        let heard = pair.valid().map(|valid| valid.consent.last_answer);
        if self.doubted_at(pair).is_none_or(|at| at > now) {
            return Some(best);
        }
        let answers = |pair: &Pair| {
            pair.valid().is_some_and(|valid| Some(valid.consent.last_answer) > heard)
                && self.doubted_at(pair).is_none_or(|at| at > now)
        };
        let other = valid().filter(|(_, pair)| answers(pair)).max_by_key(|(_, pair)| rank(pair));
        Some(other.map_or(best, |(other, _)| other))
    }
}
