//! The tables of candidates and routes, and the state that follows from them.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use taut_sansio::net::{Path, Transport};

use crate::addresses::{is_link_local, may_send_to, plain, scoped};
use crate::agent::{
    AddCandidateError, Agent, Base, Local, LocalId, MAX_LOCAL_CANDIDATES, MAX_REMOTE_CANDIDATES, Remote,
    RemoteId,
};
use crate::candidate::{Candidate, CandidateAddress, CandidateKind, CandidateTransport, priority};
use crate::config::Role;
use crate::event::{Event, GatheringState, State};
use crate::pair::PairId;

impl State {
    /// True for states that are never left.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Closed)
    }
}

impl Agent {
    /// The newest time seen.
    pub(crate) fn tick(&mut self, now: Instant) -> Instant {
        let newest = self.newest.map_or(now, |newest| newest.max(now));
        self.newest = Some(newest);
        newest
    }

    pub(crate) fn role_is_set(&self) -> bool {
        self.commanded.is_some()
    }

    pub(crate) fn switch_role(&mut self, role: Role) {
        self.role = role;
        self.nomination = crate::nomination::Nomination::Idle;
        self.reprioritise();
    }

    /// The path as the tables have it; `None` if its local address is not ours.
    pub(crate) fn canonical(&self, path: Path) -> Option<Path> {
        let base = self.base_of(path.local)?.address;
        (path.transport == Transport::Udp).then(|| Path::udp(base, scoped(base, path.remote)))
    }

    pub(crate) fn base_of(&self, local: SocketAddr) -> Option<&Base> {
        let local = plain(local);
        self.bases.iter().find(|base| plain(base.address) == local)
    }

    pub(crate) fn remote_at(&self, address: SocketAddr) -> Option<RemoteId> {
        let address = plain(address);
        self.remotes.iter().find(|(_, remote)| remote.address == address).map(|(id, _)| *id)
    }

    /// The best local preference that no base has: IPv6 and IPv4 in turn (RFC 8421 section 4), after these
    /// link-local addresses, after these loopback.
    pub(crate) fn free_preference(&self, base: SocketAddr) -> u16 {
        let ip = base.ip().to_canonical();
        let top: u16 = match ip {
            _ if ip.is_loopback() => 16_383,
            _ if is_link_local(ip) => 32_767,
            _ => 65_535,
        };
        let family = u16::from(ip.is_ipv4());
        let mut choices = (0..4_096u16).map(|n| top - 2 * n - family);
        choices.find(|p| self.bases.iter().all(|base| base.preference != *p)).unwrap_or(0)
    }

    pub(crate) fn add_local(
        &mut self,
        kind: CandidateKind,
        address: SocketAddr,
        host: LocalId,
        server: Option<IpAddr>,
        learned: Option<u32>,
    ) -> Option<LocalId> {
        let base = self.bases.iter().find(|base| base.host == host)?;
        let (base, preference) = (base.address, base.preference);
        if self.locals.len() >= MAX_LOCAL_CANDIDATES {
            return None;
        }
        let candidate = Candidate {
            foundation: self.foundation(kind, plain(base).ip(), server),
            component: 1,
            transport: CandidateTransport::Udp,
            priority: learned.unwrap_or_else(|| priority(kind, preference)),
            address: CandidateAddress::Ip(address),
            kind,
            related: (kind != CandidateKind::Host).then(|| plain(base)),
            tcp_type: None,
            ufrag: Some(self.local_credentials().ufrag.clone()),
            extensions: Vec::new(),
        };
        let id = LocalId::next(&mut self.next_local);
        self.locals.insert(id, Local { candidate, address, base, announced: false });
        Some(id)
    }

    /// The same for candidates of the same kind, base address and server (RFC 8445 section 5.1.1.3). A number that
    /// says nothing of the addresses.
    fn foundation(&mut self, kind: CandidateKind, base: IpAddr, server: Option<IpAddr>) -> String {
        let key = (kind, base, server);
        let place = self.foundations.iter().position(|known| *known == key).unwrap_or_else(|| {
            self.foundations.push(key);
            self.foundations.len().saturating_sub(1)
        });
        place.saturating_add(1).to_string()
    }

    /// The local candidate that the other side saw a check come from, a peer-reflexive one where it is new (RFC
    /// 8445 section 7.2.5.3.1).
    pub(crate) fn mapped_local(&mut self, host: LocalId, mapped: SocketAddr, priority: u32) -> LocalId {
        let Some(base) = self.locals.get(&host).map(|local| local.base) else { return host };
        let known = self.locals.iter().find(|(_, local)| local.address == mapped && local.base == base);
        if let Some((id, _)) = known {
            return *id;
        }
        self.add_local(CandidateKind::PeerReflexive, mapped, host, None, Some(priority)).unwrap_or(host)
    }

    /// Takes in a remote candidate that was signalled, or whose name was resolved.
    pub(crate) fn take_candidate(
        &mut self,
        now: Instant,
        candidate: Candidate,
    ) -> Result<(), AddCandidateError> {
        self.check_candidate(&candidate)?;
        let address = match candidate.address {
            CandidateAddress::Name { .. } => return self.add_named(now, candidate),
            CandidateAddress::Ip(address) => plain(address),
        };
        if !may_send_to(address) {
            return Err(AddCandidateError::Address);
        }
        if let Some(id) = self.remote_at(address) {
            self.signal_learned(id, candidate);
        } else if let Some(id) = self.add_remote(Remote { candidate, address })
            && !self.concluded
        {
            self.pair_remote(id);
        }
        Ok(())
    }

