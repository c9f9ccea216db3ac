//! From I-DATA fragments to messages in order (RFC 8260 section 2.2.3).
//!
//! Fragments of different messages are mixed, and any of them may be missing, so messages are kept until they are
//! whole. There are two exceptions, because a message may be larger than the window: on a stream that is read in
//! parts what is in sequence is handed up at once; and of the others one message at a time is, when more than half of
//! the window is held.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::delivery::Delivery;
use super::{CHUNK_OVERHEAD, Chunk};
use crate::packet::Mid;
use crate::packet::data::DataHeader;
use crate::packet::forward_tsn::Lane;
use crate::steps;
use crate::types::StreamId;

/// What each message costs of the window that is not whole, beside its fragments.
pub(super) const MESSAGE_OVERHEAD: usize = 320;

/// Fragments of which the list of a message that is through is kept.
const SPARE_MAX: usize = 512;

/// What it costs to remember up to which unordered message of a stream everything was skipped.
const SKIP_OVERHEAD: usize = 64;

/// How many unordered messages later what was skipped is forgotten: nothing of it can be on its way any more, and the
/// numbers must not come round to it.
const SKIP_LIFE: u32 = 1 << 30;

/// How much of the window is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crowd {
    Little,
    Much,
}

/// A message: its stream, whether it is ordered, its identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    lane: Lane,
    mid: u32,
}

/// What came of a message.
#[derive(Debug, Default)]
struct Partial {
    ppid: u32,
    /// The number of the first fragment in `run`: those before it were handed up.
    first: u32,
    /// Fragments in sequence.
    run: Vec<Bytes>,
    /// Fragments beyond a gap.
    later: BTreeMap<u32, Bytes>,
    /// The number of the last fragment, once it is known.
    last: Option<u32>,
    handed_up: bool,
}

impl Partial {
    /// The number of the first fragment that is missing.
    fn next(&self) -> u32 {
        self.first.wrapping_add(self.run.len() as u32)
    }

    /// Takes a fragment; `false` if it cannot be one of this message.
    fn take(&mut self, header: &DataHeader, payload: Bytes) -> bool {
        let (fsn, ends) = (header.fsn, header.flags.is_end());
        if self.last.is_none() && self.later.is_empty() && fsn == self.next() {
            self.append(header, payload);
            return true;
        }
        let beyond_last = self.last.is_some_and(|last| ends || fsn >= last);
        let before_others = ends && self.later.last_key_value().is_some_and(|(&highest, _)| highest >= fsn);
        if fsn < self.next() || beyond_last || before_others || self.later.contains_key(&fsn) {
            return false;
        }
        if fsn > self.next() {
            self.note(header);
            self.later.insert(fsn, payload);
            return true;
        }
        self.append(header, payload);
        while let Some(payload) = self.later.remove(&self.next()) {
            steps::count(1);
            self.run.push(payload);
        }
        true
    }

    /// Takes the fragment that is next in sequence.
    fn append(&mut self, header: &DataHeader, payload: Bytes) {
        self.note(header);
        self.run.push(payload);
    }

    /// What a fragment tells of its message.
    fn note(&mut self, header: &DataHeader) {
        if header.flags.is_end() {
            self.last = Some(header.fsn);
        }
        if header.flags.is_begin() {
            self.ppid = header.ppid;
        }
    }

    fn is_whole(&self) -> bool {
        self.last.is_some_and(|last| self.next() > last)
    }

    /// What its fragments are charged with.
    fn charge(&self) -> usize {
        let octets: usize = self.run.iter().chain(self.later.values()).map(Bytes::len).sum();
        octets + (self.run.len() + self.later.len()) * CHUNK_OVERHEAD
    }
}

/// Messages that are not whole, or wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Interleaved {
    messages: BTreeMap<Key, Box<Partial>>,
    /// A message of a stream that is not read in parts is being handed up.
    open: Option<Key>,
    /// Streams with an unordered message that is being handed up, and others of theirs that are whole: they must not be
    /// handed up inside it.
    unordered: BTreeMap<u16, Vec<u32>>,
    /// Up to which unordered message everything was skipped: a fragment that was on its way must not begin anew.
    skipped: BTreeMap<u16, u32>,
    /// The empty list of a message that is through, for the next one.
    spare: Vec<Bytes>,
}

