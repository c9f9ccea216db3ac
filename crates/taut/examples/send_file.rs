//! Sends a file over a data channel to a second peer in the same process, and compares the copy octet by octet.
//!
//! There is no pacing to write: `send` waits while the channel's buffer is full, so that the file is read as fast as
//! the network takes it, and memory stays small however large the file is.
//!
//! ```console
//! $ cargo run -p taut --example send_file            # eight megabytes of nothing in particular
//! $ cargo run -p taut --example send_file -- FILE
//! ```

mod shared;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use shared::{Failure, TemporaryFolder, connect, connection};
use taut::{DataChannel, DataChannelInit, Event, Message};
use tokio::time::Instant;

/// Octets of a message. Any peer takes 64 KiB.
const BLOCK: usize = 64 << 10;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let folder = TemporaryFolder::new()?;
    let (mut original, copy) = (folder.path().join("original"), folder.path().join("copy"));
    match std::env::args().nth(1) {
        Some(name) => original = PathBuf::from(name),
        None => std::fs::write(&original, (0..2_000_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>())?,
    }

    let (sender, _) = connection()?;
    let (receiver, mut events) = connection()?;
    let channel = sender.create_data_channel("file", DataChannelInit::default())?;
    connect(&sender, &receiver).await?;
    let incoming = loop {
        match events.recv().await.ok_or("the connection was closed")? {
            Event::DataChannel(channel) => break channel,
            _ => continue,
        }
    };

    let begin = Instant::now();
    let (sent, received) = tokio::try_join!(send(channel, &original), receive(incoming, &copy))?;
    let seconds = begin.elapsed().as_secs_f64();
    println!("{sent} octets in {seconds:.2} s, {:.1} MB/s", sent as f64 / 1e6 / seconds);

    assert_eq!(sent, received);
    assert!(std::fs::read(&original)? == std::fs::read(&copy)?, "the copy differs");
    sender.close().await;
    Ok(())
}

/// Sends the file in blocks, and closes the channel behind it.
async fn send(channel: DataChannel, path: &Path) -> Result<u64, Failure> {
    let file = File::open(path)?;
    let (mut sent, mut most) = (0, 0);
    loop {
        let mut block = Vec::with_capacity(BLOCK);
        if (&file).take(BLOCK as u64).read_to_end(&mut block)? == 0 {
            break;
        }
        sent += block.len() as u64;
        channel.send(Message::binary(block)).await?;
        most = most.max(channel.buffered_amount());
    }
    println!("no more than {most} octets waited to be sent");
    assert!(most < 2 << 20, "what waits is bounded");
    // What was sent before still arrives.
    channel.close();
    channel.closed().await;
    Ok(sent)
}

/// Writes what comes in to a file, until the other side has closed the channel. One that ended with its connection may
/// have left something out.
async fn receive(channel: DataChannel, path: &Path) -> Result<u64, Failure> {
    let (mut file, mut received) = (File::create(path)?, 0);
    while let Some(message) = channel.recv().await {
        file.write_all(&message.data)?;
        received += message.data.len() as u64;
    }
    if !channel.closed_cleanly() {
        return Err("the connection was lost before the end of the file".into());
    }
    Ok(received)
}
