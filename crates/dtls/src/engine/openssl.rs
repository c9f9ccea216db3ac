//! The engine OpenSSL: DTLS 1.2, with certificates of every kind.
//!
//! OpenSSL shakes hands ([`shaking`]): it reads and writes datagrams that lie in memory, and is driven in the time of the
//! session, not by the clock of the system (see `timer` and `flight`). Unprotected records are numbered anew on their
//! way in, because the filter writes them anew and OpenSSL drops a number that it has seen. It draws its randomness from
//! the system. Tickets, the session cache, renegotiation and compression are off; extended master secrets are on.
//!
//! What comes after the handshake is done here ([`connected`], [`protection`]), with the keys that were agreed on: OpenSSL
//! would take twice the time of the cipher for a record, and 67 KiB for each end.

mod connected;
mod context;
mod flight;
mod protection;
mod shaking;
mod timer;
mod wire;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use ::openssl::error::ErrorStack;
use ::openssl::ssl::SslContext;

use self::connected::Connected;
pub(crate) use self::context::Contexts;
use self::shaking::Shaking;
use super::{Failure, Output, Start};
use crate::certificate::Certificate;
use crate::config::{Config, SrtpProfile, Version};
use crate::peer::{HandshakeFailure, SessionError};

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

/// One association.
#[derive(Debug)]
pub(crate) struct OpenSslEngine {
    stage: Stage,
    said: VecDeque<Said>,
}

#[derive(Debug)]
enum Stage {
    /// OpenSSL is at work.
    Handshake(Shaking),
    /// It is gone.
    Connected(Connected),
}

/// What is to be polled.
#[derive(Debug)]
enum Said {
    Packet(Vec<u8>),
    Certificate(Vec<u8>),
    /// What comes without octets.
    Other(Output),
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
        let is_client = matches!(start, Start::Client { .. });
        let mut shaking = Shaking::new(&context, is_client, config.key_log, first_timeout).map_err(unable)?;
        let mut said = VecDeque::new();
        if is_client {
            shaking.shake(now, &mut said)?;
        }
        Ok(Self { stage: Stage::Handshake(shaking), said })
    }

    /// Takes in a datagram of the handshake. Later records come one by one, see [`open`](Self::open).
    pub(super) fn handle_packet(&mut self, now: Instant, packet: &[u8]) -> Result<(), Failure> {
        if let Stage::Handshake(shaking) = &mut self.stage
            && let Some(connected) = shaking.handle_packet(now, packet, &mut self.said)?
        {
            self.stage = Stage::Connected(connected);
        }
        Ok(())
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        if let Stage::Handshake(shaking) = &mut self.stage {
            shaking.handle_timeout(now, &mut self.said);
        }
        Ok(())
    }

    #[inline]
    pub(super) fn open(&mut self, _now: Instant, record: &mut [u8]) -> Result<Option<Range<usize>>, Failure> {
        match &mut self.stage {
            Stage::Handshake(_) => Ok(None),
            Stage::Connected(connected) => connected.open(record, &mut self.said),
        }
    }

    #[inline]
    pub(super) fn headroom(&self) -> usize {
        match &self.stage {
            Stage::Handshake(_) => 0,
            Stage::Connected(connected) => connected.headroom(),
        }
    }

    #[inline]
    pub(super) fn seal(&mut self, _now: Instant, out: &mut Vec<u8>, start: usize) -> Result<(), Failure> {
        match &mut self.stage {
            Stage::Handshake(_) => Err(Failure::Protocol(HandshakeFailure::UnexpectedMessage)),
            Stage::Connected(connected) => connected.seal(out, start),
        }
    }

    pub(super) fn close(&mut self) -> Result<(), Failure> {
        match &mut self.stage {
            Stage::Handshake(_) => Ok(()),
            Stage::Connected(connected) => connected.close(&mut self.said),
        }
    }

    pub(super) fn poll(&mut self, buffer: &mut [u8]) -> Output {
        let idle = || match &self.stage {
            Stage::Handshake(shaking) => Output::Idle(shaking.timeout()),
            Stage::Connected(_) => Output::Idle(None),
        };
        let Some(Said::Packet(octets) | Said::Certificate(octets)) = self.said.front() else {
            return match self.said.pop_front() {
                Some(Said::Other(output)) => output,
                _ => idle(),
            };
        };
        let length = octets.len();
        let Some(place) = buffer.get_mut(..length) else { return Output::TooSmall(length) };
        place.copy_from_slice(octets);
        match self.said.pop_front() {
            Some(Said::Certificate(_)) => Output::Certificate(length),
            _ => Output::Packet(length),
        }
    }

    /// OpenSSL negotiates one version.
    pub(super) fn version(&self) -> Option<Version> {
        Some(Version::Dtls12)
    }
}
