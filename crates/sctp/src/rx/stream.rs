//! What is kept for each incoming stream.

use std::collections::{BTreeMap, VecDeque};

use super::Chunk;
use crate::packet::Ssn;

/// Places for chunks that a queue keeps when it is empty.
const IDLE_CAPACITY_KEPT: usize = 64;

/// The next sequence number of each stream, in pages: 128 KiB when every stream was used, nothing before.
#[derive(Debug, Default)]
pub(super) struct SsnTable {
    pages: Vec<Option<Box<[u16; 256]>>>,
}

impl SsnTable {
    pub(super) fn get(&self, stream: u16) -> Ssn {
        let [page, slot] = stream.to_be_bytes();
        let page = self.pages.get(usize::from(page)).and_then(Option::as_ref);
        Ssn::new(page.and_then(|page| page.get(usize::from(slot))).copied().unwrap_or(0))
    }

    pub(super) fn set(&mut self, stream: u16, ssn: Ssn) {
        let [page, slot] = stream.to_be_bytes();
        if self.pages.len() <= usize::from(page) {
            self.pages.resize_with(usize::from(page) + 1, || None);
        }
        let Some(page) = self.pages.get_mut(usize::from(page)) else { return };
        let page = page.get_or_insert_with(|| Box::new([0; 256]));
        if let Some(slot) = page.get_mut(usize::from(slot)) {
            *slot = ssn.get();
        }
    }

    /// Streams whose number is not zero.
    pub(super) fn used(&self) -> impl Iterator<Item = u16> + '_ {
        self.pages.iter().enumerate().filter_map(|(at, page)| Some((at, page.as_ref()?))).flat_map(
            |(at, page)| {
                let base = (at << 8) as u16;
                page.iter().enumerate().filter(|&(_, &ssn)| ssn != 0).map(move |(slot, _)| base | slot as u16)
            },
        )
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

    pub(super) fn is_held(&self) -> bool {
        self.paused && !self.inside.any()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.is_empty() && !self.paused && !self.queued && !self.inside.any()
    }

    /// Grows by an eighth and not to the double, as it may be most of what the association holds.
    pub(super) fn push(&mut self, chunk: Chunk) {
        if self.ready.len() == self.ready.capacity() {
            self.ready.reserve_exact((self.ready.len() / 8).max(1));
        }
        self.ready.push_back(chunk);
    }

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
    fn ssn_table_is_paged() {
        let mut table = SsnTable::default();
        table.set(700, Ssn::new(3));
        assert_eq!((table.get(700), table.get(701), table.get(5)), (Ssn::new(3), Ssn::new(0), Ssn::new(0)));
        assert_eq!(table.used().collect::<Vec<_>>(), [700]);
    }
}
