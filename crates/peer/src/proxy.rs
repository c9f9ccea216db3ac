//! The proxy on the way to TURN servers: what an application behind a firewall is told to use.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::ice_server::{Host, parse_host, split_port};

/// The port of a SOCKS proxy (RFC 1928 section 3), and the usual one of an HTTP proxy.
const SOCKS_PORT: u16 = 1080;
const HTTP_PORT: u16 = 8080;

/// The longest name and password that SOCKS can carry, in octets (RFC 1929 section 2).
const MAX_TEXT: usize = 255;

/// How a [`Proxy`] is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyKind {
    /// By the method CONNECT of HTTP (RFC 9110 section 9.3.6), with Basic authentication (RFC 7617).
    Http,
    /// By SOCKS version 5 (RFC 1928), with a user name and a password (RFC 1929).
    Socks5,
}

/// A proxy that TURN servers are reached through, those over TCP and TLS: nothing else goes there.
///
/// ```
/// use taut_peer::{Proxy, ProxyKind};
/// let proxy = Proxy::parse("socks5://proxy.example.org").unwrap().with_credentials("ann", "secret");
/// assert_eq!((proxy.kind, proxy.port), (ProxyKind::Socks5, 1080));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proxy {
    /// How it is asked.
    pub kind: ProxyKind,
    /// Its name or address. A name is resolved by the system.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// The user and the password that it wants, if it wants any.
    pub credentials: Option<(String, String)>,
}

impl Proxy {
    /// Parses `http://host:port` or `socks5://host:port`; without a port it is 8080 or 1080. Credentials are given with
    /// [`with_credentials`](Self::with_credentials), not in the URL, which shows in logs.
    ///
    /// # Errors
    ///
    /// `Syntax` for what is no URL of a proxy, `NotSupported` for proxies that are spoken to over TLS, and for SOCKS of another
    /// version.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let syntax = || {
            Error::new(ErrorKind::Syntax, "not the URL of a proxy: http://HOST:PORT or socks5://HOST:PORT")
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(syntax)?;
        let (kind, usual) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (ProxyKind::Http, HTTP_PORT),
            "socks5" => (ProxyKind::Socks5, SOCKS_PORT),
            other @ ("https" | "socks" | "socks4" | "socks4a" | "socks5h") => {
                let message = format!("{other}: proxies are not supported");
                return Err(Error::new(ErrorKind::NotSupported, message));
            }
            _ => return Err(syntax()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(rest).ok_or_else(syntax)?;
        let port = match port {
            Some(text) => text.parse::<u16>().ok().filter(|&port| port != 0).ok_or_else(syntax)?,
            None => usual,
        };
        Ok(Self { kind, host: parse_host(host).ok_or_else(syntax)?, port, credentials: None })
    }

    /// Says who we are.
    #[must_use]
    pub fn with_credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Some((user.into(), password.into()));
        self
    }

    /// Refuses credentials that the proxy's protocol cannot carry.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Some((user, password)) = &self.credentials else { return Ok(()) };
        let wrong = |message: &str| Err(Error::new(ErrorKind::InvalidAccess, message));
        let fits = |text: &str| (1..=MAX_TEXT).contains(&text.len());
        if !fits(user) || !fits(password) {
            return wrong("the user and the password of a proxy have 1 to 255 octets");
        }
        if self.kind == ProxyKind::Http
            && (user.contains(':') || user.chars().chain(password.chars()).any(char::is_control))
        {
            return wrong(
                "the user of an HTTP proxy has no colon, and neither user nor password a control character",
            );
        }
        Ok(())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, host, port, credentials } = self;
        write!(f, "Proxy({kind:?}, {host:?}, {port}, {:?})", credentials.as_ref().map(|(user, _)| user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_kind_host_and_port() {
        let parse = |url| Proxy::parse(url).map(|proxy| (proxy.kind, proxy.host, proxy.port)).unwrap();
        let name = |name: &str| Host::Name(name.into());
        assert_eq!(parse("http://proxy.example.org"), (ProxyKind::Http, name("proxy.example.org"), 8080));
        assert_eq!(parse("HTTP://a:3128/"), (ProxyKind::Http, name("a"), 3128));
        assert_eq!(parse("socks5://192.0.2.1"), (ProxyKind::Socks5, Host::Ip([192, 0, 2, 1].into()), 1080));
        assert_eq!(parse("socks5://[::1]:9").1, Host::Ip("::1".parse().unwrap()));
    }

    #[test]
    fn other_urls_are_precise_errors() {
        for url in [
            "",
            "http:a",
            "http://",
            "http://a:0",
            "http://a:b",
            "http://ann:x@a",
            "ftp://a",
            "socks5://[x]",
            "http://a/b",
        ] {
            assert_eq!(Proxy::parse(url).unwrap_err().kind, ErrorKind::Syntax, "{url}");
        }
        for url in ["https://a", "socks4://a", "socks5h://a"] {
            assert_eq!(Proxy::parse(url).unwrap_err().kind, ErrorKind::NotSupported, "{url}");
        }
    }

    #[test]
    fn credentials_that_cannot_be_carried_are_refused_and_none_are_shown() {
        let check = |url: &str, user: &str, password: &str| {
            Proxy::parse(url).unwrap().with_credentials(user, password).check().map_err(|error| error.kind)
        };
        let long = "x".repeat(256);
        for url in ["http://a", "socks5://a"] {
            assert_eq!(check(url, "ann", "secret"), Ok(()));
            assert_eq!(check(url, "", "secret"), Err(ErrorKind::InvalidAccess));
            assert_eq!(check(url, "ann", &long), Err(ErrorKind::InvalidAccess));
        }
        assert_eq!(check("http://a", "a:b", "secret"), Err(ErrorKind::InvalidAccess));
        assert_eq!(check("http://a", "ann", "a\nb"), Err(ErrorKind::InvalidAccess));
        assert_eq!(check("socks5://a", "a:b", "a:b"), Ok(()));
        let proxy = Proxy::parse("http://a").unwrap().with_credentials("ann", "secret");
        assert!(!format!("{proxy:?}").contains("secret"));
    }
}
