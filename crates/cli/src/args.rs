//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use taut::{Configuration, DtlsEngine};

use crate::ice_servers::IceServerArguments;

/// The address that the demo listens on when none is given.
const LISTEN: &str = "127.0.0.1:8080";

/// The most sessions when no number is given. Each holds sockets and a few MB of buffers.
const SESSIONS: usize = 100;

/// How many MiB recordings may take when nothing else is said.
const RECORD_LIMIT: u64 = 10_240;

/// The most MiB that may be given: an exbibyte.
const MAX_RECORD_LIMIT: u64 = 1 << 40;

/// How many seconds the clip plays when nothing else is said.
const SECONDS: u64 = 5;

/// The most seconds that `taut call` may be told to run.
const MAX_SECONDS: u64 = 24 * 60 * 60;

/// WebRTC in Rust: a call with itself, and a live demo for the browser.
///
/// Without a command, taut first makes a local call and then serves the demo page.
#[derive(Debug, Parser)]
#[command(name = "taut", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    /// What to do; without it, the local call and then the demo page.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) serve: ServeArguments,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a local call: two peer connections in this process, over real UDP sockets on the loopback interface
    ///
    /// They exchange descriptions and trickled candidates, then carry a video and audio clip and data-channel
    /// messages. The exit status is 0 only if nothing was lost.
    Call(CallArguments),

    /// Serve the demo page and its HTTP interface
    ///
    /// POST /echo takes an SDP offer (Content-Type: application/sdp) and answers with an SDP answer; without a body it
    /// answers with an offer. The session's address is in the Location header: PATCH on it brings candidates or the
    /// answer, DELETE ends the session. Every media track and every data-channel message is sent back. POST /clip is
    /// the same with a peer that plays a clip.
    Serve(ServeArguments),

    /// Say what is between this host and a STUN server: whether addresses are translated, and how (RFC 5780)
    ///
    /// The exit status is 0 if the server answers.
    Nat(crate::nat::NatArguments),

    /// Run a TURN server, for tests and small deployments
    ///
    /// Needs --user or --secret-file. Relays to public addresses only, unless --allow-peer says otherwise, and never to this
    /// host.
    TurnServer(crate::turn::TurnArguments),
}

/// How connections are secured, in every command.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct DtlsArguments {
    /// The DTLS engine: openssl (DTLS 1.2, meets RSA certificates) or dimpl (DTLS 1.2 and 1.3)
    #[arg(long, value_name = "ENGINE", default_value_t)]
    pub(crate) dtls: DtlsEngine,

    /// Append the secrets of every connection to FILE, for Wireshark; not with dimpl
    #[arg(long, value_name = "FILE")]
    pub(crate) key_log: Option<PathBuf>,
}

impl DtlsArguments {
    /// A configuration of these.
    pub(crate) fn configuration(&self) -> Configuration {
        let configuration = Configuration::default().with_dtls_engine(self.dtls);
        match &self.key_log {
            Some(file) => configuration.with_key_log(file),
            None => configuration,
        }
    }
}

/// What `taut call` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct CallArguments {
    /// Print the result as one JSON object, and nothing else
    #[arg(long)]
    pub(crate) json: bool,

    /// How long the clip plays, in seconds; it loops
    #[arg(long, value_name = "N", default_value_t = SECONDS, value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    pub(crate) seconds: u64,

    #[command(flatten)]
    pub(crate) dtls: DtlsArguments,
}

/// What `taut serve` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArguments {
    /// The address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = LISTEN)]
    pub(crate) listen: String,

    /// The most sessions at a time; further ones are refused with 503
    #[arg(long, value_name = "N", default_value_t = SESSIONS)]
    pub(crate) max_sessions: usize,

    #[command(flatten)]
    pub(crate) ice_servers: IceServerArguments,

    /// Tell clients names under .local instead of the addresses of this machine; only hosts on the same link can resolve them
    #[arg(long)]
    pub(crate) hide_addresses: bool,

    /// Take calls over TCP, too, on ADDR, for clients whose UDP does not get through; several times. All calls then share these
    /// addresses, for UDP as well
    #[arg(long = "ice-tcp", value_name = "ADDR")]
    pub(crate) ice_tcp: Vec<SocketAddr>,

    /// With --ice-tcp: take no calls over UDP
    #[arg(long, requires = "ice_tcp")]
    pub(crate) no_ice_udp: bool,

    /// Record what the client of every echoed call sends to DIR, as NAME.ivf and NAME.ogg
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,

    /// The most that recordings may take of the disk together, in MiB; then they end, and no other begins
    #[arg(long, value_name = "N", default_value_t = RECORD_LIMIT, value_parser = clap::value_parser!(u64).range(..=MAX_RECORD_LIMIT))]
    pub(crate) record_limit: u64,

    /// Let pages of this origin use the server, such as `https://example.org`; * is any. Those of this machine always may
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub(crate) allowed_origins: Vec<String>,

    #[command(flatten)]
    pub(crate) dtls: DtlsArguments,
}

