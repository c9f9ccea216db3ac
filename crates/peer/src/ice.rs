//! What there is to know of ICE (W3C `RTCIceTransport`).

use std::time::Instant;

use taut_ice::{Candidate, Credentials, Report, Role};

use crate::event::{Event, IceCandidate, IceGatheringState};
use crate::peer::Peer;

/// Candidates that were gathered in advance (W3C `iceCandidatePoolSize`).
#[derive(Debug)]
pub(crate) enum Pool {
    /// There are none, or they have been told of.
    Unused,
    /// They wait for the first local description.
    Filling(Vec<Candidate>),
}

impl Peer {
    /// True while nobody is to know of candidates.
    pub(crate) fn is_pooling(&self) -> bool {
        matches!(self.pool, Pool::Filling(_))
    }

    /// A candidate was gathered: it waits in the pool, or is told of.
    pub(crate) fn on_local_candidate(&mut self, candidate: Candidate) {
        match &mut self.pool {
            Pool::Filling(pool) => pool.push(candidate),
            Pool::Unused => {
                let candidate = self.describe_candidate(&candidate);
                self.events.push(Event::IceCandidate(Some(candidate)));
            }
        }
    }

    /// The state of gathering changed: nobody is to know while there is no local description.
    pub(crate) fn on_gathering_state(&mut self, state: IceGatheringState) {
        if self.is_pooling() {
            return;
        }
        self.events.push(Event::IceGatheringStateChange(state));
        if state == IceGatheringState::Complete {
            self.events.push(Event::IceCandidate(None));
        }
    }

    /// The first local description was set.
    pub(crate) fn gather(&mut self, now: Instant) {
        self.transport.ice.gather(now);
        let Pool::Filling(pool) = std::mem::replace(&mut self.pool, Pool::Unused) else { return };
        self.events.push(Event::IceGatheringStateChange(IceGatheringState::Gathering));
        for candidate in pool {
            self.on_local_candidate(candidate);
        }
        if self.ice_gathering_state() == IceGatheringState::Complete {
            self.on_gathering_state(IceGatheringState::Complete);
        }
    }

    /// How it stands with ICE, and why: every pair with what was sent and heard, and a verdict in one line. It is logged when a
    /// connection fails.
    pub fn ice_report(&self) -> Report {
        self.transport.ice.report()
    }

    /// The local candidates that were told of, those of the current generation (W3C `getLocalCandidates`).
    pub fn local_candidates(&self) -> Vec<IceCandidate> {
        let ufrag = &self.local_ice_parameters().ufrag;
        let all = self.transport.ice.local_candidates();
        self.of_generation(all, Some(ufrag))
    }

    /// The remote candidates that were added or learned, those of the current generation (W3C `getRemoteCandidates`).
    pub fn remote_candidates(&self) -> Vec<IceCandidate> {
        let ufrag = self.remote_ice_parameters().map(|parameters| &parameters.ufrag);
        let all = self.transport.ice.remote_candidates();
        self.of_generation(all, ufrag)
    }

    /// The ufrag and password of this side (W3C `getLocalParameters`).
    pub fn local_ice_parameters(&self) -> &Credentials {
        self.transport.ice.local_credentials()
    }

    /// The ufrag and password of the other side, once they are known (W3C `getRemoteParameters`).
    pub fn remote_ice_parameters(&self) -> Option<&Credentials> {
        self.transport.ice.remote_credentials()
    }

    /// Whether this side nominates, once the parameters of the other side are known (W3C `RTCIceTransport.role`).
    pub fn ice_role(&self) -> Option<Role> {
        self.remote_ice_parameters().map(|_| self.transport.ice.role())
    }

    fn of_generation<'a>(
        &self,
        all: impl Iterator<Item = &'a Candidate>,
        ufrag: Option<&String>,
    ) -> Vec<IceCandidate> {
        let of_generation =
            |candidate: &&Candidate| candidate.ufrag.is_none() || candidate.ufrag.as_ref() == ufrag;
        all.filter(of_generation).map(|candidate| self.describe_candidate(candidate)).collect()
    }
}
