//! The association: what it owns, the commands of the application, and what it asks of its caller.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use taut_sansio::rng::Rng;

use crate::assoc::cookie::Signer;
use crate::assoc::heartbeat::Heartbeat;
use crate::assoc::reconfig::Reconfiguration;
use crate::config::Config;
use crate::packet::Tsn;
use crate::packet::cause::code;
use crate::packet::init::InitFields;
use crate::packet::parameter::Capabilities;
use crate::path_mtu::{Limits, PathMtu};
use crate::rx::{Chunk, Receiver};
use crate::stats::Stats;
use crate::timer::Timers;
use crate::tx::Transmitter;
use crate::types::{CloseReason, Event, State, StreamId};

/// Packets that wait to answer one packet each; more are dropped, as the other side asks again.
const REPLIES_MAX: usize = 4;

/// Errors that wait to be reported; more are dropped, as they are only told for information.
const ERRORS_MAX: usize = 4;

/// The states of RFC 9260 section 4.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// CLOSED, and an INIT is answered.
    Idle,
    CookieWait,
    CookieEchoed {
        /// What the other side wants back.
        cookie: Bytes,
    },
    Established,
    ShutdownPending,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
    /// CLOSED for good.
    Closed,
}

/// What is known of the other side; all zero before the handshake.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remote {
    pub(crate) tag: u32,
    pub(crate) tsn: Tsn,
    /// How many streams it asked to send on, and takes.
    pub(crate) outgoing: u16,
    pub(crate) incoming: u16,
    pub(crate) capabilities: Capabilities,
}

/// How many streams there are each way; none before the handshake.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Streams {
    pub(crate) outgoing: u16,
    pub(crate) incoming: u16,
}

impl Default for Remote {
    fn default() -> Self {
        Self { tag: 0, tsn: Tsn::new(0), outgoing: 0, incoming: 0, capabilities: Capabilities::default() }
    }
}

/// A packet of its own, that answers one packet.
#[derive(Debug)]
pub(crate) enum Reply {
    InitAck { tag: u32, fields: InitFields, cookie: Vec<u8>, unrecognized: Vec<u8> },
    Abort { tag: u32, flags: u8, code: u16 },
    ShutdownComplete { tag: u32, flags: u8 },
    StaleCookie { tag: u32, staleness: u32 },
}

/// Control chunks that are due.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// INIT or COOKIE ECHO, by the phase.
    pub(crate) handshake: bool,
    pub(crate) cookie_ack: bool,
    /// SHUTDOWN or SHUTDOWN ACK, by the phase.
    pub(crate) shutdown: bool,
    pub(crate) heartbeat: bool,
    pub(crate) heartbeat_acks: VecDeque<Bytes>,
    pub(crate) errors: VecDeque<(u16, Vec<u8>)>,
}

/// Packets that were made since the last time there was none to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sending {
    #[default]
    Nothing,
    /// One, and the timers know of it.
    Settled,
    /// More.
    Unsettled,
}

/// When the association was first used, and the newest time it was told.
#[derive(Debug, Clone, Copy)]
enum Clock {
    Unset,
    Running { epoch: Instant, now: Instant },
}

/// An SCTP association inside one DTLS connection.
///
/// **Commands**: [`connect`](Self::connect), [`write`](Self::write), [`begin_message`](Self::begin_message),
/// [`set_priority`](Self::set_priority), [`reset_streams`](Self::reset_streams),
/// [`pause_stream`](Self::pause_stream), [`shutdown`](Self::shutdown), [`abort`](Self::abort). **Input**:
/// [`handle_packet`](Self::handle_packet), [`handle_timeout`](Self::handle_timeout). **Output**:
/// [`poll_transmit`](Self::poll_transmit), [`poll_mtu_probe`](Self::poll_mtu_probe), [`poll_read`](Self::poll_read),
/// [`poll_event`](Self::poll_event), [`poll_timeout`](Self::poll_timeout), to be asked in this order after every
/// command and every input.
#[derive(Debug)]
pub struct Association {
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) signer: Signer,
    clock: Clock,
    pub(crate) phase: Phase,
    pub(crate) local_tag: u32,
    pub(crate) local_tsn: Tsn,
    pub(crate) remote: Remote,
    /// What both sides can do; nothing before the other side said what it can.
    pub(crate) agreed: Capabilities,
    pub(crate) streams: Streams,
    pub(crate) pending: Pending,
    pub(crate) replies: VecDeque<Reply>,
    pub(crate) sending: Sending,
    pub(crate) timers: Timers,
    pub(crate) tx: Transmitter,
    pub(crate) path_mtu: PathMtu,
    pub(crate) rx: Receiver,
    pub(crate) reconfig: Reconfiguration,
    pub(crate) incoming_resets: BTreeSet<u16>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) heartbeat_counter: u64,
    pub(crate) handshake_attempts: u32,
    /// How often the other side took our cookie for too old.
    pub(crate) stale_cookies: u32,
    pub(crate) shutdown_attempts: u32,
    events: VecDeque<Event>,
    pub(crate) stats: Stats,
}

