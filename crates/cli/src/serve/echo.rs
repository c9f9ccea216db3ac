//! The peer behind `POST /echo`: it sends every track back.

use taut::{Event, Events, Kind, MediaStream, MediaStreamTrack, PeerConnection, RtpSender, TrackEvent};

use super::session::Refusal;

/// Sends back every track that the client has offered.
pub(super) fn add_tracks(pc: &PeerConnection, events: &mut Events) -> Result<(), Refusal> {
    let stream = MediaStream::new([]);
    while let Some(event) = events.try_recv() {
        if let Event::Track(event) = event {
            let track = MediaStreamTrack::new(event.track.kind());
            let sender = pc.add_track(&track, &[&stream]).map_err(Refusal::Setup)?;
            start(event, sender);
        }
    }
    Ok(())
}

/// Offers to take, and to send back, a track of each kind.
pub(super) fn offer(pc: &PeerConnection) -> Result<(), Refusal> {
    let stream = MediaStream::new([]);
    for kind in [Kind::Audio, Kind::Video] {
        pc.add_track(&MediaStreamTrack::new(kind), &[&stream]).map_err(Refusal::Setup)?;
    }
    Ok(())
}

/// Sends back what comes in on a track.
pub(super) fn start(event: TrackEvent, sender: RtpSender) {
    tokio::spawn(echo_keyframe_requests(sender.clone(), event.clone()));
    tokio::spawn(echo_packets(event, sender));
}

/// Sends every packet of a track back, as it came.
async fn echo_packets(event: TrackEvent, sender: RtpSender) {
    while let Some(packet) = event.track.recv_rtp().await {
        // Refused while the way back is full or not yet there: such a packet is lost, as on any network.
        if let Err(error) = sender.send_rtp(packet) {
            tracing::trace!(%error, "a packet is not sent back");
        }
    }
}

/// Hands the client's requests for a key frame to the one that can make it: the client itself.
async fn echo_keyframe_requests(sender: RtpSender, event: TrackEvent) {
    while sender.keyframe_requested().await.is_some() {
        event.receiver.request_keyframe();
    }
}
