//! Gathering (RFC 8445 section 5.1.1): host candidates at once, server-reflexive ones as the servers answer.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use taut_sansio::net::{Path, Received, Transmit};
use taut_sansio::time::earliest;
use taut_stun::binding::{Client, Event as Answer};

use crate::addresses::{can_pair, may_send_to, plain, scoped};
use crate::agent::{Agent, Local, LocalId};
use crate::candidate::{Candidate, CandidateKind, CandidateTransport, priority};
use crate::config::{Config, Host, MAX_STUN_SERVERS, MAX_TURN_SERVERS, Policy};
use crate::event::{CandidateError, Event, GatheringState, ResolveId};
use crate::pacing::Pacer;
use crate::report::{MAX_SERVER_ERRORS, ServerError, UNREACHABLE};
use crate::servers::Sources;

/// How many questions to STUN servers, local addresses times servers, are asked; further ones are not.
pub const MAX_STUN_CLIENTS: usize = 64;

/// How long the application may take to resolve the name of a STUN server.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Asking {
    client: Client,
    host: LocalId,
    /// Which server, for the texts.
    server: usize,
    answered: bool,
}

#[derive(Debug)]
struct Question {
    host: LocalId,
    base: SocketAddr,
    server: usize,
    address: SocketAddr,
}

/// A configured server, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Stun(usize),
    Turn(usize),
}

#[derive(Debug)]
struct Lookup {
    server: Server,
    until: Instant,
}

#[derive(Debug)]
pub(crate) struct Gathering {
    begun: bool,
    /// For the next time.
    pub(crate) next: Option<Sources>,
    told: GatheringState,
    /// The addresses of the servers that are known so far.
    servers: Vec<(usize, SocketAddr)>,
    lookups: BTreeMap<ResolveId, Lookup>,
    queue: VecDeque<Question>,
    clients: Vec<Asking>,
    pacer: Pacer,
    next_lookup: u32,
}

impl Gathering {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            begun: false,
            next: None,
            told: GatheringState::New,
            servers: Vec::new(),
            lookups: BTreeMap::new(),
            queue: VecDeque::new(),
            clients: Vec::new(),
            pacer: Pacer::new(config.pace, config.burst),
            next_lookup: 0,
        }
    }

    pub(crate) fn state(&self) -> GatheringState {
        if !self.begun {
            GatheringState::New
        } else if self.lookups.is_empty()
            && self.queue.is_empty()
            && self.clients.iter().all(|asking| asking.answered)
        {
            GatheringState::Complete
        } else {
            GatheringState::Gathering
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let lookups = self.lookups.values().map(|lookup| lookup.until).min();
        let clients = self.clients.iter().filter_map(|asking| asking.client.poll_timeout()).min();
        let queue = self.queue.front().and_then(|_| self.pacer.next());
        earliest(earliest(lookups, clients), queue)
    }

    /// Forgets everything under way.
    pub(crate) fn stop(&mut self) {
        self.lookups.clear();
        self.queue.clear();
        self.clients.clear();
    }
}

impl Agent {
    /// Begins to gather: [`Event::LocalCandidate`] follows for every candidate, and
    /// [`GatheringState::Complete`] when there are no more. Addresses that are added later give candidates, too.
    pub fn gather(&mut self, now: Instant) {
        let now = self.tick(now);
        if self.gathering.begun || self.state.is_final() {
            return;
        }
        self.gathering.begun = true;
        self.renew_sources();
        self.generations.current_mut().policy = self.config.policy;
        self.begin_gathering(now);
        self.reconcile(now);
    }

    /// Gathers again, for another generation.
    pub(crate) fn gather_anew(&mut self, now: Instant) {
        if !self.gathering.begun {
            return;
        }
        self.gathering.stop();
        self.gathering.servers.clear();
        self.relays.forget_servers();
        self.begin_gathering(now);
    }

