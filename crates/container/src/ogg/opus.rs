//! Opus in Ogg (RFC 7845): an identification header, a comment header, and audio packets.

use std::time::Duration;

use bytes::Bytes;
use taut_sansio::codec::Reader;

use super::ParseError;
use super::packets::Packets;
use super::page::{MAX_SEGMENTS, Page, Pages, lace, segment_count};

/// The samples of a second: positions count at 48 kHz whatever the rate of the audio was (RFC 7845 section 4).
const RATE: u64 = 48_000;
/// The longest packet: 120 ms (RFC 6716 section 3.2.5).
const MAX_SAMPLES: u32 = 5_760;
/// The longest packet that is written (RFC 7845 section 6). It takes less than a page has segments.
const MAX_PACKET: usize = 61_440;
/// A page is closed when it has this many samples: one second (RFC 7845 section 4 has no more than that on a page).
const PAGE_SAMPLES: u64 = RATE;

/// The identification header, "OpusHead" (RFC 7845 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusHead {
    /// The number of channels, at least one.
    pub channels: u8,
    /// How many samples at 48 kHz a player drops at the beginning.
    pub pre_skip: u16,
    /// The rate of the audio before encoding, in Hz; 0 if unknown. It says nothing about decoding.
    pub input_rate: u32,
    /// A gain to apply when decoding, in 1/256 dB.
    pub gain: i16,
    /// How channels are mapped to streams: 0 is mono or stereo in one stream. Only files of family 0 are written.
    pub mapping_family: u8,
}

impl OpusHead {
    /// A head for audio of one or two channels at 48 kHz, with the 80 ms of pre-skip that the RFC recommends.
    pub const fn new(channels: u8) -> Self {
        Self { channels, pre_skip: 3_840, input_rate: 48_000, gain: 0, mapping_family: 0 }
    }

    fn parse(packet: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(packet);
        // The high four bits of the version are zero in all versions that can be read.
        if reader.array().ok()? != *b"OpusHead" || reader.u8().ok()? >> 4 != 0 {
            return None;
        }
        let head = Self {
            channels: reader.u8().ok().filter(|channels| *channels > 0)?,
            pre_skip: u16::from_le_bytes(reader.array().ok()?),
            input_rate: u32::from_le_bytes(reader.array().ok()?),
            gain: i16::from_le_bytes(reader.array().ok()?),
            mapping_family: reader.u8().ok()?,
        };
        (head.mapping_family != 0 || head.channels <= 2).then_some(head)
    }

    fn packet(&self) -> Vec<u8> {
        let mut packet = b"OpusHead\x01".to_vec();
        packet.push(self.channels);
        packet.extend_from_slice(&self.pre_skip.to_le_bytes());
        packet.extend_from_slice(&self.input_rate.to_le_bytes());
        packet.extend_from_slice(&self.gain.to_le_bytes());
        packet.push(self.mapping_family);
        packet
    }
}

/// An audio packet of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusPacket {
    /// When it plays, from the first packet of the file; the pre-skip is not taken off.
    pub timestamp: Duration,
    /// How many samples it has, per channel at 48 kHz.
    pub samples: u32,
    /// The encoded packet; a slice of the file, unless it goes across pages.
    pub data: Bytes,
}

impl OpusPacket {
    /// How long it plays.
    pub fn duration(&self) -> Duration {
        duration(u64::from(self.samples))
    }
}

/// Reads the first Opus stream of a file, up to its end; a further stream chained to it is not read.
#[derive(Debug, Clone)]
pub struct OpusReader {
    head: OpusHead,
    packets: Packets,
    /// The samples of all packets handed out.
    position: u64,
}

impl OpusReader {
    /// Finds the stream and reads its headers.
    pub fn new(file: Bytes) -> Result<Self, ParseError> {
        let mut pages = Pages::new(file);
        // The first pages of all streams of a file come before all others (RFC 3533 section 4).
        loop {
            let page = pages.next().ok_or(ParseError::Head)??;
            if !page.begin {
                return Err(ParseError::Head);
            }
            if page.body.starts_with(b"OpusHead") {
                return Self::of_stream(&page, pages);
            }
        }
    }

    fn of_stream(first: &Page, pages: Pages) -> Result<Self, ParseError> {
        let mut packets = Packets::new(first, pages);
        let head = packets.next().ok_or(ParseError::Head)??;
        let head = OpusHead::parse(&head).ok_or(ParseError::Head)?;
        let tags = packets.next().ok_or(ParseError::Tags)??;
        if !tags.starts_with(b"OpusTags") {
            return Err(ParseError::Tags);
        }
        Ok(Self { head, packets, position: 0 })
    }

    /// The identification header.
    pub fn head(&self) -> &OpusHead {
        &self.head
    }

