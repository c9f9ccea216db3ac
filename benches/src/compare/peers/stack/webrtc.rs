//! webrtc, of webrtc-rs: two connections on a tokio runtime with two workers, one loopback address, default buffers. Its
//! `send` waits while a MiB is not acknowledged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCPeerConnectionIceEvent,
};

use super::{Arrivals, CEILING, PATIENCE, Stack, message};

pub(crate) struct WebRtc {
    runtime: Runtime,
}

/// What a connection says.
enum Said {
    Candidate(RTCPeerConnectionIceEvent),
    Channel(Arc<dyn DataChannel>),
}

struct Handler(UnboundedSender<Said>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let _ = self.0.send(Said::Candidate(event));
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let _ = self.0.send(Said::Channel(channel));
    }
}

type Connection = Arc<dyn PeerConnection>;

pub(crate) struct Pair {
    _connections: [Connection; 2],
    sender: Arc<dyn DataChannel>,
    receiver: Arc<dyn DataChannel>,
}

async fn connection() -> Result<(Connection, UnboundedReceiver<Said>), String> {
    let (sender, receiver) = unbounded_channel();
    let connection = PeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::new().build())
        .with_handler(Arc::new(Handler(sender)))
        .with_runtime(webrtc::runtime::default_runtime().ok_or("no runtime")?)
        .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
        .with_data_channel_send_buffer_limit(CEILING)
        .build()
        .await
        .map_err(|error| error.to_string())?;
    Ok((Arc::new(connection), receiver))
}

/// Gives candidates to the other side, and its channel to whoever waits for it.
fn forward(
    mut said: UnboundedReceiver<Said>,
    other: Connection,
    found: UnboundedSender<Arc<dyn DataChannel>>,
) {
    tokio::spawn(async move {
        while let Some(said) = said.recv().await {
            match said {
                Said::Candidate(event) => {
                    if let Ok(candidate) = event.candidate.to_json() {
                        let _ = other.add_ice_candidate(candidate).await;
                    }
                }
                Said::Channel(channel) => {
                    let _ = found.send(channel);
                }
            }
        }
    });
}

async fn connect() -> Result<(Pair, Duration), String> {
    let text = |error: webrtc::error::Error| error.to_string();
    let (offerer, offerer_said) = connection().await?;
    let (answerer, answerer_said) = connection().await?;
    let sender = offerer.create_data_channel("bulk", None).await.map_err(text)?;
    let (found, mut channels) = unbounded_channel();

    let start = Instant::now();
    let offer = offerer.create_offer(None).await.map_err(text)?;
    offerer.set_local_description(offer.clone()).await.map_err(text)?;
    answerer.set_remote_description(offer).await.map_err(text)?;
    let answer = answerer.create_answer(None).await.map_err(text)?;
    answerer.set_local_description(answer.clone()).await.map_err(text)?;
    offerer.set_remote_description(answer).await.map_err(text)?;
    forward(offerer_said, answerer.clone(), found.clone());
    forward(answerer_said, offerer.clone(), found);
    loop {
        match sender.poll().await {
            Some(DataChannelEvent::OnOpen) => break,
            Some(_) => {}
            None => return Err("the channel closed".into()),
        }
    }
    let taken = start.elapsed();

    let receiver = channels.recv().await.ok_or("no channel came")?;
    Ok((Pair { _connections: [offerer, answerer], sender, receiver }, taken))
}

impl Stack for WebRtc {
    type Pair = Pair;

    fn new() -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        Ok(Self { runtime: runtime.map_err(|error| error.to_string())? })
    }

    fn connect(&mut self) -> Result<(Pair, Duration), String> {
        let done = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, connect()).await });
        done.map_err(|_| "it does not connect".to_owned())?
    }

    fn bulk(&mut self, pair: &mut Pair, size: usize, count: usize) -> Result<(), String> {
        let arrivals = Arc::new(Arrivals::default());
        let (sender, receiver) = (Arc::clone(&pair.sender), Arc::clone(&pair.receiver));
        let sending = self.runtime.spawn(async move {
            for number in 0..count {
                let message = BytesMut::from(&message(size, number)[..]);
                sender.send(message).await.map_err(|error| error.to_string())?;
            }
            Ok::<_, String>(())
        });
        let arriving = Arc::clone(&arrivals);
        let receiving = self.runtime.spawn(async move {
            while let Some(event) = receiver.poll().await {
                if let DataChannelEvent::OnMessage(message) = event
                    && arriving.take(&message.data) == count
                {
                    break;
                }
            }
        });
        self.runtime.block_on(async {
            let received = tokio::time::timeout(PATIENCE, receiving).await;
            received
                .map_err(|_| "messages are missing after a minute".to_owned())?
                .map_err(|error| error.to_string())?;
            sending.await.map_err(|error| error.to_string())?
        })?;
        arrivals.check(size, count)
    }
}
