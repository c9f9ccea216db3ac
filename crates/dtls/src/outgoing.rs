//! Datagrams on their way out: cut to the room there is, and numbered.
//!
//! Unprotected records get their sequence numbers here, not from the engine. So a fragment that is cut in two has
//! two numbers, and a handshake that begins anew with another engine is not taken for a replay.
//!
//! The last flight is kept, because an engine doubles its timeout without bound: with half of the datagrams lost, 30 s
//! are over after ten transmissions. Here it goes out again at least once in every [`LONGEST_PAUSE`], as if the network
//! had duplicated it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use taut_sansio::codec::Reader;

use crate::record::{Fragment, Header, PLAIN_HEADER, Record, content};

/// Datagrams that wait to be polled; a flight has two or three.
const MAX_DATAGRAMS: usize = 64;
/// The longest pause between two transmissions of a flight.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The header of a handshake fragment.
const FRAGMENT_HEADER: usize = 12;
/// A fragment is not cut to less than this.
const MIN_FRAGMENT: usize = 32;
/// The epoch and the sequence number in the header of an unprotected record.
const NUMBER: std::ops::Range<usize> = 3..11;

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    datagrams: VecDeque<Vec<u8>>,
    next_number: u64,
    /// The datagrams of the last flight, and when they were made.
    flight: Vec<Vec<u8>>,
    made: Option<Instant>,
}

impl Outgoing {
    /// Queues a datagram that an engine made at `now`; false when there is no place. Those of one instant are a flight.
    pub(crate) fn push(&mut self, now: Instant, datagram: Vec<u8>) -> bool {
        if self.datagrams.len() >= MAX_DATAGRAMS {
            return false;
        }
        if self.made != Some(now) {
            self.flight.clear();
            self.made = Some(now);
        }
        if self.flight.len() < MAX_DATAGRAMS {
            self.flight.push(datagram.clone());
        }
        self.datagrams.push_back(datagram);
        true
    }

    /// When the flight is to go out again.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.made.and_then(|made| made.checked_add(LONGEST_PAUSE))
    }

    /// Queues the flight again when its time has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.timeout().is_some_and(|at| at <= now) {
            self.made = Some(now);
            if self.datagrams.is_empty() {
                self.datagrams.extend(self.flight.iter().cloned());
            }
        }
    }

    /// The flight has been answered.
    pub(crate) fn forget_flight(&mut self) {
        self.flight = Vec::new();
        self.made = None;
    }

    pub(crate) fn clear(&mut self) {
        self.datagrams.clear();
        self.forget_flight();
    }

    /// Appends as much of the next datagram as has room, in whole records.
    pub(crate) fn poll(&mut self, room: usize, out: &mut Vec<u8>) -> Option<usize> {
        let datagram = self.datagrams.front_mut()?;
        let mut length = whole_records(datagram, room);
        if length == 0 {
            cut_first(datagram, room)?;
            length = whole_records(datagram, room);
        }
        let start = out.len();
        out.extend(datagram.drain(..length));
        if datagram.is_empty() {
            self.datagrams.pop_front();
        }
        self.number(out.get_mut(start..).unwrap_or_default());
        (length > 0).then_some(length)
    }

    fn number(&mut self, mut datagram: &mut [u8]) {
        loop {
            let mut reader = Reader::new(datagram);
            let Ok(record) = Record::parse(&mut reader) else { return };
            let (header, length) = (record.header, record.bytes.len());
            if matches!(header, Header::Plain { epoch: 0, .. })
                && let Some(place) = datagram.get_mut(NUMBER)
            {
                // 48 bits are not used up by retransmissions.
                place.copy_from_slice(&(self.next_number & ((1 << 48) - 1)).to_be_bytes());
                self.next_number = self.next_number.wrapping_add(1);
            }
            let Some((_, rest)) = std::mem::take(&mut datagram).split_at_mut_checked(length) else { return };
            datagram = rest;
        }
    }
}

/// The length of as many whole records as have room.
fn whole_records(datagram: &[u8], room: usize) -> usize {
    if datagram.len() <= room {
        return datagram.len();
    }
    let mut reader = Reader::new(datagram);
    let mut length: usize = 0;
    while let Ok(record) = Record::parse(&mut reader) {
        match length.checked_add(record.bytes.len()) {
            Some(longer) if longer <= room => length = longer,
            _ => break,
        }
    }
    length
}

