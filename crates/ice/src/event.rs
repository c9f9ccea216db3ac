//! What the agent tells, and the states it tells of.

use std::net::SocketAddr;

use taut_sansio::net::{Path, Transport};

use crate::candidate::Candidate;
use crate::relay::StreamId;
use crate::tcp::TcpId;

/// The state of the agent, in the words of the W3C API (webrtc-pc section 5.6.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing to check yet.
    New,
    /// Checking pairs; none is valid.
    Checking,
    /// There is a valid pair.
    Connected,
    /// There is a nominated pair, and no candidate is still to come from either side.
    Completed,
    /// The pair in use does not answer at the moment.
    Disconnected,
    /// No pair works, or consent lapsed. Only a restart leads out of it.
    Failed,
    /// Closed by the application. Final.
    Closed,
}

/// The state of gathering (webrtc-pc section 5.6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GatheringState {
    /// Not begun.
    New,
    /// Candidates are being gathered.
    Gathering,
    /// There are no more.
    Complete,
}

/// How far a path is to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Validation {
    /// Not at all.
    Unknown,
    /// A check with the right credentials came from there. That does not say that it leads there.
    Authenticated,
    /// A check of ours was answered from there, and consent holds: data may be sent.
    Validated,
}

/// A question to a resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResolveId(pub(crate) u32);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A local candidate was found.
    LocalCandidate(Candidate),
    /// The state of gathering changed.
    GatheringStateChanged(GatheringState),
    /// The state changed.
    StateChanged(State),
    /// Data goes another way from now on.
    SelectedPairChanged {
        /// Which.
        path: Path,
    },
    /// Datagrams on this path belong to this agent: a check with valid integrity came in, or an answer.
    RouteAdded(Path),
    /// Datagrams on this path no longer belong to this agent.
    RouteRemoved(Path),
    /// Resolve a name and answer with [`Agent::handle_resolved`](crate::Agent::handle_resolved).
    Resolve {
        /// The question.
        id: ResolveId,
        /// The name.
        host: String,
    },
    /// Open a stream to a TURN server, TCP or TLS, and answer with
    /// [`Agent::handle_connected`](crate::Agent::handle_connected).
    Connect {
        /// The question.
        id: StreamId,
        /// The stream that this one is instead of, and that is to be closed.
        replaces: Option<StreamId>,
        /// TCP or TLS.
        transport: Transport,
        /// Where to.
        remote: SocketAddr,
        /// The name or address that the certificate of a TLS server must be for.
        host: String,
    },
    /// Close this stream to a TURN server, once what was sent on it has left, or give it up if it is not open yet.
    CloseStream(StreamId),
    /// Open a TCP connection to the other side, and answer with
    /// [`Agent::handle_tcp_opened`](crate::Agent::handle_tcp_opened). What is sent on its path goes into frames (RFC 4571).
    OpenTcp {
        /// The question.
        id: TcpId,
        /// The address to open it from; the port is 0, for any.
        local: SocketAddr,
        /// Where to.
        remote: SocketAddr,
    },
    /// A connection that was asked for is not wanted any more; no answer is expected.
    AbandonTcp(TcpId),
    /// Close the TCP connection on this path, once what was sent on it has left.
    CloseTcp(Path),
    /// Open the sockets of multicast DNS: datagrams to and from [`taut_mdns::LOCAL_V4`] and [`taut_mdns::LOCAL_V6`] follow. Told
    /// once.
    MulticastWanted,
    /// Credentials are not used any more: checks with this ufrag of ours are not answered from now on.
    CredentialsRetired {
        /// The local ufrag.
        ufrag: String,
    },
    /// Gathering failed in part.
    CandidateError(CandidateError),
}

/// Why a server could not be used for gathering (webrtc-pc section 4.8.2, `RTCPeerConnectionIceErrorEvent`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CandidateError {
    /// The URL of the server.
    pub url: String,
    /// The local address it was asked from, if it was asked.
    pub address: Option<SocketAddr>,
    /// The code of the server's answer (RFC 8489 section 14.8), or 701 where there was none.
    pub code: u16,
    /// The reason.
    pub text: String,
}
