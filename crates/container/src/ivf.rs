//! IVF, the simple container of the libvpx tools: a header, then frames with a timestamp each. All numbers are
//! little-endian. There is no standard; this is what libvpx, libaom and FFmpeg write and read.
//!
//! ```text
//! file:   "DKIF" | version 0 (2) | header length 32 (2) | FourCC (4) | width (2) | height (2)
//!         | time base denominator (4) | time base numerator (4) | number of frames (4) | unused (4)
//! frame:  | length (4) | timestamp in units of the time base (8) | data … |
//! ```

use std::time::Duration;

use bytes::{Buf, Bytes};
use taut_sansio::codec::{Reader as Octets, Short};

/// The octets of the file header.
const HEADER_LEN: usize = 32;
/// The octets of a frame header.
const FRAME_HEADER_LEN: usize = 12;
/// Nanoseconds in a second.
const NANOS: u128 = 1_000_000_000;

/// Why octets are not an IVF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The file does not begin with "DKIF".
    #[error("not an IVF file")]
    Signature,
    /// The version is not 0.
    #[error("the IVF version is not 0")]
    Version,
    /// The file ends within a header or a frame.
    #[error("the IVF file ends too early")]
    Truncated,
    /// The header says that it is shorter than 32 octets.
    #[error("the IVF header length is wrong")]
    HeaderLength,
    /// The time base has a zero.
    #[error("the IVF time base is zero")]
    TimeBase,
    /// A timestamp is beyond what a `Duration` holds.
    #[error("an IVF timestamp is out of range")]
    Timestamp,
}

impl From<Short> for ParseError {
    fn from(_: Short) -> Self {
        Self::Truncated
    }
}

/// The unit of timestamps: `numerator / denominator` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBase {
    numerator: u32,
    denominator: u32,
}

impl TimeBase {
    /// A unit of `numerator / denominator` seconds; `None` if one of them is zero.
    pub const fn new(numerator: u32, denominator: u32) -> Option<Self> {
        if numerator == 0 || denominator == 0 { None } else { Some(Self { numerator, denominator }) }
    }

    /// The numerator in seconds, not zero.
    pub const fn numerator(self) -> u32 {
        self.numerator
    }

    /// The denominator, not zero.
    pub const fn denominator(self) -> u32 {
        self.denominator
    }

    fn duration(self, ticks: u64) -> Option<Duration> {
        // 64 + 32 bits, and then 30 for the nanoseconds of the rest: it fits.
        let product = u128::from(ticks) * u128::from(self.numerator);
        let denominator = u128::from(self.denominator);
        let seconds = u64::try_from(product / denominator).ok()?;
        let nanos = u32::try_from(product % denominator * NANOS / denominator).ok()?;
        Some(Duration::new(seconds, nanos))
    }

    fn ticks(self, time: Duration) -> Option<u64> {
        // At most 64 + 30 + 32 bits: it fits. Rounded to the nearest.
        let product = time.as_nanos() * u128::from(self.denominator);
        let unit = NANOS * u128::from(self.numerator);
        u64::try_from((product + unit / 2) / unit).ok()
    }
}

/// The file header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The codec, such as `*b"VP80"`.
    pub fourcc: [u8; 4],
    /// The width in pixels.
    pub width: u16,
    /// The height in pixels.
    pub height: u16,
    /// The unit of timestamps.
    pub time_base: TimeBase,
    /// The number of frames; writers that cannot seek leave it wrong, so it is not to be trusted.
    pub frames: u32,
}

