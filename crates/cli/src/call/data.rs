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

/// How many messages are echoed.
const ECHOED: usize = 200;

/// Their sizes, in turn, in bytes: the edges of a packet, of a 16-bit length and of the default largest message.
const SIZES: [usize; 12] = [0, 1, 15, 160, 1_150, 1_200, 1_300, 4_096, 16_384, 65_535, 65_536, 262_144];

/// The size of a message of the stream, in bytes. Large enough that messages cost little, small enough for any peer.
const BLOCK: usize = 64 * 1024;

/// How long the stream runs.
const STREAM_TIME: Duration = Duration::from_secs(1);

/// The most blocks of the stream, so that a fast machine does not go on for gigabytes.
const MAX_BLOCKS: u64 = 16_384;

/// What ends the stream, and what pc2 answers with.
const END: &str = "end";

/// Message `index` of the echoed ones: text and binary in turn, each with bytes of its own.
fn message(index: usize) -> Message {
    let size = SIZES[index % SIZES.len()];
    if index.is_multiple_of(2) {
        Message::binary((0..size).map(|at| (at.wrapping_mul(31) ^ index) as u8).collect::<Vec<u8>>())
    } else {
        Message::text(char::from(b'a' + (index % 26) as u8).to_string().repeat(size))
    }
}

/// pc1: sends the messages and checks that each comes back, in order. Returns when all are back, or the channel is closed.
pub(super) async fn echo_and_check(channel: &DataChannel, counters: &Counters) -> Result<(), taut::Error> {
    let send = async {
        for index in 0..ECHOED {
            channel.send(message(index)).await?;
            counters.messages_sent.add(1);
        }
        Ok(())
    };
    let check = async {
        for index in 0..ECHOED {
            match channel.recv().await {
                Some(back) if back == message(index) => counters.messages_received.add(1),
                Some(_) => {} // Arrived, but wrong: it counts as lost.
                None => break,
            }
        }
        Ok(())
    };
    tokio::try_join!(send, check).map(|_| ())
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
