//! Sources that feed local tracks: files and generators, paced by time.

use std::sync::{Arc, Weak};
use std::time::Duration;

use taut_peer::{Frame, Kind};
use tokio::time::{Instant, sleep_until};

use crate::error::Error;
use crate::net::endpoint::runtime;
use crate::track::{MediaStreamTrack, Source};

/// How often a source that has not begun asks whether somebody takes its first frame.
const HOLD: Duration = Duration::from_millis(10);

/// The frames of one track, in the order of their presentation.
pub(crate) type Frames = Box<dyn Iterator<Item = Frame> + Send>;

struct Feed {
    source: Weak<Source>,
    frames: Frames,
    next: Next,
    /// The time between the last two frames.
    step: Duration,
}

/// What comes next, and when.
enum Next {
    Frame(Frame),
    /// The last frame has been shown for as long as the one before it.
    End(Duration),
}

/// Makes a track for each of the feeds, and a task that writes their frames when their time has come. The first frame
/// waits until somebody takes it, so that whoever connects sees the beginning. The task ends when the frames or all
/// tracks have ended.
pub(crate) fn start(feeds: Vec<(Kind, Frames)>) -> Result<Vec<MediaStreamTrack>, Error> {
    let runtime = runtime()?;
    let (tracks, feeds) = feeds.into_iter().map(|(kind, frames)| open(kind, frames)).unzip();
    runtime.spawn(pump(feeds));
    Ok(tracks)
}

/// The same for one track.
pub(crate) fn start_one(kind: Kind, frames: Frames) -> Result<MediaStreamTrack, Error> {
    let runtime = runtime()?;
    let (track, feed) = open(kind, frames);
    runtime.spawn(pump(vec![feed]));
    Ok(track)
}

fn open(kind: Kind, mut frames: Frames) -> (MediaStreamTrack, Feed) {
    let source = Arc::new(Source::default());
    let next = frames.next().map_or(Next::End(Duration::ZERO), Next::Frame);
    let feed = Feed { source: Arc::downgrade(&source), next, frames, step: Duration::ZERO };
    (MediaStreamTrack::from_source(kind, source), feed)
}

async fn pump(mut feeds: Vec<Feed>) {
    let mut begin = Instant::now();
    // All are offered, so that those who can begin do so together.
    while feeds.iter().filter_map(Feed::write).sum::<usize>() == 0 {
        feeds.retain(Feed::is_wanted);
        if feeds.is_empty() {
            return;
        }
        begin += HOLD;
        sleep_until(begin).await;
    }
    let zero = feeds.iter().map(Feed::due).min().unwrap_or_default();
    feeds.iter_mut().for_each(Feed::advance);
    let begin = Instant::now();
    loop {
        feeds.retain(Feed::is_wanted);
        let Some(feed) = feeds.iter_mut().min_by_key(|feed| feed.due()) else { return };
        sleep_until(begin + feed.due().saturating_sub(zero)).await;
        feed.write();
        feed.advance();
    }
}

impl Feed {
    fn due(&self) -> Duration {
        match &self.next {
            Next::Frame(frame) => frame.presentation,
            Next::End(at) => *at,
        }
    }

    /// Writes the frame that is due, or ends the tracks; how many senders took it, if there are still tracks.
    fn write(&self) -> Option<usize> {
        let source = self.source.upgrade()?;
        match &self.next {
            Next::Frame(frame) => source.write(frame),
            Next::End(_) => {
                source.end();
                None
            }
        }
    }

    /// True while there is a track that may send what comes.
    fn is_wanted(&self) -> bool {
        self.source.upgrade().is_some_and(|source| source.is_live())
    }

    fn advance(&mut self) {
        let before = self.due();
        self.next = match self.frames.next() {
            Some(frame) => {
                self.step = frame.presentation.saturating_sub(before);
                Next::Frame(frame)
            }
            None => Next::End(before.saturating_add(self.step)),
        };
    }
}
