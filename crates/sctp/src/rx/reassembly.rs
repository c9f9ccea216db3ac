//! From DATA fragments to messages in order (RFC 9260 sections 6.5, 6.6, 6.9).
//!
//! Fragments of one message have consecutive TSNs, so the cumulative point stands inside at most one message. That
//! one is handed up as it grows; beyond the cumulative point only whole messages are. So a reader that puts
//! messages together never holds more than one that is unfinished, and a message may be larger than the window.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::delivery::Delivery;
use super::{CHUNK_OVERHEAD, Chunk};
use crate::packet::Ssn;
use crate::packet::data::DataFlags;
use crate::steps;
use crate::types::StreamId;

/// One DATA chunk without its TSN.
#[derive(Debug, Clone)]
pub(crate) struct Fragment {
    pub(crate) stream: u16,
    pub(crate) ssn: Ssn,
    pub(crate) ppid: u32,
    pub(crate) flags: DataFlags,
    pub(crate) payload: Bytes,
}

impl Fragment {
    fn charge(&self) -> usize {
        self.payload.len() + CHUNK_OVERHEAD
    }

    /// True if both belong to one message, TSNs apart.
    fn is_of(&self, key: &MessageKey) -> bool {
        self.stream == key.stream
            && self.flags.is_unordered() == key.unordered
            && (key.unordered || self.ssn == key.ssn)
    }

    fn key(&self) -> MessageKey {
        MessageKey {
            stream: self.stream,
            ssn: self.ssn,
            ppid: self.ppid,
            unordered: self.flags.is_unordered(),
        }
    }

    fn into_chunk(self) -> Chunk {
        Chunk {
            stream: StreamId(self.stream),
            ppid: self.ppid,
            unordered: self.flags.is_unordered(),
            begin: self.flags.is_begin(),
            end: self.flags.is_end(),
            abandoned: false,
            bytes: self.payload,
        }
    }
}

/// What all fragments of a message share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MessageKey {
    stream: u16,
    ssn: Ssn,
    ppid: u32,
    unordered: bool,
}

/// Fragments on their way to being messages.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    /// Fragments that cannot be handed up yet, by TSN. Bounded by the window: each is charged.
    parked: BTreeMap<u64, Fragment>,
    begins: BTreeSet<u64>,
    ends: BTreeSet<u64>,
    /// The next TSN to be taken in sequence: one beyond the cumulative point.
    frontier: u64,
    /// The message that is being handed up at the frontier.
    open: Option<MessageKey>,
    /// Whole unordered messages of the stream of an open unordered one: they must not be handed up inside it.
    held: Vec<(u64, u64)>,
    /// FORWARD TSN has been here: below, nothing is parked but messages that wait.
    cleaned: u64,
}

fn next_ssn(delivery: &Delivery, stream: u16) -> Ssn {
    Ssn::new(delivery.numbers.get(stream) as u16)
}

fn set_next_ssn(delivery: &mut Delivery, stream: u16, ssn: Ssn) {
    delivery.numbers.set(stream, u32::from(ssn.get()));
}

impl Reassembly {
    pub(crate) fn start(&mut self, frontier: u64) {
        self.frontier = frontier;
    }

    /// Takes a fragment whose TSN is already counted in `cumulative` and `run`.
    pub(crate) fn insert(
        &mut self,
        tsn: u64,
        fragment: Fragment,
        cumulative: u64,
        run: (u64, u64),
        delivery: &mut Delivery,
    ) {
        delivery.charge(fragment.charge());
        if tsn == self.frontier {
            self.frontier += 1;
            self.in_sequence(tsn, fragment, delivery);
            self.advance(cumulative, delivery);
        } else {
            self.park(tsn, fragment);
            self.try_complete(tsn, run, delivery);
        }
    }

    /// Some TSN up to `cumulative` carries nothing.
    pub(crate) fn pass(&mut self, cumulative: u64, delivery: &mut Delivery) {
        if cumulative >= self.frontier {
            self.abandon_open(delivery);
            self.advance(cumulative, delivery);
        }
    }

