//! Data channels between two connections over loopback sockets.

mod common;

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{connected, negotiate, pair, within};
use taut::{
    DataChannel, DataChannelInit, DataChannelState, ErrorKind, Event, Message, MessageKind, TrySendError,
};

fn channel(event: Event) -> Option<DataChannel> {
    if let Event::DataChannel(channel) = event { Some(channel) } else { None }
}

fn pattern(i: usize) -> Message {
    let octets: Vec<u8> = (0..(i * 7_919) % 60_000).map(|at| (at ^ i) as u8).collect();
    if i.is_multiple_of(2) { Message::binary(octets) } else { Message::text("ü".repeat(octets.len() / 2)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_echoed_whole_and_in_order() {
    let (a, mut b) = pair();
    let init = DataChannelInit::default().with_protocol("test");
    let chat = a.pc.create_data_channel("chat ✓", init).unwrap();
    assert_eq!(chat.ready_state(), DataChannelState::Connecting);
    negotiate(&a.pc, &b.pc).await;
    let echo = b.event("a channel", channel).await;
    assert_eq!((echo.label(), echo.protocol(), echo.ordered()), ("chat ✓", "test", true));
    assert_eq!(echo.ready_state(), DataChannelState::Open);
    within("opens", chat.opened()).await.unwrap();
    assert!(chat.id().is_some());
    assert_eq!(chat.id(), echo.id());

    const COUNT: usize = 300;
    tokio::spawn(async move {
        while let Some(message) = echo.recv().await {
            echo.send(message).await.unwrap();
        }
    });
    let send = async {
        for i in 0..COUNT {
            chat.send(pattern(i)).await.unwrap();
        }
    };
    let receive = async {
        for i in 0..COUNT {
            assert_eq!(chat.recv().await, Some(pattern(i)), "message {i}");
        }
    };
    within("the echo", async { tokio::join!(send, receive) }).await;
    let empty = Message::text("");
    chat.send(empty.clone()).await.unwrap();
    assert_eq!(within("the empty message", chat.recv()).await.unwrap().kind, MessageKind::Text);
}

#[tokio::test]
async fn a_message_sent_before_the_offer_arrives() {
    let (a, mut b) = pair();
    let early = a.pc.create_data_channel("early", DataChannelInit::default()).unwrap();
    early.send(Message::text("first")).await.unwrap();
    negotiate(&a.pc, &b.pc).await;
    let other = b.event("a channel", channel).await;
    assert_eq!(within("the message", other.recv()).await, Some(Message::text("first")));
}

#[tokio::test]
async fn a_slow_reader_stops_the_sender_and_loses_nothing() {
    let (a, mut b) = pair();
    let sender = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    let receiver = b.event("a channel", channel).await;
    within("opens", sender.opened()).await.unwrap();

    // Until both the receive buffer of the other side and our send buffer are full and stay so.
    let mut sent = 0u32;
    let message = |i: u32| Message::binary([&i.to_be_bytes()[..], &[0; 60_000]].concat());
    loop {
        match tokio::time::timeout(Duration::from_millis(500), sender.send(message(sent))).await {
            Ok(result) => result.unwrap(),
            Err(_) => break,
        }
        sent += 1;
        assert!(sent < 1_000, "nothing stops the sender");
    }
    // Whoever waits is woken at half the limit, so there may be some room still.
    let refused = loop {
        match sender.try_send(message(sent)) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1_000, "nothing stops the sender");
    };
    assert!(matches!(refused, TrySendError::Full(back) if back == message(sent)));
    assert!(sender.buffered_amount() > 0);

    // The message whose future was dropped was not sent; the next one continues the count.
    let rest = tokio::spawn({
        let sender = sender.clone();
        async move {
            for i in sent..sent + 20 {
                sender.send(message(i)).await.unwrap();
            }
        }
    });
    for i in 0..sent + 20 {
        assert_eq!(within("a message", receiver.recv()).await.unwrap(), message(i), "message {i}");
    }
    rest.await.unwrap();
    sender.set_buffered_amount_low_threshold(10);
    within("drained", sender.buffered_amount_low()).await;
    assert!(sender.buffered_amount() <= 10);
}

#[tokio::test]
async fn sending_is_accepted_or_not_never_half() {
    let (a, mut b) = pair();
    let sender = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    let receiver = b.event("a channel", channel).await;
    within("opens", sender.opened()).await.unwrap();
    let reader = tokio::spawn(async move {
        let mut got = Vec::new();
        while let Some(message) = receiver.recv().await {
            if message.kind == MessageKind::Text {
                return got;
            }
            got.push(u32::from_be_bytes(message.data[..4].try_into().unwrap()));
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        got
    });
    let mut accepted = Vec::new();
    for i in 0..2_000u32 {
        let message = Message::binary([&i.to_be_bytes()[..], &[0; 5_000]].concat());
        // Ready or not, here it ends: the future is polled once and dropped.
        let outcome = tokio::select! {
            biased;
            result = sender.send(message) => Some(result),
            () = std::future::ready(()) => None,
        };
        match outcome {
            Some(result) => {
                result.unwrap();
                accepted.push(i);
            }
            None => tokio::task::yield_now().await,
        }
    }
    within("the end", sender.send(Message::text("end"))).await.unwrap();
    assert!(accepted.len() < 2_000, "back-pressure was never met");
    assert_eq!(within("the reader", reader).await.unwrap(), accepted);
}

#[tokio::test]
async fn closing_a_channel_is_seen_by_the_other_side_after_its_messages() {
    let (a, mut b) = pair();
    let ours = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    let theirs = b.event("a channel", channel).await;
    within("opens", ours.opened()).await.unwrap();
    for i in 0..50 {
        ours.send(pattern(i)).await.unwrap();
    }
    assert!(!ours.closed_cleanly() && !theirs.closed_cleanly());
    ours.close();
    for i in 0..50 {
        assert_eq!(within("a message", theirs.recv()).await, Some(pattern(i)));
    }
    assert_eq!(within("the end", theirs.recv()).await, None);
    within("closed here", ours.closed()).await;
    within("closed there", theirs.closed()).await;
    assert!(ours.closed_cleanly() && theirs.closed_cleanly());
    let error = ours.send(Message::text("late")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert!(matches!(theirs.try_send(Message::text("late")), Err(TrySendError::Refused(_))));

    let again = a.pc.create_data_channel("again", DataChannelInit::default()).unwrap();
    let theirs = b.event("another channel", channel).await;
    again.send(Message::text("still works")).await.unwrap();
    assert_eq!(within("a message", theirs.recv()).await, Some(Message::text("still works")));
}

#[tokio::test]
async fn a_channel_that_ends_with_its_connection_was_not_closed_cleanly() {
    let (a, mut b) = pair();
    let ours = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    let theirs = b.event("a channel", channel).await;
    within("close", a.pc.close()).await;
    assert_eq!(within("the end", theirs.recv()).await, None);
    within("closed", ours.closed()).await;
    assert!(!ours.closed_cleanly() && !theirs.closed_cleanly());
}

#[tokio::test]
async fn who_waits_for_room_is_refused_when_the_channel_closes() {
    let (a, b) = pair();
    let ours = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    within("opens", ours.opened()).await.unwrap();
    // The one thread of the runtime is here until the next await: nothing is sent meanwhile.
    let message = || Message::binary(vec![0; 60_000]);
    while ours.try_send(message()).is_ok() {}
    let mut waiting = pin!(ours.send(message()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    ours.close();
    assert!(ours.buffered_amount() > 1 << 20, "there is still no room");
    let Poll::Ready(Err(error)) = waiting.as_mut().poll(&mut cx) else { panic!("it waits on") };
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert!(matches!(ours.try_send(message()), Err(TrySendError::Refused(_))));
}

#[tokio::test]
async fn a_dropped_channel_does_not_hold_up_its_siblings() {
    let (a, mut b) = pair();
    let flood = a.pc.create_data_channel("flood", DataChannelInit::default()).unwrap();
    let other = a.pc.create_data_channel("other", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    drop(b.event("the first channel", channel).await);
    let theirs = b.event("the second channel", channel).await;
    for _ in 0..300 {
        within("room", flood.send(Message::binary(vec![0; 60_000]))).await.unwrap();
    }
    other.send(Message::text("through")).await.unwrap();
    assert_eq!(within("a message", theirs.recv()).await, Some(Message::text("through")));
}

#[tokio::test]
async fn negotiated_channels_need_no_event() {
    let (a, b) = pair();
    let init = || DataChannelInit::default().with_negotiated(7).with_ordered(false);
    let ours = a.pc.create_data_channel("x", init()).unwrap();
    let theirs = b.pc.create_data_channel("x", init()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    connected(&a.pc, &b.pc).await;
    within("opens", ours.opened()).await.unwrap();
    assert_eq!((ours.id(), ours.ordered()), (Some(7), false));
    ours.send(Message::text("hi")).await.unwrap();
    assert_eq!(within("a message", theirs.recv()).await, Some(Message::text("hi")));
    assert_eq!(a.pc.create_data_channel("y", init()).unwrap_err().kind(), ErrorKind::Operation);
}
