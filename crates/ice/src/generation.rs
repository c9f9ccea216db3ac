//! Generations: an ICE restart (RFC 8445 section 9) begins a new one, with credentials, candidates and pairs of its own.
//!
//! Every candidate and every pair belongs to one generation. The newest is the current one: only its pairs are checked
//! in their turn and nominated. Older ones are kept for two reasons: a pair of theirs carries the data until the current
//! generation has a nominated pair, and a restart that the other side has not accepted yet can be rolled back.

use std::time::Instant;

use taut_sansio::net::Path;
use taut_sansio::rng::Rng;
use taut_stun::Key;

use crate::answers::EarlyCheck;
use crate::config::Policy;
use crate::credentials::{Credentials, RemoteCredentials, RemoteSide};
use crate::event::State;
use crate::nomination::Nomination;

/// Names a generation for the life of the agent. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GenerationId(u32);

/// What a restart begins anew, apart from the tables of candidates and pairs.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) id: GenerationId,
    pub(crate) local: Credentials,
    /// Our password, ready for use.
    pub(crate) local_key: Key,
    remote: RemoteSide,
    /// Checks that came before the remote credentials.
    pub(crate) early: Vec<EarlyCheck>,
    pub(crate) nomination: Nomination,
    /// A pair has been nominated: of the candidates that come now only those are paired that promise a better one.
    pub(crate) concluded: bool,
    /// Data has gone over a pair of this generation.
    pub(crate) connected: bool,
    /// The pair in use does not answer, and all others have been put up for checks again.
    pub(crate) seeking: bool,
    /// The address in use was removed: the agent fails then, unless there is another way.
    pub(crate) adrift: Option<Instant>,
    /// No more remote candidates will come.
    pub(crate) remote_done: bool,
    /// Somebody named a ufrag that was not signalled, or one of ours without its password.
    pub(crate) strangers: bool,
    /// When the agent may fail for want of a valid pair (RFC 8863); set when checks begin.
    pub(crate) patience: Option<Instant>,
    /// The state of the agent when the next generation began, which a rollback goes back to.
    pub(crate) left_in: State,
    /// Which candidates it has.
    pub(crate) policy: Policy,
}

impl Generation {
    fn new(id: GenerationId, local: Credentials, policy: Policy) -> Self {
        Self {
            id,
            local_key: Key::short_term(&local.pwd),
            local,
            remote: RemoteSide::Unknown,
            early: Vec::new(),
            nomination: Nomination::Idle,
            concluded: false,
            connected: false,
            seeking: false,
            adrift: None,
            remote_done: false,
            strangers: false,
            patience: None,
            left_in: State::New,
            policy,
        }
    }

    pub(crate) fn remote(&self) -> Option<&RemoteCredentials> {
        match &self.remote {
            RemoteSide::Unknown => None,
            RemoteSide::Known(remote) => Some(remote),
        }
    }

    pub(crate) fn set_remote(&mut self, credentials: Credentials) {
        self.remote = RemoteSide::Known(RemoteCredentials::new(credentials, &self.local));
    }
}

/// All generations that are still of use, the newest last. Never empty.
#[derive(Debug)]
pub(crate) struct Generations {
    list: Vec<Generation>,
    next_id: u32,
    /// What the next generation will have.
    next: Credentials,
}

impl Generations {
    pub(crate) fn new(rng: &mut Rng, policy: Policy) -> Self {
        let first = Generation::new(GenerationId(0), Credentials::generate(rng), policy);
        Self { list: vec![first], next_id: 1, next: Credentials::generate(rng) }
    }

    #[allow(clippy::expect_used, reason = "made with one generation, and the last is never taken out")]
    pub(crate) fn current(&self) -> &Generation {
        self.list.last().expect("never empty")
    }

    #[allow(clippy::expect_used, reason = "made with one generation, and the last is never taken out")]
    pub(crate) fn current_mut(&mut self) -> &mut Generation {
        self.list.last_mut().expect("never empty")
    }

    /// The one before the current one.
    pub(crate) fn previous(&self) -> Option<&Generation> {
        self.list.len().checked_sub(2).and_then(|place| self.list.get(place))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Generation> {
        self.list.iter()
    }

    /// True if a check came on this path before the remote credentials.
    pub(crate) fn checked_early(&self, path: &Path) -> bool {
        self.list.iter().flat_map(|generation| &generation.early).any(|early| early.path == *path)
    }

    /// Forgets the early checks that `which` holds for.
    pub(crate) fn forget_early(&mut self, which: impl Fn(&EarlyCheck) -> bool) {
        for generation in &mut self.list {
            generation.early.retain(|early| !which(early));
        }
    }

    pub(crate) fn get(&self, id: GenerationId) -> Option<&Generation> {
        self.list.iter().find(|generation| generation.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: GenerationId) -> Option<&mut Generation> {
        self.list.iter_mut().find(|generation| generation.id == id)
    }

    /// The generation that has this local ufrag.
    pub(crate) fn by_local_ufrag(&self, ufrag: &str) -> Option<&Generation> {
        self.list.iter().find(|generation| generation.local.ufrag == ufrag)
    }

    /// The credentials that the next generation will have.
    pub(crate) fn next_credentials(&self) -> &Credentials {
        &self.next
    }

    /// Begins a new generation.
    pub(crate) fn begin(&mut self, rng: &mut Rng, policy: Policy) -> GenerationId {
        let id = GenerationId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        let local = std::mem::replace(&mut self.next, Credentials::generate(rng));
        self.list.push(Generation::new(id, local, policy));
        id
    }

    /// Takes one out, unless it is the only one.
    pub(crate) fn remove(&mut self, id: GenerationId) {
        if self.list.len() > 1 {
            self.list.retain(|generation| generation.id != id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_current_and_the_last_stays() {
        let mut rng = Rng::from_u64(1);
        let mut generations = Generations::new(&mut rng, Policy::All);
        let first = generations.current().id;
        let announced = generations.next_credentials().clone();
        let second = generations.begin(&mut rng, Policy::All);
        assert_eq!(generations.current().local, announced);
        assert_ne!(*generations.next_credentials(), announced);
        assert_eq!(generations.previous().map(|previous| previous.id), Some(first));
        assert!(second > first);
        generations.remove(second);
        assert_eq!(generations.current().id, first);
        generations.remove(first);
        assert_eq!(generations.current().id, first, "never empty");
    }
}