    /// That it has begun is told even where there is nothing to wait for.
    fn begin_gathering(&mut self, now: Instant) {
        self.gathering.told = GatheringState::Gathering;
        self.events.push_back(Event::GatheringStateChanged(GatheringState::Gathering));
        self.gather_all(now);
        self.tell_gathering_state();
    }

    /// Announces what was not, and asks all servers.
    fn gather_all(&mut self, now: Instant) {
        let mut hosts: Vec<LocalId> = self.bases.iter().map(|base| base.host).collect();
        hosts.extend(self.tcp.bases.iter().map(|base| base.host));
        for host in hosts {
            if self.locals.get(&host).is_some_and(|local| !local.announced) {
                self.announce(host);
            }
        }
        self.tell_mapped_addresses();
        // With relays alone, nobody is to be told of another address.
        let stun = if self.generations.current().policy == Policy::All { MAX_STUN_SERVERS } else { 0 };
        let stun = self.config.stun_servers.iter().take(stun).enumerate();
        let turn = self.config.turn_servers.iter().take(MAX_TURN_SERVERS).enumerate();
        let stun = stun.map(|(at, server)| (Server::Stun(at), server.host.clone(), server.port));
        let turn = turn.map(|(at, server)| (Server::Turn(at), server.host.clone(), server.port));
        for (server, host, port) in stun.chain(turn).collect::<Vec<_>>() {
            match host {
                Host::Ip(ip) => self.add_server(now, server, SocketAddr::new(ip, port)),
                Host::Name(host) => {
                    let id = ResolveId(self.gathering.next_lookup);
                    self.gathering.next_lookup = self.gathering.next_lookup.wrapping_add(1);
                    self.gathering.lookups.insert(id, Lookup { server, until: now + RESOLVE_TIMEOUT });
                    self.events.push_back(Event::Resolve { id, host });
                }
            }
        }
    }

    /// The answer to [`Event::Resolve`]: the addresses, or that there are none.
    #[allow(clippy::result_unit_err, reason = "why a name has no address makes no difference here")]
    pub fn handle_resolved(&mut self, now: Instant, id: ResolveId, addresses: Result<Vec<IpAddr>, ()>) {
        let now = self.tick(now);
        let Some(lookup) = self.gathering.lookups.remove(&id) else { return };
        let addresses = addresses.unwrap_or_default();
        // One address of each family stands for the server: its others would only be asked the same.
        let of = |v4: bool| addresses.iter().map(IpAddr::to_canonical).find(|ip| ip.is_ipv4() == v4);
        let chosen = [of(false), of(true)];
        if chosen.iter().all(Option::is_none) {
            self.candidate_error(lookup.server, None, UNREACHABLE, "the name of the server has no address");
        }
        let port = match lookup.server {
            Server::Stun(at) => self.config.stun_servers.get(at).map(|server| server.port),
            Server::Turn(at) => self.config.turn_servers.get(at).map(|server| server.port),
        };
        for ip in chosen.into_iter().flatten() {
            self.add_server(now, lookup.server, SocketAddr::new(ip, port.unwrap_or(0)));
        }
        self.reconcile(now);
    }

    /// The state of gathering.
    pub fn gathering_state(&self) -> GatheringState {
        match self.gathering.state() {
            GatheringState::Complete if self.relays.is_gathering() => GatheringState::Gathering,
            state => state,
        }
    }

    fn add_server(&mut self, now: Instant, server: Server, address: SocketAddr) {
        let address = plain(address);
        if !may_send_to(address) {
            return self.candidate_error(
                server,
                None,
                UNREACHABLE,
                "the address of the server cannot be used",
            );
        }
        let server = match server {
            Server::Turn(server) => return self.add_turn_server(now, server, address),
            Server::Stun(server) => server,
        };
        self.gathering.servers.push((server, address));
        let hosts: Vec<(LocalId, SocketAddr)> =
            self.bases.iter().map(|base| (base.host, base.address)).collect();
        for (host, base) in hosts {
            self.ask_server(host, base, server, address);
        }
    }

