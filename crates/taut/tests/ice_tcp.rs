//! TCP candidates over real sockets: a server that offers nothing else, what is offered when, connections that are lost, and
//! listeners that are called by strangers.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Side, complete, config, connected, negotiate, pair_of, until_tasks, within};
use taut::{
    Configuration, DataChannel, DataChannelInit, Endpoint, Event, IceTcpPolicy, Message, PeerConnection,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn with(policy: IceTcpPolicy) -> Configuration {
    config().with_ice_tcp(policy)
}

/// An endpoint without a UDP socket.
fn tcp_only() -> Endpoint {
    Endpoint::bind(&[]).unwrap().with_tcp(&[any_port()]).unwrap()
}

fn channel(event: Event) -> Option<DataChannel> {
    match event {
        Event::DataChannel(channel) => Some(channel),
        _ => None,
    }
}

/// A client that opens connections, and a server that is reached over TCP alone.
fn client_and_server(endpoint: &Endpoint) -> (Side, Side) {
    let server = PeerConnection::with_endpoint(with(IceTcpPolicy::Passive), endpoint).unwrap();
    pair_of(PeerConnection::new(with(IceTcpPolicy::Active)).unwrap(), server)
}

/// What goes out comes back, whole and in order.
async fn echo(here: &DataChannel, there: &DataChannel, rounds: usize) {
    for size in (0..rounds).map(|n| 1 + n * 7_919 % 60_000) {
        let message: Vec<u8> = (0..size).map(|n| n as u8).collect();
        within("sending", here.send(Message::binary(message.clone()))).await.unwrap();
        let seen = within("a message", there.recv()).await.unwrap();
        assert_eq!(seen.data, message);
        within("sending", there.send(seen)).await.unwrap();
        assert_eq!(within("the echo", here.recv()).await.unwrap().data, message);
    }
}

/// The candidates that a connection offers.
async fn offered(pc: &PeerConnection) -> Vec<String> {
    let _channel = pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    complete(pc).await;
    pc.transport().ice_transport().local_candidates().into_iter().map(|one| one.candidate).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_offers_tcp_alone_is_reached() {
    let endpoint = tcp_only();
    let mut ends = Vec::new();
    for turn in 0..8 {
        let (client, mut server) = client_and_server(&endpoint);
        let here = client.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
        if turn % 2 == 0 {
            negotiate(&client.pc, &server.pc).await;
        } else {
            server.pc.create_data_channel("y", DataChannelInit::default().with_negotiated(1_000)).unwrap();
            negotiate(&server.pc, &client.pc).await;
        }
        connected(&client.pc, &server.pc).await;
        let there = server.event("a channel", channel).await;
        ends.push((client, server, here, there));
    }
    for (client, server, here, there) in &ends {
        echo(here, there, 20).await;
        let pairs =
            [client, server].map(|side| side.pc.transport().ice_transport().selected_candidate_pair());
        let [Some(ours), Some(theirs)] = pairs else { panic!("no pair") };
        assert_eq!((ours.local.protocol.as_str(), ours.local.tcp_type), ("tcp", Some("active")));
        assert_eq!((ours.remote.candidate_type.as_str(), ours.remote.tcp_type), ("host", Some("passive")));
        assert_eq!((theirs.local.candidate_type.as_str(), theirs.local.tcp_type), ("host", Some("passive")));
        assert_eq!(theirs.remote.tcp_type, Some("active"));
        assert!(client.pc.ice_report().to_string().contains("tcp 127.0.0.1:"));
    }
    let stats = endpoint.stats();
    assert!(stats.streams >= 8 && stats.streams_refused == 0 && stats.streams_dropped == 0, "{stats:?}");
}

#[tokio::test]
async fn the_policy_says_what_is_offered() {
    for (policy, wanted) in [
        (None, &["active"][..]),
        (Some(IceTcpPolicy::Off), &[]),
        (Some(IceTcpPolicy::Active), &["active"]),
        (Some(IceTcpPolicy::Passive), &["passive"]),
        (Some(IceTcpPolicy::Both), &["active", "passive"]),
    ] {
        let config = policy.map_or_else(config, with);
        let (pc, _events) = PeerConnection::new(config).unwrap();
        let candidates = offered(&pc).await;
        for side in ["active", "passive", "so"] {
            let there: Vec<&String> =
                candidates.iter().filter(|one| one.contains(&format!("tcptype {side}"))).collect();
            assert_eq!(!there.is_empty(), wanted.contains(&side), "{policy:?}: {candidates:?}");
            let ports = there.iter().map(|one| one.split(' ').nth(5).unwrap());
            assert!(ports.into_iter().all(|port| (port == "9") == (side == "active")), "{candidates:?}");
        }
        assert!(candidates.iter().any(|one| one.contains(" udp ")));
    }
}

#[tokio::test]
async fn a_listener_is_offered_on_request_and_within_the_range_of_ports() {
    let endpoint = Endpoint::bind(&[any_port()]).unwrap().with_tcp(&[any_port()]).unwrap();
    let port = endpoint.tcp_addresses()[0].port().to_string();
    let (pc, _events) = PeerConnection::with_endpoint(with(IceTcpPolicy::Both), &endpoint).unwrap();
    let candidates = offered(&pc).await;
    assert!(candidates.iter().any(|one| one.contains("passive") && one.contains(&port)), "{candidates:?}");
    let (pc, _events) = PeerConnection::with_endpoint(config(), &endpoint).unwrap();
    assert!(offered(&pc).await.iter().all(|one| !one.contains("passive")));

    let (first, last) = (47_310, 47_340);
    let config = with(IceTcpPolicy::Passive).with_port_range(first, last);
    let (pc, _events) = PeerConnection::new(config).unwrap();
    for one in offered(&pc).await {
        let port: u16 = one.split(' ').nth(5).unwrap().parse().unwrap();
        assert!((first..=last).contains(&port), "{one}");
    }
}

/// Carries connections to `to` until told to cut them; what comes after is carried again.
async fn proxy(to: SocketAddr, cut: watch::Receiver<u32>) -> SocketAddr {
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut cut = cut.clone();
            cut.mark_unchanged();
            tokio::spawn(async move {
                let Ok(mut far) = TcpStream::connect(to).await else { return };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = cut.changed() => {}
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_lost_is_opened_again_and_nothing_is_lost_with_it() {
    let endpoint = tcp_only();
    let (cut, watched) = watch::channel(0);
    let proxy = proxy(endpoint.tcp_addresses()[0], watched).await;
    let (client, _client_events) = PeerConnection::new(with(IceTcpPolicy::Active)).unwrap();
    let (server, mut server_events) =
        PeerConnection::with_endpoint(with(IceTcpPolicy::Passive), &endpoint).unwrap();
    let here = client.create_data_channel("x", DataChannelInit::default()).unwrap();
    server.set_remote_description(complete(&client).await).await.unwrap();
    // The client knows the way through the proxy alone.
    let mut answer = complete(&server).await;
    let port = |address: SocketAddr| format!(" 127.0.0.1 {} typ host", address.port());
    answer.sdp = answer.sdp.replace(&port(endpoint.tcp_addresses()[0]), &port(proxy));
    client.set_remote_description(answer).await.unwrap();
    connected(&client, &server).await;
    let there = within("a channel", async {
        loop {
            if let Some(channel) = channel(server_events.recv().await.expect("a channel comes")) {
                return channel;
            }
        }
    })
    .await;
    for turn in 1..4 {
        echo(&here, &there, 5).await;
        cut.send(turn).unwrap();
    }
    echo(&here, &there, 5).await;
    assert!(endpoint.stats().streams >= 4, "{:?}", endpoint.stats());
    assert!(client.ice_report().stats.tcp_lost >= 3, "{}", client.ice_report());
}

/// True once the other side has closed the connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 256];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return true,
            Ok(_) => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_are_sent_away() {
    let endpoint = tcp_only();
    // Whom they do not ask for.
    let (pc, _events) = PeerConnection::with_endpoint(with(IceTcpPolicy::Passive), &endpoint).unwrap();
    offered(&pc).await;
    let to = endpoint.tcp_addresses()[0];
    let mut check = Vec::new();
    taut_stun::Builder::new(
        &mut check,
        taut_stun::Class::Request,
        taut_stun::Method::BINDING,
        taut_stun::TransactionId([1; 12]),
    )
    .push(&taut_stun::attribute::Username::new("nobody:here"))
    .finish()
    .unwrap();
    let mut framed = Vec::new();
    assert!(taut_peer::frame(&check, &mut framed));
    let said: [&[u8]; 6] = [
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[0, 4, 1, 2, 3, 4],
        &[0xff, 0xff, 0, 0],
        &framed,
        &framed[..framed.len() - 1],
    ];
    for (turn, octets) in said.into_iter().enumerate() {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(octets).await.unwrap();
        let begin = tokio::time::Instant::now();
        assert!(is_closed(&mut stream).await);
        assert!(begin.elapsed() < Duration::from_secs(6), "who is silent is not waited for any longer");
        for _ in 0..1_000_000 {
            if endpoint.stats().streams_dropped > turn as u64 {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(endpoint.stats().streams_dropped, turn as u64 + 1);
    }
    assert_eq!((endpoint.stats().streams, endpoint.stats().streams_refused), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn a_source_has_so_many_silent_connections_and_no_more() {
    const BOUND: u64 = 32;
    let endpoint = tcp_only();
    // While this runs, the clock stands still.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let clock = tokio::task::spawn_blocking(move || held.recv().is_err());
    let mut streams = Vec::new();
    for _ in 0..BOUND {
        streams.push(TcpStream::connect(endpoint.tcp_addresses()[0]).await.unwrap());
    }
    while endpoint.stats().streams < BOUND {
        tokio::task::yield_now().await;
    }
    for _ in 0..8 {
        let mut stream = TcpStream::connect(endpoint.tcp_addresses()[0]).await.unwrap();
        assert!(is_closed(&mut stream).await);
    }
    assert_eq!((endpoint.stats().streams, endpoint.stats().streams_refused), (BOUND, 8));
    drop(release);
    assert!(clock.await.unwrap());
    for stream in &mut streams {
        assert!(is_closed(stream).await, "and those have not for ever");
    }
    assert_eq!(endpoint.stats().streams_dropped, BOUND);
}

#[tokio::test]
async fn nothing_is_left_behind() {
    {
        let endpoint = tcp_only();
        let to = endpoint.tcp_addresses()[0];
        let _silent = TcpStream::connect(to).await.unwrap();
        let (client, mut server) = client_and_server(&endpoint);
        let here = client.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
        negotiate(&client.pc, &server.pc).await;
        connected(&client.pc, &server.pc).await;
        let there = server.event("a channel", channel).await;
        echo(&here, &there, 3).await;
        client.pc.close().await;
        within("the goodbye arrives", async {
            while server.pc.connection_state() != taut::ConnectionState::Closed {
                server.event("a state", |_| Some(())).await;
            }
        })
        .await;
    }
    until_tasks(0).await;
}
