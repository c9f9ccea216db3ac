//! What several examples need before their point begins: two peers in one process, connected.

#![allow(dead_code, reason = "not every example needs everything")]

use std::error::Error;
use std::path::{Path, PathBuf};

use taut::{Configuration, Events, Loopback, PeerConnection};

/// Whatever can go wrong.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The folder with the bundled clip, `clip.ivf` and `clip.ogg`: ten seconds, 30 pictures a second.
pub(crate) const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/assets");

/// A peer that finds others on this host, which may have no network at all.
pub(crate) fn connection() -> Result<(PeerConnection, Events), taut::Error> {
    PeerConnection::new(Configuration::default().with_loopback(Loopback::Always))
}

/// Offer from `a`, answer from `b`, with all candidates in them. The example `signaling` shows how they travel between
/// two processes, and `data_channel` how candidates follow one by one.
pub(crate) async fn connect(a: &PeerConnection, b: &PeerConnection) -> Result<(), Failure> {
    a.set_local_description(None).await?;
    a.gathering_complete().await;
    b.set_remote_description(a.local_description().ok_or("no offer")?).await?;
    b.set_local_description(None).await?;
    b.gathering_complete().await;
    a.set_remote_description(b.local_description().ok_or("no answer")?).await?;
    Ok(a.connected().await?)
}

/// A folder for temporary files, removed with all of them when it is dropped.
pub(crate) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub(crate) fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("taut-example-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
