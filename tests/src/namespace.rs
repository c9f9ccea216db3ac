//! Network namespaces for the tests with real sockets.
//!
//! Browsers gather no loopback candidates, and a test must not depend on the machine's own interfaces. So each test makes
//! a namespace whose only other interface is a veth pair with both ends inside it: every stack finds the addresses
//! 10.77.0.1 and fd77::1, and nothing can leave.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::scratch::{Ending, make_folder};

/// What makes the interface, after `ip netns add NAME`; each runs as `ip -n NAME …`.
const SETUP: [&str; 4] = [
    "link add va type veth peer name vb",
    "addr add fd77::1/64 dev va nodad",
    "link set va up",
    "link set vb up",
];

/// The IPv4 address in it.
pub const ADDRESS: &str = "10.77.0.1";

/// What makes one of both families, after that. Browsers take the interface of the default route, unless a page may do more.
const VERSION_4: [&str; 2] = ["addr add 10.77.0.1/24 dev va", "route add default via 10.77.0.254 dev va"];

/// What makes one of IPv6 alone, after that.
const VERSION_6: [&str; 1] = ["-6 route add default via fd77::254 dev va"];

/// How a namespace ends. It lives as long as a process in it, such as a browser that a failed test left behind; and as long
/// as one writes, the folder cannot be removed.
const END: &str = r#"for turn in $(seq 600); do
        processes=$(ip netns pids "$1") && [ -n "$processes" ] || break
        kill -9 $processes
        sleep 0.05
    done
    ip netns del "$1"
    rm -rf "$2""#;

/// A namespace of the test's own; deleted when the test ends, with every process that is still in it and their temporary
/// files.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    /// `TMPDIR=` and a folder.
    temporary: String,
    _ending: Ending,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// What `ip` said, when the privilege or the tool is missing.
    pub fn new() -> Result<Self, String> {
        Self::with(&VERSION_4)
    }

    /// Makes one whose interface has IPv6 addresses alone.
    ///
    /// # Errors
    ///
    /// What `ip` said, when the privilege or the tool is missing.
    pub fn version_6() -> Result<Self, String> {
        Self::with(&VERSION_6)
    }

    /// Makes one that has the loopback interface alone.
    ///
    /// # Errors
    ///
    /// What `ip` said, when the privilege or the tool is missing.
    pub fn bare() -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("taut-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        ip(&format!("netns add {name}"))?;
        let folder = make_folder();
        let ending = Ending::new(END, &[name.as_ref(), folder.as_os_str()]);
        let namespace = Self { name, temporary: format!("TMPDIR={}", folder.display()), _ending: ending };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    fn with(family: &[&str]) -> Result<Self, String> {
        let namespace = Self::bare()?;
        for step in SETUP.iter().chain(family) {
            namespace.ip(step)?;
        }
        Ok(namespace)
    }

    /// Runs `ip` with these words inside.
    ///
    /// # Errors
    ///
    /// What `ip` said.
    pub fn ip(&self, words: &str) -> Result<(), String> {
        ip(&format!("-n {} {words}", self.name))
    }

    /// What `ip` calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What to put in front of a command to run it inside, with a folder of the namespace's own for temporary files.
    pub fn launcher(&self) -> [&str; 6] {
        ["ip", "netns", "exec", &self.name, "env", &self.temporary]
    }
}

/// Runs `ip` with these words.
fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip")
        .args(words.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("ip {words}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}
