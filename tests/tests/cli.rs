//! The binary as a user starts it. Its HTTP interface is in `whip.rs`.

#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use taut_tests::http::request;
use taut_tests::process::{Server, output, text};
use taut_tests::scratch::Scratch;
use taut_tests::workspace;

/// How long a command of these tests may take, in a debug build on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

/// An offer of Chromium 156: a data channel, no candidates.
const OFFER: &str = include_str!("data/chromium-data-offer.sdp");

fn taut(words: &[&str]) -> Output {
    output(Command::new(workspace::taut()).args(words), LIMIT)
}

/// The command ends with a status other than 0 and one line about what is wrong.
fn complains(words: &[&str], expected: &str) {
    let ended = taut(words);
    assert!(!ended.status.success(), "{words:?} succeeded");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(said.trim_end().lines().count(), 1, "{words:?} said:\n{said}");
    assert!(said.contains(expected), "{words:?} said: {said}");
    assert!(ended.stdout.is_empty(), "{words:?} printed: {}", text(&ended));
}

#[test]
fn help_is_everywhere() {
    for (words, expected) in [
        (&["--help"][..], "serve"),
        (&["-h"], "call"),
        (&["call", "--help"], "--json"),
        (&["serve", "--help"], "--listen"),
        (&["serve", "--help"], "--ice-credential <PASSWORD>"),
        (&["help", "serve"], "/echo"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let ended = taut(words);
        assert!(ended.status.success(), "{words:?}: {}", text(&ended));
        assert!(String::from_utf8_lossy(&ended.stdout).contains(expected), "{words:?}: {}", text(&ended));
    }
}

#[test]
fn a_mistake_is_one_clear_line() {
    complains(&["--colour"], "'--colour'");
    complains(&["dance"], "'dance'");
    complains(&["call", "--seconds", "soon"], "'soon'");
    complains(&["call", "--seconds", "0"], "1..=");
    complains(&["serve", "--listen"], "--listen");
    complains(&["serve", "--listen", "nonsense"], "'nonsense'");
    complains(&["serve", "--listen", "127.0.0.1:99999"], "'127.0.0.1:99999'");
    complains(&["serve", "--ice-server", "http://example.org"], "'--ice-server <URL>'");
    complains(&["serve", "--ice-server", "turn:127.0.0.1"], "--ice-credential");
    complains(&["serve", "--max-sessions", "many"], "'many'");
    complains(
        &["serve", "--listen", "127.0.0.1:0", "--record", "/dev/null/x"],
        "cannot record to /dev/null/x",
    );
    complains(&["call", "--dtls", "none"], "'none'");
    let refused = ["serve", "--listen", "127.0.0.1:0", "--dtls", "dimpl", "--key-log", "keys.log"];
    complains(&refused, "no secrets for a key log");
    complains(&["serve", "--listen", "127.0.0.1:0", "--key-log", "/dev/null/x"], "/dev/null/x");
    complains(&["serve", "--listen", "192.0.2.77:0"], "192.0.2.77:0"); // TEST-NET-1 (RFC 5737): no machine's address
}

#[test]
fn a_busy_port_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    complains(&["serve", "--listen", &address], "busy");
    complains(&["--listen", &address], "busy"); // before the local call, not after it
}

#[test]
fn a_local_call_loses_nothing() {
    let ended = taut(&["call", "--json", "--seconds", "2"]);
    assert!(ended.status.success(), "{}", text(&ended));
    let result: Value = serde_json::from_slice(&ended.stdout).expect("one JSON object");
    let number = |key: &str| result[key].as_f64().unwrap_or_else(|| panic!("{key} is no number in {result}"));
    for key in ["connected_ms", "first_frame_ms", "data_mb_per_s", "rtt_ms"] {
        assert!(number(key) > 0.0, "{key} in {result}");
    }
    for what in ["video_frames", "audio_packets", "messages"] {
        let sent = number(&format!("{what}_sent"));
        assert!(sent > 10.0 && sent == number(&format!("{what}_received")), "{what} in {result}");
    }
    for key in ["dtls_version", "dtls_cipher", "srtp_profile", "candidate_pair"] {
        assert!(result[key].as_str().is_some_and(|text| !text.is_empty()), "{key} in {result}");
    }
    assert_eq!(result.as_object().map(|object| object.len()), Some(14), "{result}");
}

#[test]
fn the_engine_and_the_key_log_of_a_local_call_are_those_that_are_asked_for() {
    let version = |words: &[&str]| {
        let ended = taut(&[&["call", "--json", "--seconds", "1"], words].concat());
        assert!(ended.status.success(), "{}", text(&ended));
        let result: Value = serde_json::from_slice(&ended.stdout).expect("one JSON object");
        result["dtls_version"].as_str().map(str::to_owned)
    };
    assert_eq!(version(&["--dtls", "dimpl"]).as_deref(), Some("DTLS 1.3"));
    let folder = Scratch::new();
    let file = folder.path().join("keys.log");
    let path = file.to_str().expect("a path in UTF-8");
    assert_eq!(version(&["--dtls", "openssl", "--key-log", path]).as_deref(), Some("DTLS 1.2"));
    let lines = std::fs::read_to_string(&file).expect("a key log");
    assert_eq!(lines.lines().filter(|line| line.starts_with("CLIENT_RANDOM ")).count(), 2, "{lines}");
}

#[test]
fn a_local_call_prints_a_table_for_people() {
    let ended = taut(&["call", "--seconds", "1"]);
    assert!(ended.status.success(), "{}", text(&ended));
    let table = String::from_utf8_lossy(&ended.stdout);
    for row in [
        "connected",
        "first frame",
        "video",
        "audio",
        "messages",
        "round trip",
        "DTLS",
        "SRTP",
        "candidate pair",
    ] {
        assert!(table.to_lowercase().contains(&row.to_lowercase()), "no row '{row}' in:\n{table}");
    }
    assert!(ended.stderr.is_empty(), "progress is for terminals only: {}", text(&ended));
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    let server = Server::start(&[], workspace::taut());
    let page = request(server.authority(), "GET", "/", &[], b"");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.body.contains("Grab video &amp; start peer connection"));
    for loading in [" src=\"", "url(", "@import", "href=\"http"] {
        assert!(!page.body.contains(loading), "the page loads something: {loading}");
    }
}

#[cfg(unix)]
#[test]
fn the_server_ends_well_when_asked() {
    for signal in ["-INT", "-TERM"] {
        let mut server = Server::start(&[], workspace::taut());
        assert_eq!(
            request(
                server.authority(),
                "POST",
                "/echo",
                &[("Content-Type", "application/sdp")],
                OFFER.as_bytes()
            )
            .status,
            201
        );
        let sent =
            Command::new("kill").args([signal, &server.id().to_string()]).status().expect("kill starts");
        assert!(sent.success());
        let status = server.ended(LIMIT).expect("the server ends");
        assert!(status.success(), "{signal}: {status}");
    }
}
