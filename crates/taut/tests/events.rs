//! The events of a connection, and options of the facade that nothing else shows.

mod common;

use std::time::Duration;

use common::{config, connected, negotiate, negotiate_complete, pair, within};
use taut::{
    ConnectionState, DataChannelInit, DataChannelState, Direction, Event, IceConnectionState,
    IceGatheringState, Kind, MediaStream, PeerConnection, RtpTransceiverInit, SignalingState,
};

#[tokio::test]
async fn every_state_is_told_as_it_changes() {
    let (mut a, mut b) = pair();
    a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    connected(&a.pc, &b.pc).await;
    for side in [&a.pc, &b.pc] {
        within("gathering", side.gathering_complete()).await;
    }
    a.pc.close().await;
    within("closed", b.pc.closed()).await;
    for (side, first) in [(&mut a, SignalingState::HaveLocalOffer), (&mut b, SignalingState::HaveRemoteOffer)]
    {
        let (mut signaling, mut gathering, mut ice, mut connection) = (vec![], vec![], vec![], vec![]);
        while let Some(event) = within("an event", side.events.recv()).await {
            match event {
                Event::SignalingStateChange(state) => signaling.push(state),
                Event::IceGatheringStateChange(state) => gathering.push(state),
                Event::IceConnectionStateChange(state) => ice.push(state),
                Event::ConnectionStateChange(state) => connection.push(state),
                _ => {}
            }
        }
        assert_eq!(signaling, [first, SignalingState::Stable]);
        assert_eq!(gathering, [IceGatheringState::Gathering, IceGatheringState::Complete]);
        assert_eq!(ice.first(), Some(&IceConnectionState::Checking), "{ice:?}");
        assert!(ice.contains(&IceConnectionState::Connected), "{ice:?}");
        assert_eq!(
            connection[..2],
            [ConnectionState::Connecting, ConnectionState::Connected],
            "{connection:?}"
        );
    }
}

#[tokio::test]
async fn a_transceiver_names_its_streams() {
    let (a, mut b) = pair();
    let streams = [MediaStream::new([]), MediaStream::new([])];
    let init = RtpTransceiverInit::default().with_direction(Direction::SendOnly);
    let init = streams.iter().fold(init, RtpTransceiverInit::with_stream);
    a.pc.add_transceiver(Kind::Audio, init).unwrap();
    negotiate(&a.pc, &b.pc).await;
    let event = b.event("a track", |event| if let Event::Track(e) = event { Some(e) } else { None }).await;
    let ids: Vec<_> = event.streams.iter().map(|stream| stream.id().to_owned()).collect();
    assert_eq!(ids, streams.each_ref().map(|stream| stream.id().to_owned()));
}

/// An application that does not look for its events has 1,024 channels of the other side kept for it.
#[tokio::test]
async fn channels_that_nobody_takes_are_bounded() {
    let ((a, _a_events), (b, mut b_events)) =
        (PeerConnection::new(config()).unwrap(), PeerConnection::new(config()).unwrap());
    let mut channels = vec![a.create_data_channel("x", DataChannelInit::default()).unwrap()];
    negotiate_complete(&a, &b).await;
    connected(&a, &b).await;
    channels.extend((1..1_100).map(|_| a.create_data_channel("x", DataChannelInit::default()).unwrap()));
    within("the rest is closed", async {
        while channels.iter().filter(|channel| channel.ready_state() == DataChannelState::Closed).count() < 76
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let mut taken = Vec::new();
    while taken.len() < 1_024 {
        if let Some(Event::DataChannel(channel)) = within("an event", b_events.recv()).await {
            taken.push(channel);
        }
    }
    b.close().await;
    while let Some(event) = within("an event", b_events.recv()).await {
        assert!(!matches!(event, Event::DataChannel(_)), "no more than these");
    }
}
