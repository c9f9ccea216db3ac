//! Tracks (W3C Media Capture and Streams, `MediaStreamTrack`, section 4.3): one type for what is sent and for what is
//! received.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use taut_peer::rtp::Packet;
use taut_peer::{Frame, Kind, Mode, TrackInfo, Transceiver, TransceiverId};

use crate::connection::{Handle, Shared};
use crate::error::{Error, ErrorKind};
use crate::ids;
use crate::signal::Signal;
use crate::source;
use crate::tap::FrameTap;

/// The state of a track (W3C `MediaStreamTrackState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrackState {
    /// It has, or may have, media.
    Live,
    /// It never will again.
    Ended,
}

/// A track of audio or video. Clones are handles of the same track; [`clone_track`](Self::clone_track) is the W3C
/// `clone()`.
///
/// A **local** track is made by [`new`](Self::new) and fed with [`write_frame`](Self::write_frame) or
/// [`write_rtp`](Self::write_rtp), or made with a source that feeds it, see [`MediaStream`](crate::MediaStream). It can
/// be sent on several connections at once, and keeps none of them open.
///
/// A **remote** track comes with [`Event::Track`](crate::Event::Track) or from
/// [`RtpReceiver::track`](crate::RtpReceiver::track) and is read with [`recv_frame`](Self::recv_frame) or
/// [`recv_rtp`](Self::recv_rtp). It counts as a handle of its connection.
#[derive(Clone)]
pub struct MediaStreamTrack {
    side: Side,
}

#[derive(Clone)]
enum Side {
    Local(Arc<LocalTrack>),
    Remote { track: Arc<RemoteTrack>, connection: Handle },
}

/// A flag that waits to be taken.
#[derive(Debug, Default)]
pub(crate) struct Flag {
    raised: AtomicBool,
    signal: Signal,
}

impl Flag {
    pub(crate) fn raise(&self) {
        self.raised.store(true, Ordering::SeqCst);
        self.signal.fire();
    }

    /// Waits for the flag and takes it. Cancel-safe.
    pub(crate) async fn taken_or<T>(&self, mut over: impl FnMut() -> Option<T>) -> Option<T> {
        self.signal
            .wait_for(|| match self.raised.swap(false, Ordering::SeqCst) {
                true => Some(None),
                false => over().map(Some),
            })
            .await
    }

    /// Lets those who wait look again at whether it is over.
    pub(crate) fn fire(&self) {
        self.signal.fire();
    }
}

/// A track whose media is made here.
#[derive(Debug)]
pub(crate) struct LocalTrack {
    id: String,
    kind: Kind,
    enabled: AtomicBool,
    ended: AtomicBool,
    changed: Signal,
    keyframe: Flag,
    /// Locked before a connection, never while one is locked.
    sinks: Mutex<Vec<Sink>>,
    source: Arc<Source>,
}

/// A sender that the track is attached to.
#[derive(Debug)]
struct Sink {
    connection: Weak<Shared>,
    transceiver: TransceiverId,
    /// True once the sender has taken a frame that can be decoded without others, and all since.
    started: bool,
}

/// What a track and its W3C clones have in common: where their media comes from.
#[derive(Debug, Default)]
pub(crate) struct Source {
    tracks: Mutex<Vec<Weak<LocalTrack>>>,
}

/// What a transceiver receives.
#[derive(Debug)]
pub(crate) struct RemoteTrack {
    id: String,
    kind: Kind,
    transceiver: TransceiverId,
    enabled: AtomicBool,
    muted: AtomicBool,
    ended: AtomicBool,
    /// A [`FrameTap`] reads it too.
    pub(crate) tapped: AtomicBool,
    pub(crate) readable: Signal,
    changed: Signal,
}

impl Source {
    /// Gives a frame to every track of the source; returns how many senders took it, or `None` when all tracks have
    /// ended.
    pub(crate) fn write(&self, frame: &Frame) -> Option<usize> {
        let live = self.live();
        if live.is_empty() { None } else { Some(live.iter().map(|track| track.deliver(frame)).sum()) }
    }

    /// True while one of the tracks has not ended.
    pub(crate) fn is_live(&self) -> bool {
        !self.live().is_empty()
    }

    /// The media is over.
    pub(crate) fn end(&self) {
        self.live().iter().for_each(|track| track.end());
    }

    /// The tracks that have not ended.
    fn live(&self) -> Vec<Arc<LocalTrack>> {
        let mut tracks = lock(&self.tracks);
        tracks.retain(|track| track.strong_count() > 0);
        tracks.iter().filter_map(Weak::upgrade).filter(|track| !track.ended.load(Ordering::SeqCst)).collect()
    }
}

