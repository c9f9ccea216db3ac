//! Which addresses of this host the application lets ICE use, and which it has outside.

use std::net::IpAddr;
use std::str::FromStr;

/// The families of addresses that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Families {
    /// IPv4 and IPv6.
    #[default]
    Both,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

/// A range of addresses, as `192.0.2.0/24` or `2001:db8::/32`; without a length, one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The text is not a network: an address, and at most as many bits of it as it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a network, as 192.0.2.0/24 or 2001:db8::/32 would be")]
pub struct ParseNetworkError;

impl Network {
    /// True if the address belongs to it.
    pub fn contains(&self, address: IpAddr) -> bool {
        fn bits(address: IpAddr) -> (u128, u32) {
            match address.to_canonical() {
                IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
                IpAddr::V6(v6) => (u128::from(v6), 128),
            }
        }
        let ((own, family), (other, other_family)) = (bits(self.address), bits(address));
        // No bit at all is compared with a prefix of 0.
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
        family == other_family && (own ^ other) & mask == 0
    }
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address = address.parse::<IpAddr>().map_err(|_| ParseNetworkError)?.to_canonical();
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse::<u8>().map_err(|_| ParseNetworkError)?,
            None => longest,
        };
        if prefix <= longest { Ok(Self { address, prefix }) } else { Err(ParseNetworkError) }
    }
}

/// Which of the addresses of this host become candidates. By default all that can.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AddressFilter {
    /// The families that are used.
    pub families: Families,
    /// Only these interfaces, where there are any: names, or the beginning of names before a `*`. It does not concern sockets
    /// that the application binds to a certain address.
    pub interfaces: Vec<String>,
    /// Not these interfaces, in the same way.
    pub excluded_interfaces: Vec<String>,
    /// Only addresses of these networks, where there are any.
    pub networks: Vec<Network>,
    /// No address of these networks.
    pub excluded_networks: Vec<Network>,
}

impl AddressFilter {
    /// Sets the families that are used.
    #[must_use]
    pub fn with_families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }

    /// Adds an interface to those that are used alone: its name, or its beginning before a `*`.
    #[must_use]
    pub fn with_interface(mut self, name: impl Into<String>) -> Self {
        self.interfaces.push(name.into());
        self
    }

    /// Adds an interface to those that are not used.
    #[must_use]
    pub fn without_interface(mut self, name: impl Into<String>) -> Self {
        self.excluded_interfaces.push(name.into());
        self
    }

    /// Adds a network to those whose addresses are used alone.
    #[must_use]
    pub fn with_network(mut self, network: Network) -> Self {
        self.networks.push(network);
        self
    }

    /// Adds a network to those whose addresses are not used.
    #[must_use]
    pub fn without_network(mut self, network: Network) -> Self {
        self.excluded_networks.push(network);
        self
    }

    /// True if this address may be used, as far as the address alone tells.
    pub fn allows_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let family = match self.families {
            Families::Both => true,
            Families::V4 => address.is_ipv4(),
            Families::V6 => address.is_ipv6(),
        };
        let within = |networks: &[Network]| networks.iter().any(|network| network.contains(address));
        family && (self.networks.is_empty() || within(&self.networks)) && !within(&self.excluded_networks)
    }

    /// True if the addresses of this interface may be used.
    pub fn allows_interface(&self, name: &str) -> bool {
        let named = |names: &[String]| {
            names.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == pattern,
            })
        };
        (self.interfaces.is_empty() || named(&self.interfaces)) && !named(&self.excluded_interfaces)
    }
}

/// An address that this host has outside, on a translator that maps one to one and keeps the port, as in many clouds. It is
/// signalled as a server-reflexive candidate, without a server to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExternalAddress {
    /// The address outside.
    pub external: IpAddr,
    /// The address of this host that it stands for; all of the family if `None`.
    pub local: Option<IpAddr>,
}

impl ExternalAddress {
    /// True if it stands for this address.
    pub(crate) fn stands_for(&self, local: IpAddr) -> bool {
        let local = local.to_canonical();
        self.external.to_canonical().is_ipv4() == local.is_ipv4()
            && self.local.is_none_or(|wanted| wanted.to_canonical() == local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn networks_contain_what_they_should() {
        let contains = |net: &str, address: &str| network(net).contains(address.parse().unwrap());
        assert!(contains("192.0.2.0/24", "192.0.2.255") && !contains("192.0.2.0/24", "192.0.3.0"));
        assert!(contains("192.0.2.7", "192.0.2.7") && !contains("192.0.2.7", "192.0.2.6"));
        assert!(contains("0.0.0.0/0", "255.1.2.3") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("::/0", "2001:db8::1") && !contains("::/0", "192.0.2.1"));
        assert!(
            contains("2001:db8::/33", "2001:db8:7fff::1") && !contains("2001:db8::/33", "2001:db8:8000::1")
        );
        assert!(contains("192.0.2.0/24", "::ffff:192.0.2.9"), "a mapped address is what it maps");
        for bad in
            ["", "192.0.2.0/33", "2001:db8::/129", "192.0.2/24", "192.0.2.0/", "/8", "a/8", "1.2.3.4/-1"]
        {
            assert_eq!(bad.parse::<Network>(), Err(ParseNetworkError), "{bad}");
        }
    }

    #[test]
    fn filters_filter() {
        let all = AddressFilter::default();
        let allows = |filter: &AddressFilter, address: &str| filter.allows_address(address.parse().unwrap());
        assert!(allows(&all, "192.0.2.1") && allows(&all, "2001:db8::1") && all.allows_interface("eth0"));
        let v4 = AddressFilter::default().with_families(Families::V4);
        assert!(allows(&v4, "192.0.2.1") && !allows(&v4, "2001:db8::1"));
        let v6 = AddressFilter::default().with_families(Families::V6);
        assert!(!allows(&v6, "192.0.2.1") && !allows(&v6, "::ffff:192.0.2.1") && allows(&v6, "2001:db8::1"));
        let only = AddressFilter::default()
            .with_network(network("10.0.0.0/8"))
            .without_network(network("10.9.0.0/16"));
        assert!(allows(&only, "10.8.0.1") && !allows(&only, "10.9.0.1") && !allows(&only, "192.0.2.1"));
        let named = AddressFilter::default().with_interface("eth*").without_interface("eth1");
        assert!(
            named.allows_interface("eth0")
                && !named.allows_interface("eth1")
                && !named.allows_interface("wlan0")
        );
        let not = AddressFilter::default().without_interface("docker*");
        assert!(not.allows_interface("eth0") && !not.allows_interface("docker0"));
    }

    #[test]
    fn an_external_address_stands_for_its_family_or_one_address() {
        let external = ExternalAddress { external: [203, 0, 113, 1].into(), local: None };
        assert!(
            external.stands_for([10, 0, 0, 1].into()) && !external.stands_for("2001:db8::1".parse().unwrap())
        );
        let one = ExternalAddress { local: Some([10, 0, 0, 1].into()), ..external };
        assert!(one.stands_for([10, 0, 0, 1].into()) && !one.stands_for([10, 0, 0, 2].into()));
    }
}
