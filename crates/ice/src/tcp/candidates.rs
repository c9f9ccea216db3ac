//! Gathering, priorities and pairing (RFC 6544 sections 4.1, 4.2 and 6.2).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use taut_sansio::net::{Path, Transport};

use crate::addresses::{is_below_ipv4, is_link_local, may_send_to, plain};
use crate::agent::{Agent, Local, LocalId};
use crate::bases::MAX_LOCAL_ADDRESSES;
use crate::candidate::{Candidate, CandidateKind, CandidateTransport, TcpType};
use crate::config::Loopback;
use crate::event::State;
use crate::generation::GenerationId;
use crate::pair::PairId;

/// The port that active candidates say they have (RFC 6544 section 4.5).
const DISCARD: u16 = 9;

/// The range of the part of a local preference that tells addresses apart (RFC 6544 section 4.2).
const OTHER_PREFERENCES: u16 = 8_192;

/// Ports below this one belong to other protocols, but for those of HTTP.
const FIRST_USER_PORT: u16 = 1_024;

/// An address that connections are opened from, or a listener that they come to.
#[derive(Debug)]
pub(crate) struct TcpBase {
    /// As it was given, with its scope; the port of an active one is 9.
    pub(crate) address: SocketAddr,
    pub(crate) side: TcpType,
    /// Its host candidate in the current generation.
    pub(crate) host: LocalId,
    preference: u16,
}

/// The priority of a TCP candidate of component 1. The types are below those of UDP, so that every direct way over UDP is
/// better than one over TCP, and above that of relays (RFC 6544 section 4.2).
fn priority(kind: CandidateKind, side: TcpType, preference: u16) -> u32 {
    let kind_preference: u32 = match kind {
        CandidateKind::Host => 90,
        CandidateKind::PeerReflexive => 80,
        CandidateKind::ServerReflexive => 70,
        CandidateKind::Relayed => 0,
    };
    let direction: u16 = match (kind, side) {
        (CandidateKind::ServerReflexive, TcpType::SimultaneousOpen) | (_, TcpType::Active) => 6,
        (CandidateKind::ServerReflexive, TcpType::Passive) | (_, TcpType::SimultaneousOpen) => 2,
        (_, TcpType::Passive) => 4,
    };
    let local = direction * OTHER_PREFERENCES + preference.min(OTHER_PREFERENCES - 1);
    (kind_preference << 24) | (u32::from(local) << 8) | 255
}

/// The priority that a peer-reflexive candidate has whose base is this host candidate.
pub(crate) fn peer_reflexive_priority(host: &Candidate) -> u32 {
    (priority(CandidateKind::PeerReflexive, TcpType::Active, 0) & 0xff00_0000) | (host.priority & 0x00ff_ffff)
}

/// The priority that the other side takes a local candidate to have. Where a connection comes from it learns with the check, so
/// an active candidate is peer-reflexive to it: both sides have to order their pairs alike.
pub(crate) fn priority_as_seen(local: &Candidate) -> u32 {
    match (local.tcp_type, local.kind) {
        (Some(TcpType::Active), CandidateKind::Host) => peer_reflexive_priority(local),
        _ => local.priority,
    }
}

/// True if a connection can come about between two candidates (RFC 6544 section 6.2). A passive candidate begins no pair:
/// its pairs are those that connections arrive on. The other side listens on its simultaneous-open candidates, too (section
/// 7.2), so an active one connects to them as to passive ones; this side has none.
pub(crate) fn fits(local: &Candidate, remote: &Candidate) -> bool {
    match (&local.transport, &remote.transport) {
        (CandidateTransport::Udp, CandidateTransport::Udp) => true,
        (CandidateTransport::Tcp, CandidateTransport::Tcp) => {
            local.tcp_type == Some(TcpType::Active)
                && matches!(remote.tcp_type, Some(TcpType::Passive | TcpType::SimultaneousOpen))
        }
        _ => false,
    }
}

/// True if a connection may be opened to this port. Whoever signals candidates chooses where the first octets go, so the
/// ports of other services are left alone.
pub(crate) fn may_connect_to(port: u16) -> bool {
    port >= FIRST_USER_PORT || matches!(port, 80 | 443)
}

impl Agent {
    /// Adds a listener for TCP connections (RFC 6544 section 4.1): a passive candidate, and a listening socket from which every
    /// connection is reported with [`handle_tcp_accepted`](Self::handle_tcp_accepted). Nothing happens unless
    /// [`Config::tcp`](crate::Config::tcp) allows passive candidates, and for addresses that
    /// [`add_local_address`](Self::add_local_address) ignores.
    pub fn add_tcp_listener(&mut self, now: Instant, address: SocketAddr) {
        let now = self.tick(now);
        if self.config.tcp.is_passive() && may_send_to(address) {
            self.add_tcp_base(address, TcpType::Passive);
        }
        self.reconcile(now);
    }

