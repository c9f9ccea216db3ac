//! Answers an offer by copy and paste: reads an SDP offer from standard input up to its end (Ctrl-D) or a line with a
//! single dot, writes the answer to standard output, and sends back all media and messages it gets. Works with any
//! browser: `cargo run -p taut --example answer`.

use std::io::BufRead;

use taut::{
    Configuration, DataChannel, Direction, Error, Event, PeerConnection, SessionDescription, TrackEvent,
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let lines = std::io::stdin().lock().lines().map_while(Result::ok).take_while(|line| line.trim() != ".");
    let offer: String = lines.map(|line| line.trim_end().to_owned() + "\r\n").collect();

    let (pc, mut events) = PeerConnection::new(Configuration::default())?;
    pc.set_remote_description(SessionDescription::offer(offer)).await?;
    for transceiver in pc.transceivers() {
        transceiver.set_direction(Direction::SendRecv)?;
    }
    pc.set_local_description(None).await?;
    // The other side has no way to get candidates later.
    pc.gathering_complete().await;
    if let Some(answer) = pc.local_description() {
        println!("{}", answer.sdp);
    }

    while let Some(event) = events.recv().await {
        match event {
            Event::ConnectionStateChange(state) => eprintln!("{state:?}"),
            Event::DataChannel(channel) => drop(tokio::spawn(echo_messages(channel))),
            Event::Track(event) => drop(tokio::spawn(echo_packets(event))),
            _ => {}
        }
    }
    Ok(())
}

async fn echo_messages(channel: DataChannel) -> Result<(), Error> {
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