impl Association {
    /// A new association that answers an INIT and sends none before [`connect`](Self::connect).
    pub fn new(config: Config, mut rng: Rng) -> Self {
        let config = config.sane();
        let local_tag = rng.u32().max(1);
        let local_tsn = Tsn::new(rng.u32());
        Self {
            signer: Signer::new(&rng.array()),
            clock: Clock::Unset,
            phase: Phase::Idle,
            local_tag,
            local_tsn,
            remote: Remote::default(),
            agreed: Capabilities::default(),
            streams: Streams::default(),
            pending: Pending::default(),
            replies: VecDeque::new(),
            sending: Sending::default(),
            timers: Timers::default(),
            tx: Transmitter::new(&config, local_tsn),
            path_mtu: PathMtu::new(Limits::new(config.mtu, 0, 0)),
            rx: Receiver::new(config.receive_window, config.mtu),
            reconfig: Reconfiguration::new(),
            incoming_resets: BTreeSet::new(),
            heartbeat: Heartbeat::default(),
            heartbeat_counter: rng.u64() >> 1,
            handshake_attempts: 0,
            stale_cookies: 0,
            shutdown_attempts: 0,
            events: VecDeque::new(),
            stats: Stats::default(),
            config,
            rng,
        }
    }

    /// Sends an INIT (RFC 9260 section 5.1 A). Does nothing once there is an association, or after its end.
    pub fn connect(&mut self, now: Instant) {
        let now = self.tick(now);
        if matches!(self.phase, Phase::Idle) {
            self.phase = Phase::CookieWait;
            self.pending.handshake = true;
            self.settle(now);
        }
    }

    /// Sets the port of the other side; only before [`connect`](Self::connect).
    pub fn set_remote_port(&mut self, port: u16) {
        if matches!(self.phase, Phase::Idle) {
            self.config.remote_port = port;
        }
    }

    /// Sets how many octets of data are sent in a second at most, whatever the congestion window says; `None`, as at
    /// the start, for no bound. For a caller that shares the path between this association and others.
    pub fn set_rate_cap(&mut self, now: Instant, octets: Option<u64>) {
        let now = self.tick(now);
        self.tx.set_rate_cap(now, octets.map(|octets| octets.max(1) as f64));
        self.settle(now);
    }

    /// Octets a second at which data goes while there is some: what the congestion controller believes in, or the cap.
    /// `None` before the round-trip time was measured.
    pub fn send_rate(&self) -> Option<u64> {
        self.tx.send_rate().map(|rate| rate as u64)
    }

    /// Keeps what comes on a stream inside, so that it holds the receive window; other streams go on. A message that
    /// was read in part is handed up to its end first, unless the stream is [read in parts](Self::read_in_parts).
    pub fn pause_stream(&mut self, stream: StreamId) {
        self.rx.pause(stream);
    }

    /// Ends [`pause_stream`](Self::pause_stream).
    pub fn resume_stream(&mut self, stream: StreamId) {
        self.rx.resume(stream);
    }

    /// Whether messages of a stream are handed up before they are whole, as they grow: for messages that are larger
    /// than the reader wants to hold. Without this it happens as well, but only as far as
    /// [`poll_read`](Self::poll_read) says. A message that has begun is read to its end as it was begun.
    pub fn read_in_parts(&mut self, stream: StreamId, in_parts: bool) {
        self.rx.set_in_parts(stream, in_parts);
    }

    /// True if [`poll_read`](Self::poll_read) has something of the stream, paused or not.
    pub fn has_ready(&self, stream: StreamId) -> bool {
        self.rx.has_ready(stream)
    }

    /// Ends in agreement once everything written has arrived (RFC 9260 section 9.2). Messages that were begun and not
    /// ended are given up.
    pub fn shutdown(&mut self, now: Instant) {
        let now = self.tick(now);
        match self.phase {
            Phase::Idle | Phase::CookieWait => self.close(CloseReason::LocalAbort),
            Phase::CookieEchoed { .. } => self.fail(code::USER_INITIATED, CloseReason::LocalAbort),
            Phase::Established => {
                self.cancel_all(now);
                if !matches!(self.phase, Phase::Closed) {
                    self.phase = Phase::ShutdownPending;
                }
            }
            _ => return,
        }
        self.settle(now);
    }

