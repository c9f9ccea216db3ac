//! Measures two peers in one process over loopback: how long it takes to connect, and how fast a data channel is.
//!
//! ```console
//! $ cargo run --release -p taut --example throughput -- [MESSAGE_OCTETS] [SECONDS] [newreno|cubic|bbr] [DATA_MAX_MTU]
//! ```

use std::time::Duration;

use taut::{
    Configuration, DataChannelInit, DataCongestion, Error, Event, Events, Loopback, Message, MessageKind,
    OfferOptions, PeerConnection,
};
use tokio::time::Instant;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Error> {
    let mut numbers = std::env::args().skip(1).map_while(|text| text.parse::<usize>().ok());
    let size = numbers.next().unwrap_or(65_536);
    let limit = Duration::from_secs(numbers.next().unwrap_or(3) as u64);

    let congestion = match std::env::args().nth(3).as_deref() {
        Some("newreno") => DataCongestion::NewReno,
        Some("cubic") => DataCongestion::Cubic,
        Some("bbr") => DataCongestion::Bbr,
        _ => DataCongestion::default(),
    };

    let begin = Instant::now();
    let mut config =
        Configuration::default().with_loopback(Loopback::Always).with_data_congestion(congestion);
    if let Some(octets) = std::env::args().nth(4).and_then(|text| text.parse().ok()) {
        config = config.with_data_max_mtu(octets);
    }
    let (sender, sender_events) = PeerConnection::new(config.clone())?;
    let (receiver, receiver_events) = PeerConnection::new(config)?;
    let channel = sender.create_data_channel("data", DataChannelInit::default())?;
    let offer = sender.create_offer(OfferOptions::default()).await?;
    sender.set_local_description(offer.clone()).await?;
    receiver.set_remote_description(offer).await?;
    let answer = receiver.create_answer().await?;
    receiver.set_local_description(answer.clone()).await?;
    sender.set_remote_description(answer).await?;
    tokio::spawn(handle(sender_events, receiver.clone()));
    tokio::spawn(handle(receiver_events, sender.clone()));
    channel.opened().await?;
    println!("open after {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);

    let begin = Instant::now();
    let block = Message::binary(vec![7; size]);
    let mut octets = 0usize;
    while begin.elapsed() < limit {
        channel.send(block.clone()).await?;
        octets += size;
    }
    channel.send(Message::text("end")).await?;
    channel.recv().await;
    let seconds = begin.elapsed().as_secs_f64();
    println!("{:.1} MB/s in messages of {size} octets", octets as f64 / 1e6 / seconds);
    println!(
        "round trip {:?}",
        sender.stats().await.selected_pair().and_then(|pair| pair.current_round_trip_time)
    );
    let begin = Instant::now();
    sender.close().await;
    println!("closed after {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// Gives the candidates to the other side; reads channels to the end, and says that it came.
async fn handle(mut events: Events, other: PeerConnection) -> Result<(), Error> {
    while let Some(event) = events.recv().await {
        match event {
            Event::IceCandidate(candidate) => other.add_ice_candidate(candidate).await?,
            Event::DataChannel(channel) => drop(tokio::spawn(async move {
                while let Some(message) = channel.recv().await {
                    if message.kind == MessageKind::Text {
                        channel.send(message).await?;
                    }
                }
                Ok::<_, Error>(())
            })),
            _ => {}
        }
    }
    Ok(())
}
