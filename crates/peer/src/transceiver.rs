//! Transceivers (W3C section 5.4): one media section's sender and receiver, and what the application wants of them.

use std::fmt;

use taut_media::{Codec, Kind};
use taut_sdp as sdp;

use crate::signaling::{NegotiatedCodec, ReceiveParameters, SendParameters};

/// Names a transceiver of one peer connection. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransceiverId(u32);

impl TransceiverId {
    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number behind the name.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for TransceiverId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// In which directions media is to flow, seen from here (W3C `RTCRtpTransceiverDirection`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// To the other side only.
    SendOnly,
    /// From the other side only.
    RecvOnly,
    /// Not at all, for now.
    Inactive,
    /// Never again. Only read, never set: see [`Peer::stop_transceiver`](crate::Peer::stop_transceiver).
    Stopped,
}

impl From<sdp::Direction> for Direction {
    fn from(direction: sdp::Direction) -> Self {
        match direction {
            sdp::Direction::SendRecv => Self::SendRecv,
            sdp::Direction::SendOnly => Self::SendOnly,
            sdp::Direction::RecvOnly => Self::RecvOnly,
            sdp::Direction::Inactive => Self::Inactive,
        }
    }
}

impl Direction {
    /// The one of a description; `None` for stopped.
    pub(crate) fn to_sdp(self) -> Option<sdp::Direction> {
        match self {
            Self::SendRecv => Some(sdp::Direction::SendRecv),
            Self::SendOnly => Some(sdp::Direction::SendOnly),
            Self::RecvOnly => Some(sdp::Direction::RecvOnly),
            Self::Inactive => Some(sdp::Direction::Inactive),
            Self::Stopped => None,
        }
    }
}

/// A local track (W3C `MediaStreamTrack`, as far as descriptions know it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackInfo {
    /// A token of at most 64 characters (RFC 8830 section 2).
    pub id: String,
    /// Audio or video.
    pub kind: Kind,
}

impl TrackInfo {
    /// A track.
    pub fn new(id: impl Into<String>, kind: Kind) -> Self {
        Self { id: id.into(), kind }
    }
}

/// How a transceiver begins (W3C `RTCRtpTransceiverInit`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TransceiverInit {
    /// Both ways by default.
    pub direction: Direction,
    /// What it sends; none by default.
    pub track: Option<TrackInfo>,
    /// The streams that the track belongs to.
    pub streams: Vec<String>,
    /// The codecs that may be used, best first; all by default.
    pub codecs: Vec<Codec>,
}

impl TransceiverInit {
    /// Sets the direction.
    #[must_use]
    pub fn with_direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// Sets the track to be sent.
    #[must_use]
    pub fn with_track(mut self, track: TrackInfo) -> Self {
        self.track = Some(track);
        self
    }

    /// Sets the streams that the track belongs to.
    #[must_use]
    pub fn with_streams(mut self, streams: Vec<String>) -> Self {
        self.streams = streams;
        self
    }

    /// Sets the codecs that may be used, best first.
    #[must_use]
    pub fn with_codecs(mut self, codecs: Vec<Codec>) -> Self {
        self.codecs = codecs;
        self
    }
}

/// Where a transceiver came from, which decides what a remote offer and a rollback may do with it (RFC 8829 sections 5.7 and 5.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    AddTrack,
    AddTransceiver,
    RemoteOffer,
}

/// Whether the application was told of the track that the other side sends (W3C `[[FiredDirection]]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum RemoteTrack {
    #[default]
    Unknown,
    Live,
    Muted,
}

/// What descriptions have made of a transceiver; a rollback puts it back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Negotiated {
    pub(crate) mid: Option<String>,
    pub(crate) index: Option<usize>,
    pub(crate) current_direction: Option<sdp::Direction>,
    pub(crate) stopped: bool,
    pub(crate) remote_track: RemoteTrack,
    pub(crate) remote_streams: Vec<String>,
    pub(crate) send: Option<SendParameters>,
    pub(crate) receive: Option<ReceiveParameters>,
}

/// A transceiver (W3C `RTCRtpTransceiver` with its sender and receiver).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transceiver {
    pub(crate) id: TransceiverId,
    pub(crate) kind: Kind,
    pub(crate) origin: Origin,
    /// Whether a track was ever attached by `addTrack`, so that a rollback keeps the transceiver.
    pub(crate) attached: bool,
    pub(crate) direction: sdp::Direction,
    pub(crate) stopping: bool,
    pub(crate) track: Option<TrackInfo>,
    pub(crate) streams: Vec<String>,
    /// The second field of `a=msid`; it stays when the track is replaced.
    pub(crate) sender_id: String,
    pub(crate) preferences: Vec<Codec>,
    /// Whether it was ever negotiated to send, so that `addTrack` may not use it again.
    pub(crate) has_sent: bool,
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: u32,
    pub(crate) receiver_track_id: String,
    pub(crate) negotiated: Negotiated,
}

impl Transceiver {
    /// Its name.
    pub fn id(&self) -> TransceiverId {
        self.id
    }

    /// Audio or video.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The identification of its media section, once a description gave it one (W3C `mid`).
    pub fn mid(&self) -> Option<&str> {
        self.negotiated.mid.as_deref()
    }

    /// What the application wants (W3C `direction`).
    pub fn direction(&self) -> Direction {
        if self.is_stopped() { Direction::Stopped } else { self.direction.into() }
    }

    /// What was agreed (W3C `currentDirection`); `None` before the first answer.
    pub fn current_direction(&self) -> Option<Direction> {
        if self.negotiated.stopped {
            return Some(Direction::Stopped);
        }
        self.negotiated.current_direction.map(Direction::from)
    }

    /// Whether it has been stopped, here or by the other side.
    pub fn is_stopped(&self) -> bool {
        self.stopping || self.negotiated.stopped
    }

    /// The track that is sent (W3C `sender.track`).
    pub fn track(&self) -> Option<&TrackInfo> {
        self.track.as_ref()
    }

    /// The streams that the sent track belongs to.
    pub fn streams(&self) -> &[String] {
        &self.streams
    }

    /// The id of the track that is received (W3C `receiver.track.id`).
    pub fn receiver_track_id(&self) -> &str {
        &self.receiver_track_id
    }

    /// The streams that the other side says the received track belongs to.
    pub fn receiver_streams(&self) -> &[String] {
        &self.negotiated.remote_streams
    }

    /// The codecs that may be sent, the one to use first; empty while it does not send.
    pub fn send_codecs(&self) -> &[NegotiatedCodec] {
        self.negotiated.send.as_ref().map_or(&[], |parameters| &parameters.codecs)
    }

    /// The codecs that may be received; empty while it does not receive.
    pub fn receive_codecs(&self) -> &[NegotiatedCodec] {
        self.negotiated.receive.as_ref().map_or(&[], |parameters| &parameters.codecs)
    }

    /// The SSRC of what is sent.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }
}
