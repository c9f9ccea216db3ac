//! Relayed candidates (RFC 8445 section 5.1.1.2): allocations on TURN servers, whose relayed addresses are bases as bound
//! sockets are. A check on such a base, and data, is wrapped for its server at the last moment, and unwrapped at the first.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::BytesMut;
use taut_sansio::net::{Path, Received, Transmit, Transport};
use taut_stun::{Message, Method};
use taut_turn::{Client, ClientConfig, CloseReason, Envelope, Event as TurnEvent, Relayed, is_channel_data};

use crate::addresses::{can_pair, may_send_to, plain, scoped};
use crate::agent::{Agent, LocalId};
use crate::bases::{Base, MAX_LOCAL_ADDRESSES};
use crate::candidate::{CandidateKind, priority};
use crate::config::{Host, MAX_TURN_SERVERS, Policy, TurnServer, TurnTransport};
use crate::event::{Event, State};
use crate::hiding::hidden;
use crate::pair::{Pair, PairId, Status};

/// How many allocations are asked for, local addresses times servers; further ones are not.
pub const MAX_RELAYS: usize = 16;

/// A stream to a TURN server that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

/// Why a stream to a TURN server was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody listens there, or the network does not lead there.
    #[error("the server is not reached")]
    Unreachable,
    /// It took too long.
    #[error("the server takes too long to connect")]
    TimedOut,
    /// TLS failed: the certificate is for somebody else or not trusted, or the server speaks no TLS.
    #[error("the certificate of the server is not accepted, or it speaks no TLS")]
    Tls,
    /// The proxy on the way is not there.
    #[error("the proxy is not reached")]
    ProxyUnreachable,
    /// The proxy does not connect to this server.
    #[error("the proxy refuses to connect to the server")]
    ProxyRefused,
    /// The proxy wants credentials, or other ones.
    #[error("the proxy wants a user and a password, or other ones")]
    ProxyUnauthorized,
    /// What the proxy said is not what such a proxy says.
    #[error("the proxy does not answer as its kind does")]
    ProxyMalformed,
}

/// One allocation, or the wish for one.
#[derive(Debug)]
struct Relay {
    client: Client,
    server: TurnServer,
    /// The server is not among the configured ones any more: it is kept for the pairs that there are.
    retired: bool,
    /// The socket that it is asked from; with a stream, the address.
    local: SocketAddr,
    /// The stream that was asked for last.
    stream: Option<StreamId>,
    /// Why there is no stream, if there is none.
    no_stream: ConnectError,
    /// It has an allocation, or will not get one: gathering need not wait for it.
    settled: bool,
    /// The path to the server that the composition knows of.
    route: Option<Path>,
}

/// All allocations.
#[derive(Debug, Default)]
pub(crate) struct Relays {
    list: Vec<Relay>,
    /// The addresses of the servers that are known so far.
    servers: Vec<(usize, SocketAddr)>,
    /// The sockets that servers over UDP are asked from, instead of from all.
    sockets: Vec<SocketAddr>,
    next_stream: u32,
}

impl Relays {
    /// True while an allocation may still come.
    pub(crate) fn is_gathering(&self) -> bool {
        self.list.iter().any(|relay| !relay.settled)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.list.iter().filter_map(|relay| relay.client.poll_timeout()).min()
    }

    /// Forgets which servers are known, to learn of them anew.
    pub(crate) fn forget_servers(&mut self) {
        self.servers.clear();
    }

    /// These are the servers from now on.
    pub(crate) fn renew(&mut self, servers: &[TurnServer]) {
        for relay in &mut self.list {
            match servers.iter().take(MAX_TURN_SERVERS).find(|server| server.is_same(&relay.server)) {
                Some(server) => {
                    relay.retired = false;
                    relay.client.set_credentials(server.credentials());
                }
                None => relay.retired = true,
            }
        }
    }

    fn by_relayed(&self, relayed: SocketAddr) -> Option<&Relay> {
        self.list.iter().find(|relay| relay.client.relayed().contains(&relayed))
    }