/// Cuts the first record in two, so that one has room, if it is an unprotected handshake fragment (RFC 6347 section
/// 4.2.3).
fn cut_first(datagram: &mut Vec<u8>, room: usize) -> Option<()> {
    let mut reader = Reader::new(datagram);
    let record = Record::parse(&mut reader).ok()?;
    if record.header != (Header::Plain { content_type: content::HANDSHAKE, epoch: 0 }) {
        return None;
    }
    let mut fragments = Reader::new(record.fragment);
    let whole = Fragment::parse(&mut fragments).ok()?;
    let first = room.checked_sub(PLAIN_HEADER + FRAGMENT_HEADER)?;
    if !fragments.is_empty() || first < MIN_FRAGMENT {
        return None;
    }
    let (front, back) = whole.body.split_at_checked(first)?;
    let mut cut = Vec::with_capacity(datagram.len().saturating_add(PLAIN_HEADER + FRAGMENT_HEADER));
    let offset = whole.offset.checked_add(u32::try_from(first).ok()?)?;
    Fragment { body: front, ..whole }.write(&mut cut);
    Fragment { body: back, offset, ..whole }.write(&mut cut);
    cut.extend_from_slice(reader.rest());
    *datagram = cut;
    Some(())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a starting point for virtual time")]
mod tests {
    use super::*;
    use crate::record::write_message;

    fn poll(outgoing: &mut Outgoing, room: usize) -> Option<Vec<u8>> {
        let mut out = vec![1, 2];
        let length = outgoing.poll(room, &mut out)?;
        assert_eq!(out.len(), length + 2);
        assert!(length <= room);
        Some(out.split_off(2))
    }

    #[test]
    fn messages_are_cut_to_the_room_and_numbered_anew() {
        let body: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let mut outgoing = Outgoing::default();
        let mut datagram = Vec::new();
        write_message(1, 0, &body, &mut datagram);
        write_message(14, 1, &[], &mut datagram);
        assert!(outgoing.push(Instant::now(), datagram));
        let (mut numbers, mut together, mut done) = (Vec::new(), Vec::new(), false);
        while let Some(datagram) = poll(&mut outgoing, 300) {
            let mut reader = Reader::new(&datagram);
            while let Ok(record) = Record::parse(&mut reader) {
                numbers.push(record.bytes[10]);
                let fragment = Fragment::parse(&mut Reader::new(record.fragment)).unwrap();
                if fragment.kind == 1 {
                    assert_eq!(fragment.offset as usize, together.len());
                    assert_eq!(fragment.length, 1000);
                    together.extend_from_slice(fragment.body);
                } else {
                    done = true;
                }
            }
        }
        assert_eq!(together, body);
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
        assert!(done);
    }

    #[test]
    fn what_cannot_be_cut_waits_for_more_room() {
        let mut outgoing = Outgoing::default();
        let protected = [&[22, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 48][..], &[0; 48]].concat();
        assert!(outgoing.push(Instant::now(), protected.clone()));
        assert_eq!(poll(&mut outgoing, 60), None);
        assert_eq!(poll(&mut outgoing, 61), Some(protected), "and keeps its number");
        let mut message = Vec::new();
        write_message(1, 0, &[0; 100], &mut message);
        assert!(outgoing.push(Instant::now(), message));
        assert_eq!(poll(&mut outgoing, 56), None);
        assert_eq!(poll(&mut outgoing, 57).unwrap().len(), 57);
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut outgoing = Outgoing::default();
        assert!((0..MAX_DATAGRAMS).all(|_| outgoing.push(Instant::now(), vec![0])));
        assert!(!outgoing.push(Instant::now(), vec![0]));
        outgoing.clear();
        assert_eq!(poll(&mut outgoing, 1200), None);
    }

    #[test]
    fn a_flight_goes_out_again_until_it_is_answered() {
        let now = Instant::now();
        let mut outgoing = Outgoing::default();
        assert_eq!(outgoing.timeout(), None);
        outgoing.push(now, vec![1]);
        let later = now + Duration::from_millis(10);
        outgoing.push(later, vec![2]);
        outgoing.push(later, vec![3]);
        while poll(&mut outgoing, 9).is_some() {}
        let again = later + LONGEST_PAUSE;
        assert_eq!(outgoing.timeout(), Some(again));
        outgoing.handle_timeout(again - Duration::from_nanos(1));
        assert_eq!(poll(&mut outgoing, 9), None);
        outgoing.handle_timeout(again);
        assert_eq!((poll(&mut outgoing, 9), poll(&mut outgoing, 9)), (Some(vec![2]), Some(vec![3])));
        assert_eq!(poll(&mut outgoing, 9), None);
        outgoing.forget_flight();
        assert_eq!(outgoing.timeout(), None);
    }
}
