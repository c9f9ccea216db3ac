//! The addresses of this host.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// One address of one interface that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    /// The name that the operating system gives the interface.
    pub(crate) name: String,
    /// Its index, the scope of its link-local addresses; 0 when the system does not tell.
    pub(crate) index: u32,
    /// The address.
    pub(crate) address: IpAddr,
    /// How many bits of it are the network's.
    pub(crate) prefix: u8,
    /// True for the loopback interface.
    pub(crate) loopback: bool,
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

/// Lists the addresses of the interfaces that are up, loopback included, in the order of the system.
pub(crate) fn list() -> io::Result<Vec<Interface>> {
    let interfaces = if_addrs::get_if_addrs()?;
    let up = interfaces.into_iter().filter(if_addrs::Interface::is_oper_up);
    Ok(without_links_to_oneself(up.map(convert).collect()))
}

/// Leaves the link-local addresses of the loopback interface out. macOS and the BSDs have one there, fe80::1 on every host.
fn without_links_to_oneself(mut interfaces: Vec<Interface>) -> Vec<Interface> {
    let loopback: Vec<String> = interfaces.iter().filter(|i| i.loopback).map(|i| i.name.clone()).collect();
    let is_link_local = |ip: IpAddr| matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    interfaces.retain(|i| !(is_link_local(i.address) && loopback.contains(&i.name)));
    interfaces
}

/// The interfaces over which multicast DNS is spoken in one family, each once: the first of their addresses.
pub(crate) fn multicast(interfaces: &[Interface], family: Family) -> Vec<&Interface> {
    let mut found: Vec<&Interface> = Vec::new();
    for interface in interfaces.iter().filter(|interface| family.has(interface.address)) {
        if found.iter().all(|other| other.name != interface.name) {
            found.push(interface);
        }
    }
    found
}

/// True for an address of a network that an interface is in (RFC 6762 section 11), or of this link alone.
pub(crate) fn is_on_link(interfaces: &[Interface], address: IpAddr) -> bool {
    let shares = |interface: &Interface| {
        let (own, other, width) = match (interface.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128u32),
            _ => return false,
        };
        let free = width.saturating_sub(interface.prefix.into());
        // With all 128 bits free, everything is the same.
        let network = |address: u128| address.checked_shr(free).unwrap_or(0);
        network(own) == network(other)
    };
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    link_local || interfaces.iter().any(shares)
}

/// The address to bind for one IP of the interface with this index: a link-local address needs its scope.
pub(crate) fn socket_address(ip: IpAddr, index: u32) -> SocketAddr {
    match ip {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => SocketAddrV6::new(v6, 0, 0, index).into(),
        ip => SocketAddr::new(ip, 0),
    }
}

fn convert(interface: if_addrs::Interface) -> Interface {
    Interface {
        index: interface.index.unwrap_or(0),
        address: interface.ip(),
        prefix: match &interface.addr {
            if_addrs::IfAddr::V4(v4) => v4.prefixlen,
            if_addrs::IfAddr::V6(v6) => v6.prefixlen,
        },
        loopback: interface.is_loopback(),
        name: interface.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_listed_as_such() {
        let interfaces = list().unwrap();
        let loopback = interfaces.iter().find(|i| i.address == IpAddr::from([127, 0, 0, 1]));
        assert!(loopback.is_none_or(|i| i.loopback), "{interfaces:?}");
    }

    #[test]
    fn the_loopback_interface_has_no_link() {
        let interface = |name: &str, address: &str| {
            let address: IpAddr = address.parse().unwrap();
            Interface { name: name.into(), index: 1, address, prefix: 64, loopback: address.is_loopback() }
        };
        let of_a_mac = ["127.0.0.1", "::1", "fe80::1"].map(|address| interface("lo0", address));
        let others =
            [interface("en0", "fe80::2"), interface("en0", "192.0.2.1"), interface("lo0", "192.0.2.2")];
        let left = without_links_to_oneself(of_a_mac.iter().chain(&others).cloned().collect());
        assert_eq!(left, [&of_a_mac[..2], &others].concat());
    }

    #[test]
    fn hosts_on_the_link_share_a_network() {
        let interface = |address: &str, prefix| Interface {
            name: "x".into(),
            index: 1,
            address: address.parse().unwrap(),
            prefix,
            loopback: false,
        };
        let interfaces =
            [interface("192.0.2.1", 28), interface("10.0.0.1", 32), interface("2001:db8::1", 64)];
        let on_link = |address: &str| is_on_link(&interfaces, address.parse().unwrap());
        for address in ["192.0.2.1", "192.0.2.15", "10.0.0.1", "2001:db8::9:9"] {
            assert!(on_link(address), "{address}");
        }
        for address in ["169.254.9.9", "fe80::9"] {
            assert!(on_link(address), "{address}, wherever the interface is");
        }
        for address in ["192.0.2.16", "10.0.0.2", "127.0.0.1", "2001:db8:0:1::1", "::1", "::192.0.2.1"] {
            assert!(!on_link(address), "{address}");
        }
        for (own, other) in [("1.1.1.1", "9.9.9.9"), ("::1", "2001:db8::1")] {
            assert!(is_on_link(&[interface(own, 0)], other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn multicast_goes_once_over_every_interface() {
        let address = |name: &str, address: &str| Interface {
            name: name.into(),
            index: 1,
            address: address.parse().unwrap(),
            prefix: 8,
            loopback: false,
        };
        let all = [
            address("a", "10.0.0.1"),
            address("a", "fe80::1"),
            address("b", "fe80::2"),
            address("a", "10.0.0.2"),
            address("a", "2001:db8::1"),
        ];
        assert_eq!(multicast(&all, Family::V4), [&all[0]]);
        assert_eq!(multicast(&all, Family::V6), [&all[1], &all[2]]);
    }
}
