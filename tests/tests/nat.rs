//! `taut nat` against coturn, on loopback: with two addresses (RFC 5780) and with one.
//!
//! Runs with `TAUT_INTEROP=1`, with coturn installed.

#![allow(clippy::disallowed_methods, reason = "real servers take real time")]

use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use taut_tests::interop::turn;
use taut_tests::process::{output, text};
use taut_tests::scratch::Scratch;
use taut_tests::turn::free_port;
use taut_tests::workspace;

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A coturn that only answers binding requests; killed on drop.
struct Coturn {
    child: Child,
    port: u16,
    _folder: Scratch,
}

impl Coturn {
    fn start(addresses: &[&str]) -> Self {
        let folder = Scratch::new();
        let (port, other) = (free_port(), free_port());
        let mut command = Command::new("turnserver");
        command.args([
            "-n",
            "--stun-only",
            "--no-tls",
            "--no-dtls",
            "--no-cli",
            "--no-stdout-log",
            "--simple-log",
        ]);
        command.args(addresses.iter().map(|address| format!("--listening-ip={address}")));
        command.arg(format!("--listening-port={port}"));
        command.arg(format!("--alt-listening-port={other}"));
        for (option, file) in [("log-file", "log"), ("pidfile", "pid"), ("userdb", "db.sqlite")] {
            command.arg(format!("--{option}={}", folder.path().join(file).display()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("TAUT_INTEROP needs turnserver of the package coturn");
        let this = Self { child, port, _folder: folder };
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(begun.elapsed() < LIMIT, "coturn does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        this
    }

    /// What `taut nat` says of the way to it.
    fn asked(&self) -> serde_json::Value {
        let mut command = Command::new(workspace::taut());
        command.args(["nat", &format!("stun:127.0.0.1:{}", self.port), "--json"]);
        let ended = output(&mut command, LIMIT);
        assert!(ended.status.success(), "{}", text(&ended));
        serde_json::from_slice(&ended.stdout).expect("JSON")
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_with_two_addresses_tells_everything() {
    let Some(_turn) = turn("nat") else { return };
    let found = Coturn::start(&["127.0.0.1", "127.0.0.2"]).asked();
    assert_eq!(found["translated"], false, "{found}");
    assert_eq!(found["local"], found["mapped"], "{found}");
    assert_eq!(found["mapping"], "endpoint-independent", "{found}");
    assert_eq!(found["filtering"], "endpoint-independent", "{found}");
}

#[test]
fn a_server_with_one_address_tells_less() {
    let Some(_turn) = turn("nat with one address") else { return };
    let found = Coturn::start(&["127.0.0.1"]).asked();
    assert_eq!(found["translated"], false, "{found}");
    assert!(found["mapping"].is_null() && found["filtering"].is_null(), "{found}");
}
