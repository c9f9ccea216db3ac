//! Tracks, transceivers and what travels on them: the commands.

use std::time::Instant;

use taut_media::{Codec, Frame, Kind, Mode, ReceiverConfig};
use taut_rtp as rtp;

use crate::error::{Error, ErrorKind};
use crate::peer::Peer;
use crate::signaling::{ReceiveParameters, SendParameters};
use crate::transceiver::{Direction, TrackInfo, Transceiver, TransceiverId, TransceiverInit};

impl Peer {
    /// Adds a track to be sent, on a transceiver that is free or a new one (W3C `addTrack`).
    ///
    /// # Errors
    ///
    /// `InvalidAccess` when the track is being sent already, `InvalidState` on a closed connection.
    pub fn add_track(
        &mut self,
        now: Instant,
        track: TrackInfo,
        streams: Vec<String>,
    ) -> Result<TransceiverId, Error> {
        self.check_open()?;
        self.advance(now);
        let id = self.signaling.add_track(track, streams)?;
        self.update_negotiation_needed();
        Ok(id)
    }

    /// Stops sending the track of a transceiver (W3C `removeTrack`). The transceiver goes on receiving.
    ///
    /// # Errors
    ///
    /// `InvalidAccess` for an unknown transceiver, `InvalidState` on a closed connection.
    pub fn remove_track(&mut self, now: Instant, id: TransceiverId) -> Result<(), Error> {
        self.check_open()?;
        self.advance(now);
        self.signaling.remove_track(id)?;
        self.update_negotiation_needed();
        Ok(())
    }

    /// Adds a transceiver (W3C `addTransceiver`).
    ///
    /// # Errors
    ///
    /// `Type` for an initial direction that cannot be, `InvalidState` on a closed connection.
    pub fn add_transceiver(
        &mut self,
        now: Instant,
        kind: Kind,
        init: TransceiverInit,
    ) -> Result<TransceiverId, Error> {
        self.check_open()?;
        self.advance(now);
        let id = self.signaling.add_transceiver(kind, init)?;
        self.update_negotiation_needed();
        Ok(id)
    }

    /// Sets the direction that the next description offers (W3C `direction`).
    ///
    /// # Errors
    ///
    /// `InvalidAccess` for an unknown transceiver, `InvalidState` for a stopped one, `Type` for the direction `stopped`.
    pub fn set_direction(
        &mut self,
        now: Instant,
        id: TransceiverId,
        direction: Direction,
    ) -> Result<(), Error> {
        self.check_open()?;
        self.advance(now);
        self.signaling.set_direction(id, direction)?;
        self.update_negotiation_needed();
        Ok(())
    }

    /// Stops a transceiver for good, as soon as the other side agrees (W3C `stop`).
    ///
    /// # Errors
    ///
    /// `InvalidAccess` for an unknown transceiver, `InvalidState` on a closed connection.
    pub fn stop_transceiver(&mut self, now: Instant, id: TransceiverId) -> Result<(), Error> {
        self.check_open()?;
        let now = self.advance(now);
        let effects = self.signaling.stop(id)?;
        for effect in effects {
            self.apply_one(now, effect);
        }
        self.update_negotiation_needed();
        self.collect(now);
        Ok(())
    }

    /// Sets the codecs that a transceiver may use, best first, from the next description on; none means all again (W3C
    /// `setCodecPreferences`).
    ///
    /// # Errors
    ///
    /// `InvalidAccess` for an unknown transceiver, `InvalidState` for a stopped one, `InvalidModification` for a codec
    /// that is not supported for its kind.
    pub fn set_codec_preferences(
        &mut self,
        now: Instant,
        id: TransceiverId,
        codecs: Vec<Codec>,
    ) -> Result<(), Error> {
        self.check_open()?;
        self.advance(now);
        self.signaling.set_codec_preferences(id, codecs)
    }

    /// Replaces the track that a transceiver sends, without negotiation; without one nothing is sent (W3C
    /// `replaceTrack`).
    ///
    /// # Errors
    ///
    /// `InvalidAccess` for an unknown transceiver, `InvalidState` for a stopped one, `Type` for a track of the other
    /// kind.
    pub fn replace_track(
        &mut self,
        now: Instant,
        id: TransceiverId,
        track: Option<TrackInfo>,
    ) -> Result<(), Error> {
        self.check_open()?;
        self.advance(now);
        self.signaling.replace_track(id, track)
    }

    /// The transceivers, in the order of their creation (W3C `getTransceivers`).
    pub fn transceivers(&self) -> impl Iterator<Item = &Transceiver> {
        self.signaling.transceivers()
    }

    /// One transceiver.
    pub fn transceiver(&self, id: TransceiverId) -> Option<&Transceiver> {
        self.signaling.transceiver(id)
    }

    // ---- media

