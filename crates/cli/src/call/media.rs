//! The media part of the local call: pc1 plays the clip in real time, pc2 compares what comes in with it.

use std::time::{Duration, Instant};

use taut::{Frame, Kind, MediaStream, MediaStreamTrack, PeerConnection};
use tokio::sync::oneshot;
use tokio::time::sleep_until;

use super::progress::{Count, Counters};
use crate::clip::{Clip, Part};

/// How often [`drain`] looks.
const LOOK: Duration = Duration::from_millis(5);

/// What pc1 sends on.
pub(super) struct Tracks {
    video: MediaStreamTrack,
    audio: MediaStreamTrack,
}

/// Adds a stream of a video and an audio track.
pub(super) fn add_tracks(pc: &PeerConnection) -> Result<Tracks, taut::Error> {
    let tracks =
        Tracks { video: MediaStreamTrack::new(Kind::Video), audio: MediaStreamTrack::new(Kind::Audio) };
    let stream = MediaStream::new([tracks.video.clone(), tracks.audio.clone()]);
    pc.add_stream(&stream)?;
    Ok(tracks)
}

/// Plays the clip for `length`, over and over.
pub(super) async fn play(clip: &Clip, tracks: &Tracks, length: Duration, counters: &Counters) {
    tokio::join!(
        play_part(&clip.video, &tracks.video, length, &counters.video_sent),
        play_part(&clip.audio, &tracks.audio, length, &counters.audio_sent),
    );
}

async fn play_part(part: &Part, track: &MediaStreamTrack, length: Duration, sent: &Count) {
    let begin = tokio::time::Instant::now();
    for frame in part.looped().take_while(|frame| frame.presentation < length) {
        sleep_until(begin + frame.presentation).await;
        // A frame that is refused counts as sent: it will be missing on the other side.
        sent.add(1);
        if let Err(error) = track.write_frame(&frame) {
            tracing::warn!(%error, "a frame was refused");
        }
    }
}

/// pc2: counts the frames that are equal to the next one of the clip. When some are missing, it goes on behind them.
pub(super) async fn receive(
    clip: &Clip,
    track: &MediaStreamTrack,
    counters: &Counters,
    mut first: Option<oneshot::Sender<Instant>>,
) {
    let (part, received) = match track.kind() {
        Kind::Video => (&clip.video, &counters.video_received),
        Kind::Audio => (&clip.audio, &counters.audio_received),
    };
    let mut next = 0;
    while let Some(Frame { data, received: at, .. }) = track.recv_frame().await {
        let Some(found) = part.find(&data, next) else {
            tracing::warn!(kind = ?track.kind(), next, "a frame came that is not in the clip");
            continue;
        };
        if found > next {
            tracing::warn!(kind = ?track.kind(), missing = ?(next..found), "frames are missing");
        }
        next = found + 1;
        received.add(1);
        if let (Some(first), Some(at)) = (first.take(), at) {
            let _ = first.send(at); // Nobody waits for it any more when the call has failed.
        }
    }
}

/// Waits until everything that was sent has arrived, or `limit` has passed.
pub(super) async fn drain(counters: &Counters, limit: Duration) {
    let all = async {
        while !counters.media_complete() {
            tokio::time::sleep(LOOK).await;
        }
    };
    let _ = tokio::time::timeout(limit, all).await; // What is missing shows in the counts.
}
