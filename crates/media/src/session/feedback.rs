//! RTCP: what the other side tells, and what it is told.

use std::time::Instant;

use bytes::Bytes;
use taut_rtp::Ssrc;
use taut_rtp::rtcp::{
    self, FirEntry, FullIntraRequest, Goodbye, Nack, Packet, PictureLossIndication, ReportBlock,
};
use taut_sansio::time::ntp_middle;

use super::{Due, Session};
use crate::config::SenderId;
use crate::limits::MAX_BLOCKS;
use crate::receive::{KeyframeRequest, Stream};
use crate::report::{Compound, blocks_in, description, receiver_report, sender_report};

/// The octets of a NACK without its pairs, and of a pair.
const NACK_LEN: usize = 12;
const PAIR_LEN: usize = 4;
/// The octets of the largest request for a keyframe.
const KEYFRAME_REQUEST_LEN: usize = 20;
/// With less room nothing is written: a report, the longest name, and one more packet must fit, so that each
/// compound says something new.
const MIN_ROOM: usize = 448;

impl Session {
    // ---- what the other side tells

    /// Takes an RTCP compound in the clear, full or of reduced size.
    pub fn handle_rtcp(&mut self, now: Instant, datagram: Bytes) {
        let now = self.tick(now);
        self.news = Due::Yes;
        for packet in rtcp::compound(&datagram) {
            match packet {
                Ok(packet) => self.on_rtcp(now, packet),
                Err(error) => {
                    tracing::trace!(%error, "RTCP that cannot be read");
                    self.stats.rtcp_malformed += 1;
                }
            }
        }
    }

    fn on_rtcp(&mut self, now: Instant, packet: Packet) {
        match packet {
            Packet::SenderReport(report) => {
                match self.stream(report.ssrc) {
                    Some(stream) => stream.on_sender_report(now, &report),
                    None => self.stats.rtcp_unknown_source += 1,
                }
                report.reports.iter().for_each(|block| self.on_block(now, block));
            }
            Packet::ReceiverReport(report) => {
                report.reports.iter().for_each(|block| self.on_block(now, block))
            }
            Packet::Nack(nack) => self.on_nack(now, &nack),
            Packet::PictureLossIndication(pli) => match self.sender(pli.media) {
                Some(id) => {
                    if let Some(sender) = self.senders.get_mut(&id) {
                        sender.on_pli(now, &mut self.stats);
                    }
                }
                None => self.stats.rtcp_unknown_source += 1,
            },
            Packet::FullIntraRequest(fir) => fir.entries.iter().for_each(|entry| self.on_fir(now, entry)),
            Packet::Goodbye(goodbye) => goodbye.ssrcs.iter().for_each(|ssrc| self.on_goodbye(now, *ssrc)),
            // Names are known from signalling; the rest was not negotiated.
            _ => {}
        }
    }

    fn on_block(&mut self, now: Instant, block: &ReportBlock) {
        let middle = ntp_middle(self.clock.ntp(now));
        let sender = self.sender(block.ssrc).and_then(|id| self.senders.get_mut(&id));
        let Some(sender) = sender else {
            self.stats.rtcp_unknown_source += u64::from(!self.is_repair(block.ssrc));
            return;
        };
        if let Some(rtt) = sender.on_report(now, middle, block, &mut self.stats) {
            self.rtt.on_sample(rtt);
        }
    }

    fn on_nack(&mut self, now: Instant, nack: &Nack) {
        let Some(id) = self.sender(nack.media) else {
            self.stats.rtcp_unknown_source += 1;
            return;
        };
        if let Some(sender) = self.senders.get_mut(&id) {
            let packets = sender.on_nack(now, self.rtt.get(), nack.missing(), &mut self.stats);
            self.lanes.on_repairs(id, packets);
        }
    }

    fn on_fir(&mut self, now: Instant, entry: &FirEntry) {
        let id = self.sender(entry.ssrc);
        match id.and_then(|id| self.senders.get_mut(&id)) {
            Some(sender) => sender.on_fir(now, entry.sequence, &mut self.stats),
            None => self.stats.rtcp_unknown_source += 1,
        }
    }

    fn on_goodbye(&mut self, now: Instant, ssrc: Ssrc) {
        let rtt = self.rtt.get();
        let known = self.receivers.values_mut().any(|receiver| {
            let cx = receiver.context(now, rtt);
            receiver.on_goodbye(cx, ssrc.get())
        });
        self.stats.rtcp_unknown_source += u64::from(!known);
    }

    fn stream(&mut self, ssrc: Ssrc) -> Option<&mut Stream> {
        let mut streams = self.receivers.values_mut().flat_map(|receiver| receiver.streams_mut());
        streams.find(|stream| stream.ssrc() == ssrc.get())
    }

    fn sender(&self, ssrc: Ssrc) -> Option<SenderId> {
        let found = self.senders.iter().find(|(_, sender)| sender.config().ssrc == ssrc.get());
        found.map(|(id, _)| *id)
    }

    /// True for a source of retransmissions: reports about it are right, and of no use.
    fn is_repair(&self, ssrc: Ssrc) -> bool {
        self.senders.values().any(|sender| sender.config().rtx_ssrc == Some(ssrc.get()))
    }

    // ---- what it is told

