//! Two peers in one process that send each other messages. Run it with
//! `cargo run -p taut --example data_channel`.

use taut::{
    Configuration, DataChannelInit, Error, Event, Events, Loopback, Message, OfferOptions, PeerConnection,
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = Configuration::default().with_loopback(Loopback::Always);
    let (alice, alice_events) = PeerConnection::new(config.clone())?;
    let (bob, bob_events) = PeerConnection::new(config)?;
    let chat = alice.create_data_channel("chat", DataChannelInit::default())?;

    // Signaling: an application sends these over a connection of its own.
    let offer = alice.create_offer(OfferOptions::default()).await?;
    alice.set_local_description(offer.clone()).await?;
    bob.set_remote_description(offer).await?;
    let answer = bob.create_answer().await?;
    bob.set_local_description(answer.clone()).await?;
    alice.set_remote_description(answer).await?;
    tokio::spawn(handle("alice", alice_events, bob.clone()));
    tokio::spawn(handle("bob", bob_events, alice.clone()));

    for text in ["hello", "how are you?", "bye"] {
        chat.send(Message::text(text)).await?;
        match chat.recv().await {
            Some(message) => println!("alice got back: {}", String::from_utf8_lossy(&message.data)),
            None => break,
        }
    }
    alice.close().await;
    bob.closed().await;
    Ok(())
}

/// Gives the candidates to the other side, and answers what comes in on data channels.
async fn handle(name: &'static str, mut events: Events, other: PeerConnection) -> Result<(), Error> {
    while let Some(event) = events.recv().await {
        match event {
            Event::IceCandidate(candidate) => other.add_ice_candidate(candidate).await?,
            Event::ConnectionStateChange(state) => println!("{name} is {state:?}"),
            Event::DataChannel(channel) => {
                println!("{name} has a new channel: {}", channel.label());
                tokio::spawn(async move {
                    while let Some(message) = channel.recv().await {
                        channel.send(message).await?;
                    }
                    Ok::<_, Error>(())
                });
            }
            _ => {}
        }
    }
    Ok(())
}
