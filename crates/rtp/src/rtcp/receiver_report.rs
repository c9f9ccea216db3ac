//! RR, the receiver report (RFC 3550 section 6.4.2).
//!
//! ```text
//! |V=2|P|    RC   |   PT=RR=201   |             length            |
//! |                     SSRC of packet sender                     |
//! |                        report blocks …                        |
//! |                  profile-specific extensions                  |
//! ```

use bytes::Bytes;
use taut_sansio::codec::Reader;

use super::header::{self, Header};
use super::report_block::Tail;
use super::{ParseError, ReportBlock};
use crate::Ssrc;

/// What a participant received of others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceiverReport {
    /// The source that reports.
    pub ssrc: Ssrc,
    /// What was received of others. Only the first 31 are written.
    pub reports: Vec<ReportBlock>,
    /// Profile-specific extensions, kept as they are. Parsed ones are whole words.
    pub extension: Bytes,
}

impl ReceiverReport {
    /// The octets between the header and the blocks.
    const INFO_LEN: usize = 4;

    pub(super) fn from_body(count: u8, mut body: Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            ssrc: Ssrc::new(body.u32()?),
            reports: ReportBlock::parse_list(count, &mut body)?,
            extension: Bytes::copy_from_slice(body.rest()),
        })
    }

    /// Parses one packet with its header.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let (header, body) = Header::expect(reader, header::RR, None)?;
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
        header::write(header::RR, self.tail().count(), self.encoded_len(), out);
        out.extend_from_slice(&self.ssrc.get().to_be_bytes());
        self.tail().write(out);
    }
}

#[cfg(test)]
mod tests {
    use taut_sansio::assert_wire;

    use super::*;

    #[test]
    fn it_round_trips() {
        assert_wire!(ReceiverReport, ReceiverReport::default());
        assert_wire!(
            ReceiverReport,
            ReceiverReport {
                ssrc: Ssrc::new(1),
                reports: vec![ReportBlock { jitter: 3, ..ReportBlock::default() }; 2],
                extension: Bytes::from_static(&[0; 8]),
            }
        );
    }
}
