//! The data-channel part of the local call: messages of many sizes that are echoed, then a stream as fast as it goes.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use taut::{DataChannel, Message};

use super::now;
use super::progress::Counters;

/// The labels by which pc2 knows what to do with a channel.
pub(super) const ECHO: &str = "echo";
/// See [`ECHO`].
pub(super) const STREAM: &str = "stream";

/// How many messages are echoed while the clip plays, and their sizes in bytes, in turn: the edges of a packet and of a
/// 16-bit length. One at a time, and none so large that it could drive the sound out of the buffers of a slow machine.
const BESIDE: (usize, &[usize]) = (150, &[0, 1, 15, 160, 1_150, 1_200, 1_300, 4_096, 16_384, 65_535]);

/// The same for those that are echoed when it is over, as many at a time as fit: up to the default largest message.
const AFTER: (usize, &[usize]) = (50, &[262_144, 0, 1_200, 65_536, 1, 131_072]);

/// The size of a message of the stream, in bytes. Large enough that messages cost little, small enough for any peer.
const BLOCK: usize = 64 * 1024;

/// How long the stream runs.
const STREAM_TIME: Duration = Duration::from_secs(1);

/// The most blocks of the stream, so that a fast machine does not go on for gigabytes.
const MAX_BLOCKS: u64 = 16_384;

/// What ends the stream, and what pc2 answers with.
const END: &str = "end";

/// Message `index` of those of these sizes: text and binary in turn, each with bytes of its own.
fn message(index: usize, sizes: &[usize]) -> Message {
    let size = sizes.get(index % sizes.len().max(1)).copied().unwrap_or_default();
    if (index / sizes.len().max(1) + index).is_multiple_of(2) {
        Message::binary((0..size).map(|at| (at.wrapping_mul(31) ^ index) as u8).collect::<Vec<u8>>())
    } else {
        Message::text(char::from(b'a' + (index % 26) as u8).to_string().repeat(size))
    }
}

/// pc1: sends messages one by one, spread over `length`, and checks that each comes back before the next goes out.
pub(super) async fn echo_beside(
    channel: &DataChannel,
    length: Duration,
    counters: &Counters,
) -> Result<(), taut::Error> {
    let (count, sizes) = BESIDE;
    let mut ticks = tokio::time::interval(length / count as u32);
    for index in 0..count {
        ticks.tick().await;
        channel.send(message(index, sizes)).await?;
        counters.messages_sent.add(1);
        if !check(channel.recv().await, message(index, sizes), counters) {
            return Ok(());
        }
    }
    Ok(())
}

/// pc1: sends messages as fast as it goes, and checks that each comes back, in order.
pub(super) async fn echo_after(channel: &DataChannel, counters: &Counters) -> Result<(), taut::Error> {
    let (count, sizes) = AFTER;
    let send = async {
        for index in 0..count {
            channel.send(message(index, sizes)).await?;
            counters.messages_sent.add(1);
        }
        Ok(())
    };
    let receive = async {
        for index in 0..count {
            if !check(channel.recv().await, message(index, sizes), counters) {
                break;
            }
        }
        Ok(())
    };
    tokio::try_join!(send, receive).map(|_| ())
}

/// Counts a message that came back as it was; false once none will come any more.
fn check(back: Option<Message>, expected: Message, counters: &Counters) -> bool {
    match &back {
        Some(back) if *back == expected => counters.messages_received.add(1),
        Some(_) => tracing::warn!("a message came back changed"),
        None => {}
    }
    back.is_some()
}

/// pc2: sends every message back.
pub(super) async fn answer_echo(channel: &DataChannel, counters: &Counters) {
    while let Some(message) = channel.recv().await {
        counters.messages_received.add(1);
        if channel.send(message).await.is_err() {
            return;
        }
        counters.messages_sent.add(1);
    }
}

/// pc1: sends blocks for [`STREAM_TIME`], waits until pc2 has all of them, and gives 10⁶ bytes a second.
pub(super) async fn stream(channel: &DataChannel, counters: &Counters) -> Result<Option<f64>, taut::Error> {
    let started = now();
    let mut blocks = 0;
    while blocks < MAX_BLOCKS && now() - started < STREAM_TIME {
        channel.send(Message::binary(block(blocks))).await?;
        counters.messages_sent.add(1);
        blocks += 1;
    }
    channel.send(Message::text(END)).await?;
    counters.messages_sent.add(1);
    if channel.recv().await != Some(Message::text(END)) {
        return Ok(None);
    }
    counters.messages_received.add(1);
    Ok(Some(blocks as f64 * BLOCK as f64 / 1e6 / (now() - started).as_secs_f64()))
}

/// pc2: checks each block of the stream and says when it has seen the end.
pub(super) async fn answer_stream(channel: &DataChannel, counters: &Counters) {
    let mut next = 0;
    while let Some(message) = channel.recv().await {
        if message == Message::text(END) {
            counters.messages_received.add(1);
            if channel.send(Message::text(END)).await.is_ok() {
                counters.messages_sent.add(1);
            }
            return;
        }
        if message == Message::binary(block(next)) {
            counters.messages_received.add(1);
        }
        next += 1;
    }
}

/// Block `index` of the stream: its number, over and over.
fn block(index: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(BLOCK);
    for _ in 0..BLOCK / 8 {
        bytes.put_u64(index);
    }
    bytes.freeze()
}
