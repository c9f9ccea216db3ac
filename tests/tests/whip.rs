//! The HTTP interface of `taut serve` as any client sees it: the manners of WHIP (RFC 9725) and WHEP, header by header.
//! What travels on the connections is in `service`.

#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use taut::turn_server::ServerConfig;
use taut::{TurnServer, TurnServerOptions};
use taut_tests::http::{Response, request};
use taut_tests::process::Server;
use taut_tests::workspace;

/// An offer of Chromium 156: a data channel, with the user name fragment `9MR2`.
const OFFER: &str = include_str!("data/chromium-data-offer.sdp");

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// A candidate of the client of [`OFFER`].
const CANDIDATE: &str = "a=ice-ufrag:9MR2\r\na=ice-pwd:uLRl6UShy+tLaZz9IqMoYn1I\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
                         a=mid:0\r\na=candidate:7 1 udp 2122194687 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n";

fn start(arguments: &[&str]) -> Server {
    Server::start_with(&[], workspace::taut(), arguments)
}

fn send(server: &Server, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    request(server.authority(), method, path, headers, body)
}

fn offer(server: &Server, path: &str, body: &[u8]) -> Response {
    send(server, "POST", path, &[("Content-Type", SDP)], body)
}

/// Sends a fragment; `if_match` is the header of that name.
fn trickle(server: &Server, path: &str, if_match: Option<&str>, body: &str) -> Response {
    let mut headers = vec![("Content-Type", FRAGMENT)];
    headers.extend(if_match.map(|tag| ("If-Match", tag)));
    send(server, "PATCH", path, &headers, body.as_bytes())
}

fn sessions(server: &Server) -> String {
    send(server, "GET", "/sessions", &[], b"").body.trim().to_owned()
}

/// A response that says no: this status, and a reason of one line.
fn refused(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"), "{response:?}");
    assert!(response.body.trim().len() > 10 && response.body.lines().count() == 1, "{response:?}");
}

/// What a created session is named: its location and its entity tag.
fn names(created: &Response) -> (String, String) {
    assert_eq!(created.status, 201, "{created:?}");
    let header =
        |name: &str| created.header(name).unwrap_or_else(|| panic!("no {name} in {created:?}")).to_owned();
    (header("location"), header("etag"))
}

