//! One DTLS association: the filter, an engine, the check of the fingerprint, and the time they take.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use taut_sansio::codec::Reader;
use taut_sansio::time::earliest;

use crate::certificate::Certificate;
use crate::config::{Config, Role, SrtpProfile, Version};
use crate::engine::{Engine, Failure, Output, Start};
use crate::filter::{Filter, Hello, HelloKind, MAX_HELD, Side};
use crate::fingerprint::Fingerprint;
use crate::hello::{self, ClientHello, ServerHello};
use crate::outgoing::Outgoing;
use crate::peer::{CloseReason, Event, HandshakeFailure, SealError, SessionError, SrtpKeys, VerifiedPeer};
use crate::record::Record;
use crate::stats::Stats;

/// The first retransmission comes no earlier than this.
const MIN_FIRST_TIMEOUT: Duration = Duration::from_millis(50);
/// The first timeout when the round-trip time is not known (RFC 9147 section 5.8.2 has 1 s, which would be the
/// longest wait of the whole set-up; 400 ms is what BoringSSL takes).
const UNKNOWN_RTT_TIMEOUT: Duration = Duration::from_millis(400);
/// Handshakes begun anew after one died of something unauthenticated.
const MAX_RESTARTS: u64 = 1;
/// ClientHellos that may replace the one being answered.
const MAX_REPLACED: u32 = 8;
/// Records opened and not yet polled.
const MAX_PLAINTEXT: usize = 1024;
/// The most octets of plaintext in one record (RFC 6347 section 4.1).
const MAX_RECORD_PLAINTEXT: usize = 1 << 14;
/// Room that a record needs beyond its plaintext, in every version.
const MAX_OVERHEAD: usize = 64;
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
    last_hello: Option<Instant>,
    /// The number of the ClientHello that was answered last.
    hello_seq: u16,
    replaced: u32,
    first_failure: Option<HandshakeFailure>,
    certificate: Option<Bytes>,
    keys: Option<(SrtpProfile, Vec<u8>)>,
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
    /// When the range of versions is empty, or the cryptographic library fails its self-tests.
    pub fn new(config: &Config, certificate: &Certificate, now: Instant) -> Result<Self, SessionError> {
        if config.min_version > config.max_version {
            return Err(SessionError::Versions);
        }
        Engine::check(config.engine)?;
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
                last_hello: None,
                hello_seq: 0,
                replaced: 0,
                first_failure: None,
                certificate: None,
                keys: None,
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
            let only_12 = self.config.max_version == Version::Dtls12;
            let start = if only_12 { Start::Server(Version::Dtls12) } else { Start::ServerAuto };
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
        let now = self.advance(now);
        if plaintext.is_empty() || plaintext.len() > MAX_RECORD_PLAINTEXT {
            return Err(SealError::Length);
        }
        let (State::Connected, Some(engine)) = (self.state, self.engine.as_mut()) else {
            return Err(SealError::NotConnected);
        };
        let start = out.len();
        out.resize(start.saturating_add(plaintext.len()).saturating_add(MAX_OVERHEAD), 0);
        let sent = engine.send(now, plaintext);
        let place = out.get_mut(start..).unwrap_or_default();
        let length = match sent.map(|()| engine.poll(place)) {
            Ok(Output::Packet(length)) => length,
            _ => {
                out.truncate(start);
                return Err(SealError::Engine);
            }
        };
        out.truncate(start.saturating_add(length));
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

    /// Takes in a datagram whose first octet is that of DTLS (20 to 63). Before `start`, at most 8 KiB are held and
    /// taken in then.
    pub fn handle_packet(&mut self, now: Instant, packet: BytesMut) {
        let now = self.advance(now);
        self.filter.stats.datagrams_received += 1;
        match self.state {
            State::New => {
                let held: usize = self.early.iter().map(BytesMut::len).sum();
                if held.saturating_add(packet.len()) > MAX_HELD || packet.is_empty() {
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
        if self.engine.is_some() {
            self.outgoing.handle_timeout(now);
        }
        if !due(self.engine_timeout) {
            return;
        }
        self.engine_timeout = None;
        let Some(engine) = self.engine.as_mut() else { return };
        match engine.handle_timeout(now) {
            Ok(()) => self.drain(now, &mut BytesMut::new()),
            Err(failure) => self.on_failure(now, failure),
        }
    }

    /// Appends one datagram of the handshake, or the closing alert, of at most `room` octets, and says how long it
    /// is; `None` when there is none, or its first record cannot be cut to fit in `room`: 300 octets are always enough
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

    fn make_engine(&self, start: Start, now: Instant) -> Result<Engine, Failure> {
        Engine::new(self.config.engine, start, &self.certificate, self.handshake.first_timeout, now)
    }

    fn become_client(&mut self, now: Instant) {
        self.handshake.side = Side::Client;
        self.filter.restart(Side::Client);
        self.handshake.certificate = None;
        let (min, max) = (self.config.min_version, self.config.max_version);
        match self.make_engine(Start::Client { min, max }, now) {
            Ok(engine) => {
                self.engine = Some(engine);
                self.drain(now, &mut BytesMut::new());
            }
            Err(failure) => self.on_failure(now, failure),
        }
    }

    fn receive(&mut self, now: Instant, mut packet: BytesMut) {
        #[cfg(test)]
        if self.unfiltered {
            self.deliver(now, &packet.clone());
            return self.drain(now, &mut packet);
        }
        if self.state == State::Connected {
            return self.receive_connected(now, packet);
        }
        let mut waiting = VecDeque::from([packet.split()]);
        while let Some(datagram) = waiting.pop_front() {
            if self.state == State::Connected {
                self.receive_connected(now, datagram);
                continue;
            }
            if self.state != State::Connecting {
                return;
            }
            let hello = self.filter.receive(&datagram);
            self.deliver_passed(now);
            if let Some(hello) = hello
                && self.on_hello(now, hello)
            {
                self.filter.release();
                self.deliver_passed(now);
                let held = self.filter.take_held();
                waiting.extend(held.iter().map(|held| BytesMut::from(held.as_slice())));
            }
        }
    }

    /// The hot path: each record that is admitted goes to the engine, and its plaintext comes back into the buffer
    /// of the datagram.
    fn receive_connected(&mut self, now: Instant, mut packet: BytesMut) {
        let mut reader = Reader::new(&packet);
        while !reader.is_empty() {
            let Ok(record) = Record::parse(&mut reader) else {
                self.filter.malformed();
                break;
            };
            if !self.filter.admits(&record) {
                continue;
            }
            let Some(engine) = self.engine.as_mut() else { return };
            if let Err(failure) = engine.handle_packet(now, record.bytes) {
                return self.on_failure(now, failure);
            }
        }
        self.drain(now, &mut packet);
    }

    /// Gives what the filter let through to the engine, record by record.
    fn deliver_passed(&mut self, now: Instant) {
        let passed = self.filter.passed().to_vec();
        let mut reader = Reader::new(&passed);
        let restarts = self.filter.stats.restarts;
        while self.engine.is_some()
            && self.filter.stats.restarts == restarts
            && let Ok(record) = Record::parse(&mut reader)
        {
            self.deliver(now, record.bytes);
        }
    }

    /// Gives a datagram of the handshake to the engine, and does what it then says.
    fn deliver(&mut self, now: Instant, datagram: &[u8]) {
        let Some(engine) = self.engine.as_mut() else { return };
        match engine.handle_packet(now, datagram) {
            Ok(()) => self.drain(now, &mut BytesMut::new()),
            Err(failure) => self.on_failure(now, failure),
        }
    }

    /// True when what was held behind the message may follow it.
    fn on_hello(&mut self, now: Instant, hello: Hello) -> bool {
        match hello.kind {
            HelloKind::Server(chosen) => self.on_server_hello(now, chosen, &hello.record),
            HelloKind::Client(offer) => {
                self.on_client_hello(now, &offer, &hello);
                false
            }
        }
    }

    fn on_server_hello(&mut self, now: Instant, chosen: ServerHello, record: &[u8]) -> bool {
        match chosen {
            ServerHello::Verify if self.config.min_version == Version::Dtls12 => {
                self.filter.expect_another_hello()
            }
            ServerHello::Retry if self.config.max_version == Version::Dtls13 => {
                self.filter.expect_another_hello()
            }
            ServerHello::Chosen { version, cipher_suite }
                if (self.config.min_version..=self.config.max_version).contains(&version)
                    && hello::cipher_suite_name(cipher_suite) != "unknown"
                    && (cipher_suite >> 8 == 0x13) == (version == Version::Dtls13) =>
            {
                self.filter.choose(version);
                self.filter.set_cipher_suite(cipher_suite);
            }
            _ => {
                self.filter.stats.rejected_hello += 1;
                return false;
            }
        }
        self.deliver(now, record);
        matches!(chosen, ServerHello::Chosen { .. })
    }

    fn on_client_hello(&mut self, now: Instant, offer: &ClientHello, hello: &Hello) {
        if self.handshake.side == Side::Client {
            // Both sides found nobody and became clients: the larger random stays one.
            if self.filter.own_random().is_none_or(|own| own >= offer.random) {
                self.filter.stats.stale_hello += 1;
                return;
            }
            self.handshake.side = Side::Server;
            self.engine = None;
            self.outgoing.clear();
            self.filter.restart(Side::Server);
        }
        let same = self.handshake.client_random == Some(offer.random);
        if self.engine.is_some() && (same || hello.message_seq > 0) {
            let wait = self.handshake.last_hello.and_then(|last| last.checked_add(MIN_FIRST_TIMEOUT));
            let second = hello.message_seq > self.handshake.hello_seq;
            if !second && wait.is_some_and(|until| now < until) {
                self.filter.stats.stale_hello += 1;
                return;
            }
            self.handshake.last_hello = Some(now);
            self.handshake.hello_seq = hello.message_seq;
            return self.deliver(now, &hello.record);
        }
        let replaces = self.engine.is_some();
        if replaces && (self.filter.answered() || self.handshake.replaced >= MAX_REPLACED) {
            self.filter.stats.stale_hello += 1;
            return;
        }
        self.accept_client_hello(now, offer, hello, replaces);
    }

    fn accept_client_hello(&mut self, now: Instant, offer: &ClientHello, hello: &Hello, replaces: bool) {
        let (min, max) = (self.config.min_version, self.config.max_version);
        let version = if offer.offers_13 && max == Version::Dtls13 {
            Version::Dtls13
        } else if offer.offers_12 && min == Version::Dtls12 {
            Version::Dtls12
        } else {
            self.filter.stats.rejected_hello += 1;
            return;
        };
        let engine = self.make_engine(Start::Server(version), now).and_then(|mut engine| {
            engine.handle_packet(now, &hello.record)?;
            let flight = packets(&mut engine);
            Ok((engine, flight))
        });
        // An engine that has no answer was not given a hello that it can read.
        let Some((engine, flight)) = engine.ok().filter(|(_, flight)| !flight.is_empty()) else {
            // Nobody has authenticated it, so it changes nothing.
            self.filter.stats.rejected_hello += 1;
            return;
        };
        if replaces {
            self.handshake.replaced += 1;
            self.filter.restart(Side::Server);
            self.outgoing.clear();
        }
        self.handshake.auto_deadline = None;
        self.handshake.client_random = Some(offer.random);
        self.handshake.last_hello = Some(now);
        self.handshake.hello_seq = hello.message_seq;
        self.engine = Some(engine);
        self.filter.choose(version);
        for packet in flight {
            self.on_packet(now, packet);
        }
        self.drain(now, &mut BytesMut::new());
    }

    /// Does all that the engine says. Plaintext goes into `spare`, the buffer of the datagram that brought it, as long
    /// as there is room; everything else goes through the scratch buffer.
    fn drain(&mut self, now: Instant, spare: &mut BytesMut) {
        let mut scratch = std::mem::take(&mut self.scratch);
        if scratch.len() < SCRATCH {
            scratch.resize(SCRATCH, 0);
        }
        while let Some(engine) = self.engine.as_mut() {
            let in_spare = self.state == State::Connected && !spare.is_empty();
            let output = engine.poll(if in_spare { &mut spare[..] } else { &mut scratch[..] });
            match output {
                Output::TooSmall(needed) if in_spare => {
                    // Not for this buffer: the scratch buffer takes it.
                    spare.clear();
                    if needed > scratch.len() {
                        scratch.resize(needed, 0);
                    }
                }
                Output::TooSmall(needed) => scratch.resize(needed, 0),
                Output::Plaintext(length) if in_spare => {
                    let plaintext = spare.split_to(length.min(spare.len())).freeze();
                    self.on_plaintext(plaintext);
                }
                Output::Plaintext(length) => {
                    let plaintext = scratch.get(..length).map(Bytes::copy_from_slice);
                    self.on_plaintext(plaintext.unwrap_or_default());
                }
                Output::Packet(length) => {
                    let buffer = if in_spare { &spare[..] } else { &scratch[..] };
                    let packet = buffer.get(..length).unwrap_or_default().to_vec();
                    self.on_packet(now, packet);
                }
                Output::Idle(timeout) => {
                    // An engine that waits for nothing has had its answer.
                    if timeout.is_none() {
                        self.outgoing.forget_flight();
                    }
                    // While something of a flight is missing, dimpl 0.9 in DTLS 1.3 wants to send an ACK at once, and again
                    // at once when it has: a loop without this pause.
                    let earliest = now.checked_add(self.handshake.first_timeout / 2);
                    self.engine_timeout = timeout.max(timeout.and(earliest));
                    break;
                }
                other => self.on_output(now, other, &scratch),
            }
        }
        self.scratch = scratch;
        if self.handshake.done {
            self.handshake.done = false;
            self.on_done(now);
        }
    }

    fn on_output(&mut self, now: Instant, output: Output, scratch: &[u8]) {
        match output {
            Output::Certificate(length) => {
                self.handshake.certificate = scratch.get(..length).map(Bytes::copy_from_slice);
            }
            Output::Connected => self.handshake.done = true,
            Output::Keys(profile, material) => self.handshake.keys = Some((profile, material)),
            Output::CloseNotify => {
                if self.handshake.done {
                    self.handshake.done = false;
                    self.on_done(now);
                }
                self.on_close_notify(now);
            }
            Output::Packet(_) | Output::Plaintext(_) | Output::TooSmall(_) | Output::Idle(_) => {}
        }
    }

    fn on_packet(&mut self, now: Instant, packet: Vec<u8>) {
        self.filter.observe(&packet);
        if !self.outgoing.push(now, packet) {
            self.filter.stats.transmit_overflow += 1;
        }
    }

    fn on_plaintext(&mut self, plaintext: Bytes) {
        self.filter.confirm();
        if self.plaintext.len() >= MAX_PLAINTEXT {
            self.filter.stats.plaintext_overflow += 1;
            return;
        }
        self.filter.stats.records_opened += 1;
        self.plaintext.push_back(plaintext);
    }

    /// The engine has finished: the one place where the fingerprint is checked. The other side has proven by now that
    /// it owns the key of the certificate it showed, so a certificate that does not match is its own.
    fn on_done(&mut self, now: Instant) {
        let certificate = self.handshake.certificate.take();
        let remote = &self.handshake.remote;
        let Some(certificate) =
            certificate.filter(|der| remote.iter().any(|fingerprint| fingerprint.matches(der)))
        else {
            self.plaintext.clear();
            self.say_goodbye(now);
            self.plaintext.clear();
            return self.end(State::Failed, CloseReason::FingerprintMismatch);
        };
        let Some(version) = self.engine.as_ref().and_then(Engine::version) else { return };
        let is_client = self.handshake.side == Side::Client;
        let role = if is_client { Role::Client } else { Role::Server };
        let suite = self.filter.cipher_suite().unwrap_or_default();
        let cipher_suite = hello::cipher_suite_name(suite);
        let srtp = self.handshake.keys.take().and_then(|(profile, material)| {
            let wanted = self.config.srtp_profiles.contains(&profile);
            wanted.then(|| SrtpKeys::cut(profile, is_client, &material)).flatten()
        });
        let overhead = match version {
            Version::Dtls12 => 13 + hello::protection_overhead(suite),
            Version::Dtls13 => 5 + 1 + 16,
        };
        self.state = State::Connected;
        self.verified =
            Some(Verified { role, version, cipher_suite, certificate: certificate.clone(), overhead });
        self.filter.connect(version);
        let peer = VerifiedPeer { srtp, certificate, role, version, cipher_suite };
        self.events.push_back(Event::Connected(peer));
        for record in self.filter.take_future() {
            self.receive_connected(now, BytesMut::from(record.as_slice()));
        }
    }

    fn on_close_notify(&mut self, now: Instant) {
        if self.state == State::Connected {
            self.say_goodbye(now);
            self.end(State::Closed, CloseReason::Remote);
        }
    }

    /// Makes the engine close, and keeps what it then has to send.
    fn say_goodbye(&mut self, now: Instant) {
        let Some(mut engine) = self.engine.take() else { return };
        let _ = engine.handle_timeout(now);
        let _ = engine.close();
        for packet in packets(&mut engine) {
            self.on_packet(now, packet);
        }
    }

    fn on_failure(&mut self, now: Instant, failure: Failure) {
        let failure = match failure {
            Failure::Timeout => return self.fail_late(),
            Failure::Protocol(failure) => failure,
        };
        if self.state == State::Connected {
            let reason = match failure {
                HandshakeFailure::Alert(alert) => CloseReason::Alert(alert),
                failure => CloseReason::Protocol(failure),
            };
            return self.end(State::Failed, reason);
        }
        #[cfg(test)]
        if self.unfiltered {
            return self.end(State::Failed, CloseReason::Handshake(failure));
        }
        // Until the end of the handshake nothing is authenticated, so whoever can send may have caused this.
        self.handshake.first_failure.get_or_insert(failure);
        if self.filter.stats.restarts >= MAX_RESTARTS {
            return self.end(State::Failed, CloseReason::Handshake(failure));
        }
        self.filter.stats.restarts += 1;
        self.engine = None;
        self.engine_timeout = None;
        self.outgoing.clear();
        self.handshake.client_random = None;
        self.handshake.certificate = None;
        match self.handshake.side {
            Side::Client => self.become_client(now),
            Side::Server => self.filter.restart(Side::Server),
        }
    }

    fn fail_late(&mut self) {
        let reason = self.handshake.first_failure.map_or(CloseReason::Timeout, CloseReason::Handshake);
        self.outgoing.clear();
        self.end(State::Failed, reason);
    }

    fn end(&mut self, state: State, reason: CloseReason) {
        self.state = state;
        self.engine = None;
        self.engine_timeout = None;
        self.outgoing.forget_flight();
        self.early = Vec::new();
        self.events.push_back(Event::Closed(reason));
    }
}

/// What an engine has to send; whatever else it says is dropped.
fn packets(engine: &mut Engine) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; SCRATCH];
    let mut packets = Vec::new();
    loop {
        match engine.poll(&mut buffer) {
            Output::Packet(length) => packets.extend(buffer.get(..length).map(<[u8]>::to_vec)),
            Output::TooSmall(needed) => buffer.resize(needed, 0),
            Output::Idle(_) => return packets,
            _ => {}
        }
    }
}
