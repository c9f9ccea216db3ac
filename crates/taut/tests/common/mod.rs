//! Two connections in one process, and the signaling between them.

#![allow(dead_code, reason = "not every test needs everything")]

pub(crate) mod proxy;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use taut::{Configuration, Event, Events, IceCandidate, Loopback, PeerConnection, SessionDescription};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// No step of a test may take longer; none comes near, unless the machine is very busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Awaits with the limit.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(output) => output,
        Err(_) => panic!("timed out: {what}"),
    }
}

/// The configuration of every connection; the environment variable `TAUT_DTLS` names the DTLS engine.
pub(crate) fn config() -> Configuration {
    let engine = std::env::var("TAUT_DTLS").map(|name| name.parse().expect("the name of a DTLS engine"));
    Configuration::default().with_loopback(Loopback::Always).with_dtls_engine(engine.unwrap_or_default())
}

/// One side: the connection, and its events but for the candidates, which go to the other side.
pub(crate) struct Side {
    pub(crate) pc: PeerConnection,
    pub(crate) events: UnboundedReceiver<Event>,
}

impl Side {
    /// The next event for which `pick` gives something; others are skipped.
    pub(crate) async fn event<T>(&mut self, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        within(what, async {
            loop {
                let event = self.events.recv().await.unwrap_or_else(|| panic!("no more events: {what}"));
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        })
        .await
    }
}

/// Two connections whose candidates find each other.
pub(crate) fn pair() -> (Side, Side) {
    pair_of(PeerConnection::new(config()).unwrap(), PeerConnection::new(config()).unwrap())
}

pub(crate) fn pair_of(a: (PeerConnection, Events), b: (PeerConnection, Events)) -> (Side, Side) {
    let ((a, a_events), (b, b_events)) = (a, b);
    let (a_moved, b_moved) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let to_b = forward(a_events, b.clone(), a_moved.clone(), b_moved.clone());
    let to_a = forward(b_events, a.clone(), b_moved, a_moved);
    (Side { pc: a, events: to_b }, Side { pc: b, events: to_a })
}

/// Gives candidates to the other side, as soon as that knows a description, and everything else to the test. Ends with the
/// connection. `moved` is told of every event, and `other_moved` tells of those of the other side.
fn forward(
    mut events: Events,
    other: PeerConnection,
    moved: Arc<Notify>,
    other_moved: Arc<Notify>,
) -> UnboundedReceiver<Event> {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        let mut early = Vec::new();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::IceCandidate(candidate)) => early.push(candidate),
                    Some(event) => {
                        moved.notify_one();
                        let _ = sender.send(event);
                    }
                    None => return,
                },
                () = other_moved.notified() => {}
            }
            // One of a restart may come before the description that it belongs to, and waits for it; one of before may come after
            // it, and waits in vain.
            let belongs = |candidate: &Option<IceCandidate>| {
                let ufrag = candidate.as_ref().and_then(|candidate| candidate.username_fragment.as_ref());
                let line = ufrag.map(|ufrag| format!("a=ice-ufrag:{ufrag}\r\n")).unwrap_or_default();
                other.remote_description().is_some_and(|description| description.sdp.contains(&line))
            };
            for candidate in std::mem::take(&mut early) {
                if !belongs(&candidate) {
                    early.push(candidate);
                } else if let Err(error) = other.add_ice_candidate(candidate.clone()).await {
                    let closed = other.connection_state() == taut::ConnectionState::Closed;
                    assert!(closed || !belongs(&candidate), "{error}");
                }
            }
        }
    });
    receiver
}

/// Offer from `a`, answer from `b`.
pub(crate) async fn negotiate(a: &PeerConnection, b: &PeerConnection) {
    a.set_local_description(None).await.unwrap();
    b.set_remote_description(a.local_description().unwrap()).await.unwrap();
    b.set_local_description(None).await.unwrap();
    a.set_remote_description(b.local_description().unwrap()).await.unwrap();
}

/// Its description, with all its candidates in it.
pub(crate) async fn complete(pc: &PeerConnection) -> SessionDescription {
    pc.set_local_description(None).await.unwrap();
    within("gathering", pc.gathering_complete()).await;
    pc.local_description().unwrap()
}

/// As [`negotiate`], where nobody carries the candidates over.
pub(crate) async fn negotiate_complete(a: &PeerConnection, b: &PeerConnection) {
    b.set_remote_description(complete(a).await).await.unwrap();
    a.set_remote_description(complete(b).await).await.unwrap();
}

pub(crate) async fn connected(a: &PeerConnection, b: &PeerConnection) {
    within("a connects", a.connected()).await.unwrap();
    within("b connects", b.connected()).await.unwrap();
}

/// Waits until the runtime runs no more than `count` tasks.
pub(crate) async fn until_tasks(count: usize) {
    let metrics = tokio::runtime::Handle::current().metrics();
    let done = async {
        while metrics.num_alive_tasks() > count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    if tokio::time::timeout(LIMIT, done).await.is_err() {
        panic!("{} tasks are alive, not {count}", metrics.num_alive_tasks());
    }
}
