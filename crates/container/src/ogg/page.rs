//! Pages (RFC 3533 section 6). All numbers are little-endian.
//!
//! ```text
//! | "OggS" | version 0 | flags | granule position (8) | serial number (4) | sequence number (4) | CRC (4)
//! | number of segments | a length for each segment … | segments … |
//! ```

use bytes::{Buf, Bytes};
use taut_sansio::codec::{Reader, Short};

use super::ParseError;

/// What a page begins with.
const CAPTURE: &[u8; 4] = b"OggS";
/// The octets of a header without lengths of segments.
const HEADER_LEN: usize = 27;
/// The most segments of a page.
pub(super) const MAX_SEGMENTS: usize = 255;
/// The first packet of the page continues one of the page before.
const CONTINUED: u8 = 1;
/// The first page of a stream.
const BEGIN: u8 = 2;
/// The last page of a stream.
const END: u8 = 4;

/// The CRC of Ogg: generator 0x04c11db7, not reflected, no initial value, no final exclusive-or.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = (i as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000_0000 == 0 { crc << 1 } else { (crc << 1) ^ 0x04c1_1db7 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

fn crc(start: u32, octets: &[u8]) -> u32 {
    octets.iter().fold(start, |crc, octet| {
        let [high, ..] = crc.to_be_bytes();
        // An octet is always an index of a table of 256.
        (crc << 8) ^ CRC_TABLE[usize::from(high ^ octet)]
    })
}

/// A page without its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) continued: bool,
    pub(super) begin: bool,
    pub(super) end: bool,
    /// What the last packet that ends on the page means for time; all ones if none does.
    pub(super) granule: u64,
    pub(super) serial: u32,
    pub(super) sequence: u32,
    /// The length of each segment, at most 255 of them.
    pub(super) segments: Bytes,
    /// The segments: as many octets as the lengths say.
    pub(super) body: Bytes,
}

impl Page {
    fn parse(file: &Bytes) -> Result<(Self, usize), ParseError> {
        let short = |_: Short| ParseError::Truncated;
        let mut reader = Reader::new(file);
        if reader.array().map_err(short)? != *CAPTURE {
            return Err(ParseError::Capture);
        }
        if reader.u8().map_err(short)? != 0 {
            return Err(ParseError::Version);
        }
        let flags = reader.u8().map_err(short)?;
        let granule = u64::from_le_bytes(reader.array().map_err(short)?);
        let serial = u32::from_le_bytes(reader.array().map_err(short)?);
        let sequence = u32::from_le_bytes(reader.array().map_err(short)?);
        let checksum = u32::from_le_bytes(reader.array().map_err(short)?);
        let count = usize::from(reader.u8().map_err(short)?);
        let segments = reader.take(count).map_err(short)?;
        let body = reader.take(segments.iter().map(|length| usize::from(*length)).sum()).map_err(short)?;
        let page = Self {
            continued: flags & CONTINUED != 0,
            begin: flags & BEGIN != 0,
            end: flags & END != 0,
            granule,
            serial,
            sequence,
            segments: file.slice_ref(segments),
            body: file.slice_ref(body),
        };
        if page.checksum(flags) != checksum {
            return Err(ParseError::Checksum);
        }
        let length = HEADER_LEN + page.segments.len() + page.body.len();
        Ok((page, length))
    }

    fn checksum(&self, flags: u8) -> u32 {
        let header = self.header(flags, 0);
        crc(crc(crc(0, &header), &self.segments), &self.body)
    }

    fn header(&self, flags: u8, checksum: u32) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(CAPTURE);
        header.extend_from_slice(&[0, flags]);
        header.extend_from_slice(&self.granule.to_le_bytes());
        header.extend_from_slice(&self.serial.to_le_bytes());
        header.extend_from_slice(&self.sequence.to_le_bytes());
        header.extend_from_slice(&checksum.to_le_bytes());
        // At most MAX_SEGMENTS: what is parsed has a count of one octet, what is written is bounded by the writer.
        header.push(self.segments.len() as u8);
        header
    }

    /// Appends the page.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = flag(self.continued, CONTINUED) | flag(self.begin, BEGIN) | flag(self.end, END);
        out.extend_from_slice(&self.header(flags, self.checksum(flags)));
        out.extend_from_slice(&self.segments);
        out.extend_from_slice(&self.body);
    }
}