impl LocalTrack {
    fn new(kind: Kind, source: Arc<Source>) -> Arc<Self> {
        let track = Arc::new(Self {
            id: ids::uuid(),
            kind,
            enabled: AtomicBool::new(true),
            ended: AtomicBool::new(false),
            changed: Signal::default(),
            keyframe: Flag::default(),
            sinks: Mutex::default(),
            source,
        });
        lock(&track.source.tracks).push(Arc::downgrade(&track));
        track
    }

    /// Gives a frame to every sender; returns how many took it.
    fn deliver(&self, frame: &Frame) -> usize {
        if !self.enabled.load(Ordering::SeqCst) {
            return 0;
        }
        let mut taken = 0;
        let mut sinks = lock(&self.sinks);
        sinks.retain_mut(|sink| {
            let Some(connection) = sink.connection.upgrade() else { return false };
            if !sink.started && self.kind == Kind::Video && !frame.keyframe {
                // Nothing can be decoded before a key frame.
                self.keyframe.raise();
                return true;
            }
            let sent =
                connection.try_with(|state, now| state.peer.send_frame(now, sink.transceiver, frame.clone()));
            sink.started = sent.is_ok();
            taken += usize::from(sink.started);
            true
        });
        taken
    }

    fn deliver_packet(&self, packet: &Packet) -> usize {
        if !self.enabled.load(Ordering::SeqCst) {
            return 0;
        }
        let mut taken = 0;
        lock(&self.sinks).retain(|sink| {
            let Some(connection) = sink.connection.upgrade() else { return false };
            let sent =
                connection.try_with(|state, now| state.peer.send_rtp(now, sink.transceiver, packet.clone()));
            taken += usize::from(sent.is_ok());
            true
        });
        taken
    }

    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.changed.fire();
        self.keyframe.fire();
    }

    /// Somebody who receives the track needs a key frame.
    pub(crate) fn on_keyframe_requested(&self) {
        self.keyframe.raise();
    }

    /// Sends the track on a transceiver from now on.
    pub(crate) fn attach(&self, connection: &Handle, transceiver: TransceiverId) {
        let connection = Arc::downgrade(connection.shared());
        lock(&self.sinks).push(Sink { connection, transceiver, started: false });
    }

    /// Sends it there no more.
    pub(crate) fn detach(&self, connection: &Handle, transceiver: TransceiverId) {
        lock(&self.sinks).retain(|sink| {
            sink.transceiver != transceiver || sink.connection.as_ptr() != Arc::as_ptr(connection.shared())
        });
    }
}

impl RemoteTrack {
    pub(crate) fn new(transceiver: &Transceiver) -> Self {
        Self {
            id: transceiver.receiver_track_id().to_owned(),
            kind: transceiver.kind(),
            transceiver: transceiver.id(),
            enabled: AtomicBool::new(true),
            muted: AtomicBool::new(true),
            ended: AtomicBool::new(false),
            tapped: AtomicBool::new(false),
            readable: Signal::default(),
            changed: Signal::default(),
        }
    }

    pub(crate) fn set_muted(&self, muted: bool) {
        self.muted.store(muted, Ordering::SeqCst);
        self.changed.fire();
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.readable.fire();
        self.changed.fire();
    }

    /// The transceiver that receives it.
    pub(crate) fn transceiver(&self) -> TransceiverId {
        self.transceiver
    }

    /// Waits for what `poll` takes from the peer in this mode; `None` once the track has ended and nothing is left.
    pub(crate) async fn next<T>(
        &self,
        connection: &Handle,
        mode: Mode,
        mut poll: impl FnMut(&mut taut_peer::Peer, TransceiverId) -> Option<T>,
    ) -> Option<T> {
        self.readable
            .wait_for(|| {
                let mut state = connection.lock();
                let mode = if self.tapped.load(Ordering::SeqCst) { Mode::Both } else { mode };
                // A receiver that a description has just made does not know what was chosen before.
                state.peer.set_receive_mode(self.transceiver, mode);
                loop {
                    match poll(&mut state.peer, self.transceiver) {
                        Some(_) if !self.enabled.load(Ordering::SeqCst) => {}
                        Some(item) => return Some(Some(item)),
                        None if state.ended || self.ended.load(Ordering::SeqCst) => return Some(None),
                        None => return None,
                    }
                }
            })
            .await
    }
}

impl MediaStreamTrack {
    /// A local track without a source; what is written to it is sent.
    pub fn new(kind: Kind) -> Self {
        Self::from_source(kind, Arc::default())
    }

