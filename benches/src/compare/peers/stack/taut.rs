//! taut: two connections on a tokio runtime with two workers, an endpoint a side.

use std::sync::Arc;
use std::time::{Duration, Instant};

use std::net::SocketAddr;

use taut::{
    Configuration, DataChannel, DataChannelInit, DtlsEngine, Endpoint, Event, Events, Loopback, Message,
    OfferOptions, PeerConnection,
};
use tokio::runtime::Runtime;

use super::{Arrivals, PATIENCE, Stack, message};

/// With one DTLS engine.
pub(crate) struct Taut {
    runtime: Runtime,
    config: Configuration,
    /// The endpoint of all answerers, as of a server. Offerers have one each, as two addresses carry one connection.
    server: Endpoint,
}

/// Both connections and both ends of the channel.
pub(crate) struct Pair {
    _connections: [PeerConnection; 2],
    sender: DataChannel,
    receiver: DataChannel,
}

/// On one loopback address.
fn endpoint() -> Result<Endpoint, taut::Error> {
    Endpoint::bind(&[SocketAddr::from(([127, 0, 0, 1], 0))])
}

impl Taut {
    fn with(engine: DtlsEngine) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let config = Configuration::default().with_loopback(Loopback::Always).with_dtls_engine(engine);
        let guard = runtime.enter();
        let server = endpoint().map_err(|error| error.to_string())?;
        drop(guard);
        Ok(Self { runtime, config, server })
    }
}

macro_rules! stacks {
    ($($(#[$meta:meta])* $name:ident = $engine:expr),*) => {$(
        $(#[$meta])*
        pub(crate) struct $name(Taut);

        impl Stack for $name {
            type Pair = Pair;

            fn new() -> Result<Self, String> {
                Taut::with($engine).map(Self)
            }

            fn connect(&mut self) -> Result<(Pair, Duration), String> {
                self.0.connect()
            }

            fn bulk(&mut self, pair: &mut Pair, size: usize, count: usize) -> Result<(), String> {
                self.0.bulk(pair, size, count)
            }
        }
    )*};
}

stacks! {
    /// As it is by default: with OpenSSL.
    Default = DtlsEngine::default(),
    /// With dimpl.
    Dimpl = DtlsEngine::Dimpl
}

impl Taut {
    fn connect(&mut self) -> Result<(Pair, Duration), String> {
        let work = connect(&self.config, &self.server);
        let done = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await });
        done.map_err(|_| "it does not connect".to_owned())?.map_err(|error| error.to_string())
    }

    fn bulk(&mut self, pair: &mut Pair, size: usize, count: usize) -> Result<(), String> {
        let arrivals = Arc::new(Arrivals::default());
        let (sender, receiver) = (pair.sender.clone(), pair.receiver.clone());
        let sending = self.runtime.spawn(async move {
            for number in 0..count {
                // Waits while a MiB is buffered, until half of it is.
                sender.send(Message::binary(message(size, number))).await?;
            }
            Ok::<_, taut::Error>(())
        });
        let arriving = Arc::clone(&arrivals);
        let receiving = self.runtime.spawn(async move {
            while let Some(message) = receiver.recv().await {
                if arriving.take(&message.data) == count {
                    break;
                }
            }
        });
        self.runtime.block_on(async {
            let received = tokio::time::timeout(PATIENCE, receiving).await;
            received
                .map_err(|_| "messages are missing after a minute".to_owned())?
                .map_err(|error| error.to_string())?;
            sending.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
        })?;
        arrivals.check(size, count)
    }
}

/// Offer, answer, and candidates as they come.
async fn connect(config: &Configuration, server: &Endpoint) -> Result<(Pair, Duration), taut::Error> {
    let (offerer, offerer_events) = PeerConnection::with_endpoint(config.clone(), &endpoint()?)?;
    let (answerer, answerer_events) = PeerConnection::with_endpoint(config.clone(), server)?;
    let sender = offerer.create_data_channel("bulk", DataChannelInit::default())?;
    let (found, mut channels) = tokio::sync::mpsc::unbounded_channel();

    let start = Instant::now();
    let offer = offerer.create_offer(OfferOptions::default()).await?;
    offerer.set_local_description(offer.clone()).await?;
    answerer.set_remote_description(offer).await?;
    let answer = answerer.create_answer().await?;
    answerer.set_local_description(answer.clone()).await?;
    offerer.set_remote_description(answer).await?;
    forward(offerer_events, answerer.clone(), None);
    forward(answerer_events, offerer.clone(), Some(found));
    sender.opened().await?;
    let taken = start.elapsed();

    let receiver = channels.recv().await.expect("the channel comes");
    Ok((Pair { _connections: [offerer, answerer], sender, receiver }, taken))
}

/// Gives candidates to the other side, and its channel to whoever waits for it.
fn forward(
    mut events: Events,
    other: PeerConnection,
    found: Option<tokio::sync::mpsc::UnboundedSender<DataChannel>>,
) {
    tokio::spawn(async move {
        let mut found = found;
        let mut other = Some(other);
        while let Some(event) = events.recv().await {
            match event {
                Event::IceCandidate(candidate) => {
                    let last = candidate.is_none();
                    if let Some(to) = &other {
                        let _ = to.add_ice_candidate(candidate).await;
                    }
                    if last {
                        // So that each side ends when its own handles are gone.
                        other = None;
                    }
                }
                Event::DataChannel(channel) => {
                    if let Some(found) = found.take() {
                        let _ = found.send(channel);
                    }
                }
                _ => {}
            }
        }
    });
}
