//! TURN, on loopback: calls of taut through coturn and through `taut turn-server`, and coturn's client through ours.
//!
//! Runs with `TAUT_INTEROP=1` where coturn is installed, and says so where it is not.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "real servers take real time")]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use taut::turn_server::ServerConfig;
use taut::{
    Codec, Configuration, ConnectionState, DataChannel, DataChannelInit, Event, Events, Frame, IceCandidate,
    IceConnectionState, IceServer, IceTransportPolicy, Kind, Loopback, MediaStreamTrack, Message,
    OfferOptions, PeerConnection, TurnCredentials, TurnServer, TurnServerOptions,
};
use taut_tests::process::{Background, output, text};
use taut_tests::turn::{SECRET, Scheme, TurnProcess, USER, certificate, free_port};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// How soon it must be noticed that a server is dead.
const NOTICED: Duration = Duration::from_secs(12);

/// How soon a call must be there again after its server.
const RECOVERED: Duration = Duration::from_secs(10);

fn wanted(program: &str) -> bool {
    if std::env::var_os("TAUT_INTEROP").is_none() {
        println!("skipped: set TAUT_INTEROP=1 to run it");
        return false;
    }
    let there = Command::new("which").arg(program).stdout(Stdio::null()).status();
    let there = there.is_ok_and(|status| status.success());
    assert!(there, "TAUT_INTEROP is set, but {program} of the package coturn is not installed");
    true
}

/// A clock that stands still while this process does not get to run: what is measured with it is the time that taut
/// takes, and not the time that a busy machine takes.
#[derive(Clone)]
struct Clock(Arc<AtomicU32>);

impl Clock {
    const TICK: Duration = Duration::from_millis(20);

    fn start() -> Self {
        let ticks = Arc::new(AtomicU32::new(0));
        let counted = Arc::downgrade(&ticks);
        tokio::spawn(async move {
            while let Some(ticks) = counted.upgrade() {
                ticks.fetch_add(1, Ordering::Relaxed);
                drop(ticks);
                tokio::time::sleep(Self::TICK).await;
            }
        });
        Self(ticks)
    }

    fn now(&self) -> Duration {
        Self::TICK * self.0.load(Ordering::Relaxed)
    }
}

async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(output) => output,
        Err(_) => panic!("timed out: {what}"),
    }
}

/// A connection that has relays alone, and what happens to it but for its candidates.
struct Side {
    pc: PeerConnection,
    events: UnboundedReceiver<Event>,
}

fn forward(mut events: Events, pc: PeerConnection, other: PeerConnection) -> UnboundedReceiver<Event> {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let Event::IceCandidate(candidate) = event else {
                let _ = sender.send(event);
                continue;
            };
            // It may be found before the description that it belongs to is there, also the one of a restart. One of before a
            // restart may come after it, and is not wanted any more.
            while is_current(&pc, candidate.as_ref())
                && other.add_ice_candidate(candidate.clone()).await.is_err()
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    receiver
}

/// True unless a restart has followed, or the end.
fn is_current(pc: &PeerConnection, candidate: Option<&IceCandidate>) -> bool {
    let ufrag = candidate.and_then(|candidate| candidate.username_fragment.as_deref());
    let line = ufrag.map(|ufrag| format!("a=ice-ufrag:{ufrag}\r\n")).unwrap_or_default();
    let description = pc.local_description().filter(|_| pc.connection_state() != ConnectionState::Closed);
    description.is_some_and(|description| description.sdp.contains(&line))
}

/// Who asks a server of this scheme.
fn credentials(scheme: Scheme) -> (String, String) {
    match scheme {
        Scheme::Users => (USER.to_owned(), USER.to_owned()),
        Scheme::Secret => {
            let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
            let made = TurnCredentials::time_limited(SECRET, "bob", unix + Duration::from_secs(600));
            (made.username, made.password)
        }
    }
}

