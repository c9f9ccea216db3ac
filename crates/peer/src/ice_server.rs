//! The servers that help ICE, and their URLs (RFC 7064, RFC 7065).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::{Error, ErrorKind};

pub use taut_ice::TurnTransport;

/// The default port of a STUN server (RFC 8489 section 18.6), and of a TURN server (RFC 8656 section 20).
const STUN_PORT: u16 = 3478;

/// The default port of a TURN server over TLS (RFC 7065 section 3.2).
const TURNS_PORT: u16 = 5349;

/// What an [`IceServer`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IceServerKind {
    /// Tells our public address.
    Stun,
    /// Relays for us, and is reached in this way.
    Turn(TurnTransport),
}

/// A server that helps ICE (W3C `RTCIceServer`, with one URL).
///
/// ```
/// use taut_peer::IceServer;
/// let server = IceServer::parse("turns:turn.example.org").unwrap().with_credentials("ann", "secret");
/// assert_eq!(server.port, 5349);
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IceServer {
    /// The name or address of the server.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// What it does.
    pub kind: IceServerKind,
    /// Who we are, for a TURN server.
    pub username: Option<String>,
    /// The password (W3C `credential`).
    pub credential: Option<String>,
}

impl std::fmt::Debug for IceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port, kind, username, .. } = self;
        write!(f, "IceServer({kind:?}, {host:?}, {port}, {username:?})")
    }
}

/// A name or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name, to be resolved by the driver.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

impl IceServer {
    /// Parses a `stun:` URL (RFC 7064), or one of `turn:` and `turns:` (RFC 7065), which may end in `?transport=udp` or
    /// `?transport=tcp`. A TURN server needs [`with_credentials`](Self::with_credentials), too.
    ///
    /// # Errors
    ///
    /// `Syntax` for what is no URL of a STUN or TURN server, `NotSupported` for `stuns:` and for `turns:` over UDP.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let syntax =
            || Error::new(ErrorKind::Syntax, format!("{url:?} is not the URL of a STUN or TURN server"));
        let unsupported = |what: &str| {
            Err(Error::new(ErrorKind::NotSupported, format!("{what} servers are not supported")))
        };
        let (scheme, rest) = url.split_once(':').ok_or_else(syntax)?;
        let (rest, transport) = match rest.split_once("?transport=") {
            Some((rest, transport)) => (rest, Some(transport.to_ascii_lowercase())),
            None => (rest, None),
        };
        let kind = match (scheme.to_ascii_lowercase().as_str(), transport.as_deref()) {
            ("stun", None) => IceServerKind::Stun,
            ("stuns", None) => return unsupported("stuns:"),
            ("turn", None | Some("udp")) => IceServerKind::Turn(TurnTransport::Udp),
            ("turn", Some("tcp")) => IceServerKind::Turn(TurnTransport::Tcp),
            ("turns", None | Some("tcp")) => IceServerKind::Turn(TurnTransport::Tls),
            ("turns", Some("udp")) => return unsupported("turns: over UDP"),
            _ => return Err(syntax()),
        };
        if rest.is_empty() || rest.contains(['/', '?', '@', ' ']) {
            return Err(syntax());
        }
        let (host, port) = split_port(rest).ok_or_else(syntax)?;
        let port = match port {
            Some(text) => text.parse::<u16>().ok().filter(|&port| port != 0).ok_or_else(syntax)?,
            None if kind == IceServerKind::Turn(TurnTransport::Tls) => TURNS_PORT,
            None => STUN_PORT,
        };
        let host = parse_host(host).ok_or_else(syntax)?;
        Ok(Self { host, port, kind, username: None, credential: None })
    }

    /// Says who we are, for a TURN server.
    #[must_use]
    pub fn with_credentials(mut self, username: impl Into<String>, credential: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self.credential = Some(credential.into());
        self
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
pub(crate) fn parse_host(host: &str) -> Option<Host> {
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    match (literal, host.parse::<Ipv4Addr>()) {
        (Some(literal), _) => Some(Host::Ip(literal.parse::<Ipv6Addr>().ok()?.into())),
        (None, Ok(ip)) => Some(Host::Ip(ip.into())),
        (None, Err(_)) if host.is_empty() || !host.bytes().all(name) => None,
        (None, Err(_)) => Some(Host::Name(host.to_owned())),
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(crate) fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let end = text.find(']')?;
        let (host, tail) = text.split_at_checked(end + 1)?;
        return match tail.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None if tail.is_empty() => Some((host, None)),
            None => None,
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => None,
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stun_urls_with_and_without_ports() {
        let parse = |url| IceServer::parse(url).map(|s| (s.host, s.port));
        let name = |n: &str| Host::Name(n.into());
        assert_eq!(parse("stun:example.org").unwrap(), (name("example.org"), 3478));
        assert_eq!(parse("STUN:example.org:19302").unwrap(), (name("example.org"), 19302));
        assert_eq!(parse("stun:192.0.2.1:9").unwrap(), (Host::Ip([192, 0, 2, 1].into()), 9));
        assert_eq!(parse("stun:[2001:db8::1]:9").unwrap().1, 9);
        assert_eq!(parse("stun:[2001:db8::1]").unwrap().0, Host::Ip("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn turn_urls_say_how_the_server_is_reached() {
        let parse = |url| IceServer::parse(url).map(|s| (s.kind, s.port)).unwrap();
        let turn = IceServerKind::Turn;
        assert_eq!(parse("turn:a"), (turn(TurnTransport::Udp), 3478));
        assert_eq!(parse("turn:a:9?transport=UDP"), (turn(TurnTransport::Udp), 9));
        assert_eq!(parse("turn:[::1]:9?transport=tcp"), (turn(TurnTransport::Tcp), 9));
        assert_eq!(parse("TURNS:a"), (turn(TurnTransport::Tls), 5349));
        assert_eq!(parse("turns:a:443?transport=tcp"), (turn(TurnTransport::Tls), 443));
        let named = IceServer::parse("turn:a").unwrap().with_credentials("ann", "secret");
        assert!(!format!("{named:?}").contains("secret"));
    }

    #[test]
    fn other_urls_are_precise_errors() {
        for url in [
            "",
            "stun",
            "stun:",
            "stun:a:0",
            "stun:a:b",
            "stun:a:1:2",
            "stun:[::1",
            "stun:[x]",
            "http:a",
            "stun:a?b",
            "stun:a?transport=udp",
            "turn:a?transport=sctp",
            "turn:?transport=udp",
            "turn:a?tcp",
            "stun:[::1]x",
            "stun:[192.0.2.1]",
            "stun:192.0.2.1]",
            "stun:a\nb",
            "stun:bücher",
        ] {
            assert_eq!(IceServer::parse(url).unwrap_err().kind, ErrorKind::Syntax, "{url}");
        }
        for url in ["stuns:a", "turns:a?transport=udp"] {
            assert_eq!(IceServer::parse(url).unwrap_err().kind, ErrorKind::NotSupported, "{url}");
        }
    }
}
