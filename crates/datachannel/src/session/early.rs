//! What comes on a stream before the channel does.
//!
//! Until it has an answer, the side that opens a channel sends in order and so behind the OPEN (RFC 8832 section 6); but
//! a negotiated channel may be made here after the other side has sent on it, and not every peer keeps the rule for
//! unordered channels. (Chromium drops such messages.) They wait for the channel, within a bound.

use std::collections::BTreeMap;
use std::time::Instant;

use taut_sctp::{Chunk, StreamId};

use super::{Link, Session};
use crate::types::ChannelId;

/// Octets that wait for channels, all together. Messages beyond it are dropped.
const OCTETS_MAX: usize = 256 << 10;

/// What one piece costs of it beside its octets.
const CHUNK_OVERHEAD: usize = 64;

/// Pieces of messages in the order they came, of the ordered and of the unordered ones of each stream: only within
/// those may two be of one message.
#[derive(Debug, Default)]
pub(super) struct Early {
    lanes: BTreeMap<(u16, bool), Vec<Chunk>>,
    charged: usize,
}

fn charge(chunk: &Chunk) -> usize {
    chunk.bytes.len() + CHUNK_OVERHEAD
}

impl Early {
    /// Keeps a piece; `false` if its message is not kept.
    fn push(&mut self, chunk: Chunk) -> bool {
        let key = (chunk.stream.0, chunk.unordered);
        let before = self.lanes.get(&key).and_then(|lane| lane.last());
        let goes_on = before.is_some_and(|before| !before.end);
        if !chunk.begin && !goes_on {
            // Its start was dropped.
            return false;
        }
        if self.charged + charge(&chunk) > OCTETS_MAX {
            if goes_on {
                self.drop_unfinished(key);
            }
            return false;
        }
        self.charged += charge(&chunk);
        self.lanes.entry(key).or_insert_with(|| Vec::with_capacity(1)).push(chunk);
        true
    }

    /// Drops what came of the last message, which goes on: half a message is of no use.
    fn drop_unfinished(&mut self, key: (u16, bool)) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        while let Some(dropped) = lane.pop() {
            self.charged -= charge(&dropped); // added by push
            if dropped.begin {
                break;
            }
        }
        if lane.is_empty() {
            self.lanes.remove(&key);
        }
    }

    /// Takes what waits for a stream.
    fn take(&mut self, stream: StreamId) -> Vec<Chunk> {
        let lanes = [false, true].map(|unordered| self.lanes.remove(&(stream.0, unordered)));
        let taken: Vec<Chunk> = lanes.into_iter().flatten().flatten().collect();
        self.charged -= taken.iter().map(charge).sum::<usize>(); // added by push
        taken
    }

    /// The stream begins anew: how many messages were dropped.
    pub(super) fn drop_stream(&mut self, stream: StreamId) -> u64 {
        self.take(stream).iter().filter(|chunk| chunk.begin).count() as u64
    }
}

impl Session {
    pub(super) fn on_early_chunk(&mut self, chunk: Chunk) {
        let end = chunk.end;
        if self.refused.contains(&chunk.stream.0) || !self.early.push(chunk) {
            self.stats.unknown_streams += u64::from(end);
        }
    }

    /// A channel has its stream: what came for it is handed on.
    pub(super) fn take_early(&mut self, now: Instant, id: ChannelId) {
        if !matches!(self.link, Link::Started { .. }) || self.early.lanes.is_empty() {
            return;
        }
        let Some(stream) = self.channels.get(&id).and_then(|channel| channel.stream) else { return };
        for chunk in self.early.take(StreamId(stream)) {
            self.on_chunk(now, chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn piece(stream: u16, begin: bool, end: bool, octets: usize) -> Chunk {
        let bytes = Bytes::from(vec![0; octets]);
        Chunk { stream: StreamId(stream), ppid: 53, unordered: false, begin, end, abandoned: false, bytes }
    }

    #[test]
    fn a_message_is_kept_whole_or_not_at_all() {
        let mut early = Early::default();
        assert!(early.push(piece(1, true, false, 1_000)));
        assert!(early.push(piece(2, true, true, 1_000)));
        assert!(early.push(piece(1, false, false, 1_000)));
        assert!(!early.push(piece(1, false, true, OCTETS_MAX)), "it does not fit");
        assert!(!early.push(piece(1, false, true, 1)), "and its end is dropped with it");
        assert_eq!(early.charged, 1_000 + CHUNK_OVERHEAD);
        assert_eq!(early.take(StreamId(1)), []);
        assert_eq!(early.take(StreamId(2)).len(), 1);
        assert_eq!(early.charged, 0);
    }

    #[test]
    fn the_number_of_pieces_is_bounded() {
        let mut early = Early::default();
        let kept = (0..10_000).filter(|_| early.push(piece(1, true, true, 1))).count();
        assert_eq!(kept, OCTETS_MAX / (1 + CHUNK_OVERHEAD));
        assert_eq!(early.drop_stream(StreamId(1)), kept as u64);
    }
}
