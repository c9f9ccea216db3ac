//! A session: one client's connection, from its first request to its end.

use std::time::Duration;

use taut::sdp::Session as Description;
use taut::{
    ConnectionState, DataChannel, DataChannelInit, ErrorKind, Event, Events, PeerConnection, SdpType,
    SessionDescription,
};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};

use super::fragments::ice_ufrag;
use super::sessions::{OpenError, SessionId, Sessions};
use super::{clip, echo, recordings};

/// How long a description waits for candidates. Without a server to ask, this is a matter of milliseconds.
const GATHER: Duration = Duration::from_secs(2);

/// How long a client may take to connect after its first request; then the session ends.
const CONNECT: Duration = Duration::from_secs(30);

/// The label of the data channel of a session that the server offers.
const LABEL: &str = "echo";

/// What the peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// It sends every track back.
    Echo,
    /// It plays the bundled clip.
    Clip,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// What the client sent is wrong, or asks for what cannot be.
    #[error("{0}")]
    Bad(String),
    /// It is right, and comes at the wrong time.
    #[error("{0}")]
    Conflict(String),
    /// There is no place for another session.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The clip cannot be played.
    #[error("the bundled clip cannot be read: {0}")]
    Clip(#[from] crate::clip::Error),
    /// The connection could not be made.
    #[error("the connection could not be made: {0}")]
    Setup(taut::Error),
}

impl Refusal {
    /// What the client sent was refused by the connection.
    pub(super) fn of(what: &str, error: &taut::Error) -> Self {
        let text = format!("{what} was refused: {error}");
        if error.kind() == ErrorKind::InvalidState { Self::Conflict(text) } else { Self::Bad(text) }
    }
}

/// A session that has begun: its name, and the description for the client.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) id: SessionId,
    pub(super) sdp: String,
    /// The name of its ICE session, see [`ice_session`].
    pub(super) ice_session: String,
}

/// Answers an offer and starts the session.
pub(super) async fn answer(sessions: &Sessions, service: Service, offer: &str) -> Result<Opened, Refusal> {
    let (session, mut events) = Session::open(sessions, service)?;
    session.set_remote(SdpType::Offer, offer).await?;
    match service {
        Service::Echo => echo::add_tracks(&session.pc, &mut events)?,
        Service::Clip => clip::answer(&session.pc)?,
    }
    session.set_local().await?;
    if service == Service::Clip && !clip::is_taken(&session.pc) {
        return Err(Refusal::Bad("the offer takes neither audio nor video".to_owned()));
    }
    session.start(events).await
}

/// Makes an offer and starts the session, in which the answer is awaited.
pub(super) async fn offer(sessions: &Sessions, service: Service) -> Result<Opened, Refusal> {
    let (session, events) = Session::open(sessions, service)?;
    match service {
        Service::Echo => echo::offer(&session.pc)?,
        Service::Clip => clip::offer(&session.pc)?,
    }
    let channel =
        session.pc.create_data_channel(LABEL, DataChannelInit::default()).map_err(Refusal::Setup)?;
    tokio::spawn(echo_messages(channel));
    session.set_local().await?;
    session.start(events).await
}

/// The client's answer to our offer.
pub(super) async fn set_answer(pc: &PeerConnection, answer: &str) -> Result<(), Refusal> {
    let answer = SessionDescription::answer(answer);
    pc.set_remote_description(answer).await.map_err(|error| Refusal::of("the answer", &error))
}

/// The name of the ICE session, for `ETag`: the user name fragment of this side, which every restart changes.
pub(super) fn ice_session(pc: &PeerConnection) -> String {
    let local = pc.local_description().and_then(|local| Description::parse(&local.sdp).ok());
    local.as_ref().and_then(ice_ufrag).unwrap_or_default().to_owned()
}

/// Waits for the candidates of our description. What is found until then will do.
pub(super) async fn gather(pc: &PeerConnection) {
    let _ = timeout(GATHER, pc.gathering_complete()).await;
}

/// A session. Dropping it ends it: it leaves the table, and its connection is closed.
struct Session {
    id: SessionId,
    sessions: Sessions,
    service: Service,
    pc: PeerConnection,
    opened: Instant,
}

impl Session {
    /// Makes a connection and enters it in the table. From here on it ends by itself, whatever becomes of the request.
    fn open(sessions: &Sessions, service: Service) -> Result<(Self, Events), Refusal> {
        sessions.check_room()?;
        let (pc, events) = sessions.settings().connect().map_err(Refusal::Setup)?;
        let id = sessions.open(pc.clone())?;
        Ok((Self { id, sessions: sessions.clone(), service, pc, opened: Instant::now() }, events))
    }

    async fn set_remote(&self, kind: SdpType, sdp: &str) -> Result<(), Refusal> {
        let description = SessionDescription::new(kind, sdp);
        self.pc.set_remote_description(description).await.map_err(|error| Refusal::of("the offer", &error))
    }

    /// Sets our description, and waits for its candidates.
    async fn set_local(&self) -> Result<(), Refusal> {
        let set = self.pc.set_local_description(None).await;
        set.map_err(|error| Refusal::of("the offer", &error))?;
        gather(&self.pc).await;
        Ok(())
    }

    /// Lets the session live on without the request.
    async fn start(self, events: Events) -> Result<Opened, Refusal> {
        let sdp = self.pc.local_description().map(|description| description.sdp).unwrap_or_default();
        let opened = Opened { id: self.id, sdp, ice_session: ice_session(&self.pc) };
        tokio::spawn(self.run(events));
        Ok(opened)
    }

    /// Lives until the connection ends, for whatever reason, or the client has not connected in time.
    async fn run(self, mut events: Events) {
        while self.pc.connection_state() != ConnectionState::Connected {
            let Ok(event) = timeout_at(self.opened + CONNECT, events.recv()).await else {
                return tracing::debug!(session = %self.id, "the client did not connect");
            };
            if !event.is_some_and(|event| self.on_event(event)) {
                return;
            }
        }
        self.record();
        while let Some(event) = events.recv().await {
            if !self.on_event(event) {
                return;
            }
        }
    }

    /// Records, if all calls are to be recorded.
    fn record(&self) {
        if self.service == Service::Echo && self.sessions.settings().record.is_some() {
            match self.sessions.recordings().start(self.id, &self.pc) {
                Ok(_) | Err(recordings::Error::Nothing) => {}
                Err(error) => tracing::error!(session = %self.id, %error, "not recorded"),
            }
        }
    }

    /// False at the end.
    fn on_event(&self, event: Event) -> bool {
        match event {
            Event::DataChannel(channel) => drop(tokio::spawn(echo_messages(channel))),
            Event::Track(event) if self.service == Service::Echo => {
                let sender = event.transceiver.sender();
                echo::start(event, sender);
            }
            Event::ConnectionStateChange(ConnectionState::Failed | ConnectionState::Closed) => return false,
            _ => {}
        }
        true
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

/// Sends every message of a channel back. While the client reads too slowly, no more of its messages are taken.
async fn echo_messages(channel: DataChannel) {
    while let Some(message) = channel.recv().await {
        if channel.send(message).await.is_err() {
            return;
        }
    }
}