fn relay_only(url: &str, scheme: Scheme, roots: &str) -> Configuration {
    let (user, password) = credentials(scheme);
    Configuration::default()
        .with_loopback(Loopback::Always)
        .with_ice_server(IceServer::parse(url).unwrap().with_credentials(user, password))
        .with_ice_transport_policy(IceTransportPolicy::Relay)
        .with_turn_roots(roots)
}

fn relayed_pair(url: &str, scheme: Scheme, roots: &str) -> (Side, Side) {
    let make = || PeerConnection::new(relay_only(url, scheme, roots)).unwrap();
    let ((a, a_events), (b, b_events)) = (make(), make());
    let a_events = forward(a_events, a.clone(), b.clone());
    let b_events = forward(b_events, b.clone(), a.clone());
    (Side { pc: a, events: a_events }, Side { pc: b, events: b_events })
}

async fn negotiate(a: &PeerConnection, b: &PeerConnection) {
    b.set_remote_description(a.local_description().unwrap()).await.unwrap();
    b.set_local_description(None).await.unwrap();
    a.set_remote_description(b.local_description().unwrap()).await.unwrap();
}

/// A call: a channel, and a track from one side to the other.
struct Call {
    a: Side,
    b: Side,
    chat: DataChannel,
    other: DataChannel,
    source: MediaStreamTrack,
    sink: MediaStreamTrack,
    written: u32,
}

impl Call {
    async fn connect((a, mut b): (Side, Side)) -> Self {
        let chat = a.pc.create_data_channel("chat", DataChannelInit::default()).unwrap();
        let source = MediaStreamTrack::new(Kind::Audio);
        a.pc.add_track(&source, &[]).unwrap();
        a.pc.set_local_description(None).await.unwrap();
        negotiate(&a.pc, &b.pc).await;
        let (other, sink) = within("a channel and a track", async {
            let (mut channel, mut track) = (None, None);
            loop {
                match b.events.recv().await.expect("more events") {
                    Event::DataChannel(found) if found.label() == "chat" => channel = Some(found),
                    Event::Track(found) => track = Some(found.track),
                    _ => {}
                }
                if let (Some(channel), Some(track)) = (&channel, &track) {
                    return (channel.clone(), track.clone());
                }
            }
        })
        .await;
        within("opens", chat.opened()).await.unwrap();
        Self { a, b, chat, other, source, sink, written: 0 }
    }