    /// A base was added: its candidate, and what the servers say of it.
    pub(crate) fn gather_on(&mut self, now: Instant, host: LocalId, base: SocketAddr) {
        if !self.gathering.begun {
            return;
        }
        self.announce(host);
        for (server, address) in self.gathering.servers.clone() {
            self.ask_server(host, base, server, address);
        }
        self.ask_turn_servers(now, base);
    }

    fn ask_server(&mut self, host: LocalId, base: SocketAddr, server: usize, address: SocketAddr) {
        // A lite agent has host candidates only (RFC 8445 section 5.2).
        if self.config.lite {
            return;
        }
        let asked = self.gathering.queue.len().saturating_add(self.gathering.clients.len());
        if can_pair(base, address) && asked < MAX_STUN_CLIENTS && !self.is_relayed(base) {
            self.gathering.queue.push_back(Question { host, base, server, address });
        }
    }

    /// A base was removed.
    pub(crate) fn stop_gathering_on(&mut self, host: LocalId) {
        self.gathering.queue.retain(|question| question.host != host);
        self.gathering.clients.retain(|asking| asking.host != host);
    }

    /// A pair is nominated: what the servers said need not be kept alive any longer.
    pub(crate) fn stop_keepalives(&mut self) {
        self.gathering.clients.retain(|asking| !asking.answered);
    }

    pub(crate) fn announce(&mut self, id: LocalId) {
        let policy = self.generations.current().policy;
        let Some(local) = self.locals.get_mut(&id) else { return };
        if policy == Policy::Relay && local.candidate.kind != CandidateKind::Relayed {
            return;
        }
        local.announced = true;
        let candidate = local.candidate.clone();
        self.publish(id);
        let kind = candidate.kind;
        self.events.push_back(Event::LocalCandidate(candidate));
        if kind == CandidateKind::Host {
            self.announce_external(id);
        }
    }

    /// The addresses that a host candidate has outside, as the application says.
    fn announce_external(&mut self, host: LocalId) {
        let Some(local) = self.locals.get(&host) else { return };
        let (base, udp) = (plain(local.base), local.is_udp());
        for external in self.config.external_addresses.clone() {
            if external.stands_for(base.ip()) {
                let address = plain(SocketAddr::new(external.external, base.port()));
                match udp {
                    true => self.add_server_reflexive(host, address.ip(), address),
                    false => self.announce_tcp_external(host, address),
                }
            }
        }
    }

    /// True once candidates are told of as they are found.
    pub(crate) fn has_begun_to_gather(&self) -> bool {
        self.gathering.begun
    }

    /// Lets the time of names run out, and reads what the clients found.
    pub(crate) fn advance_gathering(&mut self, now: Instant) {
        let late: Vec<ResolveId> = self
            .gathering
            .lookups
            .iter()
            .filter(|(_, lookup)| lookup.until <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            if let Some(lookup) = self.gathering.lookups.remove(&id) {
                self.candidate_error(
                    lookup.server,
                    None,
                    UNREACHABLE,
                    "the name of the server was not resolved",
                );
            }
        }
        let mut answers = Vec::new();
        for asking in &mut self.gathering.clients {
            asking.client.handle_timeout(now);
            if let Some(answer) = asking.client.poll_event() {
                asking.answered = true;
                answers.push((asking.host, asking.server, asking.client.path(), answer));
            }
        }
        for (host, server, path, answer) in answers {
            match answer {
                Answer::Mapped(mapped) => self.add_server_reflexive(host, path.remote.ip(), plain(mapped)),
                Answer::Refused { code, reason } => {
                    self.candidate_error(Server::Stun(server), Some(path.local), code, &reason);
                }
                _ => {
                    let text = "the server did not answer";
                    self.candidate_error(Server::Stun(server), Some(path.local), UNREACHABLE, text);
                }
            }
        }
        if self.generations.current().concluded {
            self.stop_keepalives();
        }
        self.tell_gathering_state();
    }

