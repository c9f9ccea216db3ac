//! Gathering: with the help of a STUN server on this host, and what the configuration lets in.

mod common;

use std::net::SocketAddr;

use common::{complete, config, within};
use taut::{
    AddressFilter, DataChannelInit, Endpoint, Event, ExternalAddress, Families, IceServer, IceTcpPolicy,
    PeerConnection,
};
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

/// A connection that has gathered, and its candidates.
async fn gathered(config: taut::Configuration) -> (PeerConnection, Vec<String>) {
    let (pc, _events) = PeerConnection::new(config).unwrap();
    pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    complete(&pc).await;
    let all = pc.transport().ice_transport().local_candidates();
    let texts = all.into_iter().map(|candidate| candidate.candidate).collect();
    (pc, texts)
}

async fn candidates(config: taut::Configuration) -> Vec<String> {
    gathered(config).await.1
}

fn port(candidate: &str) -> u16 {
    candidate.split(' ').nth(5).unwrap().parse().unwrap()
}

#[tokio::test]
async fn sockets_are_bound_within_the_port_range() {
    let filter = AddressFilter::default().with_network("127.0.0.1".parse().unwrap());
    // Two ports in a row, the first one held and the second one free. They are below those that the system gives to whoever
    // asks for any, and where this process begins to look no other one does.
    let begin = 10_000 + (std::process::id() % 10_000) as u16 * 2;
    let bind = |port| std::net::UdpSocket::bind(("127.0.0.1", port));
    let pair = |first| bind(first).and_then(|held| bind(first + 1).map(|_| (first, held)));
    let (first, _held) = (begin..).step_by(2).find_map(|first| pair(first).ok()).unwrap();
    let config = config().with_ice_tcp(IceTcpPolicy::Off);
    let config = || config.clone().with_address_filter(filter.clone()).with_port_range(first, first + 1);
    let (_pc, found) = gathered(config()).await;
    assert_eq!(found.iter().map(|text| port(text)).collect::<Vec<_>>(), [first + 1], "{found:?}");
    assert!(candidates(config()).await.is_empty(), "both ports are taken");
}

#[tokio::test]
async fn what_is_filtered_out_is_not_bound_and_what_is_outside_is_signalled() {
    let v6 = AddressFilter::default().with_families(Families::V6);
    let found = candidates(config().with_address_filter(v6)).await;
    assert!(found.iter().all(|text| text.split(' ').nth(4).unwrap().contains(':')), "{found:?}");
    let not = AddressFilter::default().without_interface("*");
    assert!(candidates(config().with_address_filter(not)).await.is_empty());
    let external = ExternalAddress { external: [203, 0, 113, 5].into(), local: Some([127, 0, 0, 1].into()) };
    let found = candidates(config().with_external_address(external)).await;
    let host = found.iter().find(|text| text.contains(" 127.0.0.1 ") && text.contains("typ host")).unwrap();
    let outside = found.iter().find(|text| text.contains(" 203.0.113.5 ")).unwrap();
    assert!(outside.contains("typ srflx raddr 127.0.0.1"), "{found:?}");
    assert_eq!(port(host), port(outside));
}
