//! Data channels as streams: messages in parts, `Stream` and `Sink`, octets; and the transport below them.

mod common;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use common::{Side, config, negotiate, pair, pair_of, within};
use futures_core::Stream;
use futures_sink::Sink;
use taut::{
    DataChannel, DataChannelInit, DataChannelPriority, DataChannelState, DtlsTransportState, ErrorKind,
    Event, Message, MessageKind, PeerConnection, SctpTransportState,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn channel(event: Event) -> Option<DataChannel> {
    if let Event::DataChannel(channel) = event { Some(channel) } else { None }
}

/// Two connections that take large messages, and a channel on them.
async fn large() -> (Side, Side, DataChannel, DataChannel) {
    let side = || PeerConnection::new(config().with_max_message_size(1 << 30)).unwrap();
    let (a, mut b) = pair_of(side(), side());
    let ours = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    let theirs = b.event("a channel", channel).await;
    (a, b, ours, theirs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_larger_than_any_buffer_is_written_and_read_in_parts() {
    let (_a, _b, ours, theirs) = large().await;
    const PARTS: usize = 400;
    let write = async {
        let mut writer = ours.send_stream(MessageKind::Text).await.unwrap();
        for i in 0..PARTS {
            writer.write(vec![b'a' + (i % 26) as u8; 100_000]).await.unwrap();
            assert!(ours.buffered_amount() < 2 << 20);
        }
        writer.finish().await.unwrap();
        ours.send("whole").await.unwrap();
    };
    let read = async {
        let mut reader = theirs.recv_stream().await.unwrap();
        assert_eq!(reader.kind(), MessageKind::Text);
        let mut at = 0;
        while let Some(part) = reader.read().await.unwrap() {
            assert!(!part.is_empty());
            assert!(part.iter().enumerate().all(|(i, &o)| o == b'a' + ((at + i) / 100_000 % 26) as u8));
            at += part.len();
        }
        assert_eq!(at, PARTS * 100_000);
        drop(reader);
        assert_eq!(theirs.recv().await, Some("whole".into()));
    };
    within("the message", async { tokio::join!(write, read) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_and_readers_are_those_of_tokio_too() {
    let (_a, _b, ours, theirs) = large().await;
    let sent: Vec<u8> = (0..3_000_000u32).map(|i| (i % 253) as u8).collect();
    let write = async {
        let mut writer = within("room", ours.send_stream(MessageKind::Binary)).await.unwrap();
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let read = async {
        let mut read = Vec::new();
        theirs.recv_stream().await.unwrap().read_to_end(&mut read).await.unwrap();
        read
    };
    let ((), read) = within("the message", async { tokio::join!(write, read) }).await;
    assert!(read == sent);
}

#[tokio::test]
async fn a_writer_that_is_dropped_gives_its_message_up() {
    let (_a, _b, ours, theirs) = large().await;
    let mut writer = within("room", ours.send_stream(MessageKind::Binary)).await.unwrap();
    assert!(ours.try_send("no").is_err(), "the message is not ended");
    writer.write(vec![1; 200_000]).await.unwrap();
    let mut reader = within("its start", theirs.recv_stream()).await.unwrap();
    assert!(!within("a part", reader.read()).await.unwrap().unwrap().is_empty());
    drop(writer);
    let error = within("its end", async {
        loop {
            if let Err(error) = reader.read().await {
                return error;
            }
        }
    })
    .await;
    assert_eq!(error.kind(), ErrorKind::Operation);
    drop(reader);
    within("room", ours.send("next")).await.unwrap();
    assert_eq!(within("the next", theirs.recv()).await, Some("next".into()));
}

#[tokio::test]
async fn what_a_reader_leaves_is_thrown_away() {
    let (_a, _b, ours, theirs) = large().await;
    for _ in 0..3 {
        let mut writer = within("room", ours.send_stream(MessageKind::Binary)).await.unwrap();
        writer.write(vec![1; 300_000]).await.unwrap();
        let reader = within("its start", theirs.recv_stream()).await.unwrap();
        drop(reader);
        writer.write(vec![1; 300_000]).await.unwrap();
        within("room", writer.finish()).await.unwrap();
        within("room", ours.send("next")).await.unwrap();
        assert_eq!(within("the next", theirs.recv()).await, Some("next".into()));
    }
    // Whoever only asked has taken nothing.
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(20), theirs.recv_stream()).await;
    assert!(waiting.is_err());
    ours.send(vec![7; 100_000]).await.unwrap();
    assert_eq!(within("whole", theirs.recv()).await, Some(vec![7; 100_000].into()));
    // A message beyond what the other side takes is refused before it is sent.
    let (a, mut b) = pair();
    let ours = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    b.event("a channel", channel).await;
    let mut writer = within("room", ours.send_stream(MessageKind::Binary)).await.unwrap();
    writer.write(vec![0; 262_144]).await.unwrap();
    assert_eq!(writer.write(vec![0]).await.unwrap_err().kind(), ErrorKind::Type);
}

#[tokio::test]
async fn a_channel_is_a_stream_and_a_sink() {
    let (a, mut b) = pair();
    let mut ours = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    let mut theirs = b.event("a channel", channel).await;
    let send = async {
        for i in 0..200u8 {
            poll_fn(|cx| Pin::new(&mut ours).poll_ready(cx)).await.unwrap();
            Pin::new(&mut ours).start_send(vec![i; 50_000].into()).unwrap();
        }
        poll_fn(|cx| Sink::<Message>::poll_flush(Pin::new(&mut ours), cx)).await.unwrap();
        poll_fn(|cx| Sink::<Message>::poll_close(Pin::new(&mut ours), cx)).await.unwrap();
        assert_eq!(ours.ready_state(), DataChannelState::Closed);
        let late = poll_fn(|cx| Sink::<Message>::poll_ready(Pin::new(&mut ours), cx)).await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::InvalidState);
    };
    let receive = async {
        for i in 0..200u8 {
            let message = poll_fn(|cx| Pin::new(&mut theirs).poll_next(cx)).await;
            assert_eq!(message, Some(vec![i; 50_000].into()));
        }
        assert_eq!(poll_fn(|cx| Pin::new(&mut theirs).poll_next(cx)).await, None);
    };
    within("all of them", async { tokio::join!(send, receive) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_a_stream_of_octets() {
    let (a, mut b) = pair();
    let ours = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    let theirs = b.event("a channel", channel).await.into_bytes();
    let (mut read_half, mut write_half) = tokio::io::split(theirs);
    let echo = tokio::spawn(async move {
        tokio::io::copy(&mut read_half, &mut write_half).await.unwrap();
    });
    let sent: Vec<u8> = (0..2_000_000u32).map(|i| (i % 251) as u8).collect();
    let (mut reader, mut writer) = tokio::io::split(ours.into_bytes());
    let expected = sent.clone();
    let read = tokio::spawn(async move {
        let mut back = vec![0; expected.len()];
        reader.read_exact(&mut back).await.unwrap();
        assert!(back == expected);
    });
    within("written", writer.write_all(&sent)).await.unwrap();
    within("read", read).await.unwrap();
    within("closed", writer.shutdown()).await.unwrap();
    within("the end", echo).await.unwrap();
}

#[tokio::test]
async fn octets_that_are_cut_off_by_the_end_of_the_connection_are_an_error() {
    let (a, mut b) = pair();
    let ours = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    let mut theirs = b.event("a channel", channel).await.into_bytes();
    let mut writer = ours.send_stream(MessageKind::Binary).await.unwrap();
    writer.write(vec![7; 9]).await.unwrap();
    writer.finish().await.unwrap();
    let mut start = [0; 4];
    within("the start", theirs.read_exact(&mut start)).await.unwrap();

    within("close", a.pc.close()).await;
    let mut rest = Vec::new();
    let error = within("the end", theirs.read_to_end(&mut rest)).await.unwrap_err();
    assert_eq!((error.kind(), rest), (io::ErrorKind::UnexpectedEof, vec![7; 5]));
    let error = within("a write", theirs.write_all(b"late")).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_message_that_is_cut_off_is_an_error_of_reading() {
    let (a, _b, ours, theirs) = large().await;
    let mut writer = within("room", ours.send_stream(MessageKind::Binary)).await.unwrap();
    writer.write_all(&[7; 100_000]).await.unwrap();
    let mut reader = within("a message", theirs.recv_stream()).await.unwrap();
    within("close", a.pc.close()).await;
    let error = within("the end", reader.read_to_end(&mut Vec::new())).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    let error = within("a write", writer.write_all(&[7])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn priorities_and_the_transport_are_as_negotiated() {
    let (a, mut b) = pair_of(
        PeerConnection::new(config()).unwrap(),
        PeerConnection::new(config().with_max_message_size(100_000)).unwrap(),
    );
    assert!(a.pc.sctp().is_none());
    let init = DataChannelInit::default().with_priority(DataChannelPriority::High);
    let ours = a.pc.create_data_channel("x", init).unwrap();
    assert!(a.pc.sctp().is_none(), "not before it is negotiated");
    negotiate(&a.pc, &b.pc).await;
    let theirs = b.event("a channel", channel).await;
    assert_eq!((ours.priority(), theirs.priority()), (DataChannelPriority::High, DataChannelPriority::High));
    within("opens", ours.opened()).await.unwrap();
    let sctp = a.pc.sctp().unwrap();
    assert_eq!((sctp.state(), sctp.max_message_size()), (SctpTransportState::Connected, 100_000));
    assert_eq!(
        (sctp.max_channels(), sctp.transport().state()),
        (Some(65_535), DtlsTransportState::Connected)
    );
    assert_eq!(b.pc.sctp().unwrap().max_message_size(), 262_144);
    let too_large = ours.send(vec![0; 100_001]).await.unwrap_err();
    assert_eq!(too_large.kind(), ErrorKind::Type);
    a.pc.close().await;
    assert_eq!(sctp.state(), SctpTransportState::Closed);
}

#[tokio::test]
async fn the_buffered_amount_stays_when_the_channel_closes() {
    let (a, mut b) = pair();
    let ours = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    negotiate(&a.pc, &b.pc).await;
    let theirs = b.event("a channel", channel).await;
    let mut sent = 0;
    // The other side reads nothing, so something stays here.
    while ours.try_send(vec![0; 60_000]).is_ok() || sent < 20 << 20 {
        sent += 60_000;
        tokio::task::yield_now().await;
    }
    ours.set_buffered_amount_low_threshold(0);
    let low = tokio::spawn({
        let ours = ours.clone();
        async move { ours.buffered_amount_low().await }
    });
    assert!(ours.buffered_amount() > 0);
    a.pc.close().await;
    assert_eq!(ours.ready_state(), DataChannelState::Closed);
    assert!(ours.buffered_amount() > 0);
    within("nobody waits for a closed channel", low).await.unwrap();
    drop(theirs);
}