    /// Appends the next RTCP compound of at most `room` octets, in the clear, and gives its length. With less than
    /// 448 octets of room it gives none.
    pub fn poll_rtcp(&mut self, now: Instant, room: usize, out: &mut Vec<u8>) -> Option<usize> {
        let now = self.tick(now);
        if self.schedule.take_due(now, &mut self.rng) {
            self.collect_reports(now);
        }
        let reports = self.due.any == Due::Yes || !self.goodbyes.is_empty();
        if room < MIN_ROOM || (!reports && !self.wants_feedback()) {
            return None;
        }
        let mut compound = Compound::new(out, room);
        if (reports || !self.config.reduced_size) && !self.write_reports(now, &mut compound) {
            return compound.finish();
        }
        self.write_feedback(&mut compound);
        self.write_goodbyes(&mut compound);
        compound.finish()
    }

    /// Gathers what the reports that are due have to tell.
    pub(super) fn collect_reports(&mut self, now: Instant) {
        self.due.any = Due::Yes;
        self.due.senders = self.senders.keys().copied().collect();
        let streams = self.receivers.values_mut().flat_map(|receiver| receiver.streams_mut());
        self.due.blocks =
            streams.filter(|stream| stream.has_news()).map(|stream| stream.report_block(now)).collect();
    }

    /// Writes reports and the names of those that report; false if there is no room even for that.
    fn write_reports(&mut self, now: Instant, compound: &mut Compound<'_>) -> bool {
        let ntp = self.clock.ntp(now);
        let mut ssrcs = Vec::new();
        while let Some(id) = self.due.senders.last() {
            let report = self.senders.get(id).and_then(|sender| sender.report(now, ntp));
            if let Some(report) = report {
                let ssrc = report.ssrc.get();
                let empty = sender_report(report.clone(), Vec::new());
                let names = description(&[&ssrcs[..], &[ssrc]].concat(), &self.config.cname);
                let Some(left) = compound.room().checked_sub(empty.encoded_len() + names.encoded_len())
                else {
                    break;
                };
                let blocks = self.take_blocks(left);
                if ssrcs.len() >= MAX_BLOCKS || !compound.push(&sender_report(report, blocks)) {
                    break;
                }
                ssrcs.push(ssrc);
            }
            if let Some(sender) = self.due.senders.pop().and_then(|id| self.senders.get_mut(&id)) {
                sender.on_report_due();
            }
        }
        if ssrcs.is_empty() && !self.write_receiver_report(compound, &mut ssrcs) {
            return false;
        }
        if self.due.senders.is_empty() && self.due.blocks.is_empty() {
            self.due.any = Due::No;
        }
        compound.push(&description(&ssrcs, &self.config.cname))
    }

    fn write_receiver_report(&mut self, compound: &mut Compound<'_>, ssrcs: &mut Vec<u32>) -> bool {
        let ssrc = self.reporting_source();
        let names = description(&[ssrc], &self.config.cname);
        let empty = receiver_report(ssrc, Vec::new());
        let Some(left) = compound.room().checked_sub(empty.encoded_len() + names.encoded_len()) else {
            return false;
        };
        let blocks = self.take_blocks(left);
        ssrcs.push(ssrc);
        compound.push(&receiver_report(ssrc, blocks))
    }

    fn take_blocks(&mut self, room: usize) -> Vec<ReportBlock> {
        let count = self.due.blocks.len().min(MAX_BLOCKS).min(blocks_in(room));
        self.due.blocks.drain(..count).collect()
    }

    /// The source in whose name we report and ask.
    fn reporting_source(&self) -> u32 {
        self.senders.values().next().map_or(self.reporter, |sender| sender.config().ssrc)
    }

    fn wants_feedback(&mut self) -> bool {
        if self.feedback == Due::No {
            return false;
        }
        let wanted =
            self.receivers.values().any(|receiver| receiver.streams().iter().any(Stream::wants_feedback));
        self.feedback = if wanted { Due::Yes } else { Due::No };
        wanted
    }

    fn write_feedback(&mut self, compound: &mut Compound<'_>) {
        let sender = Ssrc::new(self.reporting_source());
        for stream in self.receivers.values_mut().flat_map(|receiver| receiver.streams_mut()) {
            let media = Ssrc::new(stream.ssrc());
            if compound.room() < KEYFRAME_REQUEST_LEN {
                return;
            }
            if let Some(request) = stream.keyframe_request() {
                compound.push(&keyframe_request(request, sender, media));
            }
            // In the worst case each missing packet takes a pair of its own.
            let pairs = compound.room().saturating_sub(NACK_LEN) / PAIR_LEN;
            let missing = stream.take_missing(pairs);
            if !missing.is_empty() {
                compound.push(&Packet::Nack(Nack::new(sender, media, missing)));
            }
        }
    }

    fn write_goodbyes(&mut self, compound: &mut Compound<'_>) {
        let count = self.goodbyes.len().min(MAX_BLOCKS);
        let ssrcs = self.goodbyes.iter().take(count).map(|ssrc| Ssrc::new(*ssrc)).collect();
        let goodbye = Packet::Goodbye(Goodbye { ssrcs, ..Goodbye::default() });
        if count > 0 && compound.push(&goodbye) {
            self.goodbyes.drain(..count);
        }
    }
}

fn keyframe_request(request: KeyframeRequest, sender: Ssrc, media: Ssrc) -> Packet {
    match request {
        KeyframeRequest::Pli => Packet::PictureLossIndication(PictureLossIndication { sender, media }),
        KeyframeRequest::Fir(sequence) => Packet::FullIntraRequest(FullIntraRequest {
            sender,
            media: Ssrc::new(0),
            entries: vec![FirEntry { ssrc: media, sequence }],
        }),
    }
}
