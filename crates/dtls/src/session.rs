//! One DTLS association: the filter, an engine, the check of the fingerprint, and the time they take.

mod drive;
mod ending;
mod handshake;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use taut_sansio::time::earliest;

use crate::certificate::Certificate;
use crate::config::{Config, Role, SrtpProfile, Version};
use crate::engine::Engine;
use crate::filter::{Filter, MAX_HELD, MAX_HELD_RECORDS, Side};
use crate::fingerprint::Fingerprint;
use crate::outgoing::Outgoing;
use crate::peer::{CloseReason, Event, HandshakeFailure, SealError, SessionError};
use crate::record::MAX_RECORD_PLAINTEXT;
use crate::stats::Stats;

/// The first retransmission comes no earlier than this.
const MIN_FIRST_TIMEOUT: Duration = Duration::from_millis(50);
/// The first timeout when the round-trip time is not known (RFC 9147 section 5.8.2 has 1 s, which would be the
/// longest wait of the whole set-up; 400 ms is what BoringSSL takes).
const UNKNOWN_RTT_TIMEOUT: Duration = Duration::from_millis(400);
/// Room for a datagram of the handshake.
const SCRATCH: usize = 2048;

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// `start` was not called yet.
    New,
    /// The handshake is under way.
    Connecting,
    /// The other side is verified; data flows.
    Connected,
    /// One of the sides closed.
    Closed,
    /// It ended with an error.
    Failed,
}

/// One DTLS association over one path.
///
/// Commands: [`start`](Self::start), [`seal`](Self::seal), [`close`](Self::close). Input:
/// [`handle_packet`](Self::handle_packet), [`handle_timeout`](Self::handle_timeout). Output:
/// [`poll_transmit`](Self::poll_transmit), [`poll_plaintext`](Self::poll_plaintext), [`poll_event`](Self::poll_event),
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Session {
    config: Config,
    certificate: Certificate,
    state: State,
    now: Instant,
    filter: Filter,
    handshake: Handshake,
    engine: Option<Engine>,
    engine_timeout: Option<Instant>,
    /// What came before `start`.
    early: Vec<BytesMut>,
    outgoing: Outgoing,
    plaintext: VecDeque<Bytes>,
    events: VecDeque<Event>,
    verified: Option<Verified>,
    scratch: Vec<u8>,
    #[cfg(test)]
    pub(crate) unfiltered: bool,
}

/// What a session knows while it shakes hands.
#[derive(Debug)]
struct Handshake {
    side: Side,
    remote: Vec<Fingerprint>,
    first_timeout: Duration,
    deadline: Option<Instant>,
    /// When a session of the role Auto stops waiting for a ClientHello.
    auto_deadline: Option<Instant>,
    client_random: Option<[u8; 32]>,
    /// When a client begins anew after a handshake that died.
    resume: Option<Instant>,
    last_hello: Option<Instant>,
    /// The number of the ClientHello that was answered last.
    hello_seq: u16,
    replaced: u32,
    first_failure: Option<HandshakeFailure>,
    certificate: Option<Bytes>,
    keys: Option<(SrtpProfile, Vec<u8>)>,
    key_log: Option<String>,
    done: bool,
}

/// What a session knows once it is connected.
#[derive(Debug)]
struct Verified {
    role: Role,
    version: Version,
    cipher_suite: &'static str,
    certificate: Bytes,
    overhead: usize,
}

impl Session {
    /// A session that waits for [`start`](Self::start).
    ///
    /// # Errors
    ///
    /// When the range of versions is empty, the cryptographic library fails its self-tests, the engine is not built in,
    /// or it cannot honour an option of the configuration or use the certificate.
    pub fn new(config: &Config, certificate: &Certificate, now: Instant) -> Result<Self, SessionError> {
        let (min, max) = config.version_range();
        if min > max {
            return Err(SessionError::Versions);
        }
        Engine::check(config, certificate)?;
        Ok(Self {
            config: config.clone(),
            certificate: certificate.clone(),
            state: State::New,
            now,
            filter: Filter::new(Side::Server),
            handshake: Handshake {
                side: Side::Server,
                remote: Vec::new(),
                first_timeout: UNKNOWN_RTT_TIMEOUT,
                deadline: None,
                auto_deadline: None,
                client_random: None,
                resume: None,
                last_hello: None,
                hello_seq: 0,
                replaced: 0,
                first_failure: None,
                certificate: None,
                keys: None,
                key_log: None,
                done: false,
            },
            engine: None,
            engine_timeout: None,
            early: Vec::new(),
            outgoing: Outgoing::default(),
            plaintext: VecDeque::new(),
            events: VecDeque::new(),
            verified: None,
            scratch: Vec::new(),
            #[cfg(test)]
            unfiltered: false,
        })
    }

