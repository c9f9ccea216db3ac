//! The agent: what the composition calls, and the tables that the procedures work on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::BytesMut;
use taut_sansio::net::{Path, Received, Transmit};
use taut_sansio::rng::Rng;
use taut_sansio::time::earliest;

use crate::answers::Answer;
use crate::bases::Base;
use crate::candidate::{Candidate, CandidateTransport};
use crate::checklist::Checklist;
use crate::config::{Config, Role};
use crate::credentials::Credentials;
use crate::event::{Event, State, Validation};
use crate::gathering::Gathering;
use crate::generation::{GenerationId, Generations};
use crate::hiding::Names;
use crate::naming::Naming;
use crate::nomination::Nomination;
use crate::pacing::Pacer;
use crate::pair::{Pair, PairId};
use crate::relay::{Offered, Relays};
use crate::report::ServerError;
use crate::stats::Stats;
use crate::tcp::Tcp;

/// How many remote candidates are kept; those with the lowest priority go first.
pub const MAX_REMOTE_CANDIDATES: usize = 100;

/// How many local candidates are kept, learned ones included.
pub const MAX_LOCAL_CANDIDATES: usize = 200;

/// How many paths can be blocked at a time.
const MAX_BLOCKED: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LocalId(u32);

impl LocalId {
    /// Takes the next number of `counter`.
    pub(crate) fn next(counter: &mut u32) -> Self {
        let id = *counter;
        *counter = id.wrapping_add(1);
        Self(id)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RemoteId(u32);

impl RemoteId {
    /// Takes the next number of `counter`.
    pub(crate) fn next(counter: &mut u32) -> Self {
        let id = *counter;
        *counter = id.wrapping_add(1);
        Self(id)
    }
}

#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) generation: GenerationId,
    pub(crate) candidate: Candidate,
    /// The candidate's address.
    pub(crate) address: SocketAddr,
    /// The socket that its packets leave from.
    pub(crate) base: SocketAddr,
    /// The STUN or TURN server that it was learned from.
    pub(crate) server: Option<IpAddr>,
    pub(crate) announced: bool,
}

impl Local {
    /// True unless it is a TCP candidate.
    pub(crate) fn is_udp(&self) -> bool {
        self.candidate.transport == CandidateTransport::Udp
    }
}

#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) generation: GenerationId,
    pub(crate) candidate: Candidate,
    /// The candidate's address, without a scope.
    pub(crate) address: SocketAddr,
}

/// Why a remote candidate was not taken. Nothing has changed; RFC 8839 section 5.1 has all of these ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddCandidateError {
    /// The agent is closed or has failed.
    #[error("the agent is closed or has failed")]
    Closed,
    /// It belongs to another ufrag.
    #[error("the candidate belongs to another ufrag")]
    Ufrag,
    /// It is not for component 1.
    #[error("the candidate is for a component that is not used")]
    Component,
    /// Its transport protocol is neither UDP nor TCP, or it is TCP and [`Config::tcp`] is off or the type is missing.
    #[error("the candidate's transport protocol is not supported")]
    Transport,
    /// Its name is not under `.local`, or names are not to be resolved.
    #[error("the candidate's name is not resolved")]
    Name,
    /// It has no port, an address that is not that of one host, or, over TCP, a port of another service.
    #[error("the candidate's address cannot be used")]
    Address,
}

