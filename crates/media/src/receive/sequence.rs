//! Stage: sequence numbers. Extends them, finds duplicates, and tells a wild jump from a restart of the source
//! (RFC 3550 section A.1).

use taut_rtp::SequenceNumber;
use taut_sansio::seq::Unwrapper;

/// Packets behind the newest that are still known one by one.
const WINDOW: u64 = 2_048;
const WORDS: usize = (WINDOW / 64) as usize;
/// A larger step forward is not believed at once (`MAX_DROPOUT` of section A.1).
const MAX_DROPOUT: u64 = 3_000;

/// What a sequence number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A packet that was not seen before.
    New {
        /// Its extended number.
        index: u64,
        /// The newest number before it: what lies between is missing. Not less than `index` if the packet is late.
        newest: u64,
    },
    /// A packet that was seen before.
    Duplicate,
    /// A packet from nowhere near; ignored until the next one confirms it.
    Stray,
    /// The source started anew: numbers from before mean nothing any more.
    Restart {
        /// The extended number of the packet.
        index: u64,
    },
}

/// The sequence numbers of one source.
#[derive(Debug)]
pub(crate) struct Sequence {
    unwrapper: Unwrapper<16>,
    first: Option<u64>,
    seen: [u64; WORDS],
    received: u64,
    /// What a packet after a stray one would have.
    expected_after_stray: Option<SequenceNumber>,
}

impl Sequence {
    pub(crate) fn new() -> Self {
        Self {
            unwrapper: Unwrapper::new(),
            first: None,
            seen: [0; WORDS],
            received: 0,
            expected_after_stray: None,
        }
    }

    /// Takes the number of a packet of the source itself.
    pub(crate) fn accept(&mut self, sequence: SequenceNumber) -> Arrival {
        let Some(newest) = self.unwrapper.newest() else {
            return Arrival::New { index: self.start(sequence), newest: self.newest() };
        };
        let index = self.unwrapper.peek(u32::from(sequence.get()));
        let far = if index > newest { index - newest > MAX_DROPOUT } else { newest - index >= WINDOW };
        if far {
            if self.expected_after_stray == Some(sequence) {
                return Arrival::Restart { index: self.start(sequence) };
            }
            self.expected_after_stray = Some(sequence.next());
            return Arrival::Stray;
        }
        self.expected_after_stray = None;
        self.received += 1;
        if index > newest {
            self.advance(newest, index);
            self.unwrapper.unwrap(u32::from(sequence.get()));
        } else if self.is_seen(index) {
            return Arrival::Duplicate;
        } else {
            self.first = self.first.map(|first| first.min(index));
        }
        self.mark(index);
        Arrival::New { index, newest }
    }

    /// Takes the number of a packet that came by another way, as a retransmission. It does not count as received.
    /// `None` if it was seen before, or is not near.
    pub(crate) fn recover(&mut self, sequence: SequenceNumber) -> Option<u64> {
        let newest = self.unwrapper.newest()?;
        let index = self.unwrapper.peek(u32::from(sequence.get()));
        let near = index <= newest && newest - index < WINDOW;
        if !near || self.is_seen(index) {
            return None;
        }
        self.mark(index);
        Some(index)
    }

    /// The extended number that `sequence` would have.
    pub(crate) fn index_of(&self, sequence: SequenceNumber) -> u64 {
        self.unwrapper.peek(u32::from(sequence.get()))
    }

    /// The highest number with the count of its wraps, as report blocks have it.
    pub(crate) fn extended_highest(&self) -> u32 {
        // An unwrapper starts one turn above zero.
        (self.newest().saturating_sub(1 << 16) & 0xffff_ffff) as u32
    }

    /// How many packets there were to receive.
    pub(crate) fn expected(&self) -> u64 {
        self.first.map_or(0, |first| self.newest().saturating_sub(first) + 1)
    }

