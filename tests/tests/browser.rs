//! Chromium against `taut serve`, in a network namespace.
//!
//! Runs with `TAUT_INTEROP=1`, as root, with Chromium, Node.js and npm installed; then anything missing is a failure.
//! Without the variable every test says that it is skipped. Screenshots for a person to look at go to `browser/` in
//! cargo's temporary folder (`target/tmp/browser`).

#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use taut_tests::namespace::Namespace;
use taut_tests::process::{Server, output, text, through};
use taut_tests::workspace;

/// How long one scenario may take; the longest waits 35 s for consent to run out.
const LIMIT: Duration = Duration::from_secs(150);

/// Runs one scenario of `tests/browser/scenarios` with a server and a namespace of its own.
fn scenario(name: &str) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    if std::env::var_os("TAUT_INTEROP").is_none_or(|value| value != "1") {
        // Written past the test harness, which would swallow it.
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: browser test '{name}': needs TAUT_INTEROP=1, root, Chromium, Node.js and npm"
        );
        return;
    }
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    install_driver();
    let namespace = Namespace::new().expect("TAUT_INTEROP=1 needs root and iproute2");
    let launcher = namespace.launcher();
    let server = Server::start(&launcher, workspace::taut());

    let mut command = through(&launcher, Path::new("node"));
    command.args(["run.mjs", name, &server.url]).arg(pictures()).current_dir(workspace::browser_scenarios());
    let ended = output(&mut command, LIMIT);
    print!("{}", text(&ended));
    assert!(ended.status.success(), "scenario '{name}' failed:\n{}", text(&ended));
}

/// Where screenshots go.
fn pictures() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser")
}

/// Installs what drives the browser, once, as the lock file says.
fn install_driver() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let folder = workspace::browser_scenarios();
        if folder.join("node_modules/playwright-core").is_dir() {
            return;
        }
        let ended = output(Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(folder), LIMIT);
        assert!(ended.status.success(), "npm ci failed:\n{}", text(&ended));
    });
}

/// The page as a person uses it, closing from both sides included.
#[test]
fn demo_page() {
    scenario("demo");
}

/// The right picture comes back.
#[test]
fn picture() {
    scenario("picture");
}

/// A thousand messages, over addresses that Chromium hides behind `.local` names.
#[test]
fn messages() {
    scenario("messages");
}

/// What the page says when something is wrong.
#[test]
fn errors() {
    scenario("errors");
}

/// A browser that is killed says no goodbye.
#[test]
fn killed_browser() {
    scenario("killed");
}
