//! What a server is told beforehand.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use taut_stun::behavior::is_other;

use super::policy::Subnet;

/// An address that relays are bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayAddress {
    /// Where the sockets are bound.
    pub bind: IpAddr,
    /// What clients and peers are told: another address where a NAT stands before the server.
    pub advertised: IpAddr,
}

impl From<IpAddr> for RelayAddress {
    fn from(address: IpAddr) -> Self {
        Self { bind: address, advertised: address }
    }
}

/// The configuration of a [`Server`](super::Server).
#[derive(Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The realm: at most [`MAX_REALM`](super::MAX_REALM) octets, as it is part of the answer to everybody. `taut` by
    /// default.
    pub realm: String,
    /// Users by name, with their passwords.
    pub users: BTreeMap<String, String>,
    /// The secret of time-limited credentials, shared with whoever gives them out.
    pub shared_secret: Option<String>,
    /// The addresses of the relays, one of each family at most.
    pub relays: Vec<RelayAddress>,
    /// The first and last port of relays. 49152 to 65535 by default (RFC 8656 section 7.2).
    pub relay_ports: (u16, u16),
    /// Peers that are relayed to although their addresses are not public.
    pub allowed_peers: Vec<Subnet>,
    /// Peers that are not relayed to, even if allowed above.
    pub denied_peers: Vec<Subnet>,
    /// The other addresses of this host, which are not relayed to. Those of the relays need not be named.
    pub own_addresses: Vec<IpAddr>,
    /// How many allocations there may be. 4096 by default.
    pub max_allocations: usize,
    /// How many allocations one user may have. 128 by default.
    pub max_allocations_per_user: usize,
    /// How many octets a second may be relayed for one user, in both directions together; what is more is dropped.
    /// Without a limit by default.
    pub bandwidth_per_user: Option<u64>,
    /// The longest lifetime that is granted. One hour by default (RFC 8656 section 7.2).
    pub max_lifetime: Duration,
    /// How long a nonce is valid. One hour by default (RFC 8656 section 5).
    pub nonce_lifetime: Duration,
    /// How many answers a second go to one source prefix (IPv4 /24, IPv6 /56) over UDP before it has authenticated
    /// itself; four times as many at once. 64 by default.
    pub unauthenticated_per_second: u32,
    /// Two addresses of the server that differ in both IP and port. If it listens over UDP on each IP at each port, four in all, it
    /// tells clients how the NATs on the way behave (RFC 5780). Without them by default.
    pub behavior: Option<[SocketAddr; 2]>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            realm: "taut".to_owned(),
            users: BTreeMap::new(),
            shared_secret: None,
            relays: Vec::new(),
            relay_ports: (49_152, 65_535),
            allowed_peers: Vec::new(),
            denied_peers: Vec::new(),
            own_addresses: Vec::new(),
            max_allocations: 4_096,
            max_allocations_per_user: 128,
            bandwidth_per_user: None,
            max_lifetime: Duration::from_secs(3_600),
            nonce_lifetime: Duration::from_secs(3_600),
            unauthenticated_per_second: 64,
            behavior: None,
        }
    }
}

