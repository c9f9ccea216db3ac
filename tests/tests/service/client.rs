//! A client of the server.

use std::time::Duration;

use serde_json::Value;
use taut::{
    Configuration, Event, Events, Kind, Loopback, MediaStreamTrack, PeerConnection, SessionDescription,
    TrackEvent,
};
use taut_tests::http::{Response, request};
use taut_tests::process::Server;
use taut_tests::workspace;

pub(crate) const SDP: (&str, &str) = ("Content-Type", "application/sdp");
pub(crate) const FRAGMENT: (&str, &str) = ("Content-Type", "application/trickle-ice-sdpfrag");

/// How long anything may take, on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn start() -> Server {
    Server::start_with(&[], workspace::taut(), &[])
}

pub(crate) fn send(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    request(server.authority(), method, path, headers, body.as_bytes())
}

/// A client, and where its session is.
pub(crate) struct Client {
    pub(crate) pc: PeerConnection,
    pub(crate) events: Events,
    pub(crate) location: String,
    pub(crate) tag: String,
}

impl Client {
    pub(crate) fn connection() -> (PeerConnection, Events) {
        PeerConnection::new(Configuration::default().with_loopback(Loopback::Always)).expect("a connection")
    }

    /// Calls with an offer, whose candidates are in it.
    pub(crate) async fn call(server: &Server, path: &str, (pc, events): (PeerConnection, Events)) -> Self {
        pc.set_local_description(None).await.expect("an offer");
        pc.gathering_complete().await;
        let offer = pc.local_description().expect("it was set").sdp;
        let client = Self::created(server, path, (pc, events), &[SDP], &offer);
        let (mut client, answer) = client;
        client.pc.set_remote_description(SessionDescription::answer(answer)).await.expect("a good answer");
        client.until_connected().await;
        client
    }

    /// Calls without an offer, and answers the server's.
    pub(crate) async fn answer(server: &Server, path: &str, (pc, events): (PeerConnection, Events)) -> Self {
        let (mut client, offer) = Self::created(server, path, (pc, events), &[], "");
        let pc = &client.pc;
        pc.set_remote_description(SessionDescription::offer(offer)).await.expect("a good offer");
        for (transceiver, kind) in pc.transceivers().iter().zip([Kind::Audio, Kind::Video]) {
            assert_eq!(transceiver.sender().kind(), kind);
            pc.add_track(&MediaStreamTrack::new(kind), &[]).expect("a sender");
        }
        pc.set_local_description(None).await.expect("an answer");
        pc.gathering_complete().await;
        let answer = pc.local_description().expect("it was set").sdp;
        assert_eq!(send(server, "PATCH", &client.location, &[SDP], &answer).status, 204);
        client.until_connected().await;
        client
    }

    pub(crate) fn created(
        server: &Server,
        path: &str,
        (pc, events): (PeerConnection, Events),
        headers: &[(&str, &str)],
        body: &str,
    ) -> (Self, String) {
        let created = send(server, "POST", path, headers, body);
        assert_eq!(created.status, 201, "{created:?}");
        let header = |name: &str| created.header(name).expect(name).to_owned();
        (Self { pc, events, location: header("location"), tag: header("etag") }, created.body)
    }

    pub(crate) async fn until_connected(&mut self) {
        let connected = tokio::time::timeout(LIMIT, self.pc.connected()).await;
        connected.expect("in time").expect("connected");
    }

    /// The next thing of the events that `pick` takes.
    pub(crate) async fn event<T>(&mut self, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let search = async {
            loop {
                let event = self.events.recv().await.unwrap_or_else(|| panic!("no more events: {what}"));
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(LIMIT, search).await.unwrap_or_else(|_| panic!("timed out: {what}"))
    }

    pub(crate) async fn tracks(&mut self) -> [TrackEvent; 2] {
        let track = |event| if let Event::Track(event) = event { Some(event) } else { None };
        let tracks = [self.event("a track", track).await, self.event("a track", track).await];
        if tracks[0].track.kind() == Kind::Video {
            tracks
        } else {
            let [a, v] = tracks;
            [v, a]
        }
    }

    pub(crate) fn stats(&self, server: &Server) -> Vec<Value> {
        let stats = send(server, "GET", &format!("{}/stats", self.location), &[], "");
        assert_eq!(
            (stats.status, stats.header("content-type")),
            (200, Some("application/json")),
            "{stats:?}"
        );
        match serde_json::from_str(&stats.body).expect("JSON") {
            Value::Array(entries) => entries,
            other => panic!("no array: {other}"),
        }
    }

    pub(crate) async fn end(self, server: &Server) {
        assert_eq!(send(server, "DELETE", &self.location, &[], "").status, 200);
        tokio::time::timeout(LIMIT, self.pc.closed()).await.expect("DELETE says goodbye");
        assert_eq!(send(server, "GET", &format!("{}/stats", self.location), &[], "").status, 404);
        assert_eq!(send(server, "GET", "/sessions", &[], "").body.trim(), r#"{"open":0}"#);
    }
}