    /// Removes a listener with its candidate, its connections and their pairs.
    pub fn remove_tcp_listener(&mut self, now: Instant, address: SocketAddr) {
        let now = self.tick(now);
        self.drop_tcp_base(now, address, TcpType::Passive);
        self.reconcile(now);
    }

    /// A socket was bound to an address: connections may be opened from there.
    pub(crate) fn add_active(&mut self, base: SocketAddr) {
        if self.config.tcp.is_active() && !self.config.lite {
            let mut base = base;
            base.set_port(DISCARD);
            self.add_tcp_base(base, TcpType::Active);
        }
    }

    /// The last socket on an address was removed.
    pub(crate) fn drop_active(&mut self, now: Instant, base: SocketAddr) {
        let ip = plain(base).ip();
        if self.bases.iter().any(|base| plain(base.address).ip() == ip) {
            return;
        }
        let mut base = base;
        base.set_port(DISCARD);
        self.drop_tcp_base(now, base, TcpType::Active);
    }

    fn add_tcp_base(&mut self, address: SocketAddr, side: TcpType) {
        let unwanted = plain(address).ip().is_loopback() && self.config.loopback == Loopback::Never;
        if unwanted
            || !self.config.filter.allows_address(address.ip())
            || self.tcp.base(address, side).is_some()
            || self.tcp.bases.len() >= MAX_LOCAL_ADDRESSES
            || self.state == State::Closed
        {
            return;
        }
        let preference = self.free_tcp_preference(address.ip(), side);
        let Some(host) = self.add_tcp_host(address, side, preference) else { return };
        self.tcp.bases.push(TcpBase { address, side, host, preference });
        if self.state != State::Failed {
            if self.has_begun_to_gather() {
                self.announce(host);
            }
            self.pair_base(host);
        }
    }

    fn add_tcp_host(&mut self, base: SocketAddr, side: TcpType, preference: u16) -> Option<LocalId> {
        let generation = self.generations.current().id;
        let priority = priority(CandidateKind::Host, side, preference);
        self.add_local(generation, CandidateKind::Host, Some(side), (plain(base), base), None, priority)
    }

    /// The best preference that no base of this side has, in the order of [`free_preference`](Self::free_preference).
    fn free_tcp_preference(&self, ip: IpAddr, side: TcpType) -> u16 {
        let ip = ip.to_canonical();
        let top = match ip {
            _ if ip.is_loopback() => OTHER_PREFERENCES / 4 - 1,
            _ if is_link_local(ip) => OTHER_PREFERENCES / 2 - 1,
            _ if is_below_ipv4(ip) => OTHER_PREFERENCES / 4 * 3 - 1,
            _ => OTHER_PREFERENCES - 1,
        };
        let family = u16::from(ip.is_ipv4());
        let mut choices = (0..OTHER_PREFERENCES / 16).map(|n| top - 2 * n - family);
        let taken = |p: u16| self.tcp.bases.iter().any(|base| base.side == side && base.preference == p);
        choices.find(|p| !taken(*p)).unwrap_or(0)
    }

    fn drop_tcp_base(&mut self, now: Instant, address: SocketAddr, side: TcpType) {
        let same = |base: &TcpBase| base.side == side && plain(base.address) == plain(address);
        let Some(at) = self.tcp.bases.iter().position(same) else { return };
        let base = self.tcp.bases.remove(at);
        self.close_streams_of(now, base.address, side);
        let of_base = |local: &Local| local.base == base.address && local.candidate.tcp_type == Some(side);
        let locals: Vec<LocalId> =
            self.locals.iter().filter(|(_, local)| of_base(local)).map(|(id, _)| *id).collect();
        let pairs: Vec<PairId> = self
            .checklist
            .iter()
            .filter(|(_, pair)| locals.contains(&pair.local))
            .map(|(id, _)| id)
            .collect();
        for pair in pairs {
            self.remove_pair(pair);
        }
        self.locals.retain(|id, _| !locals.contains(id));
        self.unpublish(address);
    }

    /// Sees to it that every base has a host candidate in the current generation.
    pub(crate) fn renew_tcp_hosts(&mut self) {
        let generation = self.generations.current().id;
        for at in 0..self.tcp.bases.len() {
            let Some(&TcpBase { address, side, preference, .. }) = self.tcp.bases.get(at) else { return };
            let known = self.tcp_host_at(generation, address, side);
            let Some(host) = known.or_else(|| self.add_tcp_host(address, side, preference)) else { continue };
            if let Some(base) = self.tcp.bases.get_mut(at) {
                base.host = host;
            }
            if known.is_none() {
                self.pair_base(host);
            }
        }
    }

    fn tcp_host_at(&self, generation: GenerationId, base: SocketAddr, side: TcpType) -> Option<LocalId> {
        let here = |local: &Local| local.base == base && local.candidate.tcp_type == Some(side);
        let hosts = self.hosts_of(generation);
        hosts.into_iter().find(|id| self.locals.get(id).is_some_and(|local| here(local)))
    }

