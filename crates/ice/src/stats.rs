//! Counters, and what there is to know of pairs.

use std::time::Duration;

use taut_sansio::net::Path;

use crate::agent::Agent;
use crate::candidate::Candidate;
use crate::pair::{Pair, PairId};

/// What came in, went out, and was dropped for which reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Checks that were accepted.
    pub requests_received: u64,
    /// Checks sent, first transmissions and repetitions, without consent.
    pub requests_sent: u64,
    /// Consent requests sent.
    pub consent_requests_sent: u64,
    /// Answers accepted.
    pub responses_received: u64,
    /// Answers sent.
    pub responses_sent: u64,
    /// Dropped: not a STUN message, or an attribute is malformed or missing.
    pub dropped_malformed: u64,
    /// Dropped: FINGERPRINT does not hold.
    pub dropped_fingerprint: u64,
    /// Dropped: not a Binding message.
    pub dropped_method: u64,
    /// Binding indications. They have no effect and get no answer.
    pub indications: u64,
    /// Dropped: USERNAME is missing or not made of both ufrags.
    pub dropped_username: u64,
    /// Dropped: the integrity of a request is missing or wrong.
    pub dropped_request_integrity: u64,
    /// Dropped: the integrity of an answer is missing or wrong.
    pub dropped_response_integrity: u64,
    /// Dropped: an answer to no request of ours.
    pub dropped_unknown_transaction: u64,
    /// Dropped: an answer from elsewhere than where the request went, or to elsewhere.
    pub dropped_asymmetric: u64,
    /// Dropped: came to an address that is not ours.
    pub dropped_unknown_local: u64,
    /// Dropped: came to an address that the policy leaves unused.
    pub dropped_policy: u64,
    /// Dropped: came from an address that no single host has.
    pub dropped_bad_source: u64,
    /// Dropped: an answer with attributes that must be understood and are not.
    pub dropped_unknown_attributes: u64,
    /// Dropped: more requests than can be answered before the next poll.
    pub dropped_answers: u64,
    /// Dropped: checks before the remote credentials from more paths than are remembered.
    pub dropped_early_checks: u64,
    /// Remote candidates that were not kept, or were put out by better ones.
    pub dropped_remote_candidates: u64,
    /// Pairs that were not kept, or were put out by better ones.
    pub dropped_pairs: u64,
    /// Role conflicts that this agent found in a request.
    pub role_conflicts: u64,
    /// TCP connections that were asked for.
    pub tcp_opened: u64,
    /// TCP connections that were accepted.
    pub tcp_accepted: u64,
    /// TCP connections that were refused: one too many, or to where nobody listens.
    pub tcp_refused: u64,
    /// TCP connections that ended without this agent having ended them.
    pub tcp_lost: u64,
}

/// The state of a pair (RFC 8445 section 6.1.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PairState {
    /// To be checked when no other pair is waiting.
    Frozen,
    /// To be checked.
    Waiting,
    /// Being checked.
    InProgress,
    /// A check was answered.
    Succeeded,
    /// No check was answered, or consent lapsed.
    Failed,
}

/// The two candidates of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidatePair {
    /// Ours.
    pub local: Candidate,
    /// Theirs.
    pub remote: Candidate,
}

/// A pair and what happened on it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairStats {
    /// The candidates.
    pub pair: CandidatePair,
    /// The way that datagrams take.
    pub path: Path,
    /// The state.
    pub state: PairState,
    /// The priority (RFC 8445 section 6.1.2.3).
    pub priority: u64,
    /// Whether it was nominated.
    pub nominated: bool,
    /// Whether data goes this way.
    pub selected: bool,
    /// Checks sent on it, without repetitions and consent.
    pub requests_sent: u64,
    /// Checks accepted on it.
    pub requests_received: u64,
    /// Answers sent on it.
    pub responses_sent: u64,
    /// Answers accepted on it.
    pub responses_received: u64,
    /// Consent requests sent on it.
    pub consent_requests_sent: u64,
    /// The newest round-trip time.
    pub current_rtt: Option<Duration>,
    /// The sum of all measured round-trip times.
    pub total_rtt: Duration,
    /// How many were measured.
    pub rtt_measurements: u64,
}

impl Agent {
    /// The candidates of the pair that data takes.
    pub fn selected_pair(&self) -> Option<CandidatePair> {
        self.selected.and_then(|id| self.checklist.get(id)).and_then(|pair| self.candidates_of(pair))
    }

    /// The newest round-trip time on the selected pair.
    pub fn rtt(&self) -> Option<Duration> {
        self.selected.and_then(|id| self.checklist.get(id)).and_then(|pair| pair.counters.current_rtt)
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// All pairs and what was counted on them.
    pub fn pair_stats(&self) -> Vec<PairStats> {
        let stats = |(id, pair): (PairId, &Pair)| {
            let counters = pair.counters;
            Some(PairStats {
                pair: self.candidates_of(pair)?,
                path: pair.path,
                state: pair.state(),
                priority: pair.priority,
                nominated: pair.is_nominated(),
                selected: self.selected == Some(id),
                requests_sent: counters.requests_sent,
                requests_received: counters.requests_received,
                responses_sent: counters.responses_sent,
                responses_received: counters.responses_received,
                consent_requests_sent: counters.consent_requests_sent,
                current_rtt: counters.current_rtt,
                total_rtt: counters.total_rtt,
                rtt_measurements: counters.rtt_measurements,
            })
        };
        self.checklist.iter().filter_map(stats).collect()
    }

    fn candidates_of(&self, pair: &Pair) -> Option<CandidatePair> {
        let local = self.locals.get(&pair.valid().map_or(pair.local, |valid| valid.mapped))?;
        let remote = self.remotes.get(&pair.remote)?;
        Some(CandidatePair { local: local.candidate.clone(), remote: remote.candidate.clone() })
    }
}
