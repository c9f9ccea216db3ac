//! Where the facade reads the clock: tokio's, so that a test with paused time sees one time everywhere.

use std::time::{Duration, Instant};

use taut_sansio::time::WallClock;

/// The time.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The anchor between the monotonic and the wall clock, taken now.
pub(crate) fn wall() -> WallClock {
    #[allow(clippy::disallowed_methods, reason = "the facade is where time is read")]
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    WallClock { instant: now(), unix: unix.unwrap_or(Duration::ZERO) }
}
