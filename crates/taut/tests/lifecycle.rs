//! Beginning and end: what closes a connection, and that nothing of it remains.

mod common;

use common::{config, connected, negotiate, negotiate_complete, pair, pair_of, until_tasks, within};
use taut::{
    ConnectionState, DataChannel, DataChannelInit, DataChannelState, Endpoint, Error, ErrorKind, Event, Kind,
    MediaStreamTrack, Message, OfferOptions, PeerConnection,
};

fn channel(event: Event) -> Option<DataChannel> {
    if let Event::DataChannel(channel) = event { Some(channel) } else { None }
}

#[tokio::test]
async fn the_other_side_sees_the_close() {
    let (mut a, mut b) = pair();
    let ours = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    let theirs = b.event("a channel", channel).await;
    theirs.send(Message::text("bye")).await.unwrap();
    assert_eq!(within("a message", ours.recv()).await, Some(Message::text("bye")));

    within("close", b.pc.close()).await;
    let closed = |e| matches!(e, Event::ConnectionStateChange(ConnectionState::Closed)).then_some(());
    a.event("closed", closed).await;
    within("closed", a.pc.closed()).await;
    assert_eq!(within("no more messages", ours.recv()).await, None);
    assert_eq!(ours.ready_state(), DataChannelState::Closed);
    assert!(within("no more events", a.events.recv()).await.is_none());
    let error = a.pc.create_offer(OfferOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    within("closing twice", a.pc.close()).await;
}

#[tokio::test]
async fn a_wrong_certificate_is_named_in_the_error() {
    let (a, b) = pair();
    a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    a.pc.set_local_description(None).await.unwrap();
    b.pc.set_remote_description(a.pc.local_description().unwrap()).await.unwrap();
    b.pc.set_local_description(None).await.unwrap();
    let mut answer = b.pc.local_description().unwrap();
    // The last digit of the fingerprint.
    let line = answer.sdp.find("a=fingerprint:").unwrap();
    let digit = answer.sdp[line..].find("\r\n").unwrap() + line - 1;
    let other = if &answer.sdp[digit..=digit] == "0" { "1" } else { "0" };
    let (old, new) = (answer.sdp[line..=digit].to_owned(), format!("{}{other}", &answer.sdp[line..digit]));
    answer.sdp = answer.sdp.replace(&old, &new);
    a.pc.set_remote_description(answer).await.unwrap();
    let error = within("failed", a.pc.connected()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Operation);
    assert!(error.message().contains("fingerprint"), "{error}");
}

#[tokio::test]
async fn dropping_the_last_handle_closes_and_frees_everything() {
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (a, mut b) = pair();
    let ours = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    let source = MediaStreamTrack::new(Kind::Audio);
    let sender = a.pc.add_track(&source, &[]).unwrap();
    negotiate(&a.pc, &b.pc).await;
    let theirs = b.event("a channel", channel).await;
    connected(&a.pc, &b.pc).await;
    assert!(tokio::runtime::Handle::current().metrics().num_alive_tasks() > tasks);

    // The forwarding tasks of the test hold a handle of the other side each; closing one side ends them.
    drop((b, theirs));
    a.pc.close().await;
    drop((a, ours, sender));
    until_tasks(tasks).await;
}

#[tokio::test]
async fn any_handle_keeps_the_connection_and_the_last_one_closes_it() {
    let (a, a_events) = PeerConnection::new(config()).unwrap();
    let (b, mut b_events) = PeerConnection::new(config()).unwrap();
    let ours = a.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate_complete(&a, &b).await;
    connected(&a, &b).await;

    drop((a, a_events));
    within("opens", ours.opened()).await.unwrap();
    ours.send(Message::text("still here")).await.unwrap();
    let theirs = within("a channel", async {
        loop {
            if let Some(Event::DataChannel(channel)) = b_events.recv().await {
                return channel;
            }
        }
    })
    .await;
    assert_eq!(within("a message", theirs.recv()).await, Some(Message::text("still here")));
    drop(ours);
    assert_eq!(within("the end", theirs.recv()).await, None);
    within("closed", b.closed()).await;
    assert_eq!(b.connection_state(), ConnectionState::Closed);
}

#[tokio::test]
async fn closing_ends_when_nobody_listens() {
    let other = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let a = PeerConnection::new(config()).unwrap();
    let b = other.block_on_elsewhere(async { PeerConnection::new(config()).unwrap() });
    let (a, b) = pair_of(a, b);
    a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    connected(&a.pc, &b.pc).await;
    other.shutdown_background();
    within("told that its runtime is gone", b.pc.closed()).await;
    assert_eq!(b.pc.connection_state(), ConnectionState::Closed);
    // After a second; the clock of that is a test of the driver.
    within("close", a.pc.close()).await;
}

trait Elsewhere {
    /// Runs a future on this runtime from within another one.
    fn block_on_elsewhere<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T;
}

impl Elsewhere for tokio::runtime::Runtime {
    fn block_on_elsewhere<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        let (sender, receiver) = std::sync::mpsc::channel();
        self.spawn(async move { sender.send(future.await) });
        receiver.recv().unwrap()
    }
}

