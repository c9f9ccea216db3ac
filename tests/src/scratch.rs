//! What is left of a test when it ends, however it ends: nothing.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A script of the shell that runs when this is dropped, and also when this process ends without dropping anything, be it
/// that it is killed.
#[derive(Debug)]
pub(crate) struct Ending(Child);

impl Ending {
    /// Prepares it. The script finds the arguments in `$1`, `$2` and so on.
    ///
    /// # Panics
    ///
    /// When there is no shell.
    pub(crate) fn new(script: &str, arguments: &[&OsStr]) -> Self {
        let mut command = Command::new("sh");
        // Its input ends when this process drops the other end of the pipe, or ends itself: nobody else has it.
        command.args(["-c", &format!("cat >/dev/null; {script}"), "sh"]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        #[cfg(unix)]
        {
            // What ends the test from a terminal must not end the shell before its time.
            use std::os::unix::process::CommandExt;
            command.process_group(0);
        }
        Self(command.spawn().expect("sh starts"))
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Makes an empty folder for temporary files.
///
/// # Panics
///
/// When it cannot be made.
pub(crate) fn make_folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // Short: browsers have sockets in it, whose paths may have some hundred octets only.
    let path = std::env::temp_dir().join(format!("taut-test-{}-{count}", std::process::id()));
    fs::create_dir(&path).expect("a temporary folder");
    path
}

/// A folder for temporary files, which ends with the test.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    _ending: Ending,
}

impl Scratch {
    /// Makes one, for instance for `TMPDIR`.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[allow(clippy::new_without_default, reason = "a folder is made")]
    pub fn new() -> Self {
        let path = make_folder();
        let ending = Ending::new(r#"rm -rf "$1""#, &[path.as_os_str()]);
        Self { path, _ending: ending }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file in it.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path.join(name);
        fs::write(&file, text).expect("a temporary file");
        file
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    #[test]
    fn a_folder_ends_with_what_is_in_it() {
        let scratch = Scratch::new();
        let path = scratch.path().to_owned();
        fs::create_dir(path.join("a")).expect("a folder");
        scratch.write("a/b", "c");
        drop(scratch);
        assert!(!path.exists());
    }

    /// This test again, killed while it has a folder.
    #[cfg(unix)]
    #[test]
    fn a_folder_ends_with_a_test_that_is_killed() {
        const INSIDE: &str = "TAUT_TEST_SCRATCH";
        if std::env::var_os(INSIDE).is_some() {
            let scratch = Scratch::new();
            println!("\nfolder {}", scratch.path().display());
            loop {
                std::thread::park();
            }
        }
        let test = std::env::current_exe().expect("the running test has a path");
        let name = "scratch::tests::a_folder_ends_with_a_test_that_is_killed";
        let mut command = Command::new(test);
        command.args([name, "--exact", "--nocapture"]).env(INSIDE, "1");
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let folder =
            lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix("folder ")?.to_owned()));
        let folder = PathBuf::from(folder.expect("it says where"));
        assert!(folder.exists());
        child.kill().and_then(|()| child.wait()).expect("it is killed");
        let begun = std::time::Instant::now();
        while folder.exists() {
            assert!(begun.elapsed().as_secs() < 60, "{} is left", folder.display());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
