//! A WebRTC stack in Rust: the W3C peer connection API on tokio.
//!
//! The names are those of the W3C: what is a Promise there is an `async fn` here, an attribute is a getter, and event
//! handlers are one stream of [`Event`]s per connection. Protocols are in the crates below, which do no I/O; this crate
//! has the sockets, the timers, and one task per connection.
//!
//! - [`PeerConnection`]: offer, answer, candidates, tracks, data channels; its [`Events`]
//! - [`DataChannel`]: [`send`](DataChannel::send) waits for room, [`recv`](DataChannel::recv) for messages
//! - [`MediaStream`], [`MediaStreamTrack`]: local ones are written to or fed from files, remote ones are read
//! - [`Recorder`]: what comes in, in files that players understand; [`FrameTap`] for forwarders
//! - [`RtpTransceiver`], [`RtpSender`], [`RtpReceiver`]
//! - [`Endpoint`]: sockets that many connections share
//!
//! Every object that belongs to a connection counts as a handle of it. The connection closes when the last one is
//! dropped; no task, socket or memory of it remains.
//!
//! # Example
//!
//! Two peers in one process. What travels between them by method calls here travels over the application's own signaling
//! elsewhere.
//!
//! ```
//! use taut::{Configuration, DataChannelInit, Event, Loopback, Message, OfferOptions, PeerConnection};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), taut::Error> {
//! let config = Configuration::default().with_loopback(Loopback::Always);
//! let (alice, mut alice_events) = PeerConnection::new(config.clone())?;
//! let (bob, mut bob_events) = PeerConnection::new(config)?;
//!
//! let chat = alice.create_data_channel("chat", DataChannelInit::default())?;
//! let offer = alice.create_offer(OfferOptions::default()).await?;
//! alice.set_local_description(offer.clone()).await?;
//! bob.set_remote_description(offer).await?;
//! let answer = bob.create_answer().await?;
//! bob.set_local_description(answer.clone()).await?;
//! alice.set_remote_description(answer).await?;
//!
//! // Alice's candidates go to Bob as they are found.
//! let to_bob = bob.clone();
//! tokio::spawn(async move {
//!     while let Some(event) = alice_events.recv().await {
//!         if let Event::IceCandidate(candidate) = event {
//!             to_bob.add_ice_candidate(candidate).await?;
//!         }
//!     }
//!     Ok::<_, taut::Error>(())
//! });
//!
//! // Bob's go to Alice, and he answers what she says.
//! let to_alice = alice.clone();
//! tokio::spawn(async move {
//!     while let Some(event) = bob_events.recv().await {
//!         match event {
//!             Event::IceCandidate(candidate) => to_alice.add_ice_candidate(candidate).await?,
//!             Event::DataChannel(chat) => {
//!                 while let Some(message) = chat.recv().await {
//!                     chat.send(message).await?;
//!                 }
//!             }
//!             _ => {}
//!         }
//!     }
//!     Ok::<_, taut::Error>(())
//! });
//!
//! chat.send(Message::text("hello")).await?;
//! assert_eq!(chat.recv().await, Some(Message::text("hello")));
//! alice.close().await;
//! bob.close().await;
//! # Ok(())
//! # }
//! ```

mod byte_channel;
mod clock;
mod connection;
mod data_channel;
mod driver;
mod error;
mod events;
mod file;
mod ids;
mod key_log;
mod media_stream;
mod message_stream;
mod net;
mod peer_connection;
mod recorder;
mod rtp_objects;
mod signal;
mod source;
mod tap;
mod track;
mod transports;

pub use byte_channel::ByteChannel;
pub use data_channel::{DataChannel, DataChannelInit, TrySendError};
pub use error::{Error, ErrorKind};
pub use events::{Event, Events, TrackEvent};
pub use file::FileOptions;
pub use media_stream::MediaStream;
pub use message_stream::{MessageReader, MessageWriter};
pub use net::{Endpoint, EndpointStats, TurnServer, TurnServerOptions, discover_nat};
pub use peer_connection::PeerConnection;
pub use recorder::{Recorder, Recording, Wanted};
pub use rtp_objects::{RtpReceiver, RtpSender, RtpTransceiver, RtpTransceiverInit, TrackOrKind};
pub use tap::FrameTap;
pub use track::{MediaStreamTrack, TrackState};
pub use transports::{DtlsTransport, IceCandidatePair, IceTransport, SctpTransport};

/// Media files, for applications that read or write frames themselves.
pub use taut_container as container;
pub use taut_peer::Config as Configuration;
pub use taut_peer::{
    AddressFilter, Certificate, ChannelState as DataChannelState, Codec, ConnectionState, DataCongestion,
    DataScheduler, DataTiming, Direction, DtlsEngine, DtlsRole, DtlsTransportState, DtlsVersion,
    ExternalAddress, Families, Frame, Host, IceCandidate, IceCandidateError, IceConnectionState,
    IceGatheringState, IcePairReport, IceParameters, IceReport, IceRole, IceServer, IceServerKind,
    IceTcpPolicy, IceTransportPolicy, IceVerdict, Kind, Loopback, Message, MessageKind, Network,
    OfferOptions, Priority as DataChannelPriority, Proxy, ProxyKind, SctpState as SctpTransportState,
    SdpType, SessionDescription, SignalingState, SrtpProfile, StatsReport, TurnTransport, rtp, sdp, stats,
};
/// What [`discover_nat`] finds.
pub use taut_stun::behavior::{Dependence as NatDependence, NatBehavior};
/// Who a client of a TURN server is, for those who give out time-limited credentials.
pub use taut_turn::Credentials as TurnCredentials;
/// What a [`TurnServer`] is told and counts.
pub use taut_turn::server as turn_server;

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
