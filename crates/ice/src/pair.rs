//! A candidate pair: its state and the checks under way on it (RFC 8445 section 6.1.2.6).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use taut_sansio::net::Path;
use taut_stun::{Transaction, TransactionId};

use crate::agent::{LocalId, RemoteId};
use crate::config::Role;
use crate::consent::Consent;
use crate::generation::GenerationId;
use crate::stats::PairState;
use crate::tcp::Opens;

/// How many cancelled checks are still waited for (RFC 8445 section 7.3.1.4); the oldest is forgotten.
pub(crate) const MAX_CANCELLED: usize = 8;

/// A triggered check is not cancelled by the next incoming check until it is this old: half of the smallest RTO.
const RETRIGGER_AFTER: Duration = Duration::from_millis(250);

/// Names a pair for the life of the agent; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PairId(pub(crate) u32);

/// Why a check was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It was the pair's turn.
    Ordinary,
    /// The other side checked the pair.
    Triggered,
    /// To nominate.
    Nomination,
}

/// One check under way.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) transaction: Transaction,
    pub(crate) cause: Cause,
    /// The role that the request claims.
    pub(crate) role: Role,
    /// What decides if both sides claim it. A repetition says the same, whatever a role conflict has changed since.
    pub(crate) tiebreaker: u64,
    /// The priority that a peer-reflexive candidate learned from it has.
    pub(crate) priority: u32,
    pub(crate) started: Instant,
}

impl Check {
    pub(crate) fn nominates(&self) -> bool {
        self.cause == Cause::Nomination
    }
}

/// What a valid pair has.
#[derive(Debug)]
pub(crate) struct Valid {
    /// The local candidate as the other side sees it.
    pub(crate) mapped: LocalId,
    pub(crate) consent: Consent,
    /// A further check: to nominate, or because doubts arose.
    pub(crate) recheck: Option<Check>,
    pub(crate) nominated: bool,
}

impl Valid {
    /// Since when a request has not been answered.
    pub(crate) fn unanswered_since(&self) -> Option<Instant> {
        let recheck = self.recheck.as_ref().filter(|check| check.transaction.transmissions() > 0);
        taut_sansio::time::earliest(self.consent.unanswered_since(), recheck.map(|check| check.started))
    }
}

#[derive(Debug)]
pub(crate) enum Status {
    Frozen,
    Waiting,
    InProgress(Check),
    Succeeded(Valid),
    Failed,
    /// Consent lapsed or was taken back: never used again with these credentials (RFC 7675 section 5.1).
    Revoked,
    /// Another connection has the path: what comes on it could not be told apart.
    Taken,
}

/// What an incoming request asks for beyond an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Nothing,
    /// USE-CANDIDATE: nominate when valid.
    Nominate,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counters {
    pub(crate) requests_sent: u64,
    pub(crate) requests_received: u64,
    pub(crate) responses_sent: u64,
    pub(crate) responses_received: u64,
    pub(crate) consent_requests_sent: u64,
    pub(crate) current_rtt: Option<Duration>,
    pub(crate) total_rtt: Duration,
    pub(crate) rtt_measurements: u64,
}

impl Counters {
    pub(crate) fn measured(&mut self, rtt: Duration) {
        self.current_rtt = Some(rtt);
        self.total_rtt = self.total_rtt.saturating_add(rtt);
        self.rtt_measurements = self.rtt_measurements.saturating_add(1);
    }
}

#[derive(Debug)]
pub(crate) struct Pair {
    /// That of its candidates.
    pub(crate) generation: GenerationId,
    /// The base that checks leave from.
    pub(crate) local: LocalId,
    pub(crate) remote: RemoteId,
    pub(crate) path: Path,
    pub(crate) priority: u64,
    pub(crate) status: Status,
    /// Checks that a newer one took the place of; their answers still count.
    pub(crate) cancelled: VecDeque<Check>,
    /// A check with valid integrity came in on it.
    pub(crate) authenticated: bool,
    /// When the last one came.
    pub(crate) asked: Option<Instant>,
    /// A check of ours was answered with an error that is none of roles.
    pub(crate) refused: bool,
    /// What the other side asked for before the pair was valid.
    pub(crate) wish: Wish,
    pub(crate) counters: Counters,
    /// How often the connection of a pair over TCP may still be opened.
    pub(crate) opens: Opens,
}

/// Which request an answer is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    Check,
    Consent,
}

impl Pair {
    pub(crate) fn new(
        generation: GenerationId,
        (local, remote): (LocalId, RemoteId),
        path: Path,
        priority: u64,
        status: Status,
    ) -> Self {
        Self {
            generation,
            local,
            remote,
            path,
            priority,
            status,
            cancelled: VecDeque::new(),
            authenticated: false,
            asked: None,
            refused: false,
            wish: Wish::Nothing,
            counters: Counters::default(),
            opens: Opens::default(),
        }
    }

