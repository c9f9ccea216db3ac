//! JSEP (RFC 8829, RFC 9429) as a pure step: a state and a description give the next state and a list of [`Effect`]s, or an error with
//! nothing changed. No clock, no transport: what the transport contributes to a description is an argument.
//!
//! The state keeps pending and current descriptions apart, and what descriptions made of a transceiver apart from what the
//! application wants of it. So a rollback puts back the first and leaves the second, and effects are the difference of two states.
//!
//! Choices where the documents leave some:
//! - All sections share one transport. Every section of ours carries its parameters; an answer that does not bundle is
//!   an error, and of an offer that does not bundle only the first usable section is taken.
//! - A section that is not taken gets no transceiver and no track event.
//! - Data channels that were refused once stay refused: no later description offers or takes them.
//! - A section that a remote offer rejects stops its transceiver when the answer is set, not before, so that a rollback can undo it.

mod answer;
mod apply;
mod candidates;
mod codecs;
mod config;
mod effect;
mod media_config;
mod needed;
mod offer;
mod plan;
mod remote;
mod restart;
mod sections;
mod state;
#[cfg(test)]
mod tests;
mod transceivers;

use taut_media::{Codec, Kind};
use taut_sansio::rng::Rng;

pub use codecs::NegotiatedCodec;
pub use config::{LocalTransport, OfferOptions, SignalingConfig, SignalingState};
pub use effect::{DataParameters, Effect, ReceiveParameters, SendParameters, TransportParameters};

use crate::description::{SdpType, SessionDescription};
use crate::error::{Error, ErrorKind};
use crate::event::IceCandidate;
use crate::transceiver::{Direction, TrackInfo, Transceiver, TransceiverId, TransceiverInit};
use state::{Description, Draft, State};

/// The negotiation of one peer connection.
#[derive(Debug)]
pub struct Signaling {
    config: SignalingConfig,
    rng: Rng,
    state: State,
}

impl Signaling {
    /// A negotiation at its beginning.
    pub fn new(config: SignalingConfig, mut rng: Rng) -> Self {
        // 62 bits: RFC 8829 section 5.2.1 wants less than 2^63 - 1.
        let session_id = rng.u64() >> 2;
        Self { config, rng, state: State::new(session_id) }
    }

    // ---- descriptions

    /// Makes an offer (W3C `createOffer`).
    ///
    /// # Errors
    /// `InvalidState` if the state does not allow an offer.
    pub fn create_offer(
        &mut self,
        local: &LocalTransport,
        options: OfferOptions,
    ) -> Result<SessionDescription, Error> {
        self.check_open()?;
        let mut next = self.state.clone();
        let draft = offer::create(&mut next, &self.config, local, options)?;
        self.state = next;
        Ok(describe(SdpType::Offer, &draft, local))
    }

    /// Makes an answer (W3C `createAnswer`).
    ///
    /// # Errors
    /// `InvalidState` if there is no remote offer to answer.
    pub fn create_answer(&mut self, local: &LocalTransport) -> Result<SessionDescription, Error> {
        self.check_open()?;
        let mut next = self.state.clone();
        let draft = answer::create(&mut next, &self.config, local)?;
        self.state = next;
        Ok(describe(SdpType::Answer, &draft, local))
    }

    /// Sets the local description (W3C `setLocalDescription`); `None`, or an empty text, makes the one that is due.
    ///
    /// # Errors
    /// `InvalidState` for a type that the state does not allow, `InvalidModification` for a text that is not the one made
    /// last, candidates aside, `Syntax` for one that cannot be read.
    pub fn set_local(
        &mut self,
        description: Option<SessionDescription>,
        local: &LocalTransport,
    ) -> Result<Vec<Effect>, Error> {
        self.check_open()?;
        self.step(|state, config, rng| apply::set_local(state, config, rng, description, local))
    }

    /// Sets the remote description (W3C `setRemoteDescription`). An offer takes back a local one that waits for its answer.
    ///
    /// # Errors
    /// `InvalidState` for a type that the state does not allow, `Syntax` for a text that cannot be read, `InvalidAccess` for
    /// content that is not valid, `Operation` for what is not supported, such as another DTLS association.
    pub fn set_remote(&mut self, description: SessionDescription) -> Result<Vec<Effect>, Error> {
        self.check_open()?;
        self.step(|state, _, rng| apply::set_remote(state, rng, &description))
    }

