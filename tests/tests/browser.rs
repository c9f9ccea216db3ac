//! Chromium and Firefox against `taut serve`, in a network namespace.
//!
//! Runs with `TAUT_INTEROP=1`, as root, with Chromium, Firefox, Node.js and npm installed; then anything missing is a
//! failure. Without the variable every test says that it is skipped. Screenshots for a person to look at go to `browser/`
//! in cargo's temporary folder (`target/tmp/browser`).

#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use taut_tests::interop::{Level, install_browser_driver, turn};
use taut_tests::namespace::{ADDRESS, Namespace};
use taut_tests::process::{Background, Server, output, text, through};
use taut_tests::workspace;

/// How long one scenario may take on a busy machine; the longest takes pictures of many calls.
const LIMIT: Duration = Duration::from_secs(900);

const BROWSERS: [&str; 2] = ["chromium", "firefox"];

/// Runs one scenario of `tests/browser/scenarios` with every browser, one after the other.
fn scenario(name: &str, options: &Value) {
    let Some(_turn) = turn(name) else { return };
    for browser in BROWSERS {
        run(browser, name, options.clone(), &[]);
    }
}

/// Runs a scenario with a server, started with these arguments, and a namespace of its own.
fn run(browser: &str, name: &str, options: Value, arguments: &[&str]) {
    let namespace = Namespace::new().expect("TAUT_INTEROP needs root and iproute2");
    let server = Server::start_with(&namespace.launcher(), workspace::taut(), arguments);
    drive(&namespace, &server, browser, name, options);
}

/// Runs a scenario with this server.
fn drive(namespace: &Namespace, server: &Server, browser: &str, name: &str, mut options: Value) {
    install_browser_driver();
    let launcher = namespace.launcher();
    options["url"] = json!(server.url);
    options["server"] = json!(server.id());
    options["directory"] = json!(workspace::temporary().join("browser"));

    let mut command = through(&launcher, Path::new("node"));
    command
        .args(["run.mjs", browser, name, &options.to_string()])
        .current_dir(workspace::browser_scenarios());
    let ended = output(&mut command, LIMIT);
    print!("{}", text(&ended));
    assert!(ended.status.success(), "scenario '{name}' failed with {browser}:\n{}", text(&ended));
}

/// The page as a person uses it: closing from both sides and loading it again included.
#[test]
fn demo_page() {
    scenario("demo", &json!({}));
}

/// The right picture comes back.
#[test]
fn picture() {
    scenario("picture", &json!({}));
}

/// A thousand messages, over addresses that the browser hides behind `.local` names.
#[test]
fn messages_between_hidden_addresses() {
    scenario("messages", &json!({ "addresses": "hidden" }));
}

/// The same over addresses as they are, which most of the other scenarios use too.
#[test]
fn messages_between_plain_addresses() {
    let Some(turn) = turn("messages between plain addresses") else { return };
    if turn.level == Level::Full {
        BROWSERS.iter().for_each(|browser| run(browser, "messages", json!({ "addresses": "plain" }), &[]));
    }
}

/// The same with a server that hides its addresses too, and that is told of no candidate, so that only a browser that resolves
/// its names can find it.
#[test]
fn messages_with_a_hidden_server() {
    let name = "messages";
    let Some(_turn) = turn("messages with a hidden server") else { return };
    for browser in BROWSERS {
        run(browser, name, json!({ "addresses": "hidden", "server_hides": true }), &["--hide-addresses"]);
    }
}

/// The server has no socket but its TCP listeners.
#[test]
fn tcp_only() {
    let Some(_turn) = turn("tcp_only") else { return };
    for browser in BROWSERS {
        let listeners = ["--ice-tcp", "10.77.0.1:0", "--ice-tcp", "[fd77::1]:0", "--no-ice-udp"];
        run(browser, "tcp", json!({}), &listeners);
    }
}

/// ICE restarts from the page.
#[test]
fn restarts() {
    scenario("restart", &json!({}));
}

/// There is no IPv4 but on the loopback interface, over which the browsers are driven.
#[test]
fn version_6_alone() {
    let Some(_turn) = turn("version6") else { return };
    for browser in BROWSERS {
        let namespace = Namespace::version_6().expect("TAUT_INTEROP needs root and iproute2");
        let server = Server::start_on("[::1]:0", &namespace.launcher(), workspace::taut(), &[]);
        drive(&namespace, &server, browser, "version6", json!({}));
    }
}

/// What the page says when something is wrong.
#[test]
fn errors() {
    scenario("errors", &json!({}));
}

/// The clip and the recording, and what the plots and the table show.
#[test]
fn buttons() {
    scenario("buttons", &json!({}));
}

/// Pictures of the page in every state, for a person to look at.
#[test]
fn screens() {
    let Some(turn) = turn("screens") else { return };
    if turn.level == Level::Full {
        BROWSERS.iter().for_each(|browser| run(browser, "screens", json!({}), &[]));
    }
}

/// A browser or a server that is killed says no goodbye. All four wait at the same time: there is little else to do.
#[test]
fn killed() {
    let Some(_turn) = turn("killed") else { return };
    thread::scope(|scope| {
        for browser in BROWSERS {
            for victim in ["browser", "server"] {
                scope.spawn(move || run(browser, "killed", json!({ "victim": victim }), &[]));
            }
        }
    });
}

/// Calls through `taut turn-server`, over UDP and TCP: both use relays alone; with everything tried, also one of them.
#[test]
fn relays_alone() {
    let Some(turn) = turn("relay") else { return };
    let alone: &[_] = match turn.level {
        Level::Full => &[(true, false), (false, true), (true, true)],
        _ => &[(true, true)],
    };
    for browser in BROWSERS {
        let namespace = Namespace::new().expect("TAUT_INTEROP needs root and iproute2");
        let launcher = namespace.launcher();
        let listen = format!("{ADDRESS}:3478");
        let mut relay = through(&launcher, workspace::taut());
        relay.args(["turn-server", "--listen", &listen, "--relay", ADDRESS, "--allow-peer", ADDRESS]);
        let _relay = Background::start(relay.args(["--user", "lab:lab"]));
        let servers = [format!("turn:{listen}"), format!("turn:{listen}?transport=tcp")];
        for &(page, server) in alone {
            let mut more = vec!["--ice-username", "lab", "--ice-credential", "lab"];
            servers.iter().for_each(|url| more.extend(["--ice-server", url]));
            if server {
                more.push("--relay-only");
            }
            let running = Server::start_with(&launcher, workspace::taut(), &more);
            let options = json!({ "pageAlone": page, "serverAlone": server, "servers": servers });
            drive(&namespace, &running, browser, "relay", options);
        }
    }
}
