//! taut-sctp.

use std::time::Instant;

use bytes::Bytes;
use taut_sansio::rng::Rng;
use taut_sctp::{Association, Config, CongestionAlgorithm, State, StreamId, WriteOptions};

use super::{Contender, End, MTU};
use crate::groups::sctp::Work;

/// As it is by default.
pub(crate) struct Taut;

/// With the congestion control of RFC 9260.
pub(crate) struct NewReno;

fn pair(work: &Work, algorithm: CongestionAlgorithm) -> (Association, Association) {
    let mut config = Config::default().with_mtu(MTU).with_congestion(algorithm);
    if let Some(window) = work.window {
        config = config.with_receive_window(window);
    }
    (Association::new(config.clone(), Rng::from_u64(1)), Association::new(config, Rng::from_u64(2)))
}

impl Contender for Taut {
    const NAME: &'static str = "taut";
    type End = Association;

    fn pair(work: &Work) -> (Association, Association) {
        pair(work, CongestionAlgorithm::default())
    }
}

impl Contender for NewReno {
    const NAME: &'static str = "taut, NewReno";
    type End = Association;

    fn pair(work: &Work) -> (Association, Association) {
        pair(work, CongestionAlgorithm::NewReno)
    }
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
}
