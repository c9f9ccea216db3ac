//! What the application chooses.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use taut_stun::Retransmission;
use taut_turn::Credentials;

use crate::filter::{AddressFilter, ExternalAddress};
use crate::tcp::TcpPolicy;

/// How many STUN servers are asked; further ones are not.
pub const MAX_STUN_SERVERS: usize = 8;

/// How many TURN servers are asked; further ones are not.
pub const MAX_TURN_SERVERS: usize = 8;

/// Which candidates are used (W3C `RTCIceTransportPolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Policy {
    /// All.
    #[default]
    All,
    /// Relayed ones alone. The other side learns no address of this host, and none is checked from.
    Relay,
}

/// Who is to nominate (RFC 8445 section 6.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nominates.
    Controlling,
    /// Follows.
    Controlled,
}

impl Role {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Controlling => Self::Controlled,
            Self::Controlled => Self::Controlling,
        }
    }
}

/// Whether addresses that lead to this host only are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Loopback {
    /// Only where there is no other interface.
    #[default]
    Auto,
    /// Always, after all others.
    Always,
    /// Never.
    Never,
}

/// A host, named or numbered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, to be resolved by the application.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

/// A STUN server (RFC 7064).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StunServer {
    /// Its host.
    pub host: Host,
    /// Its port, 3478 where the URL has none.
    pub port: u16,
}

impl fmt::Display for StunServer {
    /// The URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "stun:{name}:{}", self.port),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "stun:[{ip}]:{}", self.port),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "stun:{ip}:{}", self.port),
        }
    }
}

/// How a TURN server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TurnTransport {
    /// Over UDP.
    Udp,
    /// Over TCP.
    Tcp,
    /// Over TLS on TCP.
    Tls,
}

/// A TURN server (RFC 7065), and who asks it.
#[derive(Clone, PartialEq, Eq)]
pub struct TurnServer {
    /// Its host.
    pub host: Host,
    /// Its port: where the URL has none, 3478, and 5349 for TLS.
    pub port: u16,
    /// How it is reached.
    pub transport: TurnTransport,
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl TurnServer {
    /// True if it is the same server, whoever asks it.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (&self.host, self.port, self.transport) == (&other.host, other.port, other.transport)
    }

    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::new(&self.username, &self.password)
    }
}

impl fmt::Debug for TurnServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TurnServer({self}, {:?})", self.username)
    }
}

impl fmt::Display for TurnServer {
    /// The URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, transport) = match self.transport {
            TurnTransport::Udp => ("turn", "udp"),
            TurnTransport::Tcp => ("turn", "tcp"),
            TurnTransport::Tls => ("turns", "tcp"),
        };
        match &self.host {
            Host::Name(name) => write!(f, "{scheme}:{name}:{}?transport={transport}", self.port),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "{scheme}:[{ip}]:{}?transport={transport}", self.port),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{scheme}:{ip}:{}?transport={transport}", self.port),
        }
    }
}

