//! Messages that wait, and their fragmentation (RFC 9260 section 6.9). A message is cut when it is sent, by the
//! room there is then; nothing is copied.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use crate::packet::Ssn;
use crate::packet::data::DataFlags;
use crate::types::{Accounting, Ordering, Reliability, WriteOptions};

/// What one waiting message costs of the send buffer beside its octets, so that their number is bounded.
const MESSAGE_OVERHEAD: usize = 64;

/// A message is not cut below this, unless that is its rest.
pub(crate) const FRAGMENT_MIN: usize = 512;

/// A message that waits.
#[derive(Debug)]
struct Message {
    data: Bytes,
    ppid: u32,
    ordering: Ordering,
    counted: bool,
    max_transmits: u32,
    expires: Option<Instant>,
}

/// How far the resetting of an outgoing stream is (RFC 6525 section 5.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Reset {
    #[default]
    None,
    /// Asked for; what is queued goes first.
    Wanted,
    /// The request is out.
    Requested,
}

/// One outgoing stream.
#[derive(Debug, Default)]
struct OutStream {
    messages: VecDeque<Message>,
    /// Octets of the front message that were sent.
    offset: usize,
    next_ssn: Ssn,
    /// Counted octets that were not sent.
    buffered: usize,
    /// The stream stands in the list of those whose buffered amount fell.
    fell: bool,
    queued: bool,
    reset: Reset,
}

/// A piece of a message, ready to get a TSN.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) payload: Bytes,
    pub(crate) stream: u16,
    pub(crate) ssn: Ssn,
    pub(crate) ppid: u32,
    pub(crate) flags: DataFlags,
    pub(crate) max_transmits: u32,
    pub(crate) expires: Option<Instant>,
}

/// All outgoing streams.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    streams: BTreeMap<u16, OutStream>,
    /// Streams with messages. The first one is served until its message is whole: fragments of DATA chunks have
    /// consecutive TSNs.
    order: VecDeque<u16>,
    /// Octets that wait, overhead included.
    charged: usize,
    /// Octets that wait.
    octets: usize,
    /// Streams whose buffered amount fell; each at most once.
    fallen: VecDeque<u16>,
    dropped: u64,
}

impl SendQueue {
    pub(crate) fn push(&mut self, now: Instant, stream: u16, options: &WriteOptions, data: Bytes) {
        let (max_transmits, expires) = match options.reliability {
            Reliability::Reliable => (u32::MAX, None),
            Reliability::MaxRetransmits(n) => (u32::from(n) + 1, None),
            Reliability::MaxLifetime(life) => (u32::MAX, now.checked_add(life)),
        };
        self.charged += data.len() + MESSAGE_OVERHEAD;
        self.octets += data.len();
        let out = self.streams.entry(stream).or_default();
        let counted = options.accounting == Accounting::Counted;
        if counted {
            out.buffered += data.len();
        }
        out.messages.push_back(Message {
            data,
            ppid: options.ppid,
            ordering: options.ordering,
            counted,
            max_transmits,
            expires,
        });
        if !out.queued {
            out.queued = true;
            self.order.push_back(stream);
        }
    }

    /// True if a message of `length` octets still fits under `limit`. One always fits into an empty buffer.
    pub(crate) fn has_room(&self, length: usize, limit: usize) -> bool {
        self.charged == 0 || self.charged.saturating_add(length) <= limit
    }

    /// Octets that wait.
    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(crate) fn buffered(&self, stream: u16) -> usize {
        self.streams.get(&stream).map_or(0, |out| out.buffered)
    }

    /// A stream whose buffered amount fell since it was last named here.
    pub(crate) fn poll_fallen(&mut self) -> Option<u16> {
        let stream = self.fallen.pop_front()?;
        if let Some(out) = self.streams.get_mut(&stream) {
            out.fell = false;
        }
        Some(stream)
    }

