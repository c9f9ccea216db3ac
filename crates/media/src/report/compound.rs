//! A compound being made at the end of the output buffer (RFC 3550 section 6.1): it begins with a report, has a
//! canonical name for each reporting source, and then whatever fits.

use taut_rtp::Ssrc;
use taut_rtp::rtcp::{Packet, ReceiverReport, ReportBlock, SdesChunk, SenderReport, SourceDescription};

/// The octets of a report block.
const BLOCK_LEN: usize = 24;

/// A compound with a bound on its octets.
#[derive(Debug)]
pub(crate) struct Compound<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    room: usize,
}

impl<'a> Compound<'a> {
    /// An empty compound of at most `room` octets.
    pub(crate) fn new(out: &'a mut Vec<u8>, room: usize) -> Self {
        let start = out.len();
        Self { out, start, room }
    }

    /// The octets that are left.
    pub(crate) fn room(&self) -> usize {
        self.room.saturating_sub(self.out.len().saturating_sub(self.start))
    }

    /// Appends a packet if it fits.
    pub(crate) fn push(&mut self, packet: &Packet) -> bool {
        let fits = packet.encoded_len() <= self.room();
        if fits {
            packet.write(self.out);
        }
        fits
    }

    /// The octets of the whole compound; `None` if nothing is in it.
    pub(crate) fn finish(self) -> Option<usize> {
        let len = self.out.len().saturating_sub(self.start);
        (len > 0).then_some(len)
    }
}

/// How many report blocks fit into `room` octets.
pub(crate) fn blocks_in(room: usize) -> usize {
    room / BLOCK_LEN
}

/// A sender report with these blocks.
pub(crate) fn sender_report(mut report: SenderReport, blocks: Vec<ReportBlock>) -> Packet {
    report.reports = blocks;
    Packet::SenderReport(report)
}

/// A receiver report with these blocks.
pub(crate) fn receiver_report(ssrc: u32, blocks: Vec<ReportBlock>) -> Packet {
    let report = ReceiverReport { ssrc: Ssrc::new(ssrc), reports: blocks, ..ReceiverReport::default() };
    Packet::ReceiverReport(report)
}

/// The canonical name of these sources.
pub(crate) fn description(ssrcs: &[u32], cname: &str) -> Packet {
    let chunk = |ssrc: &u32| -> Vec<SdesChunk> { SourceDescription::cname(Ssrc::new(*ssrc), cname).chunks };
    Packet::SourceDescription(SourceDescription { chunks: ssrcs.iter().flat_map(chunk).collect() })
}
