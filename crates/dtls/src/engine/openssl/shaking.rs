//! The handshake, in the hands of OpenSSL.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ::openssl::error::ErrorStack;
use ::openssl::ssl::{Error, ErrorCode, Ssl, SslContext, SslRef, SslStream};
use taut_sansio::codec::Reader;

use super::connected::{Connected, unusable};
use super::flight::{Flight, records};
use super::protection::{Protection, Secrets};
use super::wire::Wire;
use super::{PROFILES, Said, context, timer};
use crate::engine::{Failure, Output};
use crate::peer::HandshakeFailure;
use crate::record::{Fragment, Header, PLAIN_HEADER, Record, content, handshake};

/// The largest datagram of a handshake flight: what every path of WebRTC carries, IPv6 and a relay included.
const MTU: u32 = 1200;
/// RFC 5764 section 4.2.
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";
/// Reasons of OpenSSL from here on are alerts that came in, 256 of them (`SSL_AD_REASON_OFFSET`).
const ALERT_REASON: i32 = 1000;

/// A handshake under way.
pub(super) struct Shaking {
    stream: SslStream<Wire>,
    is_client: bool,
    key_log: bool,
    /// The number of the next unprotected record that comes in.
    number: u64,
    flight: Flight,
    /// The last protected record of this side.
    sealed: Vec<u8>,
}

impl Shaking {
    pub(super) fn new(
        context: &SslContext,
        is_client: bool,
        key_log: bool,
        first_timeout: Duration,
    ) -> Result<Self, ErrorStack> {
        let mut ssl = Ssl::new(context)?;
        ssl.set_mtu(MTU)?;
        if is_client {
            ssl.set_connect_state();
        } else {
            ssl.set_accept_state();
        }
        let mut stream = SslStream::new(ssl, Wire::default())?;
        timer::never(&mut stream);
        Ok(Self {
            stream,
            is_client,
            key_log,
            number: 0,
            flight: Flight::new(first_timeout),
            sealed: Vec::new(),
        })
    }

    /// Gives a datagram to OpenSSL; what it leads to is said. The association, once the handshake is done.
    pub(super) fn handle_packet(
        &mut self,
        now: Instant,
        packet: &[u8],
        said: &mut VecDeque<Said>,
    ) -> Result<Option<Connected>, Failure> {
        match self.put(packet) {
            // From here on a flight of this side ends with a protected record.
            Some(handshake::SERVER_HELLO) => timer::at_once(&mut self.stream),
            // It had no answer (RFC 6347 section 4.2.4).
            Some(handshake::CLIENT_HELLO) => said.extend(self.flight.again().into_iter().map(Said::Packet)),
            _ => {}
        }
        if !self.shake(now, said)? {
            return Ok(None);
        }
        // Nothing but the Finished of the other side, which OpenSSL has checked, completes it.
        let finished = records(packet).filter(Record::is_protected).last();
        self.finish(finished.map_or(&[], |record| record.bytes), said).map(Some)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, said: &mut VecDeque<Said>) {
        said.extend(self.flight.handle_timeout(now).into_iter().map(Said::Packet));
    }

    /// When the flight is to go out again.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.flight.timeout()
    }

    /// Puts a datagram where OpenSSL will read it, with new numbers. The kind of hello in it is given back.
    fn put(&mut self, packet: &[u8]) -> Option<u8> {
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
        self.stream.get_mut().put(datagram);
        hello
    }

    /// Lets OpenSSL go on; true when it is through.
    pub(super) fn shake(&mut self, now: Instant, said: &mut VecDeque<Said>) -> Result<bool, Failure> {
        forget_errors();
        let result = self.stream.do_handshake();
        let wrote = self.stream.get_mut().take();
        for record in wrote.iter().flat_map(|datagram| records(datagram)).filter(Record::is_protected) {
            self.sealed = record.bytes.to_vec();
        }
        match result {
            Err(error) if error.code() == ErrorCode::WANT_READ => {
                said.extend(self.flight.begin(now, wrote).iter().cloned().map(Said::Packet));
                Ok(false)
            }
            Err(error) => Err(failure(&error)),
            Ok(()) => {
                said.extend(wrote.into_iter().map(Said::Packet));
                Ok(true)
            }
        }
    }

    /// Says what was agreed on. From here on OpenSSL is not needed.
    fn finish(&self, received: &[u8], said: &mut VecDeque<Said>) -> Result<Connected, Failure> {
        let crypto = Failure::Protocol(HandshakeFailure::Crypto);
        let ssl = self.stream.ssl();
        let certificate = ssl.peer_certificate().and_then(|certificate| certificate.to_der().ok());
        said.extend(certificate.map(Said::Certificate));
        let agreed = ssl.selected_srtp_profile().map(|profile| profile.name());
        if let Some(profile) =
            PROFILES.into_iter().find(|profile| Some(context::srtp_name(*profile)) == agreed)
        {
            let mut material = vec![0; 2 * (profile.key_len() + profile.salt_len())];
            ssl.export_keying_material(&mut material, EXPORTER, None).map_err(|_| crypto)?;
            said.push_back(Said::Other(Output::Keys(profile, material)));
        }
        let secrets = secrets(ssl, self.is_client).ok_or(crypto)?;
        if self.key_log {
            said.push_back(Said::Other(Output::KeyLog(key_log_line(&secrets))));
        }
        let protection = Protection::new(&secrets, &self.sealed, received).map_err(unusable)?;
        let finished = match self.is_client {
            true => Vec::new(),
            false => protection.reopen(&self.sealed).ok_or(crypto)?,
        };
        said.push_back(Said::Other(Output::Connected));
        Ok(Connected::new(protection, finished))
    }
}

impl std::fmt::Debug for Shaking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shaking")
            .field("state", &self.stream.ssl().state_string_long())
            .field("flight", &self.flight)
            .finish_non_exhaustive()
    }
}

fn secrets(ssl: &SslRef, is_client: bool) -> Option<Secrets> {
    let cipher_suite = u16::from_be_bytes(ssl.current_cipher()?.protocol_id());
    let (mut master, mut client_random, mut server_random) = ([0; 48], [0; 32], [0; 32]);
    let lengths = [
        ssl.session()?.master_key(&mut master),
        ssl.client_random(&mut client_random),
        ssl.server_random(&mut server_random),
    ];
    (lengths == [48, 32, 32]).then_some(Secrets {
        cipher_suite,
        is_client,
        master,
        client_random,
        server_random,
    })
}

/// The line of the key log for DTLS 1.2: what names the session, its `client_random`, and its master secret.
fn key_log_line(secrets: &Secrets) -> String {
    let (random, master) = (hexadecimal(&secrets.client_random), hexadecimal(&secrets.master));
    format!("CLIENT_RANDOM {random} {master}")
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn kind_of_hello(content_type: u8, record: &Record<'_>) -> Option<u8> {
    let fragment = Fragment::parse(&mut Reader::new(record.fragment)).ok()?;
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
