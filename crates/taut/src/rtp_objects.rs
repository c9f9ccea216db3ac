//! Transceivers, senders and receivers (W3C `RTCRtpTransceiver`, `RTCRtpSender`, `RTCRtpReceiver`, section 5).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use taut_peer::rtp::Packet;
use taut_peer::{Codec, Direction, Frame, Kind, Transceiver, TransceiverId, TransceiverInit};

use crate::connection::Handle;
use crate::error::{Error, ErrorKind};
use crate::media_stream::MediaStream;
use crate::track::{Flag, MediaStreamTrack};

/// What the sending half of a transceiver has that the peer does not know.
#[derive(Debug, Default)]
pub(crate) struct SenderCore {
    track: Mutex<Option<MediaStreamTrack>>,
    keyframe: Flag,
    ended: AtomicBool,
}

impl SenderCore {
    pub(crate) fn on_keyframe_requested(&self) {
        self.keyframe.raise();
        if let Some(track) = self.track().as_ref().and_then(MediaStreamTrack::local) {
            track.on_keyframe_requested();
        }
    }

    /// Nothing will be sent any more.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.track().take();
        self.keyframe.fire();
    }

    fn track(&self) -> MutexGuard<'_, Option<MediaStreamTrack>> {
        self.track.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a transceiver is made for: a local track that it sends, or a kind of media.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TrackOrKind {
    /// A local track.
    Track(MediaStreamTrack),
    /// Audio or video; the sender gets its track later, or never.
    Kind(Kind),
}

impl From<&MediaStreamTrack> for TrackOrKind {
    fn from(track: &MediaStreamTrack) -> Self {
        Self::Track(track.clone())
    }
}

impl From<Kind> for TrackOrKind {
    fn from(kind: Kind) -> Self {
        Self::Kind(kind)
    }
}

/// How a transceiver begins (W3C `RTCRtpTransceiverInit`).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RtpTransceiverInit {
    /// Both ways by default.
    pub direction: Direction,
    /// The streams that the track belongs to.
    pub streams: Vec<MediaStream>,
    /// The codecs that may be used, best first; all by default.
    pub codecs: Vec<Codec>,
}

impl RtpTransceiverInit {
    /// Sets the direction.
    #[must_use]
    pub fn with_direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// Adds a stream that the track belongs to.
    #[must_use]
    pub fn with_stream(mut self, stream: &MediaStream) -> Self {
        self.streams.push(stream.clone());
        self
    }

    /// Sets the codecs that may be used, best first.
    #[must_use]
    pub fn with_codecs(mut self, codecs: Vec<Codec>) -> Self {
        self.codecs = codecs;
        self
    }

    pub(crate) fn for_track(self, track: Option<&MediaStreamTrack>) -> TransceiverInit {
        let init = TransceiverInit::default()
            .with_direction(self.direction)
            .with_streams(self.streams.iter().map(|stream| stream.id().to_owned()).collect())
            .with_codecs(self.codecs);
        match track {
            Some(track) => init.with_track(track.info()),
            None => init,
        }
    }
}

/// A sender and a receiver that share a media section. A handle of the connection.
#[derive(Clone)]
pub struct RtpTransceiver {
    connection: Handle,
    id: TransceiverId,
}

/// The sending half of a transceiver. A handle of the connection.
#[derive(Clone)]
pub struct RtpSender {
    connection: Handle,
    id: TransceiverId,
}

/// The receiving half of a transceiver. A handle of the connection.
#[derive(Clone)]
pub struct RtpReceiver {
    connection: Handle,
    id: TransceiverId,
}

macro_rules! handle_of_transceiver {
    ($name:ident) => {
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.id == other.id && self.connection.is_same(&other.connection)
            }
        }

        impl Eq for $name {}

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("id", &self.id).finish_non_exhaustive()
            }
        }

        impl $name {
            pub(crate) fn new(connection: Handle, id: TransceiverId) -> Self {
                Self { connection, id }
            }

            /// Audio or video. Audio for a transceiver that is gone.
            pub fn kind(&self) -> Kind {
                self.get(|transceiver| transceiver.kind()).unwrap_or(Kind::Audio)
            }

            #[allow(dead_code, reason = "not every half needs it")]
            fn get<R>(&self, f: impl FnOnce(&Transceiver) -> R) -> Option<R> {
                self.connection.lock().peer.transceiver(self.id).map(f)
            }
        }
    };
}

handle_of_transceiver!(RtpTransceiver);
handle_of_transceiver!(RtpSender);
handle_of_transceiver!(RtpReceiver);

impl RtpTransceiver {
    /// The id of the media section, once it has one.
    pub fn mid(&self) -> Option<String> {
        self.get(|transceiver| transceiver.mid().map(str::to_owned)).flatten()
    }

    /// The direction that the next description offers.
    pub fn direction(&self) -> Direction {
        self.get(Transceiver::direction).unwrap_or(Direction::Inactive)
    }

    /// Sets the direction that the next description offers.
    ///
    /// # Errors
    ///
    /// `InvalidState` for a stopped transceiver or a closed connection.
    pub fn set_direction(&self, direction: Direction) -> Result<(), Error> {
        Ok(self.connection.with(|state, now| state.peer.set_direction(now, self.id, direction))?)
    }

