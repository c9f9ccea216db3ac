//! One source that comes in. Its stages are its fields, and [`Stream::receive`] runs a packet through them.

use std::time::{Duration, Instant};

use taut_rtp::rtcp::{ReportBlock, SenderReport};
use taut_rtp::{Packet, SequenceNumber};
use taut_sansio::time::earliest;

use super::clock::Clock;
use super::depacketizer::{Assembled, FrameAssembler, Recovery};
use super::jitter::{Entry, Insert, JitterBuffer};
use super::keyframe::KeyframeDemand;
use super::nack::{NackList, retry_interval};
use super::ready::Ready;
use super::report::{Reporter, lost};
use super::sequence::{Arrival, Sequence};
use crate::config::{CodecConfig, Kind, Mode};
use crate::forwarding::{Keyframe, ends_frame};
use crate::frame::Frame;
use crate::limits::{MAX_HOLD, MAX_NACK_TRIES, MAX_OVERTAKEN};
use crate::stats::ReceiverStats;

/// The shortest time that a packet is waited for: what overtakes usually is not further ahead.
const MIN_HOLD: Duration = Duration::from_millis(20);
/// How many requests a sound packet is worth waiting for: late sound is worse than a gap.
const AUDIO_TRIES: u32 = 3;

/// What a stream is told with each call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    pub(crate) now: Instant,
    pub(crate) rtt: Option<Duration>,
    pub(crate) mode: Mode,
}

/// How the codec of the newest packet is to be treated.
#[derive(Debug, Clone, Copy)]
struct Treatment {
    kind: Kind,
    nack: bool,
    /// The sender can be asked for keyframes.
    keyframes: bool,
    fir: bool,
}

impl Treatment {
    fn of(codec: &CodecConfig) -> Self {
        let kind = codec.codec.kind();
        Self {
            kind,
            nack: codec.nack,
            keyframes: kind == Kind::Video && (codec.pli || codec.fir),
            fir: codec.fir && !codec.pli,
        }
    }

    fn recovery(self) -> Recovery {
        if self.keyframes { Recovery::Keyframe } else { Recovery::Any }
    }
}

/// Whether the first packet of a source is still to be found.
///
/// Pictures begin with a keyframe. What comes before one may have overtaken it, and nobody can decode it sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// What was overtaken is waited for, from the number on, and until then.
    Open { earliest: u64, until: Instant },
    /// Packets are given on.
    Over,
}

/// One source.
#[derive(Debug)]
pub(crate) struct Stream {
    ssrc: u32,
    treatment: Treatment,
    sequence: Sequence,
    clock: Clock,
    nack: NackList,
    jitter: JitterBuffer,
    beginning: Beginning,
    depacketizer: FrameAssembler,
    keyframe: KeyframeDemand,
    report: Reporter,
    stats: ReceiverStats,
    last_packet: Instant,
}

impl Stream {
    /// A source whose first packet has this sequence number.
    pub(crate) fn new(now: Instant, ssrc: u32, first: SequenceNumber, codec: &CodecConfig) -> Self {
        let treatment = Treatment::of(codec);
        let sequence = Sequence::new();
        let first = sequence.index_of(first);
        let beginning = match treatment.keyframes {
            true => Beginning::Open { earliest: first.saturating_sub(MAX_OVERTAKEN), until: now + MIN_HOLD },
            false => Beginning::Over,
        };
        Self {
            ssrc,
            treatment,
            jitter: JitterBuffer::new(first),
            beginning,
            sequence,
            clock: Clock::new(codec.clock_rate),
            nack: NackList::default(),
            depacketizer: FrameAssembler::new(treatment.recovery()),
            keyframe: KeyframeDemand::default(),
            report: Reporter::default(),
            stats: ReceiverStats::new(ssrc, codec.codec, codec.payload_type),
            last_packet: now,
        }
    }