    /// The next piece of at most `room` octets of user data, and how many octets it would have, without taking it.
    pub(crate) fn peek(&mut self, now: Instant, room: usize) -> Option<usize> {
        loop {
            let id = *self.order.front()?;
            let Some(out) = self.streams.get_mut(&id) else {
                self.order.pop_front();
                continue;
            };
            let Some(front) = out.messages.front() else {
                out.queued = false;
                self.order.pop_front();
                continue;
            };
            if out.offset == 0 && front.expires.is_some_and(|at| at <= now) {
                self.dropped += 1;
                self.drop_front(id);
                continue;
            }
            let rest = front.data.len() - out.offset;
            return if rest <= room {
                Some(rest)
            } else if room >= FRAGMENT_MIN {
                Some(room)
            } else {
                None
            };
        }
    }

    /// Takes a piece of `length` octets, as [`peek`](Self::peek) said.
    pub(crate) fn take(&mut self, length: usize) -> Option<Piece> {
        let id = *self.order.front()?;
        let out = self.streams.get_mut(&id)?;
        let front = out.messages.front_mut()?;
        let begin = out.offset == 0;
        let unordered = front.ordering == Ordering::Unordered;
        let mut flags = if begin { DataFlags::BEGIN } else { DataFlags::default() };
        if unordered {
            flags = flags.with(DataFlags::UNORDERED);
        }
        let (ppid, max_transmits, expires, counted) =
            (front.ppid, front.max_transmits, front.expires, front.counted);
        let whole = length >= front.data.len() - out.offset;
        let payload = if whole {
            // The last piece takes the buffer itself along: no count to raise, and the queue lets go of it.
            let mut data = std::mem::take(&mut front.data);
            bytes::Buf::advance(&mut data, out.offset);
            data
        } else {
            front.data.slice(out.offset..out.offset + length)
        };
        let ssn = out.next_ssn;
        self.octets = self.octets.saturating_sub(payload.len());
        self.charged = self.charged.saturating_sub(payload.len());
        if counted {
            out.buffered = out.buffered.saturating_sub(payload.len());
        }
        if whole {
            flags = flags.with(DataFlags::END);
            out.offset = 0;
            out.messages.pop_front();
            if !unordered {
                out.next_ssn = out.next_ssn.next();
            }
            self.charged = self.charged.saturating_sub(MESSAGE_OVERHEAD);
            self.order.pop_front();
            out.queued = !out.messages.is_empty();
            if out.queued {
                self.order.push_back(id);
            }
        } else {
            out.offset += payload.len();
        }
        Self::note_fall(id, out, &mut self.fallen);
        Some(Piece { payload, stream: id, ssn, ppid, flags, max_transmits, expires })
    }

    fn note_fall(id: u16, out: &mut OutStream, fallen: &mut VecDeque<u16>) {
        if !std::mem::replace(&mut out.fell, true) {
            fallen.push_back(id);
        }
    }

    /// Drops what is left of the front message of a stream, which may be half sent.
    fn drop_front(&mut self, id: u16) {
        let Some(out) = self.streams.get_mut(&id) else { return };
        let Some(front) = out.messages.pop_front() else { return };
        let rest = front.data.len().saturating_sub(out.offset);
        self.octets = self.octets.saturating_sub(rest);
        self.charged = self.charged.saturating_sub(rest + MESSAGE_OVERHEAD);
        if front.counted {
            out.buffered = out.buffered.saturating_sub(rest);
        }
        if out.offset > 0 && front.ordering == Ordering::Ordered {
            out.next_ssn = out.next_ssn.next();
        }
        out.offset = 0;
        Self::note_fall(id, out, &mut self.fallen);
        if out.messages.is_empty() {
            out.queued = false;
            self.order.retain(|&queued| queued != id);
        }
    }

    /// Breaks off the message that is half sent on `stream`; the fields its last piece would have had.
    pub(crate) fn break_off(&mut self, stream: u16) -> Option<Piece> {
        let out = self.streams.get(&stream)?;
        let front = out.messages.front().filter(|_| out.offset > 0)?;
        let mut flags = DataFlags::END;
        if front.ordering == Ordering::Unordered {
            flags = flags.with(DataFlags::UNORDERED);
        }
        let piece = Piece {
            payload: Bytes::new(),
            stream,
            ssn: out.next_ssn,
            ppid: front.ppid,
            flags,
            max_transmits: front.max_transmits,
            expires: front.expires,
        };
        self.drop_front(stream);
        Some(piece)
    }

