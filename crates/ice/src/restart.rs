//! ICE restart (RFC 8445 section 9): a new generation, and what becomes of the ones before.
//!
//! | What | When |
//! |---|---|
//! | a generation begins: new credentials, the same sockets, candidates gathered again | [`Agent::restart`], or other remote credentials than before |
//! | it is accepted: its pairs are checked | [`Agent::set_remote_credentials`] |
//! | it is taken back | [`Agent::roll_back_restart`], before it is accepted |
//! | data moves to it | it has a nominated pair, or a valid one while the pair before does not answer |
//! | older ones are given up | 3 s after it has a nominated pair, or once none of their pairs is valid |
//!
//! The role stays (RFC 8445 section 6.1.1). Requests of the other side are answered in every generation, and consent is kept
//! fresh on the pair in use with the credentials of its own.

use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::credentials::Credentials;
use crate::event::{Event, State};
use crate::generation::GenerationId;
use crate::pair::PairId;

/// How long an older generation is kept after the current one has a nominated pair: what is on its way may still come (RFC
/// 8445 section 8.3.1).
const LINGER: Duration = Duration::from_secs(3);

impl Agent {
    /// Begins a new generation with other credentials, and gathers again if gathering had begun. Signal
    /// [`local_credentials`](Self::local_credentials) and the candidates that follow; checks begin with
    /// [`set_remote_credentials`](Self::set_remote_credentials). The pair in use goes on to carry data until then and until a
    /// new one is nominated. A restart that the other side has not accepted yet is taken back first. After a failure,
    /// this is the way to go on; a closed agent stays closed.
    pub fn restart(&mut self, now: Instant) {
        let now = self.tick(now);
        if self.state == State::Closed {
            return;
        }
        self.drop_pending(now);
        self.begin_generation(now);
        self.reconcile(now);
    }

    /// Takes back a restart that the other side has not accepted: the generation before is the current one again, with its
    /// candidates, pairs and state. Without such a restart, nothing happens.
    pub fn roll_back_restart(&mut self, now: Instant) {
        let now = self.tick(now);
        if self.state == State::Closed || !self.drop_pending(now) {
            return;
        }
        self.gather_anew(now);
        if self.state == State::Failed {
            self.gathering.stop();
        }
        self.reconcile(now);
    }

    /// The credentials that the next [`restart`](Self::restart) will give this agent; so an offer can be made before it is
    /// known whether it will be used.
    pub fn next_credentials(&self) -> &Credentials {
        self.generations.next_credentials()
    }

    /// Begins a new generation; those that neither carry data nor can be gone back to end.
    pub(crate) fn begin_generation(&mut self, now: Instant) {
        let previous = self.generations.current().id;
        let carrying = self.selected.and_then(|id| self.checklist.get(id)).map(|pair| pair.generation);
        let ended: Vec<GenerationId> = self.generations.iter().map(|generation| generation.id).collect();
        for id in ended.into_iter().filter(|id| *id != previous && Some(*id) != carrying) {
            self.retire(id);
        }
        self.generations.current_mut().left_in = self.state;
        self.rest();
        self.superseded = None;
        self.renew_sources();
        self.generations.begin(&mut self.rng, self.config.policy);
        self.renew_hosts();
        // What was lost before is forgotten (webrtc-pc section 5.6.4).
        if matches!(self.state, State::Failed | State::Disconnected) {
            self.set_state(State::Checking);
        }
        self.gather_anew(now);
    }

    /// Ends a generation that waits for the other side to accept it, if there is one to go back to.
    fn drop_pending(&mut self, now: Instant) -> bool {
        let current = self.generations.current();
        let pending = current.id;
        let Some(left_in) = self.generations.previous().map(|previous| previous.left_in) else {
            return false;
        };
        if current.remote().is_some() {
            return false;
        }
        self.retire(pending);
        self.renew_hosts();
        if left_in == State::Failed {
            self.set_state(State::Failed);
        }
        let patience = self.generations.current().patience;
        if patience.is_some_and(|until| until <= now) && left_in == State::Checking {
            // The time that the restart took is given back.
            self.generations.current_mut().patience = now.checked_add(self.config.patience);
        }
        true
    }

    /// Puts off the checks of pairs that are not valid yet: the current generation is another one.
    fn rest(&mut self) {
        let hopeful = self.checklist.iter().filter(|(_, pair)| pair.is_hopeful());
        let ids: Vec<PairId> = hopeful.map(|(id, _)| id).collect();
        for id in ids {
            self.checklist.untrigger(id);
            if let Some(pair) = self.checklist.get_mut(id) {
                pair.restart();
            }
        }
    }

    /// Sees to it that every base has a host candidate in the current generation.
    fn renew_hosts(&mut self) {
        let generation = self.generations.current().id;
        let bases: Vec<_> = self.bases.iter().map(|base| (base.address, base.preference)).collect();
        for (address, preference) in bases {
            let known = self.host_at(generation, address);
            let Some(host) = known.or_else(|| self.add_host(address, preference)) else { continue };
            if let Some(base) = self.bases.iter_mut().find(|base| base.address == address) {
                base.host = host;
            }
            if known.is_none() {
                self.pair_base(host);
            }
        }
        self.renew_tcp_hosts();
    }

    /// Gives up the generations before the current one, once they are of no use any more.
    pub(crate) fn retire_superseded(&mut self, now: Instant) {
        let current = self.generations.current();
        if self.generations.previous().is_none() || current.remote().is_none() {
            return;
        }
        let id = current.id;
        if self.superseded.is_none() && self.has_nominated() {
            self.superseded = now.checked_add(LINGER);
        }
        let over = self.superseded.is_some_and(|at| at <= now);
        let useless =
            |id: GenerationId| over || !self.checklist.of(id).any(|(_, pair)| pair.valid().is_some());
        let older = self.generations.iter().map(|generation| generation.id).filter(|older| *older != id);
        let ended: Vec<GenerationId> = older.filter(|older| useless(*older)).collect();
        for id in ended {
            self.retire(id);
        }
        if self.generations.previous().is_none() {
            self.superseded = None;
        }
    }

    /// Ends a generation with everything that belongs to it.
    fn retire(&mut self, id: GenerationId) {
        let Some(generation) = self.generations.get(id) else { return };
        self.events.push_back(Event::CredentialsRetired { ufrag: generation.local.ufrag.clone() });
        let early: Vec<_> = generation.early.iter().map(|early| early.path).collect();
        self.generations.remove(id);
        let pairs: Vec<PairId> = self.checklist.of(id).map(|(id, _)| id).collect();
        for pair in pairs {
            self.remove_pair(pair);
        }
        for path in early {
            self.forget_route(&path);
        }
        self.remotes.retain(|_, remote| remote.generation != id);
        self.locals.retain(|_, local| local.generation != id);
        self.naming.forget(id);
    }
}
