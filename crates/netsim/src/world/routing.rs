//! How a datagram gets from one node to another: out through translators, over a link, and in through translators.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::BytesMut;
use taut_sansio::net::{Ecn, Path, Received, Transmit, Transport};

use super::{NatId, SENTINEL, Slot, World};
use crate::link::{Fate, Link, LinkState};
use crate::nat::Nat;
use crate::node::{Node, NodeId};
use crate::pcap::{HEADER_V4, HEADER_V6};

/// The multicast groups there are, those of mDNS (RFC 6762 section 3).
pub const MULTICAST_GROUPS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251)), IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb))];

/// The port of mDNS; a node that joined the group has a socket there that is bound to all addresses.
const MULTICAST_PORT: u16 = 5353;
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    Node(NodeId),
    Nat(NatId),
}

#[derive(Debug)]
pub(super) struct Delivery {
    target: Target,
    source: SocketAddr,
    destination: SocketAddr,
    ecn: Option<Ecn>,
    datagram: BytesMut,
}

impl<N: Node> World<N> {
    pub(super) fn send_transmit(&mut self, id: NodeId, transmit: &Transmit, buffer: &[u8]) {
        let Some(octets) = buffer.strip_prefix(SENTINEL) else {
            self.fail(id, "it changed octets of others")
        };
        if octets.len() != transmit.len || octets.is_empty() {
            self.fail(id, &format!("it appended {} octets and told {}", octets.len(), transmit.len));
        }
        let size = transmit.segment_size.unwrap_or(transmit.len);
        if size == 0 || size > 65_507 || transmit.len.div_ceil(size) > self.max_segments {
            self.fail(id, &format!("{transmit:?} has no, too large or too many segments"));
        }
        for datagram in octets.chunks(size) {
            self.send(id, transmit.path, transmit.ecn, datagram);
        }
    }

    fn send(&mut self, from: NodeId, path: Path, ecn: Option<Ecn>, datagram: &[u8]) {
        self.stats.sent += 1;
        let (source, destination) = (self.source_of(from, path), path.remote);
        let Some(source) = source.filter(|_| path.transport == Transport::Udp) else {
            self.stats.unroutable += 1;
            return;
        };
        let unix = self.clock.wall().unix(self.now());
        if let Some(pcap) = &mut self.pcap {
            pcap.record(unix, source, destination, datagram);
        }
        if MULTICAST_GROUPS.contains(&destination.ip()) {
            self.send_to_group(from, source, destination, ecn, datagram);
            return;
        }
        if self.streams.udp_blocked {
            self.stats.filtered += 1;
            return;
        }
        match self.route(from, source, destination) {
            Some((source, to, target)) => self.carry(from, to, target, source, destination, ecn, datagram),
            None => self.stats.unroutable += 1,
        }
    }

    /// The source address as it leaves the node; `None` if the node has no such address.
    fn source_of(&self, from: NodeId, path: Path) -> Option<SocketAddr> {
        let addresses = &self.nodes[from.0].addresses;
        if path.local.ip().is_unspecified() {
            let ip = addresses.iter().find(|ip| ip.is_ipv4() == path.remote.is_ipv4())?;
            return Some(SocketAddr::new(*ip, path.local.port()));
        }
        addresses.contains(&path.local.ip()).then_some(path.local)
    }

    fn send_to_group(
        &mut self,
        from: NodeId,
        source: SocketAddr,
        destination: SocketAddr,
        ecn: Option<Ecn>,
        datagram: &[u8],
    ) {
        let nat = self.nodes[from.0].nat;
        for to in self.node_ids() {
            let slot = &self.nodes[to.0];
            let has_family = slot.addresses.iter().any(|ip| ip.is_ipv4() == destination.is_ipv4());
            if slot.joined && slot.nat == nat && has_family {
                self.carry(from, to, Target::Node(to), source, destination, ecn, datagram);
            }
        }
    }