    /// How many were received, duplicates counted.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    fn newest(&self) -> u64 {
        self.unwrapper.newest().unwrap_or(0)
    }

    fn start(&mut self, sequence: SequenceNumber) -> u64 {
        *self = Self::new();
        let index = self.unwrapper.unwrap(u32::from(sequence.get()));
        self.first = Some(index);
        self.received = 1;
        self.mark(index);
        index
    }

    /// Forgets the numbers whose places those up to `index` need.
    fn advance(&mut self, newest: u64, index: u64) {
        if index - newest >= WINDOW {
            self.seen = [0; WORDS];
            return;
        }
        for passed in newest + 1..=index {
            let (word, bit) = place(passed);
            if let Some(word) = self.seen.get_mut(word) {
                *word &= !bit;
            }
        }
    }

    fn mark(&mut self, index: u64) {
        let (word, bit) = place(index);
        if let Some(word) = self.seen.get_mut(word) {
            *word |= bit;
        }
    }

    fn is_seen(&self, index: u64) -> bool {
        let (word, bit) = place(index);
        self.seen.get(word).is_some_and(|word| word & bit != 0)
    }
}

fn place(index: u64) -> (usize, u64) {
    let place = index % WINDOW;
    ((place / 64) as usize, 1 << (place % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(sequence: &mut Sequence, value: u16) -> Arrival {
        sequence.accept(SequenceNumber::new(value))
    }

    #[test]
    fn numbers_go_on_through_the_wrap() {
        let mut sequence = Sequence::new();
        for i in 0..200_000u64 {
            let value = (65_530 + i) as u16;
            let expected = 65_536 + 65_530 + i;
            match accept(&mut sequence, value) {
                Arrival::New { index, .. } => assert_eq!(index, expected),
                other => panic!("{i}: {other:?}"),
            }
            assert_eq!(u64::from(sequence.extended_highest()), 65_530 + i);
        }
        assert_eq!((sequence.expected(), sequence.received()), (200_000, 200_000));
    }

    #[test]
    fn duplicates_are_found_and_gaps_are_told() {
        let mut sequence = Sequence::new();
        let base = 65_536 + 100;
        assert_eq!(accept(&mut sequence, 100), Arrival::New { index: base, newest: base });
        assert_eq!(accept(&mut sequence, 103), Arrival::New { index: base + 3, newest: base });
        assert_eq!(accept(&mut sequence, 101), Arrival::New { index: base + 1, newest: base + 3 });
        assert_eq!(accept(&mut sequence, 101), Arrival::Duplicate);
        assert_eq!(accept(&mut sequence, 103), Arrival::Duplicate);
        assert_eq!(sequence.recover(SequenceNumber::new(102)), Some(base + 2));
        assert_eq!(sequence.recover(SequenceNumber::new(102)), None);
        assert_eq!(accept(&mut sequence, 102), Arrival::Duplicate);
        assert_eq!((sequence.expected(), sequence.received()), (4, 6));
        assert_eq!(sequence.recover(SequenceNumber::new(104)), None, "nothing from the future");
    }

    #[test]
    fn packets_before_the_first_count_as_expected() {
        let mut sequence = Sequence::new();
        accept(&mut sequence, 0);
        assert!(matches!(accept(&mut sequence, 65_534), Arrival::New { .. }));
        assert_eq!((sequence.expected(), sequence.received()), (3, 2));
    }

    #[test]
    fn a_jump_needs_a_second_packet() {
        let mut sequence = Sequence::new();
        accept(&mut sequence, 10);
        assert!(matches!(accept(&mut sequence, 3_010), Arrival::New { .. }));
        assert_eq!(accept(&mut sequence, 40_000), Arrival::Stray);
        assert_eq!(accept(&mut sequence, 50_000), Arrival::Stray);
        assert!(matches!(accept(&mut sequence, 3_011), Arrival::New { .. }), "strays change nothing");
        assert_eq!(accept(&mut sequence, 40_000), Arrival::Stray);
        assert_eq!(accept(&mut sequence, 40_001), Arrival::Restart { index: 65_536 + 40_001 });
        assert_eq!((sequence.expected(), sequence.received()), (1, 1));
    }

    #[test]
    fn a_large_step_forgets_the_window() {
        let mut sequence = Sequence::new();
        for value in 0..3_000 {
            accept(&mut sequence, value);
        }
        assert!(matches!(accept(&mut sequence, 5_999), Arrival::New { .. }));
        for value in 4_000..5_999 {
            assert!(matches!(accept(&mut sequence, value), Arrival::New { .. }), "{value}");
        }
    }
}
