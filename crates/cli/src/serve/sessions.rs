//! The table of running sessions.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taut::PeerConnection;

use super::recordings::Recordings;
use super::settings::Settings;

/// The name of a session in its address: 128 random bits, so that nobody can end somebody else's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionId(u128);

impl SessionId {
    /// Draws one from the operating system.
    pub(super) fn draw() -> Result<Self, OpenError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|_| OpenError::NoRandomness)?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for SessionId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let hex = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if hex { u128::from_str_radix(text, 16).map(Self).map_err(|_| ()) } else { Err(()) }
    }
}

/// Why a session is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OpenError {
    /// As many are running as the settings allow.
    #[error("the server is full: {0} sessions are running; try again later")]
    Full(usize),
    /// The operating system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

/// The running sessions; a cheap handle.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    table: Arc<Mutex<BTreeMap<SessionId, PeerConnection>>>,
    settings: Arc<Settings>,
    recordings: Recordings,
}

impl Sessions {
    /// An empty table.
    pub(super) fn new(settings: Settings) -> Result<Self, OpenError> {
        let recordings = Recordings::new(settings.record.clone(), settings.record_limit)?;
        Ok(Self { table: Arc::default(), settings: Arc::new(settings), recordings })
    }

    /// What is and was recorded.
    pub(super) fn recordings(&self) -> &Recordings {
        &self.recordings
    }

    /// What the server was started with.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Refuses what [`open`](Self::open) would refuse, before a connection is made for it.
    pub(super) fn check_room(&self) -> Result<(), OpenError> {
        self.require_room(self.len())
    }

    /// Takes a connection into the table.
    pub(super) fn open(&self, pc: PeerConnection) -> Result<SessionId, OpenError> {
        let id = SessionId::draw()?;
        let mut table = self.table();
        self.require_room(table.len())?;
        table.insert(id, pc);
        Ok(id)
    }

    /// The connection of a session.
    pub(super) fn get(&self, id: SessionId) -> Option<PeerConnection> {
        self.table().get(&id).cloned()
    }

    /// Takes a session out of the table, for its connection to be closed.
    pub(super) fn remove(&self, id: SessionId) -> Option<PeerConnection> {
        self.table().remove(&id)
    }

    /// How many sessions are running.
    pub(super) fn len(&self) -> usize {
        self.table().len()
    }

    /// Ends all sessions, at the same time, and completes what was recorded.
    pub(super) async fn close_all(&self) {
        let all = std::mem::take(&mut *self.table());
        let goodbyes: Vec<_> =
            all.into_values().map(|pc| tokio::spawn(async move { pc.close().await })).collect();
        for goodbye in goodbyes {
            let _ = goodbye.await; // A panic in one goodbye does not keep the others waiting.
        }
        self.recordings.complete().await;
    }

    fn require_room(&self, running: usize) -> Result<(), OpenError> {
        let max = self.settings.max_sessions;
        if running < max { Ok(()) } else { Err(OpenError::Full(max)) }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<SessionId, PeerConnection>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner) // The table is whole between any two calls on it.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_address() {
        let id = SessionId::draw().expect("randomness");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(SessionId::draw(), Ok(id));
    }

    #[test]
    fn only_the_exact_form_of_an_id_is_taken() {
        for text in [
            "",
            "0",
            "+0000000000000000000000000000001",
            "000000000000000000000000000000AB",
            "é000000000000000000000000000001",
        ] {
            assert_eq!(text.parse::<SessionId>(), Err(()), "{text}");
        }
    }
}
