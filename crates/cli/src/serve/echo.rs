//! The peer behind `POST /echo`: it sends every track and every message back.

use std::time::Duration;

use taut::{
    Configuration, ConnectionState, DataChannel, Event, Events, MediaStream, MediaStreamTrack,
    PeerConnection, RtpSender, SdpType, SessionDescription, TrackEvent,
};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::sessions::{OpenError, SessionId, Sessions};

/// How long the answer waits for candidates. There is no server to ask, so that this is a matter of milliseconds.
const GATHER: Duration = Duration::from_secs(2);

/// How long a client may take to connect after its answer; then the session ends.
const CONNECT: Duration = Duration::from_secs(15);

/// Why an offer was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    /// The offer is wrong, or asks for what cannot be.
    #[error("the offer was refused: {0}")]
    Offer(taut::Error),
    /// There is no place for another session.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The connection could not be made.
    #[error("the connection could not be made: {0}")]
    Setup(taut::Error),
}

/// Answers an offer and starts the session.
pub(super) async fn answer(sessions: &Sessions, offer: &str) -> Result<(SessionId, String), AnswerError> {
    let configuration = Configuration::default().with_loopback(sessions.loopback());
    let (pc, events) = PeerConnection::new(configuration).map_err(AnswerError::Setup)?;
    let id = sessions.open(pc.clone())?;
    // From here on the session ends by itself, whatever becomes of this request.
    let session = Session { id, sessions: sessions.clone(), pc };
    let (session, events) = session.negotiate(events, offer).await?;
    let answer = session.pc.local_description().map(|description| description.sdp).unwrap_or_default();
    tokio::spawn(session.run(events));
    Ok((id, answer))
}

/// A session. Dropping it ends it: it leaves the table, and its connection is closed.
struct Session {
    id: SessionId,
    sessions: Sessions,
    pc: PeerConnection,
}

impl Session {
    /// Sets the offer, arranges for every track to be sent back, and sets the answer, with its candidates.
    async fn negotiate(self, mut events: Events, offer: &str) -> Result<(Self, Events), AnswerError> {
        let offer = SessionDescription::new(SdpType::Offer, offer);
        self.pc.set_remote_description(offer).await.map_err(AnswerError::Offer)?;
        let stream = MediaStream::new([]);
        while let Some(event) = events.try_recv() {
            if let Event::Track(event) = event {
                let track = MediaStreamTrack::new(event.track.kind());
                let sender = self.pc.add_track(&track, &[&stream]).map_err(AnswerError::Setup)?;
                tokio::spawn(echo_keyframe_requests(sender.clone(), event.clone()));
                tokio::spawn(echo_packets(event, sender));
            }
        }
        self.pc.set_local_description(None).await.map_err(AnswerError::Offer)?;
        let _ = timeout(GATHER, self.pc.gathering_complete()).await; // What is found until then will do.
        Ok((self, events))
    }

    /// Lives until the connection ends, for whatever reason.
    async fn run(self, mut events: Events) {
        if !matches!(timeout(CONNECT, self.until_connected(&mut events)).await, Ok(true)) {
            tracing::debug!(session = %self.id, "the client did not connect");
            return;
        }
        while let Some(event) = events.recv().await {
            match event {
                Event::DataChannel(channel) => drop(tokio::spawn(echo_messages(channel))),
                Event::ConnectionStateChange(ConnectionState::Failed | ConnectionState::Closed) => break,
                _ => {}
            }
        }
    }

    async fn until_connected(&self, events: &mut Events) -> bool {
        loop {
            match events.recv().await {
                Some(Event::ConnectionStateChange(ConnectionState::Connected)) => return true,
                Some(Event::ConnectionStateChange(ConnectionState::Failed | ConnectionState::Closed))
                | None => return false,
                // Only a connected client can open one; it may have been announced first.
                Some(Event::DataChannel(channel)) => {
                    tokio::spawn(echo_messages(channel));
                    return true;
                }
                Some(_) => {}
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The tasks that echo hold handles of the connection, so that it would not close by itself.
        if let (Some(pc), Ok(runtime)) = (self.sessions.remove(self.id), Handle::try_current()) {
            runtime.spawn(async move { pc.close().await });
        }
    }
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

/// Sends every message of a channel back. While the client reads too slowly, no more of its messages are taken.
async fn echo_messages(channel: DataChannel) {
    while let Some(message) = channel.recv().await {
        if channel.send(message).await.is_err() {
            return;
        }
    }
}