/// An ICE agent (RFC 8445) for one component, without I/O.
///
/// Commands: [`set_role`](Self::set_role), [`set_remote_credentials`](Self::set_remote_credentials),
/// [`add_local_address`](Self::add_local_address), [`remove_local_address`](Self::remove_local_address),
/// [`gather`](Self::gather), [`add_remote_candidate`](Self::add_remote_candidate),
/// [`end_of_remote_candidates`](Self::end_of_remote_candidates), [`restart`](Self::restart),
/// [`roll_back_restart`](Self::roll_back_restart), [`close`](Self::close). They may come in any order.
///
/// Input: [`handle_datagram`](Self::handle_datagram), [`handle_resolved`](Self::handle_resolved),
/// [`handle_writable`](Self::handle_writable), [`handle_timeout`](Self::handle_timeout). After each of these and
/// each command, poll [`poll_transmit`](Self::poll_transmit) until it returns `None`,
/// [`poll_event`](Self::poll_event) likewise, and then [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Agent {
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) newest: Option<Instant>,
    pub(crate) role: Role,
    /// The role that the application chose last; a role conflict may have changed it since.
    pub(crate) commanded: Option<Role>,
    pub(crate) tiebreaker: u64,
    pub(crate) generations: Generations,
    pub(crate) bases: Vec<Base>,
    /// Boxed, like the pairs: a node of a map has room for eleven.
    pub(crate) locals: BTreeMap<LocalId, Box<Local>>,
    pub(crate) remotes: BTreeMap<RemoteId, Box<Remote>>,
    pub(crate) next_local: u32,
    pub(crate) next_remote: u32,
    pub(crate) next_foundation: u32,
    pub(crate) checklist: Checklist,
    pub(crate) pacer: Pacer,
    pub(crate) answers: VecDeque<Answer>,
    pub(crate) selected: Option<PairId>,
    pub(crate) gathering: Gathering,
    pub(crate) relays: Relays,
    pub(crate) tcp: Tcp,
    pub(crate) naming: Naming,
    pub(crate) names: Names,
    /// When the generations before the current one are given up, which has a nominated pair.
    pub(crate) superseded: Option<Instant>,
    pub(crate) state: State,
    /// Something changed while polling, and [`reconcile`](Self::reconcile) has not seen it.
    pub(crate) unsettled: bool,
    pub(crate) routes: BTreeSet<Path>,
    pub(crate) blocked: BTreeSet<Path>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) stats: Stats,
    /// What servers could not do, for the report.
    pub(crate) server_errors: VecDeque<ServerError>,
}

impl Agent {
    /// An agent with fresh credentials. It answers checks as soon as it has a local address.
    pub fn new(config: Config, mut rng: Rng) -> Self {
        let (tiebreaker, generations) = (rng.u64(), Generations::new(&mut rng, config.policy));
        let mut naming = rng.child();
        Self {
            newest: None,
            role: Role::Controlled,
            commanded: None,
            tiebreaker,
            generations,
            bases: Vec::new(),
            locals: BTreeMap::new(),
            remotes: BTreeMap::new(),
            next_local: 0,
            next_remote: 0,
            next_foundation: 0,
            checklist: Checklist::default(),
            pacer: Pacer::new(config.pace, config.burst),
            answers: VecDeque::new(),
            selected: None,
            gathering: Gathering::new(&config),
            relays: Relays::default(),
            names: Names::new(naming.child()),
            tcp: Tcp::default(),
            naming: Naming::new(naming),
            superseded: None,
            state: State::New,
            unsettled: false,
            routes: BTreeSet::new(),
            blocked: BTreeSet::new(),
            events: VecDeque::new(),
            stats: Stats::default(),
            server_errors: VecDeque::new(),
            config,
            rng,
        }
    }

    /// Chooses the role; a lite agent is controlled in any case. Choosing the same again changes nothing, not even what a role conflict has changed.
    pub fn set_role(&mut self, now: Instant, role: Role) {
        let now = self.tick(now);
        let role = if self.config.lite { Role::Controlled } else { role };
        if self.commanded != Some(role) {
            self.commanded = Some(role);
            if self.role != role {
                self.switch_role(role);
            }
        }
        self.reconcile(now);
    }

    /// Says what the other side signalled. Checks begin. A lite agent only answers (RFC 8445 section 2.5), so this
    /// side takes the controlling role.
    ///
    /// Other credentials than before mean that the other side restarts (RFC 8445 section 9). It needs a restart of this
    /// side, too, which begins with this call unless [`restart`](Self::restart) was called before.
    pub fn set_remote_credentials(&mut self, now: Instant, credentials: Credentials, lite: bool) {
        let now = self.tick(now);
        if lite {
            self.set_role(now, Role::Controlling);
        }
        if self.state == State::Closed {
            return;
        }
        match self.generations.current().remote() {
            Some(remote) if remote.credentials == credentials => return,
            Some(_) => self.begin_generation(now),
            None if self.state == State::Failed => return,
            None => {}
        }
        let current = self.generations.current().id;
        let foreign: Vec<RemoteId> = self
            .remotes
            .iter()
            .filter(|(_, remote)| remote.generation == current)
            .filter(|(_, remote)| remote.candidate.ufrag.as_ref().is_some_and(|u| *u != credentials.ufrag))
            .map(|(id, _)| *id)
            .collect();
        for id in foreign {
            self.remove_remote(id);
        }
        let generation = self.generations.current_mut();
        generation.set_remote(credentials);
        generation.patience = now.checked_add(self.config.patience);
        self.replay_early_checks(now);
        self.reconcile(now);
    }

