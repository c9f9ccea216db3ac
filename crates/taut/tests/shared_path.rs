//! Two connections between the same two sockets: there is one path, which one connection has, and the other one is told.

mod common;

use common::{Side, config, connected, negotiate, pair_of, within};
use taut::{
    ConnectionState, DataChannel, DataChannelInit, Endpoint, Event, IceVerdict, Message, PeerConnection,
};

fn channel(event: Event) -> Option<DataChannel> {
    if let Event::DataChannel(channel) = event { Some(channel) } else { None }
}

fn bind() -> Endpoint {
    Endpoint::bind(&[([127, 0, 0, 1], 0).into()]).unwrap()
}

async fn call(a: &Endpoint, b: &Endpoint) -> (Side, Side, DataChannel) {
    let make = |endpoint| PeerConnection::with_endpoint(config(), endpoint).unwrap();
    let (a, b) = pair_of(make(a), make(b));
    let channel = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    (a, b, channel)
}

async fn carries(here: &DataChannel, other: &mut Side, text: &str) {
    let there = other.event("a channel", channel).await;
    here.send(Message::text(text)).await.unwrap();
    assert_eq!(within("a message", there.recv()).await, Some(Message::text(text)));
}

async fn failed(side: &mut Side) {
    let is_failed =
        |event| matches!(event, Event::ConnectionStateChange(ConnectionState::Failed)).then_some(());
    side.event("a failure", is_failed).await;
    assert_eq!(side.pc.ice_report().verdict, IceVerdict::PathTaken, "{}", side.pc.ice_report());
    let error = side.pc.connected().await.unwrap_err().to_string();
    assert!(error.contains("another connection has the path"), "{error}");
}

#[tokio::test]
async fn the_second_connection_on_a_path_fails_at_once_and_says_why() {
    let (one, other) = (bind(), bind());
    let (a, mut b, first) = call(&one, &other).await;
    connected(&a.pc, &b.pc).await;

    let (mut c, mut d, _second) = call(&one, &other).await;
    failed(&mut c).await;
    failed(&mut d).await;
    carries(&first, &mut b, "goes on").await;
    assert_eq!(a.pc.connection_state(), ConnectionState::Connected);

    // Once the path is free, it serves another connection.
    a.pc.close().await;
    b.pc.close().await;
    let (e, mut f, third) = call(&one, &other).await;
    connected(&e.pc, &f.pc).await;
    carries(&third, &mut f, "free again").await;
}

#[tokio::test]
async fn both_ends_in_one_socket_are_told_apart_by_nothing() {
    let endpoint = bind();
    let (mut a, mut b, _channel) = call(&endpoint, &endpoint).await;
    let failures = async {
        tokio::select! {
            () = failed(&mut a) => {}
            () = failed(&mut b) => {}
        }
    };
    within("one of them has no path", failures).await;
}
