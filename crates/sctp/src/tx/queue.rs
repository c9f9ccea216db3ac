//! Messages that wait, and their fragmentation (RFC 9260 section 6.9). A message is cut when it is sent, by the room
//! there is then; nothing is copied. Which stream sends next is [`schedule`](super::schedule)'s to say: with I-DATA
//! before every piece, with DATA before every message, whose fragments have consecutive TSNs.
//!
//! The other side must hold what it has of every message until it is whole. If messages were begun freely, each of
//! them could take a part of its window and none be finished: so with I-DATA only one message is begun at a time that
//! is larger than a quarter of its window, and smaller ones as long as all that are begun are within half of it.

mod message;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::schedule::Line;
use crate::config::{Config, Scheduler};
use crate::packet::HEADER_LEN;
use crate::packet::data::{DataFlags, Format, I_DATA_HEADER};
use crate::types::{Accounting, Ordering, Reliability, WriteOptions};
use message::{Message, Written};

/// What one waiting message costs of the send buffer beside its octets, so that their number is bounded.
const MESSAGE_OVERHEAD: usize = 64;

/// A message is not cut below this, unless that is its rest. The smallest packet has room for it.
pub(crate) const FRAGMENT_MIN: usize = 384;
const _: () = assert!(FRAGMENT_MIN + HEADER_LEN + I_DATA_HEADER <= Config::MTU_MIN);

/// A stream that has no more than this waiting may go over the limit of the send buffer, so that a large message on one
/// stream does not keep small ones on others from being taken.
const STREAM_SHARE: usize = 64 << 10;

/// How far all of them together may: this part of the limit.
const SHARES_PART: usize = 4;

/// The least time that a message lives: it can be sent once before that is over.
const LIFETIME_MIN: Duration = Duration::from_millis(1);

/// The priority of a stream that was given none: "low" of RFC 8831 section 6.4.
const PRIORITY: u16 = 256;

/// Messages for which a stream keeps memory while it has none.
const IDLE_MESSAGES: usize = 16;

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

/// What the front message counts for while it is begun and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Begun {
    #[default]
    No,
    Small(usize),
    Large,
}

/// One outgoing stream.
#[derive(Debug)]
struct OutStream {
    messages: VecDeque<Message>,
    /// How many pieces of the front message were sent.
    fragments: u32,
    /// The TSN of the last of them.
    last_tsn: u64,
    begun: Begun,
    next_ordered: u32,
    next_unordered: u32,
    /// Octets that wait, overhead included.
    charged: usize,
    /// Counted octets that were not sent.
    buffered: usize,
    /// The stream stands in the list of those whose buffered amount fell.
    fell: bool,
    /// The stream stands in the line.
    queued: bool,
    /// Where it stood when it left the line.
    place: u64,
    priority: u16,
    reset: Reset,
}

impl Default for OutStream {
    fn default() -> Self {
        Self {
            messages: VecDeque::new(),
            fragments: 0,
            last_tsn: 0,
            begun: Begun::No,
            next_ordered: 0,
            next_unordered: 0,
            charged: 0,
            buffered: 0,
            fell: false,
            queued: false,
            place: 0,
            priority: PRIORITY,
            reset: Reset::None,
        }
    }
}

impl OutStream {
    fn next_number(&mut self, ordering: Ordering) -> &mut u32 {
        match ordering {
            Ordering::Ordered => &mut self.next_ordered,
            Ordering::Unordered => &mut self.next_unordered,
        }
    }
}

/// A piece of a message, ready to get a TSN.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) payload: Bytes,
    pub(crate) stream: u16,
    /// The number of the message: among the ordered or the unordered ones of its stream.
    pub(crate) number: u32,
    /// The number of the piece in its message.
    pub(crate) fsn: u32,
    /// The TSN of the piece before it, if it is not the first.
    pub(crate) previous: u64,
    pub(crate) ppid: u32,
    pub(crate) flags: DataFlags,
    pub(crate) max_transmits: u32,
    pub(crate) expires: Option<Instant>,
}

/// All outgoing streams.
#[derive(Debug)]
pub(crate) struct SendQueue {
    streams: BTreeMap<u16, OutStream>,
    line: Line,
    format: Format,
    /// A message is large from here on; zero while the window of the other side is not known.
    large: usize,
    /// Octets of messages that are begun and not large.
    begun: usize,
    /// One that is large is begun.
    begun_large: bool,
    /// Octets that wait, overhead included.
    charged: usize,
    /// Octets that wait.
    octets: usize,
    /// Messages with a lifetime.
    lifetimes: usize,
    /// Streams that are to be reset.
    resetting: BTreeSet<u16>,
    /// Streams whose buffered amount fell; each at most once.
    fallen: VecDeque<u16>,
    dropped: u64,
}

