//! Interactive Connectivity Establishment (RFC 8445), without I/O.
//!
//! [`Agent`] is an agent for one component, full or lite: it gathers host, server-reflexive and relayed candidates, trickles both
//! ways (RFC 8838), checks pairs, nominates or follows, keeps consent fresh (RFC 7675), and restarts while data goes on. It
//! accepts lite and aggressively nominating peers, and answers checks before it knows the other side's credentials. Where UDP does
//! not get through, it connects over TCP (RFC 6544, [`Config::tcp`]).
//!
//! It keeps the contract of `taut_sansio`: calls may come in any order; `now` never decreases, an older value counts
//! as the newest seen; bytes are made in `poll_transmit`; bad input is dropped and counted in [`Stats`], and has no
//! effect before its integrity held.
//!
//! # Bounds
//!
//! | What | Bound | When it is hit |
//! |---|---|---|
//! | generations | 3: the current one, the one that carries data, and one to roll back to | the oldest ends |
//! | remote candidates of a generation | [`MAX_REMOTE_CANDIDATES`] | the one with the lowest priority goes, valid ones stay |
//! | pairs of a generation | [`Config::max_pairs`] | the one with the lowest priority goes, valid ones stay |
//! | local candidates of a generation | [`MAX_LOCAL_CANDIDATES`] | learned ones are not added |
//! | local addresses | [`MAX_LOCAL_ADDRESSES`] | further ones are ignored |
//! | names being resolved | [`MAX_NAMES`] | further ones are dropped |
//! | STUN servers | [`MAX_STUN_SERVERS`] | further ones are ignored |
//! | questions to STUN servers | [`MAX_STUN_CLIENTS`] | further ones are not asked |
//! | TURN servers | [`MAX_TURN_SERVERS`] | further ones are ignored |
//! | allocations asked for | [`MAX_RELAYS`] | further ones are not asked for |
//! | TCP connections | [`MAX_TCP_STREAMS`] | one without a use goes, or the new one is refused |
//! | answers not yet polled | [`MAX_ANSWERS`] | further requests get none |
//! | paths of early checks of a generation | [`MAX_EARLY_CHECKS`] | further ones are answered and forgotten |
//! | length of a candidate's text | [`MAX_CANDIDATE_LEN`] | it does not parse |

mod addresses;
mod agent;
mod answers;
mod bases;
mod candidate;
mod checklist;
mod checks;
mod config;
mod consent;
mod credentials;
mod event;
mod filter;
mod gathering;
mod generation;
mod hiding;
mod lite;
mod naming;
mod nomination;
mod pacing;
mod pair;
mod relay;
mod report;
mod restart;
mod servers;
mod state;
mod stats;
mod tables;
mod tcp;

pub use addresses::{InterfaceAddress, select_addresses};
pub use agent::{AddCandidateError, Agent, MAX_LOCAL_CANDIDATES, MAX_REMOTE_CANDIDATES};
pub use answers::{MAX_ANSWERS, MAX_EARLY_CHECKS};
pub use bases::MAX_LOCAL_ADDRESSES;
pub use candidate::{
    Candidate, CandidateAddress, CandidateKind, CandidateTransport, MAX_CANDIDATE_LEN, ParseCandidateError,
    TcpType,
};
pub use config::{
    Config, Host, Loopback, MAX_STUN_SERVERS, MAX_TURN_SERVERS, Policy, Role, StunServer, TurnServer,
    TurnTransport,
};
pub use credentials::Credentials;
pub use event::{CandidateError, Event, GatheringState, ResolveId, State, Validation};
pub use filter::{AddressFilter, ExternalAddress, Families, Network, ParseNetworkError};
pub use gathering::MAX_STUN_CLIENTS;
pub use naming::MAX_NAMES;
pub use relay::{ConnectError, MAX_RELAYS, RelayEnvelope, StreamId};
pub use report::{PairReport, Report, ServerError, Verdict};
pub use stats::{CandidatePair, PairState, PairStats, Stats};
pub use tcp::{Deframer, FrameTooLong, MAX_FRAME, MAX_TCP_STREAMS, TcpId, TcpPolicy, frame};
