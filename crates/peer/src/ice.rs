//! What there is to know of ICE (W3C `RTCIceTransport`).

use taut_ice::{Candidate, Credentials, Report};

use crate::event::IceCandidate;
use crate::peer::Peer;

impl Peer {
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
