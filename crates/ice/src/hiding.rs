//! Own host candidates with names instead of addresses (draft-ietf-mmusic-mdns-ice-candidates section 3.1): each address has a
//! random name under `.local`, for which multicast DNS answers from the moment that the candidate is told of until the address
//! goes. The names are the agent's own, so that those of two connections cannot be linked.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use taut_mdns::{Responder, local_for};
use taut_sansio::net::{Path, Transmit};
use taut_sansio::rng::Rng;

use crate::addresses::plain;
use crate::agent::{Agent, LocalId};
use crate::candidate::{CandidateAddress, CandidateKind};

/// The port of an address that is not told (RFC 8839 section 5.1).
const DISCARD: u16 = 9;

/// The names of the addresses of this host.
#[derive(Debug)]
pub(crate) struct Names {
    rng: Rng,
    names: BTreeMap<IpAddr, String>,
    responder: Responder,
}

impl Names {
    pub(crate) fn new(rng: Rng) -> Self {
        Self { rng, names: BTreeMap::new(), responder: Responder::new() }
    }

    /// The name of an address, always the same until the address goes.
    fn of(&mut self, address: IpAddr) -> String {
        let rng = &mut self.rng;
        self.names.entry(address).or_insert_with(|| format!("{}.local", uuid(rng))).clone()
    }

    /// Nobody has the address any more.
    fn forget(&mut self, address: IpAddr) {
        if let Some(name) = self.names.remove(&address) {
            self.responder.unregister(&name);
        }
    }

    /// Says goodbye to all names.
    pub(crate) fn stop(&mut self) {
        self.names.clear();
        self.responder.unregister_all();
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        // Without names there is nothing to read a question for.
        if !self.names.is_empty() {
            self.responder.handle_datagram(now, source, datagram);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.responder.handle_timeout(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.responder.poll_timeout()
    }
}

/// A random UUID (RFC 9562 section 5.4).
fn uuid(rng: &mut Rng) -> String {
    let random = u128::from(rng.u64()) << 64 | u128::from(rng.u64());
    let bits = random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// What is told instead of a related address (RFC 8839 section 5.1).
pub(crate) fn hidden(related: SocketAddr) -> SocketAddr {
    let nowhere: IpAddr = if related.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    SocketAddr::new(nowhere, DISCARD)
}

impl Agent {
    /// How the other side is told of a candidate's address.
    pub(crate) fn told_address(&mut self, kind: CandidateKind, address: SocketAddr) -> CandidateAddress {
        if self.config.hide_addresses && kind == CandidateKind::Host {
            CandidateAddress::Name { name: self.names.of(address.ip()), port: address.port() }
        } else {
            CandidateAddress::Ip(address)
        }
    }

    /// How the other side is told of what is behind a candidate.
    pub(crate) fn told_related(&self, related: SocketAddr) -> SocketAddr {
        if self.config.hide_addresses { hidden(related) } else { related }
    }

    /// A host candidate is about to be told of: who asks for its name is answered from now on.
    pub(crate) fn publish(&mut self, id: LocalId) {
        let Some(local) = self.locals.get(&id) else { return };
        let CandidateAddress::Name { name, .. } = &local.candidate.address else { return };
        let (name, address) = (name.clone(), local.address.ip());
        if let Err(error) = self.names.responder.register(&name, address) {
            tracing::debug!(%error, "a name is not answered for");
        }
        self.want_multicast();
    }

    /// A base was removed: its address has no name any more, unless another base has it.
    pub(crate) fn unpublish(&mut self, base: SocketAddr) {
        let ip = plain(base).ip();
        let mut others = self.bases.iter().map(|base| base.address);
        let mut listeners = self.tcp.bases.iter().map(|base| base.address);
        if others.all(|other| plain(other).ip() != ip) && listeners.all(|other| plain(other).ip() != ip) {
            self.names.forget(ip);
        }
    }

    /// Answers to those who ask for our names, and goodbyes.
    pub(crate) fn poll_names(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if self.is_multicast_blocked() {
            return None;
        }
        let (len, to) = self.names.responder.poll_transmit(now, out)?;
        Some(Transmit::single(Path::udp(local_for(to), to), len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_random_uuids_and_one_for_each_address() {
        let mut names = Names::new(Rng::from_u64(1));
        let mut others = Names::new(Rng::from_u64(2));
        let (a, b) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let name = names.of(a);
        assert_eq!((name.len(), names.of(a) == name), (42, true));
        assert_ne!(names.of(b), name);
        assert_ne!(others.of(a), name, "two connections have nothing in common");
        let hex: Vec<&str> = name.strip_suffix(".local").unwrap().split('-').collect();
        assert_eq!(hex.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(hex[2].starts_with('4') && ['8', '9', 'a', 'b'].contains(&hex[3].chars().next().unwrap()));
        names.forget(a);
        assert_ne!(names.of(a), name, "an address that comes back is another one");
    }
}
