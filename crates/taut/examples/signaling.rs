//! Signaling over TCP: two peers that know nothing of each other but an address exchange offer, answer and candidates,
//! and get connected. Any other transport that keeps the order does as well. The protocol has a line for each:
//!
//! ```text
//! offer SDP                  line ends within the description become a lone CR
//! answer SDP
//! candidate MID CANDIDATE
//! end-of-candidates
//! ```
//!
//! ```console
//! $ cargo run -p taut --example signaling                          # both sides in one process
//! $ cargo run -p taut --example signaling -- listen 0.0.0.0:7000   # one side on this host
//! $ cargo run -p taut --example signaling -- connect HOST:7000     # and the other on that one
//! ```

mod shared;

use std::io::{self, BufRead, BufReader, Write};

use shared::{Failure, connection};
use taut::{
    DataChannel, DataChannelInit, Event, Events, IceCandidate, Message, PeerConnection, SessionDescription,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["listen", address] => answer(TcpListener::bind(address).await?).await,
        ["connect", address] => offer(TcpStream::connect(address).await?).await,
        [] => {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let stream = TcpStream::connect(listener.local_addr()?).await?;
            let (answering, offering) = (tokio::spawn(answer(listener)), tokio::spawn(offer(stream)));
            offering.await?.and(answering.await?)
        }
        _ => Err("usage: signaling [listen ADDRESS | connect ADDRESS]".into()),
    }
}

/// The side that offers: opens a data channel, says something, and waits for the reply.
async fn offer(stream: TcpStream) -> Result<(), Failure> {
    let (pc, events) = connection()?;
    let channel = pc.create_data_channel("greeting", DataChannelInit::default())?;
    pc.set_local_description(None).await?;
    let talk = async {
        channel.send(Message::text("hello")).await?;
        assert_eq!(channel.recv().await, Some(Message::text("hello to you")));
        pc.close().await;
        Ok(())
    };
    tokio::try_join!(talk, signal(stream, &pc, events)).map(|_| ())
}

async fn answer(listener: TcpListener) -> Result<(), Failure> {
    let (stream, from) = listener.accept().await?;
    println!("{from} wants to talk");
    let (pc, events) = connection()?;
    signal(stream, &pc, events).await
}

/// Tells the other side what the connection has to say, and the other way round, until the connection is closed.
async fn signal(stream: TcpStream, pc: &PeerConnection, mut events: Events) -> Result<(), Failure> {
    let mut stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    let mut lines = lines(stream.try_clone()?);
    let fold = |description: SessionDescription| description.sdp.replace("\r\n", "\r");
    if let Some(offer) = pc.local_description() {
        writeln!(stream, "offer {}", fold(offer))?;
    }
    let unfold = |sdp: &str| sdp.replace('\r', "\r\n");
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::IceCandidate(Some(IceCandidate { candidate, sdp_mid: Some(mid), .. }))) => {
                    writeln!(stream, "candidate {mid} {candidate}")?;
                }
                Some(Event::IceCandidate(_)) => writeln!(stream, "end-of-candidates")?,
                Some(Event::DataChannel(channel)) => drop(tokio::spawn(reply(channel))),
                Some(_) => {}
                None => return Ok(()),
            },
            // Once the connection is up nobody minds if the other side hangs up.
            Some(line) = lines.recv() => match line.split_once(' ').unwrap_or((&line, "")) {
                ("offer", sdp) => {
                    pc.set_remote_description(SessionDescription::offer(unfold(sdp))).await?;
                    pc.set_local_description(None).await?;
                    let answer = pc.local_description().ok_or("no answer")?;
                    writeln!(stream, "answer {}", fold(answer))?;
                }
                ("answer", sdp) => pc.set_remote_description(SessionDescription::answer(unfold(sdp))).await?,
                // A candidate that cannot be used is no reason to give up. After the last one comes none.
                (_, rest) => {
                    let parts = rest.split_once(' ');
                    let candidate = parts.map(|(mid, text)| IceCandidate::new(text, Some(mid.to_owned()), None));
                    pc.add_ice_candidate(candidate).await.unwrap_or_else(|error| eprintln!("{error}"));
                }
            },
        }
    }
}

/// Reads lines in a thread. With the feature `io-util` of tokio, its own `lines()` does that.
fn lines(stream: std::net::TcpStream) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    let mut lines = BufReader::new(stream).lines().map_while(io::Result::ok);
    std::thread::spawn(move || lines.try_for_each(|line| sender.blocking_send(line)));
    receiver
}

async fn reply(channel: DataChannel) -> Result<(), taut::Error> {
    while let Some(message) = channel.recv().await {
        channel.send(Message::text(format!("{} to you", message.as_text().unwrap_or("?")))).await?;
    }
    Ok(())
}
