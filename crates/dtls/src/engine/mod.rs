//! The engines: implementations of the protocol behind one small set of calls. An engine sees only what the record
//! filter lets through.

mod dimpl;

use std::time::{Duration, Instant};

use crate::certificate::Certificate;
use crate::config::{self, SrtpProfile, Version};
use crate::peer::{HandshakeFailure, SessionError};

/// Which hello an engine begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// As a client that offers the versions of the range.
    Client { min: Version, max: Version },
    /// As the server of a ClientHello that leads to this version.
    Server(Version),
    /// As a server that finds the version by itself: for tests without the filter.
    #[cfg(test)]
    ServerAuto,
}

/// What an engine has to say; lengths count octets written to the buffer of the call.
#[derive(Debug)]
pub(crate) enum Output {
    /// A datagram to send.
    Packet(usize),
    /// The certificate of the other side, not verified.
    Certificate(usize),
    /// The handshake is done.
    Connected,
    /// Exported keying material for SRTP.
    Keys(SrtpProfile, Vec<u8>),
    /// Application data.
    Plaintext(usize),
    /// The other side has closed.
    CloseNotify,
    /// The buffer is too short; this much is needed.
    TooSmall(usize),
    /// Nothing more until new input, or until this time.
    Idle(Option<Instant>),
}

/// Why an engine gave up. It is of no use afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Retransmissions went unanswered.
    Timeout,
    /// Everything else.
    Protocol(HandshakeFailure),
}

/// One association in the hands of an implementation.
#[derive(Debug)]
pub(crate) enum Engine {
    /// The crate `dimpl`.
    Dimpl(Box<dimpl::DimplEngine>),
}

impl Engine {
    /// Checks, before anything depends on it, that the engine can work at all.
    pub(crate) fn check(engine: config::Engine) -> Result<(), SessionError> {
        match engine {
            config::Engine::Dimpl => dimpl::check(),
        }
    }

    pub(crate) fn new(
        engine: config::Engine,
        start: Start,
        certificate: &Certificate,
        first_timeout: Duration,
        now: Instant,
    ) -> Result<Self, Failure> {
        match engine {
            config::Engine::Dimpl => {
                let engine = dimpl::DimplEngine::new(start, certificate, first_timeout, now)?;
                Ok(Engine::Dimpl(Box::new(engine)))
            }
        }
    }

    /// Gives it a datagram that came in at `now`.
    pub(crate) fn handle_packet(&mut self, now: Instant, packet: &[u8]) -> Result<(), Failure> {
        match self {
            Engine::Dimpl(engine) => engine.handle_packet(now, packet),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        match self {
            Engine::Dimpl(engine) => engine.handle_timeout(now),
        }
    }

    /// Hands over application data, to be protected into one record that the next polls give out.
    pub(crate) fn send(&mut self, now: Instant, plaintext: &[u8]) -> Result<(), Failure> {
        match self {
            Engine::Dimpl(engine) => engine.send(now, plaintext),
        }
    }

    /// Begins to close; a connected engine gives out a close_notify.
    pub(crate) fn close(&mut self) -> Result<(), Failure> {
        match self {
            Engine::Dimpl(engine) => engine.close(),
        }
    }

    /// The next thing it has to say, to be called until [`Output::Idle`].
    pub(crate) fn poll(&mut self, buffer: &mut [u8]) -> Output {
        match self {
            Engine::Dimpl(engine) => engine.poll(buffer),
        }
    }

    /// The negotiated version, once the hellos have settled it.
    pub(crate) fn version(&self) -> Option<Version> {
        match self {
            Engine::Dimpl(engine) => engine.version(),
        }
    }
}
