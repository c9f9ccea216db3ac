//! What a client tells, and what it counted.

use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// There is an allocation: the relayed addresses, one or one of each family, and the client's own address as the
    /// server sees it. Comes again, with other addresses, after [`Lost`](Self::Lost).
    Allocated {
        /// Where the server listens for peers.
        relayed: Vec<SocketAddr>,
        /// The server-reflexive address.
        mapped: SocketAddr,
    },
    /// The allocation is gone; the client is asking for another one.
    Lost(LossReason),
    /// Open a stream to this address, and close the one that this client had. Answered by
    /// [`handle_connected`](crate::Client::handle_connected) or [`handle_disconnected`](crate::Client::handle_disconnected).
    Connect(SocketAddr),
    /// The server does not relay to this peer. It is not asked again.
    PeerRefused {
        /// The peer.
        peer: IpAddr,
        /// The number of ERROR-CODE.
        code: u16,
        /// The reason it gave.
        reason: String,
    },
    /// The end: nothing more is sent, nor taken.
    Closed(CloseReason),
}

/// Why an allocation is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossReason {
    /// The server does not answer any more.
    Silent,
    /// The server answers, but knows nothing of the allocation.
    Forgotten,
    /// The stream to the server was closed.
    Disconnected,
}

/// Why a client is done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// [`close`](crate::Client::close) was called, and the server has let go of the allocation or did not answer.
    Local,
    /// The server said no.
    Refused {
        /// The number of ERROR-CODE.
        code: u16,
        /// The reason it gave.
        reason: String,
    },
    /// No answer.
    TimedOut,
    /// There is no stream to the server.
    Unreachable,
    /// The server sent the client to another one, and that one again, too often or to where it cannot go.
    TooManyRedirects,
    /// The server wants a way of making keys from passwords that this client does not know.
    UnknownPasswordAlgorithm,
}

impl CloseReason {
    /// The code for an `icecandidateerror` event: that of STUN, or 701 where there was no answer
    /// (webrtc-pc section 4.8.2).
    pub fn code(&self) -> u16 {
        match self {
            Self::Refused { code, .. } => *code,
            Self::TooManyRedirects => 300,
            Self::UnknownPasswordAlgorithm => 401,
            Self::Local | Self::TimedOut | Self::Unreachable => 701,
        }
    }
}

/// What a peer sent through the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relayed {
    /// The relayed address that it was sent to.
    pub relayed: SocketAddr,
    /// Who sent it.
    pub peer: SocketAddr,
    /// What was sent.
    pub data: BytesMut,
}

/// What was dropped, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStats {
    /// Neither STUN nor ChannelData, or damaged, or lacking what it is for.
    pub malformed: u64,
    /// From elsewhere, or nobody waits for it.
    pub unexpected: u64,
    /// An answer without the integrity that it must have.
    pub unauthenticated: u64,
    /// Data from a peer that has no permission, or on a channel that is not bound.
    pub unknown_peer: u64,
    /// Datagrams that came through the relay.
    pub relayed_in: u64,
    /// Datagrams that were wrapped for the relay.
    pub relayed_out: u64,
}
