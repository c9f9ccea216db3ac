//! Candidates: the `candidate` attribute value (RFC 8839 section 5.1), priorities and foundations (RFC 8445
//! sections 5.1.1.3 and 5.1.2).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::addresses::plain;

/// The longest attribute value that is parsed, in octets.
pub const MAX_CANDIDATE_LEN: usize = 2_048;

/// Where a candidate is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CandidateAddress {
    /// An address and a port.
    Ip(SocketAddr),
    /// A name, to be resolved. Only names under `.local` are used, by multicast DNS.
    Name {
        /// The name.
        name: String,
        /// The port.
        port: u16,
    },
}

impl CandidateAddress {
    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Name { port, .. } => *port,
        }
    }
}

/// How a candidate was obtained (RFC 8445 section 5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CandidateKind {
    /// An address of the host itself.
    Host,
    /// The host's address as a STUN server sees it.
    ServerReflexive,
    /// The host's address as the peer sees it.
    PeerReflexive,
    /// An address of a relay.
    Relayed,
}

impl CandidateKind {
    /// The type preference (RFC 8445 section 5.1.2.2).
    pub(crate) fn preference(self) -> u8 {
        match self {
            Self::Host => 126,
            Self::PeerReflexive => 110,
            Self::ServerReflexive => 100,
            Self::Relayed => 0,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        }
    }
}

/// The transport protocol of a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CandidateTransport {
    /// UDP.
    Udp,
    /// TCP (RFC 6544).
    Tcp,
    /// Another one, as it was written.
    Other(String),
}

/// The side that a TCP candidate takes (RFC 6544 section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcpType {
    /// Opens connections.
    Active,
    /// Waits for connections.
    Passive,
    /// Opens at the same time as the other side.
    SimultaneousOpen,
}

/// A candidate, as it is signalled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Equal for candidates that work or fail together (RFC 8445 section 5.1.1.3).
    pub foundation: String,
    /// 1, since RTP and RTCP share a component. Others are parsed and not used.
    pub component: u16,
    /// The transport protocol.
    pub transport: CandidateTransport,
    /// The priority (RFC 8445 section 5.1.2).
    pub priority: u32,
    /// Where it is.
    pub address: CandidateAddress,
    /// How it was obtained.
    pub kind: CandidateKind,
    /// For diagnostics: the base of a reflexive candidate, the mapped address of a relayed one.
    pub related: Option<SocketAddr>,
    /// The side that a TCP candidate takes.
    pub tcp_type: Option<TcpType>,
    /// The ufrag it belongs to, where it is said (the `ufrag` extension of browsers).
    pub ufrag: Option<String>,
    /// All other extensions, in order, name and value.
    pub extensions: Vec<(String, String)>,
}

/// Why a text is not a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseCandidateError {
    /// Longer than [`MAX_CANDIDATE_LEN`].
    #[error("the candidate is too long")]
    TooLong,
    /// A mandatory field is missing.
    #[error("a mandatory field is missing")]
    Missing,
    /// The foundation is empty or longer than 32 octets.
    #[error("invalid foundation")]
    Foundation,
    /// The component is not a number from 1 to 256.
    #[error("invalid component")]
    Component,
    /// The priority is not a 32-bit number.
    #[error("invalid priority")]
    Priority,
    /// The address is neither an IP address nor a name.
    #[error("invalid address")]
    Address,
    /// The port is not a 16-bit number.
    #[error("invalid port")]
    Port,
    /// There is no `typ`, or an unknown one.
    #[error("invalid or unknown type")]
    Kind,
}

impl FromStr for Candidate {
    type Err = ParseCandidateError;

    /// Reads the attribute value, with or without `candidate:` (or `a=candidate:`) in front.
    fn from_str(text: &str) -> Result<Self, ParseCandidateError> {
        use ParseCandidateError as Error;
        if text.len() > MAX_CANDIDATE_LEN {
            return Err(Error::TooLong);
        }
        let text = text.trim_ascii();
        let text = text.strip_prefix("a=").unwrap_or(text);
        let mut words = text.strip_prefix("candidate:").unwrap_or(text).split_ascii_whitespace();
        let mut word = || words.next().ok_or(Error::Missing);
        let foundation = word()?;
        if foundation.is_empty() || foundation.len() > 32 {
            return Err(Error::Foundation);
        }
        let component = word()?.parse().ok().filter(|n| (1..=256).contains(n)).ok_or(Error::Component)?;
        let transport = match word()? {
            udp if udp.eq_ignore_ascii_case("udp") => CandidateTransport::Udp,
            tcp if tcp.eq_ignore_ascii_case("tcp") => CandidateTransport::Tcp,
            other => CandidateTransport::Other(other.to_owned()),
        };
        let priority = word()?.parse().map_err(|_| Error::Priority)?;
        let host = word()?;
        let port = word()?.parse().map_err(|_| Error::Port)?;
        if word()? != "typ" {
            return Err(Error::Kind);
        }
        let kind = match word()? {
            "host" => CandidateKind::Host,
            "srflx" => CandidateKind::ServerReflexive,
            "prflx" => CandidateKind::PeerReflexive,
            "relay" => CandidateKind::Relayed,
            _ => return Err(Error::Kind),
        };
        let mut candidate = Self {
            foundation: foundation.to_owned(),
            component,
            transport,
            priority,
            address: parse_address(host, port)?,
            kind,
            related: None,
            tcp_type: None,
            ufrag: None,
            extensions: Vec::new(),
        };
        candidate.read_extensions(words);
        Ok(candidate)
    }
}