    fn by_relayed_mut(&mut self, relayed: SocketAddr) -> Option<&mut Relay> {
        self.list.iter_mut().find(|relay| relay.client.relayed().contains(&relayed))
    }
}

impl Agent {
    /// The answer to [`Event::Connect`]: the stream is open on this path, or is not to be had. What comes in on it is given
    /// to [`handle_datagram`](Self::handle_datagram) message by message, as `taut_turn::Deframer` cuts it.
    pub fn handle_connected(&mut self, now: Instant, id: StreamId, path: Result<Path, ConnectError>) {
        let now = self.tick(now);
        if let Some(relay) = self.relays.list.iter_mut().find(|relay| relay.stream == Some(id)) {
            match path {
                Ok(path) => {
                    relay.no_stream = ConnectError::Unreachable;
                    relay.client.handle_connected(now, path);
                }
                Err(error) => {
                    relay.no_stream = error;
                    relay.client.handle_disconnected(now);
                }
            }
        }
        self.reconcile(now);
    }

    /// Adds a bound UDP socket for TURN servers over UDP, and for nothing else: it gives no candidate of its own. As soon as there is
    /// one, those servers are asked from such sockets alone. They know their clients by the socket (RFC 8656 section 5), so an
    /// agent whose other sockets are shared with other agents needs one, before it first asks such a server. Addresses that nothing
    /// can be sent from, and more than [`MAX_LOCAL_ADDRESSES`], are ignored.
    pub fn add_relay_socket(&mut self, now: Instant, address: SocketAddr) {
        let now = self.tick(now);
        let sockets = &mut self.relays.sockets;
        let full = sockets.len() >= MAX_LOCAL_ADDRESSES;
        if !may_send_to(address) || sockets.contains(&address) || full || self.state == State::Closed {
            return;
        }
        sockets.push(address);
        self.ask_turn_servers(now, address);
        self.reconcile(now);
    }

    /// Removes a socket that was added for relays, with what was asked for from it. False if there is none.
    pub(crate) fn remove_relay_socket(&mut self, now: Instant, address: SocketAddr) -> bool {
        let before = self.relays.sockets.len();
        self.relays.sockets.retain(|socket| *socket != address);
        let removed = self.relays.sockets.len() < before;
        if removed {
            self.drop_relays_on(now, address);
        }
        removed
    }

    /// The stream on this path is closed.
    pub fn handle_disconnected(&mut self, now: Instant, path: Path) {
        let now = self.tick(now);
        if let Some(relay) = self.relays.list.iter_mut().find(|relay| relay.client.path() == Some(path)) {
            relay.client.handle_disconnected(now);
        }
        self.reconcile(now);
    }

    /// The path that datagrams of this path really take: to the TURN server where it begins at a relayed address.
    pub fn outer_path(&self, path: &Path) -> Option<Path> {
        match self.relays.by_relayed(path.local) {
            Some(relay) => relay.client.path(),
            None => Some(*path),
        }
    }

    /// How many octets a relay adds to a datagram on this path; 0 for a path without one.
    pub fn relay_overhead(&self, path: &Path) -> usize {
        self.relays.by_relayed(path.local).map_or(0, |relay| relay.client.overhead(path.remote))
    }

    /// Begins a datagram on a path: what a relay needs before the payload is appended to `out`. `None` if the relay
    /// cannot be used. Ended by [`seal`](Self::seal).
    pub fn open(&mut self, path: &Path, out: &mut Vec<u8>) -> Option<RelayEnvelope> {
        match self.relays.by_relayed_mut(path.local) {
            Some(relay) => {
                let envelope = relay.client.open(path.remote, out)?;
                Some(RelayEnvelope(Some((path.local, envelope))))
            }
            None => Some(RelayEnvelope(None)),
        }
    }