impl SendQueue {
    pub(crate) fn new(scheduler: Scheduler) -> Self {
        Self {
            streams: BTreeMap::new(),
            line: Line::new(scheduler),
            format: Format::Data,
            large: 0,
            begun: 0,
            begun_large: false,
            charged: 0,
            octets: 0,
            lifetimes: 0,
            resetting: BTreeSet::new(),
            fallen: VecDeque::new(),
            dropped: 0,
        }
    }

    /// What was agreed on, and the window of the other side.
    pub(crate) fn start(&mut self, format: Format, window: usize) {
        self.format = format;
        self.large = window / 4;
    }

    /// Queues a message; one that is written in part has no octets yet.
    fn add(&mut self, now: Instant, stream: u16, options: &WriteOptions, data: Bytes, written: Written) {
        let (max_transmits, expires) = match options.reliability {
            Reliability::Reliable => (u32::MAX, None),
            Reliability::MaxRetransmits(n) => (u32::from(n) + 1, None),
            Reliability::MaxLifetime(life) => (u32::MAX, now.checked_add(life.max(LIFETIME_MIN))),
        };
        let counted = options.accounting == Accounting::Counted;
        let length = data.len();
        self.charged += length + MESSAGE_OVERHEAD;
        self.octets += length;
        self.lifetimes += usize::from(expires.is_some());
        let out = self.streams.entry(stream).or_default();
        out.charged += length + MESSAGE_OVERHEAD;
        if counted {
            out.buffered += length;
        }
        out.messages.push_back(Message {
            data,
            more: VecDeque::new(),
            written,
            ppid: options.ppid,
            ordering: options.ordering,
            counted,
            max_transmits,
            expires,
            rest: length,
        });
        if !out.queued && length > 0 {
            out.queued = true;
            self.line.join(stream, out.priority, out.place);
        }
    }

    pub(crate) fn push(&mut self, now: Instant, stream: u16, options: &WriteOptions, data: Bytes) {
        self.add(now, stream, options, data, Written::Whole);
    }

    /// Begins a message that is written in parts.
    pub(crate) fn begin(&mut self, now: Instant, stream: u16, options: &WriteOptions) {
        self.add(now, stream, options, Bytes::new(), Written::InPart);
    }

    /// True while a message of the stream is written in parts.
    pub(crate) fn is_unfinished(&self, stream: u16) -> bool {
        let last = self.streams.get(&stream).and_then(|out| out.messages.back());
        last.is_some_and(|message| message.written == Written::InPart)
    }

    /// Streams on which a message is written in parts.
    pub(crate) fn unfinished(&self) -> Vec<u16> {
        self.streams.keys().copied().filter(|&stream| self.is_unfinished(stream)).collect()
    }

    /// Adds to the message that is written in parts; there is one.
    pub(crate) fn append(&mut self, stream: u16, data: Bytes) {
        let Some(out) = self.streams.get_mut(&stream) else { return };
        let Some(message) = out.messages.back_mut() else { return };
        let length = data.len();
        message.append(data);
        if message.counted {
            out.buffered += length;
        }
        out.charged += length;
        self.charged += length;
        self.octets += length;
        if !out.queued && length > 0 {
            out.queued = true;
            self.line.join(stream, out.priority, out.place);
        }
    }

    /// The message that is written in parts is whole; `false` if it has no octets.
    pub(crate) fn finish(&mut self, stream: u16) -> bool {
        let Some(out) = self.streams.get_mut(&stream) else { return false };
        let Some(message) = out.messages.back_mut().filter(|message| message.rest > 0) else { return false };
        message.written = Written::Whole;
        if !out.queued {
            out.queued = true;
            self.line.join(stream, out.priority, out.place);
        }
        true
    }

    /// Drops the message that is written in parts, which is the last of its stream. If a part of it was sent, the
    /// fields that its last piece would have had.
    pub(crate) fn cancel(&mut self, stream: u16) -> Option<Piece> {
        let out = self.streams.get_mut(&stream)?;
        if out.messages.len() == 1 && out.fragments > 0 {
            return self.break_off(stream);
        }
        let message = out.messages.pop_back()?;
        self.uncharge(stream, &message);
        self.leave_if_empty(stream);
        None
    }

    /// True if a message, or a part of one, of `length` octets still fits under `limit`. One always fits into an empty
    /// buffer.
    pub(crate) fn has_room(&self, stream: u16, length: usize, limit: usize) -> bool {
        let after = self.charged.saturating_add(length);
        let own = self.streams.get(&stream).map_or(0, |out| out.charged).saturating_add(length);
        self.charged == 0
            || after <= limit
            || (own <= STREAM_SHARE.min(limit / SHARES_PART) && after <= limit + limit / SHARES_PART)
    }