impl Candidate {
    fn read_extensions<'a>(&mut self, mut words: impl Iterator<Item = &'a str>) {
        let (mut related_ip, mut related_port) = (None, None);
        while let Some(name) = words.next() {
            let Some(value) = words.next() else { break };
            match name {
                "raddr" => related_ip = value.parse::<IpAddr>().ok(),
                "rport" => related_port = value.parse::<u16>().ok(),
                "tcptype" if value == "active" => self.tcp_type = Some(TcpType::Active),
                "tcptype" if value == "passive" => self.tcp_type = Some(TcpType::Passive),
                "tcptype" if value == "so" => self.tcp_type = Some(TcpType::SimultaneousOpen),
                "ufrag" if !value.is_empty() => self.ufrag = Some(value.to_owned()),
                _ => self.extensions.push((name.to_owned(), value.to_owned())),
            }
        }
        self.related = related_ip.zip(related_port).map(|(ip, port)| SocketAddr::new(ip, port));
    }
}

fn parse_address(host: &str, port: u16) -> Result<CandidateAddress, ParseCandidateError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(CandidateAddress::Ip(plain(SocketAddr::new(ip, port))));
    }
    let named = host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_'))
        && host.bytes().any(|c| c.is_ascii_alphabetic());
    if !named || host.len() > 253 {
        return Err(ParseCandidateError::Address);
    }
    Ok(CandidateAddress::Name { name: host.to_owned(), port })
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match &self.transport {
            CandidateTransport::Udp => "udp",
            CandidateTransport::Tcp => "tcp",
            CandidateTransport::Other(other) => other,
        };
        write!(f, "candidate:{} {} {transport} {} ", self.foundation, self.component, self.priority)?;
        match &self.address {
            CandidateAddress::Ip(address) => write!(f, "{} {}", address.ip(), address.port())?,
            CandidateAddress::Name { name, port } => write!(f, "{name} {port}")?,
        }
        write!(f, " typ {}", self.kind.text())?;
        if let Some(related) = self.related {
            write!(f, " raddr {} rport {}", related.ip(), related.port())?;
        }
        match self.tcp_type {
            Some(TcpType::Active) => f.write_str(" tcptype active")?,
            Some(TcpType::Passive) => f.write_str(" tcptype passive")?,
            Some(TcpType::SimultaneousOpen) => f.write_str(" tcptype so")?,
            None => {}
        }
        for (name, value) in &self.extensions {
            write!(f, " {name} {value}")?;
        }
        if let Some(ufrag) = &self.ufrag {
            write!(f, " ufrag {ufrag}")?;
        }
        Ok(())
    }
}

/// The priority of a candidate of component 1 (RFC 8445 section 5.1.2.1).
pub(crate) fn priority(kind: CandidateKind, local_preference: u16) -> u32 {
    (u32::from(kind.preference()) << 24) | (u32::from(local_preference) << 8) | 255
}

