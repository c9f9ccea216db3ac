//! `taut turn-server`: a TURN server on this host.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use taut::turn_server::{RelayAddress, ServerConfig, Subnet};
use taut::{TurnServer, TurnServerOptions};

/// The address that the server listens on when none is given.
const LISTEN: &str = "127.0.0.1:3478";

/// What `taut turn-server` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct TurnArguments {
    /// Listen over UDP and TCP on this address; may be given several times; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_values = [LISTEN])]
    listen: Vec<SocketAddr>,

    /// A second address, of another IP and port than the first that is listened on: the server then listens over UDP on both IPs
    /// at both ports, and tells clients how the NATs on the way behave (RFC 5780), as `taut nat` asks
    #[arg(long, value_name = "ADDR")]
    alternate: Option<SocketAddr>,

    /// Listen over TLS on this address, with --cert and --key; may be given several times
    #[arg(long, value_name = "ADDR", requires_all = ["cert", "key"])]
    listen_tls: Vec<SocketAddr>,

    /// The certificate chain for TLS, as PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,

    /// The private key for TLS, as PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// The address of the relays, or ADDR=ADVERTISED behind a 1:1 NAT; once for IPv4, once for IPv6; without it, the first
    /// address that is listened on
    #[arg(long = "relay", value_name = "ADDR")]
    relays: Vec<RelayArgument>,

    /// The ports of the relays
    #[arg(long, value_name = "FIRST-LAST", default_value = "49152-65535")]
    relay_ports: PortRange,

    /// The realm
    #[arg(long, default_value = "taut")]
    realm: String,

    /// A user; may be given several times
    #[arg(long = "user", value_name = "NAME:PASSWORD")]
    users: Vec<User>,

    /// The file with the secret of time-limited credentials (the "REST" scheme)
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// Relay to these addresses, too, although they are not public; may be given several times
    #[arg(long = "allow-peer", value_name = "SUBNET")]
    allowed_peers: Vec<Subnet>,

    /// Relay to none of these addresses; may be given several times
    #[arg(long = "deny-peer", value_name = "SUBNET")]
    denied_peers: Vec<Subnet>,

    /// The most allocations
    #[arg(long, value_name = "N", default_value_t = 4_096)]
    max_allocations: usize,

    /// The most allocations of one user
    #[arg(long, value_name = "N", default_value_t = 128)]
    user_allocations: usize,

    /// The most octets a second that are relayed for one user
    #[arg(long, value_name = "OCTETS")]
    user_bandwidth: Option<u64>,

    /// How many seconds a nonce is valid
    #[arg(long, value_name = "N", default_value_t = 3_600)]
    nonce_seconds: u64,
}

/// Where relays are, and what their clients are told.
#[derive(Clone, Debug)]
struct RelayArgument(RelayAddress);

/// A user.
#[derive(Clone, Debug)]
struct User {
    name: String,
    password: String,
}

/// The first and the last port.
#[derive(Clone, Copy, Debug)]
struct PortRange(u16, u16);

impl FromStr for RelayArgument {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (bind, advertised) = text.split_once('=').unwrap_or((text, text));
        Ok(Self(RelayAddress { bind: bind.parse()?, advertised: advertised.parse()? }))
    }
}

impl FromStr for User {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, password) = text.split_once(':').ok_or("a name, a colon and a password")?;
        Ok(Self { name: name.to_owned(), password: password.to_owned() })
    }
}

impl FromStr for PortRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "two ports with a dash between them";
        let (first, last) = text.split_once('-').ok_or(wrong)?;
        Ok(Self(first.parse().map_err(|_| wrong)?, last.parse().map_err(|_| wrong)?))
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {}: {error}", file.display())]
    Read { file: PathBuf, error: io::Error },
    #[error(transparent)]
    Server(#[from] taut::Error),
}

fn read(file: &Path) -> Result<String, Error> {
    fs::read_to_string(file).map_err(|error| Error::Read { file: file.to_owned(), error })
}