    /// Adds a candidate of the other side; `None` says that there are no more (W3C `addIceCandidate`).
    ///
    /// # Errors
    /// `Type` if it does not say its section, `InvalidState` before a remote description, `Operation` for a candidate that
    /// cannot be read or does not fit the description.
    pub fn add_remote_candidate(&mut self, candidate: Option<IceCandidate>) -> Result<Vec<Effect>, Error> {
        self.check_open()?;
        self.step(|state, _, _| candidates::add(state, candidate.as_ref()))
    }

    /// Ends the negotiation: every further command is refused.
    pub fn close(&mut self) {
        self.state.signaling = SignalingState::Closed;
        for transceiver in &mut self.state.transceivers {
            transceiver.stopping = true;
            transceiver.negotiated.stopped = true;
        }
    }

    // ---- tracks and transceivers

    /// W3C `addTrack`.
    ///
    /// # Errors
    /// `InvalidAccess` if the track is being sent already, `Type` for an id that is no token.
    pub fn add_track(&mut self, track: TrackInfo, streams: Vec<String>) -> Result<TransceiverId, Error> {
        self.check_open()?;
        transceivers::add_track(&mut self.state, &mut self.rng, track, streams)
    }

    /// W3C `removeTrack`.
    ///
    /// # Errors
    /// `InvalidAccess` for an unknown transceiver.
    pub fn remove_track(&mut self, id: TransceiverId) -> Result<(), Error> {
        self.check_open()?;
        transceivers::remove_track(&mut self.state, id)
    }

    /// W3C `addTransceiver`.
    ///
    /// # Errors
    /// `Type` for the direction `stopped`, a track of the other kind or an id that is no token, `InvalidModification` for a codec that is not supported.
    pub fn add_transceiver(&mut self, kind: Kind, init: TransceiverInit) -> Result<TransceiverId, Error> {
        self.check_open()?;
        transceivers::add_transceiver(&mut self.state, &mut self.rng, kind, init)
    }

    /// Sets W3C `direction`.
    ///
    /// # Errors
    /// `InvalidAccess` for an unknown transceiver, `InvalidState` for a stopped one, `Type` for the direction `stopped`.
    pub fn set_direction(&mut self, id: TransceiverId, direction: Direction) -> Result<(), Error> {
        self.check_open()?;
        transceivers::set_direction(&mut self.state, id, direction)
    }

    /// W3C `stop`: ends at once here, and for the other side with the next exchange.
    ///
    /// # Errors
    /// `InvalidAccess` for an unknown transceiver.
    pub fn stop(&mut self, id: TransceiverId) -> Result<Vec<Effect>, Error> {
        self.check_open()?;
        self.step(|state, _, _| transceivers::stop(state, id))
    }

    /// W3C `setCodecPreferences`; no codec at all means all again.
    ///
    /// # Errors
    /// `InvalidAccess` for an unknown transceiver, `InvalidState` for a stopped one, `InvalidModification` for a codec that is not supported.
    pub fn set_codec_preferences(&mut self, id: TransceiverId, codecs: Vec<Codec>) -> Result<(), Error> {
        self.check_open()?;
        transceivers::set_codec_preferences(&mut self.state, id, codecs)
    }

    /// W3C `replaceTrack`: needs no negotiation.
    ///
    /// # Errors
    /// `InvalidAccess` for an unknown transceiver, `InvalidState` for a stopped one, `Type` for a track of the other kind.
    pub fn replace_track(&mut self, id: TransceiverId, track: Option<TrackInfo>) -> Result<(), Error> {
        self.check_open()?;
        transceivers::replace_track(&mut self.state, id, track)
    }

    /// A data channel was made: the next offer has a section for it.
    pub fn want_data_channel(&mut self) {
        self.state.data_wanted = true;
    }