    /// The direction that was negotiated, if one was.
    pub fn current_direction(&self) -> Option<Direction> {
        self.get(Transceiver::current_direction).flatten()
    }

    /// True once it neither sends nor receives for good.
    pub fn is_stopped(&self) -> bool {
        self.get(Transceiver::is_stopped).unwrap_or(true)
    }

    /// Stops it for good, with the next negotiation (W3C `stop`).
    ///
    /// # Errors
    ///
    /// `InvalidState` for a closed connection.
    pub fn stop(&self) -> Result<(), Error> {
        Ok(self.connection.with(|state, now| state.peer.stop_transceiver(now, self.id))?)
    }

    /// The sending half.
    pub fn sender(&self) -> RtpSender {
        RtpSender::new(self.connection.clone(), self.id)
    }

    /// The receiving half.
    pub fn receiver(&self) -> RtpReceiver {
        RtpReceiver::new(self.connection.clone(), self.id)
    }
}

impl RtpSender {
    pub(crate) fn id_in(&self, connection: &Handle) -> Option<TransceiverId> {
        self.connection.is_same(connection).then_some(self.id)
    }

    /// The local track that is sent.
    pub fn track(&self) -> Option<MediaStreamTrack> {
        let core = self.connection.lock().sender(self.id)?;
        core.track().clone()
    }

    /// Replaces the track that is sent, without negotiation; `None` sends nothing.
    ///
    /// Has no point at which it waits: it is done when first polled.
    ///
    /// # Errors
    ///
    /// `Type` for a track of the other kind, `InvalidState` for a stopped transceiver or a closed connection,
    /// `NotSupported` for a remote track.
    pub async fn replace_track(&self, track: Option<&MediaStreamTrack>) -> Result<(), Error> {
        check_local(track)?;
        let info = track.map(MediaStreamTrack::info);
        self.connection.with(|state, now| state.peer.replace_track(now, self.id, info))?;
        self.set_track(track);
        Ok(())
    }

    /// Makes the track the one that feeds this sender, whatever fed it before.
    pub(crate) fn set_track(&self, track: Option<&MediaStreamTrack>) {
        let Some(core) = self.connection.lock().sender(self.id) else { return };
        let before = std::mem::replace(&mut *core.track(), track.cloned());
        if let Some(before) = before.as_ref().and_then(MediaStreamTrack::local) {
            before.detach(&self.connection, self.id);
        }
        if let Some(track) = track.and_then(MediaStreamTrack::local) {
            track.attach(&self.connection, self.id);
        }
    }

    /// Sends an encoded frame, past the track. Only a sender with a track sends: give it one that nothing feeds.
    ///
    /// # Errors
    ///
    /// `InvalidState` while the connection is not up, the sender has no track or the transceiver was not negotiated to
    /// send, `NotSupported` for a codec that was not negotiated, `Operation` when the send queue is full. The frame is dropped then.
    pub fn send_frame(&self, frame: Frame) -> Result<(), Error> {
        Ok(self.connection.try_with(|state, now| state.peer.send_frame(now, self.id, frame))?)
    }

    /// Sends an RTP packet, past the track, as a forwarder does: SSRC, sequence number and payload type are those of
    /// this sender, gaps in the sequence are kept.
    ///
    /// # Errors
    ///
    /// As [`send_frame`](Self::send_frame).
    pub fn send_rtp(&self, packet: Packet) -> Result<(), Error> {
        Ok(self.connection.try_with(|state, now| state.peer.send_rtp(now, self.id, packet))?)
    }

    /// Waits until the other side needs a key frame; requests that came since the last call count as one. `None` once
    /// nothing is sent any more.
    ///
    /// Cancel-safe: a request is either returned or still there.
    pub async fn keyframe_requested(&self) -> Option<()> {
        let core = self.connection.lock().sender(self.id)?;
        let over = || (core.ended.load(Ordering::SeqCst) || self.connection.lock().ended).then_some(());
        match core.keyframe.taken_or(over).await {
            None => Some(()),
            Some(()) => None,
        }
    }
}

impl RtpReceiver {
    /// The track that is received. `None` for a transceiver that is gone.
    pub fn track(&self) -> Option<MediaStreamTrack> {
        let track = self.connection.lock().receiver(self.id)?;
        Some(MediaStreamTrack::remote(track, self.connection.clone()))
    }

    /// Asks the other side for a key frame. Requests in quick succession are merged.
    pub fn request_keyframe(&self) {
        self.connection.with(|state, now| state.peer.request_keyframe(now, self.id));
    }
}

/// Refuses to send a remote track: its packets have one reader.
pub(crate) fn check_local(track: Option<&MediaStreamTrack>) -> Result<(), Error> {
    match track {
        Some(track) if track.is_remote() => Err(Error::new(
            ErrorKind::NotSupported,
            "a remote track cannot be sent: read it with recv_rtp and send what it gives with send_rtp",
        )),
        _ => Ok(()),
    }
}