    /// Octets that wait.
    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    /// Nothing can be sent now.
    pub(crate) fn is_idle(&self) -> bool {
        self.line.is_empty()
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.charged == 0
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
            let id = self.choose()?;
            let out = self.streams.get_mut(&id)?;
            let Some(front) = out.messages.front() else {
                self.leave_if_empty(id);
                continue;
            };
            if out.fragments == 0 && front.expires.is_some_and(|at| at <= now) {
                self.dropped += 1;
                self.end_front(id);
                continue;
            }
            if front.is_short(room) {
                if self.format == Format::Data && out.fragments > 0 {
                    return None;
                }
                out.queued = false;
                out.place = self.line.leave(id);
                continue;
            }
            let rest = front.rest;
            let written = front.written;
            let next = front.next_piece(room);
            if out.fragments == 0 && !self.may_begin(written, rest, room) {
                self.line.hold();
                continue;
            }
            return next;
        }
    }

    /// Whether what would go next goes to its end within `room` octets of user data.
    pub(crate) fn next_ends_within(&mut self, room: usize) -> bool {
        let next = self.choose().and_then(|id| self.streams.get(&id)).and_then(|out| out.messages.front());
        next.is_some_and(|front| front.rest <= room)
    }

    /// The stream that sends next. Fragments of DATA chunks have consecutive TSNs: there it is the one that is inside a
    /// message.
    fn choose(&mut self) -> Option<u16> {
        let serving = self.line.serving();
        let inside = serving.and_then(|id| self.streams.get(&id)).is_some_and(|out| out.fragments > 0);
        if self.format == Format::Data && inside { serving } else { self.line.choose() }
    }

    fn may_begin(&self, written: Written, rest: usize, room: usize) -> bool {
        if self.format == Format::Data || (written == Written::Whole && rest <= room) {
            true
        } else if self.is_large(written, rest) {
            !self.begun_large
        } else {
            self.begun + rest <= 2 * self.large
        }
    }

    fn is_large(&self, written: Written, rest: usize) -> bool {
        written == Written::InPart || rest > self.large
    }

    /// Takes a piece of `length` octets, as [`peek`](Self::peek) said, that gets this TSN.
    #[inline]
    pub(crate) fn take(&mut self, length: usize, tsn: u64) -> Option<Piece> {
        let id = self.line.serving()?;
        let out = self.streams.get_mut(&id)?;
        let front = out.messages.front_mut()?;
        let payload = front.cut(length);
        let length = payload.len();
        let ends = front.rest == 0;
        let begins = out.fragments == 0;
        let large = front.written == Written::InPart || front.rest + length > self.large;
        let mut flags = if begins { DataFlags::BEGIN } else { DataFlags::default() };
        if front.ordering == Ordering::Unordered {
            flags = flags.with(DataFlags::UNORDERED);
        }
        if ends {
            flags = flags.with(DataFlags::END);
        }
        let (ppid, max_transmits, expires) = (front.ppid, front.max_transmits, front.expires);
        let (ordering, begun) = (front.ordering, front.rest + length);
        self.octets -= length;
        self.charged -= length;
        out.charged -= length;
        if front.counted {
            out.buffered -= length;
        }
        let (fsn, previous) = (out.fragments, std::mem::replace(&mut out.last_tsn, tsn));
        let number = *out.next_number(ordering);
        out.fragments += 1;
        if begins && !ends && large {
            self.begun_large = true;
            out.begun = Begun::Large;
        } else if begins && !ends {
            self.begun += begun;
            out.begun = Begun::Small(begun);
        }
        self.line.serve(length, out.priority);
        if !std::mem::replace(&mut out.fell, true) {
            self.fallen.push_back(id);
        }
        if ends {
            self.end_front(id);
        }
        Some(Piece { payload, stream: id, number, fsn, previous, ppid, flags, max_transmits, expires })
    }

    /// The front message is gone: sent, or dropped, maybe half sent.
    fn end_front(&mut self, id: u16) {
        let Some(out) = self.streams.get_mut(&id) else { return };
        let Some(message) = out.messages.pop_front() else { return };
        if out.messages.is_empty() && out.messages.capacity() > IDLE_MESSAGES {
            out.messages = VecDeque::new();
        }
        if out.fragments > 0 {
            let number = out.next_number(message.ordering);
            *number = number.wrapping_add(1);
            out.fragments = 0;
        }
        match std::mem::take(&mut out.begun) {
            Begun::No => {}
            Begun::Small(octets) => {
                self.begun -= octets;
                self.line.release();
            }
            Begun::Large => {
                self.begun_large = false;
                self.line.release();
            }
        }
        self.uncharge(id, &message);
        self.leave_if_empty(id);
    }

    /// A message does not wait any more.
    fn uncharge(&mut self, id: u16, message: &Message) {
        let Some(out) = self.streams.get_mut(&id) else { return };
        self.octets -= message.rest;
        self.lifetimes -= usize::from(message.expires.is_some());
        self.charged -= message.rest + MESSAGE_OVERHEAD;
        out.charged -= message.rest + MESSAGE_OVERHEAD;
        if message.counted {
            out.buffered -= message.rest;
        }
        if !std::mem::replace(&mut out.fell, true) {
            self.fallen.push_back(id);
        }
    }

    fn leave_if_empty(&mut self, id: u16) {
        if let Some(out) = self.streams.get_mut(&id).filter(|out| out.queued && out.messages.is_empty()) {
            out.queued = false;
            out.place = self.line.leave(id);
        }
    }

    /// Some message that waits has a lifetime.
    pub(crate) fn has_lifetimes(&self) -> bool {
        self.lifetimes > 0
    }

    /// The message whose turn it is, if it is half sent and its time is over: its stream, and the TSN of its last
    /// piece.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<(u16, u64)> {
        let id = self.choose()?;
        let out = self.streams.get(&id).filter(|out| out.fragments > 0)?;
        let expires = out.messages.front()?.expires;
        expires.is_some_and(|at| at <= now).then_some((id, out.last_tsn))
    }

    /// Breaks off the message that is half sent on `stream`; the fields its last piece would have had.
    pub(crate) fn break_off(&mut self, stream: u16) -> Option<Piece> {
        let out = self.streams.get_mut(&stream).filter(|out| out.fragments > 0)?;
        let front = out.messages.front()?;
        let mut flags = DataFlags::END;
        if front.ordering == Ordering::Unordered {
            flags = flags.with(DataFlags::UNORDERED);
        }
        let (ordering, ppid, max_transmits, expires) =
            (front.ordering, front.ppid, front.max_transmits, front.expires);
        let piece = Piece {
            payload: Bytes::new(),
            stream,
            number: *out.next_number(ordering),
            fsn: out.fragments,
            previous: out.last_tsn,
            ppid,
            flags,
            max_transmits,
            expires,
        };
        self.end_front(stream);
        Some(piece)
    }

    /// Messages that expired before anything of them was sent.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// So many expired before.
    pub(crate) fn count_dropped(&mut self, before: u64) {
        self.dropped += before;
    }

    pub(crate) fn set_priority(&mut self, stream: u16, priority: u16) {
        let out = self.streams.entry(stream).or_default();
        out.priority = priority;
        if out.queued {
            self.line.reclass(stream, priority);
        }
    }

    pub(crate) fn reset_state(&self, stream: u16) -> Reset {
        self.streams.get(&stream).map_or(Reset::None, |out| out.reset)
    }

    pub(crate) fn set_reset(&mut self, stream: u16, reset: Reset) {
        self.streams.entry(stream).or_default().reset = reset;
        if reset == Reset::Wanted {
            self.resetting.insert(stream);
        } else {
            self.resetting.remove(&stream);
        }
    }

    /// Some stream is to be reset.
    pub(crate) fn wants_reset(&self) -> bool {
        !self.resetting.is_empty()
    }

    /// Streams that are to be reset and have nothing queued any more.
    pub(crate) fn ready_to_reset(&self) -> impl Iterator<Item = u16> + '_ {
        let is_ready = |id: &&u16| self.streams.get(id).is_some_and(|out| out.messages.is_empty());
        self.resetting.iter().filter(is_ready).copied()
    }

    /// The stream begins again: its state is forgotten.
    pub(crate) fn forget(&mut self, stream: u16) {
        if self.streams.get(&stream).is_some_and(|out| out.messages.is_empty()) {
            self.streams.remove(&stream);
        }
    }

    pub(crate) fn is_known(&self, stream: u16) -> bool {
        self.streams.contains_key(&stream)
    }

    /// Streams that were written to and not reset since.
    pub(crate) fn known_streams(&self) -> impl Iterator<Item = u16> + '_ {
        self.streams.keys().copied()
    }

    #[cfg(test)]
    pub(crate) fn start_number(&mut self, stream: u16, number: u32) {
        let out = self.streams.entry(stream).or_default();
        (out.next_ordered, out.next_unordered) = (number, number);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests;
