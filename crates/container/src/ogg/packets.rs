//! Packets of one logical stream, put together from the segments of its pages (RFC 3533 section 5).

use std::collections::VecDeque;

use bytes::Bytes;

use super::ParseError;
use super::page::{Page, Pages};

/// The packets of one stream of a file. Pages of other streams are skipped.
#[derive(Debug, Clone)]
pub(super) struct Packets {
    pages: Pages,
    serial: u32,
    /// The sequence number of the next page.
    next_sequence: u32,
    /// What was found and not yet handed out: at most the packets of one page and an error.
    ready: VecDeque<Result<Bytes, ParseError>>,
    /// The beginning of a packet that goes on on the next page.
    partial: Option<Vec<u8>>,
    ended: bool,
}

impl Packets {
    /// The packets of the stream that `first`, the page before those of `pages`, begins.
    pub(super) fn new(first: &Page, pages: Pages) -> Self {
        let mut packets = Self {
            pages,
            serial: first.serial,
            next_sequence: first.sequence,
            ready: VecDeque::new(),
            partial: None,
            ended: false,
        };
        packets.on_page(first);
        packets
    }

    /// Takes the segments of a page of the stream.
    fn on_page(&mut self, page: &Page) {
        if page.sequence != self.next_sequence {
            self.partial = None;
            self.ready.push_back(Err(ParseError::Gap));
        }
        self.next_sequence = page.sequence.wrapping_add(1);
        self.ended = page.end;
        // The end of a packet whose beginning is missing is of no use, nor is a beginning without its end.
        let mut useless = page.continued && self.partial.is_none();
        if !page.continued {
            self.partial = None;
        }
        let mut body = page.body.clone();
        let mut length = 0;
        for segment in &page.segments {
            length += usize::from(*segment);
            if *segment < 255 {
                // The body has as many octets as the lengths say.
                let piece = body.split_to(std::mem::take(&mut length).min(body.len()));
                if !std::mem::take(&mut useless) {
                    self.complete(piece);
                }
            }
        }
        if length > 0 && !useless {
            self.partial.get_or_insert_default().extend_from_slice(&body);
        }
    }

    fn complete(&mut self, piece: Bytes) {
        let packet = match self.partial.take() {
            Some(mut start) => {
                start.extend_from_slice(&piece);
                Bytes::from(start)
            }
            None => piece,
        };
        self.ready.push_back(Ok(packet));
    }
}

impl Iterator for Packets {
    type Item = Result<Bytes, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(packet) = self.ready.pop_front() {
                return Some(packet);
            }
            if self.ended {
                return None;
            }
            match self.pages.next()? {
                Ok(page) if page.serial == self.serial => self.on_page(&page),
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::tests::page;
    use super::*;

    fn packets(pages: &[Page]) -> Vec<Result<Bytes, ParseError>> {
        let mut file = Vec::new();
        pages[1..].iter().for_each(|page| page.write(&mut file));
        Packets::new(&pages[0], Pages::new(file.into())).collect()
    }

    fn ok(octets: &[u8]) -> Result<Bytes, ParseError> {
        Ok(Bytes::copy_from_slice(octets))
    }

    /// Two pages of which the first ends, and the second begins, within a packet of 300 octets.
    fn split() -> [Page; 2] {
        let mut first = page(0, &[b"a"]);
        first.segments = vec![1, 255].into();
        first.body = [&[b'a'][..], &[2; 255]].concat().into();
        let mut second = page(1, &[&[2; 45], b"z"]);
        second.continued = true;
        [first, second]
    }

    #[test]
    fn packets_go_across_pages() {
        assert_eq!(packets(&split()), [ok(b"a"), ok(&[2; 300]), ok(b"z")]);
        // A packet of a multiple of 255 octets ends with a segment of none, here on the next page.
        let [first, mut second] = split();
        second.segments = vec![0, 1].into();
        second.body = Bytes::from_static(b"z");
        assert_eq!(packets(&[first, second]), [ok(b"a"), ok(&[2; 255]), ok(b"z")]);
    }

    #[test]
    fn a_packet_across_a_gap_is_dropped() {
        let [first, mut second] = split();
        second.sequence = 5;
        let found = packets(&[first.clone(), second.clone()]);
        assert_eq!(found, [ok(b"a"), Err(ParseError::Gap), ok(b"z")]);
        second.sequence = 1;
        second.continued = false;
        assert_eq!(packets(&[first, second]), [ok(b"a"), ok(&[2; 45]), ok(b"z")]);
    }

    #[test]
    fn other_streams_are_skipped_and_the_last_page_ends() {
        let mut other = page(1, &[b"other"]);
        other.serial = 1;
        let mut last = page(1, &[b"b"]);
        last.end = true;
        let pages = [page(0, &[b"a"]), other, last, page(2, &[b"after the end"])];
        assert_eq!(packets(&pages), [ok(b"a"), ok(b"b")]);
    }
}