    /// A packet from the source itself.
    pub(crate) fn receive(&mut self, cx: Context, packet: Packet, codec: &CodecConfig, ready: &mut Ready) {
        self.count(cx.now, &packet);
        let index = match self.sequence.accept(packet.sequence) {
            Arrival::New { index, newest } => {
                self.on_new(cx, index, newest);
                index
            }
            Arrival::Restart { index } => {
                self.restart(index);
                index
            }
            Arrival::Duplicate => {
                self.stats.packets_duplicated += 1;
                return;
            }
            Arrival::Stray => {
                self.stats.packets_discarded += 1;
                return;
            }
        };
        self.treatment = Treatment::of(codec);
        self.depacketizer.set_recovery(self.treatment.recovery());
        (self.stats.codec, self.stats.payload_type) = (codec.codec, codec.payload_type);
        self.clock.set_rate(codec.clock_rate);
        self.clock.on_packet(cx.now, packet.timestamp);
        if self.beginning != Beginning::Over {
            self.clock.begin_at(packet.timestamp);
            if Keyframe::begins(codec.codec, &packet.payload).is_some() {
                self.beginning = Beginning::Over;
            }
        }
        self.insert(cx, index, Entry { packet, codec: codec.codec, at: cx.now }, ready);
        self.release(cx, ready);
    }

    /// A packet that came as a retransmission. False if nobody waited for it.
    pub(crate) fn recover(
        &mut self,
        cx: Context,
        packet: Packet,
        codec: &CodecConfig,
        ready: &mut Ready,
    ) -> bool {
        self.count(cx.now, &packet);
        self.stats.retransmitted_packets_received += 1;
        self.stats.retransmitted_bytes_received += packet.payload.len() as u64;
        let Some(index) = self.sequence.recover(packet.sequence) else { return false };
        self.nack.on_repaired(index);
        if index >= self.jitter.next() {
            self.stats.packets_repaired += 1;
        }
        self.insert(cx, index, Entry { packet, codec: codec.codec, at: cx.now }, ready);
        self.release(cx, ready);
        true
    }

    pub(crate) fn on_sender_report(&mut self, now: Instant, report: &SenderReport) {
        self.clock.on_sender_report(report.ntp, report.rtp_timestamp);
        self.report.on_sender_report(now, report);
    }

    /// The source said goodbye: what waits will wait for nothing.
    pub(crate) fn on_goodbye(&mut self, cx: Context, ready: &mut Ready) {
        self.drain(cx, ready);
        self.nack.clear();
        self.keyframe.satisfy();
    }

    pub(crate) fn request_keyframe(&mut self, cx: Context) {
        if self.treatment.keyframes {
            self.keyframe.request(cx.now, cx.rtt);
        }
    }

    pub(crate) fn handle_timeout(&mut self, cx: Context, ready: &mut Ready) {
        self.nack.advance(cx.now, cx.rtt);
        self.keyframe.advance(cx.now, cx.rtt);
        self.release(cx, ready);
    }

    pub(crate) fn poll_timeout(&self, rtt: Option<Duration>) -> Option<Instant> {
        let gap = self.jitter.blocked_since().map(|since| since + self.hold(rtt));
        let beginning = match self.beginning {
            Beginning::Open { until, .. } => Some(until),
            Beginning::Over => None,
        };
        [self.keyframe.next(rtt), gap, beginning].into_iter().fold(self.nack.next(), earliest)
    }

    // ---- what is to be told

    pub(crate) fn wants_feedback(&self) -> bool {
        self.keyframe.is_pending() || self.nack.is_wanted()
    }

    pub(crate) fn keyframe_request(&mut self) -> Option<KeyframeRequest> {
        if !self.keyframe.is_pending() {
            return None;
        }
        let sequence = self.keyframe.on_sent();
        if self.treatment.fir {
            self.stats.fir_count += 1;
            return Some(KeyframeRequest::Fir(sequence));
        }
        self.stats.pli_count += 1;
        Some(KeyframeRequest::Pli)
    }

