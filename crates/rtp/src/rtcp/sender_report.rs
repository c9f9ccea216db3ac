//! SR, the sender report (RFC 3550 section 6.4.1).
//!
//! ```text
//! |V=2|P|    RC   |   PT=SR=200   |             length            |
//! |                         SSRC of sender                        |
//! |              NTP timestamp, most significant word             |
//! |             NTP timestamp, least significant word             |
//! |                         RTP timestamp                         |
//! |                     sender's packet count                     |
//! |                      sender's octet count                     |
//! |                        report blocks …                        |
//! |                  profile-specific extensions                  |
//! ```

use bytes::Bytes;
use taut_sansio::codec::Reader;

use super::header::{self, Header};
use super::report_block::Tail;
use super::{ParseError, ReportBlock};
use crate::Ssrc;

/// What a source sent, and what it received of others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SenderReport {
    /// The source that reports.
    pub ssrc: Ssrc,
    /// The wall-clock time of the report, 32.32 fixed point seconds since 1900.
    pub ntp: u64,
    /// The same time in units of the payload's clock.
    pub rtp_timestamp: u32,
    /// The packets sent since the beginning, modulo 2^32.
    pub packet_count: u32,
    /// The payload octets sent since the beginning, modulo 2^32.
    pub octet_count: u32,
    /// What was received of others. Only the first 31 are written.
    pub reports: Vec<ReportBlock>,
    /// Profile-specific extensions, kept as they are. Parsed ones are whole words.
    pub extension: Bytes,
}

impl SenderReport {
    /// The octets between the header and the blocks.
    const INFO_LEN: usize = 24;

    pub(super) fn from_body(count: u8, mut body: Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            ssrc: Ssrc::new(body.u32()?),
            ntp: body.u64()?,
            rtp_timestamp: body.u32()?,
            packet_count: body.u32()?,
            octet_count: body.u32()?,
            reports: ReportBlock::parse_list(count, &mut body)?,
            extension: Bytes::copy_from_slice(body.rest()),
        })
    }

    /// Parses one packet with its header.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let (header, body) = Header::expect(reader, header::SR, None)?;
        Self::from_body(header.count, body)
    }

    fn tail(&self) -> Tail<'_> {
        Tail::new(Self::INFO_LEN, &self.reports, &self.extension)
    }

    /// How many octets [`write`](Self::write) appends.
    pub fn encoded_len(&self) -> usize {
        header::LEN + Self::INFO_LEN + self.tail().encoded_len()
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        header::write(header::SR, self.tail().count(), self.encoded_len(), out);
        out.extend_from_slice(&self.ssrc.get().to_be_bytes());
        out.extend_from_slice(&self.ntp.to_be_bytes());
        for word in [self.rtp_timestamp, self.packet_count, self.octet_count] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        self.tail().write(out);
    }
}

#[cfg(test)]
mod tests {
    use taut_sansio::assert_wire;

    use super::*;

    #[test]
    fn it_round_trips() {
        let report = SenderReport {
            ssrc: Ssrc::new(0x1122_3344),
            ntp: 0xe000_0001_8000_0000,
            rtp_timestamp: 90_000,
            packet_count: 5,
            octet_count: 6_000,
            ..SenderReport::default()
        };
        assert_wire!(SenderReport, report.clone());
        assert_wire!(
            SenderReport,
            SenderReport {
                reports: vec![ReportBlock { ssrc: Ssrc::new(3), ..ReportBlock::default() }; 31],
                extension: Bytes::from_static(&[1, 2, 3, 4]),
                ..report
            }
        );
    }

    #[test]
    fn blocks_beyond_the_count_are_not_written_and_missing_ones_are_an_error() {
        let report = SenderReport { reports: vec![ReportBlock::default(); 40], ..SenderReport::default() };
        let mut out = Vec::new();
        report.write(&mut out);
        assert_eq!(out.len(), report.encoded_len());
        assert_eq!(SenderReport::parse(&mut Reader::new(&out)).unwrap().reports.len(), 31);

        let mut short = Vec::new();
        SenderReport::default().write(&mut short);
        short[0] |= 1;
        assert_eq!(SenderReport::parse(&mut Reader::new(&short)), Err(ParseError::Short));
    }
}