    /// Ends a datagram that was begun with [`open`](Self::open). False, with the datagram taken out again, if the relay
    /// cannot carry it.
    pub fn seal(&mut self, envelope: RelayEnvelope, out: &mut Vec<u8>) -> bool {
        let Some((relayed, envelope)) = envelope.0 else { return true };
        match self.relays.by_relayed_mut(relayed) {
            Some(relay) => relay.client.seal(envelope, out).is_some(),
            None => false,
        }
    }

    /// Wraps what was just written for a path, if it begins at a relayed address. `None`, with the datagram taken out
    /// again, if it cannot leave now.
    pub(crate) fn wrap(&mut self, transmit: Transmit, out: &mut Vec<u8>) -> Option<Transmit> {
        if self.relays.by_relayed(transmit.path.local).is_none() {
            return Some(transmit);
        }
        let start = out.len().saturating_sub(transmit.len);
        let payload = out.split_off(start);
        let outer = self.outer_path(&transmit.path).filter(|outer| !self.blocked.contains(outer))?;
        let envelope = self.open(&transmit.path, out)?;
        out.extend_from_slice(&payload);
        let sealed = self.seal(envelope, out);
        sealed.then(|| Transmit::single(outer, out.len().saturating_sub(start)))
    }

    /// Writes a request to a TURN server.
    pub(crate) fn poll_relays(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let blocked = &self.blocked;
        let open = self.relays.list.iter_mut();
        let mut open = open.filter(|relay| relay.client.path().is_some_and(|path| !blocked.contains(&path)));
        open.find_map(|relay| relay.client.poll_transmit(now, 1, out))
    }

    /// Gives a datagram to the TURN client that waits for it. What a peer sent through the relay comes back.
    pub(crate) fn offer_to_relays(&mut self, meta: Received, datagram: BytesMut) -> Offered {
        let path = match meta.path.transport {
            Transport::Udp => self.canonical(meta.path).unwrap_or(meta.path),
            _ => meta.path,
        };
        let Some(relay) = self.relays.list.iter_mut().find(|relay| relay.client.path() == Some(path)) else {
            return Offered::NotForRelays(datagram);
        };
        // A TURN server often is a STUN server, too, at the same address.
        let turn = path.transport != Transport::Udp
            || is_channel_data(&datagram)
            || Message::parse(&datagram).is_ok_and(|message| message.method() != Method::BINDING);
        if !turn {
            return Offered::NotForRelays(datagram);
        }
        match relay.client.handle_datagram(Received { path, ..meta }, datagram) {
            None => Offered::Taken,
            Some(Relayed { relayed, peer, data }) => {
                let path = Path::udp(relayed, plain(peer));
                Offered::Unwrapped(Received { path, ecn: None, ..meta }, data)
            }
        }
    }

    /// The address of a configured TURN server is known.
    pub(crate) fn add_turn_server(&mut self, now: Instant, server: usize, address: SocketAddr) {
        self.relays.servers.push((server, address));
        let bases = self.bases.iter().map(|base| base.address);
        let from: Vec<SocketAddr> = bases.chain(self.relays.sockets.iter().copied()).collect();
        for base in from {
            self.ask_turn_server(now, base, server, address);
        }
    }

    /// A base, or a socket for relays, was added.
    pub(crate) fn ask_turn_servers(&mut self, now: Instant, base: SocketAddr) {
        for (server, address) in self.relays.servers.clone() {
            self.ask_turn_server(now, base, server, address);
        }
    }