    /// The next offer restarts ICE (W3C `restartIce`); without a description so far there is nothing to restart.
    pub fn restart_ice(&mut self) {
        self.state.ice.want_restart();
    }

    /// The next offer restarts ICE, whenever there is one: what is gathered from has changed (RFC 8829 section 3.5.1,
    /// `needs-ice-restart`).
    pub fn need_ice_restart(&mut self) {
        self.state.ice.need_restart();
    }

    // ---- getters

    /// W3C `signalingState`.
    pub fn state(&self) -> SignalingState {
        self.state.signaling
    }

    /// Whether an offer is needed (W3C section 4.7.3); only ever in the stable state.
    pub fn negotiation_needed(&self) -> bool {
        needed::is_needed(&self.state)
    }

    /// W3C `canTrickleIceCandidates`: `None` before a remote description.
    pub fn can_trickle(&self) -> Option<bool> {
        self.state.remote().map(|remote| answer::has_ice_option(&remote.session, "trickle"))
    }

    /// The transceivers in the order of their creation.
    pub fn transceivers(&self) -> impl Iterator<Item = &Transceiver> {
        self.state.transceivers.iter()
    }

    /// One transceiver.
    pub fn transceiver(&self, id: TransceiverId) -> Option<&Transceiver> {
        self.state.transceiver(id)
    }

    /// The mid of the section that local candidates belong to, and its index.
    pub fn transport_section(&self) -> Option<(Option<String>, u16)> {
        let session = &self.state.local()?.session;
        let index = remote::transport_section(session)?;
        let mid = session.media.get(index).and_then(|media| media.mid()).map(str::to_owned);
        Some((mid, u16::try_from(index).ok()?))
    }

    /// W3C `localDescription`, with the candidates gathered so far.
    pub fn local_description(&self, local: &LocalTransport) -> Option<SessionDescription> {
        self.state.local().map(|description| describe_local(description, local))
    }

    /// W3C `currentLocalDescription`.
    pub fn current_local_description(&self, local: &LocalTransport) -> Option<SessionDescription> {
        self.state.current_local.as_ref().map(|description| describe_local(description, local))
    }

    /// W3C `pendingLocalDescription`.
    pub fn pending_local_description(&self, local: &LocalTransport) -> Option<SessionDescription> {
        self.state.pending_local.as_ref().map(|description| describe_local(description, local))
    }

    /// W3C `remoteDescription`, with the candidates added so far.
    pub fn remote_description(&self) -> Option<SessionDescription> {
        self.state.remote().map(describe_remote)
    }

    /// W3C `currentRemoteDescription`.
    pub fn current_remote_description(&self) -> Option<SessionDescription> {
        self.state.current_remote.as_ref().map(describe_remote)
    }

    /// W3C `pendingRemoteDescription`.
    pub fn pending_remote_description(&self) -> Option<SessionDescription> {
        self.state.pending_remote.as_ref().map(describe_remote)
    }

    // ---- private

    fn check_open(&self) -> Result<(), Error> {
        match self.state.signaling {
            SignalingState::Closed => Err(Error::new(ErrorKind::InvalidState, "the connection is closed")),
            _ => Ok(()),
        }
    }

    /// The one place where a new state takes the place of the old one.
    fn step(
        &mut self,
        change: impl FnOnce(&mut State, &SignalingConfig, &mut Rng) -> Result<(), Error>,
    ) -> Result<Vec<Effect>, Error> {
        let mut next = self.state.clone();
        change(&mut next, &self.config, &mut self.rng)?;
        let effects = effect::difference(&self.state, &next);
        self.state = next;
        Ok(effects)
    }
}

fn describe(kind: SdpType, draft: &Draft, local: &LocalTransport) -> SessionDescription {
    SessionDescription::new(kind, sections::with_candidates((*draft.session).clone(), local).to_string())
}

fn describe_local(description: &Description, local: &LocalTransport) -> SessionDescription {
    let session = sections::with_candidates((*description.session).clone(), local);
    SessionDescription::new(description.kind, session.to_string())
}

fn describe_remote(description: &Description) -> SessionDescription {
    SessionDescription::new(description.kind, description.session.to_string())
}