impl ServerConfig {
    /// Sets the realm.
    pub fn with_realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Adds a user.
    pub fn with_user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.users.insert(name.into(), password.into());
        self
    }

    /// Sets the secret of time-limited credentials.
    pub fn with_shared_secret(mut self, secret: impl Into<String>) -> Self {
        self.shared_secret = Some(secret.into());
        self
    }

    /// Adds an address for relays.
    pub fn with_relay(mut self, relay: impl Into<RelayAddress>) -> Self {
        self.relays.push(relay.into());
        self
    }

    /// Sets the first and last port of relays.
    pub fn with_relay_ports(mut self, first: u16, last: u16) -> Self {
        self.relay_ports = (first, last);
        self
    }

    /// Allows peers whose addresses are not public.
    pub fn with_allowed_peers(mut self, subnet: Subnet) -> Self {
        self.allowed_peers.push(subnet);
        self
    }

    /// Denies peers.
    pub fn with_denied_peers(mut self, subnet: Subnet) -> Self {
        self.denied_peers.push(subnet);
        self
    }

    /// Names the addresses of this host.
    pub fn with_own_addresses(mut self, addresses: Vec<IpAddr>) -> Self {
        self.own_addresses = addresses;
        self
    }

    /// Sets how many allocations there may be.
    pub fn with_max_allocations(mut self, allocations: usize) -> Self {
        self.max_allocations = allocations;
        self
    }

    /// Sets how many allocations one user may have.
    pub fn with_max_allocations_per_user(mut self, allocations: usize) -> Self {
        self.max_allocations_per_user = allocations;
        self
    }

    /// Limits the octets a second of one user.
    pub fn with_bandwidth_per_user(mut self, octets: u64) -> Self {
        self.bandwidth_per_user = Some(octets);
        self
    }

    /// Sets the longest lifetime.
    pub fn with_max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime;
        self
    }

    /// Sets how long a nonce is valid.
    pub fn with_nonce_lifetime(mut self, lifetime: Duration) -> Self {
        self.nonce_lifetime = lifetime;
        self
    }

    /// Sets how many answers a second go to a source prefix that has not authenticated itself.
    pub fn with_unauthenticated_per_second(mut self, answers: u32) -> Self {
        self.unauthenticated_per_second = answers;
        self
    }

    /// Sets two addresses of the server, with which it tells how NATs behave.
    pub fn with_behavior(mut self, first: SocketAddr, second: SocketAddr) -> Self {
        self.behavior = Some([first, second]);
        self
    }
}

impl std::fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerConfig")
            .field("realm", &self.realm)
            .field("users", &self.users.len())
            .field("relays", &self.relays)
            .field("relay_ports", &self.relay_ports)
            .finish_non_exhaustive()
    }
}

/// A server that could not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerConfigError {
    /// The realm is empty or too long.
    #[error("the realm has no octet or more than {}", super::MAX_REALM)]
    Realm,
    /// There is no relay, or more than one of a family, or one whose two addresses are of different families.
    #[error("relays need one address for each family at most, and one at least")]
    Relays,
    /// The last port comes before the first, or the first is 0.
    #[error("the range of ports for relays is empty")]
    RelayPorts,
    /// There is neither a user nor a shared secret.
    #[error("there is neither a user nor a shared secret")]
    Users,
    /// The two addresses for RFC 5780 are not of one family, not of two IPs and two ports, or not to be sent to.
    #[error("telling how NATs behave needs two IP addresses of one family and two ports")]
    Behavior,
}

impl ServerConfig {
    /// The address that differs in IP and port from one of the four for RFC 5780.
    pub(super) fn opposite(&self, own: SocketAddr) -> Option<SocketAddr> {
        let [first, second] = self.behavior?;
        let ip = other_of([first.ip(), second.ip()], own.ip())?;
        Some(SocketAddr::new(ip, other_of([first.port(), second.port()], own.port())?))
    }

    pub(super) fn check(&self) -> Result<(), ServerConfigError> {
        if self.realm.is_empty() || self.realm.len() > super::MAX_REALM {
            return Err(ServerConfigError::Realm);
        }
        let of = |v4: bool| self.relays.iter().filter(|relay| relay.bind.is_ipv4() == v4).count();
        let mixed = self.relays.iter().any(|relay| relay.bind.is_ipv4() != relay.advertised.is_ipv4());
        if self.relays.is_empty() || of(true) > 1 || of(false) > 1 || mixed {
            return Err(ServerConfigError::Relays);
        }
        if self.relay_ports.0 == 0 || self.relay_ports.0 > self.relay_ports.1 {
            return Err(ServerConfigError::RelayPorts);
        }
        let differ = |[a, b]: [SocketAddr; 2]| is_other(a, b) && is_other(b, a);
        if self.behavior.is_some_and(|two| !differ(two)) {
            return Err(ServerConfigError::Behavior);
        }
        if self.users.is_empty() && self.shared_secret.is_none() {
            return Err(ServerConfigError::Users);
        }
        Ok(())
    }
}

/// The other one of two.
fn other_of<T: PartialEq>([first, second]: [T; 2], own: T) -> Option<T> {
    match own {
        own if own == first => Some(second),
        own if own == second => Some(first),
        _ => None,
    }
}