#[test]
fn an_offer_is_answered_and_its_session_ends_with_delete() {
    let server = start(&[]);
    let created = send(
        &server,
        "POST",
        "/echo",
        &[("Content-Type", "Application/SDP; charset=utf-8")],
        OFFER.as_bytes(),
    );
    let (location, tag) = names(&created);
    assert_eq!(created.header("content-type"), Some(SDP));
    assert!(created.body.starts_with("v=0\r\n"), "{}", created.body);
    assert!(created.body.contains("\r\na=candidate:"), "no candidates in {}", created.body);
    assert!(created.body.contains("\r\na=end-of-candidates\r\n"), "more candidates in {}", created.body);
    assert_eq!(location.trim_start_matches("/session/").len(), 32, "{location}");
    let ufrag = created.body.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).expect("a ufrag");
    assert_eq!(tag, format!("\"{ufrag}\""), "the tag names the ICE session");
    assert_eq!(created.header("link"), None, "no ICE server was configured");
    assert_eq!(sessions(&server), r#"{"open":1}"#);

    let other = names(&offer(&server, "/echo", OFFER.as_bytes()));
    assert!(other.0 != location && other.1 != tag);
    assert_eq!(sessions(&server), r#"{"open":2}"#);

    let end = |path: &str| send(&server, "DELETE", path, &[], b"");
    assert_eq!(end(&location).status, 200);
    refused(&end(&location), 404);
    refused(&end("/session/00000000000000000000000000000000"), 404);
    refused(&end("/session/../../etc"), 404);
    assert_eq!(sessions(&server), r#"{"open":1}"#);
}

#[test]
fn without_an_offer_the_server_makes_one_and_takes_the_answer() {
    let server = start(&[]);
    for (path, direction) in [("/echo", "sendrecv"), ("/clip", "sendonly")] {
        for headers in [&[("Content-Type", SDP)][..], &[]] {
            let created = send(&server, "POST", path, headers, b"");
            let (location, tag) = names(&created);
            assert_eq!(
                created.body.matches(&format!("\r\na={direction}\r\n")).count(),
                2,
                "{}",
                created.body
            );
            assert!(created.body.contains("\r\na=setup:actpass\r\n"), "an offer: {}", created.body);
            assert!(created.body.contains("\r\na=candidate:"), "no candidates in {}", created.body);
            // There is nothing yet that candidates could belong to, and what is no answer is refused.
            refused(&trickle(&server, &location, Some(&tag), CANDIDATE), 409);
            let answer =
                |body: &str| send(&server, "PATCH", &location, &[("Content-Type", SDP)], body.as_bytes());
            refused(&answer("v=0\r\nhello"), 400);
            refused(&answer(OFFER), 400);
            assert_eq!(send(&server, "DELETE", &location, &[], b"").status, 200);
        }
    }
    // Who has made the offer has nothing to answer.
    let (location, _) = names(&offer(&server, "/echo", OFFER.as_bytes()));
    refused(&send(&server, "PATCH", &location, &[("Content-Type", SDP)], OFFER.as_bytes()), 409);
}

#[test]
fn candidates_follow_by_patch_under_their_precondition() {
    let server = start(&[]);
    let (location, tag) = names(&offer(&server, "/echo", OFFER.as_bytes()));
    let patch = |if_match: Option<&str>, body: &str| trickle(&server, &location, if_match, body);
    let taken = patch(Some(&tag), CANDIDATE);
    assert_eq!((taken.status, taken.body.as_str(), taken.header("etag")), (204, "", None), "{taken:?}");
    assert_eq!(patch(Some(&format!("\"other\", {tag}")), CANDIDATE).status, 204);
    assert_eq!(patch(Some("*"), CANDIDATE).status, 204);
    refused(&patch(None, CANDIDATE), 428);
    refused(&patch(Some("\"other\""), CANDIDATE), 412);
    refused(&patch(Some(&format!("W/{tag}")), CANDIDATE), 412);
    refused(&patch(Some(tag.trim_matches('"')), CANDIDATE), 412);

    let without = |part: &str| CANDIDATE.replace(part, "");
    for malformed in [
        "",
        "hello",
        OFFER,
        &CANDIDATE.replace("a=mid:0", "a=mid:nine"),
        &CANDIDATE.replace("typ host", "typ"),
        &CANDIDATE.replace("127.0.0.1", "127.0.0.1\0"),
        &without("a=ice-pwd:uLRl6UShy+tLaZz9IqMoYn1I\r\n"),
        &without("a=ice-ufrag:9MR2\r\n"),
        &CANDIDATE.replace("m=application", "m=application 9\r\nm=x"),
    ] {
        refused(&patch(Some(&tag), malformed), 400);
    }
    let junk = [0xff, 0xfe, 0];
    refused(
        &send(&server, "PATCH", &location, &[("Content-Type", FRAGMENT), ("If-Match", &tag)], &junk),
        400,
    );
    // Without credentials it is the generation that the precondition names; the end may be said for all sections.
    assert_eq!(patch(Some(&tag), "a=end-of-candidates\r\n").status, 204);

    let huge = format!("{CANDIDATE}{}", "a=x:y\r\n".repeat(100_000));
    refused(&patch(Some(&tag), &huge), 413);
    refused(&trickle(&server, "/session/00000000000000000000000000000000", Some(&tag), CANDIDATE), 404);
    for content_type in ["text/plain", "application/sdpfrag", ""] {
        let headers = [("Content-Type", content_type), ("If-Match", &tag)];
        let wrong = send(&server, "PATCH", &location, &headers, CANDIDATE.as_bytes());
        refused(&wrong, 415);
        assert_eq!(wrong.header("accept-patch"), Some("application/trickle-ice-sdpfrag, application/sdp"));
    }
    assert_eq!(sessions(&server), r#"{"open":1}"#, "what is refused ends nothing");
    assert_eq!(send(&server, "DELETE", &location, &[], b"").status, 200);
    refused(&patch(Some(&tag), CANDIDATE), 404);
}

#[test]
fn what_is_no_offer_is_refused_with_the_reason() {
    let server = start(&[]);
    for content_type in ["text/plain", "application/json", "application/sdpx", ""] {
        refused(&send(&server, "POST", "/echo", &[("Content-Type", content_type)], OFFER.as_bytes()), 415);
    }
    refused(&send(&server, "POST", "/echo", &[], OFFER.as_bytes()), 415);
    refused(&send(&server, "POST", "/clip", &[("Content-Type", "text/plain")], b""), 415);

    let unlocked = OFFER
        .lines()
        .filter(|line| !line.starts_with("a=ice-pwd"))
        .fold(String::new(), |sdp, line| sdp + line + "\r\n");
    for body in [&b"hello"[..], b"v=0\r\nthis is no SDP\r\n", &[0xff, 0xfe, 0], unlocked.as_bytes()] {
        refused(&offer(&server, "/echo", body), 400);
        refused(&offer(&server, "/clip", body), 400);
    }
    refused(&offer(&server, "/clip", OFFER.as_bytes()), 400); // It takes neither audio nor video.
    refused(&offer(&server, "/echo", &vec![b'a'; 1 << 20]), 413);
    refused(&send(&server, "GET", "/nothing", &[], b""), 404);
    assert_eq!(sessions(&server), r#"{"open":0}"#, "a refused offer leaves a session behind");
}

#[test]
fn other_methods_are_told_which_are_allowed() {
    let server = start(&[]);
    let (location, _) = names(&offer(&server, "/echo", OFFER.as_bytes()));
    let stats = format!("{location}/stats");
    let cases = [
        ("/echo", &["GET", "HEAD", "PUT", "DELETE", "PATCH"][..], "OPTIONS,POST"),
        ("/clip", &["GET", "PUT"], "OPTIONS,POST"),
        (&location, &["GET", "POST", "PUT"], "DELETE,OPTIONS,PATCH"),
        (&stats, &["POST", "DELETE"], "GET,HEAD"),
        ("/sessions", &["POST"], "GET,HEAD"),
    ];
    for (path, methods, expected) in cases {
        for method in methods {
            let response = send(&server, method, path, &[], b"");
            assert_eq!(response.status, 405, "{method} {path}");
            let mut allow: Vec<&str> =
                response.header("allow").expect("Allow").split(',').map(str::trim).collect();
            allow.sort_unstable();
            assert_eq!(allow.join(","), expected, "{method} {path}");
        }
    }
}

#[test]
fn options_tell_what_is_accepted_and_from_where() {
    let server = start(&["--allow-origin", "https://example.org"]);
    for path in ["/echo", "/clip"] {
        let response = send(&server, "OPTIONS", path, &[], b"");
        assert_eq!((response.status, response.header("accept-post")), (200, Some(SDP)), "{response:?}");
        assert_eq!(response.header("allow"), Some("OPTIONS, POST"));
    }
    let (location, _) = names(&offer(&server, "/echo", OFFER.as_bytes()));
    let response = send(&server, "OPTIONS", &location, &[], b"");
    assert_eq!(response.header("accept-patch"), Some("application/trickle-ice-sdpfrag, application/sdp"));

    for origin in ["http://localhost:3000", "https://example.org"] {
        let preflight = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "PATCH"),
            ("Access-Control-Request-Headers", "content-type,if-match"),
        ];
        let response = send(&server, "OPTIONS", &location, &preflight, b"");
        assert_eq!(response.status, 200);
        assert_eq!(response.header("access-control-allow-origin"), Some(origin));
        assert!(
            response.header("access-control-allow-methods").is_some_and(|methods| methods.contains("PATCH"))
        );
        assert!(
            response.header("access-control-allow-headers").is_some_and(|names| names.contains("If-Match"))
        );
        let created =
            send(&server, "POST", "/echo", &[("Origin", origin), ("Content-Type", SDP)], OFFER.as_bytes());
        assert_eq!(created.header("access-control-allow-origin"), Some(origin));
        assert!(
            created.header("access-control-expose-headers").is_some_and(|names| names.contains("Location"))
        );
        // Also what is refused can be read.
        let refused = send(&server, "DELETE", "/session/0", &[("Origin", origin)], b"");
        assert_eq!((refused.status, refused.header("access-control-allow-origin")), (404, Some(origin)));
    }
    for origin in ["https://example.com", "null"] {
        let preflight = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
        let response = send(&server, "OPTIONS", "/echo", &preflight, b"");
        assert_eq!(response.header("access-control-allow-origin"), None, "{origin}");
        assert_eq!(response.header("vary"), Some("Origin"));
    }
}

#[test]
fn clients_are_told_of_the_ice_servers() {
    // Nobody is there: gathering does without.
    let server = start(&["--ice-server", "stun:127.0.0.1:9", "--ice-server", "stun:127.0.0.1:19302"]);
    let expected = ["<stun:127.0.0.1:9>; rel=\"ice-server\"", "<stun:127.0.0.1:19302>; rel=\"ice-server\""];
    assert_eq!(offer(&server, "/echo", OFFER.as_bytes()).headers("link"), expected);
    assert_eq!(send(&server, "OPTIONS", "/clip", &[], b"").headers("link"), expected);
}

#[test]
fn relays_serve_both_sides() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let rules = ServerConfig::default().with_user("ann", "a \"secret\"").with_relay(anywhere.ip());
    let options = TurnServerOptions::new(rules).with_udp(anywhere).with_tcp(anywhere);
    let relay = runtime.block_on(TurnServer::bind(options)).expect("a TURN server");
    for url in [
        format!("turn:127.0.0.1:{}", relay.udp_addresses()[0].port()),
        format!("turn:127.0.0.1:{}?transport=tcp", relay.tcp_addresses()[0].port()),
    ] {
        let credentials = ["--ice-username", "ann", "--ice-credential", "a \"secret\""];
        let server = start(&[&["--ice-server", url.as_str()][..], &credentials].concat());
        let answered = offer(&server, "/echo", OFFER.as_bytes());
        let credentials = r#"username="ann"; credential="a \"secret\""; credential-type="password""#;
        let link = format!("<{url}>; rel=\"ice-server\"; {credentials}");
        assert_eq!(answered.headers("link"), [link.as_str()]);
        assert_eq!(send(&server, "OPTIONS", "/clip", &[], b"").headers("link"), [link.as_str()]);
        assert!(answered.body.contains(" typ relay "), "{url}: {}", answered.body);
    }
}

#[test]
fn a_full_server_says_so_until_clients_that_never_come_are_given_up() {
    let server = start(&["--max-sessions", "3"]);
    let begun = Instant::now();
    for _ in 0..3 {
        assert_eq!(offer(&server, "/echo", OFFER.as_bytes()).status, 201);
    }
    for path in ["/echo", "/clip"] {
        for body in [OFFER.as_bytes(), b""] {
            let full = offer(&server, path, body);
            refused(&full, 503);
            assert_eq!(full.header("retry-after"), Some("10"));
        }
    }
    assert_eq!(sessions(&server), r#"{"open":3}"#);
    while sessions(&server) != r#"{"open":0}"# {
        assert!(
            begun.elapsed() < Duration::from_secs(180),
            "nobody connected, and still there is {}",
            sessions(&server)
        );
        thread::sleep(Duration::from_millis(200));
    }
    assert!(begun.elapsed() > Duration::from_secs(25), "clients may take 30 s");
    assert_eq!(offer(&server, "/echo", OFFER.as_bytes()).status, 201);
}

/// A client that opens connections and says nothing, or half of a head, takes none of the server's for long.
#[test]
fn connections_without_a_request_are_closed() {
    let server = start(&[]);
    let mut streams = [&b""[..], b"POST /echo HTTP/1.1\r\nHost: x\r\n"].map(|said| {
        let mut stream = TcpStream::connect(server.authority()).expect("the server accepts");
        stream.set_read_timeout(Some(Duration::from_secs(180))).expect("a timeout can be set");
        stream.write_all(said).expect("the server reads");
        stream
    });
    for stream in &mut streams {
        stream.read_to_end(&mut Vec::new()).expect("closed by the server");
    }
    assert_eq!(sessions(&server), r#"{"open":0}"#);
}

/// How many sockets and files the server has open.
#[cfg(target_os = "linux")]
fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.id())).expect("the server runs").count()
}

