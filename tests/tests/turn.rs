//! TURN against coturn, on loopback: connections of taut through coturn's server, and coturn's client through ours.
//!
//! Runs with `TAUT_INTEROP=1` where coturn is installed, and says so where it is not.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "real servers take real time")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use taut::turn_server::ServerConfig;
use taut::{
    Configuration, ConnectionState, DataChannel, DataChannelInit, Event, Events, IceServer,
    IceTransportPolicy, Loopback, Message, OfferOptions, PeerConnection, TurnCredentials, TurnServer,
    TurnServerOptions,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const LIMIT: Duration = Duration::from_secs(60);

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

fn free_port() -> u16 {
    // One that is free for UDP and TCP.
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = udp.local_addr().unwrap().port();
        if std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("taut-turn-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        fs::write(&file, text).unwrap();
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A certificate for loopback, and its key.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A running coturn.
struct Coturn {
    child: Child,
    port: u16,
    tls_port: u16,
    arguments: Vec<String>,
    roots: String,
    _folder: Folder,
}

impl Coturn {
    fn start(name: &str, more: &[&str]) -> Self {
        let folder = Folder::new(name);
        let (roots, key) = certificate();
        let (certificate, key) = (folder.write("c.pem", &roots), folder.write("k.pem", &key));
        let (port, tls_port) = (free_port(), free_port());
        let mut arguments: Vec<String> = [
            "-n",
            "--listening-ip=127.0.0.1",
            "--relay-ip=127.0.0.1",
            "--realm=lab.test",
            "--fingerprint",
            "--min-port=49152",
            "--max-port=49999",
            "--no-stdout-log",
            "--simple-log",
            "--allow-loopback-peers",
            "--cli-password=x",
            "--no-cli",
        ]
        .map(str::to_owned)
        .into();
        arguments.extend([
            format!("--listening-port={port}"),
            format!("--tls-listening-port={tls_port}"),
            format!("--cert={}", certificate.display()),
            format!("--pkey={}", key.display()),
            format!("--log-file={}", folder.0.join("turn.log").display()),
            format!("--pidfile={}", folder.0.join("turn.pid").display()),
            format!("--userdb={}", folder.0.join("db.sqlite").display()),
        ]);
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let child = Self::spawn(&arguments);
        let this = Self { child, port, tls_port, arguments, roots, _folder: folder };
        this.wait();
        this
    }

    fn spawn(arguments: &[String]) -> Child {
        let mut command = Command::new("turnserver");
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("coturn starts")
    }

    fn wait(&self) {
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(begun.elapsed() < LIMIT, "coturn does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn restart(&mut self) {
        self.child = Self::spawn(&self.arguments);
        self.wait();
    }

    fn urls(&self) -> [String; 3] {
        [
            format!("turn:127.0.0.1:{}", self.port),
            format!("turn:127.0.0.1:{}?transport=tcp", self.port),
            format!("turns:127.0.0.1:{}", self.tls_port),
        ]
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        self.kill();
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

fn forward(mut events: Events, other: PeerConnection) -> UnboundedReceiver<Event> {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let Event::IceCandidate(candidate) = event else {
                let _ = sender.send(event);
                continue;
            };
            // It may be found before the description is there.
            while other.remote_description().is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // One of before a restart may come after it, and is not wanted any more.
            let _ = other.add_ice_candidate(candidate).await;
        }
    });
    receiver
}

fn relayed_pair(url: &str, user: (&str, &str), roots: &str) -> (Side, Side) {
    let make = || {
        let server = IceServer::parse(url).unwrap().with_credentials(user.0, user.1);
        let config = Configuration::default()
            .with_loopback(Loopback::Always)
            .with_ice_server(server)
            .with_ice_transport_policy(IceTransportPolicy::Relay)
            .with_turn_roots(roots);
        PeerConnection::new(config).unwrap()
    };
    let ((a, a_events), (b, b_events)) = (make(), make());
    let a_events = forward(a_events, b.clone());
    let b_events = forward(b_events, a.clone());
    (Side { pc: a, events: a_events }, Side { pc: b, events: b_events })
}

async fn negotiate(a: &PeerConnection, b: &PeerConnection) {
    b.set_remote_description(a.local_description().unwrap()).await.unwrap();
    b.set_local_description(None).await.unwrap();
    a.set_remote_description(b.local_description().unwrap()).await.unwrap();
}

/// Connects and gives the two ends of a channel.
async fn open(a: &Side, b: &mut Side) -> (DataChannel, DataChannel) {
    let chat = a.pc.create_data_channel("chat", DataChannelInit::default()).unwrap();
    a.pc.set_local_description(None).await.unwrap();
    negotiate(&a.pc, &b.pc).await;
    let other = within("a channel", async {
        loop {
            if let Some(Event::DataChannel(channel)) = b.events.recv().await {
                return channel;
            }
        }
    })
    .await;
    within("opens", chat.opened()).await.unwrap();
    (chat, other)
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_goes_through_coturn_over_udp_tcp_and_tls() {
    if !wanted("turnserver") {
        return;
    }
    let coturn = Coturn::start("users", &["--lt-cred-mech", "--user=lab:lab"]);
    for url in coturn.urls() {
        let (a, mut b) = relayed_pair(&url, ("lab", "lab"), &coturn.roots);
        let (chat, other) = open(&a, &mut b).await;
        echo(&chat, &other).await;
        println!("{url}: fine");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_limited_names_and_nonces_that_run_out_are_fine_with_coturn() {
    if !wanted("turnserver") {
        return;
    }
    let more = ["--use-auth-secret", "--static-auth-secret=north", "--stale-nonce=3"];
    let coturn = Coturn::start("secret", &more);
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let made = TurnCredentials::time_limited("north", "bob", unix + Duration::from_secs(600));
    for url in &coturn.urls()[..2] {
        let (a, mut b) = relayed_pair(url, (&made.username, &made.password), &coturn.roots);
        let (chat, other) = open(&a, &mut b).await;
        // Longer than a nonce is good, and than the server may be silent.
        for _ in 0..3 {
            echo(&chat, &other).await;
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        assert_eq!(a.pc.connection_state(), ConnectionState::Connected);
        println!("{url}: fine");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coturn_that_is_killed_is_noticed_and_used_again() {
    if !wanted("turnserver") {
        return;
    }
    let mut coturn = Coturn::start("killed", &["--lt-cred-mech", "--user=lab:lab"]);
    let url = coturn.urls()[0].clone();
    let (a, mut b) = relayed_pair(&url, ("lab", "lab"), &coturn.roots);
    let (chat, other) = open(&a, &mut b).await;
    echo(&chat, &other).await;
    coturn.kill();
    let died = Instant::now();
    while a.pc.ice_connection_state() == taut::IceConnectionState::Connected
        || a.pc.ice_connection_state() == taut::IceConnectionState::Completed
    {
        assert!(died.elapsed() < Duration::from_secs(12), "not noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("noticed after {:?}", died.elapsed());
    tokio::time::sleep(Duration::from_secs(12).saturating_sub(died.elapsed())).await;
    coturn.restart();
    let back = Instant::now();
    let offer = a.pc.create_offer(OfferOptions::default().with_ice_restart(true)).await.unwrap();
    a.pc.set_local_description(offer).await.unwrap();
    negotiate(&a.pc, &b.pc).await;
    let message = Message::text("still there?");
    chat.send(message.clone()).await.unwrap();
    assert_eq!(within("a message", other.recv()).await, Some(message));
    println!("recovered after {:?}", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(10));
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
    let mut peer = Command::new("turnutils_peer")
        .args(["-L", "127.0.0.1", "-p", &peer_port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (udp, tcp, tls) = (
        server.udp_addresses()[0].port(),
        server.tcp_addresses()[0].port(),
        server.tls_addresses()[0].port(),
    );
    let peer_port = peer_port.to_string();
    for (what, port, arguments) in [
        ("channels over UDP", udp, &["-u", "lab", "-w", "lab"][..]),
        ("indications over UDP", udp, &["-s", "-u", "lab", "-w", "lab"]),
        ("the shared secret", udp, &["-u", "bob", "-W", "north"]),
        ("channels over TCP", tcp, &["-t", "-u", "lab", "-w", "lab"]),
        ("channels over TLS", tls, &["-t", "-S", "-u", "lab", "-w", "lab"]),
    ] {
        let port = port.to_string();
        let mut command = Command::new("turnutils_uclient");
        command.args([
            "-c",
            "-n",
            "50",
            "-m",
            "2",
            "-l",
            "170",
            "-e",
            "127.0.0.1",
            "-r",
            &peer_port,
            "-p",
            &port,
        ]);
        command.args(arguments).arg("127.0.0.1").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reading = tokio::task::spawn_blocking(move || lines.map_while(Result::ok).collect::<Vec<_>>());
        let lines = tokio::time::timeout(LIMIT, reading).await;
        let _ = child.kill();
        let _ = child.wait();
        let lines = lines.expect("it ends").unwrap();
        let lost = lines.iter().rev().find(|line| line.contains("Total lost packets"));
        let lost = lost.unwrap_or_else(|| panic!("{what}: {lines:#?}"));
        assert!(lost.contains("Total lost packets 0"), "{what}: {lost}");
        println!("{what}: {}", lost.trim());
    }
    let _ = peer.kill();
    let _ = peer.wait();
}
