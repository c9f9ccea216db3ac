//! Processes that end with the test, however it ends.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::scratch::Scratch;

/// How long the server may take to say where it listens. A debug build on a busy machine is slow to start.
const START: Duration = Duration::from_secs(60);

/// A running `taut serve`, killed on drop.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where the page is, such as `http://127.0.0.1:8080/`.
    pub url: String,
    /// Its temporary files, unless the launcher has a folder for them.
    pub temporary: Scratch,
}

impl Server {
    /// Starts `taut serve` on a free port of 127.0.0.1, through a launcher such as `ip netns exec NAME`, and waits
    /// until it says that it listens.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start(launcher: &[&str], taut: &Path) -> Self {
        Self::start_with(launcher, taut, &[])
    }

    /// The same, with more arguments for the server.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start_with(launcher: &[&str], taut: &Path, more: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0", launcher, taut, more)
    }

    /// The same, on this address.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start_on(listen: &str, launcher: &[&str], taut: &Path, more: &[&str]) -> Self {
        let temporary = Scratch::new();
        let mut command = through(launcher, taut);
        command.args(["serve", "--listen", listen]).args(more).env("TMPDIR", temporary.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("taut serve starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            // Reads to the end, so that the server never writes into a closed pipe.
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let url = receiver.recv_timeout(START).ok().and_then(|line| address(&line));
        let Some(url) = url else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("taut serve did not say within {START:?} where it listens");
        };
        Self { child, url, temporary }
    }

    /// The host and port of the server, such as `127.0.0.1:8080`.
    pub fn authority(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches('/')
    }

    /// The server's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself, and how.
    pub fn ended(&mut self, within: Duration) -> Option<std::process::ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process beside the test, killed on drop.
#[derive(Debug)]
pub struct Background(Child);

impl Background {
    /// Starts it, with the streams that the command has.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn spawn(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}")))
    }

    /// Starts it, and waits until it prints something.
    ///
    /// # Panics
    ///
    /// When it does not start, or does not print anything.
    pub fn start(command: &mut Command) -> Self {
        let mut this = Self::spawn(command.stdout(Stdio::piped()));
        let mut lines = BufReader::new(this.0.stdout.take().expect("stdout is piped")).lines();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let _ = sender.send(lines.next().is_some_and(|line| line.is_ok()));
            // Reads to the end, so that it never writes into a closed pipe.
            lines.map_while(Result::ok).for_each(drop);
        });
        assert_eq!(receiver.recv_timeout(START), Ok(true), "{command:?} did not begin");
        this
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first address in a line of output.
fn address(line: &str) -> Option<String> {
    line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
}

/// A command that runs `program` through a launcher; without one, directly.
pub fn through(launcher: &[&str], program: &Path) -> Command {
    match launcher.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Runs a command to its end with nothing to read; killed and reported after `limit`.
///
/// # Panics
///
/// When it does not start or does not end in time.
pub fn output(command: &mut Command, limit: Duration) -> Output {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let (sender, receiver) = mpsc::channel::<()>();
    let id = child.id();
    let watch = thread::spawn(move || match receiver.recv_timeout(limit) {
        Err(mpsc::RecvTimeoutError::Timeout) => {
            let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
            true
        }
        _ => false,
    });
    let output = child.wait_with_output().expect("the output can be read");
    drop(sender);
    let killed = watch.join().expect("the watch does not panic");
    assert!(!killed, "{command:?} did not end within {limit:?}; it had printed:\n{}", text(&output));
    output
}

/// What a command printed, both streams.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
