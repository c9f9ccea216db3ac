//! TCP candidates (RFC 6544): connections between the two sides, where UDP does not get through.
//!
//! An active candidate stands for every address that there is a socket on, a passive one for every listener. The checks of a
//! pair whose local candidate is active begin with [`Event::OpenTcp`](crate::Event::OpenTcp); its path is known
//! from then on. A pair with a passive one comes about when a check arrives on a connection. Datagrams on such paths are
//! what they are on others; whoever moves the octets puts each into a frame (RFC 4571, [`frame`], [`Deframer`]).
//!
//! | What happens | What follows |
//! |---|---|
//! | a connection cannot be opened, or not in time | its pair has failed |
//! | the connection of a valid pair ends | the active side opens it again, a bounded number of times; the passive side waits |
//! | nothing has a use for a connection for 5 s | it is closed |
//! | the agent is closed | all are closed |

mod candidates;
mod framing;
mod streams;

use std::net::SocketAddr;
use std::time::Instant;

use taut_sansio::net::Path;

pub(crate) use candidates::{TcpBase, fits, may_connect_to, peer_reflexive_priority, priority_as_seen};
pub use framing::{Deframer, FrameTooLong, MAX_FRAME, frame};
pub use streams::MAX_TCP_STREAMS;
pub(crate) use streams::Opens;

use crate::addresses::plain;
use crate::candidate::TcpType;
use crate::pair::PairId;

/// Which TCP candidates an agent has (RFC 6544 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum TcpPolicy {
    /// None, and TCP candidates of the other side are refused.
    #[default]
    Off,
    /// Active ones: connections are opened, none is accepted. What browsers do.
    Active,
    /// Passive ones, of the listeners that there are: connections are accepted, none is opened. For servers.
    Passive,
    /// Both.
    Both,
}

impl TcpPolicy {
    /// True if connections are opened.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Active | Self::Both)
    }

    /// True if connections are accepted.
    pub fn is_passive(self) -> bool {
        matches!(self, Self::Passive | Self::Both)
    }
}

/// A connection that is to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TcpId(u32);

/// How far a connection is.
#[derive(Debug)]
enum Phase {
    /// It was asked for, for this pair.
    Opening { id: TcpId, pair: PairId, until: Instant },
    /// It is there.
    Open { path: Path, since: Instant, last_used: Instant },
}

/// A connection.
#[derive(Debug)]
struct Stream {
    /// The address of its [`TcpBase`].
    base: SocketAddr,
    side: TcpType,
    phase: Phase,
}

impl Stream {
    fn path(&self) -> Option<&Path> {
        match &self.phase {
            Phase::Open { path, .. } => Some(path),
            Phase::Opening { .. } => None,
        }
    }
}

/// Listeners, addresses and connections.
#[derive(Debug, Default)]
pub(crate) struct Tcp {
    pub(crate) bases: Vec<TcpBase>,
    streams: Vec<Stream>,
    next_id: u32,
}

impl Tcp {
    fn base(&self, address: SocketAddr, side: TcpType) -> Option<&TcpBase> {
        self.bases.iter().find(|base| base.side == side && plain(base.address) == plain(address))
    }

    /// True for the path of a connection that is open.
    pub(crate) fn is_open(&self, path: &Path) -> bool {
        self.streams.iter().any(|stream| stream.path() == Some(path))
    }

    /// The base of an open connection, and our side of it.
    pub(crate) fn origin(&self, path: &Path) -> Option<(SocketAddr, TcpType)> {
        let stream = self.streams.iter().find(|stream| stream.path() == Some(path))?;
        Some((stream.base, stream.side))
    }
}