    /// The sequence numbers to ask for in the next packet, which has room for this many.
    pub(crate) fn take_missing(&mut self, limit: usize) -> Vec<SequenceNumber> {
        let missing = self.nack.take_wanted(limit);
        self.stats.nack_count += u64::from(!missing.is_empty());
        missing.into_iter().map(|index| SequenceNumber::new((index & 0xffff) as u16)).collect()
    }

    pub(crate) fn has_news(&self) -> bool {
        self.report.has_news(&self.sequence)
    }

    pub(crate) fn report_block(&mut self, now: Instant) -> ReportBlock {
        self.report.block(now, self.ssrc, &self.sequence, &self.clock)
    }

    // ---- getters

    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(crate) fn last_packet(&self) -> Instant {
        self.last_packet
    }

    /// True if this packet is being waited for.
    pub(crate) fn is_waiting_for(&self, sequence: SequenceNumber) -> bool {
        self.nack.is_waiting(self.sequence.index_of(sequence))
    }

    pub(crate) fn stats(&self) -> ReceiverStats {
        ReceiverStats {
            packets_lost: lost(&self.sequence),
            jitter: self.clock.jitter(),
            last_packet_received: Some(self.last_packet),
            remote: self.report.remote(),
            ..self.stats.clone()
        }
    }

    // ---- the stages

    fn count(&mut self, now: Instant, packet: &Packet) {
        self.last_packet = now;
        let payload = packet.payload.len();
        self.stats.packets_received += 1;
        self.stats.bytes_received += payload as u64;
        self.stats.header_bytes_received += packet.encoded_len().saturating_sub(payload) as u64;
    }

    fn on_new(&mut self, cx: Context, index: u64, newest: u64) {
        if index < self.jitter.next() {
            self.on_overtaken(cx, index);
        } else if index < newest {
            self.nack.on_late(cx.now, index, cx.rtt);
        } else if self.treatment.nack && index > newest + 1 {
            self.nack.on_gap(cx.now, newest + 1, index);
            self.nack.advance(cx.now, cx.rtt);
        }
    }

    /// A packet came from before the first one, and what lies between them may come as well.
    fn on_overtaken(&mut self, cx: Context, index: u64) {
        let Beginning::Open { earliest, until } = self.beginning else { return };
        if index < earliest {
            return;
        }
        if self.treatment.nack {
            self.nack.on_overtaken(cx.now, index + 1, self.jitter.next(), until);
        }
        self.jitter.begin_at(index);
    }

    fn restart(&mut self, index: u64) {
        self.nack.clear();
        self.beginning = Beginning::Over;
        self.report.restart();
        self.jitter = JitterBuffer::new(index);
        self.depacketizer.on_gap();
    }

    fn insert(&mut self, cx: Context, index: u64, entry: Entry, ready: &mut Ready) {
        match self.jitter.insert(index, entry) {
            (Insert::Full, Some(entry)) => {
                self.drain(cx, ready);
                self.skipped(cx, index);
                self.jitter.insert(index, entry);
            }
            (Insert::Late, _) => self.stats.packets_discarded += 1,
            _ => {}
        }
    }

    /// Gives on what is in order, and gives up what was waited for long enough.
    fn release(&mut self, cx: Context, ready: &mut Ready) {
        if self.is_beginning(cx.now) {
            return;
        }
        loop {
            while let Some(entry) = self.jitter.pop() {
                self.emit(cx, entry, ready);
            }
            let Some(since) = self.jitter.blocked_since() else { return };
            let hopeless = self.treatment.nack && !self.nack.is_waiting(self.jitter.next());
            if !hopeless && cx.now < since + self.hold(cx.rtt) {
                return;
            }
            self.skip(cx);
        }
    }

    /// True while packets that the first one overtook are waited for.
    fn is_beginning(&mut self, now: Instant) -> bool {
        let Beginning::Open { until, .. } = self.beginning else { return false };
        if now >= until {
            self.beginning = Beginning::Over;
        }
        now < until
    }