    /// The source as the receiver sees it, the node whose link is taken, and where the datagram goes.
    fn route(
        &mut self,
        from: NodeId,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Option<(SocketAddr, NodeId, Target)> {
        let (mut source, mut realm, mut left) = (source, self.nodes[from.0].nat, None);
        loop {
            if let Some(to) = self.find_node(realm, destination.ip(), from) {
                return Some((source, to, Target::Node(to)));
            }
            let here = |nat: &Nat| nat.realm() == realm && nat.public() == destination.ip();
            if let Some(nat) = self.nats.iter().position(here).map(NatId) {
                if left == Some(nat) && !self.nats[nat.0].hairpins() {
                    return None;
                }
                let behind = || self.nodes.iter().position(|slot| slot.nat == Some(nat)).map(NodeId);
                let to = self.nats[nat.0].owner(destination.port()).or_else(behind)?;
                return Some((source, to, Target::Nat(nat)));
            }
            let nat = realm?;
            if self.nats[nat.0].public().is_ipv4() != destination.is_ipv4() {
                return None;
            }
            let now = self.now();
            source = self.nats[nat.0].outbound(now, from, source, destination, &mut self.nat_rng);
            (realm, left) = (self.nats[nat.0].realm(), Some(nat));
        }
    }

    /// The node with this address in this realm; the sender itself comes first.
    pub(super) fn find_node(&self, realm: Option<NatId>, address: IpAddr, from: NodeId) -> Option<NodeId> {
        let has = |slot: &Slot<N>| slot.nat == realm && slot.addresses.contains(&address);
        if has(&self.nodes[from.0]) {
            return Some(from);
        }
        self.nodes.iter().position(has).map(NodeId)
    }

    #[allow(clippy::too_many_arguments, reason = "it is the datagram, spelled out")]
    fn carry(
        &mut self,
        from: NodeId,
        to: NodeId,
        target: Target,
        source: SocketAddr,
        destination: SocketAddr,
        ecn: Option<Ecn>,
        datagram: &[u8],
    ) {
        let now = self.now();
        let header = if destination.is_ipv4() { HEADER_V4 } else { HEADER_V6 };
        let mut datagram = BytesMut::from(datagram);
        let arrival = match self.link(from, to).carry(now, &mut datagram, header, ecn) {
            Fate::TooBig => {
                self.stats.too_big += 1;
                return;
            }
            Fate::QueueFull => {
                self.stats.queue_full += 1;
                return;
            }
            Fate::Lost => {
                self.stats.lost += 1;
                return;
            }
            Fate::Arrives(arrival) => arrival,
        };
        self.stats.corrupted += u64::from(arrival.corrupted);
        self.stats.duplicated += u64::from(arrival.again.is_some());
        for at in arrival.again.into_iter().chain([arrival.at]) {
            let delivery =
                Delivery { target, source, destination, ecn: arrival.ecn, datagram: datagram.clone() };
            self.in_flight.insert((at, self.next_delivery), delivery);
            self.next_delivery += 1;
        }
    }

    pub(super) fn deliver(&mut self, delivery: Delivery) {
        let now = self.now();
        let Delivery { target, source, destination, ecn, datagram } = delivery;
        let (id, local) = match target {
            Target::Node(id) => (id, destination),
            Target::Nat(nat) => match self.pass_inward(nat, destination.port(), source) {
                Some(inside) => inside,
                None => {
                    self.stats.filtered += 1;
                    return;
                }
            },
        };
        let slot = &mut self.nodes[id.0];
        let group = MULTICAST_GROUPS.contains(&local.ip());
        if !group && !slot.addresses.contains(&local.ip()) {
            self.stats.unroutable += 1;
            return;
        }
        let local = match local {
            _ if !slot.joined || local.port() != MULTICAST_PORT => local,
            SocketAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), MULTICAST_PORT),
            SocketAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), MULTICAST_PORT),
        };
        self.stats.delivered += 1;
        let text = format!("{:?} {} {source} {local} {ecn:?} ", self.clock.elapsed(), id.0);
        self.note(&text, &datagram);
        let slot = &mut self.nodes[id.0];
        slot.node.handle_datagram(Received { at: now, path: Path::udp(local, source), ecn }, datagram);
    }

    /// Takes a delivery into the hash of all.
    pub(super) fn note(&mut self, text: &str, octets: &[u8]) {
        for octet in text.as_bytes().iter().chain(octets) {
            self.trace = (self.trace ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Through one translator, and through those behind it.
    fn pass_inward(&mut self, nat: NatId, port: u16, source: SocketAddr) -> Option<(NodeId, SocketAddr)> {
        let now = self.now();
        let (id, inside) = self.nats[nat.0].inbound(now, port, source)?;
        let next = |other: &Nat| other.realm() == Some(nat) && other.public() == inside.ip();
        match self.nats.iter().position(next) {
            Some(next) => self.pass_inward(NatId(next), inside.port(), source),
            None => Some((id, inside)),
        }
    }

    /// One direction between two nodes.
    pub(super) fn link(&mut self, from: NodeId, to: NodeId) -> &mut LinkState {
        let (default_link, link_rng) = (&self.default_link, &mut self.link_rng);
        self.links.entry((from, to)).or_insert_with(|| {
            let link = if from == to { Link::default() } else { default_link.clone() };
            LinkState::new(link, link_rng.child())
        })
    }
}