#[test]
fn a_runtime_that_shuts_down_leaves_handles_that_say_so() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (pc, mut events, channel) = runtime.block_on(async {
        let (pc, events) = PeerConnection::new(config()).unwrap();
        let channel = pc.create_data_channel("x", DataChannelInit::default()).unwrap();
        pc.set_local_description(None).await.unwrap();
        (pc, events, channel)
    });
    drop(runtime);
    assert_eq!(pc.connection_state(), ConnectionState::Closed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        within("closed", pc.closed()).await;
        within("close", pc.close()).await;
        assert_eq!(within("no message", channel.recv()).await, None);
        assert_eq!(channel.send(Message::text("x")).await.unwrap_err().kind(), ErrorKind::InvalidState);
        within("the events end", async { while events.recv().await.is_some() {} }).await;
    });
}

#[test]
fn outside_a_runtime_the_error_says_so() {
    let error = PeerConnection::new(config()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert!(error.to_string().contains("tokio"), "{error}");
}

#[tokio::test]
async fn a_slow_consumer_of_events_loses_none() {
    let (a, mut a_events) = PeerConnection::new(config()).unwrap();
    let (b, mut b_events) = PeerConnection::new(config()).unwrap();
    const CHANNELS: usize = 100;
    let channels: Vec<_> = (0..CHANNELS)
        .map(|i| a.create_data_channel(i.to_string(), DataChannelInit::default()).unwrap())
        .collect();
    a.add_track(&MediaStreamTrack::new(Kind::Audio), &[]).unwrap();
    negotiate_complete(&a, &b).await;
    connected(&a, &b).await;
    for channel in &channels {
        within("opens", channel.opened()).await.unwrap();
        channel.send(Message::text(channel.label())).await.unwrap();
    }

    // Nobody has looked at an event so far.
    let described = a.local_description().unwrap().sdp.matches("a=candidate:").count();
    let (mut candidates, mut ends, mut needed) = (0, 0, 0);
    while let Some(event) = a_events.try_recv() {
        match event {
            Event::IceCandidate(Some(_)) => candidates += 1,
            Event::IceCandidate(None) => ends += 1,
            Event::NegotiationNeeded => needed += 1,
            _ => {}
        }
    }
    assert_eq!((candidates, ends, needed), (described, 1, 1));
    let (mut next, mut tracks, mut states) = (0, 0, Vec::new());
    let mut incoming = Vec::new();
    while incoming.len() < CHANNELS {
        match within("an event", b_events.recv()).await.unwrap() {
            Event::DataChannel(channel) => {
                assert_eq!(channel.label(), next.to_string(), "in order");
                next += 1;
                incoming.push(channel);
            }
            Event::Track(_) => tracks += 1,
            Event::ConnectionStateChange(state) => states.push(state),
            _ => {}
        }
    }
    assert_eq!(tracks, 1);
    assert_eq!(states.last(), Some(&ConnectionState::Connected));
    for channel in &incoming {
        assert_eq!(within("a message", channel.recv()).await, Some(Message::text(channel.label())));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_share_one_port() -> Result<(), Error> {
    let endpoint = Endpoint::bind(&[([127, 0, 0, 1], 0).into()])?;
    let mut ends = Vec::new();
    for i in 0..8 {
        let (client, mut server) =
            pair_of(PeerConnection::new(config())?, PeerConnection::with_endpoint(config(), &endpoint)?);
        let channel = client.pc.create_data_channel(i.to_string(), DataChannelInit::default())?;
        // Both orders: the server answers, and the server offers.
        if i % 2 == 0 {
            negotiate(&client.pc, &server.pc).await;
        } else {
            server.pc.create_data_channel("server", DataChannelInit::default().with_negotiated(1_000))?;
            negotiate(&server.pc, &client.pc).await;
        }
        connected(&client.pc, &server.pc).await;
        let there = server.event("a channel", self::channel).await;
        ends.push((client, server, channel, there));
    }
    for (i, (_, _, here, there)) in ends.iter().enumerate() {
        here.send(Message::text(i.to_string())).await?;
        assert_eq!(within("a message", there.recv()).await, Some(Message::text(i.to_string())));
    }
    assert_eq!(endpoint.stats().overflowed, 0);
    assert_eq!(endpoint.stats().routes_refused, 0);
    Ok(())
}

#[test]
fn handles_and_events_can_go_anywhere() {
    fn everywhere<T: Send + Sync + std::fmt::Debug + 'static>() {}
    everywhere::<PeerConnection>();
    everywhere::<taut::Events>();
    everywhere::<Event>();
    everywhere::<DataChannel>();
    everywhere::<MediaStreamTrack>();
    everywhere::<taut::MediaStream>();
    everywhere::<taut::RtpTransceiver>();
    everywhere::<taut::RtpSender>();
    everywhere::<taut::RtpReceiver>();
    everywhere::<taut::DtlsTransport>();
    everywhere::<taut::IceTransport>();
    everywhere::<Endpoint>();
    everywhere::<Error>();
}
