//! Datagrams in a stream (RFC 4571): each behind its length in two octets.

use bytes::{Buf, BytesMut};

/// The octets of a length.
const HEADER_LEN: usize = 2;

/// The longest datagram that a frame holds.
pub const MAX_FRAME: usize = 0xffff;

/// The frame is longer than it may be: close the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the frame is too long")]
pub struct FrameTooLong;

/// Cuts a stream into datagrams (RFC 4571 section 2). What is held is less than one frame of [`MAX_FRAME`] octets and one read.
#[derive(Debug)]
pub struct Deframer {
    held: BytesMut,
    limit: usize,
}

impl Default for Deframer {
    fn default() -> Self {
        Self::new()
    }
}

impl Deframer {
    /// A deframer at the start of a stream, that takes frames of any length.
    pub fn new() -> Self {
        Self { held: BytesMut::new(), limit: MAX_FRAME }
    }

    /// Sets the longest datagram that is taken from now on, in octets: less than [`MAX_FRAME`] while nobody knows who speaks.
    pub fn set_limit(&mut self, octets: usize) {
        self.limit = octets;
    }

    /// Takes what was read. Call [`poll_datagram`](Self::poll_datagram) until it returns `None` before the next read.
    pub fn push(&mut self, octets: &[u8]) {
        self.held.extend_from_slice(octets);
    }

    /// The next whole datagram. Null packets, whose length is 0, are skipped.
    ///
    /// # Errors
    /// If a frame is longer than the limit, which is known as soon as its length is.
    pub fn poll_datagram(&mut self) -> Result<Option<BytesMut>, FrameTooLong> {
        while let Some(length) = self.held.first_chunk::<HEADER_LEN>() {
            let length = usize::from(u16::from_be_bytes(*length));
            if length > self.limit {
                return Err(FrameTooLong);
            }
            if self.held.len() < length.saturating_add(HEADER_LEN) {
                return Ok(None);
            }
            self.held.advance(HEADER_LEN);
            if length > 0 {
                return Ok(Some(self.held.split_to(length)));
            }
        }
        Ok(None)
    }
}

/// Appends a frame with this datagram to `out`. False, and nothing is appended, if it is longer than [`MAX_FRAME`].
pub fn frame(datagram: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(datagram.len()) else { return false };
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(datagram);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(deframer: &mut Deframer) -> Vec<BytesMut> {
        std::iter::from_fn(|| deframer.poll_datagram().expect("no frame is too long")).collect()
    }

    #[test]
    fn datagrams_come_out_whole_however_the_stream_is_cut() {
        let datagrams: Vec<Vec<u8>> = (1..40u8).map(|n| vec![n; usize::from(n) * 7]).collect();
        let mut stream = Vec::new();
        for datagram in &datagrams {
            assert!(frame(datagram, &mut stream));
            stream.extend_from_slice(&[0, 0]); // A null packet.
        }
        for cut in (1..400).chain([stream.len()]) {
            let mut deframer = Deframer::new();
            let mut seen = Vec::new();
            for read in stream.chunks(cut) {
                deframer.push(read);
                seen.extend(all(&mut deframer));
            }
            assert_eq!(seen, datagrams, "cut every {cut}");
        }
    }

    #[test]
    fn ten_thousand_octets_one_at_a_time() {
        let datagram: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
        let (mut stream, mut deframer, mut seen) = (Vec::new(), Deframer::new(), Vec::new());
        assert!(frame(&datagram, &mut stream));
        for octet in stream {
            assert!(seen.is_empty());
            deframer.push(&[octet]);
            seen = all(&mut deframer);
        }
        assert_eq!(seen, [BytesMut::from(&datagram[..])]);
    }

    #[test]
    fn lengths_have_a_limit() {
        let (mut stream, mut deframer) = (Vec::new(), Deframer::new());
        assert!(frame(&vec![1; MAX_FRAME], &mut stream));
        deframer.push(&stream);
        assert_eq!(all(&mut deframer).len(), 1, "the longest there can be");
        assert!(!frame(&vec![1; MAX_FRAME + 1], &mut stream));
        assert_eq!(stream.len(), 2 + MAX_FRAME);

        deframer.set_limit(100);
        deframer.push(&[0, 101]);
        assert_eq!(deframer.poll_datagram(), Err(FrameTooLong), "known before its octets come");
    }

    #[test]
    fn what_is_held_is_bounded() {
        let (mut deframer, mut held) = (Deframer::new(), 0);
        deframer.push(&[0xff, 0xff]);
        loop {
            deframer.push(&[0; 1024]);
            held = held.max(deframer.held.len());
            if !all(&mut deframer).is_empty() {
                break;
            }
        }
        assert!(held < HEADER_LEN + MAX_FRAME + 1024, "{held}");
    }
}