    /// A local track whose frames come from `frames`, in the order of their presentation. Each is taken when it is
    /// time to send it; the first waits for a sender that is connected. Needs a tokio runtime, where a task runs until
    /// the frames or the track have ended. Frames of the other kind of media are not sent.
    ///
    /// # Errors
    ///
    /// `InvalidState` outside a tokio runtime.
    pub fn generate<I>(kind: Kind, frames: I) -> Result<Self, Error>
    where
        I: IntoIterator<Item = Frame>,
        I::IntoIter: Send + 'static,
    {
        source::start_one(kind, Box::new(frames.into_iter()))
    }

    pub(crate) fn from_source(kind: Kind, source: Arc<Source>) -> Self {
        Self { side: Side::Local(LocalTrack::new(kind, source)) }
    }

    pub(crate) fn remote(track: Arc<RemoteTrack>, connection: Handle) -> Self {
        Self { side: Side::Remote { track, connection } }
    }

    pub(crate) fn local(&self) -> Option<&Arc<LocalTrack>> {
        match &self.side {
            Side::Local(track) => Some(track),
            Side::Remote { .. } => None,
        }
    }

    pub(crate) fn info(&self) -> TrackInfo {
        TrackInfo::new(self.id(), self.kind())
    }

    /// The id of the track.
    pub fn id(&self) -> &str {
        match &self.side {
            Side::Local(track) => &track.id,
            Side::Remote { track, .. } => &track.id,
        }
    }

    /// Audio or video.
    pub fn kind(&self) -> Kind {
        match &self.side {
            Side::Local(track) => track.kind,
            Side::Remote { track, .. } => track.kind,
        }
    }

    /// True for a track that another peer sends.
    pub fn is_remote(&self) -> bool {
        self.local().is_none()
    }

    /// Whether media passes. What is written to a disabled local track is not sent, what comes in on a disabled
    /// remote track is thrown away.
    pub fn enabled(&self) -> bool {
        self.enabled_flag().load(Ordering::SeqCst)
    }

    /// Lets media pass, or not.
    pub fn set_enabled(&self, enabled: bool) {
        self.enabled_flag().store(enabled, Ordering::SeqCst);
    }

    fn enabled_flag(&self) -> &AtomicBool {
        match &self.side {
            Side::Local(track) => &track.enabled,
            Side::Remote { track, .. } => &track.enabled,
        }
    }

    /// Whether the other side has stopped sending for now. A local track is never muted.
    pub fn muted(&self) -> bool {
        match &self.side {
            Side::Local(_) => false,
            Side::Remote { track, .. } => track.muted.load(Ordering::SeqCst),
        }
    }

    /// Waits until [`muted`](Self::muted) is `muted`, or the track has ended.
    ///
    /// Cancel-safe: it takes nothing.
    pub async fn until_muted(&self, muted: bool) {
        let reached = || (self.muted() == muted || self.ready_state() == TrackState::Ended).then_some(());
        self.changed().wait_for(reached).await;
    }

    /// The state.
    pub fn ready_state(&self) -> TrackState {
        let ended = match &self.side {
            Side::Local(track) => track.ended.load(Ordering::SeqCst),
            Side::Remote { track, connection } => {
                track.ended.load(Ordering::SeqCst) || connection.lock().ended
            }
        };
        if ended { TrackState::Ended } else { TrackState::Live }
    }

    /// Waits until the track has ended.
    ///
    /// Cancel-safe: it takes nothing.
    pub async fn ended(&self) {
        let ended = || (self.ready_state() == TrackState::Ended).then_some(());
        self.changed().wait_for(ended).await;
    }

    fn changed(&self) -> &Signal {
        match &self.side {
            Side::Local(track) => &track.changed,
            Side::Remote { track, .. } => &track.changed,
        }
    }

    /// Ends the track. A source without another track ends too.
    pub fn stop(&self) {
        match &self.side {
            Side::Local(track) => track.end(),
            Side::Remote { track, .. } => track.end(),
        }
    }

    /// A new track of the same source, with an id, `enabled` and an end of its own (W3C `clone`).
    ///
    /// # Errors
    ///
    /// `NotSupported` for a remote track.
    pub fn clone_track(&self) -> Result<Self, Error> {
        let track = self.require_local("cloned")?;
        let clone = LocalTrack::new(track.kind, track.source.clone());
        clone.enabled.store(self.enabled(), Ordering::SeqCst);
        if self.ready_state() == TrackState::Ended {
            clone.end();
        }
        Ok(Self { side: Side::Local(clone) })
    }