impl TurnArguments {
    fn options(self) -> Result<TurnServerOptions, Error> {
        let PortRange(first, last) = self.relay_ports;
        let mut config = ServerConfig::default()
            .with_realm(self.realm)
            .with_relay_ports(first, last)
            .with_max_allocations(self.max_allocations)
            .with_max_allocations_per_user(self.user_allocations)
            .with_nonce_lifetime(Duration::from_secs(self.nonce_seconds));
        for User { name, password } in self.users {
            config = config.with_user(name, password);
        }
        if let Some(file) = &self.secret_file {
            config = config.with_shared_secret(read(file)?.trim_end_matches(['\r', '\n']));
        }
        if let Some(octets) = self.user_bandwidth {
            config = config.with_bandwidth_per_user(octets);
        }
        let listened: Option<IpAddr> = self.listen.first().map(SocketAddr::ip);
        let named = self.relays.into_iter().map(|RelayArgument(relay)| relay);
        let mut relays: Vec<RelayAddress> = named.collect();
        if relays.is_empty() {
            relays.extend(listened.map(RelayAddress::from));
        }
        config = relays.into_iter().fold(config, ServerConfig::with_relay);
        config = self.allowed_peers.into_iter().fold(config, ServerConfig::with_allowed_peers);
        config = self.denied_peers.into_iter().fold(config, ServerConfig::with_denied_peers);
        let mut options = TurnServerOptions::new(config);
        for address in self.listen {
            options = options.with_udp(address).with_tcp(address);
        }
        if let Some(address) = self.alternate {
            options = options.with_alternate(address);
        }
        options = self.listen_tls.into_iter().fold(options, TurnServerOptions::with_tls);
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            options = options.with_certificate(read(cert)?, read(key)?);
        }
        Ok(options)
    }
}

/// Runs until the process is ended.
pub(crate) async fn run(arguments: TurnArguments) -> Result<(), Error> {
    let server = TurnServer::bind(arguments.options()?).await?;
    let mut text = String::new();
    for (scheme, addresses, transport) in [
        ("turn", server.udp_addresses(), "udp"),
        ("turn", server.tcp_addresses(), "tcp"),
        ("turns", server.tls_addresses(), "tcp"),
    ] {
        for address in addresses {
            text.push_str(&format!("listening on {scheme}:{address}?transport={transport}\n"));
        }
    }
    crate::print(&text);
    std::future::pending::<()>().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};

    fn parse(words: &[&str]) -> Result<TurnArguments, clap::Error> {
        let words = [&["taut", "turn-server"], words].concat();
        match Arguments::try_parse_from(words)?.command {
            Some(Command::TurnServer(arguments)) => Ok(arguments),
            _ => panic!("not the command that was asked for"),
        }
    }

    #[test]
    fn every_option_reaches_the_server() {
        let words = "--listen 127.0.0.1:9 --listen 127.0.0.2:9 --alternate 127.0.0.3:8 --relay 10.0.0.1=203.0.113.1 --relay ::1 \
                     --relay-ports 5000-5009 --realm r --user ann:se:cret --user bob:x --allow-peer 10.0.0.0/8 \
                     --deny-peer 8.8.8.8 --max-allocations 7 --user-allocations 3 --user-bandwidth 1000 --nonce-seconds 60";
        let options = parse(&words.split_whitespace().collect::<Vec<_>>()).unwrap().options().unwrap();
        assert_eq!((options.udp.len(), options.tcp.len(), options.tls.len()), (2, 2, 0));
        assert_eq!(options.alternate, Some(([127, 0, 0, 3], 8).into()));
        let config = options.server;
        assert_eq!(config.relays.len(), 2);
        assert_eq!(config.relays[0].bind.to_string(), "10.0.0.1");
        assert_eq!(config.relays[0].advertised.to_string(), "203.0.113.1");
        assert_eq!(config.relay_ports, (5_000, 5_009));
        assert_eq!((config.realm.as_str(), config.users["ann"].as_str()), ("r", "se:cret"));
        assert_eq!((config.allowed_peers.len(), config.denied_peers.len()), (1, 1));
        assert_eq!((config.max_allocations, config.max_allocations_per_user), (7, 3));
        assert_eq!(config.bandwidth_per_user, Some(1_000));
        assert_eq!(config.nonce_lifetime, Duration::from_secs(60));
    }

    #[test]
    fn without_a_relay_it_is_where_the_server_listens() {
        let config = parse(&["--user", "a:b"]).unwrap().options().unwrap().server;
        assert_eq!(config.relays, [RelayAddress::from(IpAddr::from([127, 0, 0, 1]))]);
    }

    #[test]
    fn files_are_read() {
        let file = std::env::temp_dir().join(format!("taut-secret-{}", std::process::id()));
        fs::write(&file, "north\n").unwrap();
        let name = file.display().to_string();
        let tls = ["--secret-file", &name, "--listen-tls", "127.0.0.1:0", "--cert", &name, "--key", &name];
        let options = parse(&tls).unwrap().options().unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(options.server.shared_secret.as_deref(), Some("north"));
        assert_eq!((options.tls.len(), options.certificate), (1, Some(("north\n".into(), "north\n".into()))));
        assert!(matches!(parse(&tls).unwrap().options(), Err(Error::Read { .. })), "it is gone");
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [
            &["--user", "ann"][..],
            &["--relay", "host"],
            &["--relay-ports", "5000"],
            &["--allow-peer", "10.0.0.0/33"],
            &["--listen-tls", "127.0.0.1:1"],
            &["--cert", "x"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
