//! Gathering with the help of a STUN server on this host.

mod common;

use std::net::SocketAddr;

use common::{config, within};
use taut::{DataChannelInit, Endpoint, Event, IceServer, PeerConnection};
use tokio::net::UdpSocket;

/// A STUN server that says where requests seem to come from, and gives their number.
async fn server() -> (SocketAddr, tokio::sync::watch::Receiver<usize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (count, counted) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        let mut room = [0; 2_048];
        while let Ok((len, from)) = socket.recv_from(&mut room).await {
            let mut out = Vec::new();
            let Ok(request) = taut_stun::Message::parse(&room[..len]) else { continue };
            // Another port than the real one, as behind a translator.
            let seen = SocketAddr::from(([192, 0, 2, 1], from.port()));
            taut_stun::Builder::answer(&mut out, taut_stun::Class::Success, &request)
                .push(&taut_stun::attribute::XorMappedAddress(seen))
                .finish()
                .unwrap();
            count.send_modify(|count| *count += 1);
            let _ = socket.send_to(&out, from).await;
        }
    });
    (address, counted)
}

async fn gathers_its_public_address(
    make: impl FnOnce(taut::Configuration) -> (PeerConnection, taut::Events),
) {
    let (address, counted) = server().await;
    // A name, so that the resolver is used too.
    let url = format!("stun:localhost:{}", address.port());
    let (pc, mut events) = make(config().with_ice_server(IceServer::parse(&url).unwrap()));
    pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    pc.set_local_description(None).await.unwrap();
    let mut public = 0;
    within("gathering", async {
        loop {
            match events.recv().await.unwrap() {
                Event::IceCandidate(Some(candidate)) if candidate.candidate.contains("192.0.2.1") => {
                    assert!(candidate.candidate.contains("typ srflx"), "{candidate:?}");
                    public += 1;
                }
                Event::IceCandidate(None) => return,
                _ => {}
            }
        }
    })
    .await;
    assert!(*counted.borrow() > 0, "the server was never asked");
    assert!(public > 0, "the answer did not find back");
    assert!(pc.local_description().unwrap().sdp.contains("typ srflx"));
}

#[tokio::test]
async fn with_sockets_of_its_own() {
    gathers_its_public_address(|config| PeerConnection::new(config).unwrap()).await;
}

#[tokio::test]
async fn on_a_shared_endpoint() {
    let endpoint = Endpoint::bind(&[([127, 0, 0, 1], 0).into()]).unwrap();
    gathers_its_public_address(|config| PeerConnection::with_endpoint(config, &endpoint).unwrap()).await;
}
