//! The engines: implementations of the protocol behind one small set of calls. An engine sees only what the record
//! filter lets through.

#[cfg(feature = "dimpl")]
mod dimpl;
#[cfg(feature = "openssl")]
mod openssl;

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::certificate::Certificate;
use crate::config::{self, Config, SrtpProfile, Version};
use crate::hello;
use crate::peer::{HandshakeFailure, SessionError};

#[cfg(feature = "openssl")]
pub(crate) use self::openssl::Contexts;

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
    /// The secret of the session, for the key log.
    #[cfg_attr(not(feature = "openssl"), allow(dead_code, reason = "dimpl gives out no secrets"))]
    KeyLog(String),
    /// Application data.
    #[cfg_attr(not(feature = "dimpl"), allow(dead_code, reason = "OpenSSL leaves the records to this crate"))]
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
    #[cfg_attr(not(feature = "dimpl"), allow(dead_code, reason = "OpenSSL leaves the time to the session"))]
    Timeout,
    /// Everything else.
    Protocol(HandshakeFailure),
}

/// One association in the hands of an implementation.
#[derive(Debug)]
pub(crate) enum Engine {
    /// The crate `dimpl`.
    #[cfg(feature = "dimpl")]
    Dimpl(Box<dimpl::DimplEngine>),
    /// OpenSSL.
    #[cfg(feature = "openssl")]
    OpenSsl(Box<openssl::OpenSslEngine>),
    /// Without an engine no session can be made.
    #[cfg(not(any(feature = "dimpl", feature = "openssl")))]
    None(std::convert::Infallible),
}

/// Makes the same call on whichever engine it is.
macro_rules! each {
    ($engine:expr, $inner:ident => $call:expr) => {
        match $engine {
            #[cfg(feature = "dimpl")]
            Engine::Dimpl($inner) => $call,
            #[cfg(feature = "openssl")]
            Engine::OpenSsl($inner) => $call,
            #[cfg(not(any(feature = "dimpl", feature = "openssl")))]
            Engine::None(never) => match *never {},
        }
    };
}

impl Engine {
    /// Checks, before anything depends on it, that the engine can do what the configuration asks for.
    pub(crate) fn check(config: &Config, certificate: &Certificate) -> Result<(), SessionError> {
        match config.engine {
            #[cfg(feature = "dimpl")]
            config::Engine::Dimpl => dimpl::check(config, certificate),
            #[cfg(feature = "openssl")]
            config::Engine::OpenSsl => openssl::check(config, certificate),
            #[allow(unreachable_patterns, reason = "both engines are built")]
            _ => Err(SessionError::EngineNotBuilt),
        }
    }

    pub(crate) fn new(
        config: &Config,
        start: Start,
        certificate: &Certificate,
        first_timeout: Duration,
        now: Instant,
    ) -> Result<Self, Failure> {
        match config.engine {
            #[cfg(feature = "dimpl")]
            config::Engine::Dimpl => {
                let engine = dimpl::DimplEngine::new(start, certificate, first_timeout, now)?;
                Ok(Engine::Dimpl(Box::new(engine)))
            }
            #[cfg(feature = "openssl")]
            config::Engine::OpenSsl => {
                let engine = openssl::OpenSslEngine::new(config, start, certificate, first_timeout, now)?;
                Ok(Engine::OpenSsl(Box::new(engine)))
            }
            // `check` has refused it.
            #[allow(unreachable_patterns, reason = "both engines are built")]
            _ => Err(Failure::Protocol(HandshakeFailure::Crypto)),
        }
    }

    /// Gives it a datagram of the handshake that came in at `now`.
    pub(crate) fn handle_packet(&mut self, now: Instant, packet: &[u8]) -> Result<(), Failure> {
        each!(self, engine => engine.handle_packet(now, packet))
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        each!(self, engine => engine.handle_timeout(now))
    }

    /// Gives it a record that came in at `now`, after the handshake, and says where in it its application data lies now.
    /// `None` if it brought none, or it is to be polled.
    pub(crate) fn open(&mut self, now: Instant, record: &mut [u8]) -> Result<Option<Range<usize>>, Failure> {
        each!(self, engine => engine.open(now, record))
    }

    /// The octets in front of the plaintext of a record that is sealed.
    pub(crate) fn headroom(&self) -> usize {
        each!(self, engine => engine.headroom())
    }

    /// Makes one record of application data of what lies in `out` from `start` on: the [`headroom`](Self::headroom) and the
    /// plaintext. What is there after a failure is to be cut off.
    pub(crate) fn seal(&mut self, now: Instant, out: &mut Vec<u8>, start: usize) -> Result<(), Failure> {
        each!(self, engine => engine.seal(now, out, start))
    }

    /// Begins to close; a connected engine gives out a close_notify.
    pub(crate) fn close(&mut self) -> Result<(), Failure> {
        each!(self, engine => engine.close())
    }

    /// The next thing it has to say, to be called until [`Output::Idle`].
    pub(crate) fn poll(&mut self, buffer: &mut [u8]) -> Output {
        each!(self, engine => engine.poll(buffer))
    }

    /// The negotiated version, once the hellos have settled it.
    pub(crate) fn version(&self) -> Option<Version> {
        each!(self, engine => engine.version())
    }
}

/// True for a cipher suite that an engine offers.
pub(crate) fn offers(engine: config::Engine, suite: u16) -> bool {
    hello::cipher_suite_name(suite) != "unknown"
        && match engine {
            config::Engine::Dimpl => !hello::is_rsa(suite),
            config::Engine::OpenSsl => suite >> 8 != 0x13,
        }
}
