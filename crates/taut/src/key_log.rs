//! The key log: a file that the secrets of connections are appended to, for Wireshark and tshark.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::error::Error;

/// The file, open to be appended to.
#[derive(Debug)]
pub(crate) struct KeyLog {
    file: File,
}

impl KeyLog {
    /// Opens the file, or makes one that only its owner can read.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path);
        let file = file.map_err(|error| Error::io(format!("cannot open {}", path.display()), error))?;
        Ok(Self { file })
    }

    /// Appends a line, in one call, so that the lines of connections that share a file do not mix.
    pub(crate) fn append(&mut self, line: &str) {
        if let Err(error) = self.file.write_all(format!("{line}\n").as_bytes()) {
            tracing::warn!(%error, "the key log cannot be written");
        }
    }
}