    /// Sends an encoded frame on every sender of the track and of its W3C clones. Returns how many took it: a sender
    /// takes nothing before it is connected nor while its send queue is full, and a video sender begins with a key
    /// frame, for which [`keyframe_requested`](Self::keyframe_requested) asks. To know why a sender refuses frames, write
    /// to it with [`RtpSender::send_frame`](crate::RtpSender::send_frame).
    ///
    /// # Errors
    ///
    /// `InvalidState` once the track has ended, `NotSupported` for a remote track, `Type` for a frame of the other kind
    /// of media or without octets.
    pub fn write_frame(&self, frame: &Frame) -> Result<usize, Error> {
        let track = self.require_live("written to")?;
        if frame.codec.kind() != track.kind {
            let text = format!("a frame of {:?} is not for a track of {:?}", frame.codec, track.kind);
            return Err(Error::new(ErrorKind::Type, text));
        }
        if frame.data.is_empty() {
            return Err(Error::new(ErrorKind::Type, "the frame is empty"));
        }
        Ok(track.source.write(frame).unwrap_or(0))
    }

    /// Sends an RTP packet on every sender of the track and of its W3C clones, as a forwarder does: SSRC, sequence number and
    /// payload type are those of each sender. Returns how many took it.
    ///
    /// # Errors
    ///
    /// `InvalidState` once the track has ended, `NotSupported` for a remote track.
    pub fn write_rtp(&self, packet: &Packet) -> Result<usize, Error> {
        let track = self.require_live("written to")?;
        Ok(track.source.live().iter().map(|track| track.deliver_packet(packet)).sum())
    }

    /// Waits until somebody who receives this local track needs a key frame; requests that came since the last call
    /// count as one. `None` once the track has ended, and at once for a remote track.
    ///
    /// Cancel-safe: a request is either returned or still there.
    pub async fn keyframe_requested(&self) -> Option<()> {
        let track = self.local()?;
        let over = || (track.ended.load(Ordering::SeqCst)).then_some(());
        match track.keyframe.taken_or(over).await {
            None => Some(()),
            Some(()) => None,
        }
    }

    /// The next whole frame of a remote track, or `None` once it has ended, and at once for a local track.
    ///
    /// Cancel-safe: a frame is either returned or still there. A track is read as frames or as packets: calling this
    /// after [`recv_rtp`](Self::recv_rtp) switches back.
    pub async fn recv_frame(&self) -> Option<Frame> {
        let Side::Remote { track, connection } = &self.side else { return None };
        track.next(connection, Mode::Frames, taut_peer::Peer::poll_frame).await
    }

    /// The next packet of a remote track, repaired and in order, or `None` once it has ended, and at once for a local
    /// track.
    ///
    /// Cancel-safe: a packet is either returned or still there. A track is read as frames or as packets: calling this
    /// after [`recv_frame`](Self::recv_frame) switches over.
    pub async fn recv_rtp(&self) -> Option<Packet> {
        let Side::Remote { track, connection } = &self.side else { return None };
        track.next(connection, Mode::Packets, taut_peer::Peer::poll_rtp).await
    }

    /// Reads a remote track as frames while [`recv_rtp`](Self::recv_rtp) reads it as packets, as a forwarder that records
    /// does. Who reads frames anyway needs no tap.
    ///
    /// # Errors
    ///
    /// `NotSupported` for a local track, `InvalidState` while there is another tap.
    pub fn tap(&self) -> Result<FrameTap, Error> {
        match &self.side {
            Side::Remote { track, connection } => FrameTap::new(track.clone(), connection.clone()),
            Side::Local(_) => Err(Error::new(ErrorKind::NotSupported, "a local track cannot be tapped")),
        }
    }

    fn require_local(&self, what: &str) -> Result<&Arc<LocalTrack>, Error> {
        self.local()
            .ok_or_else(|| Error::new(ErrorKind::NotSupported, format!("a remote track cannot be {what}")))
    }

    fn require_live(&self, what: &str) -> Result<&Arc<LocalTrack>, Error> {
        let track = self.require_local(what)?;
        if track.ended.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::InvalidState, "the track has ended"));
        }
        Ok(track)
    }
}

impl PartialEq for MediaStreamTrack {
    /// True for handles of the same track.
    fn eq(&self, other: &Self) -> bool {
        match (&self.side, &other.side) {
            (Side::Local(a), Side::Local(b)) => Arc::ptr_eq(a, b),
            (Side::Remote { track: a, .. }, Side::Remote { track: b, .. }) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Eq for MediaStreamTrack {}

impl std::fmt::Debug for MediaStreamTrack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaStreamTrack")
            .field("id", &self.id())
            .field("kind", &self.kind())
            .field("remote", &self.is_remote())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The lists are consistent after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
