//! What is ready to be read, by stream, and what all of the receiver's memory is charged with.

use std::collections::{BTreeMap, VecDeque};

use super::stream::{InStream, NumberTable};
use super::{CHUNK_OVERHEAD, Chunk, STREAM_OVERHEAD};

/// Idle streams that keep their (empty) queues, to save making them again.
const IDLE_STREAMS_KEPT: usize = 64;

/// The streams as the reader sees them.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    /// The number of the next ordered message of each stream.
    pub(super) numbers: NumberTable,
    streams: BTreeMap<u16, InStream>,
    order: VecDeque<u16>,
    /// Octets and chunks, and what else is charged.
    charged: usize,
    /// Streams on which something waits.
    occupied: usize,
    /// Streams that are read in parts.
    in_parts: usize,
}

impl Delivery {
    /// Nothing is there any more, but streams are paused and read in parts as before.
    pub(super) fn renewed(self) -> Self {
        let streams = self.streams.into_iter().filter_map(|(id, stream)| {
            let InStream { paused, in_parts, .. } = stream;
            (paused || in_parts).then(|| (id, InStream { paused, in_parts, ..InStream::default() }))
        });
        Self { streams: streams.collect(), in_parts: self.in_parts, ..Self::default() }
    }

    /// Octets that are held, overhead included.
    pub(super) fn charged(&self) -> usize {
        self.charged + self.occupied * STREAM_OVERHEAD + self.numbers.charge()
    }

    pub(super) fn charge(&mut self, octets: usize) {
        self.charged += octets;
    }

    pub(super) fn refund(&mut self, octets: usize) {
        self.charged = self.charged.saturating_sub(octets);
    }

    /// True if nothing waits to be read, or for its turn, on any stream.
    pub(super) fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// True if there is something to read, as far as is known.
    pub(super) fn is_readable(&self) -> bool {
        !self.order.is_empty()
    }

    /// The stream, on which something is about to wait.
    pub(super) fn occupy(&mut self, stream: u16) -> &mut InStream {
        let in_stream = self.streams.entry(stream).or_default();
        self.occupied += usize::from(in_stream.is_empty());
        in_stream
    }

    /// Takes the whole ordered message out that waits under this number: its first and last TSN.
    pub(super) fn take_waiting(&mut self, stream: u16, ssn: u16) -> Option<(u64, u64)> {
        let in_stream = self.streams.get_mut(&stream)?;
        let message = in_stream.waiting.remove(&ssn)?;
        self.occupied -= usize::from(in_stream.is_empty());
        Some(message)
    }

    /// True if the message under this number waits and starts at this TSN.
    pub(super) fn waits(&self, stream: u16, ssn: u16, first: u64) -> bool {
        let waiting = self.streams.get(&stream).and_then(|in_stream| in_stream.waiting.get(&ssn));
        waiting.is_some_and(|&(start, _)| start == first)
    }

    /// Takes one of those out, whichever it is.
    pub(super) fn take_any_waiting(&mut self, stream: u16) -> Option<(u64, u64)> {
        let ssn = *self.streams.get(&stream)?.waiting.first_key_value()?.0;
        self.take_waiting(stream, ssn)
    }

    /// Under which numbers whole messages wait from `first` to `last`, in the order of serial numbers.
    pub(super) fn waiting_between(&self, stream: u16, first: u16, last: u16) -> Vec<u16> {
        let Some(in_stream) = self.streams.get(&stream) else { return Vec::new() };
        let range = |from, to| in_stream.waiting.range(from..=to).map(|(&ssn, _)| ssn);
        if first <= last {
            range(first, last).collect()
        } else {
            range(first, u16::MAX).chain(range(0, last)).collect()
        }
    }

    /// Makes a chunk ready to be read. It is charged already.
    pub(super) fn push(&mut self, chunk: Chunk) {
        self.push_all(chunk.stream.0, [chunk].into_iter());
    }

    /// Makes chunks of one stream, at least one, ready to be read. They are charged already.
    pub(super) fn push_all(&mut self, id: u16, chunks: impl Iterator<Item = Chunk>) {
        let stream = self.occupy(id);
        for chunk in chunks {
            stream.push(chunk);
        }
        if !stream.queued && !stream.is_held() {
            stream.queued = true;
            self.order.push_back(id);
        }
    }

    /// The next piece that is ready, oldest stream first.
    #[inline]
    pub(super) fn read(&mut self) -> Option<Chunk> {
        loop {
            let id = *self.order.front()?;
            let Some(stream) = self.streams.get_mut(&id) else {
                self.order.pop_front();
                continue;
            };
            let chunk = if stream.is_held() { None } else { stream.pop() };
            if let Some(chunk) = &chunk {
                stream.inside.note(chunk);
                self.occupied -= usize::from(stream.is_empty());
            }
            if stream.is_held() || stream.ready.is_empty() {
                stream.queued = false;
                self.order.pop_front();
                if stream.is_idle() && self.streams.len() > IDLE_STREAMS_KEPT {
                    self.streams.remove(&id);
                }
            } else if !stream.inside.any() {
                self.order.rotate_left(1);
            }
            if let Some(chunk) = chunk {
                if !chunk.abandoned {
                    self.refund(chunk.bytes.len() + CHUNK_OVERHEAD);
                }
                return Some(chunk);
            }
        }
    }

    pub(super) fn pause(&mut self, stream: u16) {
        self.streams.entry(stream).or_default().paused = true;
    }

    pub(super) fn resume(&mut self, stream: u16) {
        let Some(in_stream) = self.streams.get_mut(&stream) else { return };
        in_stream.paused = false;
        self.queue_or_remove(stream);
    }

    fn queue_or_remove(&mut self, stream: u16) {
        let Some(in_stream) = self.streams.get_mut(&stream) else { return };
        if !in_stream.ready.is_empty() && !in_stream.queued && !in_stream.is_held() {
            in_stream.queued = true;
            self.order.push_back(stream);
        } else if in_stream.is_idle() && self.streams.len() > IDLE_STREAMS_KEPT {
            self.streams.remove(&stream);
        }
    }

    pub(super) fn set_in_parts(&mut self, stream: u16, in_parts: bool) {
        let was = std::mem::replace(&mut self.streams.entry(stream).or_default().in_parts, in_parts);
        self.in_parts = self.in_parts + usize::from(in_parts) - usize::from(was);
        self.queue_or_remove(stream);
    }

    /// Messages of the stream are handed up before they are whole.
    pub(super) fn is_in_parts(&self, stream: u16) -> bool {
        self.in_parts > 0 && self.streams.get(&stream).is_some_and(|stream| stream.in_parts)
    }

    pub(super) fn has_ready(&self, stream: u16) -> bool {
        self.streams.get(&stream).is_some_and(|stream| !stream.ready.is_empty())
    }

    /// Streams on which something came since their last reset.
    pub(super) fn known_streams(&self) -> impl Iterator<Item = u16> + '_ {
        self.numbers.used().chain(self.streams.keys().copied())
    }
}
