//! The state: plain data, cloned before every step and put in place of the old one when the step has gone well.

use std::sync::Arc;

use taut_sdp::Session;

use super::config::{OfferOptions, SignalingState};
use super::effect::{DataParameters, TransportParameters};
use super::restart::LocalIce;
use crate::description::SdpType;
use crate::error::{Error, ErrorKind};
use crate::transceiver::{Negotiated, Origin, Transceiver, TransceiverId};

/// A description that was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) kind: SdpType,
    pub(super) session: Arc<Session>,
}

/// A description that was made and may be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) session: Arc<Session>,
    /// Which transceiver each media section of an offer stands for.
    pub(super) sections: Vec<(usize, TransceiverId)>,
    /// What an offer was made with.
    pub(super) options: OfferOptions,
}

/// What the transport was given, to tell a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Established {
    pub(super) parameters: TransportParameters,
    pub(super) tls_id: Option<String>,
}

/// How far data channels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum DataState {
    #[default]
    None,
    Agreed(DataParameters),
    Refused,
}

/// Everything but the randomness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) signaling: SignalingState,
    pub(super) session_id: u64,
    /// Of the description that was made last.
    pub(super) version: u64,
    pub(super) next_transceiver: u32,
    pub(super) transceivers: Vec<Transceiver>,
    /// What the transceivers were in the stable state that a rollback goes back to.
    pub(super) kept: Vec<(TransceiverId, Negotiated)>,
    pub(super) current_local: Option<Description>,
    pub(super) current_remote: Option<Description>,
    pub(super) pending_local: Option<Description>,
    pub(super) pending_remote: Option<Description>,
    pub(super) last_offer: Option<Draft>,
    pub(super) last_answer: Option<Draft>,
    pub(super) data_wanted: bool,
    pub(super) data: DataState,
    pub(super) transport: Option<Established>,
    pub(super) ice: LocalIce,
    pub(super) gathering: bool,
    /// The remote candidates that the transport was given with its remote credentials, without `candidate:`.
    pub(super) given_candidates: Vec<String>,
    pub(super) given_end: bool,
}

impl State {
    pub(super) fn new(session_id: u64) -> Self {
        Self {
            signaling: SignalingState::Stable,
            session_id,
            version: 0,
            next_transceiver: 0,
            transceivers: Vec::new(),
            kept: Vec::new(),
            current_local: None,
            current_remote: None,
            pending_local: None,
            pending_remote: None,
            last_offer: None,
            last_answer: None,
            data_wanted: false,
            data: DataState::None,
            transport: None,
            ice: LocalIce::default(),
            gathering: false,
            given_candidates: Vec::new(),
            given_end: false,
        }
    }

    pub(super) fn local(&self) -> Option<&Description> {
        self.pending_local.as_ref().or(self.current_local.as_ref())
    }

    pub(super) fn remote(&self) -> Option<&Description> {
        self.pending_remote.as_ref().or(self.current_remote.as_ref())
    }

    pub(super) fn transceiver(&self, id: TransceiverId) -> Option<&Transceiver> {
        // Ids grow in the order of creation, so the list is sorted.
        self.transceivers
            .binary_search_by_key(&id, |transceiver| transceiver.id)
            .ok()
            .and_then(|at| self.transceivers.get(at))
    }

    pub(super) fn transceiver_mut(&mut self, id: TransceiverId) -> Option<&mut Transceiver> {
        let at = self.transceivers.binary_search_by_key(&id, |transceiver| transceiver.id).ok()?;
        self.transceivers.get_mut(at)
    }

    /// The transceiver of a media section.
    pub(super) fn at_index(&self, index: usize) -> Option<&Transceiver> {
        self.transceivers.iter().find(|transceiver| transceiver.negotiated.index == Some(index))
    }

    /// How many media sections were agreed on so far; a description never has fewer (RFC 3264 section 8).
    pub(super) fn current_len(&self) -> usize {
        self.current_local.as_ref().map_or(0, |description| description.session.media.len())
    }

    /// The answer of the last exchange that was completed.
    pub(super) fn current_answer(&self) -> Option<&Description> {
        [&self.current_local, &self.current_remote].into_iter().flatten().find(|d| d.kind == SdpType::Answer)
    }

    /// Whether a section of the last exchange was refused, so that its place is free.
    pub(super) fn is_rejected(&self, index: usize) -> bool {
        let media = self.current_answer().and_then(|answer| answer.session.media.get(index));
        media.is_some_and(|media| media.port == 0)
    }

    /// Begins an exchange: remembers what a rollback goes back to.
    pub(super) fn keep(&mut self) {
        self.kept = self.transceivers.iter().map(|t| (t.id, t.negotiated.clone())).collect();
    }

    /// Puts the transceivers back to what they were in the stable state, without changing anything else.
    pub(super) fn restore_negotiated(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        for transceiver in &mut self.transceivers {
            let before =
                kept.binary_search_by_key(&transceiver.id, |(id, _)| *id).ok().and_then(|at| kept.get(at));
            transceiver.negotiated = before.map(|(_, negotiated)| negotiated.clone()).unwrap_or_default();
        }
        self.kept = kept;
    }

    /// Takes back the pending descriptions (RFC 8829 section 5.7, W3C section 4.4.1.5 step "rollback").
    pub(super) fn roll_back(&mut self) -> Result<(), Error> {
        if !matches!(self.signaling, SignalingState::HaveLocalOffer | SignalingState::HaveRemoteOffer) {
            let message = format!("there is no offer to roll back in the state {:?}", self.signaling);
            return Err(Error::new(ErrorKind::InvalidState, message));
        }
        self.restore_negotiated();
        self.drop_unclaimed();
        self.drop_ended();
        self.kept = Vec::new();
        self.pending_local = None;
        self.pending_remote = None;
        self.ice.roll_back();
        self.last_offer = None;
        self.last_answer = None;
        self.signaling = SignalingState::Stable;
        Ok(())
    }

    /// Removes the transceivers that a remote offer made, that it no longer has and that the application has not
    /// attached a track to. One with a track is from now on as if `addTrack` had made it.
    pub(super) fn drop_unclaimed(&mut self) {
        self.transceivers
            .retain(|t| t.origin != Origin::RemoteOffer || t.attached || t.negotiated.index.is_some());
        for transceiver in self.transceivers.iter_mut().filter(|t| t.attached && t.negotiated.index.is_none())
        {
            transceiver.origin = Origin::AddTrack;
        }
    }

    /// Removes what was stopped before a description had it, or has been rejected.
    fn drop_ended(&mut self) {
        let ended = |t: &Transceiver| t.negotiated.stopped || (t.stopping && t.negotiated.index.is_none());
        self.transceivers.retain(|transceiver| !ended(transceiver));
    }

    /// Ends an exchange.
    pub(super) fn become_stable(&mut self) {
        self.ice.complete();
        self.signaling = SignalingState::Stable;
        self.kept = Vec::new();
        self.last_offer = None;
        self.last_answer = None;
        self.drop_ended();
        self.drop_unclaimed();
    }
}
