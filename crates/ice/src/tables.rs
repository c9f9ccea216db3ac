//! The tables of candidates and routes.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use taut_sansio::net::{Path, Transport};

use crate::addresses::{may_send_to, plain, scoped};
use crate::agent::{
    AddCandidateError, Agent, Local, LocalId, MAX_LOCAL_CANDIDATES, MAX_REMOTE_CANDIDATES, Remote, RemoteId,
};
use crate::candidate::{Candidate, CandidateAddress, CandidateKind, CandidateTransport, TcpType};
use crate::config::Role;
use crate::event::Event;
use crate::generation::{Generation, GenerationId};
use crate::pair::{Pair, PairId};
use crate::tcp::{TcpPolicy, may_connect_to};

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
        self.generations.current_mut().nomination = crate::nomination::Nomination::Idle;
        self.reprioritise();
    }

    /// The path as the tables have it; `None` if its local address is not ours.
    pub(crate) fn canonical(&self, path: Path) -> Option<Path> {
        if path.transport != Transport::Udp {
            return self.is_tcp(&path).then_some(path);
        }
        let base = self.base_of(path.local)?.address;
        Some(Path::udp(base, scoped(base, path.remote)))
    }

    /// The candidates of a generation that are their own base: host candidates and relayed ones.
    pub(crate) fn hosts_of(&self, generation: GenerationId) -> Vec<LocalId> {
        let of_base = |kind| matches!(kind, CandidateKind::Host | CandidateKind::Relayed);
        let is_host = |local: &Local| local.generation == generation && of_base(local.candidate.kind);
        self.locals.iter().filter(|(_, local)| is_host(local)).map(|(id, _)| *id).collect()
    }

    /// The candidate of a generation that is this base of UDP.
    pub(crate) fn host_at(&self, generation: GenerationId, base: SocketAddr) -> Option<LocalId> {
        let hosts = self.hosts_of(generation);
        let here = |local: &Local| local.base == base && local.is_udp();
        hosts.into_iter().find(|id| self.locals.get(id).is_some_and(|local| here(local)))
    }

    pub(crate) fn remote_at(
        &self,
        generation: GenerationId,
        transport: &CandidateTransport,
        address: SocketAddr,
    ) -> Option<RemoteId> {
        let address = plain(address);
        let mut of_generation = self.remotes.iter().filter(|(_, remote)| remote.generation == generation);
        let here = |remote: &Remote| remote.address == address && remote.candidate.transport == *transport;
        of_generation.find(|(_, remote)| here(remote)).map(|(id, _)| *id)
    }

    /// Keeps a local candidate with this address and base, one of TCP if it takes a side.
    pub(crate) fn add_local(
        &mut self,
        generation: GenerationId,
        kind: CandidateKind,
        tcp_type: Option<TcpType>,
        (address, base): (SocketAddr, SocketAddr),
        server: Option<IpAddr>,
        priority: u32,
    ) -> Option<LocalId> {
        let ufrag = self.generations.get(generation)?.local.ufrag.clone();
        let known = self.locals.values().filter(|local| local.generation == generation).count();
        if known >= MAX_LOCAL_CANDIDATES {
            return None;
        }
        let transport = match tcp_type {
            None => CandidateTransport::Udp,
            Some(_) => CandidateTransport::Tcp,
        };
        let candidate = Candidate {
            foundation: self.foundation(kind, &transport, plain(base).ip(), server),
            component: 1,
            transport,
            priority,
            address: self.told_address(kind, address),
            kind,
            related: (kind != CandidateKind::Host).then(|| self.told_related(plain(base))),
            tcp_type,
            ufrag: Some(ufrag),
            extensions: Vec::new(),
        };
        let id = LocalId::next(&mut self.next_local);
        let local = Local { generation, candidate, address, base, server, announced: false };
        self.locals.insert(id, Box::new(local));
        Some(id)
    }

    /// The same for candidates of the same kind, transport, base address and server (RFC 8445 section 5.1.1.3), as long as there
    /// is one of them. A number that says nothing of the addresses.
    pub(crate) fn foundation(
        &mut self,
        kind: CandidateKind,
        transport: &CandidateTransport,
        base: IpAddr,
        server: Option<IpAddr>,
    ) -> String {
        let same = |local: &Local| {
            let of = (local.candidate.kind, &local.candidate.transport, plain(local.base).ip(), local.server);
            of == (kind, transport, base, server)
        };
        if let Some(known) = self.locals.values().find(|local| same(local)) {
            return known.candidate.foundation.clone();
        }
        self.next_foundation = self.next_foundation.wrapping_add(1);
        self.next_foundation.to_string()
    }

    /// The local candidate that the other side saw a check come from, a peer-reflexive one where it is new (RFC
    /// 8445 section 7.2.5.3.1).
    pub(crate) fn mapped_local(&mut self, host: LocalId, mapped: SocketAddr, priority: u32) -> LocalId {
        let Some(local) = self.locals.get(&host) else { return host };
        let (generation, base, side) = (local.generation, local.base, local.candidate.tcp_type);
        let is_known = |local: &Local| {
            let known = (local.generation, local.address, local.base, local.candidate.tcp_type);
            known == (generation, mapped, base, side)
        };
        if let Some((id, _)) = self.locals.iter().find(|(_, local)| is_known(local)) {
            return *id;
        }
        let kind = CandidateKind::PeerReflexive;
        self.add_local(generation, kind, side, (mapped, base), None, priority).unwrap_or(host)
    }

    /// Takes in a remote candidate that was signalled, or whose name was resolved.
    pub(crate) fn take_candidate(
        &mut self,
        now: Instant,
        id: GenerationId,
        candidate: Candidate,
    ) -> Result<(), AddCandidateError> {
        let address = match candidate.address {
            // Nobody connects to an active candidate, and what comes from it has an address.
            CandidateAddress::Name { .. } if candidate.tcp_type == Some(TcpType::Active) => return Ok(()),
            CandidateAddress::Name { .. } => return self.add_named(now, id, candidate),
            CandidateAddress::Ip(address) => plain(address),
        };
        if !may_send_to(address) {
            return Err(AddCandidateError::Address);
        }
        if let Some(remote) = self.remote_at(id, &candidate.transport, address) {
            self.signal_learned(remote, candidate);
        } else if let Some(remote) = self.add_remote(Remote { generation: id, candidate, address }) {
            self.pair_remote(remote);
        }
        Ok(())
    }

    /// Says which generation a candidate belongs to, if it can be used.
    pub(crate) fn check_candidate(&self, candidate: &Candidate) -> Result<GenerationId, AddCandidateError> {
        if self.state.is_final() {
            return Err(AddCandidateError::Closed);
        }
        if candidate.component != 1 {
            return Err(AddCandidateError::Component);
        }
        match (&candidate.transport, candidate.tcp_type) {
            (CandidateTransport::Udp, _) => {}
            (CandidateTransport::Tcp, Some(side)) if self.config.tcp != TcpPolicy::Off => {
                if side != TcpType::Active && !may_connect_to(candidate.address.port()) {
                    return Err(AddCandidateError::Address);
                }
            }
            _ => return Err(AddCandidateError::Transport),
        }
        let current = self.generations.current();
        let names = |generation: &Generation| {
            let theirs = generation.remote().map(|remote| &remote.credentials.ufrag);
            candidate.ufrag.is_some() && candidate.ufrag.as_ref() == theirs
        };
        match (current.remote(), &candidate.ufrag) {
            (Some(_), Some(_)) if !names(current) => Err(AddCandidateError::Ufrag),
            // Until the other side has accepted a restart, it may tell of candidates of the generation that it knows.
            (None, Some(_)) => Ok(self.generations.iter().find(|g| names(g)).unwrap_or(current).id),
            _ => Ok(current.id),
        }
    }

    /// Keeps a remote candidate, in the place of a worse one where there are too many.
    pub(crate) fn add_remote(&mut self, remote: Remote) -> Option<RemoteId> {
        let generation = remote.generation;
        let known = self.remotes.values().filter(|other| other.generation == generation).count();
        if known >= MAX_REMOTE_CANDIDATES {
            self.stats.dropped_remote_candidates = self.stats.dropped_remote_candidates.saturating_add(1);
            let valid = self.checklist.of(generation).filter(|(_, pair)| pair.valid().is_some());
            let in_use: Vec<RemoteId> = valid.map(|(_, pair)| pair.remote).collect();
            let of_generation = self.remotes.iter().filter(|(_, other)| other.generation == generation);
            let expendable = of_generation.filter(|(id, _)| !in_use.contains(id));
            let (worst, lowest) = expendable
                .map(|(id, remote)| (*id, remote.candidate.priority))
                .min_by_key(|(_, priority)| *priority)?;
            if lowest >= remote.candidate.priority {
                return None;
            }
            self.remove_remote(worst);
        }
        let id = RemoteId::next(&mut self.next_remote);
        self.remotes.insert(id, Box::new(remote));
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
    pub(crate) fn add_peer_reflexive(
        &mut self,
        generation: GenerationId,
        path: &Path,
        priority: u32,
    ) -> Option<RemoteId> {
        let address = plain(path.remote);
        let (transport, tcp_type) = self.far_end(path);
        let ufrag = self.generations.get(generation)?.remote().map(|remote| remote.credentials.ufrag.clone());
        let candidate = Candidate {
            // Different from all others; ours are numbers, and theirs have no reason to begin like this.
            foundation: format!("prflx{}", self.next_remote),
            component: 1,
            transport,
            priority,
            address: CandidateAddress::Ip(address),
            kind: CandidateKind::PeerReflexive,
            related: None,
            tcp_type,
            ufrag,
            extensions: Vec::new(),
        };
        self.add_remote(Remote { generation, candidate, address })
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
        self.pair_remote(id);
    }

    /// True for paths whose datagrams have to find this agent: how a relay is reached is a route of its own, and a connection
    /// belongs to nobody else.
    pub(crate) fn is_routed(&self, path: &Path) -> bool {
        path.transport == Transport::Udp && !self.is_relayed(path.local)
    }

    pub(crate) fn add_route(&mut self, path: Path) {
        if self.routes.insert(path) && self.is_routed(&path) {
            self.events.push_back(Event::RouteAdded(path));
        }
    }

    pub(crate) fn remove_route(&mut self, path: &Path) {
        if self.routes.remove(path) && self.is_routed(path) {
            self.events.push_back(Event::RouteRemoved(*path));
        }
    }

    /// Removes a route that nothing has a use for: no pair on it is valid or was authenticated, and no check came on it
    /// early.
    pub(crate) fn forget_route(&mut self, path: &Path) {
        let of_use = |pair: &Pair| pair.authenticated || pair.valid().is_some();
        let used = self.checklist.on_path(path).any(|(_, pair)| of_use(pair));
        if !used && !self.generations.checked_early(path) {
            self.remove_route(path);
        }
    }
}