    fn check_candidate(&self, candidate: &Candidate) -> Result<(), AddCandidateError> {
        if self.state.is_final() {
            return Err(AddCandidateError::Closed);
        }
        if candidate.component != 1 {
            return Err(AddCandidateError::Component);
        }
        if candidate.transport != CandidateTransport::Udp {
            return Err(AddCandidateError::Transport);
        }
        let theirs = self.credentials.current().remote().map(|remote| &remote.credentials.ufrag);
        match (&candidate.ufrag, theirs) {
            (Some(ufrag), Some(theirs)) if ufrag != theirs => Err(AddCandidateError::Ufrag),
            _ => Ok(()),
        }
    }

    /// Keeps a remote candidate, in the place of a worse one where there are too many.
    pub(crate) fn add_remote(&mut self, remote: Remote) -> Option<RemoteId> {
        if self.remotes.len() >= MAX_REMOTE_CANDIDATES {
            self.stats.dropped_remote_candidates = self.stats.dropped_remote_candidates.saturating_add(1);
            let valid = self.checklist.iter().filter(|(_, pair)| pair.valid().is_some());
            let in_use: Vec<RemoteId> = valid.map(|(_, pair)| pair.remote).collect();
            let expendable = self.remotes.iter().filter(|(id, _)| !in_use.contains(id));
            let (worst, lowest) = expendable
                .map(|(id, remote)| (*id, remote.candidate.priority))
                .min_by_key(|(_, priority)| *priority)?;
            if lowest >= remote.candidate.priority {
                return None;
            }
            self.remove_remote(worst);
        }
        let id = RemoteId::next(&mut self.next_remote);
        self.remotes.insert(id, remote);
        Some(id)
    }

    pub(crate) fn remove_remote(&mut self, id: RemoteId) {
        self.remotes.remove(&id);
        let pairs: Vec<PairId> =
            self.checklist.iter().filter(|(_, pair)| pair.remote == id).map(|(id, _)| id).collect();
        for pair in pairs {
            self.remove_pair(pair);
        }
    }

    /// A remote candidate learned from a check (RFC 8445 section 7.3.1.3).
    pub(crate) fn add_peer_reflexive(&mut self, address: SocketAddr, priority: u32) -> Option<RemoteId> {
        let address = plain(address);
        let candidate = Candidate {
            // Different from all others; ours are numbers, and theirs have no reason to begin like this.
            foundation: format!("prflx{}", self.next_remote),
            component: 1,
            transport: CandidateTransport::Udp,
            priority,
            address: CandidateAddress::Ip(address),
            kind: CandidateKind::PeerReflexive,
            related: None,
            tcp_type: None,
            ufrag: None,
            extensions: Vec::new(),
        };
        self.add_remote(Remote { candidate, address })
    }

    /// A candidate was signalled for an address that is known: if it was learned, it is what was signalled from
    /// now on, and is paired with every base.
    pub(crate) fn signal_learned(&mut self, id: RemoteId, candidate: Candidate) {
        let Some(remote) = self.remotes.get_mut(&id) else { return };
        if remote.candidate.kind != CandidateKind::PeerReflexive {
            return;
        }
        remote.candidate = candidate;
        self.reprioritise();
        if !self.concluded {
            self.pair_remote(id);
        }
    }

    pub(crate) fn add_route(&mut self, path: Path) {
        if self.routes.insert(path) {
            self.events.push_back(Event::RouteAdded(path));
        }
    }

    pub(crate) fn remove_route(&mut self, path: &Path) {
        if self.routes.remove(path) {
            self.events.push_back(Event::RouteRemoved(*path));
        }
    }

    /// True if a pair on this path was authenticated or is valid.
    pub(crate) fn has_use_for(&self, path: &Path) -> bool {
        let pair = self.checklist.by_path(path).and_then(|id| self.checklist.get(id));
        pair.is_some_and(|pair| pair.authenticated || pair.valid().is_some())
    }

    /// Draws the consequences of whatever changed: consent, names, nomination, the pair in use, the state.
    pub(crate) fn reconcile(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        self.expire_consent(now);
        self.advance_naming(now);
        self.advance_nomination(now);
        let chosen = if self.state == State::Failed { None } else { self.choose(now) };
        if self.selected != chosen {
            self.selected = chosen;
            if let Some(path) = self.selected_path() {
                self.events.push_back(Event::SelectedPairChanged { path });
            }
        }
        self.settle_doubts(now);
        self.advance_gathering(now);
        let state = self.compute_state(now);
        self.set_state(state);
    }

    fn compute_state(&self, now: Instant) -> State {
        if self.state.is_final() {
            return self.state;
        }
        if let Some(pair) = self.selected.and_then(|id| self.checklist.get(id)) {
            let silent = self.disconnects_at(pair).is_some_and(|at| at <= now);
            let all_known = self.remote_done && self.gathering_state() == GatheringState::Complete;
            return match (silent, pair.is_nominated() && all_known) {
                (true, _) => State::Disconnected,
                (false, true) => State::Completed,
                (false, false) => State::Connected,
            };
        }
        let hope = self.naming.is_busy() || self.checklist.iter().any(|(_, pair)| pair.is_hopeful());
        let was_connected = matches!(self.state, State::Connected | State::Completed | State::Disconnected);
        let impatient = self.patience.is_some_and(|until| until <= now);
        match (hope, was_connected) {
            (false, true) => State::Failed,
            (true, true) => State::Disconnected,
            (false, false) if impatient => State::Failed,
            _ if self.can_check() && self.checklist.len() > 0 => State::Checking,
            _ => self.state,
        }
    }

    pub(crate) fn set_state(&mut self, state: State) {
        if self.state == state {
            return;
        }
        self.state = state;
        self.events.push_back(Event::StateChanged(state));
        if state == State::Failed {
            self.gathering.stop();
            self.naming.stop();
        }
    }
}