    /// Messages of many lengths there and back, and sound.
    async fn works(&mut self) {
        echo(&self.chat, &self.other).await;
        let first = self.written;
        self.written += 25;
        let tone = |i: u32| {
            let data = [&[0xfc][..], &i.to_be_bytes()].concat();
            Frame::new(Codec::Opus, data, Duration::from_millis(u64::from(i) * 20))
        };
        let write = async {
            for i in first..first + 25 {
                self.source.write_frame(&tone(i)).unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        // What was written while there was no way is lost, as on any network; the last of these is not.
        let read = async {
            while let Some(frame) = self.sink.recv_frame().await {
                if frame.data == tone(first + 24).data {
                    return;
                }
            }
            panic!("the track has ended");
        };
        within("sound", async { tokio::join!(write, read) }).await;
    }

    /// Nothing but relays was used.
    fn assert_relayed(&self) {
        for pc in [&self.a.pc, &self.b.pc] {
            let sdp = pc.local_description().unwrap().sdp;
            assert!(
                sdp.contains("typ relay") && !sdp.contains("typ host") && !sdp.contains("typ srflx"),
                "{sdp}"
            );
        }
    }
}

async fn echo(chat: &DataChannel, other: &DataChannel) {
    for length in [1, 2, 3, 1_000, 60_000] {
        let message = Message::binary(vec![7; length]);
        chat.send(message.clone()).await.unwrap();
        let there = within("a message", other.recv()).await.expect("a message");
        assert_eq!(there, message);
        other.send(there).await.unwrap();
        assert_eq!(within("its echo", chat.recv()).await, Some(message));
    }
}

/// How a server is started: its name, the scheme, and how many seconds a nonce is good.
type Start = fn(Scheme, Option<u32>) -> TurnProcess;

async fn calls_go_through(start: Start) {
    for scheme in [Scheme::Users, Scheme::Secret] {
        let server = start(scheme, None);
        for url in server.urls() {
            let mut call = Call::connect(relayed_pair(&url, scheme, &server.roots)).await;
            call.works().await;
            call.assert_relayed();
            println!("{url}, {scheme:?}: fine");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_through_coturn_over_udp_tcp_and_tls_with_both_kinds_of_credentials() {
    if wanted("turnserver") {
        calls_go_through(TurnProcess::coturn).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_through_taut_over_udp_tcp_and_tls_with_both_kinds_of_credentials() {
    if wanted("turnserver") {
        calls_go_through(TurnProcess::taut).await;
    }
}

/// A side that waits for another one asks the server every 6.5 s whether it still has the allocation, each time with a nonce
/// that has run out by then. If it could not get a fresh one, it would lose its relay, and have another address.
async fn nonces_run_out(start: Start) {
    for scheme in [Scheme::Users, Scheme::Secret] {
        let server = start(scheme, Some(3));
        let calls = server.urls().map(|url| {
            let (a, b) = relayed_pair(&url, scheme, &server.roots);
            async move {
                let chat = a.pc.create_data_channel("early", DataChannelInit::default()).unwrap();
                a.pc.set_local_description(None).await.unwrap();
                within("the relay", a.pc.gathering_complete()).await;
                let gathered = a.pc.local_description().unwrap().sdp;
                tokio::time::sleep(Duration::from_secs(20)).await;
                assert_eq!(a.pc.local_description().unwrap().sdp, gathered, "{url}: the relay is the same");
                let mut call = Call::connect((a, b)).await;
                call.works().await;
                assert_eq!(call.a.pc.connection_state(), ConnectionState::Connected);
                call.assert_relayed();
                drop(chat);
                println!("{url}, {scheme:?}: fine");
            }
        });
        let [udp, tcp, tls] = calls;
        tokio::join!(udp, tcp, tls);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonces_of_coturn_that_run_out_are_replaced() {
    if wanted("turnserver") {
        nonces_run_out(TurnProcess::coturn).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonces_of_taut_that_run_out_are_replaced() {
    if wanted("turnserver") {
        nonces_run_out(TurnProcess::taut).await;
    }
}

/// Waits until a side says that it has lost the other one.
async fn notices(side: &mut Side, what: &str) {
    within(what, async {
        loop {
            match side.events.recv().await.expect("more events") {
                Event::IceConnectionStateChange(IceConnectionState::Disconnected) => return,
                Event::IceConnectionStateChange(
                    state @ (IceConnectionState::Failed | IceConnectionState::Closed),
                ) => {
                    panic!("{what}: {state:?} before disconnected")
                }
                _ => {}
            }
        }
    })
    .await;
}

/// The server dies in the middle of calls over UDP, TCP and TLS, and returns.
async fn a_dead_server_is_noticed_and_used_again(start: Start) {
    let mut server = start(Scheme::Users, None);
    let mut calls = Vec::new();
    for url in server.urls() {
        let mut call = Call::connect(relayed_pair(&url, Scheme::Users, &server.roots)).await;
        call.works().await;
        for side in [&mut call.a, &mut call.b] {
            // What happened on the way here.
            while side.events.try_recv().is_ok() {}
        }
        calls.push((url, call));
    }
    let clock = Clock::start();
    server.kill();
    let died = clock.now();
    let [udp, tcp, tls] = &mut calls[..] else { panic!("three calls") };
    let all_noticed = async |(url, call): &mut (String, Call)| {
        for side in [&mut call.a, &mut call.b] {
            notices(side, url).await;
        }
        let took = clock.now() - died;
        assert!(took <= NOTICED, "{url}: noticed after {took:?}");
        println!("{url}: noticed after {took:?}");
    };
    tokio::join!(all_noticed(udp), all_noticed(tcp), all_noticed(tls));
    server.restart();
    let back = clock.now();
    let all_recovered = async |(url, call): &mut (String, Call)| {
        let offer = call.a.pc.create_offer(OfferOptions::default().with_ice_restart(true)).await.unwrap();
        call.a.pc.set_local_description(offer).await.unwrap();
        negotiate(&call.a.pc, &call.b.pc).await;
        call.works().await;
        let took = clock.now() - back;
        assert!(took <= RECOVERED, "{url}: recovered after {took:?}");
        println!("{url}: recovered after {took:?}");
    };
    tokio::join!(all_recovered(udp), all_recovered(tcp), all_recovered(tls));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coturn_that_is_killed_is_noticed_and_used_again() {
    if wanted("turnserver") {
        a_dead_server_is_noticed_and_used_again(TurnProcess::coturn).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taut_server_that_is_killed_is_noticed_and_used_again() {
    if wanted("turnserver") {
        a_dead_server_is_noticed_and_used_again(TurnProcess::taut).await;
    }
}

/// Coturn's client: two clients send 50 messages of 170 octets each to the peer at `peer_port`.
fn client_of_coturn(port: u16, peer_port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new("turnutils_uclient");
    command.args("-c -n 50 -m 2 -l 170 -e 127.0.0.1".split(' '));
    command.args(["-r", &peer_port.to_string(), "-p", &port.to_string()]).args(arguments).arg("127.0.0.1");
    command
}

/// Runs coturn's client against a server of ours: it sends to a peer, which coturn brings along, and must get all back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coturns_client_goes_through_our_server() {
    if !wanted("turnutils_uclient") || !wanted("turnutils_peer") {
        return;
    }
    let local = Ipv4Addr::LOCALHOST;
    let (certificate, key) = certificate();
    let rules = ServerConfig::default()
        .with_realm("lab.test")
        .with_user("lab", "lab")
        .with_shared_secret("north")
        .with_relay(std::net::IpAddr::from(local))
        .with_allowed_peers("127.0.0.0/8".parse().unwrap());
    let any = SocketAddr::from((local, 0));
    let options = TurnServerOptions::new(rules).with_udp(any).with_tcp(any).with_tls(any);
    let server = TurnServer::bind(options.with_certificate(certificate, key)).await.unwrap();
    let peer_port = free_port();
    let _peer = Background::spawn(
        Command::new("turnutils_peer")
            .args(["-L", "127.0.0.1", "-p", &peer_port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    // Looked up, and not tried: whoever has the port, and be it for a moment, keeps the peer from it.
    let has_port = || {
        let sockets = std::fs::read_to_string("/proc/net/udp").expect("Linux");
        sockets.contains(&format!("0100007F:{peer_port:04X} "))
    };
    within("the peer has its port", async {
        while !has_port() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let (udp, tcp, tls) = (
        server.udp_addresses()[0].port(),
        server.tcp_addresses()[0].port(),
        server.tls_addresses()[0].port(),
    );
    for (what, port, arguments) in [
        ("channels over UDP", udp, &["-u", "lab", "-w", "lab"][..]),
        ("indications over UDP", udp, &["-s", "-u", "lab", "-w", "lab"]),
        ("the shared secret", udp, &["-u", "bob", "-W", "north"]),
        ("channels over TCP", tcp, &["-t", "-u", "lab", "-w", "lab"]),
        ("channels over TLS", tls, &["-t", "-S", "-u", "lab", "-w", "lab"]),
    ] {
        let mut command = client_of_coturn(port, peer_port, arguments);
        let ended = tokio::task::spawn_blocking(move || output(&mut command, LIMIT)).await.unwrap();
        let said = text(&ended);
        let lost = said.lines().rev().find(|line| line.contains("Total lost packets"));
        let lost = lost.unwrap_or_else(|| panic!("{what}: {said}"));
        assert!(lost.contains("Total lost packets 0"), "{what}: {lost}");
        println!("{what}: {}", lost.trim());
    }
}
