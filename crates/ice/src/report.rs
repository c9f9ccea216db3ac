//! A report for people: every pair, what was sent and heard on it, and in one line why there is no connection, or that there is one.

use std::fmt;

use taut_sansio::net::Transport;

use crate::agent::Agent;
use crate::candidate::Candidate;
use crate::config::Role;
use crate::event::State;
use crate::generation::GenerationId;
use crate::pair::{Pair, Status};
use crate::stats::{PairState, PairStats, Stats};

/// How many errors of servers are kept; the oldest go first.
pub(crate) const MAX_SERVER_ERRORS: usize = 16;

/// No answer at all (webrtc-pc section 4.8.2).
pub(crate) const UNREACHABLE: u16 = 701;

/// What a TURN server says to somebody that it does not know (RFC 8489 section 14.8, RFC 8656 section 19).
const UNAUTHENTICATED: u16 = 401;
const STALE_NONCE: u16 = 438;
const WRONG_CREDENTIALS: u16 = 441;

/// What a server could not do for us.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerError {
    /// The URL of the server.
    pub url: String,
    /// The code of its answer, or 701 where there was none.
    pub code: u16,
    /// The reason.
    pub text: String,
}

/// In one word how it stands; its `Display` is the one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// Data flows.
    Connected,
    /// The agent was closed.
    Closed,
    /// No remote credentials were set.
    NotSignalled,
    /// There is no local address, or none any more.
    NoLocalAddress,
    /// Consent lapsed or was taken back on the pair in use.
    ConsentLost,
    /// The pair in use does not answer at the moment.
    Silent,
    /// No candidate of the other side is known, and none of its checks has come.
    NoRemoteCandidates,
    /// No local candidate can reach a remote one: other families, or loopback on one side.
    NothingInCommon,
    /// Checks or answers came with other credentials than those that were signalled.
    WrongCredentials,
    /// Checks of the other side come in, and ours are not answered.
    OneWay,
    /// Every check was answered with an error.
    Refused,
    /// Another connection has the path between the same two sockets, and there is no other path.
    PathTaken,
    /// Nothing was answered, and nothing came.
    NoAnswer,
    /// No other path works, and no TURN server answered.
    RelayUnanswered,
    /// No other path works, and the TURN server does not accept the credentials.
    RelayCredentials,
    /// No other path works, and the TURN server refuses to relay, for instance because a quota is used up.
    RelayRefused,
    /// Checks are under way.
    Checking,
    /// A lite agent waits for the other side to check and to nominate.
    WaitingForNomination,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connected => "connected",
            Self::Closed => "closed",
            Self::NotSignalled => "the credentials of the other side are not known",
            Self::NoLocalAddress => "there is no local address",
            Self::ConsentLost => "consent lost: the other side stopped answering on the pair in use",
            Self::Silent => "the pair in use does not answer at the moment",
            Self::NoRemoteCandidates => "the other side sent no candidates that can be used, and no checks",
            Self::NothingInCommon => "no local candidate can reach a remote one",
            Self::WrongCredentials => "checks came with credentials that were not signalled",
            Self::OneWay => "checks of the other side arrive, and ours are not answered",
            Self::Refused => "the other side answers all checks with errors",
            Self::PathTaken => {
                "another connection has the path between the same two sockets, and there is no other"
            }
            Self::NoAnswer => "no check was answered, and none came",
            Self::RelayUnanswered => "no answer from the TURN server, and no other path",
            Self::RelayCredentials => "the TURN server refuses the credentials, and there is no other path",
            Self::RelayRefused => "the TURN server refuses to relay, and there is no other path",
            Self::Checking => "checks are under way",
            Self::WaitingForNomination => "waiting for the other side to nominate a pair",
        })
    }
}

/// A pair in a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairReport {
    /// What was counted on it.
    pub stats: PairStats,
    /// Consent was lost on it: it is not used again with these credentials.
    pub consent_lost: bool,
    /// Another connection has its path.
    pub taken: bool,
    /// Whether it belongs to a generation before the last restart.
    pub superseded: bool,
}