impl Header {
    fn parse(octets: &mut Octets<'_>) -> Result<Self, ParseError> {
        if octets.array()? != *b"DKIF" {
            return Err(ParseError::Signature);
        }
        if octets.array()? != [0, 0] {
            return Err(ParseError::Version);
        }
        let length = usize::from(u16::from_le_bytes(octets.array()?));
        let fourcc = octets.array()?;
        let width = u16::from_le_bytes(octets.array()?);
        let height = u16::from_le_bytes(octets.array()?);
        let denominator = u32::from_le_bytes(octets.array()?);
        let numerator = u32::from_le_bytes(octets.array()?);
        let frames = u32::from_le_bytes(octets.array()?);
        octets.skip(4)?;
        octets.skip(length.checked_sub(HEADER_LEN).ok_or(ParseError::HeaderLength)?)?;
        let time_base = TimeBase::new(numerator, denominator).ok_or(ParseError::TimeBase)?;
        Ok(Self { fourcc, width, height, time_base, frames })
    }

    /// Appends the header, 32 octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"DKIF\0\0\x20\0");
        out.extend_from_slice(&self.fourcc);
        out.extend_from_slice(&self.width.to_le_bytes());
        out.extend_from_slice(&self.height.to_le_bytes());
        out.extend_from_slice(&self.time_base.denominator.to_le_bytes());
        out.extend_from_slice(&self.time_base.numerator.to_le_bytes());
        out.extend_from_slice(&self.frames.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
    }
}

/// A frame of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// When it is shown, from the start of the file.
    pub timestamp: Duration,
    /// The encoded frame, a slice of the file.
    pub data: Bytes,
}

/// Reads a file.
#[derive(Debug, Clone)]
pub struct Reader {
    header: Header,
    rest: Bytes,
}

impl Reader {
    /// Reads the header of a file.
    pub fn new(file: Bytes) -> Result<Self, ParseError> {
        let mut octets = Octets::new(&file);
        let header = Header::parse(&mut octets)?;
        let rest = file.slice_ref(octets.rest());
        Ok(Self { header, rest })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next frame; `None` at the end. After an error comes `None`.
    pub fn next_frame(&mut self) -> Option<Result<Frame, ParseError>> {
        if self.rest.is_empty() {
            return None;
        }
        let frame = self.parse_frame();
        if frame.is_err() {
            self.rest = Bytes::new();
        }
        Some(frame)
    }

    fn parse_frame(&mut self) -> Result<Frame, ParseError> {
        let mut octets = Octets::new(&self.rest);
        let length = u32::from_le_bytes(octets.array()?);
        let ticks = u64::from_le_bytes(octets.array()?);
        let length = usize::try_from(length).map_err(|_| ParseError::Truncated)?;
        let data = self.rest.slice_ref(octets.take(length)?);
        let timestamp = self.header.time_base.duration(ticks).ok_or(ParseError::Timestamp)?;
        // Both were just read: they are not longer than what is left.
        self.rest.advance(FRAME_HEADER_LEN + length);
        Ok(Frame { timestamp, data })
    }
}

/// Why a frame cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The frame is longer than 4 GiB.
    #[error("the frame is too long for IVF")]
    TooLong,
    /// The timestamp has more than 64 bits in the time base of the file.
    #[error("the timestamp is out of range for IVF")]
    Timestamp,
}

/// Writes a file.
#[derive(Debug, Clone)]
pub struct Writer {
    header: Header,
}

impl Writer {
    /// Appends the header to `out`. Its number of frames is written as it is given.
    pub fn new(header: Header, out: &mut Vec<u8>) -> Self {
        header.write(out);
        Self { header: Header { frames: 0, ..header } }
    }

