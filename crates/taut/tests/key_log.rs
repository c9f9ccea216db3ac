//! The key log: a file, when the configuration names one.

mod common;

use std::path::{Path, PathBuf};

use common::{config, connected, negotiate, pair_of};
use taut::{DataChannelInit, DtlsEngine, ErrorKind, PeerConnection};

/// A folder of this test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("taut-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn is_line(line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    let hexadecimal = |word: &str| word.bytes().all(|digit| digit.is_ascii_hexdigit());
    matches!(words[..], ["CLIENT_RANDOM", random, secret]
        if random.len() == 64 && secret.len() == 96 && hexadecimal(random) && hexadecimal(secret))
}

#[cfg(unix)]
fn assert_private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}: others can read it");
}

#[cfg(not(unix))]
fn assert_private(_: &Path) {}

#[tokio::test]
async fn connections_append_to_the_file_they_are_told() {
    if config().dtls_engine == DtlsEngine::Dimpl {
        let refused = PeerConnection::new(config().with_key_log("keys.log")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotSupported);
        assert!(!Path::new("keys.log").exists());
        return;
    }
    let folder = Folder::new("key-log");
    let file = folder.0.join("keys.log");
    for calls in 1..=2 {
        let side = || PeerConnection::new(config().with_key_log(&file)).unwrap();
        let (a, b) = pair_of(side(), side());
        let _channel = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
        negotiate(&a.pc, &b.pc).await;
        connected(&a.pc, &b.pc).await;
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2 * calls, "one of each side");
        assert!(lines.iter().all(|line| is_line(line)), "{text}");
        assert_eq!(lines[2 * calls - 2], lines[2 * calls - 1], "both have the same secret");
        assert_private(&file);
        a.pc.close().await;
        b.pc.close().await;
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_an_error() {
    if config().dtls_engine == DtlsEngine::Dimpl {
        return; // Refused for another reason, see above.
    }
    let folder = Folder::new("no-key-log");
    let refused = PeerConnection::new(config().with_key_log(folder.0.join("missing/keys.log"))).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Operation);
    assert!(refused.message().contains("missing/keys.log"), "{refused}");
}
