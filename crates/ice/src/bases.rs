//! Local addresses: sockets that come and go, and the host candidate that each of them is (RFC 8445 section 5.1.1.1).

use std::net::SocketAddr;
use std::time::Instant;

use taut_sansio::net::{Path, Transport};

use crate::addresses::{is_below_ipv4, is_link_local, may_send_to, plain};
use crate::agent::{Agent, LocalId};
use crate::candidate::{CandidateKind, priority};
use crate::config::Loopback;
use crate::event::State;
use crate::pair::PairId;

/// How many local addresses are used.
pub const MAX_LOCAL_ADDRESSES: usize = 32;

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Base {
    /// As it was given, with its scope.
    pub(crate) address: SocketAddr,
    /// Its host candidate in the current generation.
    pub(crate) host: LocalId,
    /// The local preference (RFC 8445 section 5.1.2.1).
    pub(crate) preference: u16,
}

impl Agent {
    /// Adds a bound UDP socket. Unspecified and multicast addresses, those without a port, those that the configuration
    /// excludes, and more than [`MAX_LOCAL_ADDRESSES`] are ignored.
    pub fn add_local_address(&mut self, now: Instant, base: SocketAddr) {
        let now = self.tick(now);
        let unwanted = plain(base).ip().is_loopback() && self.config.loopback == Loopback::Never;
        if !may_send_to(base)
            || !self.config.filter.allows_address(base.ip())
            || unwanted
            || self.base_of(base).is_some()
            || self.bases.len() >= MAX_LOCAL_ADDRESSES
            || self.state == State::Closed
        {
            return;
        }
        let preference = self.free_preference(base);
        let Some(host) = self.add_host(base, preference) else { return };
        self.bases.push(Base { address: base, host, preference });
        // After a failure it waits for a restart.
        if self.state != State::Failed {
            self.gather_on(now, host, base);
            self.pair_base(host);
        }
        self.add_active(base);
        self.reconcile(now);
    }

    /// Removes a socket with its candidates and pairs. If the data went over it, another way is sought among the sockets that are
    /// left, and those that are added within [`Config::consent_expiry`](crate::Config::consent_expiry); after that the agent fails.
    pub fn remove_local_address(&mut self, now: Instant, base: SocketAddr) {
        let now = self.tick(now);
        if self.remove_relay_socket(now, base) {
            return self.reconcile(now);
        }
        let Some(address) = self.base_of(base).map(|base| base.address) else { return };
        self.drop_relays_on(now, address);
        self.drop_base(address);
        self.drop_active(now, address);
        self.reconcile(now);
    }

    /// Removes a base with its candidates and pairs.
    pub(crate) fn drop_base(&mut self, base: SocketAddr) {
        let Some((address, host)) = self.base_of(base).map(|base| (base.address, base.host)) else { return };
        self.stop_gathering_on(host);
        if self.selected_path().is_some_and(|path| (path.transport, path.local) == (Transport::Udp, address))
        {
            let until = self.newest.and_then(|now| now.checked_add(self.config.consent_expiry));
            self.generations.current_mut().adrift = until;
        }
        let is_there = |path: &Path| path.transport == Transport::Udp && path.local == address;
        let pairs: Vec<PairId> =
            self.checklist.iter().filter(|(_, pair)| is_there(&pair.path)).map(|(id, _)| id).collect();
        for id in pairs {
            self.remove_pair(id);
        }
        let routes: Vec<Path> = self.routes.iter().filter(|path| is_there(path)).copied().collect();
        self.generations.forget_early(|early| is_there(&early.path));
        self.answers.retain(|answer| !is_there(&answer.path()));
        self.blocked.retain(|path| !is_there(path));
        for path in routes {
            self.remove_route(&path);
        }
        // Last: until then it is known what kind of base this is.
        self.locals.retain(|_, local| local.base != address || !local.is_udp());
        self.bases.retain(|base| base.host != host);
        self.unpublish(address);
    }

    pub(crate) fn base_of(&self, local: SocketAddr) -> Option<&Base> {
        let local = plain(local);
        self.bases.iter().find(|base| plain(base.address) == local)
    }

    /// The best local preference that no base has: IPv6 and IPv4 in turn (RFC 8421 section 4), after these the IPv6 addresses
    /// that RFC 6724 has below IPv4, link-local addresses, and loopback.
    pub(crate) fn free_preference(&self, base: SocketAddr) -> u16 {
        let ip = base.ip().to_canonical();
        let top: u16 = match ip {
            _ if ip.is_loopback() => 16_383,
            _ if is_link_local(ip) => 32_767,
            _ if is_below_ipv4(ip) => 49_151,
            _ => 65_535,
        };
        let family = u16::from(ip.is_ipv4());
        let mut choices = (0..4_096u16).map(|n| top - 2 * n - family);
        choices.find(|p| self.bases.iter().all(|base| base.preference != *p)).unwrap_or(0)
    }

    /// The candidate that a base is, for the current generation.
    pub(crate) fn add_host(&mut self, base: SocketAddr, preference: u16) -> Option<LocalId> {
        if self.is_relayed(base) {
            return self.add_relayed_candidate(base, preference);
        }
        let generation = self.generations.current().id;
        let priority = priority(CandidateKind::Host, preference);
        self.add_local(generation, CandidateKind::Host, None, (plain(base), base), None, priority)
    }
}
