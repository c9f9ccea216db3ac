//! RTCP (RFC 3550 section 6; feedback of RFC 4585 and RFC 5104): a file per packet kind, and compound packets.
//!
//! Each kind has `parse(&mut Reader)`, `encoded_len` and `write` for a whole packet with its header; [`compound`]
//! walks the packets of a datagram. A datagram need not begin with a report (reduced size, RFC 5506).

mod app;
mod bye;
mod compound;
mod fir;
mod header;
mod nack;
mod pli;
mod receiver_report;
mod report_block;
mod sdes;
mod sender_report;

use bytes::Bytes;
use taut_sansio::codec::Reader;

pub use app::Application;
pub use bye::Goodbye;
pub use compound::{Compound, compound};
pub use fir::{FirEntry, FullIntraRequest};
pub use nack::{Nack, NackPair};
pub use pli::PictureLossIndication;
pub use receiver_report::ReceiverReport;
pub use report_block::ReportBlock;
pub use sdes::{SdesChunk, SdesItem, SdesKind, SourceDescription};
pub use sender_report::SenderReport;

use header::Header;

/// Why octets are not an RTCP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The octets end within a field, or the length of the packet is less than its content.
    #[error("the RTCP packet ends too early")]
    Short,
    /// The version is not 2.
    #[error("the RTCP version is not 2")]
    Version,
    /// The packet goes beyond the datagram.
    #[error("the RTCP length goes beyond the datagram")]
    Length,
    /// The padding count is zero, no multiple of four, or beyond the packet.
    #[error("the RTCP padding count is wrong")]
    Padding,
    /// The packet is of another kind than asked for.
    #[error("the RTCP packet is of another kind")]
    Kind,
}

impl From<taut_sansio::codec::Short> for ParseError {
    fn from(_: taut_sansio::codec::Short) -> Self {
        Self::Short
    }
}

/// One packet of a compound.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet {
    /// SR, packet type 200.
    SenderReport(SenderReport),
    /// RR, packet type 201.
    ReceiverReport(ReceiverReport),
    /// SDES, packet type 202.
    SourceDescription(SourceDescription),
    /// BYE, packet type 203.
    Goodbye(Goodbye),
    /// APP, packet type 204.
    Application(Application),
    /// Generic NACK, RTPFB format 1.
    Nack(Nack),
    /// PLI, PSFB format 1.
    PictureLossIndication(PictureLossIndication),
    /// FIR, PSFB format 4.
    FullIntraRequest(FullIntraRequest),
    /// Any other packet, kept as it is.
    Unknown(Unknown),
}

impl Packet {
    /// Parses one packet with its header.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let (header, body) = Header::parse(reader)?;
        Self::from_body(header, body)
    }

    /// Parses what follows a header.
    fn from_body(header: Header, body: Reader<'_>) -> Result<Self, ParseError> {
        Ok(match (header.packet_type, header.count) {
            (header::SR, count) => Self::SenderReport(SenderReport::from_body(count, body)?),
            (header::RR, count) => Self::ReceiverReport(ReceiverReport::from_body(count, body)?),
            (header::SDES, count) => Self::SourceDescription(SourceDescription::from_body(count, body)?),
            (header::BYE, count) => Self::Goodbye(Goodbye::from_body(count, body)?),
            (header::APP, subtype) => Self::Application(Application::from_body(subtype, body)?),
            (header::RTPFB, nack::FORMAT) => Self::Nack(Nack::from_body(body)?),
            (header::PSFB, pli::FORMAT) => {
                Self::PictureLossIndication(PictureLossIndication::from_body(body)?)
            }
            (header::PSFB, fir::FORMAT) => Self::FullIntraRequest(FullIntraRequest::from_body(body)?),
            (packet_type, count) => Self::Unknown(Unknown::from_body(packet_type, count, body)),
        })
    }

    /// How many octets [`write`](Self::write) appends, a multiple of four.
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::SenderReport(packet) => packet.encoded_len(),
            Self::ReceiverReport(packet) => packet.encoded_len(),
            Self::SourceDescription(packet) => packet.encoded_len(),
            Self::Goodbye(packet) => packet.encoded_len(),
            Self::Application(packet) => packet.encoded_len(),
            Self::Nack(packet) => packet.encoded_len(),
            Self::PictureLossIndication(packet) => packet.encoded_len(),
            Self::FullIntraRequest(packet) => packet.encoded_len(),
            Self::Unknown(packet) => packet.encoded_len(),
        }
    }

    /// Appends the packet with its header.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::SenderReport(packet) => packet.write(out),
            Self::ReceiverReport(packet) => packet.write(out),
            Self::SourceDescription(packet) => packet.write(out),
            Self::Goodbye(packet) => packet.write(out),
            Self::Application(packet) => packet.write(out),
            Self::Nack(packet) => packet.write(out),
            Self::PictureLossIndication(packet) => packet.write(out),
            Self::FullIntraRequest(packet) => packet.write(out),
            Self::Unknown(packet) => packet.write(out),
        }
    }
}

/// A packet of a kind that is not interpreted here (XR, transport feedback, REMB, …).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The packet type.
    pub packet_type: u8,
    /// The five bits of count, subtype or format.
    pub count: u8,
    /// What follows the header, without padding; cut to 65,535 words and zero-filled to a word when written.
    pub body: Bytes,
}

impl Unknown {
    fn from_body(packet_type: u8, count: u8, mut body: Reader<'_>) -> Self {
        Self { packet_type, count, body: Bytes::copy_from_slice(body.rest()) }
    }

    fn written(&self) -> &[u8] {
        self.body.get(..header::MAX_BODY).unwrap_or(&self.body)
    }

    /// How many octets [`write`](Self::write) appends.
    pub fn encoded_len(&self) -> usize {
        header::LEN + self.written().len().next_multiple_of(4)
    }

    /// Parses one packet of any kind.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let (header, body) = Header::parse(reader)?;
        Ok(Self::from_body(header.packet_type, header.count, body))
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        header::write(self.packet_type, self.count, self.encoded_len(), out);
        out.extend_from_slice(self.written());
        header::fill(self.written().len(), out);
    }
}

#[cfg(test)]
mod tests {
    use taut_sansio::assert_wire;

    use super::*;

    #[test]
    fn unknown_packets_are_kept() {
        assert_wire!(Unknown, Unknown { packet_type: 207, count: 3, body: Bytes::from_static(&[1; 8]) });
        assert_wire!(Unknown, Unknown { packet_type: 255, count: 31, body: Bytes::new() });
        let twcc = [0x8f, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        let packet = Packet::parse(&mut Reader::new(&twcc)).unwrap();
        assert!(matches!(&packet, Packet::Unknown(unknown) if unknown.count == 15));
        let mut out = Vec::new();
        packet.write(&mut out);
        assert_eq!(out, twcc);
    }

    #[test]
    fn an_oversized_body_is_cut() {
        let unknown = Unknown { packet_type: 207, count: 0, body: Bytes::from(vec![0; 300_001]) };
        let mut out = Vec::new();
        unknown.write(&mut out);
        assert_eq!(out.len(), unknown.encoded_len());
        assert!(Unknown::parse(&mut Reader::new(&out)).is_ok());
    }
}