    /// Asks for an allocation from each socket, over a stream from one.
    fn ask_turn_server(&mut self, now: Instant, base: SocketAddr, server: usize, address: SocketAddr) {
        let Some(configured) = self.config.turn_servers.get(server) else { return };
        let transport = match configured.transport {
            TurnTransport::Udp => Transport::Udp,
            TurnTransport::Tcp => Transport::Tcp,
            TurnTransport::Tls => Transport::Tls,
        };
        let known = self.relays.list.iter().any(|relay| {
            let same_family = relay.local.is_ipv4() == base.is_ipv4();
            let here = transport != Transport::Udp || relay.local == base;
            !relay.retired && relay.server.is_same(configured) && same_family && here
        });
        let full = self.relays.list.len() >= MAX_RELAYS;
        let over_udp = transport == Transport::Udp && !self.relays.sockets.is_empty();
        if known
            || full
            || over_udp != self.relays.sockets.contains(&base)
            || self.config.lite
            || self.is_relayed(base)
            || !can_pair(base, address)
            || self.state.is_final()
        {
            return;
        }
        let (server, credentials) = (configured.clone(), configured.credentials());
        let config = ClientConfig::default().with_credentials(credentials);
        let (to, rng) = (scoped(base, address), self.rng.child());
        let client = Client::new(now, config, transport, base, to, rng);
        let no_stream = ConnectError::Unreachable;
        self.relays.list.push(Relay {
            client,
            server,
            retired: false,
            local: base,
            stream: None,
            no_stream,
            settled: false,
            route: None,
        });
    }

    /// A socket is gone, and what was asked for from it.
    pub(crate) fn drop_relays_on(&mut self, now: Instant, base: SocketAddr) {
        let from_there =
            |relay: &Relay| relay.local == base && relay.client.path().is_none_or(|path| path.local == base);
        while let Some(at) = self.relays.list.iter().position(from_there) {
            let relay = self.relays.list.remove(at);
            self.drop_relay(now, &relay);
        }
    }

    fn drop_relay(&mut self, now: Instant, relay: &Relay) {
        if let Some(route) = relay.route {
            self.events.push_back(Event::RouteRemoved(route));
        }
        for relayed in relay.client.relayed().to_vec() {
            self.remove_local_address(now, relayed);
        }
    }

    /// Gives all allocations back.
    pub(crate) fn close_relays(&mut self, now: Instant) {
        for relay in &mut self.relays.list {
            relay.client.close(now);
        }
    }

    /// Draws the consequences of what the TURN clients tell. True if one of them told anything.
    pub(crate) fn advance_relays(&mut self, now: Instant) -> bool {
        self.end_retired(now);
        let (mut at, mut told) = (0, false);
        while let Some(relay) = self.relays.list.get_mut(at) {
            relay.client.handle_timeout(now);
            let Some(event) = relay.client.poll_event() else {
                at = at.saturating_add(1);
                continue;
            };
            told = true;
            self.on_turn_event(at, event);
        }
        told
    }

    fn on_turn_event(&mut self, at: usize, event: TurnEvent) {
        match event {
            TurnEvent::Allocated { relayed, .. } => self.on_allocated(at, &relayed),
            TurnEvent::Lost(reason) => {
                tracing::debug!(?reason, "relay lost");
                self.forget_relayed();
            }
            TurnEvent::Connect(remote) => self.on_connect(at, remote),
            TurnEvent::PeerRefused { peer, .. } => self.on_peer_refused(peer, at),
            TurnEvent::Closed(reason) => {
                let relay = self.relays.list.remove(at);
                if reason != CloseReason::Local {
                    let text = match &reason {
                        CloseReason::Refused { reason, .. } if !reason.is_empty() => reason.clone(),
                        CloseReason::Refused { .. } => "the server refused".to_owned(),
                        CloseReason::TimedOut => "the server did not answer".to_owned(),
                        CloseReason::TooManyRedirects => "the server redirects without end".to_owned(),
                        CloseReason::UnknownPasswordAlgorithm => "no common password algorithm".to_owned(),
                        _ => relay.no_stream.to_string(),
                    };
                    self.server_error(relay.server.to_string(), Some(relay.local), reason.code(), &text);
                }
                if let Some(route) = relay.route {
                    self.events.push_back(Event::RouteRemoved(route));
                }
                if let Some(stream) = relay.stream {
                    self.events.push_back(Event::CloseStream(stream));
                }
                self.forget_relayed();
            }
            _ => {}
        }
    }