    /// Begins the handshake in a role. The other side must present a certificate that matches one of `remote`; with
    /// none, nobody matches. `rtt` is the round-trip time of the path, if it is known: the first retransmission
    /// comes after 1.5 times that, but no earlier than 50 ms. A second call does nothing.
    pub fn start(&mut self, now: Instant, role: Role, remote: Vec<Fingerprint>, rtt: Option<Duration>) {
        let now = self.advance(now);
        if self.state != State::New {
            return;
        }
        self.state = State::Connecting;
        let handshake = &mut self.handshake;
        handshake.remote = remote;
        handshake.first_timeout = rtt
            .map_or(UNKNOWN_RTT_TIMEOUT, |rtt| rtt.saturating_mul(3) / 2)
            .clamp(MIN_FIRST_TIMEOUT, Duration::from_secs(5));
        handshake.deadline = now.checked_add(self.config.handshake_timeout);
        match role {
            Role::Client => self.become_client(now),
            Role::Server => {}
            Role::Auto => {
                self.handshake.auto_deadline = now.checked_add(self.handshake.first_timeout.saturating_mul(2))
            }
        }
        #[cfg(test)]
        if self.unfiltered && role == Role::Server {
            let only_12 = self.config.version_range().1 == Version::Dtls12;
            let start = if only_12 {
                crate::engine::Start::Server(Version::Dtls12)
            } else {
                crate::engine::Start::ServerAuto
            };
            self.engine = self.make_engine(start, now).ok();
            self.drain(now, &mut BytesMut::new());
        }
        for packet in std::mem::take(&mut self.early) {
            self.receive(now, packet);
        }
    }

    /// Protects application data into one record that is appended to `out`, and says how long it is:
    /// [`overhead`](Self::overhead) octets more than the plaintext.
    ///
    /// # Errors
    ///
    /// When the session is not connected, or the plaintext does not fit in a record. `out` is then as it was.
    pub fn seal(&mut self, now: Instant, plaintext: &[u8], out: &mut Vec<u8>) -> Result<usize, SealError> {
        let start = out.len();
        self.begin_record(out);
        out.extend_from_slice(plaintext);
        self.end_record(now, out, start)
    }

    /// Begins a record at the end of `out`: the application data is to be appended, and then comes
    /// [`end_record`](Self::end_record). Saves the copy of [`seal`](Self::seal).
    pub fn begin_record(&self, out: &mut Vec<u8>) {
        let headroom = self.engine.as_ref().map_or(0, Engine::headroom);
        out.resize(out.len().saturating_add(headroom), 0);
    }

    /// Protects what was appended since [`begin_record`](Self::begin_record), when `out` was `start` octets long, and says
    /// how long the record is.
    ///
    /// # Errors
    ///
    /// As for [`seal`](Self::seal), and when nothing was appended. `out` is then as it was before the record.
    pub fn end_record(&mut self, now: Instant, out: &mut Vec<u8>, start: usize) -> Result<usize, SealError> {
        let sealed = self.seal_from(now, out, start);
        if sealed.is_err() {
            out.truncate(start);
        }
        sealed
    }

    fn seal_from(&mut self, now: Instant, out: &mut Vec<u8>, start: usize) -> Result<usize, SealError> {
        let now = self.advance(now);
        let headroom = self.engine.as_ref().map_or(0, Engine::headroom);
        let plaintext = out.len().saturating_sub(start).saturating_sub(headroom);
        if plaintext == 0 || plaintext > MAX_RECORD_PLAINTEXT {
            return Err(SealError::Length);
        }
        let (State::Connected, Some(engine)) = (self.state, self.engine.as_mut()) else {
            return Err(SealError::NotConnected);
        };
        engine.seal(now, out, start).map_err(|_| SealError::Engine)?;
        let length = out.len().saturating_sub(start);
        self.filter.stats.records_sealed += 1;
        self.drain(now, &mut BytesMut::new());
        Ok(length)
    }

