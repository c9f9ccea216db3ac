//! Calls between two hosts behind routers that translate addresses: the kernel's translation, in network namespaces.
//!
//! Runs with `TAUT_INTEROP=1`, as root, on Linux, with nftables. What `crates/ice/tests/nats.rs` says of simulated translators
//! must hold with these: every combination connects, directly where that is possible, else through `taut turn-server`.
//!
//! ```text
//!  client 1 ---- router 1 ---- server ---- router 2 ---- client 2
//! ```
//!
//! The two sides are processes of their own: this binary again, with one of its ignored tests.

#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use taut::{
    Configuration, DataChannel, DataChannelInit, Event, IceCandidatePair, IceServer, Message, PeerConnection,
    SessionDescription,
};
use taut_tests::interop::turn;
use taut_tests::namespace::Namespace;
use taut_tests::process::{Background, output, text, through};
use taut_tests::scratch::Scratch;
use taut_tests::turn::{REALM, USER};
use taut_tests::workspace;
use tokio::time::{sleep, timeout};

/// How long one side of one call may take on a busy machine, and any step of it.
const LIMIT: Duration = Duration::from_secs(400);
const STEP: Duration = Duration::from_secs(100);

/// The address of the server, which no candidate has but a relayed one.
const SERVER: &str = "198.51.100.1";

/// Where the two sides of a call leave their descriptions for each other, and the way that they wait for.
const FOLDER: &str = "TAUT_KERNEL_NAT_FOLDER";
const WAY: &str = "TAUT_KERNEL_NAT_WAY";

/// What a router does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It routes: the client has a public address.
    Open,
    /// Endpoint-independent mapping and filtering (RFC 4787): all that comes for its address goes to the client.
    FullCone,
    /// Endpoint-independent mapping, address and port-dependent filtering: what the kernel does by default.
    PortRestricted,
    /// Address and port-dependent mapping and filtering: every flow has a random port.
    Symmetric,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Open, Self::FullCone, Self::PortRestricted, Self::Symmetric];

    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::FullCone => "full cone",
            Self::PortRestricted => "port restricted",
            Self::Symmetric => "symmetric",
        }
    }

    /// The rules of a router with the address `public` before the host `client`.
    fn rules(self, public: &str, client: &str) -> Option<String> {
        // Without the chain `input`, what comes too early would be taken for a connection to the router itself, and keep its
        // port from the client.
        let (leaving, arriving, forwarded) = match self {
            Self::Open => return None,
            Self::FullCone => {
                (format!("snat to {public}"), format!("iifname outside dnat to {client}"), "accept")
            }
            Self::PortRestricted => {
                ("masquerade persistent".to_owned(), String::new(), "iifname outside ct state new drop")
            }
            Self::Symmetric => {
                // Ports of two ranges, so that no flow has by chance the port that the server saw.
                let random = "meta l4proto { tcp, udp } masquerade to";
                let leaving = format!(
                    "ip daddr {SERVER} {random} :1024-32767 fully-random;
                     oifname outside {random} :32768-65535 fully-random"
                );
                (leaving, String::new(), "iifname outside ct state new drop")
            }
        };
        Some(format!(
            "table ip translation {{
                chain leaving {{ type nat hook postrouting priority srcnat; oifname outside {leaving}; }}
                chain arriving {{ type nat hook prerouting priority dstnat; {arriving}; }}
                chain forwarded {{ type filter hook forward priority filter; {forwarded}; }}
                chain entering {{ type filter hook input priority filter; iifname outside drop; }}
            }}"
        ))
    }
}

/// `+` connects directly, `r` through a relay: what `crates/ice/tests/nats.rs` has for EI/EI (open and full cone), EI/APD and
/// APD/APD.
const TABLE: &str = "
open                +    +    +    +
full cone           +    +    +    +
port restricted     +    +    +    r
symmetric           +    +    r    r";

fn expected(row: usize, column: usize) -> &'static str {
    let line = TABLE.trim().lines().nth(row).expect("a row for every kind");
    line[16..].split_whitespace().nth(column).expect("a column for every kind")
}

/// Two clients behind a router each, and the TURN server between them.
struct Network {
    _server: Background,
    clients: [Namespace; 2],
    _others: Vec<Namespace>,
}

impl Network {
    fn new(kinds: [Kind; 2]) -> Result<Self, String> {
        let server = Namespace::bare()?;
        server.ip(&format!("addr add {SERVER}/32 dev lo"))?;
        // Addresses that nobody has.
        server.ip("route add blackhole default")?;
        forward(&server);
        let first = side(1, kinds[0], &server)?;
        let second = side(2, kinds[1], &server)?;
        let listen = format!("{SERVER}:3478");
        let mut command = through(&server.launcher(), workspace::taut());
        command.args(["turn-server", "--realm", REALM, "--listen", &listen]);
        command.args(["--user", &format!("{USER}:{USER}")]);
        let process = Background::start(&mut command);
        Ok(Self { _server: process, clients: [first.0, second.0], _others: vec![first.1, second.1, server] })
    }
}