    /// Ends at once; what was not delivered is lost (RFC 9260 section 9.1).
    pub fn abort(&mut self, now: Instant) {
        let now = self.tick(now);
        if !matches!(self.phase, Phase::Closed) {
            self.fail(code::USER_INITIATED, CloseReason::LocalAbort);
            self.settle(now);
        }
    }

    /// Does what has become due. Too early a call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        self.on_timers(now);
        self.settle(now);
    }

    /// The next piece of a message that is ready; its octets are given back to the receive window.
    ///
    /// Pieces of a message follow each other from `begin` to `end`; on one stream an ordered and an unordered message
    /// may be mixed, two of a kind never are. At most one message of the association is handed up before it is
    /// whole, because messages may be larger than the window, and one of each kind on each stream that is
    /// [read in parts](Self::read_in_parts): when this has returned `None` no more than those are unfinished.
    pub fn poll_read(&mut self, now: Instant) -> Option<Chunk> {
        let chunk = self.rx.read();
        if chunk.is_none() {
            self.tick(now);
        }
        chunk
    }

    /// What happened since the last call.
    pub fn poll_event(&mut self) -> Option<Event> {
        // Resets last: what was said before them belongs to the stream's old life.
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        self.incoming_resets.pop_first().map(|stream| Event::IncomingReset(StreamId(stream)))
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// How it is doing.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Idle => State::Idle,
            Phase::CookieWait | Phase::CookieEchoed { .. } => State::Connecting,
            Phase::Established => State::Established,
            Phase::ShutdownPending
            | Phase::ShutdownSent
            | Phase::ShutdownReceived
            | Phase::ShutdownAckSent => State::ShuttingDown,
            Phase::Closed => State::Closed,
        }
    }

    /// How many streams there are to send on; zero before that is known.
    pub fn outgoing_streams(&self) -> u16 {
        self.streams.outgoing
    }

    /// How many streams the other side may send on; zero before that is known.
    pub fn incoming_streams(&self) -> u16 {
        self.streams.incoming
    }

    /// Counters, and the state of the moment.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats;
        self.tx.fill_stats(&mut stats);
        stats.unread = self.rx.charged();
        stats.mtu = self.path_mtu.size();
        stats.mtu_probes_lost = self.path_mtu.lost();
        stats.mtu_black_holes = self.path_mtu.black_holes();
        stats
    }

    /// The newest time seen; `now` never decreases.
    pub(crate) fn tick(&mut self, now: Instant) -> Instant {
        match &mut self.clock {
            Clock::Unset => {
                self.clock = Clock::Running { epoch: now, now };
                now
            }
            Clock::Running { now: newest, .. } => {
                *newest = now.max(*newest);
                *newest
            }
        }
    }

    pub(crate) fn since_epoch(&self, now: Instant) -> Duration {
        match self.clock {
            Clock::Unset => Duration::ZERO,
            Clock::Running { epoch, .. } => now.saturating_duration_since(epoch),
        }
    }

    /// The tag of the other side is known, and it may know ours.
    pub(crate) fn has_peer(&self) -> bool {
        self.remote.tag != 0
    }

    /// Data and acknowledgements flow in some direction.
    pub(crate) fn is_open(&self) -> bool {
        matches!(
            self.phase,
            Phase::Established
                | Phase::ShutdownPending
                | Phase::ShutdownSent
                | Phase::ShutdownReceived
                | Phase::ShutdownAckSent
        )
    }

    /// Data may come: also before COOKIE ACK, which may have been lost or overtaken.
    pub(crate) fn can_receive(&self) -> bool {
        matches!(
            self.phase,
            Phase::CookieEchoed { .. } | Phase::Established | Phase::ShutdownPending | Phase::ShutdownSent
        )
    }

    pub(crate) fn push_reply(&mut self, reply: Reply) {
        if self.replies.len() < REPLIES_MAX {
            self.replies.push_back(reply);
        }
    }

    pub(crate) fn push_error(&mut self, code: u16, information: &[u8]) {
        if self.pending.errors.len() < ERRORS_MAX {
            self.pending.errors.push_back((code, information.to_vec()));
        }
    }

    /// Queues an event. The same event is not queued twice, which bounds the queue by the number of streams that
    /// the application uses.
    pub(crate) fn push_event(&mut self, event: Event) {
        if !self.events.contains(&event) {
            self.events.push_back(event);
        }
    }

    /// It is over. What is ready can still be read, and packets in `replies` still go out.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.phase = Phase::Closed;
        self.pending = Pending::default();
        self.timers = Timers::default();
        let first = self.local_tsn;
        self.tx.restart(&self.config, first);
        // Each stream is there once, and nothing follows the end.
        let resets = std::mem::take(&mut self.incoming_resets);
        self.events.extend(resets.into_iter().map(|stream| Event::IncomingReset(StreamId(stream))));
        self.push_event(Event::Closed(reason));
    }
}
