//! The local call: pc1 and pc2 in this process, over real UDP sockets on the loopback interface. They negotiate with
//! offer, answer and trickled candidates; then pc1 plays a clip to pc2 and both exchange messages. What arrives is
//! compared with what was sent, byte by byte.

mod data;
mod media;
mod progress;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taut::{
    Configuration, DataChannel, DataChannelInit, Event, Events, IceCandidate, Loopback, OfferOptions,
    PeerConnection,
};
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::progress::Counters;
use crate::clip::{self, Clip};
use crate::report::{Report, rounded};

/// How long the two may take to connect.
const CONNECT: Duration = Duration::from_secs(30);

/// How long what is on its way at the end may take to arrive.
const DRAIN: Duration = Duration::from_secs(10);

/// How long a phase of the data channels may take beyond its plan.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a call did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A call of the API was refused.
    #[error("{0}")]
    Api(#[from] taut::Error),
    /// The bundled clip cannot be read.
    #[error("the bundled clip cannot be read: {0}")]
    Clip(#[from] clip::Error),
    /// ICE or DTLS did not come to an end in time.
    #[error("pc1 and pc2 did not connect within {} s", CONNECT.as_secs())]
    Connect,
    /// The echoed messages did not come back in time.
    #[error("the messages did not all come back within {} s", PATIENCE.as_secs())]
    Echo,
    /// The stream of blocks did not arrive in time.
    #[error("the stream of messages did not arrive within {} s", PATIENCE.as_secs())]
    Stream,
    /// pc2 did not notice that pc1 closed the connection.
    #[error("pc2 did not see that pc1 closed the connection")]
    Close,
}

/// Makes a call of this many seconds. The report is as far as the call came.
pub(crate) async fn run(
    seconds: u64,
    configuration: Configuration,
    show_progress: bool,
) -> (Report, Result<(), Error>) {
    let mut call = Call::new(Duration::from_secs(seconds), configuration);
    let counters = call.counters.clone();
    let started = call.started;
    let ended = if show_progress {
        tokio::select! {
            ended = call.run() => ended,
            () = progress::show(&counters, started) => Ok(()),
        }
    } else {
        call.run().await
    };
    if show_progress {
        progress::clear();
    }
    (call.into_report(), ended)
}

/// A call on its way.
struct Call {
    started: Instant,
    length: Duration,
    configuration: Configuration,
    counters: Arc<Counters>,
    report: Report,
}

impl Call {
    fn new(length: Duration, configuration: Configuration) -> Self {
        // The sockets are on the loopback interface, too.
        let configuration = configuration.with_loopback(Loopback::Always);
        Self { started: now(), length, configuration, counters: Arc::default(), report: Report::default() }
    }

    async fn run(&mut self) -> Result<(), Error> {
        let clip = Arc::new(Clip::bundled()?);
        let (pc1, events1) = PeerConnection::new(self.configuration.clone())?;
        let (pc2, events2) = PeerConnection::new(self.configuration.clone())?;
        let tracks = media::add_tracks(&pc1)?;
        let echo = pc1.create_data_channel(data::ECHO, DataChannelInit::default())?;
        let stream = pc1.create_data_channel(data::STREAM, DataChannelInit::default())?;

        let (first_frame, mut seen) = oneshot::channel();
        negotiate(&pc1, &pc2).await?;
        tokio::spawn(trickle(events1, pc2.clone()));
        tokio::spawn(answer(events2, pc1.clone(), clip.clone(), self.counters.clone(), first_frame));
        let both = async { tokio::try_join!(pc1.connected(), pc2.connected()) };
        timeout(CONNECT, both).await.map_err(|_| Error::Connect)??;
        self.report.connected_ms = Some(self.elapsed_ms(None));

        let played = self.play(&clip, &tracks, &echo).await;
        self.report.first_frame_ms = seen.try_recv().ok().map(|at| self.elapsed_ms(Some(at)));
        // Before the queues are filled: the round trip is that of the path.
        self.describe(&pc1).await;
        played?;
        self.fill(&echo, &stream).await?;

        pc1.close().await;
        timeout(DRAIN, pc2.closed()).await.map_err(|_| Error::Close)
    }

    /// The clip, with messages beside it.
    async fn play(&self, clip: &Clip, tracks: &media::Tracks, echo: &DataChannel) -> Result<(), Error> {
        let counters = &*self.counters;
        let beside = timeout(self.length + PATIENCE, data::echo_beside(echo, self.length, counters));
        let ((), beside) = tokio::join!(media::play(clip, tracks, self.length, counters), beside);
        media::drain(counters, DRAIN).await;
        Ok(beside.map_err(|_| Error::Echo)??)
    }

    /// Large messages, and the stream that wants all there is.
    async fn fill(&mut self, echo: &DataChannel, stream: &DataChannel) -> Result<(), Error> {
        let counters = &*self.counters;
        timeout(PATIENCE, data::echo_after(echo, counters)).await.map_err(|_| Error::Echo)??;
        let rate = timeout(PATIENCE, data::stream(stream, counters)).await.map_err(|_| Error::Stream)??;
        self.report.data_mb_per_s = rate.map(rounded);
        Ok(())
    }

    /// What was negotiated, as pc1's statistics tell.
    async fn describe(&mut self, pc: &PeerConnection) {
        let stats = pc.stats().await;
        let report = &mut self.report;
        if let Some(transport) = stats.transport() {
            report.dtls_version = transport.tls_version.as_deref().map(dtls_version);
            report.dtls_cipher = transport.dtls_cipher.map(str::to_owned);
            report.srtp_profile = transport.srtp_cipher.map(str::to_owned);
        }
        if let Some(pair) = stats.selected_pair() {
            let rtt = pair.current_round_trip_time;
            report.rtt_ms = rtt.map(|rtt| rounded(rtt.as_secs_f64() * 1e3));
            let end = |id: &str| match stats.get(id) {
                Some(taut::stats::Stats::LocalCandidate(end) | taut::stats::Stats::RemoteCandidate(end)) => {
                    Some(end)
                }
                _ => None,
            };
            if let (Some(local), Some(remote)) =
                (end(&pair.local_candidate_id), end(&pair.remote_candidate_id))
            {
                report.candidate_pair =
                    Some(format!("{} {} <-> {}", local.protocol, describe_end(local), describe_end(remote)));
            }
        }
    }

    /// Since the start, until now or another moment.
    fn elapsed_ms(&self, at: Option<Instant>) -> f64 {
        let at = at.unwrap_or_else(now);
        rounded(at.duration_since(self.started).as_secs_f64() * 1e3)
    }

    fn into_report(self) -> Report {
        let c = &self.counters;
        Report {
            video_frames_sent: c.video_sent.get(),
            video_frames_received: c.video_received.get(),
            audio_packets_sent: c.audio_sent.get(),
            audio_packets_received: c.audio_received.get(),
            messages_sent: c.messages_sent.get(),
            messages_received: c.messages_received.get(),
            ..self.report
        }
    }
}

/// The one place where the call reads the clock.
#[allow(clippy::disallowed_methods, reason = "the binary measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// Offer and answer; the candidates come later, one by one.
async fn negotiate(pc1: &PeerConnection, pc2: &PeerConnection) -> Result<(), taut::Error> {
    let offer = pc1.create_offer(OfferOptions::default()).await?;
    pc1.set_local_description(offer.clone()).await?;
    pc2.set_remote_description(offer).await?;
    let answer = pc2.create_answer().await?;
    pc2.set_local_description(answer.clone()).await?;
    pc1.set_remote_description(answer).await
}

/// pc1's events: its candidates go to pc2.
async fn trickle(mut events: Events, to: PeerConnection) {
    while let Some(event) = events.recv().await {
        if let Event::IceCandidate(candidate) = event {
            pass_on(&to, candidate).await;
        }
    }
}

/// pc2's events: its candidates go to pc1, what comes in is checked and answered.
async fn answer(
    mut events: Events,
    to: PeerConnection,
    clip: Arc<Clip>,
    counters: Arc<Counters>,
    first_frame: oneshot::Sender<Instant>,
) {
    let mut first_frame = Some(first_frame);
    while let Some(event) = events.recv().await {
        match event {
            Event::IceCandidate(candidate) => pass_on(&to, candidate).await,
            Event::Track(event) => {
                let first = if event.track.kind() == taut::Kind::Video { first_frame.take() } else { None };
                let (clip, counters) = (clip.clone(), counters.clone());
                tokio::spawn(async move { media::receive(&clip, &event.track, &counters, first).await });
            }
            Event::DataChannel(channel) => {
                let counters = counters.clone();
                tokio::spawn(async move {
                    match channel.label() {
                        data::STREAM => data::answer_stream(&channel, &counters).await,
                        _ => data::answer_echo(&channel, &counters).await,
                    }
                });
            }
            _ => {}
        }
    }
}

/// Tells the other side of a candidate on the loopback interface, and of the end; the call stays on this interface.
async fn pass_on(to: &PeerConnection, candidate: Option<IceCandidate>) {
    if candidate.as_ref().is_some_and(|candidate| !is_loopback(candidate)) {
        return;
    }
    if let Err(error) = to.add_ice_candidate(candidate).await {
        tracing::warn!(%error, "a candidate was refused");
    }
}

/// The address is the fifth field of a candidate (RFC 8839 section 5.1).
fn is_loopback(candidate: &IceCandidate) -> bool {
    let address =
        candidate.candidate.split_whitespace().nth(4).and_then(|field| field.parse::<IpAddr>().ok());
    address.is_some_and(|address| address.is_loopback())
}

/// The version as people write it.
fn dtls_version(hexadecimal: &str) -> String {
    match hexadecimal {
        "FEFD" => "DTLS 1.2".to_owned(),
        "FEFC" => "DTLS 1.3".to_owned(),
        other => other.to_owned(),
    }
}

/// One end of a candidate pair.
fn describe_end(candidate: &taut::stats::CandidateReport) -> String {
    format!("{} {}", candidate.candidate_type, candidate.address)
}
