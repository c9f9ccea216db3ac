//! Offer, answer and candidates: the commands, and what follows from a description.

use std::time::Instant;

use crate::description::SessionDescription;
use crate::error::{Error, ErrorKind};
use crate::event::{Event, IceCandidate, IceGatheringState};
use crate::peer::Peer;
use crate::signaling::{Effect, LocalTransport, OfferOptions, SignalingState};

impl Peer {
    /// Makes an offer of what the connection has and wants (W3C `createOffer`). It changes nothing that the other
    /// side can see until it is set.
    ///
    /// # Errors
    ///
    /// `InvalidState` when the signaling state does not allow an offer.
    pub fn create_offer(&mut self, now: Instant, options: OfferOptions) -> Result<SessionDescription, Error> {
        self.check_open()?;
        self.advance(now);
        let local = self.local_transport();
        self.signaling.create_offer(&local, options)
    }

    /// Makes an answer to the remote offer (W3C `createAnswer`).
    ///
    /// # Errors
    ///
    /// `InvalidState` when there is no remote offer to answer.
    pub fn create_answer(&mut self, now: Instant) -> Result<SessionDescription, Error> {
        self.check_open()?;
        self.advance(now);
        let local = self.local_transport();
        self.signaling.create_answer(&local)
    }

    /// Sets the local description (W3C `setLocalDescription`); `None` makes the one that the state asks for. Gathering
    /// begins with the first.
    ///
    /// # Errors
    ///
    /// As W3C: `InvalidState`, `InvalidModification`, `Operation`; after an error nothing has changed.
    pub fn set_local_description(
        &mut self,
        now: Instant,
        description: Option<SessionDescription>,
    ) -> Result<(), Error> {
        self.check_open()?;
        let now = self.advance(now);
        let local = self.local_transport();
        let effects = self.signaling.set_local(description, &local)?;
        self.apply(now, effects);
        Ok(())
    }

    /// Sets the remote description (W3C `setRemoteDescription`).
    ///
    /// # Errors
    ///
    /// As W3C: `InvalidState`, `InvalidAccess`, `Syntax`, `Operation`; after an error nothing has changed.
    pub fn set_remote_description(
        &mut self,
        now: Instant,
        description: SessionDescription,
    ) -> Result<(), Error> {
        self.check_open()?;
        let now = self.advance(now);
        let effects = self.signaling.set_remote(description)?;
        self.apply(now, effects);
        Ok(())
    }

    /// Adds a candidate of the other side, or with `None` says that there are no more (W3C `addIceCandidate`).
    ///
    /// # Errors
    ///
    /// `Type` for a candidate that names no section, `InvalidState` without a remote description, `Operation` for a
    /// candidate that does not fit it or cannot be parsed.
    pub fn add_ice_candidate(&mut self, now: Instant, candidate: Option<IceCandidate>) -> Result<(), Error> {
        self.check_open()?;
        let now = self.advance(now);
        let effects = self.signaling.add_remote_candidate(candidate)?;
        self.apply(now, effects);
        Ok(())
    }

    /// Asks for new ICE credentials and candidates (W3C `restartIce`): the next offer has them, and
    /// [`Event::NegotiationNeeded`] asks for it. Media and data go on over the pair in use until a new one is nominated; a
    /// connection that is disconnected or has failed comes back if there is a way.
    pub fn restart_ice(&mut self, now: Instant) {
        if self.check_open().is_err() {
            return;
        }
        let now = self.advance(now);
        self.signaling.restart_ice();
        self.update_negotiation_needed();
        self.collect(now);
    }

    /// The local description, with the candidates gathered so far (W3C `localDescription`).
    pub fn local_description(&self) -> Option<SessionDescription> {
        self.signaling.local_description(&self.local_transport())
    }

    /// W3C `currentLocalDescription`.
    pub fn current_local_description(&self) -> Option<SessionDescription> {
        self.signaling.current_local_description(&self.local_transport())
    }

    /// W3C `pendingLocalDescription`.
    pub fn pending_local_description(&self) -> Option<SessionDescription> {
        self.signaling.pending_local_description(&self.local_transport())
    }

    /// The remote description, with the candidates added so far (W3C `remoteDescription`).
    pub fn remote_description(&self) -> Option<SessionDescription> {
        self.signaling.remote_description()
    }

    /// W3C `currentRemoteDescription`.
    pub fn current_remote_description(&self) -> Option<SessionDescription> {
        self.signaling.current_remote_description()
    }

