//! What has been sent and received so far, and the line that shows it while the call runs.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often the line is written anew.
const REFRESH: Duration = Duration::from_millis(100);

/// A count that several tasks add to.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What has been sent and received, both sides together.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) video_sent: Count,
    pub(super) video_received: Count,
    pub(super) audio_sent: Count,
    pub(super) audio_received: Count,
    pub(super) messages_sent: Count,
    pub(super) messages_received: Count,
}

impl Counters {
    /// Whether everything that was sent on the tracks has been received.
    pub(super) fn media_complete(&self) -> bool {
        self.video_sent.get() == self.video_received.get()
            && self.audio_sent.get() == self.audio_received.get()
    }
}

/// Writes the progress line to a terminal for as long as it is polled; never ends. Elsewhere it writes nothing.
pub(super) async fn show(counters: &Counters, started: Instant) {
    if !io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(REFRESH);
    loop {
        ticks.tick().await;
        let c = counters;
        let line = format!(
            "{:5.1} s   video {}/{}   audio {}/{}   messages {}/{}",
            started.elapsed().as_secs_f64(),
            c.video_received.get(),
            c.video_sent.get(),
            c.audio_received.get(),
            c.audio_sent.get(),
            c.messages_received.get(),
            c.messages_sent.get(),
        );
        write(&line);
    }
}

/// Takes the line away again.
pub(super) fn clear() {
    if io::stderr().is_terminal() {
        write("");
    }
}

/// Writes a line over the last one (`ESC [ K` clears to the end of the line).
fn write(line: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "\r{line}\x1b[K").and_then(|()| stderr.flush()); // Nobody misses a progress line.
}
