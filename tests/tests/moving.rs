//! Running transfers whose addresses change underneath: real sockets, real interfaces, in a network namespace.
//!
//! Runs with `TAUT_INTEROP=1`, as root, on Linux. Each test starts this binary again inside a namespace, where the part that is
//! marked as ignored does the work: it takes addresses from an interface and gives it others while two connections of its own
//! talk to each other over it.

#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

use std::process::Command;
use std::time::Duration;

use taut::{
    AddressFilter, Configuration, ConnectionState, DataChannel, DataChannelInit, Event, Events, IceTcpPolicy,
    Message, PeerConnection,
};
use taut_tests::interop::turn;
use taut_tests::namespace::Namespace;
use taut_tests::process::{output, text, through};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long one test may take on a busy machine, and any step of it.
const LIMIT: Duration = Duration::from_secs(240);
const STEP: Duration = Duration::from_secs(100);

/// Runs one of the ignored tests in a namespace.
fn inside(name: &str) {
    let Some(_turn) = turn(name) else { return };
    let namespace = Namespace::new().expect("TAUT_INTEROP needs root and iproute2");
    let test = std::env::current_exe().expect("the running test has a path");
    let mut command = through(&namespace.launcher(), &test);
    command.args([name, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    let ended = output(&mut command, LIMIT);
    print!("{}", text(&ended));
    assert!(ended.status.success() && text(&ended).contains("1 passed"), "{name} failed:\n{}", text(&ended));
}

#[test]
fn a_transfer_survives_a_change_of_address() {
    inside("in_namespace_one_side_moves");
}

#[test]
fn a_transfer_survives_a_gap_without_an_address() {
    inside("in_namespace_one_side_moves_after_a_gap");
}

#[test]
fn a_restart_finds_two_sides_that_moved_at_once() {
    inside("in_namespace_both_sides_move");
}

#[test]
fn without_the_option_nothing_is_followed() {
    inside("in_namespace_nothing_is_followed");
}

fn ip(words: &str) {
    let status = Command::new("ip").args(words.split_whitespace()).status().expect("ip runs");
    assert!(status.success(), "ip {words}");
}

fn give(address: &str) {
    ip(&format!("addr add {address}/24 dev va"));
}

fn take(address: &str) {
    ip(&format!("addr del {address}/24 dev va"));
}

/// Side `n` has the addresses 10.78.n.1 and, later, 10.79.n.1, and one candidate for each.
fn config(n: u8) -> Configuration {
    let network = |net: u8| format!("10.{net}.{n}.0/24").parse().expect("a network");
    let filter = AddressFilter::default().with_network(network(78)).with_network(network(79));
    Configuration::default().with_address_filter(filter).with_ice_tcp(IceTcpPolicy::Off)
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(STEP, future).await.unwrap_or_else(|_| panic!("timed out: {what}"))
}

async fn describe(pc: &PeerConnection) -> taut::SessionDescription {
    pc.set_local_description(None).await.expect("a description");
    within("gathering", pc.gathering_complete()).await;
    pc.local_description().expect("it was set")
}

/// Descriptions with all candidates, and nothing after them.
async fn negotiate(a: &PeerConnection, b: &PeerConnection) {
    b.set_remote_description(describe(a).await).await.expect("an offer");
    a.set_remote_description(describe(b).await).await.expect("an answer");
}

struct Scene {
    a: PeerConnection,
    b: PeerConnection,
    a_events: Events,
    _b_events: Events,
    sender: JoinHandle<()>,
    incoming: DataChannel,
    received: u64,
}

impl Scene {
    /// Two connections; one sends numbers to the other from now on, fifty a second.
    async fn new() -> Self {
        give("10.78.1.1");
        give("10.78.2.1");
        let (a, a_events) = PeerConnection::new(config(1)).expect("a connection");
        let (b, mut b_events) = PeerConnection::new(config(2)).expect("a connection");
        let channel = a.create_data_channel("x", DataChannelInit::default()).expect("a channel");
        negotiate(&a, &b).await;
        within("a connects", a.connected()).await.expect("connected");
        let incoming = within("a channel", async {
            loop {
                if let Some(Event::DataChannel(channel)) = b_events.recv().await {
                    return channel;
                }
            }
        })
        .await;
        let sender = tokio::spawn(async move {
            for number in 0u64.. {
                if channel.send(Message::text(number.to_string())).await.is_err() {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
        Self { a, b, a_events, _b_events: b_events, sender, incoming, received: 0 }
    }

    /// Takes the next numbers, in order and without a gap.
    async fn receive(&mut self, count: u64) {
        for _ in 0..count {
            let message = within("a number", self.incoming.recv()).await;
            assert_eq!(message, Some(Message::text(self.received.to_string())));
            self.received += 1;
        }
    }

    /// Goes on receiving until the path of `a` begins at this address.
    async fn until_local(&mut self, address: &str) {
        let local = |pc: &PeerConnection| {
            let pair = pc.transport().ice_transport().selected_candidate_pair();
            pair.is_some_and(|pair| pair.local.address.starts_with(&format!("{address}:")))
        };
        within("the move", async {
            while !local(&self.a) {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    fn end(self) {
        assert_eq!(self.a.connection_state(), ConnectionState::Connected);
        self.sender.abort();
    }
}

#[tokio::test]
#[ignore = "runs in a namespace"]
async fn in_namespace_one_side_moves() {
    let mut scene = Scene::new().await;
    scene.receive(50).await;
    give("10.79.1.1");
    scene.receive(50).await;
    take("10.78.1.1");
    scene.until_local("10.79.1.1").await;
    // What was sent before, and what comes over the new path.
    scene.receive(200).await;
    scene.end();
}

#[tokio::test]
#[ignore = "runs in a namespace"]
async fn in_namespace_one_side_moves_after_a_gap() {
    let mut scene = Scene::new().await;
    scene.receive(50).await;
    take("10.78.1.1");
    sleep(Duration::from_secs(2)).await;
    give("10.79.1.1");
    scene.until_local("10.79.1.1").await;
    scene.receive(200).await;
    scene.end();
}

#[tokio::test]
#[ignore = "runs in a namespace"]
async fn in_namespace_both_sides_move() {
    let mut scene = Scene::new().await;
    scene.receive(50).await;
    for n in [1, 2] {
        take(&format!("10.78.{n}.1"));
        give(&format!("10.79.{n}.1"));
    }
    // Both have the new addresses once they are told of, and neither is told the other's.
    for pc in [&scene.a, &scene.b] {
        within("a new candidate", async {
            let has = || {
                let all = pc.transport().ice_transport().local_candidates();
                all.len() == 1 && all.iter().all(|candidate| candidate.candidate.contains(" 10.79."))
            };
            while !has() {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
    scene.a.restart_ice();
    negotiate(&scene.a, &scene.b).await;
    scene.until_local("10.79.1.1").await;
    scene.receive(200).await;
    scene.end();
}

#[tokio::test]
#[ignore = "runs in a namespace"]
async fn in_namespace_nothing_is_followed() {
    let mut scene = Scene::new().await;
    let (fixed, _events) =
        PeerConnection::new(config(1).with_gather_continually(false)).expect("a connection");
    fixed.create_data_channel("x", DataChannelInit::default()).expect("a channel");
    describe(&fixed).await;
    give("10.79.1.1");
    // Both would be told by the same watcher at the same time.
    within("the new candidate of the other one", async {
        loop {
            match scene.a_events.recv().await.expect("an event") {
                Event::IceCandidate(Some(candidate)) if candidate.candidate.contains(" 10.79.1.1 ") => return,
                _ => {}
            }
        }
    })
    .await;
    take("10.78.1.1");
    scene.until_local("10.79.1.1").await;
    let candidates = fixed.transport().ice_transport().local_candidates();
    assert_eq!(candidates.len(), 1);
    assert!(candidates[0].candidate.contains(" 10.78.1.1 "), "{candidates:?}");
    scene.receive(100).await;
    scene.end();
}
