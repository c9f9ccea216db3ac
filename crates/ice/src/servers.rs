//! Servers and a policy that are set during a session (RFC 8829 section 4.1.18): they wait for the next time that candidates are
//! gathered. The policy belongs to the generation, so that pairs of before keep their sockets.

use std::net::SocketAddr;

use crate::agent::Agent;
use crate::config::{Policy, StunServer, TurnServer};
use crate::generation::GenerationId;

/// What is gathered from, and for what.
#[derive(Debug)]
pub(crate) struct Sources {
    stun: Vec<StunServer>,
    turn: Vec<TurnServer>,
    policy: Policy,
}

impl Agent {
    /// Sets the servers to ask and the candidates to use from the next time on that this agent gathers: when it begins, or with the
    /// next restart. Until then, and for pairs of before also after it, all stays as it is (RFC 8829 section 4.1.18). An allocation
    /// goes on, with the credentials that it was made with, if its server is still among them; else it ends with its last pair.
    pub fn set_servers(&mut self, stun: Vec<StunServer>, turn: Vec<TurnServer>, policy: Policy) {
        self.gathering.next = Some(Sources { stun, turn, policy });
    }

    /// What was set is so from now on.
    pub(crate) fn renew_sources(&mut self) {
        let Some(Sources { stun, turn, policy }) = self.gathering.next.take() else { return };
        self.config.stun_servers = stun;
        self.config.turn_servers = turn;
        self.config.policy = policy;
        self.relays.renew(&self.config.turn_servers);
    }

    /// True if checks of a generation may begin at this base.
    pub(crate) fn may_use(&self, generation: GenerationId, base: SocketAddr) -> bool {
        let policy = self.generations.get(generation).map(|generation| generation.policy);
        policy == Some(Policy::All) || self.is_relayed(base)
    }

    /// True if what comes in at this base is looked at.
    pub(crate) fn may_hear(&self, base: SocketAddr) -> bool {
        self.uses_all() || self.is_relayed(base)
    }

    /// True if not relays alone are used.
    pub(crate) fn uses_all(&self) -> bool {
        self.generations.iter().any(|generation| generation.policy == Policy::All)
    }
}
