//! Forwarding: the sequence numbers and timestamps of packets from elsewhere, continued as if they were ours. Gaps
//! stay gaps, so that the receiver can ask for what is missing; another source is joined without one.

use std::time::{Duration, Instant};

use taut_rtp::Packet;

use crate::receive::{Arrival, Sequence};

/// Where our own numbering is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    /// The extended sequence number that comes next.
    pub(crate) next: u64,
    /// When the last packet went, and its timestamp.
    pub(crate) last: Option<(Instant, u32)>,
    /// The timestamp of a first packet.
    pub(crate) first_timestamp: u32,
    pub(crate) clock_rate: u32,
}

/// The source that is being forwarded.
#[derive(Debug)]
pub(crate) struct Source {
    ssrc: u32,
    sequence: Sequence,
    /// Our extended number of its first packet, and its own.
    ours: u64,
    theirs: u64,
    timestamp_offset: u32,
}

impl Source {
    /// Joins a source: its first packet continues our numbering.
    pub(crate) fn join(now: Instant, packet: &Packet, position: Position) -> (Self, u64, u32) {
        let mut sequence = Sequence::new();
        let theirs = sequence.index_of(packet.sequence);
        sequence.accept(packet.sequence);
        let timestamp = match position.last {
            None => position.first_timestamp,
            Some((at, timestamp)) => {
                let elapsed = units(now.saturating_duration_since(at), position.clock_rate).max(1);
                timestamp.wrapping_add(elapsed)
            }
        };
        let source = Self {
            ssrc: packet.ssrc.get(),
            sequence,
            ours: position.next,
            theirs,
            timestamp_offset: timestamp.wrapping_sub(packet.timestamp),
        };
        (source, position.next, timestamp)
    }

    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Our extended number and timestamp of a further packet.
    pub(crate) fn map(&mut self, packet: &Packet) -> Mapped {
        match self.sequence.accept(packet.sequence) {
            Arrival::New { index, .. } => match index.checked_sub(self.theirs) {
                Some(ahead) => {
                    Mapped::At(self.ours + ahead, packet.timestamp.wrapping_add(self.timestamp_offset))
                }
                None => Mapped::Late,
            },
            Arrival::Duplicate | Arrival::Stray => Mapped::Late,
            Arrival::Restart { .. } => Mapped::Restart,
        }
    }
}

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mapped {
    /// With this number and timestamp.
    At(u64, u32),
    /// Nowhere: its number is taken, by itself or by what went before the source was joined.
    Late,
    /// The source started anew and is to be joined again.
    Restart,
}

fn units(time: Duration, rate: u32) -> u32 {
    let units = time.as_nanos() * u128::from(rate) / 1_000_000_000;
    (units & 0xffff_ffff) as u32
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use taut_rtp::{SequenceNumber, Ssrc};

    use super::*;

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Packet {
        let (sequence, ssrc) = (SequenceNumber::new(sequence), Ssrc::new(ssrc));
        Packet { ssrc, sequence, timestamp, ..Packet::default() }
    }

    #[test]
    fn gaps_are_kept_and_duplicates_are_not() {
        let now = Instant::now();
        let position = Position { next: 70_000, last: None, first_timestamp: 1_000, clock_rate: 90_000 };
        let (mut source, index, timestamp) = Source::join(now, &packet(1, 65_535, u32::MAX), position);
        assert_eq!((index, timestamp), (70_000, 1_000));
        assert_eq!(source.map(&packet(1, 1, 2_999)), Mapped::At(70_002, 4_000));
        assert_eq!(source.map(&packet(1, 0, 2_999)), Mapped::At(70_001, 4_000));
        assert_eq!(source.map(&packet(1, 1, 2_999)), Mapped::Late);
        assert_eq!(source.map(&packet(1, 65_534, 0)), Mapped::Late, "its number belongs to another packet");
        assert_eq!(source.map(&packet(1, 30_000, 0)), Mapped::Late);
        assert_eq!(source.map(&packet(1, 30_001, 0)), Mapped::Restart);
    }

    #[test]
    fn another_source_goes_on_in_number_and_time() {
        let now = Instant::now();
        let last = now - Duration::from_millis(100);
        let position =
            Position { next: 70_000, last: Some((last, 5_000)), first_timestamp: 0, clock_rate: 90_000 };
        let (_, index, timestamp) = Source::join(now, &packet(2, 9, 77), position);
        assert_eq!((index, timestamp), (70_000, 14_000));
        let position = Position { last: Some((now, 5_000)), ..position };
        assert_eq!(Source::join(now, &packet(2, 9, 77), position).2, 5_001, "time never stands still");
    }
}
