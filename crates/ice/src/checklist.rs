//! The checklist (RFC 8445 section 6.1.2): forming, ordering, pruning and bounding pairs, and whose turn it is.
//!
//! There is one component, so freezing (section 6.1.2.6) only puts off pairs whose foundation another pair already
//! stands for: they are checked once no pair is waiting, and not only after the other one failed, because some
//! implementations give all candidates one foundation.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use taut_sansio::net::{Path, Transport};

use crate::addresses::{can_pair, scoped};
use crate::agent::{Agent, LocalId, RemoteId};
use crate::candidate::pair_priority;
use crate::config::Role;
use crate::event::GatheringState;
use crate::generation::GenerationId;
use crate::pair::{Pair, PairId, Status};
use crate::tcp::{fits, priority_as_seen};

#[derive(Debug, Default)]
pub(crate) struct Checklist {
    /// Boxed, as a node of the map has room for eleven, and most agents have one or two.
    pairs: BTreeMap<PairId, Box<Pair>>,
    /// Pairs that the other side checked, or that are to be nominated (section 6.1.4.1). Each at most once.
    triggered: VecDeque<PairId>,
    next_id: u32,
}

impl Checklist {
    /// The pairs of one generation.
    pub(crate) fn of(&self, generation: GenerationId) -> impl Iterator<Item = (PairId, &Pair)> {
        self.iter().filter(move |(_, pair)| pair.generation == generation)
    }

    pub(crate) fn get(&self, id: PairId) -> Option<&Pair> {
        self.pairs.get(&id).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, id: PairId) -> Option<&mut Pair> {
        self.pairs.get_mut(&id).map(Box::as_mut)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PairId, &Pair)> {
        self.pairs.iter().map(|(id, pair)| (*id, pair.as_ref()))
    }

    /// The pairs on a path, one of each generation at most.
    pub(crate) fn on_path(&self, path: &Path) -> impl Iterator<Item = (PairId, &Pair)> {
        self.iter().filter(move |(_, pair)| pair.path == *path)
    }

    pub(crate) fn by_path(&self, generation: GenerationId, path: &Path) -> Option<PairId> {
        self.on_path(path).find(|(_, pair)| pair.generation == generation).map(|(id, _)| id)
    }

    pub(crate) fn insert(&mut self, pair: Pair) -> PairId {
        let id = PairId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.pairs.insert(id, Box::new(pair));
        id
    }

    pub(crate) fn remove(&mut self, id: PairId) -> Option<Pair> {
        self.triggered.retain(|triggered| *triggered != id);
        self.pairs.remove(&id).map(|pair| *pair)
    }

    pub(crate) fn trigger(&mut self, id: PairId) {
        if !self.triggered.contains(&id) {
            self.triggered.push_back(id);
        }
    }

    /// Before all others.
    pub(crate) fn trigger_first(&mut self, id: PairId) {
        self.triggered.retain(|triggered| *triggered != id);
        self.triggered.push_front(id);
    }

    /// True if the pair has been put in front for a check of its own.
    pub(crate) fn is_triggered(&self, id: PairId) -> bool {
        self.triggered.contains(&id)
    }

    /// The pair to start a check on (section 6.1.4.2), which `allowed` holds for: the triggered ones of any generation in
    /// their order, then of the current one the waiting pair with the highest priority, then a frozen one.
    pub(crate) fn next(&self, current: GenerationId, allowed: impl Fn(&Pair) -> bool) -> Option<PairId> {
        let fits = |id: &PairId| self.get(*id).is_some_and(&allowed);
        if let Some(id) = self.triggered.iter().copied().find(fits) {
            return Some(id);
        }
        let best = |wanted: fn(&Status) -> bool| {
            let open = self.of(current).filter(|(_, pair)| wanted(&pair.status) && allowed(pair));
            open.max_by_key(|(_, pair)| pair.priority).map(|(id, _)| id)
        };
        best(|status| matches!(status, Status::Waiting)).or_else(|| best(|s| matches!(s, Status::Frozen)))
    }

    pub(crate) fn untrigger(&mut self, id: PairId) {
        self.triggered.retain(|triggered| *triggered != id);
    }
}

impl Agent {
    /// Pairs a new remote candidate with every base.
    pub(crate) fn pair_remote(&mut self, remote: RemoteId) {
        let Some(generation) = self.remotes.get(&remote).map(|remote| remote.generation) else { return };
        for host in self.hosts_of(generation) {
            self.add_wanted_pair(host, remote);
        }
    }

