//! Puts the fragments of one handshake message together (RFC 6347 section 4.2.3).

use crate::record::Fragment;

/// Pieces of a message that may be known at a time; a message that comes in more is put together piece by piece as
/// they join.
const MAX_PIECES: usize = 16;

/// One message on its way in.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    message: Option<Message>,
}

#[derive(Debug)]
struct Message {
    kind: u8,
    message_seq: u16,
    bytes: Vec<u8>,
    /// What is there, as ranges in order that do not touch.
    pieces: Vec<(usize, usize)>,
}

impl Assembly {
    /// Takes a fragment in. The length of the message has been checked.
    ///
    /// A first fragment of another message, or of another length, begins anew; other fragments that do not fit are
    /// dropped. So a forged one costs the retransmission of one flight, not the handshake.
    pub(crate) fn insert(&mut self, fragment: &Fragment<'_>) {
        // Lossless: a usize has 32 bits or more.
        let (length, start) = (fragment.length as usize, fragment.offset as usize);
        let fits = |message: &Message| {
            message.kind == fragment.kind
                && message.message_seq == fragment.message_seq
                && message.bytes.len() == length
        };
        if !self.message.as_ref().is_some_and(fits) {
            if self.message.is_some() && start != 0 {
                return;
            }
            self.message = Some(Message {
                kind: fragment.kind,
                message_seq: fragment.message_seq,
                bytes: vec![0; length],
                pieces: Vec::new(),
            });
        }
        let Some(message) = self.message.as_mut() else { return };
        let end = start.saturating_add(fragment.body.len());
        if start == end && length > 0 {
            return;
        }
        if message.pieces.len() >= MAX_PIECES {
            message.pieces.clear();
        }
        if let Some(place) = message.bytes.get_mut(start..end) {
            place.copy_from_slice(fragment.body);
            message.join(start, end);
        }
    }

    /// The message, with its type, once nothing is missing.
    pub(crate) fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let message =
            self.message.take_if(|message| message.pieces.as_slice() == [(0, message.bytes.len())])?;
        Some((message.kind, message.bytes))
    }

    /// The octets that it takes.
    pub(crate) fn len(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.bytes.len())
    }

    /// Forgets what there is.
    pub(crate) fn clear(&mut self) {
        self.message = None;
    }
}

impl Message {
    fn join(&mut self, mut start: usize, mut end: usize) {
        self.pieces.retain(|&(s, e)| {
            let apart = e < start || s > end;
            if !apart {
                start = start.min(s);
                end = end.max(e);
            }
            apart
        });
        let at = self.pieces.partition_point(|&(s, _)| s < start);
        self.pieces.insert(at, (start, end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(message_seq: u16, length: u32, offset: u32, body: &[u8]) -> Fragment<'_> {
        Fragment { kind: 1, length, message_seq, offset, body }
    }

    fn insert(assembly: &mut Assembly, fragment: &Fragment<'_>) -> Option<Vec<u8>> {
        assembly.insert(fragment);
        assembly.take().map(|(_, body)| body)
    }

    #[test]
    fn fragments_join_in_any_order_twice_and_overlapping() {
        let mut assembly = Assembly::default();
        assert_eq!(insert(&mut assembly, &piece(0, 9, 6, b"ghi")), None);
        assert_eq!(insert(&mut assembly, &piece(0, 9, 6, b"ghi")), None);
        assert_eq!(insert(&mut assembly, &piece(0, 9, 0, b"abc")), None);
        assert_eq!(insert(&mut assembly, &piece(0, 9, 2, b"")), None);
        assert_eq!(insert(&mut assembly, &piece(0, 9, 2, b"cdefg")), Some(b"abcdefghi".to_vec()));
        assert_eq!(insert(&mut assembly, &piece(0, 3, 0, b"abc")), Some(b"abc".to_vec()));
        assert_eq!(insert(&mut assembly, &piece(0, 0, 0, b"")), Some(vec![]));
    }

    #[test]
    fn a_first_fragment_of_another_message_begins_anew() {
        let mut assembly = Assembly::default();
        assert_eq!(insert(&mut assembly, &piece(0, 900, 0, b"forged")), None);
        assert_eq!(insert(&mut assembly, &piece(0, 6, 3, b"def")), None, "does not fit");
        assert_eq!(insert(&mut assembly, &piece(0, 6, 0, b"abc")), None);
        assert_eq!(insert(&mut assembly, &piece(0, 6, 3, b"def")), Some(b"abcdef".to_vec()));
    }

    #[test]
    fn many_small_pieces_cost_no_more_than_their_bound() {
        let mut assembly = Assembly::default();
        for at in 0..1000 {
            assert_eq!(insert(&mut assembly, &piece(0, 16_000, at * 8, b"x")), None);
            assert!(assembly.message.as_ref().unwrap().pieces.len() <= MAX_PIECES);
        }
        assert_eq!(assembly.len(), 16_000);
        assembly.clear();
        assert_eq!(assembly.len(), 0);
    }
}