/// The pages of a file.
#[derive(Debug, Clone)]
pub(super) struct Pages {
    rest: Bytes,
}

impl Pages {
    pub(super) fn new(file: Bytes) -> Self {
        Self { rest: file }
    }
}

impl Iterator for Pages {
    type Item = Result<Page, ParseError>;

    /// After an error the next place that looks like a page is tried.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match Page::parse(&self.rest) {
            Ok((page, length)) => {
                // The page was just read: it is not longer than what is left.
                self.rest.advance(length);
                Some(Ok(page))
            }
            Err(error) => {
                let windows = self.rest.windows(CAPTURE.len()).skip(1);
                let skipped = windows.take_while(|window| window != CAPTURE).count() + 1;
                let found = skipped + CAPTURE.len() <= self.rest.len();
                self.rest.advance(if found { skipped } else { self.rest.len() });
                Some(Err(error))
            }
        }
    }
}

/// Appends the lengths of segments of a packet: as many of 255 as fit, and the rest, which may be 0.
pub(super) fn lace(length: usize, segments: &mut Vec<u8>) {
    segments.resize(segments.len() + length / MAX_SEGMENTS, 255);
    segments.push((length % MAX_SEGMENTS) as u8);
}

/// How many segments a packet of this length takes.
pub(super) fn segment_count(length: usize) -> usize {
    length / MAX_SEGMENTS + 1
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::ogg) fn page(sequence: u32, packets: &[&[u8]]) -> Page {
        let mut segments = Vec::new();
        packets.iter().for_each(|packet| lace(packet.len(), &mut segments));
        Page {
            continued: false,
            begin: sequence == 0,
            end: false,
            granule: 7,
            serial: 9,
            sequence,
            segments: segments.into(),
            body: packets.concat().into(),
        }
    }

    fn written(pages: &[Page]) -> Vec<u8> {
        let mut out = Vec::new();
        pages.iter().for_each(|page| page.write(&mut out));
        out
    }

    #[test]
    fn the_checksum_is_that_of_the_cksum_family() {
        // The check value of CRC-32/MPEG-2 has an initial value of all ones; without one it is that of the plain
        // polynomial, which for a single 1 is the polynomial itself.
        assert_eq!(crc(0, &[1]), 0x04c1_1db7);
        assert_eq!(crc(0xffff_ffff, b"123456789"), 0x0376_e6e7);
    }

    #[test]
    fn pages_read_back() {
        let pages = [page(0, &[b"a", &[7; 255], b""]), page(1, &[]), page(2, &[&[1; 600]])];
        let read: Result<Vec<_>, _> = Pages::new(written(&pages).into()).collect();
        assert_eq!(read.unwrap(), pages);
    }

    #[test]
    fn every_changed_octet_is_noticed_and_the_next_page_found() {
        let pages = [page(0, &[b"first"]), page(1, &[b"second"])];
        let good = written(&pages);
        for place in 0..good.len() / 2 {
            for bit in 0..8 {
                let mut changed = good.clone();
                changed[place] ^= 1 << bit;
                let read: Vec<_> = Pages::new(changed.into()).collect();
                assert!(read[0].is_err(), "{place}");
                // A length that grew may take the second page with it, but then the checksum is wrong too.
                assert_eq!(read.last(), Some(&Ok(pages[1].clone())), "{place}");
            }
        }
    }

    #[test]
    fn every_prefix_is_pages_and_then_an_error() {
        let good = written(&[page(0, &[b"first"]), page(1, &[b"second"])]);
        for end in 0..good.len() {
            let read: Vec<_> = Pages::new(Bytes::copy_from_slice(&good[..end])).collect();
            assert!(read.len() <= 2);
            let (whole, middle) = (end * 2 / good.len(), end == 0 || end == 33);
            assert_eq!(read.last().is_none_or(Result::is_ok), middle, "{end} {whole}");
        }
    }

    #[test]
    fn junk_is_skipped_in_one_error() {
        let mut file = vec![b'O'; 100_000];
        page(0, &[b"a"]).write(&mut file);
        file.extend_from_slice(b"OggOgg");
        let read: Vec<_> = Pages::new(file.into()).collect();
        assert_eq!(read, [Err(ParseError::Capture), Ok(page(0, &[b"a"])), Err(ParseError::Capture)]);
    }
}