    /// Pairs a new base with every remote candidate.
    pub(crate) fn pair_base(&mut self, host: LocalId) {
        let current = self.generations.current().id;
        let remotes: Vec<RemoteId> = self
            .remotes
            .iter()
            .filter(|(_, remote)| remote.generation == current)
            .map(|(id, _)| *id)
            .collect();
        for remote in remotes {
            self.add_wanted_pair(host, remote);
        }
    }

    /// Forms a pair if it can work, and there is no nominated one yet, or only worse ones or none that answers (RFC 8445
    /// section 8.1.2 wants no more checks for worse ones).
    fn add_wanted_pair(&mut self, host: LocalId, remote: RemoteId) {
        let Some(near) = self.locals.get(&host) else { return };
        let Some(far) = self.remotes.get(&remote) else { return };
        let generation = far.generation;
        if !can_pair(near.base, far.address) || !fits(&near.candidate, &far.candidate) {
            return;
        }
        let Some(priority) = self.priority_of(host, remote) else { return };
        let enough = self
            .generations
            .get(generation)
            .is_some_and(|generation| generation.concluded && !generation.seeking)
            && self
                .checklist
                .of(generation)
                .any(|(_, pair)| pair.is_nominated() && pair.priority >= priority);
        if !enough {
            self.add_pair(host, remote);
        }
    }

    /// Puts all pairs of the current generation up for checks when the one in use does not answer: those that were given up for
    /// its sake, and those that failed. Done once each time.
    pub(crate) fn seek_other_ways(&mut self, now: Instant) {
        let current = self.generations.current();
        if !current.connected || self.config.lite {
            return;
        }
        let selected = self.selected.and_then(|id| self.checklist.get(id));
        let at = match selected {
            Some(pair) => self.disconnects_at(pair),
            // Where consent has lapsed, others were tried before.
            None => current.adrift.map(|_| now),
        };
        let lost = at.is_some_and(|at| at <= now);
        let (id, seeking) = (current.id, current.seeking);
        self.generations.current_mut().seeking = lost;
        if selected.is_some() {
            self.generations.current_mut().adrift = None;
        }
        if !lost || seeking {
            return;
        }
        let failed: Vec<PairId> = self
            .checklist
            .of(id)
            .filter(|(_, pair)| matches!(pair.status, Status::Failed))
            .map(|(id, _)| id)
            .collect();
        for pair in failed {
            if let Some(pair) = self.checklist.get_mut(pair) {
                pair.status = Status::Waiting;
            }
        }
        for host in self.hosts_of(id) {
            self.pair_base(host);
        }
    }

    /// Forms a pair unless there is one on its path, or it is the worst of too many.
    pub(crate) fn add_pair(&mut self, host: LocalId, remote: RemoteId) -> Option<PairId> {
        let local = self.locals.get(&host)?;
        let far = self.remotes.get(&remote)?.address;
        let path = Self::path_between(local, scoped(local.base, far));
        self.add_pair_on(host, remote, path)
    }

    /// The same on a path that is known.
    pub(crate) fn add_pair_on(&mut self, host: LocalId, remote: RemoteId, path: Path) -> Option<PairId> {
        let base = self.locals.get(&host)?.base;
        let generation = self.remotes.get(&remote)?.generation;
        if !self.may_use(generation, base) {
            return None;
        }
        // A pair over TCP changes its path with its connection.
        let same = |pair: &Pair| {
            pair.path == path
                || path.transport == Transport::Tcp && (pair.local, pair.remote) == (host, remote)
        };
        if let Some((id, _)) = self.checklist.of(generation).find(|(_, pair)| same(pair)) {
            return Some(id);
        }
        let priority = self.priority_of(host, remote)?;
        let full = self.checklist.of(generation).count() >= self.config.max_pairs;
        if full && !self.make_room(generation, priority) {
            self.stats.dropped_pairs = self.stats.dropped_pairs.saturating_add(1);
            return None;
        }
        let mate = self.has_foundation_mate(host, remote, priority);
        let status = if mate { Status::Frozen } else { Status::Waiting };
        self.permit(&path);
        Some(self.checklist.insert(Pair::new(generation, (host, remote), path, priority, status)))
    }

    /// Removes the worst pair that is not valid, if it is worse than `priority`.
    fn make_room(&mut self, generation: GenerationId, priority: u64) -> bool {
        let expendable = self.checklist.of(generation).filter(|(_, pair)| pair.valid().is_none());
        let Some((worst, lowest)) =
            expendable.map(|(id, pair)| (id, pair.priority)).min_by_key(|(_, priority)| *priority)
        else {
            return false;
        };
        if lowest >= priority {
            return false;
        }
        self.stats.dropped_pairs = self.stats.dropped_pairs.saturating_add(1);
        self.remove_pair(worst);
        true
    }