/// The client and the router of side `n`.
fn side(n: u8, kind: Kind, server: &Namespace) -> Result<(Namespace, Namespace), String> {
    let (client, router) = (Namespace::bare()?, Namespace::bare()?);
    let (near, far) = (format!("192.0.2.{}", 4 * n + 1), format!("192.0.2.{}", 4 * n + 2));
    let host = |last: u8| match kind {
        Kind::Open => format!("203.0.113.{}", 16 * n + last),
        _ => format!("10.{n}.0.{last}"),
    };
    router.ip(&format!("link add outside type veth peer name side{n} netns {}", server.name()))?;
    router.ip(&format!("link add inside type veth peer name uplink netns {}", client.name()))?;
    for (namespace, link, address) in [
        (server, format!("side{n}"), format!("{near}/30")),
        (&router, "outside".to_owned(), format!("{far}/30")),
        (&router, "inside".to_owned(), format!("{}/28", host(1))),
        (&client, "uplink".to_owned(), format!("{}/28", host(2))),
    ] {
        namespace.ip(&format!("addr add {address} dev {link}"))?;
        namespace.ip(&format!("link set {link} up"))?;
    }
    client.ip(&format!("route add default via {}", host(1)))?;
    router.ip(&format!("route add default via {near}"))?;
    forward(&router);
    match kind.rules(&far, &host(2)) {
        None => server.ip(&format!("route add {}/28 via {far}", host(0)))?,
        Some(rules) => nft(&router, &rules)?,
    }
    Ok((client, router))
}