    /// Appends a frame. An error leaves `out` as it was.
    pub fn write_frame(
        &mut self,
        timestamp: Duration,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        let length = u32::try_from(data.len()).map_err(|_| WriteError::TooLong)?;
        let ticks = self.header.time_base.ticks(timestamp).ok_or(WriteError::Timestamp)?;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&ticks.to_le_bytes());
        out.extend_from_slice(data);
        self.header.frames = self.header.frames.saturating_add(1);
        Ok(())
    }

    /// The header with the number of frames written, to be put over the first 32 octets of the file.
    pub fn finish(self) -> Header {
        self.header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let time_base = TimeBase::new(1, 30).unwrap();
        Header { fourcc: *b"VP80", width: 640, height: 480, time_base, frames: 0 }
    }

    fn file() -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(header(), &mut out);
        for i in 0..5u32 {
            writer
                .write_frame(Duration::from_secs(1) * i / 30, &vec![i as u8; i as usize * 3], &mut out)
                .unwrap();
        }
        let mut start = Vec::new();
        writer.finish().write(&mut start);
        out[..32].copy_from_slice(&start);
        out
    }

    #[test]
    fn what_is_written_reads_back() {
        let file = Bytes::from(file());
        let range = file.as_ptr_range();
        let mut reader = Reader::new(file).unwrap();
        assert_eq!(*reader.header(), Header { frames: 5, ..header() });
        for i in 0..5u32 {
            let frame = reader.next_frame().unwrap().unwrap();
            assert_eq!(frame.data, vec![i as u8; i as usize * 3]);
            assert_eq!(frame.timestamp.as_millis(), u128::from(i) * 1000 / 30);
            assert!(frame.data.is_empty() || range.contains(&frame.data.as_ptr()), "frames are slices");
        }
        assert!(reader.next_frame().is_none());
    }

    #[test]
    fn the_header_has_the_layout_of_the_tools() {
        let mut out = Vec::new();
        header().write(&mut out);
        assert_eq!(out, b"DKIF\0\0\x20\0VP80\x80\x02\xe0\x01\x1e\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0");
    }

    #[test]
    fn every_prefix_ends_with_an_error_or_at_a_frame() {
        let file = file();
        for end in 0..file.len() {
            let Ok(mut reader) = Reader::new(Bytes::copy_from_slice(&file[..end])) else {
                assert!(end < 32);
                continue;
            };
            let mut read = 32;
            while let Some(frame) = reader.next_frame() {
                match frame {
                    Ok(frame) => read += 12 + frame.data.len(),
                    Err(error) => {
                        assert_eq!(error, ParseError::Truncated);
                        assert!(reader.next_frame().is_none());
                        read = end;
                    }
                }
            }
            assert_eq!(read, end);
        }
    }

    #[test]
    fn no_changed_octet_panics() {
        let good = file();
        for place in 0..good.len() {
            for value in 0..=255 {
                let mut changed = good.clone();
                changed[place] = value;
                if let Ok(mut reader) = Reader::new(Bytes::from(changed)) {
                    while let Some(Ok(_)) = reader.next_frame() {}
                }
            }
        }
    }

    #[test]
    fn wrong_headers_are_told_apart() {
        let error = |place: usize, value: u8| {
            let mut changed = file();
            changed[place] = value;
            Reader::new(Bytes::from(changed)).unwrap_err()
        };
        assert_eq!(error(0, b'd'), ParseError::Signature);
        assert_eq!(error(4, 1), ParseError::Version);
        assert_eq!(error(6, 31), ParseError::HeaderLength);
        assert_eq!(error(7, 0xff), ParseError::Truncated);
        assert_eq!(error(16, 0), ParseError::TimeBase);
        assert_eq!(error(20, 0), ParseError::TimeBase);
    }

    #[test]
    fn extreme_timestamps_do_not_overflow() {
        let coarse = TimeBase::new(u32::MAX, 1).unwrap();
        assert_eq!(coarse.duration(u64::MAX), None);
        assert_eq!(coarse.ticks(Duration::MAX), Some(u64::MAX / u64::from(u32::MAX)));
        let fine = TimeBase::new(1, u32::MAX).unwrap();
        assert!(fine.duration(u64::MAX).is_some());
        assert_eq!(fine.ticks(Duration::MAX), None);
        let mut out = Vec::new();
        let mut writer = Writer::new(Header { time_base: fine, ..header() }, &mut out);
        assert_eq!(writer.write_frame(Duration::MAX, &[], &mut out), Err(WriteError::Timestamp));
        assert_eq!(out.len(), 32, "an error leaves the output as it was");
    }
}