    /// Adds a candidate of the other side. What is over a bound is dropped and counted.
    ///
    /// # Errors
    /// If the candidate is not one that this agent can use; nothing has changed then.
    pub fn add_remote_candidate(
        &mut self,
        now: Instant,
        candidate: Candidate,
    ) -> Result<(), AddCandidateError> {
        let now = self.tick(now);
        let added = self.check_candidate(&candidate).and_then(|id| self.take_candidate(now, id, candidate));
        self.reconcile(now);
        added
    }

    /// Says that no more remote candidates will come.
    pub fn end_of_remote_candidates(&mut self, now: Instant) {
        let now = self.tick(now);
        // Before the other side has accepted a restart, it speaks of the generation that it knows.
        let id = match (self.generations.current(), self.generations.previous()) {
            (current, Some(previous)) if current.remote().is_none() => previous.id,
            (current, _) => current.id,
        };
        if let Some(generation) = self.generations.get_mut(id) {
            generation.remote_done = true;
        }
        self.reconcile(now);
    }

    /// Closes the agent: nothing is sent or answered any more, but that allocations and names are given back.
    pub fn close(&mut self, now: Instant) {
        let now = self.tick(now);
        for path in std::mem::take(&mut self.routes) {
            if self.is_routed(&path) {
                self.events.push_back(Event::RouteRemoved(path));
            }
        }
        self.close_relays(now);
        self.close_streams();
        self.checklist = Checklist::default();
        self.selected = None;
        self.generations.forget_early(|_| true);
        self.answers.clear();
        self.gathering.stop();
        self.naming.stop();
        self.names.stop();
        self.set_state(State::Closed);
    }

