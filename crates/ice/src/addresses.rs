//! Which addresses are used: the host's own (RFC 8445 section 5.1.1.1), and what may get a packet at all.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::config::{Config, Loopback};

/// An address of a network interface, as the operating system lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The interface's name.
    pub name: String,
    /// The interface's number.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// True for an interface that leads to the host itself only.
    pub loopback: bool,
}

/// Which addresses to bind sockets to, best first and IPv6 and IPv4 in turn (RFC 8421 section 4), but those of IPv6 that RFC 6724
/// section 2.1 has below IPv4, which come last: unique local ones and those of tunnels.
///
/// Left out are unspecified, multicast and broadcast addresses, IPv4-compatible and site-local IPv6 addresses, and
/// an IPv6 address made from a hardware address where its interface has another one of the same prefix (RFC 8445
/// section 5.1.1.1), and what [`Config::filter`] leaves out. Link-local addresses are used only where there is nothing else but loopback, and loopback as
/// [`Loopback`] says.
pub fn select_addresses(interfaces: &[InterfaceAddress], config: &Config) -> Vec<IpAddr> {
    let usable: Vec<&InterfaceAddress> = interfaces
        .iter()
        .filter(|i| is_host_address(i.address.to_canonical()) && is_allowed(i, config))
        .collect();
    let is_loopback = |i: &InterfaceAddress| i.loopback || i.address.to_canonical().is_loopback();
    let is_global =
        |i: &InterfaceAddress| !is_loopback(i) && !is_link_local(i.address) && !reveals_hardware(i, &usable);
    let is_local_link = |i: &InterfaceAddress| !is_loopback(i) && is_link_local(i.address);

    let is_after = |i: &InterfaceAddress| is_below_ipv4(i.address.to_canonical());
    let mut chosen: Vec<IpAddr> = pick(&usable, |i| is_global(i) && !is_after(i));
    chosen.extend(pick(&usable, |i| is_global(i) && is_after(i)));
    if chosen.is_empty() {
        chosen = pick(&usable, is_local_link);
    }
    let loopback = match config.loopback {
        Loopback::Auto => chosen.is_empty(),
        Loopback::Always => true,
        Loopback::Never => false,
    };
    if loopback {
        chosen.extend(pick(&usable, is_loopback));
    }
    chosen
}

/// The addresses that `wanted` holds for, once each, the families in turn with IPv6 first.
fn pick(usable: &[&InterfaceAddress], wanted: impl Fn(&InterfaceAddress) -> bool) -> Vec<IpAddr> {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in usable.iter().filter(|i| wanted(i)).map(|i| i.address.to_canonical()) {
        let family = if address.is_ipv4() { &mut v4 } else { &mut v6 };
        if !family.contains(&address) {
            family.push(address);
        }
    }
    let (mut v4, mut v6) = (v4.into_iter(), v6.into_iter());
    let mut merged = Vec::new();
    loop {
        match (v6.next(), v4.next()) {
            (None, None) => return merged,
            (a, b) => merged.extend(a.into_iter().chain(b)),
        }
    }
}

fn is_allowed(interface: &InterfaceAddress, config: &Config) -> bool {
    config.filter.allows_interface(&interface.name) && config.filter.allows_address(interface.address)
}

fn is_host_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()),
        IpAddr::V6(v6) => {
            // The unspecified address is among them.
            let compatible = matches!(v6.segments(), [0, 0, 0, 0, 0, 0, a, b] if (a, b) != (0, 1));
            let site_local = v6.segments()[0] & 0xffc0 == 0xfec0;
            !(v6.is_multicast() || compatible || site_local)
        }
    }
}

/// True for an address with a modified EUI-64 in it whose interface has another address of the same prefix.
fn reveals_hardware(candidate: &InterfaceAddress, all: &[&InterfaceAddress]) -> bool {
    let IpAddr::V6(v6) = candidate.address else { return false };
    is_eui64(v6)
        && all.iter().any(|other| match other.address {
            IpAddr::V6(o) => {
                other.index == candidate.index && !is_eui64(o) && o.segments()[..4] == v6.segments()[..4]
            }
            IpAddr::V4(_) => false,
        })
}

