//! The addresses of this host.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

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

/// Lists the addresses of the interfaces that are up, loopback included, in the order of the system.
pub(crate) fn list() -> io::Result<Vec<Interface>> {
    let interfaces = if_addrs::get_if_addrs()?;
    Ok(interfaces.into_iter().filter(if_addrs::Interface::is_oper_up).map(convert).collect())
}

/// The IPv4 addresses over which multicast DNS is spoken: one of every interface.
pub(crate) fn multicast_v4(interfaces: &[Interface]) -> Vec<Ipv4Addr> {
    let mut seen = Vec::new();
    let mut addresses = Vec::new();
    for interface in interfaces {
        let IpAddr::V4(address) = interface.address else { continue };
        if !seen.contains(&&interface.name) {
            seen.push(&interface.name);
            addresses.push(address);
        }
    }
    addresses
}

/// True for an address of a network that an interface is in (RFC 6762 section 11), or of this link alone.
pub(crate) fn is_on_link(interfaces: &[Interface], address: Ipv4Addr) -> bool {
    let shares = |own: Ipv4Addr, prefix: u8| {
        let mask = u32::MAX.checked_shl(32u32.saturating_sub(prefix.into())).unwrap_or(0);
        own.to_bits() & mask == address.to_bits() & mask
    };
    address.is_link_local()
        || interfaces.iter().any(|interface| match interface.address {
            IpAddr::V4(own) => shares(own, interface.prefix),
            IpAddr::V6(_) => false,
        })
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
    fn hosts_on_the_link_share_a_network() {
        let interface = |address: [u8; 4], prefix| Interface {
            name: "x".into(),
            index: 1,
            address: address.into(),
            prefix,
            loopback: false,
        };
        let interfaces = [interface([192, 0, 2, 1], 28), interface([10, 0, 0, 1], 32)];
        let on_link = |octets: [u8; 4]| is_on_link(&interfaces, octets.into());
        assert!(on_link([192, 0, 2, 1]) && on_link([192, 0, 2, 15]) && on_link([10, 0, 0, 1]));
        assert!(on_link([169, 254, 9, 9]), "wherever the interface is");
        assert!(!on_link([192, 0, 2, 16]) && !on_link([10, 0, 0, 2]) && !on_link([127, 0, 0, 1]));
        assert!(is_on_link(&[interface([1, 1, 1, 1], 0)], [9, 9, 9, 9].into()));
    }

    #[test]
    fn multicast_goes_once_over_every_interface() {
        let addresses = multicast_v4(&list().unwrap());
        let mut unique = addresses.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), addresses.len());
    }
}