impl Arguments {
    /// Reads the command line; on a mistake, prints one line and ends the process with status 2.
    pub(crate) fn from_command_line() -> Self {
        Self::read(std::env::args_os()).unwrap_or_else(|error| {
            if !error.use_stderr() {
                error.exit();
            }
            eprintln!("{}", one_line(&error.to_string()));
            std::process::exit(2);
        })
    }

    /// Parses, and refuses what does not go together.
    fn read<I: IntoIterator<Item: Into<OsString> + Clone>>(words: I) -> Result<Self, clap::Error> {
        let arguments = Self::try_parse_from(words)?;
        let serve = match &arguments.command {
            None => &arguments.serve,
            Some(Command::Serve(serve)) => serve,
            Some(Command::Call(_) | Command::Nat(_) | Command::TurnServer(_)) => return Ok(arguments),
        };
        let mistake = |reason| Self::command().error(ErrorKind::MissingRequiredArgument, reason);
        serve.ice_servers.check().map_err(mistake)?;
        Ok(arguments)
    }
}

impl CallArguments {
    /// The call that comes before the page.
    pub(crate) fn before(serve: &ServeArguments) -> Self {
        Self { json: false, seconds: SECONDS, dtls: serve.dtls.clone() }
    }
}

/// The first paragraph of clap's message on one line, and where to read more.
fn one_line(message: &str) -> String {
    let paragraph: Vec<&str> = message.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    format!("taut: {} (try 'taut --help')", paragraph.join(" ").trim_start_matches("error: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(words: &[&str]) -> String {
        one_line(&Arguments::read(words).expect_err("a mistake").to_string())
    }

    #[test]
    fn the_commands_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn mistakes_take_one_line() {
        assert_eq!(
            mistake(&["taut", "--colour"]),
            "taut: unexpected argument '--colour' found (try 'taut --help')"
        );
        assert_eq!(
            mistake(&["taut", "call", "--seconds", "0"]),
            "taut: invalid value '0' for '--seconds <N>': 0 is not in 1..=86400 (try 'taut --help')"
        );
        assert_eq!(
            mistake(&["taut", "call", "--dtls", "none"]),
            "taut: invalid value 'none' for '--dtls <ENGINE>': the engines are dimpl and openssl (try 'taut --help')"
        );
        for words in [&["taut", "serve"][..], &["taut"]] {
            assert_eq!(
                mistake(&[words, &["--ice-server", "turn:a"]].concat()),
                "taut: a TURN server needs --ice-username and --ice-credential (try 'taut --help')"
            );
        }
        assert!(mistake(&["taut", "dance"]).starts_with("taut: unrecognized subcommand 'dance'"));
    }

    #[test]
    fn without_a_command_the_address_may_be_given() {
        let arguments = Arguments::try_parse_from(["taut", "--listen", "127.0.0.1:9"]).expect("valid");
        assert!(arguments.command.is_none());
        assert_eq!(arguments.serve.listen, "127.0.0.1:9");
    }

    #[test]
    fn without_tcp_there_is_udp() {
        assert!(mistake(&["taut", "serve", "--no-ice-udp"]).contains("--ice-tcp"));
        let words = ["taut", "serve", "--ice-tcp", "0.0.0.0:443", "--ice-tcp", "[::]:443", "--no-ice-udp"];
        let Some(Command::Serve(serve)) = Arguments::try_parse_from(words).expect("valid").command else {
            panic!("another command");
        };
        assert_eq!((serve.ice_tcp.len(), serve.no_ice_udp), (2, true));
    }

    #[test]
    fn the_engine_and_the_key_log_reach_the_configuration() {
        for words in [&["taut"][..], &["taut", "serve"], &["taut", "call"]] {
            let words = [words, &["--dtls", "dimpl", "--key-log", "keys.log"]].concat();
            let arguments = Arguments::try_parse_from(words).expect("valid");
            let configuration = match arguments.command {
                Some(Command::Call(call)) => call.dtls.configuration(),
                Some(Command::Serve(serve)) => serve.dtls.configuration(),
                Some(Command::Nat(_) | Command::TurnServer(_)) => panic!("nobody asked for it"),
                None => CallArguments::before(&arguments.serve).dtls.configuration(),
            };
            assert_eq!(configuration.dtls_engine, DtlsEngine::Dimpl);
            assert_eq!(configuration.key_log, Some(PathBuf::from("keys.log")));
        }
    }
}