    /// The next packet; `None` at the end. After an error reading goes on with what can be read.
    pub fn next_packet(&mut self) -> Option<Result<OpusPacket, ParseError>> {
        let data = match self.packets.next()? {
            Ok(data) => data,
            Err(error) => return Some(Err(error)),
        };
        let Some(samples) = samples(&data) else {
            return Some(Err(ParseError::Packet));
        };
        let timestamp = duration(self.position);
        self.position = self.position.saturating_add(u64::from(samples));
        Some(Ok(OpusPacket { timestamp, samples, data }))
    }
}

/// Why a packet cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// It is not an Opus packet: empty, without frames, or longer than 120 ms.
    #[error("not an Opus packet")]
    Packet,
    /// It has more than 61,440 octets.
    #[error("the Opus packet is too long")]
    TooLong,
}

/// Writes a file with one stream. What [`finish`](Self::finish) appends completes it.
#[derive(Debug)]
pub struct OpusWriter {
    serial: u32,
    /// The sequence number of the next page.
    sequence: u32,
    /// The samples of all packets.
    position: u64,
    /// The samples of all packets on pages that were written.
    written: u64,
    segments: Vec<u8>,
    body: Vec<u8>,
}

impl OpusWriter {
    /// Appends the two header pages. The serial number tells the stream from others in the same file. The mapping
    /// family is written as 0, the channels as one or two.
    pub fn new(head: OpusHead, serial: u32, out: &mut Vec<u8>) -> Self {
        let mut writer =
            Self { serial, sequence: 0, position: 0, written: 0, segments: Vec::new(), body: Vec::new() };
        let head = OpusHead { channels: head.channels.clamp(1, 2), mapping_family: 0, ..head };
        writer.push(&head.packet());
        writer.write_page(false, out);
        // The vendor, and no comments (RFC 7845 section 5.2).
        writer.push(b"OpusTags\x04\0\0\0taut\0\0\0\0");
        writer.write_page(false, out);
        writer
    }

    /// Takes a packet; a page is appended when one is full, about once a second. An error changes nothing.
    pub fn write_packet(&mut self, packet: &[u8], out: &mut Vec<u8>) -> Result<(), WriteError> {
        let samples = samples(packet).ok_or(WriteError::Packet)?;
        if packet.len() > MAX_PACKET {
            return Err(WriteError::TooLong);
        }
        // The page is closed before a packet and not after it, so that there is a packet for the last page.
        let full = self.segments.len() + segment_count(packet.len()) > MAX_SEGMENTS;
        if full || self.position.saturating_sub(self.written) >= PAGE_SAMPLES {
            self.write_page(false, out);
        }
        self.push(packet);
        self.position = self.position.saturating_add(u64::from(samples));
        Ok(())
    }

    /// Appends the last page.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.write_page(true, out);
    }

    fn push(&mut self, packet: &[u8]) {
        lace(packet.len(), &mut self.segments);
        self.body.extend_from_slice(packet);
    }

    fn write_page(&mut self, end: bool, out: &mut Vec<u8>) {
        let page = Page {
            continued: false,
            begin: self.sequence == 0,
            end,
            granule: self.position,
            serial: self.serial,
            sequence: self.sequence,
            segments: std::mem::take(&mut self.segments).into(),
            body: std::mem::take(&mut self.body).into(),
        };
        page.write(out);
        self.sequence = self.sequence.wrapping_add(1);
        self.written = self.position;
    }
}

fn duration(samples: u64) -> Duration {
    // The rest is less than a second, the quotient fits in any case.
    Duration::new(samples / RATE, ((samples % RATE) * 1_000_000_000 / RATE) as u32)
}