    fn on_connect(&mut self, at: usize, remote: SocketAddr) {
        let id = StreamId(self.relays.next_stream);
        self.relays.next_stream = id.0.wrapping_add(1);
        let Some(relay) = self.relays.list.get_mut(at) else { return };
        let replaces = relay.stream.replace(id);
        let transport = match relay.server.transport {
            TurnTransport::Tls => Transport::Tls,
            _ => Transport::Tcp,
        };
        let host = match &relay.server.host {
            Host::Name(name) => name.clone(),
            Host::Ip(ip) => ip.to_string(),
        };
        self.events.push_back(Event::Connect { id, replaces, transport, remote, host });
    }

    fn on_allocated(&mut self, at: usize, relayed: &[SocketAddr]) {
        let Some(relay) = self.relays.list.get_mut(at) else { return };
        relay.settled = true;
        if let Some(path) = relay.client.path().filter(|path| path.transport == Transport::Udp)
            && relay.route.replace(path) != Some(path)
        {
            self.events.push_back(Event::RouteAdded(path));
        }
        for address in relayed {
            self.add_relayed_base(*address);
        }
        self.tell_mapped_address(at);
        self.unsettled = true;
    }

    /// Server-reflexive candidates of what allocations have shown already.
    pub(crate) fn tell_mapped_addresses(&mut self) {
        for at in 0..self.relays.list.len() {
            self.tell_mapped_address(at);
        }
    }

    /// A server over UDP has seen where our socket is outside (RFC 8445 section 5.1.1.2).
    fn tell_mapped_address(&mut self, at: usize) {
        let allocated = |relay: &&Relay| !relay.retired && !relay.client.relayed().is_empty();
        let Some(relay) = self.relays.list.get(at).filter(allocated) else { return };
        let (local, server, mapped) = (relay.local, relay.client.server(), relay.client.mapped());
        let over_udp = relay.client.path().is_some_and(|path| path.transport == Transport::Udp);
        if over_udp
            && self.generations.current().policy == Policy::All
            && let Some(mapped) = mapped
            && let Some(host) = self.base_of(local).map(|base| base.host)
        {
            self.add_server_reflexive(host, server.ip(), plain(mapped));
        }
    }

    fn add_relayed_base(&mut self, relayed: SocketAddr) {
        if !may_send_to(relayed) || self.base_of(relayed).is_some() || self.bases.len() >= MAX_LOCAL_ADDRESSES
        {
            return;
        }
        let preference = self.free_preference(relayed);
        let Some(host) = self.add_host(relayed, preference) else { return };
        self.bases.push(Base { address: relayed, host, preference });
        self.announce(host);
        self.pair_base(host);
    }

    /// The candidate of a relayed base for the current generation: its own base, related to the address that the server
    /// has seen (RFC 8445 section 5.1.1.2, RFC 8839 section 5.1). With a policy that hides addresses, that one is hidden.
    pub(crate) fn add_relayed_candidate(&mut self, relayed: SocketAddr, preference: u16) -> Option<LocalId> {
        let relay = self.relays.by_relayed(relayed).filter(|relay| !relay.retired)?;
        let (server, mapped, transport) = (
            relay.client.server().ip(),
            relay.client.mapped(),
            relay.client.path().map(|path| path.transport),
        );
        let generation = self.generations.current().id;
        // A relay that is reached over a stream comes after those over UDP.
        let preference = match transport {
            Some(Transport::Udp) => preference,
            Some(Transport::Tcp) => preference / 2,
            _ => preference / 4,
        };
        let priority = priority(CandidateKind::Relayed, preference);
        let kind = CandidateKind::Relayed;
        let id = self.add_local(generation, kind, None, (plain(relayed), relayed), Some(server), priority)?;
        let related = match (self.generations.current().policy, mapped) {
            (Policy::All, Some(mapped)) => self.told_related(plain(mapped)),
            (Policy::All, None) | (Policy::Relay, _) => hidden(relayed),
        };
        if let Some(local) = self.locals.get_mut(&id) {
            local.candidate.related = Some(related);
        }
        Some(id)
    }