    /// Takes in sequence everything up to `cumulative`.
    fn advance(&mut self, cumulative: u64, delivery: &mut Delivery) {
        while let Some((&tsn, _)) = self.parked.range(self.frontier..=cumulative.max(self.frontier)).next() {
            if tsn > cumulative {
                break;
            }
            self.frontier = tsn + 1;
            if let Some(fragment) = self.unpark(tsn) {
                self.in_sequence(tsn, fragment, delivery);
            }
        }
        self.frontier = self.frontier.max(cumulative + 1);
    }

    /// A fragment before which nothing is missing.
    fn in_sequence(&mut self, tsn: u64, mut fragment: Fragment, delivery: &mut Delivery) {
        if let Some(open) = self.open {
            if fragment.is_of(&open) && !fragment.flags.is_begin() {
                fragment.ppid = open.ppid;
                return self.push_in_order(fragment, delivery);
            }
            // The sender broke off a message, which it may only do with FORWARD TSN.
            self.abandon_open(delivery);
        }
        if !fragment.flags.is_begin() {
            let goes_on = tsn
                .checked_sub(1)
                .and_then(|before| self.parked.get(&before))
                .is_some_and(|before| !before.flags.is_end() && fragment.is_of(&before.key()));
            if goes_on {
                self.park(tsn, fragment);
                self.try_complete(tsn, (0, tsn), delivery);
            } else {
                delivery.refund(fragment.charge());
            }
            return;
        }
        if fragment.flags.is_unordered() || fragment.ssn == next_ssn(delivery, fragment.stream) {
            self.push_in_order(fragment, delivery);
        } else if fragment.ssn.is_before(next_ssn(delivery, fragment.stream)) {
            delivery.refund(fragment.charge());
        } else {
            self.park(tsn, fragment);
            self.try_complete(tsn, (0, tsn), delivery);
        }
    }

    /// The next fragment of the open message, or the first of one that may be handed up.
    fn push_in_order(&mut self, fragment: Fragment, delivery: &mut Delivery) {
        let key = fragment.key();
        let ends = fragment.flags.is_end();
        delivery.push(fragment.into_chunk());
        self.open = if ends { None } else { Some(key) };
        if ends {
            self.on_open_ended(&key, delivery);
        }
    }

    fn on_open_ended(&mut self, key: &MessageKey, delivery: &mut Delivery) {
        if !key.unordered {
            set_next_ssn(delivery, key.stream, key.ssn.next());
            return self.release_waiting(key.stream, delivery);
        }
        for (first, last) in std::mem::take(&mut self.held) {
            self.extract(first, last, delivery);
        }
    }

    fn abandon_open(&mut self, delivery: &mut Delivery) {
        let Some(open) = self.open.take() else { return };
        delivery.push(Chunk {
            stream: StreamId(open.stream),
            ppid: open.ppid,
            unordered: open.unordered,
            begin: false,
            end: true,
            abandoned: true,
            bytes: Bytes::new(),
        });
        self.on_open_ended(&open, delivery);
    }

    fn park(&mut self, tsn: u64, fragment: Fragment) {
        if fragment.flags.is_begin() {
            self.begins.insert(tsn);
        }
        if fragment.flags.is_end() {
            self.ends.insert(tsn);
        }
        self.parked.insert(tsn, fragment);
    }

    fn unpark(&mut self, tsn: u64) -> Option<Fragment> {
        let fragment = self.parked.remove(&tsn)?;
        if fragment.flags.is_begin() {
            self.begins.remove(&tsn);
        }
        if fragment.flags.is_end() {
            self.ends.remove(&tsn);
        }
        Some(fragment)
    }

