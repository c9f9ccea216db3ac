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
    next: Option<Frame>,
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
    let feed = Feed { source: Arc::downgrade(&source), next: frames.next(), frames };
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
    let zero = feeds.iter().filter_map(Feed::due).min().unwrap_or_default();
    feeds.iter_mut().for_each(Feed::advance);
    let begin = Instant::now();
    loop {
        feeds.retain(Feed::is_wanted);
        let Some(feed) = feeds.iter_mut().min_by_key(|feed| feed.due()) else { return };
        sleep_until(begin + feed.due().unwrap_or_default().saturating_sub(zero)).await;
        feed.write();
        feed.advance();
    }
}

impl Feed {
    fn due(&self) -> Option<Duration> {
        self.next.as_ref().map(|frame| frame.presentation)
    }

    /// Writes the frame that is due; `None` when nobody can take it any more.
    fn write(&self) -> Option<usize> {
        self.source.upgrade()?.write(self.next.as_ref()?)
    }

    /// True if it has a frame, and a track that may send it.
    fn is_wanted(&self) -> bool {
        let source = self.source.upgrade();
        if self.next.is_none() {
            source.inspect(|source| source.end());
            return false;
        }
        source.is_some_and(|source| source.is_live())
    }

    fn advance(&mut self) {
        self.next = self.frames.next();
    }
}
