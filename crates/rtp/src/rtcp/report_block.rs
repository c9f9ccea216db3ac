//! The report block of SR and RR (RFC 3550 section 6.4.1).
//!
//! ```text
//! |                 SSRC_1 (SSRC of first source)                 |
//! | fraction lost |       cumulative number of packets lost       |
//! |           extended highest sequence number received           |
//! |                      interarrival jitter                      |
//! |                         last SR (LSR)                         |
//! |                   delay since last SR (DLSR)                  |
//! ```

use taut_sansio::codec::Reader;

use super::{ParseError, header};
use crate::Ssrc;

/// The range of a signed number of 24 bits.
const LOST_RANGE: std::ops::RangeInclusive<i32> = -0x80_0000..=0x7f_ffff;

/// What a receiver saw of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The source reported on.
    pub ssrc: Ssrc,
    /// The fraction of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// The packets lost since the beginning; duplicates can make it negative. Written clamped to 24 bits.
    pub cumulative_lost: i32,
    /// The highest sequence number received, with the count of its wraps in the high half.
    pub highest_sequence: u32,
    /// The interarrival jitter, in units of the payload's clock.
    pub jitter: u32,
    /// The middle 32 bits of the NTP timestamp of the last sender report; 0 if there was none.
    pub last_sender_report: u32,
    /// The delay since that report, in 1/65,536 s; 0 if there was none.
    pub delay_since_last: u32,
}

impl ReportBlock {
    /// The octets of a block.
    pub(super) const LEN: usize = 24;

    /// Parses one block.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let ssrc = Ssrc::new(reader.u32()?);
        let loss = reader.u32()?;
        Ok(Self {
            ssrc,
            fraction_lost: (loss >> 24) as u8,
            cumulative_lost: ((loss << 8) as i32) >> 8,
            highest_sequence: reader.u32()?,
            jitter: reader.u32()?,
            last_sender_report: reader.u32()?,
            delay_since_last: reader.u32()?,
        })
    }

    /// How many octets [`write`](Self::write) appends.
    pub fn encoded_len(&self) -> usize {
        Self::LEN
    }

    /// Appends the block.
    pub fn write(&self, out: &mut Vec<u8>) {
        let lost = self.cumulative_lost.clamp(*LOST_RANGE.start(), *LOST_RANGE.end());
        let loss = (u32::from(self.fraction_lost) << 24) | (lost as u32 & 0x00ff_ffff);
        for word in [
            self.ssrc.get(),
            loss,
            self.highest_sequence,
            self.jitter,
            self.last_sender_report,
            self.delay_since_last,
        ] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    }

    /// Parses `count` blocks, at most 31.
    pub(super) fn parse_list(count: u8, reader: &mut Reader<'_>) -> Result<Vec<Self>, ParseError> {
        (0..count).map(|_| Self::parse(reader)).collect()
    }
}

/// What ends a sender report and a receiver report alike: report blocks and a profile-specific extension (RFC 3550
/// section 6.4), as many and as much of them as one packet can hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail<'a> {
    reports: &'a [ReportBlock],
    extension: &'a [u8],
}

impl<'a> Tail<'a> {
    /// The tail of a report with `info_len` octets between its header and its blocks.
    pub(super) fn new(info_len: usize, reports: &'a [ReportBlock], extension: &'a [u8]) -> Self {
        let room = header::MAX_BODY - info_len - header::MAX_COUNT * ReportBlock::LEN;
        Self {
            reports: reports.get(..header::MAX_COUNT).unwrap_or(reports),
            extension: extension.get(..room).unwrap_or(extension),
        }
    }

    /// The count of the header.
    pub(super) fn count(&self) -> u8 {
        // At most MAX_COUNT.
        self.reports.len() as u8
    }

    /// How many octets [`write`](Self::write) appends.
    pub(super) fn encoded_len(&self) -> usize {
        self.reports.len() * ReportBlock::LEN + self.extension.len().next_multiple_of(4)
    }

    /// Appends the blocks and the extension, filled up to a multiple of four octets.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        self.reports.iter().for_each(|block| block.write(out));
        out.extend_from_slice(self.extension);
        header::fill(self.extension.len(), out);
    }
}

#[cfg(test)]
mod tests {
    use taut_sansio::assert_wire;

    use super::*;

    #[test]
    fn loss_is_signed() {
        let block =
            ReportBlock { ssrc: Ssrc::new(9), fraction_lost: 255, jitter: 4, ..ReportBlock::default() };
        for cumulative_lost in [0, 1, -1, 0x7f_ffff, -0x80_0000] {
            assert_wire!(ReportBlock, ReportBlock { cumulative_lost, ..block });
        }
        let mut out = Vec::new();
        ReportBlock { cumulative_lost: i32::MIN, ..block }.write(&mut out);
        assert_eq!(ReportBlock::parse(&mut Reader::new(&out)).unwrap().cumulative_lost, -0x80_0000);
    }
}
