//! A forwarder: one publisher, many viewers. It does not decode, it does not even put frames together: RTP packets
//! come in and go out to everybody, rewritten for each connection, and what viewers ask for (a key frame, because they
//! came late or lost something) is passed up to the publisher. Here all of them are in one process.
//!
//! ```console
//! $ cargo run -p taut --example forwarder                 # three viewers
//! $ cargo run -p taut --example forwarder -- VIEWERS
//! ```

mod shared;

use std::time::Duration;

use bytes::Bytes;
use shared::{CLIP, Failure, connect, connection};
use taut::container::ivf;
use taut::{Codec, Event, Frame, Kind, MediaStreamTrack, PeerConnection, TrackEvent};
use tokio::time::{Instant, interval, sleep};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let viewers: usize = std::env::args().nth(1).map_or(Ok(3), |number| number.parse())?;

    // The publisher, and the connection that it has to the forwarder.
    let camera = MediaStreamTrack::new(Kind::Video);
    let publishing = tokio::spawn(publish(camera.clone()));
    let (publisher, incoming) = send(&camera).await?;

    // In the forwarder one local track takes what comes in, and is sent on the connections to all viewers.
    let relay = MediaStreamTrack::new(Kind::Video);
    tokio::spawn(forward(incoming, relay.clone()));

    let mut watching = Vec::new();
    for number in 1..=viewers {
        let (outgoing, event) = send(&relay).await?;
        watching.push((tokio::spawn(watch(number, event)), outgoing));
        sleep(Duration::from_millis(300)).await;
    }
    for (watching, outgoing) in watching {
        watching.await??;
        outgoing.close().await;
    }
    camera.stop();
    let requests = publishing.await??;
    println!("the publisher was asked for a key frame {requests} times");
    assert!(requests > 0 || viewers == 0, "every viewer waited for a key frame instead of asking for one");
    publisher.close().await;
    Ok(())
}

/// What the forwarder does: packets down, requests for key frames up.
async fn forward(from: TrackEvent, to: MediaStreamTrack) -> Result<(), taut::Error> {
    loop {
        tokio::select! {
            packet = from.track.recv_rtp() => match packet {
                Some(packet) => drop(to.write_rtp(&packet)?),
                None => return Ok(()),
            },
            Some(()) = to.keyframe_requested() => from.receiver.request_keyframe(),
        }
    }
}

/// Sends the clip, of which one picture in sixty is a key frame, round and round until the track is stopped. An encoder makes a key frame when it is asked for one;
/// here we jump to the next in the file. Returns how often that was.
async fn publish(camera: MediaStreamTrack) -> Result<usize, Failure> {
    let mut reader = ivf::Reader::new(Bytes::from(std::fs::read(format!("{CLIP}/clip.ivf"))?))?;
    let pictures = std::iter::from_fn(|| reader.next_frame()).collect::<Result<Vec<_>, _>>()?;
    // The lowest bit of a VP8 frame is 0 in a key frame (RFC 6386 section 9.1).
    let is_key = |picture: &ivf::Frame| picture.data.first().is_some_and(|first| first & 1 == 0);
    let (begin, mut clock) = (Instant::now(), interval(Duration::from_secs(1) / 30));
    let (mut pictures, mut requests) = (pictures.iter().cycle().peekable(), 0);
    loop {
        tokio::select! {
            requested = camera.keyframe_requested() => match requested {
                Some(()) => {
                    requests += 1;
                    while pictures.next_if(|picture| !is_key(picture)).is_some() {}
                }
                None => return Ok(requests),
            },
            _ = clock.tick() => {
                let picture = pictures.next().ok_or("the clip is empty")?;
                let frame = Frame::new(Codec::Vp8, picture.data.clone(), begin.elapsed());
                camera.write_frame(&frame.with_keyframe(is_key(picture)))?;
            }
        }
    }
}

/// Watches a second of video.
async fn watch(number: usize, event: TrackEvent) -> Result<(), Failure> {
    let begin = Instant::now();
    let first = event.track.recv_frame().await.ok_or("no video")?;
    println!("viewer {number} has a picture after {:?}", begin.elapsed());
    assert!(first.keyframe);
    for _ in 0..30 {
        assert!(event.track.recv_frame().await.ok_or("the video ended")?.contiguous);
    }
    Ok(())
}

/// Connects two new peers of which the first sends a track; returns it, and what the second one receives.
async fn send(track: &MediaStreamTrack) -> Result<(PeerConnection, TrackEvent), Failure> {
    let ((from, _), (to, mut events)) = (connection()?, connection()?);
    from.add_track(track, &[])?;
    connect(&from, &to).await?;
    loop {
        if let Event::Track(event) = events.recv().await.ok_or("the connection was closed")? {
            return Ok((from, event));
        }
    }
}