/// Lets a namespace route.
fn forward(namespace: &Namespace) {
    let mut command = through(&namespace.launcher(), Path::new("sh"));
    let ended = output(command.args(["-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]), STEP);
    assert!(ended.status.success(), "{}", text(&ended));
}

/// Gives the kernel these rules for a namespace.
fn nft(namespace: &Namespace, rules: &str) -> Result<(), String> {
    let mut command = through(&namespace.launcher(), Path::new("nft"));
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("ip runs");
    child.stdin.take().expect("stdin is piped").write_all(rules.as_bytes()).expect("nft reads");
    let ended = child.wait_with_output().expect("nft ends");
    if ended.status.success() { Ok(()) } else { Err(text(&ended)) }
}

/// Asks the kernel for every kind of translation, and prints what it says.
fn kernel_translates() -> bool {
    let there = Command::new("nft").arg("--version").output();
    assert!(
        there.is_ok_and(|ended| ended.status.success()),
        "TAUT_INTEROP needs nft of the package nftables"
    );
    for rules in Kind::ALL.iter().filter_map(|kind| kind.rules("192.0.2.1", "10.0.0.2")) {
        let namespace = Namespace::bare().expect("TAUT_INTEROP needs root and iproute2");
        let Err(error) = nft(&namespace, &rules) else { continue };
        // What a kernel without the parts says. Anything else is a fault of the rules, or of this machine.
        let missing = ["Operation not supported", "Protocol not supported", "No such file or directory"];
        assert!(missing.iter().any(|text| error.contains(text)), "{rules}\n{error}");
        println!("SKIPPED: this kernel does not translate addresses: {error}");
        return false;
    }
    println!("probe: this kernel translates addresses");
    true
}

/// Makes a call, and says what way it went: `+`, `r`, or `x` where there was none.
fn call(kinds: [Kind; 2], way: &str) -> &'static str {
    let network = Network::new(kinds).expect("TAUT_INTEROP needs root and iproute2");
    let folder = Scratch::new();
    let run = |client: &Namespace, name: &str| {
        let test = std::env::current_exe().expect("the running test has a path");
        let mut command = through(&client.launcher(), &test);
        command.args([name, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
        output(command.env(FOLDER, folder.path()).env(WAY, way), LIMIT)
    };
    let [first, second] = &network.clients;
    let ended = thread::scope(|scope| {
        let answering = scope.spawn(|| run(second, "in_namespace_answer"));
        [run(first, "in_namespace_offer"), answering.join().expect("it ran")]
    });
    let ways = ended.each_ref().map(|ended| {
        let text = text(ended);
        let path = text.lines().find_map(|line| line.strip_prefix("path "));
        path.filter(|_| ended.status.success()).map(str::to_owned)
    });
    let [Some(one), Some(other)] = &ways else {
        println!("{kinds:?} has no call:\n{}\n{}", text(&ended[0]), text(&ended[1]));
        return "x";
    };
    println!("{:16}{:16}{one}", kinds[0].name(), kinds[1].name());
    assert_eq!(one.split(' ').next(), other.split(' ').next(), "two ends of one path");
    if one.starts_with('r') { "r" } else { "+" }
}

#[test]
fn every_combination_connects_and_directly_where_that_is_possible() {
    let Some(_turn) = turn("kernel NAT") else { return };
    if !kernel_translates() {
        return;
    }
    let mut table = String::new();
    for (row, a) in Kind::ALL.into_iter().enumerate() {
        table += &format!("{:16}", a.name());
        for (column, b) in Kind::ALL.into_iter().enumerate() {
            table += &format!("{:>5}", call([a, b], expected(row, column)));
        }
        table.push('\n');
    }
    println!("{table}");
    assert_eq!(table.trim(), TABLE.trim());
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(STEP, future).await.unwrap_or_else(|_| panic!("timed out: {what}"))
}

/// Where the descriptions are.
fn folder() -> PathBuf {
    std::env::var_os(FOLDER).expect("the test that started this one says it").into()
}

/// Leaves the local description, with all candidates, for the other side.
async fn leave(pc: &PeerConnection, name: &str) {
    pc.set_local_description(None).await.expect("a description");
    within("gathering", pc.gathering_complete()).await;
    let sdp = pc.local_description().expect("it was set").sdp;
    let part = folder().join("part").with_extension(name);
    fs::write(&part, sdp).expect("the folder can be written");
    fs::rename(part, folder().join(name)).expect("the folder can be written");
}

/// Waits for what the other side leaves.
async fn take(name: &str) -> String {
    within("a description", async {
        loop {
            if let Ok(sdp) = fs::read_to_string(folder().join(name)) {
                return sdp;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

fn configuration() -> Configuration {
    let server = IceServer::parse(&format!("turn:{SERVER}:3478")).expect("a URL");
    Configuration::default().with_ice_server(server.with_credentials(USER, USER))
}

/// How a pair goes: `r`, or `+` without a relay.
fn way(pair: &IceCandidatePair) -> &'static str {
    let relayed = |address: &str| address.starts_with(&format!("{SERVER}:"));
    if relayed(&pair.local.address) || relayed(&pair.remote.address) { "r" } else { "+" }
}

/// Waits until the path is the one that is waited for. Relays may be first.
async fn settled(pc: &PeerConnection) {
    let wanted = std::env::var(WAY).expect("the test that started this one says it");
    let found = || pc.transport().ice_transport().selected_candidate_pair();
    let wait = async {
        while found().is_none_or(|pair| way(&pair) != wanted) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    // What it is instead is told below.
    let _ = timeout(STEP, wait).await;
}

fn tell_path(pc: &PeerConnection) {
    let pair = pc.transport().ice_transport().selected_candidate_pair().expect("a path");
    let ends = [&pair.local, &pair.remote].map(|end| format!("{} {}", end.candidate_type, end.address));
    // The harness has begun a line.
    println!("\npath {} {}", way(&pair), ends.join(" <-> "));
}

/// Sends something and waits until it is back.
async fn there_and_back(channel: &DataChannel, text: &str) {
    channel.send(Message::text(text)).await.expect("sent");
    assert_eq!(within(text, channel.recv()).await, Some(Message::text(text)));
}

#[tokio::test]
#[ignore = "runs in a namespace"]
async fn in_namespace_offer() {
    let (pc, _events) = PeerConnection::new(configuration()).expect("a connection");
    let channel = pc.create_data_channel("x", DataChannelInit::default()).expect("a channel");
    leave(&pc, "offer").await;
    pc.set_remote_description(SessionDescription::answer(take("answer").await)).await.expect("an answer");
    within("connecting", pc.connected()).await.expect("connected");
    there_and_back(&channel, "hello").await;
    settled(&pc).await;
    for number in 0..50 {
        there_and_back(&channel, &number.to_string()).await;
    }
    // The other side settles before it answers.
    channel.send(Message::text("bye")).await.expect("sent");
    let answer = timeout(2 * STEP, channel.recv()).await.expect("an answer");
    assert_eq!(answer, Some(Message::text("bye")));
    tell_path(&pc);
    pc.close().await;
}

#[tokio::test]
#[ignore = "runs in a namespace"]
async fn in_namespace_answer() {
    let (pc, mut events) = PeerConnection::new(configuration()).expect("a connection");
    pc.set_remote_description(SessionDescription::offer(take("offer").await)).await.expect("an offer");
    leave(&pc, "answer").await;
    let channel = within("a channel", async {
        loop {
            if let Event::DataChannel(channel) = events.recv().await.expect("an event") {
                return channel;
            }
        }
    })
    .await;
    loop {
        let message = timeout(2 * STEP, channel.recv()).await.expect("a message").expect("a message");
        let last = message == Message::text("bye");
        if last {
            settled(&pc).await;
            tell_path(&pc);
        }
        channel.send(message).await.expect("sent");
        if last {
            break;
        }
    }
    // The other side hangs up, once it has the last message.
    let _ = timeout(STEP, channel.recv()).await;
}
