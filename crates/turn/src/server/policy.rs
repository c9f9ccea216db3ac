//! Whom a server relays to (RFC 8656 section 21.1.4 and beyond): public addresses, and those that the configuration allows.
//! A relay stands where firewalls trust it, so everything that is not public is behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::config::{RelayAddress, ServerConfig};

/// The addresses that have these first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    address: IpAddr,
    bits: u8,
}

/// Not a subnet: an address, or an address, a slash and a number of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address or a subnet")]
pub struct ParseSubnetError;

impl Subnet {
    /// The addresses whose first `bits` are those of `address`; of more bits than it has, all count.
    pub fn new(address: IpAddr, bits: u8) -> Self {
        let most = if address.is_ipv4() { 32 } else { 128 };
        Self { address, bits: bits.min(most) }
    }

    /// True if `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (own, other, width) = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u128::from(own.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128u32),
            _ => return false,
        };
        let free = width.saturating_sub(u32::from(self.bits));
        // All 128 bits free: everything is the same.
        own.checked_shr(free).unwrap_or(0) == other.checked_shr(free).unwrap_or(0)
    }
}

impl FromStr for Subnet {
    type Err = ParseSubnetError;

    fn from_str(text: &str) -> Result<Self, ParseSubnetError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().map_err(|_| ParseSubnetError)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ParseSubnetError)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most { Err(ParseSubnetError) } else { Ok(Self { address, bits }) }
    }
}

/// What may be relayed to.
#[derive(Debug)]
pub(super) struct Policy {
    allowed: Vec<Subnet>,
    denied: Vec<Subnet>,
    own: Vec<IpAddr>,
    relays: Vec<RelayAddress>,
}

impl Policy {
    pub(super) fn new(config: &ServerConfig) -> Self {
        Self {
            allowed: config.allowed_peers.clone(),
            denied: config.denied_peers.clone(),
            own: config.own_addresses.clone(),
            relays: config.relays.clone(),
        }
    }

    /// True if this address may get a permission. The relays' own addresses may, for two clients of the same server; to
    /// which of their ports is decided with each datagram.
    pub(super) fn permits(&self, address: IpAddr) -> bool {
        let within = |list: &[Subnet]| list.iter().any(|subnet| subnet.contains(address));
        if within(&self.denied) || address.to_canonical() != address {
            return false;
        }
        within(&self.allowed)
            || self.is_relay(address)
            || (is_public(address) && !self.own.contains(&address))
    }

    /// True if datagrams to this address go to this host itself, and so only to the port of a relay.
    pub(super) fn is_relay(&self, address: IpAddr) -> bool {
        let allowed = self.allowed.iter().any(|subnet| subnet.contains(address));
        !allowed && self.relays.iter().any(|relay| relay.bind == address || relay.advertised == address)
    }

    /// The address that a relay's peers know.
    pub(super) fn advertised(&self, bound: SocketAddr) -> SocketAddr {
        let relay = self.relays.iter().find(|relay| relay.bind == bound.ip());
        SocketAddr::new(relay.map_or(bound.ip(), |relay| relay.advertised), bound.port())
    }

    /// The address that the relay with this advertised address is bound to.
    pub(super) fn bound(&self, advertised: SocketAddr) -> SocketAddr {
        let relay = self.relays.iter().find(|relay| relay.advertised == advertised.ip());
        SocketAddr::new(relay.map_or(advertised.ip(), |relay| relay.bind), advertised.port())
    }
}

/// True for addresses that are somebody's on the internet, and stand for no other address.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// The special-purpose registry of IPv4 (RFC 6890 and its successors).
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        // 100.64.0.0/10, behind carriers' NATs.
        || (a == 100 && b & 0xc0 == 64)
        // 192.0.0.0/24, protocol assignments.
        || (a == 192 && b == 0 && c == 0)
        // 192.88.99.0/24, relays of 6to4.
        || (a == 192 && b == 88 && c == 99)
        // 198.18.0.0/15, benchmarks.
        || (a == 198 && b & 0xfe == 18)
        // 240.0.0.0/4, reserved, and broadcast.
        || a >= 240;
    !special
}

/// Global unicast without what carries an IPv4 address in it (6to4, Teredo), which could be any of the above. Everything
/// else that does (mapped, compatible, NAT64), and loopback, unspecified, link-local, unique local and multicast
/// addresses, is not global unicast.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    a & 0xe000 == 0x2000 && a != 0x2002 && !(a == 0x2001 && b == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn policy(edit: impl FnOnce(ServerConfig) -> ServerConfig) -> Policy {
        let relay = RelayAddress { bind: ip("10.0.0.9"), advertised: ip("203.0.113.9") };
        let config = ServerConfig::default().with_relay(relay).with_own_addresses(vec![ip("203.0.113.10")]);
        Policy::new(&edit(config))
    }

    #[test]
    fn only_public_addresses_are_relayed_to() {
        let policy = policy(|config| config);
        for public in ["8.8.8.8", "192.0.2.1", "172.32.0.1", "100.128.0.1", "2001:db8::1", "2600::1"] {
            assert!(policy.permits(ip(public)), "{public}");
        }
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.251",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2001::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
        ] {
            assert!(!policy.permits(ip(special)), "{special}");
        }
    }

    #[test]
    fn own_addresses_are_denied_but_for_relays() {
        let policy = policy(|config| config);
        assert!(!policy.permits(ip("203.0.113.10")), "another address of this host");
        for relay in ["203.0.113.9", "10.0.0.9"] {
            assert!(policy.permits(ip(relay)) && policy.is_relay(ip(relay)), "{relay}");
        }
        let relay: SocketAddr = "10.0.0.9:50000".parse().unwrap();
        assert_eq!(policy.advertised(relay).to_string(), "203.0.113.9:50000");
        assert_eq!(policy.bound(policy.advertised(relay)), relay);
    }

    #[test]
    fn the_configuration_allows_and_denies() {
        let policy = policy(|config| {
            config
                .with_allowed_peers("10.0.0.0/8".parse().unwrap())
                .with_allowed_peers("::1".parse().unwrap())
                .with_denied_peers("10.9.0.0/16".parse().unwrap())
                .with_denied_peers("8.8.8.8/32".parse().unwrap())
                .with_allowed_peers("::ffff:0:0/96".parse().unwrap())
        });
        assert!(policy.permits(ip("10.1.2.3")) && policy.permits(ip("::1")));
        assert!(!policy.permits(ip("10.9.0.1")) && !policy.permits(ip("8.8.8.8")));
        assert!(!policy.permits(ip("192.168.0.1")));
        assert!(!policy.permits(ip("::ffff:8.8.4.4")), "one address has one form");
        assert!(
            policy.permits(ip("10.0.0.9")) && !policy.is_relay(ip("10.0.0.9")),
            "all its ports are allowed"
        );
    }

    #[test]
    fn subnets_are_read_and_compared() {
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0.0/x", "host/8", "1.2.3.4/"] {
            assert_eq!(wrong.parse::<Subnet>(), Err(ParseSubnetError), "{wrong}");
        }
        let all: Subnet = "::/0".parse().unwrap();
        assert!(all.contains(ip("ffff::1")) && !all.contains(ip("1.2.3.4")));
        assert!("0.0.0.0/0".parse::<Subnet>().unwrap().contains(ip("255.1.2.3")));
        assert!(Subnet::new(ip("10.0.0.0"), 99).contains(ip("10.0.0.0")));
        assert!(!Subnet::new(ip("10.0.0.0"), 99).contains(ip("10.0.0.1")));
    }
}
