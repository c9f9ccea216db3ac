//! Remote candidates with names (RFC 8839 section 5.1 leaves them to extensions): those under `.local` are resolved
//! by multicast DNS, which browsers use to hide the addresses of hosts. All others are ignored.

use std::net::SocketAddr;
use std::time::Instant;

use taut_mdns::{GROUP_V4, GROUP_V6, Querier, QueryId, local_for};
use taut_sansio::net::{Path, Transmit};
use taut_sansio::rng::Rng;

use crate::agent::{AddCandidateError, Agent};
use crate::candidate::{Candidate, CandidateAddress};
use crate::event::Event;
use crate::generation::GenerationId;

/// How many names are resolved at a time; further candidates with names are dropped.
pub const MAX_NAMES: usize = 32;

#[derive(Debug)]
struct Pending {
    query: QueryId,
    generation: GenerationId,
    candidate: Candidate,
}

#[derive(Debug)]
pub(crate) struct Naming {
    querier: Querier,
    pending: Vec<Pending>,
    /// Whether the application was asked for the socket.
    wanted: bool,
}

impl Naming {
    pub(crate) fn new(rng: Rng) -> Self {
        Self { querier: Querier::new(rng), pending: Vec::new(), wanted: false }
    }

    /// True while names are being resolved.
    pub(crate) fn is_busy(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.pending.is_empty() { None } else { self.querier.poll_timeout() }
    }

    /// Forgets the names of one generation.
    pub(crate) fn forget(&mut self, generation: GenerationId) {
        self.pending.retain(|pending| pending.generation != generation);
    }

    /// Forgets all names.
    pub(crate) fn stop(&mut self) {
        self.pending.clear();
    }
}

/// True for the names that multicast DNS is for (RFC 6762 section 3).
fn is_local_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.rsplit_once('.').is_some_and(|(host, top)| !host.is_empty() && top.eq_ignore_ascii_case("local"))
}

impl Agent {
    pub(crate) fn add_named(
        &mut self,
        now: Instant,
        generation: GenerationId,
        candidate: Candidate,
    ) -> Result<(), AddCandidateError> {
        let CandidateAddress::Name { name, .. } = &candidate.address else { return Ok(()) };
        if !self.config.mdns || !is_local_name(name) {
            return Err(AddCandidateError::Name);
        }
        let same = |pending: &Pending| {
            let (one, other) = (&pending.candidate, &candidate);
            pending.generation == generation
                && (&one.address, &one.transport) == (&other.address, &other.transport)
        };
        if self.naming.pending.iter().any(same) {
            return Ok(());
        }
        if self.naming.pending.len() >= MAX_NAMES {
            self.stats.dropped_remote_candidates = self.stats.dropped_remote_candidates.saturating_add(1);
            return Ok(());
        }
        self.want_multicast();
        let query = self.naming.querier.query(now, name);
        self.naming.pending.push(Pending { query, generation, candidate });
        Ok(())
    }

    /// The socket of multicast DNS is needed from now on.
    pub(crate) fn want_multicast(&mut self) {
        if !self.naming.wanted {
            self.naming.wanted = true;
            self.events.push_back(Event::MulticastWanted);
        }
    }

    /// Answers come from port 5353; others are to be ignored (RFC 6762 section 6). Questions may come from any.
    pub(crate) fn on_multicast(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        self.names.handle_datagram(now, source, datagram);
        if self.naming.is_busy() && source.port() == GROUP_V4.port() {
            self.naming.querier.handle_datagram(now, datagram);
        }
    }

    /// Lets time pass for the querier and takes in what it found.
    pub(crate) fn advance_naming(&mut self, now: Instant) {
        if !self.naming.wanted {
            return;
        }
        self.names.handle_timeout(now);
        self.naming.querier.handle_timeout(now);
        while let Some(event) = self.naming.querier.poll_event() {
            match event {
                taut_mdns::Event::Resolved { id, address } => {
                    let Some(Pending { generation, mut candidate, .. }) = self.take_named(id) else {
                        continue;
                    };
                    let address = SocketAddr::new(address, candidate.address.port());
                    candidate.address = CandidateAddress::Ip(address);
                    // An address that cannot be used is as good as none.
                    let _ = self.take_candidate(now, generation, candidate);
                }
                taut_mdns::Event::Failed { id } => drop(self.take_named(id)),
                _ => {}
            }
        }
    }

    fn take_named(&mut self, id: QueryId) -> Option<Pending> {
        let at = self.naming.pending.iter().position(|pending| pending.query == id)?;
        Some(self.naming.pending.remove(at))
    }

    /// True while one of the sockets of multicast DNS is full.
    pub(crate) fn is_multicast_blocked(&self) -> bool {
        [GROUP_V4, GROUP_V6].iter().any(|group| self.blocked.contains(&Path::udp(local_for(*group), *group)))
    }

    pub(crate) fn poll_naming(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if !self.naming.is_busy() || self.is_multicast_blocked() {
            return None;
        }
        let (len, group) = self.naming.querier.poll_transmit(now, out)?;
        Some(Transmit::single(Path::udp(local_for(group), group), len))
    }
}

#[cfg(test)]
mod tests {
    use super::is_local_name;

    #[test]
    fn only_names_under_local() {
        assert!(is_local_name("a.local") && is_local_name("A.b.LOCAL."));
        for name in ["local", ".local", "a.locals", "a.example", "a.local.example", ""] {
            assert!(!is_local_name(name), "{name}");
        }
    }
}