    /// True if another pair with the same foundation and no lower priority is on its way to be checked.
    fn has_foundation_mate(&self, host: LocalId, remote: RemoteId, priority: u64) -> bool {
        let of_local = |id| self.locals.get(&id).map(|local| &local.candidate.foundation);
        let of_remote = |id| self.remotes.get(&id).map(|remote| &remote.candidate.foundation);
        let (local, remote) = (of_local(host), of_remote(remote));
        let generation = self.locals.get(&host).map(|local| local.generation);
        self.checklist.iter().any(|(_, pair)| {
            Some(pair.generation) == generation
                && matches!(pair.status, Status::Waiting | Status::InProgress(_))
                && pair.priority >= priority
                && of_remote(pair.remote) == remote
                && of_local(pair.local) == local
        })
    }

    fn priority_of(&self, local: LocalId, remote: RemoteId) -> Option<u64> {
        let local = priority_as_seen(&self.locals.get(&local)?.candidate);
        let remote = self.remotes.get(&remote)?.candidate.priority;
        Some(match self.role {
            Role::Controlling => pair_priority(local, remote),
            Role::Controlled => pair_priority(remote, local),
        })
    }

    /// Computes all priorities anew, after a change of role or of a candidate. That of a valid pair is that of the
    /// local candidate as the other side sees it (section 7.2.5.3.2).
    pub(crate) fn reprioritise(&mut self) {
        let ids: Vec<PairId> = self.checklist.iter().map(|(id, _)| id).collect();
        for id in ids {
            let Some(pair) = self.checklist.get(id) else { continue };
            let local = pair.valid().map_or(pair.local, |valid| valid.mapped);
            let priority = self.priority_of(local, pair.remote);
            if let (Some(priority), Some(pair)) = (priority, self.checklist.get_mut(id)) {
                pair.priority = priority;
            }
        }
    }

    /// Unfreezes the pairs that have the foundation of a pair that succeeded (section 7.2.5.3.3).
    pub(crate) fn unfreeze_mates(&mut self, id: PairId) {
        let foundation = |agent: &Self, pair: &Pair| {
            let local = agent.locals.get(&pair.local).map(|local| local.candidate.foundation.clone());
            local.zip(agent.remotes.get(&pair.remote).map(|remote| remote.candidate.foundation.clone()))
        };
        let Some(succeeded) = self.checklist.get(id) else { return };
        let Some(ours) = foundation(self, succeeded) else { return };
        let generation = succeeded.generation;
        let mates: Vec<PairId> = self
            .checklist
            .of(generation)
            .filter(|(_, pair)| matches!(pair.status, Status::Frozen))
            .filter(|(_, pair)| foundation(self, pair).as_ref() == Some(&ours))
            .map(|(id, _)| id)
            .collect();
        for mate in mates {
            if let Some(pair) = self.checklist.get_mut(mate) {
                pair.status = Status::Waiting;
            }
        }
    }

    /// Says that another connection has this path, between the same two sockets: what comes on it could not be told apart, so that
    /// its pairs end. Where there is no other path, the agent fails.
    pub fn handle_taken(&mut self, now: Instant, path: Path) {
        let now = self.tick(now);
        let path = self.canonical(path);
        let pairs: Vec<PairId> =
            path.iter().flat_map(|path| self.checklist.on_path(path)).map(|(id, _)| id).collect();
        for id in pairs {
            self.end_pair(id, Status::Taken);
        }
        self.reconcile(now);
    }

    /// True if other connections have all paths that there are, and no candidate is still to come.
    pub(crate) fn is_crowded_out(&self) -> bool {
        let current = self.generations.current();
        let mut pairs = self.checklist.of(current.id).peekable();
        pairs.peek().is_some()
            && pairs.all(|(_, pair)| matches!(pair.status, Status::Taken))
            && current.remote_done
            && self.gathering_state() == GatheringState::Complete
    }

    /// Removes a pair, and its route unless it is of use to another one.
    pub(crate) fn remove_pair(&mut self, id: PairId) {
        if let Some(pair) = self.checklist.remove(id) {
            self.forget_route(&pair.path);
            self.unpermit(&pair.path);
        }
    }

    /// Ends a pair: it is failed or revoked from now on, and its route is gone unless it is of use to another one.
    pub(crate) fn end_pair(&mut self, id: PairId, status: Status) {
        self.checklist.untrigger(id);
        let Some(pair) = self.checklist.get_mut(id) else { return };
        pair.status = status;
        pair.cancelled.clear();
        pair.authenticated = false;
        let path = pair.path;
        self.forget_route(&path);
    }
}