    /// Closes the session. A connected one has a close_notify to send, once.
    pub fn close(&mut self, now: Instant) {
        let now = self.advance(now);
        match self.state {
            State::Connected => {
                self.say_goodbye(now);
                self.end(State::Closed, CloseReason::Local);
            }
            State::New | State::Connecting => {
                self.outgoing.clear();
                self.end(State::Closed, CloseReason::Local);
            }
            State::Closed | State::Failed => {}
        }
    }

    /// Takes in a datagram whose first octet is that of DTLS (20 to 63). Before `start`, at most 8 KiB in 64 datagrams
    /// are held and taken in then.
    pub fn handle_packet(&mut self, now: Instant, packet: BytesMut) {
        let now = self.advance(now);
        self.filter.stats.datagrams_received += 1;
        match self.state {
            State::New => {
                let held: usize = self.early.iter().map(BytesMut::len).sum();
                let full =
                    self.early.len() >= MAX_HELD_RECORDS || held.saturating_add(packet.len()) > MAX_HELD;
                if full || packet.is_empty() {
                    self.filter.stats.held_overflow += 1;
                } else {
                    self.early.push(packet);
                }
            }
            State::Connecting | State::Connected => self.receive(now, packet),
            State::Closed | State::Failed => self.filter.stats.after_close += 1,
        }
    }

    /// Lets time pass. Early calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        if !matches!(self.state, State::Connecting | State::Connected) {
            return;
        }
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if self.state == State::Connecting && due(self.handshake.deadline) {
            return self.fail_late();
        }
        if due(self.handshake.auto_deadline) {
            self.handshake.auto_deadline = None;
            if self.state == State::Connecting && self.engine.is_none() {
                self.become_client(now);
                self.filter.take_client_hello();
            }
        }
        if due(self.handshake.resume) {
            self.handshake.resume = None;
            self.become_client(now);
        }
        if due(self.engine_timeout) {
            self.engine_timeout = None;
            match self.engine.as_mut().map(|engine| engine.handle_timeout(now)) {
                Some(Ok(())) => self.drain(now, &mut BytesMut::new()),
                Some(Err(failure)) => self.on_failure(now, failure),
                None => {}
            }
        }
        // Behind the engine: what it has just sent again need not go out twice.
        if self.engine.is_some() {
            self.outgoing.handle_timeout(now);
        }
    }

    /// Appends one datagram of the handshake, or the closing alert, of at most `room` octets, and says how long it
    /// is; `None` when there is none, or its first record cannot be cut to fit in `room`: 500 octets are always enough
    /// for one of them.
    pub fn poll_transmit(&mut self, now: Instant, room: usize, out: &mut Vec<u8>) -> Option<usize> {
        self.advance(now);
        let length = self.outgoing.poll(room, out)?;
        self.filter.stats.datagrams_sent += 1;
        Some(length)
    }

    /// The next record of application data, in the order in which they came.
    pub fn poll_plaintext(&mut self) -> Option<Bytes> {
        self.plaintext.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Connecting => {
                let own = earliest(self.handshake.deadline, self.handshake.auto_deadline);
                let own = earliest(own, self.handshake.resume);
                earliest(own, earliest(self.engine_timeout, self.outgoing.timeout()))
            }
            State::Connected => earliest(self.engine_timeout, self.outgoing.timeout()),
            State::New | State::Closed | State::Failed => None,
        }
    }

    /// How far the session is.
    pub fn state(&self) -> State {
        self.state
    }

    /// The octets that [`seal`](Self::seal) adds to each record; 0 before the session is connected.
    pub fn overhead(&self) -> usize {
        self.verified.as_ref().map_or(0, |verified| verified.overhead)
    }

    /// The role of this side, once the session is connected.
    pub fn role(&self) -> Option<Role> {
        self.verified.as_ref().map(|verified| verified.role)
    }

    /// The negotiated version, once the session is connected.
    pub fn version(&self) -> Option<Version> {
        self.verified.as_ref().map(|verified| verified.version)
    }

    /// The cipher suite, by its name in the registry of IANA, once the session is connected.
    pub fn cipher_suite(&self) -> Option<&'static str> {
        self.verified.as_ref().map(|verified| verified.cipher_suite)
    }

    /// The certificate of the other side in DER, once it is verified.
    pub fn remote_certificate(&self) -> Option<Bytes> {
        self.verified.as_ref().map(|verified| verified.certificate.clone())
    }

    /// The certificate of this side.
    pub fn local_certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.filter.stats
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }
}
