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
    /// True for the loopback interface.
    pub(crate) loopback: bool,
}

/// Lists the addresses of the interfaces that are up, loopback included, in the order of the system.
pub(crate) fn list() -> io::Result<Vec<Interface>> {
    let interfaces = if_addrs::get_if_addrs()?;
    Ok(interfaces.into_iter().filter(if_addrs::Interface::is_oper_up).map(convert).collect())
}

/// The IPv4 addresses over which multicast DNS is spoken: one of every interface that is up.
pub(crate) fn multicast_v4() -> io::Result<Vec<Ipv4Addr>> {
    let mut seen = Vec::new();
    let mut addresses = Vec::new();
    for interface in list()? {
        let IpAddr::V4(address) = interface.address else { continue };
        if !seen.contains(&interface.name) {
            seen.push(interface.name);
            addresses.push(address);
        }
    }
    Ok(addresses)
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
    fn multicast_goes_once_over_every_interface() {
        let addresses = multicast_v4().unwrap();
        let mut unique = addresses.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), addresses.len());
    }
}
