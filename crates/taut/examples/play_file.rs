//! Plays a VP8 file (IVF) and an Opus file (Ogg) to a second peer in the same process, which counts what arrives:
//! `cargo run -p taut --example play_file -- crates/cli/assets/clip.ivf crates/cli/assets/clip.ogg`.

use bytes::Bytes;
use taut::{
    Configuration, Error, Event, Events, FileOptions, Loopback, MediaStream, PeerConnection, TrackEvent,
};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut names = std::env::args().skip(1);
    let (Some(video), Some(audio)) = (names.next(), names.next()) else {
        return Err("usage: play_file VIDEO.ivf AUDIO.ogg".into());
    };
    let (video, audio) = (Bytes::from(std::fs::read(video)?), Bytes::from(std::fs::read(audio)?));

    let config = Configuration::default().with_loopback(Loopback::Always);
    let (sender, sender_events) = PeerConnection::new(config.clone())?;
    let (receiver, receiver_events) = PeerConnection::new(config)?;
    let stream = MediaStream::from_ivf_ogg(video, audio, FileOptions::default())?;
    sender.add_stream(&stream)?;

    sender.set_local_description(None).await?;
    receiver.set_remote_description(sender.local_description().ok_or("no offer")?).await?;
    receiver.set_local_description(None).await?;
    sender.set_remote_description(receiver.local_description().ok_or("no answer")?).await?;
    tokio::spawn(handle(sender_events, receiver.clone()));
    let receiving = tokio::spawn(handle(receiver_events, sender.clone()));

    for track in stream.tracks() {
        track.ended().await;
    }
    sender.close().await;
    Ok(receiving.await??)
}

/// Gives the candidates to the other side and counts the frames of tracks, until the connection is closed.
async fn handle(mut events: Events, other: PeerConnection) -> Result<(), Error> {
    let mut tracks = JoinSet::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::IceCandidate(candidate) => other.add_ice_candidate(candidate).await?,
            Event::Track(event) => drop(tracks.spawn(count(event))),
            _ => {}
        }
    }
    tracks.join_all().await;
    Ok(())
}

async fn count(event: TrackEvent) {
    let mut frames = 0;
    while event.track.recv_frame().await.is_some() {
        frames += 1;
    }
    println!("{:?}: {frames} frames", event.track.kind());
}
