//! The engine OpenSSL: DTLS 1.2, with certificates of every kind.
//!
//! It reads and writes datagrams that lie in memory: each write of OpenSSL is one. It is driven in the time of the
//! session, not by the clock of the system (see `timer` and `flight`). Unprotected records are numbered anew on their
//! way in, because the filter writes them anew and OpenSSL drops a number that it has seen. It draws its randomness from
//! the system. Tickets, the session cache, renegotiation and compression are off; extended master secrets are on.

mod context;
mod flight;
mod timer;

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use ::openssl::error::ErrorStack;
use ::openssl::ssl::{Error, ErrorCode, ShutdownState, Ssl, SslContext, SslRef, SslStream};

pub(crate) use self::context::Contexts;
use self::flight::{Flight, records};
use super::{Failure, Output, Start};
use crate::certificate::Certificate;
use crate::config::{Config, SrtpProfile, Version};
use crate::peer::{HandshakeFailure, SessionError};
use crate::record::{Fragment, Header, PLAIN_HEADER, Record, content, handshake};

/// The largest datagram of a handshake flight: what every path of WebRTC carries, IPv6 and a relay included.
const MTU: u32 = 1200;
/// RFC 5764 section 4.2.
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";
/// Reasons of OpenSSL from here on are alerts that came in, 256 of them (`SSL_AD_REASON_OFFSET`).
const ALERT_REASON: i32 = 1000;
/// RFC 6347 section 4.1.
const LONGEST_PLAINTEXT: usize = 1 << 14;
const PROFILES: [SrtpProfile; 3] =
    [SrtpProfile::AeadAes128Gcm, SrtpProfile::AeadAes256Gcm, SrtpProfile::Aes128CmSha1_80];

/// Checks that OpenSSL can do what is asked for, with this certificate.
pub(super) fn check(config: &Config, certificate: &Certificate) -> Result<(), SessionError> {
    if config.version_range().1 > config.engine.newest() {
        return Err(SessionError::VersionNotSupported);
    }
    context(config, certificate).map(|_| ()).map_err(|error| {
        tracing::debug!(%error, "OpenSSL cannot be set up");
        SessionError::Crypto
    })
}

fn context(config: &Config, certificate: &Certificate) -> Result<SslContext, ErrorStack> {
    let profiles = config.srtp_profiles.as_deref().unwrap_or(&PROFILES);
    certificate.contexts().get(certificate.der(), certificate.pkcs8(), profiles)
}

/// One association of OpenSSL.
pub(crate) struct OpenSslEngine {
    stream: SslStream<Wire>,
    connected: bool,
    key_log: bool,
    /// The number of the next unprotected record that comes in.
    number: u64,
    flight: Flight,
    said: VecDeque<Output>,
    certificate: Vec<u8>,
    /// Records that were opened, one behind the other, and their lengths.
    plaintext: Vec<u8>,
    lengths: VecDeque<usize>,
}

impl OpenSslEngine {
    pub(super) fn new(
        config: &Config,
        start: Start,
        certificate: &Certificate,
        first_timeout: Duration,
        now: Instant,
    ) -> Result<Self, Failure> {
        let unable = |_: ErrorStack| Failure::Protocol(HandshakeFailure::Crypto);
        let context = context(config, certificate).map_err(unable)?;
        let mut ssl = Ssl::new(&context).map_err(unable)?;
        ssl.set_mtu(MTU).map_err(unable)?;
        let is_client = matches!(start, Start::Client { .. });
        if is_client {
            ssl.set_connect_state();
        } else {
            ssl.set_accept_state();
        }
        let mut stream = SslStream::new(ssl, Wire::default()).map_err(unable)?;
        timer::never(&mut stream);
        let mut engine = Self {
            stream,
            connected: false,
            key_log: config.key_log,
            number: 0,
            flight: Flight::new(first_timeout),
            said: VecDeque::new(),
            certificate: Vec::new(),
            plaintext: Vec::new(),
            lengths: VecDeque::new(),
        };
        if is_client {
            engine.shake_hands(now)?;
        }
        Ok(engine)
    }