    /// Takes a datagram: STUN, multicast DNS where the local address is that of its sockets, or what came from a TURN server. What a relay
    /// carried and is not STUN comes back, with the path that it took from the relayed address on.
    pub fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) -> Option<(Received, BytesMut)> {
        let now = self.tick(meta.at);
        let (meta, datagram) = match self.offer_to_relays(meta, datagram) {
            Offered::NotForRelays(datagram) => (meta, datagram),
            Offered::Unwrapped(meta, data) if taut_stun::is_stun(&data) => (meta, data),
            Offered::Unwrapped(meta, data) => return Some((meta, data)),
            Offered::Taken => {
                self.reconcile(now);
                return None;
            }
        };
        if self.state == State::Closed {
            return None;
        }
        if meta.path.local == taut_mdns::local_for(meta.path.remote) {
            self.on_multicast(now, meta.path.remote, &datagram);
        } else if self.is_possible_source(meta.path.remote) {
            // What has run out by now has run out, even if the timer comes late.
            self.expire_consent(now);
            match self.canonical(meta.path) {
                None => self.stats.dropped_unknown_local = self.stats.dropped_unknown_local.saturating_add(1),
                Some(path) if self.offer_to_servers(Received { path, ..meta }, &datagram) => {}
                // Where relays alone are used, nobody else is answered.
                Some(path) if !self.may_hear(path.local) => {
                    self.stats.dropped_policy = self.stats.dropped_policy.saturating_add(1);
                }
                Some(path) => self.on_stun(now, path, &datagram),
            }
        }
        self.reconcile(now);
        None
    }

    /// Says whether the socket can take more on this path. A blocked path is skipped.
    pub fn handle_writable(&mut self, path: Path, writable: bool) {
        if writable {
            self.blocked.remove(&path);
        } else if self.blocked.len() < MAX_BLOCKED {
            self.blocked.insert(path);
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        self.reconcile(now);
    }

    /// Appends the next datagram. Requests to TURN servers come first, then answers, then checks and consent, then
    /// questions to STUN servers.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        _max_segments: usize,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let now = self.tick(now);
        // Time passes for the TURN clients here, too, and what they tell by it has its consequences.
        if self.advance_relays(now) {
            self.reconcile(now);
        }
        if let Some(transmit) = self.poll_relays(now, out) {
            return Some(transmit);
        }
        loop {
            let transmit = self
                .poll_answer(out)
                .or_else(|| self.poll_check(now, out))
                .or_else(|| self.poll_gathering(now, out))
                .or_else(|| self.poll_naming(now, out))
                .or_else(|| self.poll_names(now, out));
            // A check that ran out of repetitions may lead to another one.
            match transmit {
                Some(transmit) => {
                    if let Some(wrapped) = self.wrap(transmit, out) {
                        return Some(wrapped);
                    }
                }
                None if !std::mem::take(&mut self.unsettled) => return None,
                None => self.reconcile(now),
            }
        }
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        let relays = self.relays.poll_timeout();
        if self.state == State::Closed {
            return relays;
        }
        let mut next = earliest(self.gathering.poll_timeout(), self.naming.poll_timeout());
        next = earliest(earliest(next, relays), self.names.poll_timeout());
        next = earliest(next, self.stream_timeout());
        if self.state == State::Failed {
            return next;
        }
        if self.selected.is_none() {
            next = earliest(next, self.to_come(self.generations.current().patience));
            next = earliest(next, self.to_come(self.generations.current().adrift));
        }
        next = earliest(next, self.superseded);
        if let Nomination::Patient(until) = self.generations.current().nomination {
            next = earliest(next, Some(until));
        }
        if self.can_check() && self.next_pair().is_some() {
            next = earliest(next, self.pacer.next().or(self.newest));
        }
        self.checklist.iter().fold(next, |next, (id, pair)| earliest(next, self.pair_timeout(id, pair)))
    }

    fn pair_timeout(&self, id: PairId, pair: &Pair) -> Option<Instant> {
        let blocked = !self.is_ready(&pair.path);
        let check = pair.check().filter(|_| !blocked).map(|check| check.transaction.timeout());
        let mut next = earliest(check, self.lapses(pair));
        next = earliest(next, self.to_come(self.reopens_at(pair)));
        if self.selected == Some(id) {
            let consent = pair.valid().filter(|_| !blocked && !self.config.lite);
            next = earliest(next, consent.map(|valid| valid.consent.next()));
            next = earliest(next, self.to_come(self.disconnects_at(pair)));
            next = earliest(next, self.to_come(self.doubted_at(pair)));
        }
        next
    }

    /// A time that has an effect once: when it is past, it has had it.
    fn to_come(&self, at: Option<Instant>) -> Option<Instant> {
        at.filter(|at| self.newest.is_none_or(|now| *at > now))
    }

    /// What to signal to the other side.
    pub fn local_credentials(&self) -> &Credentials {
        &self.generations.current().local
    }

    /// What the other side signalled for the current generation.
    pub fn remote_credentials(&self) -> Option<&Credentials> {
        self.generations.current().remote().map(|remote| &remote.credentials)
    }

    /// The role, controlled until chosen.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Where data goes now: the nominated pair, before that the best valid one.
    pub fn selected_path(&self) -> Option<Path> {
        self.selected.and_then(|id| self.checklist.get(id)).map(|pair| pair.path)
    }

    /// How far a path is to be trusted.
    pub fn validation(&self, path: &Path) -> Validation {
        let Some(path) = self.canonical(*path) else { return Validation::Unknown };
        let pairs = || self.checklist.on_path(&path).map(|(_, pair)| pair);
        if pairs().any(|pair| pair.valid().is_some()) {
            Validation::Validated
        } else if pairs().any(|pair| pair.authenticated) || self.generations.checked_early(&path) {
            Validation::Authenticated
        } else {
            Validation::Unknown
        }
    }

    /// The local candidates that were told of, those of older generations that are still of use included; each says its
    /// ufrag.
    pub fn local_candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.locals.values().filter(|local| local.announced).map(|local| &local.candidate)
    }

    /// The remote candidates, learned ones included, names once they are resolved, those of older generations that are
    /// still of use included.
    pub fn remote_candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.remotes.values().map(|remote| &remote.candidate)
    }
}