fn is_eui64(address: Ipv6Addr) -> bool {
    matches!(address.octets(), [_, _, _, _, _, _, _, _, _, _, _, 0xff, 0xfe, _, _, _])
}

/// True for addresses that mean something on one link only.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// True for the IPv6 addresses whose precedence is below that of IPv4 (RFC 6724 section 2.1): unique local ones, and those of
/// 6to4, Teredo and the 6bone.
pub(crate) fn is_below_ipv4(address: IpAddr) -> bool {
    let IpAddr::V6(v6) = address else { return false };
    let [first, second, ..] = v6.segments();
    first & 0xfe00 == 0xfc00 || first == 0x2002 || first == 0x3ffe || (first, second) == (0x2001, 0)
}

/// The address without what only this host knows of it (scope, flow), IPv4 as IPv4.
pub(crate) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// True if a packet may ever go to this address: it has a port, and is that of one host.
pub(crate) fn may_send_to(remote: SocketAddr) -> bool {
    let ip = remote.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] == 0);
    remote.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// True if a socket at `base` can reach `remote`: the same family, and loopback and IPv6 link-local addresses only
/// among themselves (RFC 8445 section 6.1.2.2).
pub(crate) fn can_pair(base: SocketAddr, remote: SocketAddr) -> bool {
    let (base, remote) = (base.ip().to_canonical(), remote.ip().to_canonical());
    base.is_ipv4() == remote.is_ipv4()
        && base.is_loopback() == remote.is_loopback()
        && (base.is_ipv4() || is_link_local(base) == is_link_local(remote))
}