impl Interleaved {
    /// Takes a fragment with a new TSN.
    pub(super) fn insert(
        &mut self,
        header: &DataHeader,
        payload: Bytes,
        crowded: Crowd,
        delivery: &mut Delivery,
    ) {
        let lane = Lane { stream: header.stream, unordered: header.flags.is_unordered() };
        let key = Key { lane, mid: header.number };
        let begins = header.flags.is_begin();
        // At the wrap of fragment numbers a message would have terabytes.
        if self.is_over(&key, delivery) || header.fsn == u32::MAX || (header.fsn == 0 && !begins) {
            return;
        }
        let cost = payload.len() + CHUNK_OVERHEAD;
        if begins
            && header.flags.is_end()
            && self.is_next(&key, delivery)
            && (self.messages.is_empty() || !self.messages.contains_key(&key))
        {
            delivery.charge(cost);
            delivery.push(chunk(&key, header.ppid, true, true, payload));
            self.ended(&key, delivery);
            return self.follow(lane, delivery);
        }
        let partial = self.messages.entry(key).or_insert_with(|| {
            delivery.charge(MESSAGE_OVERHEAD);
            Box::new(Partial { run: std::mem::take(&mut self.spare), ..Partial::default() })
        });
        if partial.take(header, payload) {
            delivery.charge(cost);
            // Most fragments only make their message longer.
            let only_grows = !partial.is_whole() && !partial.handed_up && crowded == Crowd::Little;
            if only_grows && !delivery.is_in_parts(lane.stream) {
                return;
            }
            self.progress(&key, crowded, delivery);
        }
    }

    /// A message grew: hands it up, or what there is of it, if that may be.
    fn progress(&mut self, key: &Key, crowded: Crowd, delivery: &mut Delivery) {
        let Some(partial) = self.messages.get(key) else { return };
        let (is_whole, is_open) = (partial.is_whole(), partial.handed_up);
        if !is_open && !self.is_next(key, delivery) {
            if let Some(held) =
                self.unordered.get_mut(&key.lane.stream).filter(|_| key.lane.unordered && is_whole)
            {
                held.push(key.mid);
            }
            return;
        }
        let in_parts = delivery.is_in_parts(key.lane.stream);
        let becomes_open = !is_whole && !is_open && !in_parts;
        if becomes_open && (crowded == Crowd::Little || self.open.is_some() || partial.run.is_empty()) {
            return;
        }
        if becomes_open {
            self.open = Some(*key);
        }
        if self.hand_up(key, delivery) {
            self.follow(key.lane, delivery);
        }
    }

    /// The message is through, or was skipped.
    fn is_over(&self, key: &Key, delivery: &Delivery) -> bool {
        let mid = Mid::new(key.mid);
        if key.lane.unordered {
            self.skipped.get(&key.lane.stream).is_some_and(|&skipped| mid.is_at_or_before(Mid::new(skipped)))
        } else {
            mid.is_before(Mid::new(delivery.numbers.get(key.lane.stream)))
        }
    }

    /// The message may be handed up now: it is its turn, and no other of its kind is being handed up on its stream.
    fn is_next(&self, key: &Key, delivery: &Delivery) -> bool {
        if key.lane.unordered {
            !self.unordered.contains_key(&key.lane.stream)
        } else {
            key.mid == delivery.numbers.get(key.lane.stream)
        }
    }

    /// Hands up what is in sequence of a message; `true` if that was its end.
    fn hand_up(&mut self, key: &Key, delivery: &mut Delivery) -> bool {
        let Some(partial) = self.messages.get_mut(key).filter(|partial| !partial.run.is_empty()) else {
            return false;
        };
        let (whole, count) = (partial.is_whole(), partial.run.len());
        let begins = !std::mem::replace(&mut partial.handed_up, true);
        partial.first = partial.next();
        steps::count(count);
        let run = partial.run.drain(..).enumerate();
        delivery.push_all(
            key.lane.stream,
            run.map(|(at, payload)| {
                chunk(key, partial.ppid, begins && at == 0, whole && at + 1 == count, payload)
            }),
        );
        if whole && partial.run.capacity() <= SPARE_MAX {
            self.spare = std::mem::take(&mut partial.run);
        }
        if whole {
            self.messages.remove(key);
            delivery.refund(MESSAGE_OVERHEAD);
            self.ended(key, delivery);
        } else if begins && key.lane.unordered {
            self.unordered.insert(key.lane.stream, Vec::new());
        }
        whole
    }

    /// A message was handed up to its end, or given up.
    fn ended(&mut self, key: &Key, delivery: &mut Delivery) {
        if self.open == Some(*key) {
            self.open = None;
        }
        if !key.lane.unordered {
            delivery.numbers.set(key.lane.stream, key.mid.wrapping_add(1));
        } else if self.skipped.get(&key.lane.stream).is_some_and(|&skipped| is_long_after(key.mid, skipped)) {
            self.forget_skipped(key.lane.stream, delivery);
        }
    }

    fn forget_skipped(&mut self, stream: u16, delivery: &mut Delivery) {
        if self.skipped.remove(&stream).is_some() {
            delivery.refund(SKIP_OVERHEAD);
        }
    }