/// How it stands with an agent; its `Display` is a text of some lines, the verdict in the first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The state.
    pub state: State,
    /// The role.
    pub role: Role,
    /// Why there is no connection, or that there is one.
    pub verdict: Verdict,
    /// The local candidates of the current generation.
    pub local: Vec<Candidate>,
    /// The remote candidates of the current generation.
    pub remote: Vec<Candidate>,
    /// Every pair.
    pub pairs: Vec<PairReport>,
    /// Servers that could not be used for gathering, the newest last.
    pub server_errors: Vec<ServerError>,
    /// What came in, went out, and was dropped for which reason.
    pub stats: Stats,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ICE {:?} ({:?}): {}", self.state, self.role, self.verdict)?;
        for error in &self.server_errors {
            writeln!(f, "  server {}: {} {}", error.url, error.code, error.text)?;
        }
        for (side, candidates) in [("local", &self.local), ("remote", &self.remote)] {
            if candidates.is_empty() {
                writeln!(f, "  no {side} candidate")?;
            }
            for candidate in candidates {
                writeln!(f, "  {side} {candidate}")?;
            }
        }
        for pair in &self.pairs {
            write!(f, "  {pair}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = &self.stats;
        let state = match (self.consent_lost, stats.state) {
            (true, _) => "consent lost",
            _ if self.taken => "taken by another connection",
            (_, PairState::Frozen) => "frozen",
            (_, PairState::Waiting) => "waiting",
            (_, PairState::InProgress) => "in progress",
            (_, PairState::Succeeded) => "succeeded",
            (_, PairState::Failed) => "failed",
        };
        let over = if stats.path.transport == Transport::Tcp { "tcp " } else { "" };
        write!(f, "{over}{} -> {} {state}", stats.path.local, stats.path.remote)?;
        let marks =
            [(stats.nominated, "nominated"), (stats.selected, "in use"), (self.superseded, "superseded")];
        for (_, mark) in marks.iter().filter(|(holds, _)| *holds) {
            write!(f, ", {mark}")?;
        }
        writeln!(
            f,
            "; checks sent {}, answers heard {}, checks heard {}, consent asked {}, round trip {:?}",
            stats.requests_sent,
            stats.responses_received,
            stats.requests_received,
            stats.consent_requests_sent,
            stats.current_rtt.unwrap_or_default()
        )
    }
}

impl Agent {
    /// How it stands, and why: for a log, or a person.
    pub fn report(&self) -> Report {
        let current = self.generations.current().id;
        let reports = self.checklist.iter().zip(self.pair_stats()).map(|((_, pair), stats)| PairReport {
            stats,
            consent_lost: matches!(pair.status, Status::Revoked),
            taken: matches!(pair.status, Status::Taken),
            superseded: pair.generation != current,
        });
        let locals = self.locals.values().filter(|local| local.generation == current && local.announced);
        let remotes = self.remotes.values().filter(|remote| remote.generation == current);
        Report {
            state: self.state,
            role: self.role,
            verdict: self.verdict(current),
            local: locals.map(|local| local.candidate.clone()).collect(),
            remote: remotes.map(|remote| remote.candidate.clone()).collect(),
            pairs: reports.collect(),
            server_errors: self.server_errors.iter().cloned().collect(),
            stats: self.stats,
        }
    }

    fn verdict(&self, current: GenerationId) -> Verdict {
        let generation = self.generations.current();
        let any = |holds: fn(&Pair) -> bool| self.checklist.of(current).any(|(_, pair)| holds(pair));
        match self.state {
            State::Closed => return Verdict::Closed,
            State::Connected | State::Completed => return Verdict::Connected,
            _ if self.selected.is_some() => return Verdict::Silent,
            _ if generation.remote().is_none() => return Verdict::NotSignalled,
            _ => {}
        }
        if self.bases.is_empty() && self.tcp.bases.is_empty() {
            return Verdict::NoLocalAddress;
        }
        if any(|pair| matches!(pair.status, Status::Revoked)) {
            return Verdict::ConsentLost;
        }
        if self.checklist.of(current).next().is_none() {
            return self.verdict_without_pairs(current);
        }
        if self.config.lite {
            return Verdict::WaitingForNomination;
        }
        let failed = self.state == State::Failed;
        if !failed && any(Pair::is_hopeful) {
            return Verdict::Checking;
        }
        if any(|pair| matches!(pair.status, Status::Taken)) {
            return Verdict::PathTaken;
        }
        let answered = any(|pair| pair.counters.responses_received > 0);
        match () {
            () if any(|pair| pair.refused) && !answered => Verdict::Refused,
            () if any(|pair| pair.asked.is_some()) => Verdict::OneWay,
            () if generation.strangers => Verdict::WrongCredentials,
            () => self.verdict_of_relays().unwrap_or(Verdict::NoAnswer),
        }
    }

    fn verdict_without_pairs(&self, current: GenerationId) -> Verdict {
        if self.generations.current().strangers {
            Verdict::WrongCredentials
        } else if self.remotes.values().any(|remote| remote.generation == current) {
            self.verdict_of_relays().unwrap_or(Verdict::NothingInCommon)
        } else if self.naming.is_busy() {
            Verdict::Checking
        } else {
            Verdict::NoRemoteCandidates
        }
    }

    /// Why there is no relay, if one was to be had and was not.
    fn verdict_of_relays(&self) -> Option<Verdict> {
        if self.bases.iter().any(|base| self.is_relayed(base.address)) {
            return None;
        }
        let is_turn = |error: &&ServerError| {
            self.config.turn_servers.iter().any(|server| server.to_string() == error.url)
        };
        Some(match self.server_errors.iter().rev().find(is_turn)?.code {
            UNREACHABLE => Verdict::RelayUnanswered,
            UNAUTHENTICATED | STALE_NONCE | WRONG_CREDENTIALS => Verdict::RelayCredentials,
            _ => Verdict::RelayRefused,
        })
    }
}