    pub(super) fn handle_packet(&mut self, now: Instant, packet: &[u8]) -> Result<(), Failure> {
        if self.connected {
            self.stream.get_mut().put(packet);
            let single = records(packet).next().is_none_or(|record| record.bytes.len() == packet.len());
            return self.read(packet.len(), single);
        }
        let hello = self.put_handshake(packet);
        match hello {
            // From here on a flight of this side ends with a protected record.
            Some(handshake::SERVER_HELLO) => timer::at_once(&mut self.stream),
            // It had no answer (RFC 6347 section 4.2.4).
            Some(handshake::CLIENT_HELLO) => {
                let again = self.flight.again();
                self.stream.get_mut().send(&again);
            }
            _ => {}
        }
        self.shake_hands(now)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        let again = self.flight.handle_timeout(now);
        self.stream.get_mut().send(&again);
        Ok(())
    }

    pub(super) fn seal(&mut self, _now: Instant, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        forget_errors();
        // For this one call the buffer is the wire: OpenSSL writes the record where it is to be.
        std::mem::swap(&mut self.stream.get_mut().outgoing, out);
        let written = self.stream.ssl_write(plaintext);
        let wire = self.stream.get_mut();
        std::mem::swap(&mut wire.outgoing, out);
        written.map_err(|error| failure(&error))?;
        wire.ends.pop_back();
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<(), Failure> {
        forget_errors();
        if self.connected && !self.stream.get_shutdown().contains(ShutdownState::SENT) {
            self.stream.shutdown().map_err(|error| failure(&error))?;
        }
        Ok(())
    }

    pub(super) fn poll(&mut self, buffer: &mut [u8]) -> Output {
        if let Some(length) = self.stream.get_ref().next_length() {
            let Some(place) = buffer.get_mut(..length) else { return Output::TooSmall(length) };
            self.stream.get_mut().take(place);
            return Output::Packet(length);
        }
        if let Some(Output::Certificate(length)) = self.said.front() {
            let Some(place) = buffer.get_mut(..*length) else { return Output::TooSmall(*length) };
            place.copy_from_slice(&std::mem::take(&mut self.certificate));
        }
        if !matches!(self.said.front(), None | Some(Output::CloseNotify)) {
            // Known to be there.
            return self.said.pop_front().unwrap_or(Output::Idle(None));
        }
        if let Some(&length) = self.lengths.front() {
            let Some(place) = buffer.get_mut(..length) else { return Output::TooSmall(length) };
            let start = self.plaintext.len().saturating_sub(self.lengths.iter().sum());
            let end = start.saturating_add(length);
            place.copy_from_slice(self.plaintext.get(start..end).unwrap_or_default());
            self.lengths.pop_front();
            if self.lengths.is_empty() {
                self.plaintext.clear();
            }
            return Output::Plaintext(length);
        }
        self.said.pop_front().unwrap_or(Output::Idle(self.flight.timeout()))
    }

    /// OpenSSL negotiates one version.
    pub(super) fn version(&self) -> Option<Version> {
        Some(Version::Dtls12)
    }

    /// Puts a datagram where OpenSSL will read it, with new numbers. The kind of hello in it is given back.
    fn put_handshake(&mut self, packet: &[u8]) -> Option<u8> {
        let mut datagram = packet.to_vec();
        let mut start: usize = 0;
        let mut hello = None;
        for record in records(packet) {
            if let Header::Plain { content_type, epoch: 0 } = record.header {
                let number = start.saturating_add(PLAIN_HEADER - 8)..start.saturating_add(PLAIN_HEADER - 2);
                let [_, _, bytes @ ..] = self.number.to_be_bytes();
                if let Some(place) = datagram.get_mut(number) {
                    place.copy_from_slice(&bytes);
                }
                self.number = self.number.saturating_add(1);
                hello = hello.or_else(|| kind_of_hello(content_type, &record));
            }
            start = start.saturating_add(record.bytes.len());
        }
        self.stream.get_mut().put(&datagram);
        hello
    }

    fn shake_hands(&mut self, now: Instant) -> Result<(), Failure> {
        forget_errors();
        let result = self.stream.do_handshake();
        let wire = self.stream.get_mut();
        match result {
            Err(error) if error.code() == ErrorCode::WANT_READ => {
                let wrote = wire.take_all();
                let new = self.flight.begin(now, wrote);
                wire.send(new);
                Ok(())
            }
            Err(error) => Err(failure(&error)),
            Ok(()) => self.finish(),
        }
    }

    fn finish(&mut self) -> Result<(), Failure> {
        self.connected = true;
        self.flight.end();
        let ssl = self.stream.ssl();
        if let Some(der) = ssl.peer_certificate().and_then(|certificate| certificate.to_der().ok()) {
            self.said.push_back(Output::Certificate(der.len()));
            self.certificate = der;
        }
        let agreed = ssl.selected_srtp_profile().map(|profile| profile.name());
        if let Some(profile) =
            PROFILES.into_iter().find(|profile| Some(context::srtp_name(*profile)) == agreed)
        {
            let mut material = vec![0; 2 * (profile.key_len() + profile.salt_len())];
            ssl.export_keying_material(&mut material, EXPORTER, None)
                .map_err(|_| Failure::Protocol(HandshakeFailure::Crypto))?;
            self.said.push_back(Output::Keys(profile, material));
        }
        if self.key_log {
            self.said.extend(key_log_line(ssl).map(Output::KeyLog));
        }
        self.said.push_back(Output::Connected);
        self.read(LONGEST_PLAINTEXT, false)?;
        if self.lengths.is_empty() {
            self.plaintext = Vec::new();
        }
        Ok(())
    }

    /// Opens what was put in: records of no more than this many octets, and whether it is a single one.
    fn read(&mut self, room: usize, single: bool) -> Result<(), Failure> {
        forget_errors();
        loop {
            let start = self.plaintext.len();
            self.plaintext.resize(start.saturating_add(room), 0);
            let read = self.stream.ssl_read(self.plaintext.get_mut(start..).unwrap_or_default());
            self.plaintext.truncate(start.saturating_add(*read.as_ref().unwrap_or(&0)));
            match read {
                Ok(length) => {
                    self.lengths.push_back(length);
                    if single {
                        return Ok(());
                    }
                }
                Err(error) if error.code() == ErrorCode::WANT_READ => return Ok(()),
                Err(error) if error.code() == ErrorCode::ZERO_RETURN => {
                    self.said.push_back(Output::CloseNotify);
                    return Ok(());
                }
                Err(error) => return Err(failure(&error)),
            }
        }
    }
}

impl fmt::Debug for OpenSslEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSslEngine")
            .field("state", &self.stream.ssl().state_string_long())
            .field("flight", &self.flight)
            .finish_non_exhaustive()
    }
}

