//! What is kept for each incoming stream.

use std::collections::{BTreeMap, VecDeque};

use super::Chunk;

/// Places for chunks that a queue keeps when it is empty.
const IDLE_CAPACITY_KEPT: usize = 64;

/// Streams of one page.
const PAGE: usize = 256;

/// The number of the next ordered message of each stream, in pages, which are charged.
#[derive(Debug, Default)]
pub(super) struct NumberTable {
    pages: BTreeMap<u8, Box<[u32; PAGE]>>,
}

impl NumberTable {
    pub(super) fn get(&self, stream: u16) -> u32 {
        let [page, slot] = stream.to_be_bytes();
        self.pages.get(&page).and_then(|page| page.get(usize::from(slot))).copied().unwrap_or(0)
    }

    pub(super) fn set(&mut self, stream: u16, number: u32) {
        let [page, slot] = stream.to_be_bytes();
        let page = self.pages.entry(page).or_insert_with(|| Box::new([0; PAGE]));
        if let Some(slot) = page.get_mut(usize::from(slot)) {
            *slot = number;
        }
    }

    /// The stream begins again.
    pub(super) fn clear(&mut self, stream: u16) {
        let [id, slot] = stream.to_be_bytes();
        let Some(page) = self.pages.get_mut(&id) else { return };
        if let Some(slot) = page.get_mut(usize::from(slot)) {
            *slot = 0;
        }
        if page.iter().all(|&number| number == 0) {
            self.pages.remove(&id);
        }
    }

    /// What the table takes. One page is free.
    pub(super) fn charge(&self) -> usize {
        self.pages.len().saturating_sub(1) * (PAGE * size_of::<u32>() + 64)
    }

    /// Streams whose number is not zero.
    pub(super) fn used(&self) -> impl Iterator<Item = u16> + '_ {
        self.pages.iter().flat_map(|(&id, page)| {
            let used = page.iter().enumerate().filter(|&(_, &number)| number != 0);
            used.map(move |(slot, _)| u16::from_be_bytes([id, slot as u8]))
        })
    }
}

/// What one stream holds.
#[derive(Debug, Default)]
pub(super) struct InStream {
    /// Ready to be read.
    pub(super) ready: VecDeque<Chunk>,
    /// Whole ordered messages that wait for an earlier one: sequence number to first and last TSN.
    pub(super) waiting: BTreeMap<u16, (u64, u64)>,
    /// The stream stands in the order of reading.
    pub(super) queued: bool,
    pub(super) paused: bool,
    /// Its messages are handed up before they are whole.
    pub(super) in_parts: bool,
    /// An ordered, an unordered message was read in part: a pause waits for its end.
    pub(super) inside: Inside,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Inside {
    ordered: bool,
    unordered: bool,
}

impl Inside {
    pub(super) fn any(self) -> bool {
        self.ordered || self.unordered
    }

    pub(super) fn note(&mut self, chunk: &Chunk) {
        let place = if chunk.unordered { &mut self.unordered } else { &mut self.ordered };
        *place = !chunk.end;
    }
}

impl InStream {
    /// Nothing waits here, so the stream is not charged.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.waiting.is_empty()
    }

    /// A pause waits for the end of a message, but where it is read in parts.
    pub(super) fn is_held(&self) -> bool {
        self.paused && (self.in_parts || !self.inside.any())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.is_empty() && !self.paused && !self.in_parts && !self.queued && !self.inside.any()
    }

    /// Grows by a quarter and not to the double, as it may be most of what the association holds.
    #[inline]
    pub(super) fn push(&mut self, chunk: Chunk) {
        if self.ready.len() == self.ready.capacity() {
            let length = self.ready.len();
            self.ready.reserve_exact((length / 4).max(length.clamp(1, 8)));
        }
        self.ready.push_back(chunk);
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.ready.pop_front();
        if self.ready.capacity() > IDLE_CAPACITY_KEPT && self.ready.len() < self.ready.capacity() / 4 {
            self.ready.shrink_to(self.ready.len() * 2);
        }
        chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_in_pages_that_are_charged_and_given_back() {
        let mut table = NumberTable::default();
        table.set(700, 3);
        assert_eq!((table.get(700), table.get(701), table.get(5), table.charge()), (3, 0, 0, 0));
        table.set(5, u32::MAX);
        assert_eq!(table.used().collect::<Vec<_>>(), [5, 700]);
        assert!(table.charge() > 1024);
        table.clear(700);
        assert_eq!((table.get(700), table.get(5), table.charge()), (0, u32::MAX, 0));
    }
}