    /// Gives on everything, gaps or not.
    fn drain(&mut self, cx: Context, ready: &mut Ready) {
        self.beginning = Beginning::Over;
        loop {
            while let Some(entry) = self.jitter.pop() {
                self.emit(cx, entry, ready);
            }
            if self.jitter.blocked_since().is_none() {
                return;
            }
            self.skip(cx);
        }
    }

    fn skip(&mut self, cx: Context) {
        self.jitter.skip();
        self.nack.forget_before(self.jitter.next());
        self.depacketizer.on_gap();
        self.request_keyframe(cx);
    }

    /// The buffer is empty and goes on at `index`.
    fn skipped(&mut self, cx: Context, index: u64) {
        if self.jitter.skip_to(index) > 0 {
            self.nack.forget_before(index);
            self.depacketizer.on_gap();
            self.request_keyframe(cx);
        }
    }

    fn emit(&mut self, cx: Context, entry: Entry, ready: &mut Ready) {
        self.stats.jitter_buffer_emitted_count += 1;
        self.stats.jitter_buffer_delay += cx.now.saturating_duration_since(entry.at);
        if cx.mode == Mode::Frames {
            return self.assemble(cx, entry, ready);
        }
        let keyframe = Keyframe::begins(entry.codec, &entry.packet.payload);
        if keyframe.is_some() {
            // The wish is fulfilled when a keyframe begins; where nothing is assembled, nobody sees its end.
            self.keyframe.satisfy();
        }
        if cx.mode == Mode::Both {
            ready.push_packet(entry.packet.clone());
            return self.assemble(cx, entry, ready);
        }
        self.stats.frames_received += u64::from(ends_frame(entry.codec, &entry.packet));
        self.stats.key_frames_received += u64::from(keyframe.is_some());
        self.stats.frame_size = keyframe.and_then(|keyframe| keyframe.size).or(self.stats.frame_size);
        ready.push_packet(entry.packet);
    }

    fn assemble(&mut self, cx: Context, entry: Entry, ready: &mut Ready) {
        if let Some(assembled) = self.depacketizer.push(entry) {
            let frame = self.frame(assembled);
            ready.push_frame(frame);
        }
        let dropped = self.depacketizer.take_dropped();
        self.stats.frames_dropped += dropped;
        if dropped > 0 && self.depacketizer.needs_keyframe() {
            self.request_keyframe(cx);
        }
    }

    fn frame(&mut self, assembled: Assembled) -> Frame {
        self.stats.frames_received += 1;
        if assembled.packets > 1 {
            self.stats.frames_assembled_from_multiple_packets += 1;
            self.stats.total_assembly_time += assembled.assembly;
        }
        if assembled.keyframe {
            self.stats.key_frames_received += 1;
            self.stats.frame_size = assembled.size().or(self.stats.frame_size);
            self.keyframe.satisfy();
        }
        Frame {
            codec: assembled.codec,
            data: assembled.data,
            presentation: self.clock.presentation(assembled.timestamp),
            keyframe: assembled.keyframe,
            rtp_timestamp: assembled.timestamp,
            received: Some(assembled.at),
            contiguous: assembled.contiguous,
            captured: self.clock.captured(assembled.timestamp),
        }
    }

    /// How long a packet is waited for: until it can have come by itself, or by being asked for.
    fn hold(&self, rtt: Option<Duration>) -> Duration {
        let by_itself = (self.clock.jitter() * 3).max(self.nack.reordering()).max(MIN_HOLD);
        let by_request = match (self.treatment.nack, self.treatment.kind) {
            (false, _) => Duration::ZERO,
            (true, Kind::Video) => retry_interval(rtt) * u32::from(MAX_NACK_TRIES),
            (true, Kind::Audio) => retry_interval(rtt) * AUDIO_TRIES,
        };
        by_itself.max(by_request).min(MAX_HOLD)
    }
}

/// How a keyframe is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyframeRequest {
    /// A picture loss indication.
    Pli,
    /// A full intra request with this number.
    Fir(u8),
}
