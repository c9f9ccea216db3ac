//! NAT behaviour discovery against a server of our own, with two addresses of this host.

mod common;

use std::net::IpAddr;

use common::within;
use taut::turn_server::ServerConfig;
use taut::{ErrorKind, IceServer, NatDependence, TurnServer, TurnServerOptions, discover_nat};
use taut_stun::attribute::ErrorCode;
use taut_stun::{Builder, Class, Message};
use tokio::net::UdpSocket;

/// A server on two addresses with the same two ports.
async fn server() -> TurnServer {
    for _ in 0..100 {
        let rules =
            ServerConfig::default().with_user("ann", "secret").with_relay(IpAddr::from([127, 0, 0, 1]));
        let options = TurnServerOptions::new(rules)
            .with_udp(([127, 0, 0, 1], 0).into())
            .with_alternate(([127, 0, 0, 2], 0).into());
        if let Ok(server) = TurnServer::bind(options).await {
            return server;
        }
    }
    panic!("no two ports that are free on both addresses");
}

#[tokio::test]
async fn on_loopback_there_is_no_translator() {
    let server = server().await;
    let address = server.udp_addresses()[0];
    assert_eq!(server.udp_addresses().len(), 4);
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
async fn a_second_address_differs_from_the_first_in_both() {
    let rules =
        || ServerConfig::default().with_user("ann", "secret").with_relay(IpAddr::from([127, 0, 0, 1]));
    let first = TurnServerOptions::new(rules()).with_udp(([127, 0, 0, 1], 0).into());
    for wrong in [
        TurnServerOptions::new(rules()).with_alternate(([127, 0, 0, 2], 0).into()),
        first.clone().with_alternate(([127, 0, 0, 1], 0).into()),
        first.with_alternate(([0, 0, 0, 0], 0).into()),
    ] {
        assert_eq!(TurnServer::bind(wrong).await.unwrap_err().kind(), ErrorKind::Type);
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