/// `remote` as a socket at `base` has to name it: with the scope of the base where it is link-local.
pub(crate) fn scoped(base: SocketAddr, remote: SocketAddr) -> SocketAddr {
    match (base, plain(remote)) {
        (SocketAddr::V6(base), SocketAddr::V6(mut remote)) if remote.ip().is_unicast_link_local() => {
            remote.set_scope_id(base.scope_id());
            SocketAddr::V6(remote)
        }
        (_, remote) => remote,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{AddressFilter, Families};

    fn interface(name: &str, index: u32, address: &str) -> InterfaceAddress {
        let address: IpAddr = address.parse().unwrap();
        InterfaceAddress { name: name.into(), index, address, loopback: name == "lo" }
    }

    fn selected(addresses: &[InterfaceAddress], loopback: Loopback) -> Vec<String> {
        let config = Config::default().with_loopback(loopback);
        select_addresses(addresses, &config).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn families_alternate_and_useless_addresses_are_left_out() {
        let all = [
            interface("lo", 1, "127.0.0.1"),
            interface("lo", 1, "::1"),
            interface("eth0", 2, "192.0.2.1"),
            interface("eth0", 2, "192.0.2.1"),
            interface("eth1", 3, "192.0.2.2"),
            interface("eth0", 2, "169.254.3.4"),
            interface("eth0", 2, "fe80::1"),
            interface("eth0", 2, "fec0::1"),
            interface("eth0", 2, "::192.0.2.9"),
            interface("eth0", 2, "::ffff:192.0.2.3"),
            interface("eth0", 2, "0.0.0.0"),
            interface("eth0", 2, "224.0.0.1"),
            interface("eth0", 2, "255.255.255.255"),
            interface("eth0", 2, "::"),
            interface("eth0", 2, "ff02::1"),
            interface("eth0", 2, "2001:db8::1"),
        ];
        assert_eq!(selected(&all, Loopback::Auto), ["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        let with_loopback = selected(&all, Loopback::Always);
        assert_eq!(with_loopback[4..], ["::1", "127.0.0.1"]);
    }

    #[test]
    fn addresses_that_lead_less_far_come_last() {
        let all = [
            interface("eth0", 2, "fd00::1"),
            interface("eth0", 2, "2001:0:1::1"),
            interface("eth0", 2, "2001:db8::1"),
            interface("eth0", 2, "192.0.2.1"),
        ];
        assert_eq!(selected(&all, Loopback::Auto), ["2001:db8::1", "192.0.2.1", "fd00::1", "2001:0:1::1"]);
        assert_eq!(selected(&all[..1], Loopback::Auto), ["fd00::1"], "better than none");
    }

    #[test]
    fn loopback_only_where_there_is_nothing_else() {
        let lonely = [interface("lo", 1, "127.0.0.1")];
        assert_eq!(selected(&lonely, Loopback::Auto), ["127.0.0.1"]);
        assert_eq!(selected(&lonely, Loopback::Never), [""; 0]);
        let linked = [interface("lo", 1, "127.0.0.1"), interface("eth0", 2, "fe80::1")];
        assert_eq!(selected(&linked, Loopback::Auto), ["fe80::1"]);
    }

    #[test]
    fn what_is_filtered_out_is_as_if_it_were_not_there() {
        let all = [
            interface("lo", 1, "127.0.0.1"),
            interface("eth0", 2, "192.0.2.1"),
            interface("eth0", 2, "2001:db8::1"),
            interface("docker0", 3, "172.17.0.1"),
        ];
        let selected = |filter: AddressFilter| {
            let config = Config::default().with_filter(filter);
            select_addresses(&all, &config).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let filter = AddressFilter::default;
        assert_eq!(selected(filter()), ["2001:db8::1", "192.0.2.1", "172.17.0.1"]);
        assert_eq!(selected(filter().without_interface("docker*")), ["2001:db8::1", "192.0.2.1"]);
        assert_eq!(selected(filter().with_families(Families::V4)), ["192.0.2.1", "172.17.0.1"]);
        assert_eq!(selected(filter().with_network("172.16.0.0/12".parse().unwrap())), ["172.17.0.1"]);
        assert_eq!(selected(filter().with_interface("wlan0")), [""; 0]);
        assert_eq!(selected(filter().with_interface("lo")), ["127.0.0.1"], "there is nothing else then");
    }

    #[test]
    fn hardware_addresses_hide_behind_random_ones_of_the_same_prefix() {
        let both = [
            interface("eth0", 2, "2001:db8::0200:00ff:fe00:1"),
            interface("eth0", 2, "2001:db8::1234:5678:9abc:def0"),
            interface("eth1", 3, "2001:db8:0:1:0200:00ff:fe00:2"),
        ];
        assert_eq!(
            selected(&both, Loopback::Auto),
            ["2001:db8::1234:5678:9abc:def0", "2001:db8:0:1:200:ff:fe00:2"]
        );
    }

    #[test]
    fn nothing_is_sent_where_no_single_host_is() {
        let may = |text: &str| may_send_to(text.parse().unwrap());
        assert!(may("192.0.2.1:1") && may("[2001:db8::1]:1") && may("127.0.0.1:1"));
        for bad in [
            "192.0.2.1:0",
            "0.0.0.0:1",
            "0.1.2.3:1",
            "224.0.0.251:5353",
            "255.255.255.255:1",
            "[::]:1",
            "[ff02::fb]:5353",
        ] {
            assert!(!may(bad), "{bad}");
        }
        assert!(!may("[::ffff:224.0.0.1]:1"));
    }

    #[test]
    fn pairs_stay_in_their_world() {
        let can = |a: &str, b: &str| can_pair(a.parse().unwrap(), b.parse().unwrap());
        assert!(can("192.0.2.1:1", "198.51.100.1:1") && can("127.0.0.1:1", "127.0.0.2:1"));
        assert!(can("[fe80::1]:1", "[fe80::2]:1") && can("[2001:db8::1]:1", "[2001:db8::2]:1"));
        assert!(!can("192.0.2.1:1", "[2001:db8::1]:1") && !can("192.0.2.1:1", "127.0.0.1:1"));
        assert!(!can("127.0.0.1:1", "192.0.2.1:1") && !can("[fe80::1]:1", "[2001:db8::2]:1"));
        assert!(can("169.254.1.1:1", "192.0.2.1:1"), "only IPv6 link-local addresses are kept apart");
    }
}