    /// Delivers the message that the fragment at `tsn` is part of, if it is whole within `run`.
    fn try_complete(&mut self, tsn: u64, run: (u64, u64), delivery: &mut Delivery) {
        let Some(&first) = self.begins.range(run.0..=tsn).next_back() else { return };
        let Some(&last) = self.ends.range(first..=run.1).next() else { return };
        if last < tsn || self.begins.range(first..=last).next_back() != Some(&first) {
            return;
        }
        let Some(key) = self.parked.get(&first).map(Fragment::key) else { return };
        let mut expected = first;
        for (&at, fragment) in self.parked.range(first..=last) {
            steps::count(1);
            if at != expected || !fragment.is_of(&key) {
                return;
            }
            expected += 1;
        }
        if expected != last + 1 {
            return;
        }
        if key.unordered {
            if self.open.is_some_and(|open| open.unordered && open.stream == key.stream) {
                self.held.push((first, last));
                return;
            }
            return self.extract(first, last, delivery);
        }
        let next = next_ssn(delivery, key.stream);
        if key.ssn == next {
            set_next_ssn(delivery, key.stream, next.next());
            self.extract(first, last, delivery);
            self.release_waiting(key.stream, delivery);
        } else if key.ssn.is_after(next) {
            delivery.occupy(key.stream).waiting.insert(key.ssn.get(), (first, last));
        } else {
            self.discard(first, last, delivery);
        }
    }

    /// Makes a whole parked message readable. The identifier of its first fragment is that of the message.
    fn extract(&mut self, first: u64, last: u64, delivery: &mut Delivery) {
        let ppid = self.parked.get(&first).map_or(0, |fragment| fragment.ppid);
        for tsn in first..=last {
            steps::count(1);
            if let Some(fragment) = self.unpark(tsn) {
                delivery.push(Fragment { ppid, ..fragment }.into_chunk());
            }
        }
    }

    fn discard(&mut self, first: u64, last: u64, delivery: &mut Delivery) {
        while let Some((&tsn, _)) = self.parked.range(first..=last).next() {
            steps::count(1);
            if let Some(fragment) = self.unpark(tsn) {
                delivery.refund(fragment.charge());
            }
        }
    }

    /// Hands up the messages of a stream whose turn has come.
    fn release_waiting(&mut self, stream: u16, delivery: &mut Delivery) {
        loop {
            let next = next_ssn(delivery, stream);
            let Some((first, last)) = delivery.take_waiting(stream, next.get()) else { return };
            set_next_ssn(delivery, stream, next.next());
            self.extract(first, last, delivery);
        }
    }

    /// FORWARD TSN: what is up to `forwarded` and not whole is given up; `cumulative` may be further.
    pub(crate) fn forward(
        &mut self,
        forwarded: u64,
        cumulative: u64,
        streams: impl Iterator<Item = (u16, Ssn)>,
        delivery: &mut Delivery,
    ) {
        self.abandon_open(delivery);
        for (stream, skipped) in streams {
            self.skip_ordered(stream, skipped, delivery);
        }
        self.discard_torn(forwarded, delivery);
        self.frontier = self.frontier.max(forwarded + 1);
        self.advance(cumulative, delivery);
    }

    /// Drops what is parked up to `forwarded` and has lost its rest. Whole ordered messages may still wait for their
    /// turn.
    fn discard_torn(&mut self, forwarded: u64, delivery: &mut Delivery) {
        if self.parked.range(..=forwarded).next().is_none() {
            return;
        }
        // Up to the last point only messages are left that wait, so that each is looked at once. One of them may reach
        // beyond it.
        let mut from = self.cleaned;
        if let Some(&begin) = self.begins.range(..from).next_back() {
            from = self.ends.range(begin..).next().map_or(from, |&end| from.max(end + 1));
        }
        self.cleaned = forwarded + 1;
        while let Some((&tsn, fragment)) = self.parked.range(from..=forwarded).next() {
            steps::count(1);
            from = tsn + 1;
            let waits = fragment.flags.is_begin() && delivery.waits(fragment.stream, fragment.ssn.get(), tsn);
            if waits {
                from = self.ends.range(tsn..).next().map_or(from, |&end| end + 1);
            } else {
                self.discard(tsn, tsn, delivery);
            }
            if from > forwarded {
                break;
            }
        }
    }

