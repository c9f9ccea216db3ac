//! STUN and ChannelData in a stream (RFC 8489 section 6.2.2, RFC 8656 section 12.5): where one message ends and the next
//! begins.

use bytes::{Buf, BytesMut};
use taut_stun::{HEADER_LEN, MAGIC_COOKIE};

use crate::channel_data::{self, padding};

/// How much of a message that is not yet complete may be held: the longest STUN message.
pub const MAX_PARTIAL: usize = HEADER_LEN + 0xffff + 1;

/// The stream is not one of STUN and ChannelData, and never will be again: close it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither STUN nor ChannelData")]
pub struct NotTurn;

/// Cuts a stream into messages. What is held is less than [`MAX_PARTIAL`] octets and one read.
#[derive(Debug, Default)]
pub struct Deframer {
    held: BytesMut,
}

impl Deframer {
    /// A deframer at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was read. Call [`poll_message`](Self::poll_message) until it returns `None` before the next read.
    pub fn push(&mut self, octets: &[u8]) {
        self.held.extend_from_slice(octets);
    }

    /// The next whole message, without the padding of ChannelData.
    ///
    /// # Errors
    /// If what comes next is neither STUN nor ChannelData.
    pub fn poll_message(&mut self) -> Result<Option<BytesMut>, NotTurn> {
        let Some([a, b, c, d]) = self.held.first_chunk().copied() else {
            return match self.held.first() {
                Some(first) if *first >= 0x80 || (0x04..0x40).contains(first) => Err(NotTurn),
                _ => Ok(None),
            };
        };
        let length = usize::from(u16::from_be_bytes([c, d]));
        let whole = if channel_data::is_channel_data(&[a, b]) {
            channel_data::HEADER_LEN.saturating_add(length)
        } else if a < 4 && length.is_multiple_of(4) {
            HEADER_LEN.saturating_add(length)
        } else {
            return Err(NotTurn);
        };
        if a < 4 && self.held.get(4..8).is_some_and(|cookie| cookie != MAGIC_COOKIE.to_be_bytes()) {
            return Err(NotTurn);
        }
        let padding = padding(whole);
        if self.held.len() < whole.saturating_add(padding) {
            return Ok(None);
        }
        let message = self.held.split_to(whole);
        self.held.advance(padding);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use taut_stun::{Builder, Class, Method, TransactionId};

    fn stun() -> Vec<u8> {
        let mut out = Vec::new();
        let id = TransactionId([9; 12]);
        Builder::new(&mut out, Class::Request, Method::BINDING, id).fingerprint().finish().unwrap();
        out
    }

    #[test]
    fn messages_come_out_whole_however_the_stream_is_cut() {
        let mut stream = Vec::new();
        for length in 0..9u8 {
            stream.extend_from_slice(&[0x40, length, 0, length]);
            stream.extend(std::iter::repeat_n(length, usize::from(length)));
            stream.resize(stream.len().next_multiple_of(4), 0);
            stream.extend_from_slice(&stun());
        }
        for cut in 1..stream.len() {
            let mut deframer = Deframer::new();
            let mut messages = Vec::new();
            for read in stream.chunks(cut) {
                deframer.push(read);
                while let Some(message) = deframer.poll_message().unwrap() {
                    messages.push(message);
                }
            }
            assert_eq!(messages.len(), 18, "cut every {cut}");
            for (length, pair) in messages.chunks(2).enumerate() {
                assert_eq!(pair[0].len(), 4 + length);
                assert_eq!(pair[1], stun());
            }
        }
    }

    #[test]
    fn what_is_no_message_ends_the_stream() {
        let read = |octets: &[u8]| {
            let mut deframer = Deframer::new();
            deframer.push(octets);
            deframer.poll_message()
        };
        assert_eq!(read(&[0x16]), Err(NotTurn), "known by the first octet");
        assert_eq!(read(&[0x80, 0, 0, 0]), Err(NotTurn));
        assert_eq!(read(&[0, 1, 0, 2]), Err(NotTurn), "a length of STUN is a multiple of four");
        assert_eq!(read(&[0, 1, 0, 0, 1, 2, 3, 4]), Err(NotTurn), "no cookie");
        assert_eq!(read(&[0, 1, 0]), Ok(None));
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut deframer = Deframer::new();
        let mut held = 0;
        deframer.push(&[0x40, 0, 0xff, 0xff]);
        loop {
            deframer.push(&[0; 1024]);
            held = held.max(deframer.held.len());
            if deframer.poll_message().unwrap().is_some() {
                break;
            }
        }
        assert!(held < MAX_PARTIAL + 1024, "{held}");
    }
}
