//! The engine `dimpl`: DTLS 1.2 and 1.3 without I/O, in virtual time.
//!
//! Its own calls take no clock, so `handle_timeout` runs before each of them. Cookies are off, because ICE has
//! validated the address. It draws its randomness from the system, takes ECDSA certificates only, and offers its SRTP
//! profiles in an order of its own. It sends no alert but close_notify.

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ::dimpl::{Config, Dtls, DtlsCertificate, Error, NamedGroup, Output as Said, ProtocolVersion};

use super::{Failure, Output, Start};
use crate::certificate::Certificate;
use crate::config::{self, SrtpProfile, Version};
use crate::peer::{HandshakeFailure, SessionError};

/// The largest datagram of a handshake flight: what every path of WebRTC carries, IPv6 and a relay included.
const MTU: usize = 1200;
/// Datagrams that may wait for the ones before them. The filter's budget for handshake octets is hit before this.
const MAX_QUEUE_RX: usize = 1024;
/// Datagrams of one flight, or of one call; a flight has two or three.
const MAX_QUEUE_TX: usize = 64;
/// Retransmissions of a flight. Never the limit: the time-out of the handshake is.
const RETRIES: usize = 1 << 20;
/// Room that a record needs beyond its plaintext, in every version.
const MAX_OVERHEAD: usize = 64;
/// What dimpl says when it waits for nothing lies ten years ahead; anything above one year means never.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The session keeps the time of the whole handshake; this only stops an engine that nobody stops.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The first timeouts that an engine can have, in milliseconds. A configuration of dimpl runs self-tests of its
/// cryptography when it is made, which costs more than a handshake, so there is one for each of these.
const FIRST_TIMEOUTS: [u64; 14] = [50, 75, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400, 3200, 5000];

static CONFIGS: [OnceLock<Option<Arc<Config>>>; FIRST_TIMEOUTS.len()] =
    [const { OnceLock::new() }; FIRST_TIMEOUTS.len()];

/// The shared configuration with the smallest first timeout that is not below the one asked for.
fn shared_config(first_timeout: Duration) -> Option<Arc<Config>> {
    let places = FIRST_TIMEOUTS.iter().zip(&CONFIGS);
    let fits = |&(millis, _): &(&u64, _)| Duration::from_millis(*millis) >= first_timeout;
    let (millis, place) = places.clone().find(fits).or(places.last())?;
    place
        .get_or_init(|| {
            let built = Config::builder()
                .mtu(MTU)
                .max_queue_rx(MAX_QUEUE_RX)
                .max_queue_tx(MAX_QUEUE_TX)
                .require_client_certificate(true)
                .use_server_cookie(false)
                .flight_start_rto(Duration::from_millis(*millis))
                .flight_retries(RETRIES)
                .handshake_timeout(HANDSHAKE_TIMEOUT)
                .kx_groups(&[NamedGroup::X25519, NamedGroup::Secp256r1])
                .build();
            built.ok().map(Arc::new)
        })
        .clone()
}

/// The SRTP profiles that it offers and accepts, and its order.
const PROFILES: [SrtpProfile; 3] =
    [SrtpProfile::AeadAes256Gcm, SrtpProfile::AeadAes128Gcm, SrtpProfile::Aes128CmSha1_80];

/// Checks what is asked for against what dimpl can do, and that it accepts its own cryptography here.
pub(super) fn check(asked: &config::Config, certificate: &Certificate) -> Result<(), SessionError> {
    if certificate.is_rsa() {
        return Err(SessionError::Certificate);
    }
    if asked.srtp_profiles.as_ref().is_some_and(|profiles| profiles[..] != PROFILES) {
        return Err(SessionError::SrtpProfiles);
    }
    if asked.key_log {
        return Err(SessionError::KeyLog);
    }
    shared_config(Duration::ZERO).map(|_| ()).ok_or(SessionError::Crypto)
}

/// One association of dimpl.
#[derive(Debug)]
pub(crate) struct DimplEngine {
    dtls: Dtls,
    now: Instant,
}

impl DimplEngine {
    pub(super) fn new(
        start: Start,
        certificate: &Certificate,
        first_timeout: Duration,
        now: Instant,
    ) -> Result<Self, Failure> {
        let config = shared_config(first_timeout).ok_or(Failure::Protocol(HandshakeFailure::Crypto))?;
        let certificate = DtlsCertificate {
            certificate: certificate.der().to_vec(),
            private_key: certificate.pkcs8().to_vec(),
        };
        let mut dtls = match start {
            Start::Client { min: Version::Dtls13, .. } | Start::Server(Version::Dtls13) => {
                Dtls::new_13(config, certificate, now)
            }
            Start::Client { max: Version::Dtls12, .. } | Start::Server(Version::Dtls12) => {
                Dtls::new_12(config, certificate, now)
            }
            Start::Client { .. } => Dtls::new_auto(config, certificate, now),
            #[cfg(test)]
            Start::ServerAuto => Dtls::new_auto(config, certificate, now),
        };
        if matches!(start, Start::Client { .. }) {
            dtls.set_active(true);
        }
        let mut engine = Self { dtls, now };
        engine.handle_timeout(now)?;
        Ok(engine)
    }