    /// Moves an ordered stream beyond `skipped`; whole messages up to it are handed up first.
    fn skip_ordered(&mut self, stream: u16, skipped: Ssn, delivery: &mut Delivery) {
        let next = next_ssn(delivery, stream);
        if skipped.is_before(next) {
            return;
        }
        for ssn in delivery.waiting_between(stream, next.get(), skipped.get()) {
            steps::count(1);
            if let Some((first, last)) = delivery.take_waiting(stream, ssn) {
                self.extract(first, last, delivery);
            }
        }
        set_next_ssn(delivery, stream, skipped.next());
        self.release_waiting(stream, delivery);
    }

    /// The stream begins again: ordered messages that still wait for an earlier one never get their turn.
    pub(crate) fn reset_stream(&mut self, stream: u16, delivery: &mut Delivery) {
        while let Some((first, last)) = delivery.take_any_waiting(stream) {
            self.discard(first, last, delivery);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::STREAM_OVERHEAD;
    use super::*;

    fn fragment(stream: u16, ssn: u16, flags: DataFlags, payload: &'static [u8]) -> Fragment {
        Fragment { stream, ssn: Ssn::new(ssn), ppid: 51, flags, payload: Bytes::from_static(payload) }
    }

    const B: DataFlags = DataFlags::BEGIN;
    const E: DataFlags = DataFlags::END;
    const M: DataFlags = DataFlags::from_wire(0);
    const BE: DataFlags = DataFlags::from_wire(3);

    fn read_all(r: &mut Both) -> Vec<(u16, String, bool)> {
        std::iter::from_fn(|| r.read())
            .map(|c| (c.stream.0, String::from_utf8(c.bytes.to_vec()).unwrap(), c.abandoned))
            .collect()
    }

    /// What reassembles, and what it delivers to.
    #[derive(Default)]
    struct Both {
        reassembly: Reassembly,
        delivery: Delivery,
    }

    impl Both {
        fn insert(&mut self, tsn: u64, fragment: Fragment, cumulative: u64, run: (u64, u64)) {
            self.reassembly.insert(tsn, fragment, cumulative, run, &mut self.delivery);
        }

        fn forward(&mut self, forwarded: u64, cumulative: u64, streams: &[(u16, Ssn)]) {
            self.reassembly.forward(forwarded, cumulative, streams.iter().copied(), &mut self.delivery);
        }

        fn read(&mut self) -> Option<Chunk> {
            self.delivery.read()
        }

        fn charged(&self) -> usize {
            self.delivery.charged()
        }
    }

    fn started() -> Both {
        let mut r = Both::default();
        r.reassembly.start(10);
        r
    }

    #[test]
    fn a_growing_message_is_handed_up_at_the_frontier() {
        let mut r = started();
        r.insert(10, fragment(1, 0, B, b"a"), 10, (0, 10));
        assert_eq!(read_all(&mut r).len(), 1);
        r.insert(12, fragment(1, 0, E, b"c"), 10, (12, 12));
        assert!(read_all(&mut r).is_empty());
        r.insert(11, fragment(1, 0, M, b"b"), 12, (0, 12));
        assert_eq!(read_all(&mut r).len(), 2);
        assert_eq!(r.charged(), 0);
    }

    #[test]
    fn whole_messages_overtake_a_hole_and_order_is_kept() {
        let mut r = started();
        // 10 (stream 1, number 0) is missing.
        r.insert(11, fragment(1, 1, BE, b"one"), 9, (11, 11));
        r.insert(12, fragment(2, 0, BE, b"other"), 9, (11, 12));
        r.insert(13, fragment(1, 0, BE.with(DataFlags::UNORDERED), b"free"), 9, (11, 13));
        assert_eq!(read_all(&mut r), [(2, "other".into(), false), (1, "free".into(), false)]);
        r.insert(10, fragment(1, 0, BE, b"zero"), 13, (0, 13));
        assert_eq!(read_all(&mut r), [(1, "zero".into(), false), (1, "one".into(), false)]);
        assert_eq!((r.charged(), r.reassembly.frontier), (0, 14));
    }

    #[test]
    fn forward_gives_up_what_is_torn_and_keeps_what_is_whole() {
        let mut r = started();
        r.insert(10, fragment(1, 0, B, b"torn"), 10, (0, 10));
        r.insert(12, fragment(1, 1, BE, b"whole"), 10, (12, 12));
        r.insert(14, fragment(1, 2, M, b"middle"), 10, (14, 14));
        assert_eq!(read_all(&mut r), [(1, "torn".into(), false)]);
        r.forward(15, 15, &[(1, Ssn::new(2))]);
        assert_eq!(read_all(&mut r), [(1, "".into(), true), (1, "whole".into(), false)]);
        assert_eq!(r.charged(), 0);
        r.insert(16, fragment(1, 3, BE, b"next"), 16, (0, 16));
        assert_eq!(read_all(&mut r), [(1, "next".into(), false)]);
    }

    #[test]
    fn a_far_forward_costs_nothing() {
        let mut r = started();
        r.forward(1 << 31, 1 << 31, &[]);
        assert_eq!(r.reassembly.frontier, (1 << 31) + 1);
    }

    #[test]
    fn orphans_and_broken_off_messages_are_dropped() {
        let mut r = started();
        r.insert(10, fragment(1, 0, M, b"orphan"), 10, (0, 10));
        r.insert(11, fragment(1, 0, B, b"begun"), 11, (0, 11));
        r.insert(12, fragment(1, 1, BE, b"new"), 12, (0, 12));
        assert_eq!(
            read_all(&mut r),
            [(1, "begun".into(), false), (1, "".into(), true), (1, "new".into(), false)]
        );
        assert_eq!(r.charged(), 0);
    }

    #[test]
    fn a_paused_stream_keeps_its_charge_and_others_go_on() {
        let mut r = started();
        r.delivery.pause(1);
        r.insert(10, fragment(1, 0, BE, b"held"), 10, (0, 10));
        r.insert(11, fragment(2, 0, BE, b"goes"), 11, (0, 11));
        assert_eq!(read_all(&mut r), [(2, "goes".into(), false)]);
        assert_eq!(r.charged(), 4 + CHUNK_OVERHEAD + STREAM_OVERHEAD);
        r.delivery.resume(1);
        assert_eq!(read_all(&mut r), [(1, "held".into(), false)]);
    }

    #[test]
    fn a_message_has_the_identifier_of_its_first_fragment() {
        let other = |flags, payload| Fragment { ppid: 99, ..fragment(1, 0, flags, payload) };
        let mut r = started();
        r.insert(10, fragment(1, 0, B, b"a"), 10, (0, 10));
        r.insert(11, other(E, b"b"), 11, (0, 11));
        r.insert(13, Fragment { ssn: Ssn::new(1), ..fragment(1, 0, B, b"c") }, 11, (13, 13));
        r.insert(14, Fragment { ssn: Ssn::new(1), ..other(E, b"d") }, 11, (13, 14));
        let read: Vec<u32> = std::iter::from_fn(|| r.read()).map(|chunk| chunk.ppid).collect();
        assert_eq!(read, [51; 4]);
        assert_eq!(r.charged(), 0);
    }

    #[test]
    fn what_waits_for_its_turn_does_not_outlive_the_stream() {
        let mut r = started();
        r.insert(10, fragment(1, 1, BE, b"old"), 10, (0, 10));
        r.insert(11, fragment(2, 1, BE, b"other"), 11, (0, 11));
        r.reassembly.reset_stream(1, &mut r.delivery);
        r.insert(12, fragment(1, 0, BE, b"new"), 12, (0, 12));
        assert_eq!(read_all(&mut r), [(1, "new".into(), false)]);
        r.insert(13, fragment(2, 0, BE, b"first"), 13, (0, 13));
        assert_eq!(read_all(&mut r).len(), 2);
        assert_eq!(r.charged(), 0);
    }
}
