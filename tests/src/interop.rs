//! What the tests with real clients share: whether they run, one at a time, and what they need installed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::process::{output, text};
use crate::workspace;

/// How long it may take to fetch the packages that drive a client.
const INSTALL: Duration = Duration::from_secs(900);

/// How much is tried; the environment variable `TAUT_INTEROP` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `TAUT_INTEROP=1`: some minutes, for every change.
    Some,
    /// `TAUT_INTEROP=full`: everything, on a quiet machine.
    Full,
}

/// A test's turn: while it is held, no other test of this binary uses the machine.
#[derive(Debug)]
pub struct Turn {
    /// How much to try.
    pub level: Level,
    _alone: MutexGuard<'static, ()>,
}

/// Waits for the turn of the test `name`; `None`, and a line that says so, when it is not to run.
///
/// # Panics
///
/// When `TAUT_INTEROP` has a value that means nothing.
pub fn turn(name: &str) -> Option<Turn> {
    static ALONE: Mutex<()> = Mutex::new(());
    let level = match std::env::var("TAUT_INTEROP").as_deref() {
        Ok("1") => Level::Some,
        Ok("full") => Level::Full,
        Ok("" | "0") | Err(_) => {
            // Written past the test harness, which would swallow it.
            let _ = writeln!(
                io::stderr(),
                "SKIPPED: '{name}': needs TAUT_INTEROP=1 or =full, root, and the clients (CONTRIBUTING.md)"
            );
            return None;
        }
        Ok(other) => panic!("TAUT_INTEROP is '{other}', not '1' or 'full'"),
    };
    Some(Turn { level, _alone: ALONE.lock().unwrap_or_else(PoisonError::into_inner) })
}

/// Installs what drives the browsers, once, as the lock file says.
///
/// # Panics
///
/// When npm cannot.
pub fn install_browser_driver() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let folder = workspace::browser_scenarios();
        if folder.join("node_modules/puppeteer-core").is_dir() {
            return;
        }
        let ended = output(Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(folder), INSTALL);
        assert!(ended.status.success(), "npm ci failed:\n{}", text(&ended));
    });
}

/// The Python interpreter of a virtual environment with aiortc, made once for each list of requirements.
///
/// # Panics
///
/// When it cannot be made.
pub fn python_with_aiortc() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let requirements = workspace::aiortc().join("requirements.txt");
        let wanted = std::fs::read(&requirements).expect("the requirements are in the checkout");
        let folder = workspace::temporary().join("aiortc");
        let (python, installed) = (folder.join("bin/python"), folder.join("installed.txt"));
        if std::fs::read(&installed).is_ok_and(|found| found == wanted) {
            return python;
        }
        let made = output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder), INSTALL);
        assert!(made.status.success(), "no virtual environment:\n{}", text(&made));
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary=:all:",
            "-r",
        ]);
        let ended = output(pip.arg(&requirements).stdin(Stdio::null()), INSTALL);
        assert!(ended.status.success(), "pip failed:\n{}", text(&ended));
        std::fs::write(&installed, &wanted).expect("the folder can be written");
        python
    })
}