/// The samples of an Opus packet at 48 kHz, from its first octets (RFC 6716 section 3.1); `None` if it is not one.
fn samples(packet: &[u8]) -> Option<u32> {
    let (toc, rest) = packet.split_first()?;
    let config = toc >> 3;
    let frame = match config {
        0..=11 => [480, 960, 1_920, 2_880],
        12..=15 => [480, 960, 480, 960],
        _ => [120, 240, 480, 960],
    };
    let frame = frame.get(usize::from(config & 3)).copied()?;
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first()? & 0x3f),
    };
    Some(frame * count).filter(|samples| (1..=MAX_SAMPLES).contains(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CELT, 20 ms, stereo, one frame.
    const TOC: u8 = 0xfc;

    fn packet(length: usize) -> Vec<u8> {
        let mut packet = vec![length as u8; length.max(1)];
        packet[0] = TOC;
        packet
    }

    fn file(lengths: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = OpusWriter::new(OpusHead::new(2), 77, &mut out);
        lengths.iter().for_each(|length| writer.write_packet(&packet(*length), &mut out).unwrap());
        writer.finish(&mut out);
        out
    }

    #[test]
    fn types_are_send_sync_debug() {
        fn check<T: Send + Sync + std::fmt::Debug>() {}
        check::<OpusReader>();
        check::<OpusWriter>();
        check::<crate::ivf::Reader>();
        check::<crate::ivf::Writer>();
    }

    #[test]
    fn what_is_written_reads_back() {
        let lengths: Vec<usize> = (1..1_200).chain([61_440, 1, 255, 510, 61_440]).collect();
        let mut reader = OpusReader::new(file(&lengths).into()).unwrap();
        assert_eq!(*reader.head(), OpusHead::new(2));
        for (i, length) in lengths.iter().enumerate() {
            let read = reader.next_packet().unwrap().unwrap();
            assert_eq!(read.data, packet(*length));
            assert_eq!((read.samples, read.duration()), (960, Duration::from_millis(20)));
            assert_eq!(read.timestamp, Duration::from_millis(20) * i as u32);
        }
        assert!(reader.next_packet().is_none());
    }

    #[test]
    fn pages_are_as_the_rfc_wants_them() {
        let pages: Vec<_> = Pages::new(file(&[100; 120]).into()).map(Result::unwrap).collect();
        assert_eq!(pages.len(), 5, "two headers, two full seconds and the rest");
        assert!(pages[0].begin && pages[1..].iter().all(|page| !page.begin));
        assert!(pages[4].end && pages[..4].iter().all(|page| !page.end));
        let granules: Vec<_> = pages.iter().map(|page| page.granule).collect();
        assert_eq!(granules, [0, 0, 48_000, 96_000, 115_200]);
        assert_eq!(pages[0].body.len(), 19);
        assert!(pages.iter().zip(0..).all(|(page, i)| page.sequence == i && page.serial == 77));
    }

    #[test]
    fn an_empty_file_ends_at_once() {
        assert!(OpusReader::new(file(&[]).into()).unwrap().next_packet().is_none());
        assert_eq!(OpusReader::new(Bytes::new()).unwrap_err(), ParseError::Head);
    }

    #[test]
    fn what_is_not_opus_is_refused() {
        let mut out = Vec::new();
        let mut writer = OpusWriter::new(OpusHead::new(1), 1, &mut out);
        let before = out.len();
        assert_eq!(writer.write_packet(&[], &mut out), Err(WriteError::Packet));
        assert_eq!(writer.write_packet(&[0xff], &mut out), Err(WriteError::Packet));
        assert_eq!(writer.write_packet(&[0xff, 0], &mut out), Err(WriteError::Packet));
        assert_eq!(writer.write_packet(&packet(61_441), &mut out), Err(WriteError::TooLong));
        assert_eq!(out.len(), before);
    }

    #[test]
    fn streams_of_other_codecs_are_skipped() {
        let mut other = Page {
            continued: false,
            begin: true,
            end: false,
            granule: 0,
            serial: 1,
            sequence: 0,
            segments: Bytes::from_static(&[6]),
            body: Bytes::from_static(b"theora"),
        };
        let mut mixed = Vec::new();
        other.write(&mut mixed);
        mixed.extend_from_slice(&file(&[5]));
        assert_eq!(OpusReader::new(mixed.into()).unwrap().next_packet().unwrap().unwrap().data, packet(5));
        other.begin = false;
        let mut none = Vec::new();
        other.write(&mut none);
        assert_eq!(OpusReader::new(none.into()).unwrap_err(), ParseError::Head);
    }

    #[test]
    fn heads_are_checked() {
        let good = OpusHead { gain: -256, ..OpusHead::new(2) }.packet();
        assert_eq!(OpusHead::parse(&good).unwrap().gain, -256);
        for end in 0..good.len() {
            assert_eq!(OpusHead::parse(&good[..end]), None);
        }
        for (place, value) in [(0, b'o'), (8, 16), (9, 0), (9, 3)] {
            let mut bad = good.clone();
            bad[place] = value;
            assert_eq!(OpusHead::parse(&bad), None, "{place}");
        }
        let mut surround = good;
        (surround[9], surround[18]) = (6, 1);
        assert_eq!(OpusHead::parse(&surround).map(|head| head.channels), Some(6));
    }

    #[test]
    fn no_prefix_and_no_changed_octet_panics() {
        let good = file(&[1, 2, 300, 60]);
        let visit = |file: Vec<u8>| {
            let Ok(mut reader) = OpusReader::new(file.into()) else { return };
            let mut count = 0;
            while reader.next_packet().is_some() {
                count += 1;
                assert!(count < 1_000);
            }
        };
        for end in 0..good.len() {
            visit(good[..end].to_vec());
        }
        for place in 0..good.len() {
            for value in 0..=255 {
                let mut changed = good.clone();
                changed[place] = value;
                visit(changed);
            }
        }
    }

    #[test]
    fn a_damaged_page_costs_its_packets_only() {
        let mut damaged = file(&[100; 120]);
        let place = damaged.len() / 2;
        damaged[place] ^= 1;
        let mut reader = OpusReader::new(damaged.into()).unwrap();
        let (mut good, mut errors) = (0, Vec::new());
        while let Some(read) = reader.next_packet() {
            match read {
                Ok(_) => good += 1,
                Err(error) => errors.push(error),
            }
        }
        assert_eq!(errors, [ParseError::Checksum, ParseError::Gap]);
        assert_eq!(good, 70);
    }
}
