//! ICE restarts between two connections over loopback sockets.

mod common;

use common::{Side, connected, negotiate, pair, within};
use taut::{
    ConnectionState, DataChannel, DataChannelInit, ErrorKind, Event, Message, OfferOptions,
    SessionDescription, SignalingState,
};

fn channel(event: Event) -> Option<DataChannel> {
    if let Event::DataChannel(channel) = event { Some(channel) } else { None }
}

fn needed(event: Event) -> Option<()> {
    matches!(event, Event::NegotiationNeeded).then_some(())
}

fn ufrag(description: Option<SessionDescription>) -> String {
    let sdp = description.expect("a description").sdp;
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).expect("a ufrag").to_owned()
}

async fn call() -> (Side, Side, DataChannel, DataChannel) {
    let (mut a, mut b) = pair();
    let ours = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    a.event("needed", needed).await;
    negotiate(&a.pc, &b.pc).await;
    let theirs = b.event("a channel", channel).await;
    connected(&a.pc, &b.pc).await;
    (a, b, ours, theirs)
}

/// Asks for a restart, does the exchange that is needed then, and checks that it was one.
async fn restart(from: &mut Side, to: &mut Side) {
    let before = [ufrag(from.pc.local_description()), ufrag(to.pc.local_description())];
    from.pc.restart_ice();
    from.event("needed", needed).await;
    negotiate(&from.pc, &to.pc).await;
    let after = [ufrag(from.pc.local_description()), ufrag(to.pc.local_description())];
    assert!(before[0] != after[0] && before[1] != after[1]);
    within("gathering", from.pc.gathering_complete()).await;
}

#[tokio::test]
async fn messages_go_on_through_restarts_from_both_sides() {
    const COUNT: usize = 300;
    let (mut a, mut b, ours, theirs) = call().await;
    let send = async {
        for i in 0..COUNT {
            ours.send(Message::text(i.to_string())).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let receive = async {
        for i in 0..COUNT {
            assert_eq!(theirs.recv().await, Some(Message::text(i.to_string())));
        }
    };
    let restarts = async {
        restart(&mut a, &mut b).await;
        restart(&mut b, &mut a).await;
    };
    within("the messages", async { tokio::join!(send, receive, restarts) }).await;
    for pc in [&a.pc, &b.pc] {
        assert_eq!(pc.connection_state(), ConnectionState::Connected);
    }
    // The new path carries data of both directions, by sockets that learned the new ufrags.
    theirs.send(Message::text("back")).await.unwrap();
    assert_eq!(within("a message", ours.recv()).await, Some(Message::text("back")));
}

#[tokio::test]
async fn the_option_restarts_a_rollback_takes_back_and_a_closed_connection_does_nothing() {
    let (a, b, ours, theirs) = call().await;
    let before = ufrag(a.pc.local_description());
    let plain = a.pc.create_offer(OfferOptions::default()).await.unwrap();
    assert_eq!(ufrag(Some(plain)), before);
    let offer = a.pc.create_offer(OfferOptions::default().with_ice_restart(true)).await.unwrap();
    assert_ne!(ufrag(Some(offer.clone())), before);
    a.pc.set_local_description(offer).await.unwrap();
    a.pc.set_local_description(SessionDescription::rollback()).await.unwrap();
    assert_eq!((a.pc.signaling_state(), ufrag(a.pc.local_description())), (SignalingState::Stable, before));
    ours.send(Message::text("still here")).await.unwrap();
    assert_eq!(within("a message", theirs.recv()).await, Some(Message::text("still here")));
    within("close", b.pc.close()).await;
    b.pc.restart_ice();
    let error = b.pc.create_offer(OfferOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
}