    /// W3C `pendingRemoteDescription`.
    pub fn pending_remote_description(&self) -> Option<SessionDescription> {
        self.signaling.pending_remote_description()
    }

    /// W3C `signalingState`.
    pub fn signaling_state(&self) -> SignalingState {
        self.signaling.state()
    }

    /// Whether the other side takes candidates one by one; `None` before its description (W3C
    /// `canTrickleIceCandidates`).
    pub fn can_trickle_ice_candidates(&self) -> Option<bool> {
        self.signaling.can_trickle()
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.lifecycle.is_open() {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::InvalidState, "the connection is closed"))
        }
    }

    /// What the transport has to say in a local description.
    fn local_transport(&self) -> LocalTransport {
        let ice = &self.transport.ice;
        LocalTransport {
            credentials: ice.local_credentials().clone(),
            next_credentials: ice.next_credentials().clone(),
            fingerprints: vec![self.certificate.fingerprint(taut_dtls::HashAlgorithm::Sha256)],
            candidates: ice
                .local_candidates()
                .filter(|_| !self.is_pooling())
                .map(ToString::to_string)
                .collect(),
            end_of_candidates: self.ice_gathering_state() == IceGatheringState::Complete,
            dtls_role: self.transport.dtls_role(),
        }
    }

    /// Does what a description means.
    fn apply(&mut self, now: Instant, effects: Vec<Effect>) {
        // What an exchange has left undone is said again (W3C section 4.4.1.5).
        self.negotiation_needed &= !effects.contains(&Effect::StateChanged(SignalingState::Stable));
        for effect in effects {
            self.apply_one(now, effect);
        }
        self.update_negotiation_needed();
        self.collect(now);
    }

    pub(crate) fn apply_one(&mut self, now: Instant, effect: Effect) {
        match effect {
            Effect::Gather => self.gather(now),
            Effect::RestartIce => self.transport.ice.restart(now),
            Effect::RollBackIceRestart => self.transport.ice.roll_back_restart(now),
            Effect::Transport(parameters) => {
                let credentials = taut_ice::Credentials {
                    ufrag: parameters.remote_ufrag.clone(),
                    pwd: parameters.remote_pwd.clone(),
                };
                self.transport.ice.set_role(now, parameters.ice_role);
                self.transport.ice.set_remote_credentials(now, credentials, parameters.remote_lite);
                self.transport.set_parameters(now, parameters);
            }
            Effect::RemoteCandidates { ufrag, candidates } => {
                for text in candidates {
                    let added = text.parse().map(|mut candidate: taut_ice::Candidate| {
                        candidate.ufrag.get_or_insert_with(|| ufrag.clone());
                        self.transport.ice.add_remote_candidate(now, candidate)
                    });
                    if !matches!(added, Ok(Ok(()))) {
                        tracing::debug!(text, "a candidate of the remote description is not used");
                    }
                }
            }
            Effect::EndOfRemoteCandidates => self.transport.ice.end_of_remote_candidates(now),
            Effect::Send { transceiver, parameters } => self.apply_send(now, transceiver, parameters),
            Effect::Receive { transceiver, parameters } => self.apply_receive(now, transceiver, parameters),
            Effect::Data(Some(parameters)) => self.transport.set_data(now, parameters),
            Effect::Data(None) => self.transport.refuse_data(now),
            Effect::Track { transceiver, track_id, streams } => {
                self.events.push(Event::Track { transceiver, track_id, streams });
            }
            Effect::TrackMuted(transceiver) => self.events.push(Event::TrackMuted(transceiver)),
            Effect::TrackUnmuted(transceiver) => self.events.push(Event::TrackUnmuted(transceiver)),
            Effect::TransceiverStopped(transceiver) => {
                self.receive_modes.remove(&transceiver);
                self.events.push(Event::TrackEnded(transceiver));
            }
            Effect::StateChanged(state) => self.events.push(Event::SignalingStateChange(state)),
        }
    }

    /// W3C "update the negotiation-needed flag", section 4.7.3.
    pub(crate) fn update_negotiation_needed(&mut self) {
        let needed = self.signaling.negotiation_needed();
        if needed && !self.negotiation_needed && self.signaling.state() == SignalingState::Stable {
            self.events.push(Event::NegotiationNeeded);
        }
        if self.signaling.state() == SignalingState::Stable {
            self.negotiation_needed = needed;
        }
    }
}