    pub(super) fn handle_packet(&mut self, now: Instant, packet: &[u8]) -> Result<(), Failure> {
        self.handle_timeout(now)?;
        self.dtls.handle_packet(packet).map_err(failure)
    }

    /// What comes of a record is to be polled.
    pub(super) fn open(&mut self, now: Instant, record: &[u8]) -> Result<Option<Range<usize>>, Failure> {
        self.handle_packet(now, record).map(|()| None)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        self.now = now;
        self.dtls.handle_timeout(now).map_err(failure)
    }

    /// It makes its records in its own memory.
    pub(super) fn headroom(&self) -> usize {
        0
    }

    pub(super) fn seal(&mut self, now: Instant, out: &mut Vec<u8>, start: usize) -> Result<(), Failure> {
        self.now = now;
        let plaintext = out.get(start..).unwrap_or_default();
        self.dtls.send_application_data(plaintext).map_err(failure)?;
        let most = plaintext.len().saturating_add(MAX_OVERHEAD);
        out.resize(start.saturating_add(most), 0);
        match self.dtls.poll_output(out.get_mut(start..).unwrap_or_default()) {
            Said::Packet(packet) => {
                let length = packet.len();
                out.truncate(start.saturating_add(length));
                Ok(())
            }
            _ => Err(Failure::Protocol(HandshakeFailure::Crypto)),
        }
    }

    pub(super) fn close(&mut self) -> Result<(), Failure> {
        self.dtls.close().map_err(failure)
    }

    pub(super) fn poll(&mut self, buffer: &mut [u8]) -> Output {
        match self.dtls.poll_output(buffer) {
            Said::Packet(packet) => Output::Packet(packet.len()),
            Said::BufferTooSmall { needed } => Output::TooSmall(needed),
            Said::Timeout(at) => Output::Idle((at < self.now + NEVER).then_some(at)),
            Said::Connected => Output::Connected,
            Said::PeerCert(der) => Output::Certificate(der.len()),
            Said::KeyingMaterial(material, profile) => Output::Keys(srtp_profile(profile), material.to_vec()),
            Said::ApplicationData(plaintext) => Output::Plaintext(plaintext.len()),
            Said::CloseNotify => Output::CloseNotify,
            // The enum may grow; what this file does not know it cannot act on, and the loop must end.
            _ => Output::Idle(None),
        }
    }

    pub(super) fn version(&self) -> Option<Version> {
        match self.dtls.protocol_version()? {
            ProtocolVersion::DTLS1_2 => Some(Version::Dtls12),
            ProtocolVersion::DTLS1_3 => Some(Version::Dtls13),
            _ => None,
        }
    }
}

fn srtp_profile(profile: ::dimpl::SrtpProfile) -> SrtpProfile {
    match profile {
        ::dimpl::SrtpProfile::AEAD_AES_128_GCM => SrtpProfile::AeadAes128Gcm,
        ::dimpl::SrtpProfile::AEAD_AES_256_GCM => SrtpProfile::AeadAes256Gcm,
        _ => SrtpProfile::Aes128CmSha1_80,
    }
}

fn failure(error: Error) -> Failure {
    tracing::trace!(%error, "the engine gave up");
    Failure::Protocol(match error {
        Error::Timeout(_) => return Failure::Timeout,
        Error::SecurityError(::dimpl::SecurityError::FatalAlert { description }) => {
            HandshakeFailure::Alert(description)
        }
        Error::SecurityError(_) => HandshakeFailure::Negotiation,
        Error::CertificateError(_) => HandshakeFailure::Certificate,
        Error::CryptoError(_) => HandshakeFailure::Crypto,
        Error::ReceiveQueueFull
        | Error::TransmitQueueFull
        | Error::TransmitHistoryFull
        | Error::TooManyClientHelloFragments => HandshakeFailure::Resources,
        _ => HandshakeFailure::UnexpectedMessage,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_timeout_is_the_next_one_of_the_table() {
        let of =
            |millis| shared_config(Duration::from_millis(millis)).unwrap().flight_start_rto().as_millis();
        assert_eq!([of(0), of(50), of(51), of(150), of(5000), of(60_000)], [50, 50, 75, 150, 5000, 5000]);
    }

    #[test]
    fn configurations_are_shared() {
        assert!(Arc::ptr_eq(
            &shared_config(Duration::ZERO).unwrap(),
            &shared_config(Duration::from_millis(50)).unwrap()
        ));
    }
}