    /// Sends an encoded frame.
    ///
    /// # Errors
    ///
    /// `InvalidState` while the connection is not up, for a transceiver that has no track and for one that was not
    /// negotiated to send, `InvalidAccess` for an unknown one, `NotSupported` for a codec that was not negotiated,
    /// `Operation` when the send queue is full. The frame is dropped then.
    pub fn send_frame(&mut self, now: Instant, id: TransceiverId, frame: Frame) -> Result<(), Error> {
        self.check_sending(id)?;
        let now = self.advance(now);
        self.transport.media.send_frame(now, id.into(), frame).map_err(send_error)
    }

    /// Sends an RTP packet, as a forwarder does: its SSRC, sequence number and payload type are rewritten, gaps are kept.
    ///
    /// # Errors
    ///
    /// As [`send_frame`](Self::send_frame).
    pub fn send_rtp(&mut self, now: Instant, id: TransceiverId, packet: rtp::Packet) -> Result<(), Error> {
        self.check_sending(id)?;
        let now = self.advance(now);
        self.transport.media.send_packet(now, id.into(), packet).map_err(send_error)
    }

    /// The next whole frame that came in on a transceiver (frame mode).
    pub fn poll_frame(&mut self, id: TransceiverId) -> Option<Frame> {
        self.transport.media.poll_frame(id.into())
    }

    /// The next packet that came in on a transceiver, after repair and in order (packet mode).
    pub fn poll_rtp(&mut self, id: TransceiverId) -> Option<rtp::Packet> {
        self.transport.media.poll_packet(id.into())
    }

    /// Chooses between frames and packets on the receiving side of a transceiver; frames by default. A transceiver
    /// that is stopped or unknown has no receiving side.
    pub fn set_receive_mode(&mut self, id: TransceiverId, mode: Mode) {
        if self.transceiver(id).is_some_and(|transceiver| !transceiver.is_stopped()) {
            self.receive_modes.insert(id, mode);
            self.transport.media.set_mode(id.into(), mode);
        }
    }

    /// Asks the other side for a key frame (RFC 4585 section 6.3.1). Requests in quick succession are merged; where
    /// nothing is received nothing is asked for.
    pub fn request_keyframe(&mut self, now: Instant, id: TransceiverId) {
        let now = self.advance(now);
        self.transport.media.request_keyframe(now, id.into());
    }

    /// Media leaves only for a track of the application, in a direction that both descriptions allow, under keys.
    fn check_sending(&self, id: TransceiverId) -> Result<(), Error> {
        self.check_open()?;
        let refused = |why: &str| Err(Error::new(ErrorKind::InvalidState, format!("transceiver {id} {why}")));
        match self.transceiver(id) {
            None => Err(Error::new(ErrorKind::InvalidAccess, format!("there is no transceiver {id}"))),
            Some(transceiver) if transceiver.is_stopped() => refused("is stopped"),
            Some(transceiver) if transceiver.track().is_none() => refused("has no track"),
            Some(transceiver) if transceiver.send_codecs().is_empty() => {
                refused("was not negotiated to send")
            }
            Some(_) if !self.transport.has_srtp() => refused("waits for the connection"),
            Some(_) => Ok(()),
        }
    }

    // ---- what descriptions mean for media

    pub(crate) fn apply_send(&mut self, now: Instant, id: TransceiverId, parameters: Option<SendParameters>) {
        match parameters {
            Some(parameters) => {
                let config = parameters.into();
                self.transport.media.set_sender(now, id.into(), config);
            }
            None => self.transport.media.remove_sender(now, id.into()),
        }
    }

    pub(crate) fn apply_receive(
        &mut self,
        now: Instant,
        id: TransceiverId,
        parameters: Option<ReceiveParameters>,
    ) {
        match parameters {
            Some(parameters) => {
                self.transport.demux.set(
                    id,
                    &parameters.mid,
                    parameters.payload_types().collect(),
                    parameters.mid_extension,
                    parameters.ssrcs.iter().flat_map(|&(ssrc, rtx)| std::iter::once(ssrc).chain(rtx)),
                );
                let mode = self.receive_modes.get(&id).copied().unwrap_or_default();
                let config = ReceiverConfig::from(parameters).with_mode(mode);
                self.transport.media.set_receiver(now, id.into(), config);
            }
            None => {
                self.transport.demux.remove(id);
                self.transport.media.remove_receiver(now, id.into());
            }
        }
    }
}

fn send_error(error: taut_media::SendError) -> Error {
    let kind = match error {
        taut_media::SendError::UnknownSender => ErrorKind::InvalidState,
        taut_media::SendError::Codec => ErrorKind::NotSupported,
        _ => ErrorKind::Operation,
    };
    Error::new(kind, error.to_string())
}

impl From<taut_media::SenderId> for TransceiverId {
    fn from(id: taut_media::SenderId) -> Self {
        Self::new(id.0)
    }
}

impl From<taut_media::ReceiverId> for TransceiverId {
    fn from(id: taut_media::ReceiverId) -> Self {
        Self::new(id.0)
    }
}