/// The priority of a pair (RFC 8445 section 6.1.2.3), from those of the controlling and the controlled side.
/// Priorities end at 2^31 - 1; a larger one from the network counts as that.
pub(crate) fn pair_priority(controlling: u32, controlled: u32) -> u64 {
    const LARGEST: u32 = i32::MAX as u32;
    let (g, d) = (u64::from(controlling.min(LARGEST)), u64::from(controlled.min(LARGEST)));
    (g.min(d) << 32) + 2 * g.max(d) + u64::from(g > d)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Candidate {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_left_out_does_not_change_what_is_read_again() {
        for text in [
            "1 1 udp 1 192.0.2.1 9 typ host ufrag abcd x",
            "1 1 udp 1 192.0.2.1 9 typ host ufrag abcd \u{b}",
            "\u{b}1 1 udp 1 192.0.2.1 9 typ host",
        ] {
            if let Ok(candidate) = text.parse::<Candidate>() {
                assert_eq!(candidate.to_string().parse::<Candidate>(), Ok(candidate), "{text:?}");
            }
        }
    }

    #[test]
    fn the_example_of_rfc_8839() {
        let text = "candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998";
        let candidate = parse(text);
        assert_eq!(candidate.foundation, "2");
        assert_eq!(candidate.priority, 1_694_498_815);
        assert_eq!(candidate.address, CandidateAddress::Ip("192.0.2.3:45664".parse().unwrap()));
        assert_eq!(candidate.kind, CandidateKind::ServerReflexive);
        assert_eq!(candidate.related, Some("203.0.113.141:8998".parse().unwrap()));
        assert_eq!(candidate.to_string(), text.replace("UDP", "udp"));
        assert_eq!(parse(&format!("a={text}")), candidate);
        assert_eq!(parse(text.strip_prefix("candidate:").unwrap()), candidate);
    }

    #[test]
    fn what_is_written_parses_to_the_same() {
        for text in [
            "candidate:1 1 udp 2122260223 10.0.0.7 50000 typ host generation 0 network-id 1 ufrag abcd",
            "candidate:842163049 1 udp 2130706431 4a1b2c3d-0000-4000-8000-1234567890ab.local 5 typ host",
            "candidate:3 1 tcp 1518280447 2001:db8::7 9 typ host tcptype active",
            "candidate:3 1 tcp 1518280447 2001:db8::7 4444 typ relay raddr 192.0.2.1 rport 1 tcptype so",
            "candidate:4 2 ssltcp 1 192.0.2.1 443 typ prflx raddr :: rport 9",
        ] {
            let candidate = parse(text);
            assert_eq!(candidate.to_string(), text);
            assert_eq!(parse(&candidate.to_string()), candidate);
        }
    }

    #[test]
    fn unknown_extensions_are_kept_and_odd_ones_do_no_harm() {
        let candidate =
            parse("candidate:1 1 udp 1 10.0.0.7 5 typ host foo bar ufrag raddr tcptype weird last");
        assert_eq!(candidate.ufrag.as_deref(), Some("raddr"));
        let names: Vec<_> = candidate.extensions.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["foo", "tcptype"]);
        assert_eq!(parse("1 1 udp 1 10.0.0.7 5 typ srflx raddr 10.0.0.1").related, None);
    }

    #[test]
    fn offences_have_a_name_each() {
        use ParseCandidateError as E;
        for (text, error) in [
            ("", E::Missing),
            ("candidate:", E::Missing),
            ("candidate:1 1 udp 1 10.0.0.7 5", E::Missing),
            ("candidate:123456789012345678901234567890123 1 udp 1 10.0.0.7 5 typ host", E::Foundation),
            ("candidate:1 0 udp 1 10.0.0.7 5 typ host", E::Component),
            ("candidate:1 257 udp 1 10.0.0.7 5 typ host", E::Component),
            ("candidate:1 1 udp 4294967296 10.0.0.7 5 typ host", E::Priority),
            ("candidate:1 1 udp -1 10.0.0.7 5 typ host", E::Priority),
            ("candidate:1 1 udp 1 10.0.0.256 5 typ host", E::Address),
            ("candidate:1 1 udp 1 fe80::1%eth0 5 typ host", E::Address),
            ("candidate:1 1 udp 1 10.0.0.7 65536 typ host", E::Port),
            ("candidate:1 1 udp 1 10.0.0.7 5 type host", E::Kind),
            ("candidate:1 1 udp 1 10.0.0.7 5 typ magic", E::Kind),
        ] {
            assert_eq!(text.parse::<Candidate>(), Err(error), "{text}");
        }
        let named = |octets| format!("1 1 udp 1 {} 5 typ host", "x".repeat(octets)).parse::<Candidate>();
        assert!(named(253).is_ok(), "the longest name of a host");
        assert_eq!(named(254), Err(E::Address));
        assert_eq!("x ".repeat(MAX_CANDIDATE_LEN).parse::<Candidate>(), Err(E::TooLong));
    }

    #[test]
    fn mapped_addresses_become_what_they_map() {
        let candidate = parse("candidate:1 1 udp 1 ::ffff:192.0.2.1 5 typ host");
        assert_eq!(candidate.address, CandidateAddress::Ip("192.0.2.1:5".parse().unwrap()));
    }

    #[test]
    fn priorities_follow_the_formulas_without_overflow() {
        assert_eq!(priority(CandidateKind::Host, 65_535), 2_130_706_431);
        assert_eq!(priority(CandidateKind::Relayed, 0), 255);
        assert_eq!(pair_priority(3, 2), (2 << 32) + 6 + 1);
        assert_eq!(pair_priority(2, 3), (2 << 32) + 6);
        assert!(pair_priority(u32::MAX, u32::MAX) >= pair_priority(u32::MAX, 1));
    }
}
