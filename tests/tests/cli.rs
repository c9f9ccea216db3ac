//! The binary as a user starts it, and its HTTP interface as any client sees it.

#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use taut_tests::http::{Response, request};
use taut_tests::process::{Server, output, text};
use taut_tests::workspace;

/// How long a command of these tests may take, in a debug build on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

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

fn offer(server: &Server, content_type: &str, body: &[u8]) -> Response {
    request(server.authority(), "POST", "/echo", &[("Content-Type", content_type)], body)
}

fn sessions(server: &Server) -> String {
    request(server.authority(), "GET", "/sessions", &[], b"").body.trim().to_owned()
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

#[test]
fn an_offer_is_answered_and_its_session_ends_with_delete() {
    let server = Server::start(&[], workspace::taut());
    let created = offer(&server, "Application/SDP; charset=utf-8", OFFER.as_bytes());
    assert_eq!(created.status, 201, "{}", created.body);
    assert_eq!(created.header("content-type"), Some("application/sdp"));
    assert!(created.body.starts_with("v=0\r\n"), "{}", created.body);
    assert!(created.body.contains("\r\na=candidate:"), "no candidates in {}", created.body);
    let location = created.header("location").expect("a location").to_owned();
    assert_eq!(location.trim_start_matches("/session/").len(), 32, "{location}");
    assert_eq!(sessions(&server), r#"{"open":1}"#);

    let other = offer(&server, "application/sdp", OFFER.as_bytes());
    assert_ne!(other.header("location"), Some(location.as_str()));
    assert_eq!(sessions(&server), r#"{"open":2}"#);

    let end = |path: &str| request(server.authority(), "DELETE", path, &[], b"").status;
    assert_eq!(end(&location), 200);
    assert_eq!(end(&location), 404);
    assert_eq!(end("/session/00000000000000000000000000000000"), 404);
    assert_eq!(end("/session/../../etc"), 404);
    assert_eq!(sessions(&server), r#"{"open":1}"#);
    let get = request(server.authority(), "GET", &location, &[], b"");
    assert_eq!((get.status, get.header("allow")), (405, Some("DELETE")));
}

#[test]
fn what_is_no_offer_is_refused_with_the_reason() {
    let server = Server::start(&[], workspace::taut());
    for content_type in ["text/plain", "application/json", "application/sdpx", ""] {
        let refused = offer(&server, content_type, OFFER.as_bytes());
        assert_eq!(refused.status, 415, "{content_type}: {}", refused.body);
    }
    assert_eq!(request(server.authority(), "POST", "/echo", &[], OFFER.as_bytes()).status, 415);

    let unlocked = OFFER
        .lines()
        .filter(|line| !line.starts_with("a=ice-pwd"))
        .fold(String::new(), |sdp, line| sdp + line + "\r\n");
    for body in [&b""[..], b"hello", b"v=0\r\nthis is no SDP\r\n", &[0xff, 0xfe, 0], unlocked.as_bytes()] {
        let refused = offer(&server, "application/sdp", body);
        assert_eq!(refused.status, 400, "{}", refused.body);
        assert!(refused.body.trim().len() > 10, "the reason is missing: {}", refused.body);
    }
    let huge = vec![b'a'; 1 << 20];
    assert_eq!(offer(&server, "application/sdp", &huge).status, 413);
    assert_eq!(request(server.authority(), "GET", "/nothing", &[], b"").status, 404);
    assert_eq!(request(server.authority(), "GET", "/echo", &[], b"").status, 405);
    assert_eq!(sessions(&server), r#"{"open":0}"#, "a refused offer leaves a session behind");
}

#[test]
fn a_full_server_says_so_until_clients_that_never_come_are_given_up() {
    let server = Server::start(&[], workspace::taut());
    let mut opened = 0;
    let full = loop {
        let answer = offer(&server, "application/sdp", OFFER.as_bytes());
        if answer.status != 201 {
            break answer;
        }
        opened += 1;
        assert!(opened <= 1_000, "there is no bound");
    };
    assert_eq!((full.status, full.header("retry-after")), (503, Some("10")), "{}", full.body);
    assert_eq!(sessions(&server), format!(r#"{{"open":{opened}}}"#));
    let deadline = Instant::now() + Duration::from_secs(35);
    while sessions(&server) != r#"{"open":0}"# {
        assert!(Instant::now() < deadline, "nobody connected, and still there is {}", sessions(&server));
        thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(offer(&server, "application/sdp", OFFER.as_bytes()).status, 201);
}

#[cfg(unix)]
#[test]
fn the_server_ends_well_when_asked() {
    for signal in ["-INT", "-TERM"] {
        let mut server = Server::start(&[], workspace::taut());
        assert_eq!(offer(&server, "application/sdp", OFFER.as_bytes()).status, 201);
        let sent =
            Command::new("kill").args([signal, &server.id().to_string()]).status().expect("kill starts");
        assert!(sent.success());
        let status = server.ended(Duration::from_secs(5)).expect("the server ends");
        assert!(status.success(), "{signal}: {status}");
    }
}
