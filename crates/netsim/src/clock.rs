//! Virtual time: it moves only when the world moves it.

use std::time::{Duration, Instant};

use taut_sansio::time::WallClock;

/// What the wall clock says at the start of every world, so that NTP times in traces are the same in every run.
const UNIX_AT_START: Duration = Duration::from_secs(1_700_000_000);

/// The one clock of a world.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    now: Instant,
}

impl Clock {
    #[allow(
        clippy::disallowed_methods,
        reason = "an Instant can be made in no other way; only differences from it are ever used"
    )]
    pub(crate) fn new() -> Self {
        // An hour of room, so that a machine may subtract from the first instant.
        let base = Instant::now();
        let start = base.checked_add(Duration::from_secs(3600)).unwrap_or(base);
        Self { start, now: start }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(self.start)
    }

    pub(crate) fn wall(&self) -> WallClock {
        WallClock { instant: self.start, unix: UNIX_AT_START }
    }

    /// Moves to `at`; true if that is later than now.
    pub(crate) fn advance(&mut self, at: Instant) -> bool {
        let later = at > self.now;
        self.now = self.now.max(at);
        later
    }
}
