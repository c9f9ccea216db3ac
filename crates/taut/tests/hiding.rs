//! Connections that hide their addresses behind `.local` names, over the real multicast DNS of this host.

mod common;

use std::net::{Ipv4Addr, UdpSocket};

use common::{complete, config, connected, within};
use taut::{DataChannelInit, PeerConnection, SessionDescription};

/// Whether any multicast works here.
fn can_multicast() -> bool {
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let can = UdpSocket::bind("0.0.0.0:0")
        .and_then(|socket| socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST))
        .is_ok();
    if !can {
        eprintln!("SKIPPED: no multicast on the loopback interface");
    }
    can
}

fn hidden() -> taut::Configuration {
    config().with_hide_addresses(true)
}

fn candidates(description: &SessionDescription) -> Vec<&str> {
    description.sdp.lines().filter(|line| line.starts_with("a=candidate:")).collect()
}

/// `b` is told of no candidate but those of `a`, so `a` is found by its names or not at all.
async fn found_by_name(a: taut::Configuration, b: taut::Configuration) {
    let (a, _a_events) = PeerConnection::new(a).unwrap();
    let (b, _b_events) = PeerConnection::new(b).unwrap();
    a.create_data_channel("x", DataChannelInit::default()).unwrap();
    let offer = complete(&a).await;
    let names = candidates(&offer);
    assert!(!names.is_empty());
    for line in names {
        assert!(line.contains(".local ") && line.contains("typ host"), "{line}");
    }
    b.set_remote_description(offer).await.unwrap();
    let mut answer = complete(&b).await;
    answer.sdp = answer
        .sdp
        .lines()
        .filter(|line| !line.starts_with("a=candidate:"))
        .fold(String::new(), |text, line| text + line + "\r\n");
    a.set_remote_description(answer).await.unwrap();
    connected(&a, &b).await;
    let stats = format!("{:?}", a.stats().await.iter().map(|(id, _)| id.to_owned()).collect::<Vec<_>>());
    assert!(stats.contains("local-candidate-host-") && stats.contains(".local:"), "{stats}");
    within("the end", a.close()).await;
}

#[tokio::test]
async fn a_hidden_connection_is_found_by_its_names() {
    if can_multicast() {
        found_by_name(hidden(), config()).await;
        found_by_name(hidden(), hidden()).await;
    }
}
