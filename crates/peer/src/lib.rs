//! The sans-IO WebRTC peer connection: the one place where the protocol crates meet.
//!
//! A [`Peer`] is the W3C `RTCPeerConnection` without sockets, clock, tasks or global randomness. Its driver gives it
//! datagrams and time and asks it for datagrams and events:
//!
//! - **commands**: [`Peer::create_offer`], [`Peer::set_remote_description`], [`Peer::add_track`], [`Peer::send`], …
//! - **in**: [`Peer::handle_datagram`], [`Peer::handle_timeout`], [`Peer::handle_resolved`], [`Peer::handle_writable`]
//! - **out**: [`Peer::poll_transmit`], [`Peer::poll_event`], [`Peer::poll_timeout`], polled in this order after every
//!   command and every input, each until it returns `None`
//!
//! The contract is that of every machine of taut, see [`taut_sansio`].

mod channels;
mod config;
mod connection;
mod demux;
mod description;
mod error;
mod event;
mod gate;
mod ice;
mod ice_server;
mod negotiate;
mod peer;
mod proxy;
pub mod signaling;
pub mod stats;
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests;
mod tracks;
mod transceiver;
mod transport;

pub use channels::{Sctp, SctpState};
pub use config::{
    AddressFilter, Certificate, Config, DataCongestion, DataScheduler, DataTiming, DtlsEngine, DtlsVersion,
    ExternalAddress, Families, IceTcpPolicy, IceTransportPolicy, Loopback, Network, SrtpProfile,
};
pub use description::{SdpType, SessionDescription};
pub use error::{Error, ErrorKind};
pub use event::{
    CloseReason, ConnectionState, Event, IceCandidate, IceCandidateError, IceConnectionState,
    IceGatheringState, ResolveId, StreamId, TcpId,
};
pub use ice_server::{Host, IceServer, IceServerKind, TurnTransport};
pub use peer::Peer;
pub use proxy::{Proxy, ProxyKind};
pub use signaling::{NegotiatedCodec, OfferOptions, SignalingState};
pub use stats::StatsReport;
pub use taut_datachannel::{
    Channel, ChannelId, ChannelInit, ChannelState, Message, MessageKind, MessagePart, Priority, SendError,
};
pub use taut_dtls::{Role as DtlsRole, State as DtlsTransportState};
pub use taut_ice::{
    ConnectError, Credentials as IceParameters, Deframer, InterfaceAddress, MAX_FRAME,
    PairReport as IcePairReport, Report as IceReport, Role as IceRole, Verdict as IceVerdict, frame,
};
pub use taut_media::{Codec, Frame, Kind, Mode};
pub use taut_rtp as rtp;
pub use taut_sdp as sdp;
pub use transceiver::{Direction, TrackInfo, Transceiver, TransceiverId, TransceiverInit};
pub use transport::TransportStats;
