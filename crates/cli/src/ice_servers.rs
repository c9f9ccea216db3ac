//! The ICE servers of the command line, for this side and, as `Link` headers (RFC 9725 section 4.6), for the clients.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use taut::{IceServer, IceServerKind, IceTransportPolicy, Proxy};

/// The most octets of a user name (RFC 8489 section 14.3), and of a password: both are in a header of every answer.
const MAX_TEXT: usize = 508;

/// What `taut serve` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct IceServerArguments {
    /// A STUN or TURN server for this side and for the clients; may be given several times
    ///
    /// Such as stun:stun.example.org, turn:turn.example.org:3478?transport=tcp or turns:turn.example.org. TURN servers need
    /// --ice-username and --ice-credential, too.
    #[arg(long = "ice-server", value_name = "URL")]
    urls: Vec<IceServerUrl>,

    /// The user of the TURN servers
    #[arg(long = "ice-username", value_name = "NAME", requires = "credential")]
    username: Option<Text>,

    /// The password of that user. Every client is told it: one whose quota may be used up
    #[arg(long = "ice-credential", value_name = "PASSWORD", requires = "username")]
    credential: Option<Text>,

    /// Use relays alone for this side, so that clients learn none of its addresses
    #[arg(long, requires = "urls")]
    relay_only: bool,

    /// A proxy that this side reaches TURN servers over TCP and TLS through: http://HOST:PORT or socks5://HOST:PORT
    #[arg(long = "proxy", value_name = "URL", requires = "urls", value_parser = Proxy::parse)]
    proxy: Option<Proxy>,

    /// The user of the proxy
    #[arg(long = "proxy-username", value_name = "NAME", requires = "proxy_password", requires = "proxy")]
    proxy_username: Option<Text>,

    /// The password of that user
    #[arg(long = "proxy-password", value_name = "PASSWORD", requires = "proxy_username")]
    proxy_password: Option<Text>,
}

/// An ICE server as it was given, for the clients, and as it was understood, for this side.
#[derive(Clone, Debug)]
pub(crate) struct IceServerUrl {
    url: String,
    pub(crate) server: IceServer,
}

/// What can be quoted in a header as it is: printable ASCII.
#[derive(Clone)]
struct Text(String);

impl IceServerArguments {
    /// Refuses TURN servers without credentials, and credentials without a TURN server.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let turn = self.urls.iter().any(IceServerUrl::is_turn);
        match &self.credential {
            None if turn => Err("a TURN server needs --ice-username and --ice-credential"),
            None if self.relay_only => Err("--relay-only needs a TURN server: there is no such --ice-server"),
            Some(_) if !turn => {
                Err("--ice-username and --ice-credential are for TURN servers: there is no such --ice-server")
            }
            _ => Ok(()),
        }
    }

    /// Which candidates this side uses.
    pub(crate) fn policy(&self) -> IceTransportPolicy {
        if self.relay_only { IceTransportPolicy::Relay } else { IceTransportPolicy::All }
    }

    /// The proxy, with its credentials.
    pub(crate) fn proxy(&self) -> Option<Proxy> {
        let credentials = self.proxy_username.as_ref().zip(self.proxy_password.as_ref());
        self.proxy.clone().map(|proxy| match credentials {
            Some((Text(user), Text(password))) => proxy.with_credentials(user, password),
            None => proxy,
        })
    }

    /// The servers; those that relay have the credentials.
    pub(crate) fn servers(&self) -> Vec<IceServerUrl> {
        let credentials = self.username.as_ref().zip(self.credential.as_ref());
        let name = |given: &IceServerUrl| match credentials {
            Some((Text(username), Text(credential))) if given.is_turn() => IceServerUrl {
                url: given.url.clone(),
                server: given.server.clone().with_credentials(username, credential),
            },
            _ => given.clone(),
        };
        self.urls.iter().map(name).collect()
    }
}

impl IceServerUrl {
    fn is_turn(&self) -> bool {
        self.server.kind != IceServerKind::Stun
    }

    /// The value of a `Link` header.
    pub(crate) fn link(&self) -> String {
        let link = format!("<{}>; rel=\"ice-server\"", self.url);
        match (&self.server.username, &self.server.credential) {
            (Some(username), Some(credential)) => format!(
                "{link}; username={}; credential={}; credential-type=\"password\"",
                quoted(username),
                quoted(credential)
            ),
            _ => link,
        }
    }
}

/// A quoted string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

impl FromStr for IceServerUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let server = IceServer::parse(url).map_err(|error| error.to_string())?;
        Ok(Self { url: url.to_owned(), server })
    }
}