    pub(crate) fn state(&self) -> PairState {
        match &self.status {
            Status::Frozen => PairState::Frozen,
            Status::Waiting => PairState::Waiting,
            Status::InProgress(_) => PairState::InProgress,
            Status::Succeeded(_) => PairState::Succeeded,
            Status::Failed | Status::Revoked | Status::Taken => PairState::Failed,
        }
    }

    /// True if a check may still make it valid.
    pub(crate) fn is_hopeful(&self) -> bool {
        matches!(self.status, Status::Frozen | Status::Waiting | Status::InProgress(_))
    }

    pub(crate) fn valid(&self) -> Option<&Valid> {
        match &self.status {
            Status::Succeeded(valid) => Some(valid),
            _ => None,
        }
    }

    pub(crate) fn valid_mut(&mut self) -> Option<&mut Valid> {
        match &mut self.status {
            Status::Succeeded(valid) => Some(valid),
            _ => None,
        }
    }

    pub(crate) fn is_nominated(&self) -> bool {
        self.valid().is_some_and(|valid| valid.nominated)
    }

    /// The check that is being repeated until answered.
    pub(crate) fn check_mut(&mut self) -> Option<&mut Check> {
        match &mut self.status {
            Status::InProgress(check) => Some(check),
            Status::Succeeded(valid) => valid.recheck.as_mut(),
            _ => None,
        }
    }

    pub(crate) fn check(&self) -> Option<&Check> {
        match &self.status {
            Status::InProgress(check) => Some(check),
            Status::Succeeded(valid) => valid.recheck.as_ref(),
            _ => None,
        }
    }

    /// Puts `check` under way; the one before goes on being waited for.
    pub(crate) fn start(&mut self, check: Check) {
        let before = match &mut self.status {
            Status::Succeeded(valid) => valid.recheck.replace(check),
            status => match std::mem::replace(status, Status::InProgress(check)) {
                Status::InProgress(before) => Some(before),
                _ => None,
            },
        };
        self.cancel(before);
    }

    /// Sets a pair under check back to waiting, for a new check.
    pub(crate) fn restart(&mut self) {
        if let Status::InProgress(before) = std::mem::replace(&mut self.status, Status::Waiting) {
            self.cancel(Some(before));
        }
    }

    fn cancel(&mut self, check: Option<Check>) {
        let Some(check) = check else { return };
        if self.cancelled.len() >= MAX_CANCELLED {
            self.cancelled.pop_front();
        }
        self.cancelled.push_back(check);
    }

    /// True if an incoming check is to start a new one (RFC 8445 section 7.3.1.4).
    pub(crate) fn wants_trigger(&self, now: Instant) -> bool {
        match &self.status {
            Status::Frozen | Status::Waiting | Status::Failed => true,
            Status::InProgress(check) => {
                check.cause == Cause::Ordinary
                    || now.saturating_duration_since(check.started) >= RETRIGGER_AFTER
            }
            Status::Succeeded(_) | Status::Revoked | Status::Taken => false,
        }
    }

    /// Which of our requests has this id.
    pub(crate) fn answered(&self, id: TransactionId) -> Option<Answered> {
        let current = self.check().into_iter();
        if current.chain(&self.cancelled).any(|check| check.transaction.id() == id) {
            return Some(Answered::Check);
        }
        self.valid().filter(|valid| valid.consent.asked(id)).map(|_| Answered::Consent)
    }

    /// Takes out the check with this id.
    pub(crate) fn take_check(&mut self, id: TransactionId) -> Option<Check> {
        if let Some(at) = self.cancelled.iter().position(|check| check.transaction.id() == id) {
            return self.cancelled.remove(at);
        }
        if self.check()?.transaction.id() != id {
            return None;
        }
        match &mut self.status {
            Status::Succeeded(valid) => valid.recheck.take(),
            status => match std::mem::replace(status, Status::Waiting) {
                Status::InProgress(check) => Some(check),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]
mod tests {
    use taut_sansio::rng::Rng;
    use taut_stun::Retransmission;

    use super::*;
    use crate::config::Policy;
    use crate::generation::Generations;

    /// Each check of the other side cancels ours and starts another.
    #[test]
    fn eight_cancelled_checks_are_waited_for() {
        let now = Instant::now();
        let path = Path::udp("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap());
        let generation = Generations::new(&mut Rng::from_u64(1), Policy::All).current().id;
        let ends = (LocalId::next(&mut 0), RemoteId::next(&mut 0));
        let mut pair = Pair::new(generation, ends, path, 1, Status::Waiting);
        let id = |number: u8| TransactionId([number; 12]);
        for number in 0..100 {
            let transaction = Transaction::new(now, id(number), Retransmission::default());
            let (cause, role) = (Cause::Triggered, Role::Controlling);
            pair.start(Check { transaction, cause, role, tiebreaker: 1, priority: 1, started: now });
        }
        let waited_for: Vec<u8> =
            (0..100).filter(|number| pair.answered(id(*number)) == Some(Answered::Check)).collect();
        assert_eq!(waited_for, (91..100).collect::<Vec<_>>(), "and the one under way");
    }
}
