//! TURN servers for the tests: coturn and `taut turn-server`, as processes of their own, which can be killed and started again.

use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::scratch::Scratch;
use crate::workspace;

/// How long a server may take to listen, on a busy machine.
const START: Duration = Duration::from_secs(60);

/// The ports that servers are given: below those that the system gives to others, so that one that is started again finds its
/// own free.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// The realm of all servers.
pub const REALM: &str = "lab.test";

/// The user of [`Scheme::Users`], and the password.
pub const USER: &str = "lab";

/// The secret of [`Scheme::Secret`].
pub const SECRET: &str = "north";

/// Whom a server serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// The user [`USER`], whose password is the same.
    Users,
    /// Whoever has a name and a password made with [`SECRET`].
    Secret,
}

/// A port that is free for UDP and TCP.
///
/// # Panics
///
/// When there is none.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes begin at different places.
    let begin = u16::try_from(std::process::id() % 1_000).unwrap_or(0) * 12;
    for _ in PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (begin + step) % (PORTS.end - PORTS.start);
        let local = (Ipv4Addr::LOCALHOST, port);
        if UdpSocket::bind(local).is_ok() && TcpListener::bind(local).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// A certificate for loopback, and its key, as PEM.
///
/// # Panics
///
/// When none can be made.
pub fn certificate() -> (String, String) {
    let names = vec!["localhost".into(), "127.0.0.1".into()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A running server on loopback, over UDP, TCP and TLS. It is killed on drop.
#[derive(Debug)]
pub struct TurnProcess {
    child: Child,
    program: PathBuf,
    arguments: Vec<String>,
    port: u16,
    tls_port: u16,
    /// The certificate that vouches for it, as PEM.
    pub roots: String,
    _folder: Scratch,
}

impl TurnProcess {
    /// Starts coturn.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn coturn(scheme: Scheme, nonce: Option<u32>) -> Self {
        Self::start(PathBuf::from("turnserver"), |folder, certificate, key, port, tls| {
            let mut arguments: Vec<String> = [
                "-n",
                "--listening-ip=127.0.0.1",
                "--relay-ip=127.0.0.1",
                "--fingerprint",
                "--min-port=49152",
                "--max-port=49999",
                "--no-stdout-log",
                "--simple-log",
                "--allow-loopback-peers",
                "--cli-password=x",
                "--no-cli",
            ]
            .map(str::to_owned)
            .into();
            arguments.extend([
                format!("--realm={REALM}"),
                format!("--listening-port={port}"),
                format!("--tls-listening-port={tls}"),
                format!("--cert={}", certificate.display()),
                format!("--pkey={}", key.display()),
                format!("--log-file={}", folder.path().join("turn.log").display()),
                format!("--pidfile={}", folder.path().join("turn.pid").display()),
                format!("--userdb={}", folder.path().join("db.sqlite").display()),
            ]);
            arguments.extend(match scheme {
                Scheme::Users => ["--lt-cred-mech".to_owned(), format!("--user={USER}:{USER}")],
                Scheme::Secret => ["--use-auth-secret".to_owned(), format!("--static-auth-secret={SECRET}")],
            });
            arguments.extend(nonce.map(|seconds| format!("--stale-nonce={seconds}")));
            arguments
        })
    }

    /// Starts `taut turn-server`.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn taut(scheme: Scheme, nonce: Option<u32>) -> Self {
        Self::start(workspace::taut().to_owned(), |folder, certificate, key, port, tls| {
            let words = "turn-server --relay 127.0.0.1 --allow-peer 127.0.0.0/8";
            let mut arguments: Vec<String> = words.split(' ').map(str::to_owned).collect();
            let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
            add("--realm", REALM.to_owned());
            add("--listen", format!("127.0.0.1:{port}"));
            add("--listen-tls", format!("127.0.0.1:{tls}"));
            add("--cert", certificate.display().to_string());
            add("--key", key.display().to_string());
            match scheme {
                Scheme::Users => add("--user", format!("{USER}:{USER}")),
                Scheme::Secret => {
                    add("--secret-file", folder.write("secret", SECRET).display().to_string());
                }
            }
            if let Some(seconds) = nonce {
                add("--nonce-seconds", seconds.to_string());
            }
            arguments
        })
    }

    fn start(
        program: PathBuf,
        arguments: impl FnOnce(&Scratch, &Path, &Path, u16, u16) -> Vec<String>,
    ) -> Self {
        let folder = Scratch::new();
        let (roots, key) = certificate();
        let (certificate, key) = (folder.write("c.pem", &roots), folder.write("k.pem", &key));
        let (port, tls_port) = (free_port(), free_port());
        let arguments = arguments(&folder, &certificate, &key, port, tls_port);
        let child = spawn(&program, &arguments);
        let this = Self { child, program, arguments, port, tls_port, roots, _folder: folder };
        this.wait();
        this
    }

    fn wait(&self) {
        let begun = Instant::now();
        for port in [self.port, self.tls_port] {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
                assert!(begun.elapsed() < START, "{} does not listen", self.program.display());
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Kills it, with everything that it knows.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again as it was, and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn restart(&mut self) {
        self.child = spawn(&self.program, &self.arguments);
        self.wait();
    }

    /// How it is reached over UDP, TCP and TLS.
    pub fn urls(&self) -> [String; 3] {
        [
            format!("turn:127.0.0.1:{}", self.port),
            format!("turn:127.0.0.1:{}?transport=tcp", self.port),
            format!("turns:127.0.0.1:{}", self.tls_port),
        ]
    }
}

impl Drop for TurnProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(program: &Path, arguments: &[String]) -> Child {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()))
}