impl FromStr for Text {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if text.is_empty() || text.len() > MAX_TEXT || !printable {
            return Err(format!("1 to {MAX_TEXT} printable ASCII characters"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        servers: IceServerArguments,
    }

    fn parse(words: &[&str]) -> Result<IceServerArguments, String> {
        let line = Line::try_parse_from([&["taut"], words].concat()).map_err(|error| error.to_string())?;
        line.servers.check()?;
        Ok(line.servers)
    }

    fn links(words: &[&str]) -> Vec<String> {
        parse(words).expect("valid").servers().iter().map(IceServerUrl::link).collect()
    }

    const NAMED: [&str; 4] = ["--ice-username", "1790000000:ann", "--ice-credential", r#"s,<e>"c\ret"#];

    #[test]
    fn relays_have_credentials_and_others_have_none() {
        let urls = ["--ice-server", "turns:[2001:db8::1]:443?transport=tcp", "--ice-server", "stun:b"];
        let words = [&NAMED[..], &urls].concat();
        assert_eq!(
            links(&words),
            [
                r#"<turns:[2001:db8::1]:443?transport=tcp>; rel="ice-server"; username="1790000000:ann"; credential="s,<e>\"c\\ret"; credential-type="password""#,
                r#"<stun:b>; rel="ice-server""#,
            ]
        );
        let servers = parse(&words).expect("valid").servers();
        let named: Vec<_> =
            servers.iter().map(|s| (s.server.username.as_deref(), s.server.credential.as_deref())).collect();
        assert_eq!(named, [(Some("1790000000:ann"), Some(r#"s,<e>"c\ret"#)), (None, None)]);
    }

    #[test]
    fn credentials_and_relays_need_each_other() {
        let turn = ["--ice-server", "turn:a"];
        let refused = |words: &[&[&str]], reason: &str| {
            let error = parse(&words.concat()).expect_err("refused");
            assert!(error.contains(reason), "{words:?}: {error}");
        };
        refused(&[&turn], "a TURN server needs --ice-username and --ice-credential");
        refused(&[&turn, &NAMED[..2]], "--ice-credential <PASSWORD>");
        refused(&[&turn, &NAMED[2..]], "--ice-username <NAME>");
        refused(&[&NAMED], "no such --ice-server");
        refused(&[&["--ice-server", "stun:a"], &NAMED], "no such --ice-server");
        refused(&[&["--ice-server", "stun:a", "--relay-only"]], "--relay-only needs a TURN server");
        refused(&[&["--relay-only"]], "--ice-server <URL>");
        let alone = parse(&[&turn[..], &NAMED, &["--relay-only"]].concat()).expect("valid");
        assert_eq!(alone.policy(), IceTransportPolicy::Relay);
        assert!(parse(&[&turn[..], &NAMED].concat()).is_ok());
    }

    #[test]
    fn a_proxy_has_its_own_credentials_and_is_for_servers() {
        let servers = [&NAMED[..], &["--ice-server", "turns:a"]].concat();
        let proxy =
            |words: &[&str]| parse(&[&servers[..], words].concat()).map(|arguments| arguments.proxy());
        assert_eq!(proxy(&[]), Ok(None));
        let plain = Proxy::parse("http://p:3128").expect("a proxy");
        assert_eq!(proxy(&["--proxy", "http://p:3128"]), Ok(Some(plain.clone())));
        let named = ["--proxy", "http://p:3128", "--proxy-username", "bob", "--proxy-password", "secret"];
        assert_eq!(proxy(&named), Ok(Some(plain.with_credentials("bob", "secret"))));
        assert!(proxy(&named[..4]).is_err() && proxy(&named[2..]).is_err());
        assert!(parse(&named).is_err(), "without a server");
        assert!(proxy(&["--proxy", "https://p"]).expect_err("refused").contains("not supported"));
    }

    #[test]
    fn what_cannot_be_in_a_header_is_refused() {
        let long = "x".repeat(MAX_TEXT + 1);
        for bad in ["", "a\nb", "\u{e9}", long.as_str()] {
            for words in
                [["--ice-username", bad, NAMED[2], NAMED[3]], [NAMED[0], NAMED[1], "--ice-credential", bad]]
            {
                let error = parse(&[&["--ice-server", "turn:a"], &words[..]].concat()).expect_err("refused");
                assert!(error.contains("printable ASCII"), "{bad:?}: {error}");
            }
        }
        for bad in ["turn:ann:secret@a", "turn:", "turns:a?transport=udp", "stuns:a", "http://a"] {
            let error = parse(&["--ice-server", bad]).expect_err("refused");
            assert!(error.contains("--ice-server <URL>"), "{bad}: {error}");
        }
    }

    #[test]
    fn nothing_secret_is_logged() {
        let arguments = parse(&[&["--ice-server", "turn:a"], &NAMED[..]].concat()).expect("valid");
        assert!(!format!("{arguments:?} {:?}", arguments.servers()).contains("ret"));
    }
}