    /// Messages that expired before anything of them was sent.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn reset_state(&self, stream: u16) -> Reset {
        self.streams.get(&stream).map_or(Reset::None, |out| out.reset)
    }

    pub(crate) fn set_reset(&mut self, stream: u16, reset: Reset) {
        self.streams.entry(stream).or_default().reset = reset;
    }

    /// Streams that are to be reset and have nothing queued any more.
    pub(crate) fn ready_to_reset(&self) -> impl Iterator<Item = u16> + '_ {
        self.streams
            .iter()
            .filter(|(_, out)| out.reset == Reset::Wanted && out.messages.is_empty())
            .map(|(&id, _)| id)
    }

    /// The stream begins again: its state is forgotten.
    pub(crate) fn forget(&mut self, stream: u16) {
        if self.streams.get(&stream).is_some_and(|out| out.messages.is_empty()) {
            self.streams.remove(&stream);
        }
    }

    /// Streams that were written to and not reset since.
    pub(crate) fn known_streams(&self) -> impl Iterator<Item = u16> + '_ {
        self.streams.keys().copied()
    }

    #[cfg(test)]
    pub(crate) fn start_ssn(&mut self, stream: u16, ssn: Ssn) {
        self.streams.entry(stream).or_default().next_ssn = ssn;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn options() -> WriteOptions {
        WriteOptions { ppid: 53, ..WriteOptions::default() }
    }

    #[test]
    fn messages_are_cut_by_the_room_and_streams_take_turns() {
        let now = Instant::now();
        let mut queue = SendQueue::default();
        queue.push(now, 1, &options(), Bytes::from(vec![1; 1500]));
        queue.push(now, 1, &options(), Bytes::from(vec![2; 10]));
        queue.push(now, 2, &options(), Bytes::from(vec![3; 10]));
        assert_eq!(queue.peek(now, 1000), Some(1000));
        let first = queue.take(1000).unwrap();
        assert!(first.flags.is_begin() && !first.flags.is_end());
        assert_eq!(queue.peek(now, 400), None, "500 octets are left: not worth a cut");
        assert_eq!(queue.peek(now, 1000), Some(500));
        assert!(queue.take(500).unwrap().flags.is_end());
        queue.peek(now, 1000);
        assert_eq!(queue.take(10).unwrap().stream, 2, "the other stream has its turn");
        queue.peek(now, 1000);
        let last = queue.take(10).unwrap();
        assert_eq!((last.stream, last.ssn), (1, Ssn::new(1)));
        assert!(queue.is_empty() && queue.octets() == 0 && queue.charged == 0);
    }

    #[test]
    fn a_fall_is_named_once() {
        let now = Instant::now();
        let mut queue = SendQueue::default();
        queue.push(now, 1, &options(), Bytes::from(vec![0; 1000]));
        assert_eq!(queue.poll_fallen(), None);
        queue.peek(now, 600);
        queue.take(600);
        queue.peek(now, 600);
        queue.take(400);
        assert_eq!((queue.buffered(1), queue.poll_fallen(), queue.poll_fallen()), (0, Some(1), None));
    }

    #[test]
    fn an_expired_message_is_dropped_whole() {
        let now = Instant::now();
        let mut queue = SendQueue::default();
        let life = Duration::from_millis(10);
        let options = WriteOptions { reliability: Reliability::MaxLifetime(life), ..options() };
        queue.push(now, 1, &options, Bytes::from_static(b"late"));
        assert_eq!(queue.peek(now + life, 1000), None);
        assert_eq!((queue.dropped(), queue.buffered(1), queue.is_empty()), (1, 0, true));
    }

    #[test]
    fn the_number_of_tiny_messages_is_bounded() {
        let mut queue = SendQueue::default();
        let mut taken = 0;
        while queue.has_room(1, 64_000) {
            queue.push(Instant::now(), 1, &options(), Bytes::from_static(b"x"));
            taken += 1;
        }
        assert!(taken <= 1_000, "{taken}");
    }
}
