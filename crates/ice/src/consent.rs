//! Consent freshness (RFC 7675): requests every 4 to 6 s on the pair in use, each sent once; 30 s after the last
//! answer consent lapses.
//!
//! A request that stays unanswered raises a doubt, and the doubt a connectivity check of the pair, which is repeated
//! as checks are. So a few lost datagrams neither end consent nor make the state flicker.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use taut_sansio::rng::Rng;
use taut_stun::TransactionId;

use crate::agent::Agent;
use crate::pair::{Pair, PairId, Status};

/// How many unanswered requests are remembered: those of 30 s, 4 s apart. Where consent lasts longer, the oldest is
/// forgotten.
const MAX_OUTSTANDING: usize = 8;

/// A pair whose request is unanswered for longer than this and three round trips gives way to one that answers.
const DOUBT_AFTER: Duration = Duration::from_millis(500);

/// The consent of one valid pair.
#[derive(Debug)]
pub(crate) struct Consent {
    /// When the last answer came.
    pub(crate) last_answer: Instant,
    /// When the next request is due, while the pair is in use.
    next: Instant,
    /// The requests without an answer, oldest first.
    outstanding: VecDeque<(TransactionId, Instant)>,
}

impl Consent {
    pub(crate) fn new(now: Instant, rng: &mut Rng) -> Self {
        let outstanding = VecDeque::new();
        Self { last_answer: now, next: now + interval(rng), outstanding }
    }

    pub(crate) fn asked(&self, id: TransactionId) -> bool {
        self.outstanding.iter().any(|(asked, _)| *asked == id)
    }

    pub(crate) fn unanswered_since(&self) -> Option<Instant> {
        self.outstanding.front().map(|(_, at)| *at)
    }

    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Starts a request; the next one is counted from now.
    pub(crate) fn ask(&mut self, now: Instant, id: TransactionId, rng: &mut Rng) {
        self.next = now + interval(rng);
        if self.outstanding.len() >= MAX_OUTSTANDING {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back((id, now));
    }

    /// An answer to the request `id` came; returns the time it took.
    pub(crate) fn answered(&mut self, now: Instant, id: TransactionId) -> Option<Duration> {
        let at = self.outstanding.iter().position(|(asked, _)| *asked == id)?;
        let started = self.outstanding.drain(..=at).next_back().map(|(_, at)| at);
        self.last_answer = now;
        started.map(|started| now.saturating_duration_since(started))
    }

    /// An answer to a check of the pair came: what was asked before it is settled.
    pub(crate) fn refreshed(&mut self, now: Instant, started: Instant) {
        self.last_answer = now;
        self.outstanding.retain(|(_, at)| *at > started);
    }
}

/// From 4 to 6 s (RFC 7675 section 5.1).
fn interval(rng: &mut Rng) -> Duration {
    Duration::from_millis(4_000 + u64::from(rng.below(2_001)))
}

impl Agent {
    /// When consent of a valid pair lapses.
    pub(crate) fn lapses(&self, pair: &Pair) -> Option<Instant> {
        pair.valid().and_then(|valid| valid.consent.last_answer.checked_add(self.config.consent_expiry))
    }

    /// When a pair becomes doubtful if nothing is answered, or, to a lite agent, if nothing is asked.
    pub(crate) fn doubted_at(&self, pair: &Pair) -> Option<Instant> {
        if self.config.lite {
            return self.overdue_at(pair)?.checked_add(DOUBT_AFTER);
        }
        let since = pair.valid()?.unanswered_since()?;
        let rtt = pair.counters.current_rtt.unwrap_or_default();
        since.checked_add(DOUBT_AFTER.max(rtt.saturating_mul(3)))
    }

    /// When the state becomes disconnected if the pair does not answer.
    pub(crate) fn disconnects_at(&self, pair: &Pair) -> Option<Instant> {
        if self.config.lite {
            return self.falls_silent_at(pair);
        }
        pair.valid()?.unanswered_since()?.checked_add(self.config.disconnected_after)
    }

    /// Checks the pair in use when it does not answer for consent, before another one may take its place.
    pub(crate) fn settle_doubts(&mut self, now: Instant) {
        if let Some(id) = self.selected {
            self.settle_doubt(now, id);
        }
    }

    /// Checks a valid pair that has not answered for long, unless a check is under way.
    pub(crate) fn settle_doubt(&mut self, now: Instant, id: PairId) {
        let Some(pair) = self.checklist.get(id).filter(|_| !self.config.lite) else { return };
        if pair.check().is_none() && self.doubted_at(pair).is_some_and(|at| at <= now) {
            self.checklist.trigger(id);
        }
    }

    /// Ends the pairs whose consent lapsed. The pair in use, on which it was asked for in vain, is not used again; one
    /// that lay idle may be checked anew.
    pub(crate) fn expire_consent(&mut self, now: Instant) {
        let lapsed: Vec<PairId> = self
            .checklist
            .iter()
            .filter(|(_, pair)| self.lapses(pair).is_some_and(|at| at <= now))
            .map(|(id, _)| id)
            .collect();
        for id in lapsed {
            self.end_pair(id, if self.selected == Some(id) { Status::Revoked } else { Status::Failed });
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]
mod tests {
    use super::*;

    #[test]
    fn the_last_eight_requests_are_remembered() {
        let (now, mut rng) = (Instant::now(), Rng::from_u64(1));
        let mut consent = Consent::new(now, &mut rng);
        let id = |number: u8| TransactionId([number; 12]);
        let at = |number: u8| now + Duration::from_secs(5) * u32::from(number);
        (0..100).for_each(|number| consent.ask(at(number), id(number), &mut rng));
        let remembered: Vec<u8> = (0..100).filter(|number| consent.asked(id(*number))).collect();
        assert_eq!(remembered, (92..100).collect::<Vec<_>>());
        assert_eq!(consent.unanswered_since(), Some(at(92)));
    }
}
