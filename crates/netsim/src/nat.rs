//! Network address translators in the terms of RFC 4787: how they map and how they filter, and the four classic kinds of both.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use taut_sansio::rng::Rng;

use crate::node::NodeId;
use crate::world::NatId;

/// What a mapping, or the filter of a translator, depends on (RFC 4787 sections 4.1 and 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependence {
    /// On the endpoint inside alone.
    EndpointIndependent,
    /// On the address outside, too.
    AddressDependent,
    /// On the address and the port outside, too.
    AddressAndPortDependent,
}

impl Dependence {
    /// All three.
    pub const ALL: [Self; 3] =
        [Self::EndpointIndependent, Self::AddressDependent, Self::AddressAndPortDependent];

    /// True if what holds for one of the two addresses holds for the other one.
    fn takes_for_one(self, a: SocketAddr, b: SocketAddr) -> bool {
        match self {
            Self::EndpointIndependent => true,
            Self::AddressDependent => a.ip() == b.ip(),
            Self::AddressAndPortDependent => a == b,
        }
    }
}

/// The four classic combinations of mapping and filtering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatKind {
    /// Endpoint-independent mapping and filtering.
    FullCone,
    /// Endpoint-independent mapping, address-dependent filtering.
    AddressRestricted,
    /// Endpoint-independent mapping, address- and port-dependent filtering.
    PortRestricted,
    /// Address- and port-dependent mapping and filtering.
    Symmetric,
}

/// The first port that mappings get; below are those that nobody maps to.
const FIRST_PORT: u32 = 10_000;
const PORTS: u32 = 50_000;

/// A translator in front of nodes.
#[derive(Debug)]
pub struct Nat {
    mapping: Dependence,
    filtering: Dependence,
    public: IpAddr,
    timeout: Duration,
    hairpin: bool,
    /// The translator that this one is behind.
    realm: Option<NatId>,
    mappings: Vec<Mapping>,
}

#[derive(Debug)]
struct Mapping {
    node: NodeId,
    inside: SocketAddr,
    /// The destination that it was made for.
    made_for: SocketAddr,
    port: u16,
    /// Where the inside has sent to, for the filter.
    permitted: Vec<(SocketAddr, Instant)>,
    used: Instant,
}

impl Nat {
    /// A translator with one public address. Mappings live for 30 s after the last outgoing datagram, and a node
    /// cannot reach another one behind the same translator by its public address.
    pub fn new(kind: NatKind, public: IpAddr) -> Self {
        use Dependence::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
        match kind {
            NatKind::FullCone => Self::with(EndpointIndependent, EndpointIndependent, public),
            NatKind::AddressRestricted => Self::with(EndpointIndependent, AddressDependent, public),
            NatKind::PortRestricted => Self::with(EndpointIndependent, AddressAndPortDependent, public),
            NatKind::Symmetric => Self::with(AddressAndPortDependent, AddressAndPortDependent, public),
        }
    }

    /// A translator with one public address that maps and filters as is said.
    pub fn with(mapping: Dependence, filtering: Dependence, public: IpAddr) -> Self {
        let timeout = Duration::from_secs(30);
        Self { mapping, filtering, public, timeout, hairpin: false, realm: None, mappings: Vec::new() }
    }

    /// How long a mapping lives after the last datagram that left through it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes nodes behind it reach each other by the public address (RFC 4787 section 6).
    pub fn with_hairpin(mut self) -> Self {
        self.hairpin = true;
        self
    }

    /// The address the outside sees.
    pub fn public(&self) -> IpAddr {
        self.public
    }

    /// Forgets every mapping, as a restart does: the next datagrams leave from other ports.
    pub fn rebind(&mut self) {
        self.mappings.clear();
    }

    /// Like [`rebind`](Self::rebind), and the outside sees another address from now on.
    pub fn rebind_to(&mut self, public: IpAddr) {
        self.rebind();
        self.public = public;
    }

    pub(crate) fn realm(&self) -> Option<NatId> {
        self.realm
    }

    pub(crate) fn set_realm(&mut self, outer: NatId) {
        self.realm = Some(outer);
    }

    pub(crate) fn hairpins(&self) -> bool {
        self.hairpin
    }

    /// The public source of a datagram from `inside` to `remote`, making the mapping if there is none.
    pub(crate) fn outbound(
        &mut self,
        now: Instant,
        node: NodeId,
        inside: SocketAddr,
        remote: SocketAddr,
        rng: &mut Rng,
    ) -> SocketAddr {
        self.expire(now);
        let mapping = self.mapping;
        let fits =
            |m: &Mapping| (m.node, m.inside) == (node, inside) && mapping.takes_for_one(m.made_for, remote);
        let found = self.mappings.iter().position(fits);
        let index = found.unwrap_or_else(|| {
            let port = self.free_port(rng);
            let (made_for, permitted) = (remote, Vec::new());
            self.mappings.push(Mapping { node, inside, made_for, port, permitted, used: now });
            self.mappings.len() - 1
        });
        let mapping = &mut self.mappings[index];
        mapping.used = now;
        mapping.permitted.retain(|(address, _)| *address != remote);
        mapping.permitted.push((remote, now));
        SocketAddr::new(self.public, mapping.port)
    }

