//! Connections that go through a TURN server of this process, and through nothing else: over UDP, TCP and TLS.

mod common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use common::proxy::{Manner, TestProxy};
use common::{Side, config, connected, negotiate, pair_of, within};
use taut::turn_server::ServerConfig;
use taut::{
    Configuration, DataChannel, DataChannelInit, Endpoint, ErrorKind, Event, IceServer, IceTransportPolicy,
    Message, PeerConnection, Proxy, ProxyKind, TurnCredentials, TurnServer, TurnServerOptions,
};
use taut_stun::attribute::ErrorCode;
use taut_stun::{Builder, Class, Message as StunMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn any_port() -> SocketAddr {
    SocketAddr::new(LOCAL, 0)
}

fn rules() -> ServerConfig {
    ServerConfig::default()
        .with_user("ann", "secret")
        .with_shared_secret("north")
        .with_relay(LOCAL)
        .with_allowed_peers("127.0.0.0/8".parse().unwrap())
}

/// A server on loopback, and the certificate that vouches for it.
async fn server() -> (TurnServer, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let options = TurnServerOptions::new(rules())
        .with_udp(any_port())
        .with_tcp(any_port())
        .with_tls(any_port())
        .with_certificate(certificate.clone(), key);
    (TurnServer::bind(options).await.unwrap(), certificate)
}

fn urls(server: &TurnServer) -> [String; 3] {
    [
        format!("turn:127.0.0.1:{}", server.udp_addresses()[0].port()),
        format!("turn:127.0.0.1:{}?transport=tcp", server.tcp_addresses()[0].port()),
        format!("turns:localhost:{}", server.tls_addresses()[0].port()),
    ]
}

fn relay_only(url: &str, roots: &str) -> Configuration {
    config()
        .with_ice_server(IceServer::parse(url).unwrap().with_credentials("ann", "secret"))
        .with_ice_transport_policy(IceTransportPolicy::Relay)
        .with_turn_roots(roots)
}

fn channel(event: Event) -> Option<DataChannel> {
    if let Event::DataChannel(channel) = event { Some(channel) } else { None }
}

/// A channel that is answered on the other side.
async fn chat(a: &Side, b: &mut Side) -> DataChannel {
    let chat = a.pc.create_data_channel("chat", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    connected(&a.pc, &b.pc).await;
    let other = b.event("a channel", channel).await;
    tokio::spawn(async move {
        while let Some(message) = other.recv().await {
            other.send(message).await.unwrap();
        }
    });
    within("opens", chat.opened()).await.unwrap();
    chat
}

/// Echoes messages of many lengths.
async fn echo(a: &Side, b: &mut Side) {
    let chat = chat(a, b).await;
    for length in [1, 2, 3, 4, 1_000, 1_200, 60_000] {
        chat.send(Message::binary(vec![7; length])).await.unwrap();
        let back = within("an echo", chat.recv()).await;
        assert_eq!(back, Some(Message::binary(vec![7; length])), "{length}");
    }
}

async fn given_back(server: &TurnServer) {
    within("the allocations are given back", async {
        while server.allocations() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[test]
fn the_key_of_the_certificate_does_not_show_itself() {
    let options = TurnServerOptions::new(rules()).with_certificate("the chain", "the key");
    let text = format!("{options:?}");
    assert!(text.contains("the chain") && !text.contains("the key"), "{text}");
}

/// Otherwise a client of IPv4 would be told of an address of IPv6 that stands for its own.
#[tokio::test]
async fn listeners_of_ipv6_leave_ipv4_to_others() {
    let any = SocketAddr::from(([0u16; 8], 0));
    let Ok(server) = TurnServer::bind(TurnServerOptions::new(rules()).with_udp(any).with_tcp(any)).await
    else {
        eprintln!("SKIPPED: no IPv6 here");
        return;
    };
    let udp = SocketAddr::new(LOCAL, server.udp_addresses()[0].port());
    let tcp = SocketAddr::new(LOCAL, server.tcp_addresses()[0].port());
    assert!(std::net::TcpStream::connect(tcp).is_err(), "nobody listens there");
    let client = std::net::UdpSocket::bind(any_port()).unwrap();
    client.connect(udp).unwrap();
    client.send(&[0; 20]).unwrap();
    let refused = client.recv(&mut [0; 20]).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

/// The 128th stream of an address is its last: the next is closed, and those of others are not.
#[tokio::test]
async fn one_address_does_not_take_all_streams() {
    let server = TurnServer::bind(TurnServerOptions::new(rules()).with_tcp(any_port())).await.unwrap();
    let address = server.tcp_addresses()[0];
    let open = |source: [u8; 4]| async move {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((source, 0))).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        // A Binding request: who is served is answered.
        let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        request.resize(20, 7);
        let _ = stream.write_all(&request).await;
        let served = within("an answer or the end", stream.read(&mut [0; 100])).await.is_ok_and(|n| n > 0);
        (stream, served)
    };
    let mut streams = Vec::new();
    for _ in 0..128 {
        let (stream, served) = open([127, 0, 0, 1]).await;
        assert!(served, "{}", streams.len());
        streams.push(stream);
    }
    assert!(!open([127, 0, 0, 1]).await.1);
    assert!(open([127, 0, 0, 2]).await.1);
}

/// Neither of TCP nor of TLS, as long as nothing is allocated on it.
#[tokio::test(start_paused = true)]
async fn a_stream_that_says_nothing_is_closed() {
    let (server, _) = server().await;
    for address in [server.tcp_addresses()[0], server.tls_addresses()[0]] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let closed = tokio::time::timeout(Duration::from_secs(600), stream.read(&mut [0; 100])).await;
        assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_goes_through_a_relay_over_udp_tcp_and_tls() {
    let (server, roots) = server().await;
    for url in urls(&server) {
        let make = || PeerConnection::new(relay_only(&url, &roots)).unwrap();
        let (a, mut b) = pair_of(make(), make());
        echo(&a, &mut b).await;
        let sdp = a.pc.local_description().unwrap().sdp;
        assert!(sdp.contains("typ relay") && !sdp.contains("typ host"), "{sdp}");
        assert!(server.stats().to_peers > 0 && server.allocations() == 2, "{url}");
        a.pc.close().await;
        b.pc.close().await;
        given_back(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_limited_name_is_taken() {
    let (server, roots) = server().await;
    #[allow(clippy::disallowed_methods, reason = "the server has the same clock")]
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let made = TurnCredentials::time_limited("north", "bob", unix + Duration::from_secs(600));
    let url = urls(&server)[0].clone();
    let server_of_bob = IceServer::parse(&url).unwrap().with_credentials(made.username, made.password);
    let config = config().with_ice_server(server_of_bob).with_ice_transport_policy(IceTransportPolicy::Relay);
    let (a, mut b) =
        pair_of(PeerConnection::new(config).unwrap(), PeerConnection::new(relay_only(&url, &roots)).unwrap());
    echo(&a, &mut b).await;
}

/// The codes of the candidate errors that gathering ends with.
async fn errors(config: Configuration) -> Vec<u16> {
    candidate_errors(config).await.into_iter().map(|(code, _)| code).collect()
}

/// The codes and texts of the candidate errors that gathering ends with.
async fn candidate_errors(config: Configuration) -> Vec<(u16, String)> {
    let (pc, mut events) = PeerConnection::new(config).unwrap();
    pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    pc.set_local_description(None).await.unwrap();
    let mut found = Vec::new();
    within("the end of gathering", async {
        while let Some(event) = events.recv().await {
            match event {
                Event::IceCandidateError(error) => found.push((error.code, error.text)),
                Event::IceCandidate(None) => return,
                _ => {}
            }
        }
    })
    .await;
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_server_is_told() {
    let (server, roots) = server().await;
    let [udp, tcp, tls] = urls(&server);
    for url in [&udp, &tcp] {
        let wrong = IceServer::parse(url).unwrap().with_credentials("ann", "wrong");
        assert_eq!(errors(config().with_ice_server(wrong)).await, [401], "{url}");
    }
    // A certificate that nobody vouches for, and one that is for somebody else.
    let ann = |url: &str| IceServer::parse(url).unwrap().with_credentials("ann", "secret");
    assert_eq!(errors(config().with_ice_server(ann(&tls))).await, [701], "the system does not know it");
    let other = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap().cert.pem();
    assert_eq!(errors(relay_only(&tls, &other)).await, [701], "another certificate");
    let numbered = tls.replace("localhost", "127.0.0.2");
    assert_eq!(errors(relay_only(&numbered, &roots)).await.first(), Some(&701), "not its name");
    assert_eq!(errors(relay_only(&tls, &roots)).await, []);
    let (_held, port) = held_port();
    let nobody = format!("turn:127.0.0.1:{port}?transport=tcp");
    assert_eq!(errors(relay_only(&nobody, &roots)).await, [701]);
}

/// A port that is held and that nobody listens on.
fn held_port() -> (tokio::net::TcpSocket, u16) {
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind(any_port()).unwrap();
    let port = held.local_addr().unwrap().port();
    (held, port)
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_once() {
    let bind = |options| async { TurnServer::bind(options).await.map(|_| ()).map_err(|error| error.kind()) };
    let nobody = ServerConfig::default().with_relay(LOCAL);
    assert_eq!(bind(TurnServerOptions::new(nobody)).await, Err(ErrorKind::Type));
    let bare = TurnServerOptions::new(rules()).with_tls(any_port());
    assert_eq!(bind(bare).await, Err(ErrorKind::InvalidAccess));
    let junk = TurnServerOptions::new(rules()).with_tls(any_port()).with_certificate("junk", "junk");
    assert_eq!(bind(junk).await, Err(ErrorKind::Operation));
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0));
    assert_eq!(bind(TurnServerOptions::new(rules()).with_udp(elsewhere)).await, Err(ErrorKind::Operation));
    let error = |config| PeerConnection::new(config).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(error(config().with_turn_roots("junk")), Err(ErrorKind::Operation));
    let nameless = IceServer::parse("turn:127.0.0.1").unwrap();
    assert_eq!(error(config().with_ice_server(nameless.clone())), Err(ErrorKind::InvalidAccess));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_on_a_shared_endpoint_have_relays_of_their_own() {
    let (server, roots) = server().await;
    let endpoint = Endpoint::bind(&[any_port()]).unwrap();
    for url in urls(&server) {
        let make = || PeerConnection::with_endpoint(relay_only(&url, &roots), &endpoint).unwrap();
        let (a, mut b) = pair_of(make(), make());
        echo(&a, &mut b).await;
        assert_eq!(server.allocations(), 2, "{url}");
        a.pc.close().await;
        b.pc.close().await;
        given_back(&server).await;
    }
    assert_eq!(endpoint.stats().received, 0, "the shared socket had no part in it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_for_relays_are_in_the_range_of_ports() {
    let (server, roots) = server().await;
    let endpoint = Endpoint::bind(&[any_port()]).unwrap();
    let taken = std::net::UdpSocket::bind(any_port()).unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = relay_only(&urls(&server)[0], &roots).with_port_range(port, port);
    let refused = PeerConnection::with_endpoint(config, &endpoint).map(|_| ()).map_err(|e| e.kind());
    assert_eq!(refused, Err(ErrorKind::Operation));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_dropped_frees_its_ports() {
    let (server, roots) = server().await;
    let (udp, tcp) = (server.udp_addresses()[0], server.tcp_addresses()[0]);
    let (pc, _events) = PeerConnection::new(relay_only(&urls(&server)[1], &roots)).unwrap();
    pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    pc.set_local_description(None).await.unwrap();
    within("an allocation", async {
        while server.allocations() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    drop(server);
    within("the ports", async {
        while std::net::UdpSocket::bind(udp).is_err() || std::net::TcpListener::bind(tcp).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn through(kind: ProxyKind, proxy: &TestProxy) -> Proxy {
    let scheme = if kind == ProxyKind::Http { "http" } else { "socks5" };
    Proxy::parse(&format!("{scheme}://{}", proxy.address)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_and_tls_go_through_a_proxy_and_udp_does_not() {
    let (server, roots) = server().await;
    let [udp, tcp, tls] = urls(&server);
    for kind in [ProxyKind::Http, ProxyKind::Socks5] {
        for (manner, url) in [(Manner::Open, &tcp), (Manner::Guarded, &tls), (Manner::Closed, &udp)] {
            let proxy = TestProxy::start(kind, manner).await;
            let given = through(kind, &proxy).with_credentials("ann", "p@ss:word");
            let make = || PeerConnection::new(relay_only(url, &roots).with_proxy(given.clone())).unwrap();
            let (a, mut b) = pair_of(make(), make());
            echo(&a, &mut b).await;
            let expected = if url == &udp { 0 } else { 2 };
            assert_eq!(proxy.connected(), expected, "{kind:?} {url}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_proxy_is_told() {
    let (server, roots) = server().await;
    let tcp = &urls(&server)[1];
    let told = async |proxy: Proxy| {
        let errors = candidate_errors(relay_only(tcp, &roots).with_proxy(proxy)).await;
        let [(701, text)] = &errors[..] else { panic!("{errors:?}") };
        text.clone()
    };
    for kind in [ProxyKind::Http, ProxyKind::Socks5] {
        let refused = "the proxy refuses to connect to the server";
        let malformed = "the proxy does not answer as its kind does";
        for (manner, expected) in [
            (Manner::Closed, refused),
            (Manner::Rude, refused),
            (Manner::Babbling, malformed),
            (Manner::Guarded, "the proxy wants a user and a password, or other ones"),
        ] {
            let proxy = TestProxy::start(kind, manner).await;
            assert_eq!(told(through(kind, &proxy)).await, expected, "{kind:?} {manner:?}");
            let named = through(kind, &proxy).with_credentials("ann", "wrong");
            assert_eq!(told(named).await, expected, "{kind:?} {manner:?} with a wrong password");
            assert_eq!(proxy.connected(), 0);
        }
    }
    let (_held, port) = held_port();
    let nobody = Proxy::parse(&format!("socks5://127.0.0.1:{port}")).unwrap();
    assert_eq!(told(nobody).await, "the proxy is not reached");
    assert_eq!(server.stats().to_peers, 0);
}

/// An exchange that moves an echoing call to what is configured now.
async fn restarted(a: &Side, b: &Side, chat: &DataChannel) {
    a.pc.restart_ice();
    negotiate(&a.pc, &b.pc).await;
    chat.send(Message::text("after the restart")).await.unwrap();
    assert_eq!(within("an echo", chat.recv()).await, Some(Message::text("after the restart")));
}

fn relays_only(pc: &PeerConnection, url: &str) {
    let mut config = pc.configuration();
    config.ice_servers = vec![IceServer::parse(url).unwrap().with_credentials("ann", "secret")];
    config.ice_transport_policy = IceTransportPolicy::Relay;
    pc.set_configuration(config).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_moves_to_the_server_that_is_configured_later_and_lets_the_first_go() {
    let [(first, roots), (second, others)] = [server().await, server().await];
    let roots = roots + &others;
    for (from, to) in urls(&first).iter().zip(urls(&second)) {
        let make = || PeerConnection::new(relay_only(from, &roots)).unwrap();
        let (a, mut b) = pair_of(make(), make());
        let chat = chat(&a, &mut b).await;
        assert_eq!((first.allocations(), second.allocations()), (2, 0), "{from}");
        for pc in [&a.pc, &b.pc] {
            relays_only(pc, &to);
        }
        restarted(&a, &b, &chat).await;
        within("the call moves", async {
            while (first.allocations(), second.allocations()) != (0, 2) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        chat.send(Message::text("there")).await.unwrap();
        assert_eq!(within("an echo", chat.recv()).await, Some(Message::text("there")));
        within("the end", async { tokio::join!(a.pc.close(), b.pc.close()) }).await;
        given_back(&second).await;
    }
}

#[tokio::test]
async fn the_stream_to_a_server_that_refuses_is_closed() {
    let listener = tokio::net::TcpListener::bind(any_port()).await.unwrap();
    let url = format!("turn:127.0.0.1:{}?transport=tcp", listener.local_addr().unwrap().port());
    let server = IceServer::parse(&url).unwrap().with_credentials("ann", "secret");
    let (pc, _events) = PeerConnection::new(config().with_ice_server(server)).unwrap();
    let _channel = pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    pc.set_local_description(None).await.unwrap();
    let (mut stream, _) = within("a stream", listener.accept()).await.unwrap();
    let mut request = vec![0; 20];
    within("a request", stream.read_exact(&mut request)).await.unwrap();
    let length = usize::from(u16::from_be_bytes([request[2], request[3]]));
    request.resize(20 + length, 0);
    within("its attributes", stream.read_exact(&mut request[20..])).await.unwrap();
    let mut refusal = Vec::new();
    Builder::answer(&mut refusal, Class::Error, &StunMessage::parse(&request).unwrap())
        .push(&ErrorCode::new(403, "no"))
        .finish()
        .unwrap();
    stream.write_all(&refusal).await.unwrap();
    assert_eq!(within("its end", stream.read(&mut [0; 1])).await.unwrap(), 0);
}

/// Such a server knows its clients by their sockets, which therefore cannot be shared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_shared_endpoint_sockets_for_turn_are_bound_when_it_is_configured() {
    let (server, _) = server().await;
    let [udp, ..] = urls(&server);
    let endpoint = Endpoint::bind(&[any_port()]).unwrap();
    for connected_before in [false, true] {
        let shared = PeerConnection::with_endpoint(config(), &endpoint).unwrap();
        let (a, mut b) = pair_of(shared, PeerConnection::new(config()).unwrap());
        if !connected_before {
            relays_only(&a.pc, &udp);
        }
        let chat = chat(&a, &mut b).await;
        if connected_before {
            relays_only(&a.pc, &udp);
            restarted(&a, &b, &chat).await;
        }
        let relayed = || {
            let pair = a.pc.transport().ice_transport().selected_candidate_pair();
            pair.is_some_and(|pair| pair.local.candidate_type == "relay")
        };
        within("the relay is used", async {
            while !relayed() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert_eq!(server.allocations(), 1);
        chat.send(Message::text("through it")).await.unwrap();
        assert_eq!(within("an echo", chat.recv()).await, Some(Message::text("through it")));
        within("the end", async { tokio::join!(a.pc.close(), b.pc.close()) }).await;
        given_back(&server).await;
    }
}

#[tokio::test]
async fn what_cannot_be_configured_later_is_refused() {
    let (pc, _events) = PeerConnection::new(config()).unwrap();
    let other = pc.configuration().with_mtu(1_300);
    assert_eq!(pc.set_configuration(other).unwrap_err().kind(), ErrorKind::InvalidModification);
    assert_eq!(pc.configuration(), config());
    within("the end", pc.close()).await;
    assert_eq!(pc.set_configuration(config()).unwrap_err().kind(), ErrorKind::InvalidState);
}
