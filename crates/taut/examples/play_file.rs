//! Plays a video file (VP8 in IVF) and an audio file (Opus in Ogg) in real time to a second peer in the same process,
//! which counts the frames that arrive. Nothing is decoded or encoded: frames go out as they are in the files.
//!
//! ```console
//! $ cargo run -p taut --example play_file                          # three seconds of the clip of this repository
//! $ cargo run -p taut --example play_file -- VIDEO.ivf AUDIO.ogg   # your own files, to their end
//! ```

mod shared;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use shared::{CLIP, Failure, connect, connection};
use taut::{Event, Events, FileOptions, Kind, MediaStream, PeerConnection};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (video, audio, limit) = match (arguments.next(), arguments.next()) {
        (Some(video), Some(audio)) => (video, audio, Duration::MAX),
        (None, _) => (format!("{CLIP}/clip.ivf"), format!("{CLIP}/clip.ogg"), Duration::from_secs(3)),
        _ => return Err("usage: play_file [VIDEO.ivf AUDIO.ogg]".into()),
    };
    let (video, audio) = (Bytes::from(std::fs::read(video)?), Bytes::from(std::fs::read(audio)?));

    let (player, _) = connection()?;
    let (viewer, viewer_events) = connection()?;

    // The stream waits for the first sender that is connected, so that nothing of its beginning is missed.
    let stream = MediaStream::from_ivf_ogg(video, audio, FileOptions::default())?;
    player.add_stream(&stream)?;
    connect(&player, &viewer).await?;
    let viewing = tokio::spawn(view(viewer_events));

    // Its tracks end with the files.
    let ended = async {
        for track in stream.tracks() {
            track.ended().await;
        }
    };
    if timeout(limit, ended).await.is_err() {
        stream.stop();
    }
    sleep(Duration::from_millis(100)).await; // what is on its way arrives
    let sent = sent(&player).await;
    player.close().await;
    let received = viewing.await?;
    println!("sent {sent:?}\nreceived {received:?}");
    assert!(!sent.is_empty());
    assert_eq!(sent, received, "frames were lost between two sockets of the same host");
    Ok(())
}

/// Frames sent of each kind.
async fn sent(player: &PeerConnection) -> BTreeMap<String, u64> {
    let stats = player.stats().await;
    stats.outbound_rtp().map(|outbound| (name(outbound.kind), outbound.stream.frames_sent)).collect()
}

/// Counts the frames of all tracks until the connection is closed. A player would decode them here.
async fn view(mut events: Events) -> BTreeMap<String, u64> {
    let mut tracks = JoinSet::new();
    while let Some(event) = events.recv().await {
        if let Event::Track(event) = event {
            tracks.spawn(async move {
                let mut frames = 0;
                while let Some(frame) = event.track.recv_frame().await {
                    assert!(frame.contiguous, "a frame is missing before this one");
                    frames += 1;
                }
                (name(event.track.kind()), frames)
            });
        }
    }
    tracks.join_all().await.into_iter().collect()
}

fn name(kind: Kind) -> String {
    format!("{kind:?}")
}