    /// Whose mapping `port` is, whether or not the filter lets anything through.
    pub(crate) fn owner(&self, port: u16) -> Option<NodeId> {
        self.mappings.iter().find(|m| m.port == port).map(|m| m.node)
    }

    /// Where a datagram from `remote` to the public `port` goes; `None` if it is filtered.
    pub(crate) fn inbound(
        &mut self,
        now: Instant,
        port: u16,
        remote: SocketAddr,
    ) -> Option<(NodeId, SocketAddr)> {
        self.expire(now);
        let filtering = self.filtering;
        let mapping = self.mappings.iter().find(|m| m.port == port)?;
        let passes = mapping.permitted.iter().any(|(to, _)| filtering.takes_for_one(*to, remote));
        passes.then_some((mapping.node, mapping.inside))
    }

    fn expire(&mut self, now: Instant) {
        let timeout = self.timeout;
        self.mappings.retain(|m| now.saturating_duration_since(m.used) < timeout);
        for mapping in &mut self.mappings {
            mapping.permitted.retain(|(_, at)| now.saturating_duration_since(*at) < timeout);
        }
    }

    fn free_port(&self, rng: &mut Rng) -> u16 {
        loop {
            let port = (FIRST_PORT + rng.below(PORTS)) as u16;
            if self.owner(port).is_none() {
                return port;
            }
            assert!(self.mappings.len() < PORTS as usize, "the translator has no port left");
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// What comes in from (the same address, the same host's other port, another host) after one datagram out,
    /// and whether a second destination sees the same port.
    fn behaviour(kind: NatKind) -> ([bool; 3], bool) {
        let (now, mut rng) = (Instant::now(), Rng::from_u64(1));
        let mut nat = Nat::new(kind, address("203.0.113.1:0").ip());
        let inside = address("10.0.0.2:5000");
        let node = NodeId::for_tests(3);
        let out = nat.outbound(now, node, inside, address("198.51.100.1:1"), &mut rng);
        let passes = ["198.51.100.1:1", "198.51.100.1:2", "198.51.100.2:1"]
            .map(|from| nat.inbound(now, out.port(), address(from)) == Some((node, inside)));
        let other = nat.outbound(now, node, inside, address("198.51.100.2:1"), &mut rng);
        (passes, other == out)
    }

    #[test]
    fn each_kind_maps_and_filters_as_it_should() {
        assert_eq!(behaviour(NatKind::FullCone), ([true, true, true], true));
        assert_eq!(behaviour(NatKind::AddressRestricted), ([true, true, false], true));
        assert_eq!(behaviour(NatKind::PortRestricted), ([true, false, false], true));
        assert_eq!(behaviour(NatKind::Symmetric), ([true, false, false], false));
    }

    #[test]
    fn mapping_depends_on_what_it_should() {
        let ports = |mapping| {
            let (now, mut rng) = (Instant::now(), Rng::from_u64(1));
            let filtering = Dependence::EndpointIndependent;
            let mut nat = Nat::with(mapping, filtering, address("203.0.113.1:0").ip());
            let mut port = |to: &str| {
                nat.outbound(now, NodeId::for_tests(3), address("10.0.0.2:5000"), address(to), &mut rng)
                    .port()
            };
            let first = port("198.51.100.1:1");
            ["198.51.100.1:1", "198.51.100.1:2", "198.51.100.2:1"].map(|to| port(to) == first)
        };
        assert_eq!(ports(Dependence::EndpointIndependent), [true, true, true]);
        assert_eq!(ports(Dependence::AddressDependent), [true, true, false]);
        assert_eq!(ports(Dependence::AddressAndPortDependent), [true, false, false]);
    }

    #[test]
    fn mappings_time_out_and_outgoing_datagrams_keep_them() {
        let (start, mut rng) = (Instant::now(), Rng::from_u64(1));
        let mut nat =
            Nat::new(NatKind::FullCone, address("203.0.113.1:0").ip()).timeout(Duration::from_secs(10));
        let (inside, remote) = (address("10.0.0.2:5000"), address("198.51.100.1:1"));
        let at = |seconds| start + Duration::from_secs(seconds);
        let node = NodeId::for_tests(0);
        let first = nat.outbound(at(0), node, inside, remote, &mut rng);
        assert_eq!(nat.outbound(at(9), node, inside, remote, &mut rng), first);
        assert!(nat.inbound(at(18), first.port(), remote).is_some());
        assert!(nat.inbound(at(19), first.port(), remote).is_none(), "incoming ones do not keep it");
        assert_ne!(nat.outbound(at(20), node, inside, remote, &mut rng), first);
    }

    #[test]
    fn a_restart_changes_the_port() {
        let (now, mut rng) = (Instant::now(), Rng::from_u64(1));
        let mut nat = Nat::new(NatKind::FullCone, address("203.0.113.1:0").ip());
        let (inside, remote) = (address("10.0.0.2:5000"), address("198.51.100.1:1"));
        let first = nat.outbound(now, NodeId::for_tests(0), inside, remote, &mut rng);
        nat.rebind_to(address("203.0.113.9:0").ip());
        let second = nat.outbound(now, NodeId::for_tests(0), inside, remote, &mut rng);
        assert_ne!(first.port(), second.port());
        assert_eq!(second.ip(), address("203.0.113.9:0").ip());
    }
}