#[cfg(target_os = "linux")]
#[test]
fn fifty_refused_and_aborted_sessions_leave_nothing() {
    let server = start(&[]);
    let (location, _) = names(&offer(&server, "/echo", OFFER.as_bytes()));
    assert_eq!(send(&server, "DELETE", &location, &[], b"").status, 200);
    let before = descriptors(&server);
    for round in 0..10 {
        // An offer that cannot be answered, one that ends in the middle, clients that go away before the answer, and
        // sessions that are ended at once, in both roles.
        refused(&offer(&server, "/echo", OFFER.replace("a=setup:actpass", "a=setup:x").as_bytes()), 400);
        refused(&offer(&server, "/clip", OFFER.as_bytes()), 400);
        let half = &OFFER.as_bytes()[..OFFER.len() / 2];
        for body in [half, OFFER.as_bytes()] {
            let mut stream = TcpStream::connect(server.authority()).expect("the server accepts");
            let head = format!(
                "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: {SDP}\r\nContent-Length: {}\r\n\r\n",
                OFFER.len()
            );
            stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(body))
                .expect("the server reads");
            if round % 2 == 0 {
                let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
                let _ = stream.read(&mut [0; 16]);
            }
        }
        for body in [OFFER.as_bytes(), b""] {
            let (location, _) = names(&offer(&server, "/echo", body));
            assert_eq!(send(&server, "DELETE", &location, &[], b"").status, 200);
        }
    }
    let deadline = Instant::now() + Duration::from_secs(180);
    loop {
        let (open, now) = (sessions(&server), descriptors(&server));
        // The connection of the request that asks is one of them, as it was at the beginning.
        if open == r#"{"open":0}"# && now <= before {
            return;
        }
        assert!(Instant::now() < deadline, "{open}, {now} descriptors, {before} at the beginning");
        thread::sleep(Duration::from_millis(200));
    }
}
