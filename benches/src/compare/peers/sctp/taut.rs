//! taut-sctp.

use std::time::Instant;

use bytes::Bytes;
use taut_sansio::rng::Rng;
use taut_sctp::{Association, Config, CongestionAlgorithm, State, StreamId, WriteOptions};

use super::{Contender, End, MTU};
use crate::groups::sctp::Work;

/// Ways to set it up.
macro_rules! contenders {
    ($($(#[$meta:meta])* $contender:ident $name:literal $set:expr),* $(,)?) => {$(
        $(#[$meta])*
        pub(crate) struct $contender;

        impl Contender for $contender {
            const NAME: &'static str = $name;
            type End = Association;

            fn pair(work: &Work) -> (Association, Association) {
                pair(work, $set)
            }
        }
    )*};
}

contenders! {
    /// As it is by default: BBR, which random loss does not slow down.
    Taut "taut" |config| config,
    /// With the congestion control of RFC 9260.
    NewReno "taut, NewReno" |config| config.with_congestion(CongestionAlgorithm::NewReno),
    /// With that of RFC 9438.
    Cubic "taut, CUBIC" |config| config.with_congestion(CongestionAlgorithm::Cubic),
    /// Without checksums, as DTLS makes them superfluous.
    ZeroChecksum "taut, zero checksum" |config| config.with_zero_checksum(true),
}

fn pair(work: &Work, set: fn(Config) -> Config) -> (Association, Association) {
    let mut config = set(Config::default().with_mtu(MTU));
    if let Some(window) = work.window {
        config = config.with_receive_window(window);
    }
    (Association::new(config.clone(), Rng::from_u64(1)), Association::new(config, Rng::from_u64(2)))
}

impl End for Association {
    fn connect(&mut self, now: Instant) {
        Association::connect(self, now);
    }

    fn established(&self) -> bool {
        self.state() == State::Established
    }

    fn handle_packet(&mut self, now: Instant, packet: Bytes) {
        Association::handle_packet(self, now, packet);
        while self.poll_event().is_some() {}
    }

    fn handle_timeout(&mut self, now: Instant) {
        Association::handle_timeout(self, now);
    }

    fn transmit(&mut self, now: Instant) -> Option<Bytes> {
        let mut out = Vec::with_capacity(MTU);
        self.poll_transmit(now, MTU, &mut out).map(|_| Bytes::from(out))
    }

    fn timeout(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn write(&mut self, now: Instant, message: &Bytes) -> Result<bool, String> {
        let written = Association::write(self, now, StreamId(0), message.clone(), &WriteOptions::default());
        written.map(|()| true).map_err(|error| error.to_string())
    }

    fn buffered(&mut self) -> usize {
        self.buffered_amount(StreamId(0))
    }

    fn read(&mut self, now: Instant) -> Option<(usize, bool)> {
        self.poll_read(now).map(|chunk| (chunk.bytes.len(), chunk.end))
    }
    fn timeouts(&self) -> Option<u64> {
        Some(self.stats().timeouts)
    }
}