    /// Hands up what waited for a message that ended.
    fn follow(&mut self, lane: Lane, delivery: &mut Delivery) {
        if lane.unordered {
            for mid in self.unordered.remove(&lane.stream).unwrap_or_default() {
                self.hand_up(&Key { lane, mid }, delivery);
            }
            return;
        }
        while !self.messages.is_empty() {
            let key = Key { lane, mid: delivery.numbers.get(lane.stream) };
            let Some(partial) = self.messages.get(&key) else { return };
            let may = partial.is_whole() || delivery.is_in_parts(lane.stream);
            if !may || !self.hand_up(&key, delivery) {
                return;
            }
        }
    }

    /// I-FORWARD-TSN: what is not whole of the messages up to `mid` is given up (RFC 8260 section 2.3.1).
    pub(super) fn skip(&mut self, lane: Lane, mid: u32, delivery: &mut Delivery) {
        let last = Key { lane, mid };
        if self.is_over(&last, delivery) {
            return;
        }
        let first = if !lane.unordered {
            delivery.numbers.get(lane.stream)
        } else {
            self.skipped
                .get(&lane.stream)
                .map_or(mid.wrapping_sub(1 << 31).wrapping_add(1), |&s| s.wrapping_add(1))
        };
        for key in self.between(lane, first, mid) {
            if self.messages.get(&key).is_some_and(|partial| partial.is_whole()) {
                // Unordered ones that are held follow the open one, which is given up.
                if !lane.unordered {
                    self.hand_up(&key, delivery);
                }
            } else {
                self.discard(&key, delivery);
            }
        }
        if lane.unordered {
            if self.skipped.insert(lane.stream, mid).is_none() {
                delivery.charge(SKIP_OVERHEAD);
            }
        } else {
            delivery.numbers.set(lane.stream, mid.wrapping_add(1));
            self.follow(lane, delivery);
        }
    }

    /// What is charged for skipped messages.
    pub(super) fn skip_charge(&self) -> usize {
        self.skipped.len() * SKIP_OVERHEAD
    }

    /// The messages of a lane from one number to another, both included, in the order of serial numbers.
    fn between(&self, lane: Lane, first: u32, last: u32) -> Vec<Key> {
        let key = |mid| Key { lane, mid };
        let range = |from, to| self.messages.range(key(from)..=key(to)).map(|(&key, _)| key);
        if first <= last {
            range(first, last).collect()
        } else {
            range(first, u32::MAX).chain(range(0, last)).collect()
        }
    }

    /// Drops a message that is not whole, and tells if a part of it was handed up.
    fn discard(&mut self, key: &Key, delivery: &mut Delivery) {
        let Some(partial) = self.messages.remove(key) else { return };
        delivery.refund(partial.charge() + MESSAGE_OVERHEAD);
        if partial.handed_up {
            let end = chunk(key, partial.ppid, false, true, Bytes::new());
            delivery.push(Chunk { abandoned: true, ..end });
            self.ended(key, delivery);
            if key.lane.unordered {
                self.follow(key.lane, delivery);
            }
        }
    }

    /// The stream begins again: nothing of its old life is left, and its messages count from zero.
    pub(super) fn reset_stream(&mut self, stream: u16, delivery: &mut Delivery) {
        for unordered in [false, true] {
            for key in self.between(Lane { stream, unordered }, 0, u32::MAX) {
                self.discard(&key, delivery);
            }
        }
        self.forget_skipped(stream, delivery);
    }
}

/// Far beyond what was skipped, and not before it.
fn is_long_after(mid: u32, skipped: u32) -> bool {
    (SKIP_LIFE..1 << 31).contains(&Mid::new(mid).distance_from(Mid::new(skipped)))
}

fn chunk(key: &Key, ppid: u32, begin: bool, end: bool, bytes: Bytes) -> Chunk {
    let (stream, unordered) = (StreamId(key.lane.stream), key.lane.unordered);
    Chunk { stream, ppid, unordered, begin, end, abandoned: false, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Tsn;
    use crate::packet::data::DataFlags;

    #[test]
    fn what_was_skipped_once_is_forgotten_before_the_numbers_come_round() {
        let (mut interleaved, mut delivery) = (Interleaved::default(), Delivery::default());
        let lane = Lane { stream: 1, unordered: true };
        interleaved.skip(lane, 5, &mut delivery);
        let whole = DataFlags::BEGIN.with(DataFlags::END).with(DataFlags::UNORDERED);
        let mut came = |number: u32| {
            let header = DataHeader { flags: whole, tsn: Tsn::new(1), stream: 1, number, ppid: 53, fsn: 0 };
            interleaved.insert(&header, Bytes::from_static(b"x"), Crowd::Little, &mut delivery);
            delivery.read().is_some()
        };
        assert!(!came(4) && !came(5), "those that were skipped");
        for step in 1..9 {
            assert!(came(5u32.wrapping_add(step << 29)), "{step}");
        }
        let unread = interleaved.skip_charge();
        assert_eq!((unread, delivery.charged()), (0, 0));
    }
}