/// The line of the key log for DTLS 1.2: what names the session, its `client_random`, and its master secret.
fn key_log_line(ssl: &SslRef) -> Option<String> {
    let mut random = [0; 32];
    let random_length = ssl.client_random(&mut random);
    // RFC 5246 section 8.1.
    let mut secret = [0; 48];
    let secret_length = ssl.session()?.master_key(&mut secret);
    let random = hexadecimal(random.get(..random_length)?);
    Some(format!("CLIENT_RANDOM {random} {}", hexadecimal(secret.get(..secret_length)?)))
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn kind_of_hello(content_type: u8, record: &Record<'_>) -> Option<u8> {
    let fragment = Fragment::parse(&mut taut_sansio::codec::Reader::new(record.fragment)).ok()?;
    let is_hello = matches!(fragment.kind, handshake::CLIENT_HELLO | handshake::SERVER_HELLO);
    (content_type == content::HANDSHAKE && is_hello).then_some(fragment.kind)
}

/// OpenSSL keeps its errors per thread, and takes one that another call left behind for one of this call.
fn forget_errors() {
    drop(ErrorStack::get());
}

fn failure(error: &Error) -> Failure {
    tracing::trace!(%error, code = error.code().as_raw(), "the engine gave up");
    let reason = error.ssl_error().and_then(|stack| stack.errors().first()).map(|first| first.reason_code());
    let Some(reason) = reason else { return Failure::Protocol(HandshakeFailure::UnexpectedMessage) };
    if let Ok(alert) = u8::try_from(reason.saturating_sub(ALERT_REASON)) {
        return Failure::Protocol(HandshakeFailure::Alert(alert));
    }
    // The numbers of openssl/sslerr.h, which do not change.
    Failure::Protocol(match reason {
        // NO_CIPHERS_AVAILABLE, NO_SHARED_CIPHER, NO_SUITABLE_SIGNATURE_ALGORITHM, UNSUPPORTED_PROTOCOL, WRONG_CIPHER,
        // WRONG_CURVE, NO_SUITABLE_KEY_SHARE, NO_SUITABLE_GROUPS, WRONG_SSL_VERSION, WRONG_VERSION_NUMBER,
        // WRONG_SIGNATURE_TYPE, NO_SHARED_SIGNATURE_ALGORITHMS
        181 | 193 | 118 | 258 | 261 | 378 | 101 | 295 | 266 | 267 | 370 | 376 => {
            HandshakeFailure::Negotiation
        }
        // PEER_DID_NOT_RETURN_A_CERTIFICATE, CERTIFICATE_VERIFY_FAILED, UNKNOWN_CERTIFICATE_TYPE,
        // UNABLE_TO_FIND_PUBLIC_KEY_PARAMETERS, CERT_LENGTH_MISMATCH, WRONG_CERTIFICATE_TYPE, EE_KEY_TOO_SMALL
        199 | 134 | 247 | 239 | 135 | 383 | 399 => HandshakeFailure::Certificate,
        // BAD_SIGNATURE, DECRYPTION_FAILED, DECRYPTION_FAILED_OR_BAD_RECORD_MAC, DIGEST_CHECK_FAILED, BAD_ECPOINT
        123 | 147 | 281 | 149 | 306 => HandshakeFailure::Crypto,
        _ => HandshakeFailure::UnexpectedMessage,
    })
}

/// The network as OpenSSL sees it.
#[derive(Debug, Default)]
struct Wire {
    /// One datagram, or nothing.
    incoming: Vec<u8>,
    /// Datagrams, one behind the other, and where each ends.
    outgoing: Vec<u8>,
    ends: VecDeque<usize>,
    /// Where the first one that was not taken begins.
    taken: usize,
}

impl Wire {
    fn put(&mut self, datagram: &[u8]) {
        self.incoming.clear();
        self.incoming.extend_from_slice(datagram);
    }

    fn send(&mut self, datagrams: &[Vec<u8>]) {
        for datagram in datagrams {
            self.push(datagram);
        }
    }

    fn push(&mut self, datagram: &[u8]) {
        self.outgoing.extend_from_slice(datagram);
        self.ends.push_back(self.outgoing.len());
    }

    fn next_length(&self) -> Option<usize> {
        self.ends.front().map(|end| end.saturating_sub(self.taken))
    }

    /// Moves the next datagram to a place of its length.
    fn take(&mut self, place: &mut [u8]) {
        let Some(end) = self.ends.pop_front() else { return };
        place.copy_from_slice(self.outgoing.get(self.taken..end).unwrap_or_default());
        self.taken = end;
        if self.ends.is_empty() {
            self.outgoing.clear();
            self.taken = 0;
        }
    }

    fn take_all(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(length) = self.next_length() {
            let mut datagram = vec![0; length];
            self.take(&mut datagram);
            all.push(datagram);
        }
        // With its copies, a flight is larger than anything to come.
        self.outgoing = Vec::new();
        all
    }
}

impl Read for Wire {
    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        // The rest of a datagram that is too long is lost, as with a socket.
        let length = self.incoming.len().min(place.len());
        if let (Some(to), Some(from)) = (place.get_mut(..length), self.incoming.get(..length)) {
            to.copy_from_slice(from);
        }
        self.incoming.clear();
        Ok(length)
    }
}

impl Write for Wire {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.push(datagram);
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
