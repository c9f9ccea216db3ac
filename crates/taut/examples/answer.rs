//! Answers an offer by copy and paste: reads an SDP offer from standard input up to its end (Ctrl-D) or a line with a
//! single dot, writes the answer to standard output, and sends back all media and messages it gets, until the other side
//! goes. Works with any browser, whose offer must have its candidates in it.
//!
//! ```console
//! $ cargo run -p taut --example answer
//! ```

use std::error::Error;
use std::io::BufRead;

use taut::{
    Configuration, ConnectionState, DataChannel, Direction, Event, PeerConnection, SessionDescription,
    TrackEvent,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    eprintln!("waiting for an offer; end it with a line that has one dot");
    let lines = std::io::stdin().lock().lines().map_while(Result::ok).take_while(|line| line.trim() != ".");
    let offer: String = lines.map(|line| line.trim_end().to_owned() + "\r\n").collect();
    if offer.trim().is_empty() {
        eprintln!(
            "there was none; in a browser, `pc.localDescription.sdp` is one once gathering is complete"
        );
        return Ok(());
    }

    let (pc, mut events) = PeerConnection::new(Configuration::default())?;
    pc.set_remote_description(SessionDescription::offer(offer)).await?;
    for transceiver in pc.transceivers() {
        transceiver.set_direction(Direction::SendRecv)?;
    }
    pc.set_local_description(None).await?;
    // The other side has no way to get candidates later.
    pc.gathering_complete().await;
    println!("{}", pc.local_description().ok_or("no answer")?.sdp);

    while let Some(event) = events.recv().await {
        match event {
            Event::ConnectionStateChange(ConnectionState::Failed) => {
                return Err("the connection failed".into());
            }
            Event::ConnectionStateChange(state) => eprintln!("{state:?}"),
            Event::DataChannel(channel) => drop(tokio::spawn(echo_messages(channel))),
            Event::Track(event) => drop(tokio::spawn(echo_packets(event))),
            _ => {}
        }
    }
    Ok(())
}

async fn echo_messages(channel: DataChannel) -> Result<(), taut::Error> {
    while let Some(message) = channel.recv().await {
        channel.send(message).await?;
    }
    Ok(())
}

async fn echo_packets(event: TrackEvent) {
    let sender = event.transceiver.sender();
    loop {
        tokio::select! {
            packet = event.track.recv_rtp() => match packet {
                // What is not sent is lost, as on any network.
                Some(packet) => drop(sender.send_rtp(packet)),
                None => return,
            },
            Some(()) = sender.keyframe_requested() => event.receiver.request_keyframe(),
        }
    }
}
