//! An echo over a data channel: Alice sends messages, Bob sends them back. Candidates are trickled, each as it is found.
//!
//! ```console
//! $ cargo run -p taut --example data_channel
//! ```

use std::error::Error;

use taut::{Configuration, DataChannel, DataChannelInit, Event, Events, Loopback, Message, PeerConnection};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // Both peers are on this host, which may have no network at all.
    let config = Configuration::default().with_loopback(Loopback::Always);
    let (alice, alice_events) = PeerConnection::new(config.clone())?;
    let (bob, bob_events) = PeerConnection::new(config)?;

    // What is negotiated is what there is when the offer is made.
    let chat = alice.create_data_channel("chat", DataChannelInit::default())?;

    // Offer and answer; an application sends them over a connection of its own, see the example `signaling`.
    alice.set_local_description(None).await?;
    bob.set_remote_description(alice.local_description().ok_or("no offer")?).await?;
    bob.set_local_description(None).await?;
    alice.set_remote_description(bob.local_description().ok_or("no answer")?).await?;

    // From here on each side reacts to its events.
    tokio::spawn(handle("alice", alice_events, bob.clone()));
    tokio::spawn(handle("bob", bob_events, alice.clone()));

    // The first message waits until the channel is open.
    for text in ["hello", "how are you?", "bye"] {
        chat.send(Message::text(text)).await?;
        let answer = chat.recv().await.ok_or("the channel was closed")?;
        println!("alice got back: {:?}", answer.as_text());
        assert_eq!(answer, Message::text(text));
    }

    // Closing is told to the other side.
    alice.close().await;
    bob.closed().await;
    Ok(())
}

/// Gives the candidates of one side to the other, and answers on the channels that come in.
async fn handle(name: &'static str, mut events: Events, other: PeerConnection) -> Result<(), taut::Error> {
    while let Some(event) = events.recv().await {
        match event {
            Event::IceCandidate(candidate) => other.add_ice_candidate(candidate).await?,
            Event::ConnectionStateChange(state) => println!("{name} is {state:?}"),
            Event::DataChannel(channel) => {
                println!("{name} has a new channel: {}", channel.label());
                tokio::spawn(echo(channel));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Sends back every message until the channel is closed.
async fn echo(channel: DataChannel) -> Result<(), taut::Error> {
    while let Some(message) = channel.recv().await {
        channel.send(message).await?;
    }
    Ok(())
}