/// The configuration of an [`Agent`](crate::Agent).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The STUN servers, of which the first [`MAX_STUN_SERVERS`] are asked.
    pub stun_servers: Vec<StunServer>,
    /// The TURN servers, of which the first [`MAX_TURN_SERVERS`] are asked.
    pub turn_servers: Vec<TurnServer>,
    /// Which candidates are used.
    pub policy: Policy,
    /// Which TCP candidates there are.
    pub tcp: TcpPolicy,
    /// Whether loopback addresses are used.
    pub loopback: Loopback,
    /// Which of the addresses of this host are used.
    pub filter: AddressFilter,
    /// Addresses that this host has outside. Those of the same family give a candidate for every socket they stand for.
    pub external_addresses: Vec<ExternalAddress>,
    /// Whether this is a lite agent (RFC 8445 section 2.5), for servers with an address that everyone reaches: host candidates
    /// only, and no checks of its own. It follows the other side, which has to be a full agent.
    pub lite: bool,
    /// Whether candidates with names under `.local` are resolved by multicast DNS.
    pub mdns: bool,
    /// Whether host candidates have names under `.local` instead of their addresses, for which the agent answers by multicast DNS,
    /// and the other candidates say nothing of the addresses behind them (draft-ietf-mmusic-mdns-ice-candidates). Only hosts on the
    /// same link learn the addresses then.
    pub hide_addresses: bool,
    /// The pace (`Ta`, RFC 8445 section 14.2) of new transactions once the first [`burst`](Self::burst) are out.
    pub pace: Duration,
    /// How many new transactions may go at once.
    pub burst: u32,
    /// How many pairs are kept (RFC 8445 section 6.1.2.5); those of the lowest priority go first.
    pub max_pairs: usize,
    /// How a check is repeated.
    pub check_retransmission: Retransmission,
    /// How a request to a STUN server is repeated.
    pub gather_retransmission: Retransmission,
    /// How often an idle reflexive address is refreshed at its STUN server (RFC 8445 section 11).
    pub keepalive: Duration,
    /// How long the controlling side waits for a better pair after the first valid one.
    pub nomination_patience: Duration,
    /// How long checks are given before the agent fails (RFC 8863 section 4).
    pub patience: Duration,
    /// How long a consent request may stay unanswered before the state is disconnected.
    pub disconnected_after: Duration,
    /// How long after the last answer consent lapses (RFC 7675 section 5.1).
    pub consent_expiry: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stun_servers: Vec::new(),
            turn_servers: Vec::new(),
            policy: Policy::All,
            tcp: TcpPolicy::Off,
            loopback: Loopback::Auto,
            filter: AddressFilter::default(),
            external_addresses: Vec::new(),
            lite: false,
            mdns: true,
            hide_addresses: false,
            // RFC 8445 section 14.2.
            pace: Duration::from_millis(50),
            // The pairs of two hosts with two or three addresses each go at once.
            burst: 10,
            // RFC 8445 section 6.1.2.5.
            max_pairs: 100,
            // RFC 8489's 500 ms and 39.5 s, but never more than 2 s between: a lossy path is found sooner.
            check_retransmission: Retransmission::default()
                .with_max_interval(Duration::from_secs(2))
                .with_transmissions(18),
            // 9.5 s, so that an application that waits for the end of gathering need not wait 39.5 s.
            gather_retransmission: Retransmission::default().with_transmissions(5).with_last_wait(4),
            // RFC 8445 section 11: Tr SHOULD be 15 s.
            keepalive: Duration::from_secs(15),
            nomination_patience: Duration::from_millis(50),
            // RFC 8863 section 4.
            patience: Duration::from_millis(39_500),
            disconnected_after: Duration::from_secs(5),
            // RFC 7675 section 5.1.
            consent_expiry: Duration::from_secs(30),
        }
    }
}

macro_rules! setters {
    ($($(#[$meta:meta])* $name:ident: $field:ident = $type:ty;)*) => {
        impl Config {
            $($(#[$meta])*
            pub fn $name(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            })*
        }
    };
}

setters! {
    /// Sets the STUN servers.
    with_stun_servers: stun_servers = Vec<StunServer>;
    /// Sets the TURN servers.
    with_turn_servers: turn_servers = Vec<TurnServer>;
    /// Sets which candidates are used.
    with_policy: policy = Policy;
    /// Sets which TCP candidates there are.
    with_tcp: tcp = TcpPolicy;
    /// Sets whether loopback addresses are used.
    with_loopback: loopback = Loopback;
    /// Sets which of the addresses of this host are used.
    with_filter: filter = AddressFilter;
    /// Sets the addresses that this host has outside.
    with_external_addresses: external_addresses = Vec<ExternalAddress>;
    /// Sets whether this is a lite agent.
    with_lite: lite = bool;
    /// Sets whether names under `.local` are resolved.
    with_mdns: mdns = bool;
    /// Sets whether host candidates have names instead of addresses.
    with_hide_addresses: hide_addresses = bool;
    /// Sets the pace of new transactions.
    with_pace: pace = Duration;
    /// Sets how many new transactions may go at once.
    with_burst: burst = u32;
    /// Sets how many pairs are kept.
    with_max_pairs: max_pairs = usize;
    /// Sets how a check is repeated.
    with_check_retransmission: check_retransmission = Retransmission;
    /// Sets how a request to a STUN server is repeated.
    with_gather_retransmission: gather_retransmission = Retransmission;
    /// Sets how often an idle reflexive address is refreshed.
    with_keepalive: keepalive = Duration;
    /// Sets how long the controlling side waits for a better pair.
    with_nomination_patience: nomination_patience = Duration;
    /// Sets how long checks are given before the agent fails.
    with_patience: patience = Duration;
    /// Sets how long a consent request may stay unanswered.
    with_disconnected_after: disconnected_after = Duration;
    /// Sets how long after the last answer consent lapses.
    with_consent_expiry: consent_expiry = Duration;
}
