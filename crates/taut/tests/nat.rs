//! NAT behaviour discovery against a server of our own, with two addresses of this host.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;

use common::within;
use taut::{ErrorKind, IceServer, NatDependence, discover_nat};
use taut_stun::attribute::ErrorCode;
use taut_stun::{Builder, Class, Message};
use tokio::net::UdpSocket;

/// Four sockets: two addresses with the same two ports.
async fn sockets() -> Vec<Arc<UdpSocket>> {
    for _ in 0..100 {
        let first = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let second = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let ports = [&first, &second].map(|socket| socket.local_addr().unwrap().port());
        let others =
            [UdpSocket::bind(("127.0.0.2", ports[0])).await, UdpSocket::bind(("127.0.0.2", ports[1])).await];
        if let [Ok(third), Ok(fourth)] = others {
            return [first, second, third, fourth].map(Arc::new).into();
        }
    }
    panic!("no two ports that are free on both addresses");
}

/// The server; the address to ask.
async fn server() -> SocketAddr {
    let sockets = sockets().await;
    let locals: Vec<SocketAddr> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
    for socket in sockets.clone() {
        let (sockets, locals) = (sockets.clone(), locals.clone());
        tokio::spawn(async move {
            let own = socket.local_addr().unwrap();
            let differs = |other: &&SocketAddr| other.ip() != own.ip() && other.port() != own.port();
            let other = *locals.iter().find(differs).unwrap();
            let mut room = [0; 2_048];
            while let Ok((len, source)) = socket.recv_from(&mut room).await {
                let mut out = Vec::new();
                let Some((_, from)) = taut_stun::behavior::answer(&room[..len], source, own, other, &mut out)
                else {
                    continue;
                };
                let from = locals.iter().position(|local| *local == from).unwrap();
                sockets[from].send_to(&out, source).await.unwrap();
            }
        });
    }
    locals[0]
}

#[tokio::test]
async fn on_loopback_there_is_no_translator() {
    let address = server().await;
    // A name, so that the resolver is used too.
    for host in ["127.0.0.1", "localhost"] {
        let server = IceServer::parse(&format!("stun:{host}:{}", address.port())).unwrap();
        let behavior = within("the discovery", discover_nat(&server)).await.unwrap();
        assert!(!behavior.is_translated());
        assert_eq!(behavior.local.ip(), address.ip());
        assert_eq!(behavior.mapping, Some(NatDependence::EndpointIndependent));
        assert_eq!(behavior.filtering, Some(NatDependence::EndpointIndependent));
    }
}

#[tokio::test]
async fn refusals_and_wrong_servers_are_errors() {
    let relay = IceServer::parse("turn:127.0.0.1").unwrap();
    assert_eq!(discover_nat(&relay).await.unwrap_err().kind(), ErrorKind::NotSupported);
    let nobody = IceServer::parse("stun:does-not-exist.invalid").unwrap();
    let error = within("the resolver", discover_nat(&nobody)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Operation);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server =
        IceServer::parse(&format!("stun:127.0.0.1:{}", socket.local_addr().unwrap().port())).unwrap();
    tokio::spawn(async move {
        let mut room = [0; 2_048];
        let (len, source) = socket.recv_from(&mut room).await.unwrap();
        let request = Message::parse(&room[..len]).unwrap();
        let mut out = Vec::new();
        Builder::answer(&mut out, Class::Error, &request)
            .push(&ErrorCode::new(403, "not you"))
            .finish()
            .unwrap();
        socket.send_to(&out, source).await.unwrap();
    });
    let error = within("the discovery", discover_nat(&server)).await.unwrap_err();
    assert!(error.message().contains("403 not you"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server =
        IceServer::parse(&format!("stun:127.0.0.1:{}", socket.local_addr().unwrap().port())).unwrap();
    let error = within("the discovery", discover_nat(&server)).await.unwrap_err();
    assert!(error.message().contains("did not answer"), "{error}");
}