    /// True for the address of a relay of ours.
    pub(crate) fn is_relayed(&self, base: SocketAddr) -> bool {
        let kind = |base: &Base| self.locals.get(&base.host).map(|local| local.candidate.kind);
        self.relays.by_relayed(base).is_some()
            || self.base_of(base).and_then(kind) == Some(CandidateKind::Relayed)
    }

    /// Gives back the allocations on servers that are not configured any more, once no pair needs them.
    fn end_retired(&mut self, now: Instant) {
        let needed = |relay: &Relay, agent: &Self| {
            agent.checklist.iter().any(|(_, pair)| relay.client.relayed().contains(&pair.path.local))
        };
        for at in 0..self.relays.list.len() {
            let Some(relay) = self.relays.list.get(at).filter(|relay| relay.retired) else { continue };
            if needed(relay, self) {
                continue;
            }
            for relayed in relay.client.relayed().to_vec() {
                self.drop_base(relayed);
            }
            if let Some(relay) = self.relays.list.get_mut(at) {
                relay.settled = true;
                relay.client.close(now);
            }
        }
    }

    /// Removes the bases that were relayed and are not any more.
    fn forget_relayed(&mut self) {
        let gone = |base: &Base, agent: &Self| {
            agent.is_relayed(base.address) && agent.relays.by_relayed(base.address).is_none()
        };
        let gone: Vec<SocketAddr> =
            self.bases.iter().filter(|base| gone(base, self)).map(|base| base.address).collect();
        for base in gone {
            self.drop_base(base);
        }
    }

    /// A pair on a relayed base was formed: the server is to let its datagrams through.
    pub(crate) fn permit(&mut self, path: &Path) {
        let Some(now) = self.newest else { return };
        if let Some(relay) = self.relays.by_relayed_mut(path.local) {
            relay.client.permit(now, path.remote.ip());
        }
    }

    /// A pair on a relayed base is gone: its peer needs no permission any more, unless it has another pair. There is a most of
    /// permissions, and restarts would use them up.
    pub(crate) fn unpermit(&mut self, path: &Path) {
        let (base, peer) = (path.local, path.remote.ip());
        let to_peer = |pair: &Pair| pair.path.local == base && pair.path.remote.ip() == peer;
        if self.checklist.iter().any(|(_, pair)| to_peer(pair)) {
            return;
        }
        if let Some(relay) = self.relays.by_relayed_mut(base) {
            relay.client.forget(peer);
        }
    }

    /// A path carries data: a channel makes it cheaper.
    pub(crate) fn bind_channel(&mut self, now: Instant, path: &Path) {
        if let Some(relay) = self.relays.by_relayed_mut(path.local) {
            relay.client.bind(now, path.remote);
        }
    }

    /// The server does not relay to a peer: its pairs are over.
    fn on_peer_refused(&mut self, peer: IpAddr, at: usize) {
        let Some(relay) = self.relays.list.get(at) else { return };
        let relayed = relay.client.relayed().to_vec();
        let of_peer = |path: &Path| relayed.contains(&path.local) && path.remote.ip() == peer;
        let pairs: Vec<PairId> = self
            .checklist
            .iter()
            .filter(|(_, pair)| of_peer(&pair.path) && pair.valid().is_none())
            .map(|(id, _)| id)
            .collect();
        for pair in pairs {
            self.end_pair(pair, Status::Failed);
        }
        self.unsettled |= self.state == State::Checking;
    }
}

/// What became of a datagram that was shown to the TURN clients.
#[derive(Debug)]
pub(crate) enum Offered {
    /// It is for somebody else.
    NotForRelays(BytesMut),
    /// A client took it.
    Taken,
    /// A peer sent this through a relay.
    Unwrapped(Received, BytesMut),
}

/// A datagram that was begun with [`Agent::open`].
#[derive(Debug)]
#[must_use = "what was opened must be sealed"]
pub struct RelayEnvelope(Option<(SocketAddr, Envelope)>);