    /// The host candidate of a generation that a connection belongs to.
    pub(crate) fn tcp_host_of(&self, generation: GenerationId, path: &Path) -> Option<LocalId> {
        let (base, side) = self.tcp.origin(path)?;
        self.tcp_host_at(generation, base, side)
    }

    /// What a passive candidate is outside (see [`ExternalAddress`](crate::ExternalAddress)): server-reflexive, as the
    /// application says.
    pub(crate) fn announce_tcp_external(&mut self, host: LocalId, external: SocketAddr) {
        let Some(local) = self.locals.get(&host) else { return };
        let (generation, base) = (local.generation, local.base);
        let Some(TcpType::Passive) = local.candidate.tcp_type else { return };
        let kind = CandidateKind::ServerReflexive;
        let known = |local: &Local| {
            (local.generation, local.address, local.base) == (generation, external, base)
                && local.candidate.kind == kind
                && local.candidate.transport == CandidateTransport::Tcp
        };
        let preference = self.tcp.base(base, TcpType::Passive).map(|base| base.preference);
        let Some(preference) = preference.filter(|_| !self.locals.values().any(|local| known(local))) else {
            return;
        };
        let priority = priority(kind, TcpType::Passive, preference);
        let ends = (external, base);
        let server = Some(external.ip());
        if let Some(id) = self.add_local(generation, kind, Some(TcpType::Passive), ends, server, priority) {
            self.announce(id);
        }
    }

    /// What the other end of a path is.
    pub(crate) fn far_end(&self, path: &Path) -> (CandidateTransport, Option<TcpType>) {
        match (path.transport, self.tcp.origin(path)) {
            (Transport::Udp, _) => (CandidateTransport::Udp, None),
            (_, Some((_, TcpType::Passive))) => (CandidateTransport::Tcp, Some(TcpType::Active)),
            _ => (CandidateTransport::Tcp, Some(TcpType::Passive)),
        }
    }

    /// The local candidate that the other side saw a check come from. A connection has a port of its own: what leaves from it
    /// without a translation is still the host candidate, of which nothing was learned.
    pub(crate) fn mapped_end(
        &mut self,
        path: &Path,
        host: LocalId,
        mapped: SocketAddr,
        priority: u32,
    ) -> LocalId {
        if path.transport != Transport::Udp && mapped == plain(path.local) {
            return host;
        }
        self.mapped_local(host, mapped, priority)
    }

    /// Where the checks of a pair leave from and go to. That of a connection is known once it is open.
    pub(crate) fn path_between(local: &Local, remote: SocketAddr) -> Path {
        let transport = match local.candidate.transport {
            CandidateTransport::Tcp => Transport::Tcp,
            _ => Transport::Udp,
        };
        Path { transport, local: local.base, remote }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_follow_the_formula() {
        use {CandidateKind as Kind, TcpType as Side};
        // The example of RFC 6544 appendix C has other type preferences, and these directions.
        assert_eq!(priority(Kind::Host, Side::Active, 8_191) & 0x00ff_ffff, (6 * 8_192 + 8_191) << 8 | 255);
        let best = |kind, side| priority(kind, side, 8_191);
        assert!(best(Kind::Host, Side::Active) > best(Kind::Host, Side::Passive));
        assert!(best(Kind::Host, Side::Passive) > best(Kind::Host, Side::SimultaneousOpen));
        assert!(
            best(Kind::ServerReflexive, Side::SimultaneousOpen) > best(Kind::ServerReflexive, Side::Passive)
        );
        let udp = crate::candidate::priority;
        assert!(best(Kind::Host, Side::Active) < udp(Kind::ServerReflexive, 0), "every direct way over UDP");
        assert!(priority(Kind::ServerReflexive, Side::Passive, 0) > udp(Kind::Relayed, 65_535));
    }

    #[test]
    fn pairs_are_made_of_an_active_and_a_listening_end() {
        let candidate = |rest: &str| -> Candidate { format!("1 1 {rest}").parse().expect("a candidate") };
        let udp = candidate("udp 1 192.0.2.1 5000 typ host");
        let tcp = |side: &str| candidate(&format!("tcp 1 192.0.2.1 5000 typ host tcptype {side}"));
        assert!(
            fits(&udp, &udp) && fits(&tcp("active"), &tcp("passive")) && fits(&tcp("active"), &tcp("so"))
        );
        for (local, remote) in
            [("active", "active"), ("passive", "active"), ("passive", "passive"), ("passive", "so")]
        {
            assert!(!fits(&tcp(local), &tcp(remote)), "{local} {remote}");
        }
        assert!(!fits(&udp, &tcp("passive")) && !fits(&tcp("active"), &udp));
        assert!(!fits(&tcp("active"), &candidate("tcp 1 192.0.2.1 5000 typ host")), "no type");
    }

    #[test]
    fn ports_of_other_services_are_left_alone() {
        assert!([80, 443, 1_024, 3_478, 65_535].into_iter().all(may_connect_to));
        assert!(![1, 9, 22, 25, 53, 444, 1_023].into_iter().any(may_connect_to));
    }
}
