//! One message that waits, and how it is cut into pieces.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::FRAGMENT_MIN;
use crate::types::Ordering;

/// Parts of a message that is written in parts are put together up to this.
const PART_MIN: usize = 1 << 10;

/// How far the writing of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Whole,
    /// More is to come, so its end is not known.
    InPart,
}

/// A message that waits.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) data: Bytes,
    /// What follows `data`, of a message that was written in parts.
    pub(super) more: VecDeque<Bytes>,
    pub(super) written: Written,
    pub(super) ppid: u32,
    pub(super) ordering: Ordering,
    pub(super) counted: bool,
    pub(super) max_transmits: u32,
    pub(super) expires: Option<Instant>,
    /// Octets that were not sent.
    pub(super) rest: usize,
}

impl Message {
    /// Nothing of it may go yet, even if `room` octets could: its end is not known, and this may be the last piece,
    /// which must say so and cannot be empty.
    pub(super) fn is_short(&self, room: usize) -> bool {
        self.written == Written::InPart && self.rest <= room
    }

    /// The next piece if `room` octets may go.
    pub(super) fn next_piece(&self, room: usize) -> Option<usize> {
        let front = self.data.len();
        if front <= room { Some(front) } else { (room >= FRAGMENT_MIN).then_some(room) }
    }

    /// Takes the next piece.
    pub(super) fn cut(&mut self, length: usize) -> Bytes {
        if length < self.data.len() {
            self.rest -= length;
            return self.data.split_to(length);
        }
        // The last piece takes the buffer itself along: no count to raise, and the queue lets go of it.
        self.rest -= self.data.len();
        std::mem::replace(&mut self.data, self.more.pop_front().unwrap_or_default())
    }

    pub(super) fn append(&mut self, part: Bytes) {
        self.rest += part.len();
        let last = self.more.back_mut().unwrap_or(&mut self.data);
        if last.is_empty() {
            *last = part;
        } else if last.len() < PART_MIN {
            let mut both = BytesMut::with_capacity(last.len() + part.len());
            both.extend_from_slice(last);
            both.extend_from_slice(&part);
            *last = both.freeze();
        } else {
            self.more.push_back(part);
        }
    }
}