    /// A server-reflexive candidate, unless it is redundant (RFC 8445 section 5.1.3). One that was learned from a check
    /// already is server-reflexive from now on.
    pub(crate) fn add_server_reflexive(&mut self, host: LocalId, server: IpAddr, mapped: SocketAddr) {
        let Some(&Local { generation, base, .. }) = self.locals.get(&host).map(Box::as_ref) else { return };
        let Some(preference) = self.base_of(base).map(|base| base.preference) else { return };
        if !may_send_to(mapped) {
            return;
        }
        let kind = CandidateKind::ServerReflexive;
        let priority = priority(kind, preference);
        let same = |local: &Local| {
            local.is_udp() && (local.generation, local.address, local.base) == (generation, mapped, base)
        };
        let known = self.locals.iter().find(|(_, local)| same(local)).map(|(id, _)| *id);
        let Some(known) = known else {
            if let Some(id) = self.add_local(generation, kind, None, (mapped, base), Some(server), priority) {
                self.announce(id);
            }
            return;
        };
        let foundation = self.foundation(kind, &CandidateTransport::Udp, plain(base).ip(), Some(server));
        let Some(local) = self.locals.get_mut(&known) else { return };
        if local.candidate.kind == CandidateKind::PeerReflexive {
            local.server = Some(server);
            local.candidate = Candidate { kind, foundation, priority, ..local.candidate.clone() };
            self.reprioritise();
            self.announce(known);
        }
    }

    pub(crate) fn candidate_error(
        &mut self,
        server: Server,
        address: Option<SocketAddr>,
        code: u16,
        text: &str,
    ) {
        let url = match server {
            Server::Stun(at) => self.config.stun_servers.get(at).map(ToString::to_string),
            Server::Turn(at) => self.config.turn_servers.get(at).map(ToString::to_string),
        };
        self.server_error(url.unwrap_or_default(), address, code, text);
    }

    pub(crate) fn server_error(&mut self, url: String, address: Option<SocketAddr>, code: u16, text: &str) {
        if self.server_errors.len() >= MAX_SERVER_ERRORS {
            self.server_errors.pop_front();
        }
        self.server_errors.push_back(ServerError { url: url.clone(), code, text: text.to_owned() });
        let error = CandidateError { url, address, code, text: text.to_owned() };
        self.events.push_back(Event::CandidateError(error));
    }

    fn tell_gathering_state(&mut self) {
        let state = self.gathering_state();
        if self.gathering.told != state {
            self.gathering.told = state;
            self.events.push_back(Event::GatheringStateChanged(state));
        }
    }

    /// Gives a datagram to the client that waits for it, if one does.
    pub(crate) fn offer_to_servers(&mut self, meta: Received, datagram: &[u8]) -> bool {
        self.gathering.clients.iter_mut().any(|asking| asking.client.handle_datagram(meta, datagram))
    }

    /// Writes a request to a STUN server.
    pub(crate) fn poll_gathering(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        while !self.gathering.queue.is_empty() && self.gathering.pacer.take(now) {
            let Some(Question { host, base, server, address }) = self.gathering.queue.pop_front() else {
                break;
            };
            let path = Path::udp(base, scoped(base, address));
            let (policy, rng) = (self.config.gather_retransmission, self.rng.child());
            let client = Client::new(now, path, policy, self.config.keepalive, rng);
            self.gathering.clients.push(Asking { client, host, server, answered: false });
        }
        let blocked = &self.blocked;
        let mut clients = self.gathering.clients.iter_mut().filter(|a| !blocked.contains(&a.client.path()));
        clients.find_map(|asking| asking.client.poll_transmit(now, out))
    }
}
