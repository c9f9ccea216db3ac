//! Sending: one source that goes out, from frames or forwarded packets, with its retransmissions.

mod forward;
mod history;
mod keyframe;
mod packet;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use taut_rtp::payload::vp8;
use taut_rtp::rtcp::{ReportBlock, SenderReport};
use taut_rtp::{Extensions, Packet, SequenceNumber, Ssrc};
use taut_sansio::rng::Rng;

use crate::config::{Codec, CodecConfig, SenderConfig};
use crate::error::SendError;
use crate::forwarding::{Keyframe, ends_frame};
use crate::frame::Frame;
use crate::limits::{MAX_QUEUED_OCTETS, MAX_QUEUED_PACKETS, MAX_RESENT_PER_ROUND_TRIP};
use crate::report::round_trip;
use crate::stats::{RemoteInbound, SenderStats, Stats};
use forward::{Mapped, Position, Source};
use history::History;
use keyframe::{KeyframeRequests, Taken};
use packet::{Body, Identity, Outgoing, mid_len};

/// The octets of an RTP header without extension.
const HEADER_LEN: usize = 12;
/// The octets of the original sequence number in a retransmission.
const RTX_LEN: usize = 2;
/// Forwarded payloads up to this length are copied into the history, so that they do not pin a whole received batch.
const SMALL_PAYLOAD: usize = 256;
/// For how many reports after its last packet a source counts as a sender (RFC 3550 section 6.4).
const SENDER_REPORTS: u8 = 2;

/// What polling a packet gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polled {
    /// A packet of so many octets.
    Packet(usize),
    /// There is one, and it does not fit.
    NoRoom,
    /// There is none.
    Empty,
}

/// Whether the other side knows the source by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acquaintance {
    /// It may have to be told by the MID.
    Unknown,
    /// It has reported on it.
    Known,
}

/// The newest media time: the anchor of sender reports.
#[derive(Debug, Clone, Copy)]
struct MediaClock {
    at: Instant,
    timestamp: u32,
    rate: u32,
}

/// A source that goes out.
#[derive(Debug)]
pub(crate) struct Sender {
    config: SenderConfig,
    /// The extended sequence number that comes next, and that of the first packet.
    next: u64,
    first: u64,
    rtx_sequence: SequenceNumber,
    timestamp_offset: u32,
    vp8: vp8::Packetizer,
    forwarded: Option<Source>,
    clock: Option<MediaClock>,
    queue: VecDeque<Outgoing>,
    queued_octets: usize,
    history: History,
    repairs: VecDeque<u64>,
    keyframe: KeyframeRequests,
    acquaintance: Acquaintance,
    /// How many more reports it counts as a sender.
    reports_left: u8,
    /// Packets and octets for sender reports.
    reported_packets: u32,
    reported_octets: u32,
    /// The octets of all frames.
    frame_octets: u64,
    stats: SenderStats,
}

impl Sender {
    pub(crate) fn new(config: SenderConfig, rng: &mut Rng) -> Self {
        let stats = SenderStats::new(config.ssrc, config.rtx_ssrc);
        // In the lower half, so that the first packets are not near a wrap: a receiver that misses them could not
        // tell the turn (RFC 3711 section 3.3.1).
        let first = (1 << 16) + u64::from(rng.u16() >> 1);
        Self {
            next: first,
            first,
            rtx_sequence: SequenceNumber::new(rng.u16() >> 1),
            timestamp_offset: rng.u32(),
            vp8: vp8::Packetizer::new(rng.u16()),
            config,
            forwarded: None,
            clock: None,
            queue: VecDeque::new(),
            queued_octets: 0,
            history: History::default(),
            repairs: VecDeque::new(),
            keyframe: KeyframeRequests::default(),
            acquaintance: Acquaintance::Unknown,
            reports_left: 0,
            reported_packets: 0,
            reported_octets: 0,
            frame_octets: 0,
            stats,
        }
    }

    /// Starts at chosen numbers, to test wraps.
    #[cfg(test)]
    pub(crate) fn start_at(&mut self, sequence: u16, timestamp: u32) {
        self.next = (1 << 16) + u64::from(sequence);
        self.first = self.next;
        self.timestamp_offset = timestamp;
        self.rtx_sequence = SequenceNumber::new(sequence);
    }

    pub(crate) fn config(&self) -> &SenderConfig {
        &self.config
    }

    /// Takes a new outcome of negotiation for the same source.
    pub(crate) fn set_config(&mut self, config: SenderConfig) {
        if config.mid != self.config.mid {
            self.acquaintance = Acquaintance::Unknown;
        }
        if (&config.mid, &config.codecs) != (&self.config.mid, &self.config.codecs) {
            // What was sent cannot be sent again as it was.
            self.history = History::default();
        }
        self.stats.rtx_ssrc = config.rtx_ssrc;
        self.config = config;
    }

    // ---- taking media

    /// Cuts a frame into packets; how many were queued.
    pub(crate) fn send_frame(
        &mut self,
        now: Instant,
        frame: &Frame,
        max_packet: usize,
    ) -> Result<usize, SendError> {
        let found = self.config.codecs.iter().find(|codec| codec.codec == frame.codec);
        let codec = *found.ok_or(SendError::Codec)?;
        if frame.data.is_empty() {
            return Err(SendError::Empty);
        }
        self.check_room(frame.data.len())?;
        let overhead = HEADER_LEN + mid_len(&self.config.mid) + RTX_LEN;
        let room = max_packet.saturating_sub(overhead);
        self.leave_forwarding(now, frame.presentation, codec.clock_rate);
        let timestamp = self.timestamp(frame.presentation, codec.clock_rate);
        let packets = match frame.codec {
            Codec::Opus => self.queue_whole(now, &codec, timestamp, &frame.data, room)?,
            Codec::Vp8 => self.queue_vp8(now, &codec, timestamp, &frame.data, room)?,
        };
        self.clock = Some(MediaClock { at: now, timestamp, rate: codec.clock_rate });
        self.count_frame(frame);
        Ok(packets)
    }

    fn count_frame(&mut self, frame: &Frame) {
        let (keyframe, size) = match frame.codec {
            Codec::Opus => (true, None),
            Codec::Vp8 => (vp8::is_keyframe(&frame.data), vp8::keyframe_size(&frame.data)),
        };
        let octets = frame.data.len() as u64;
        // 2.5 times the mean: `octets / (sum / count) >= 5 / 2`.
        let huge = self.frame_octets > 0 && octets * self.stats.frames_sent * 2 >= self.frame_octets * 5;
        self.frame_octets += octets;
        self.stats.frames_sent += 1;
        self.stats.key_frames_sent += u64::from(keyframe);
        self.stats.huge_frames_sent += u64::from(huge);
        self.stats.frame_size = size.or(self.stats.frame_size);
    }

    /// Forwarded frames, by the packets that begin and end them.
    fn count_forwarded(&mut self, codec: Codec, packet: &Packet) {
        let keyframe = Keyframe::begins(codec, &packet.payload);
        self.stats.frames_sent += u64::from(ends_frame(codec, packet));
        self.stats.key_frames_sent += u64::from(keyframe.is_some());
        self.stats.frame_size = keyframe.and_then(|keyframe| keyframe.size).or(self.stats.frame_size);
    }

    fn queue_whole(
        &mut self,
        now: Instant,
        codec: &CodecConfig,
        timestamp: u32,
        data: &Bytes,
        room: usize,
    ) -> Result<usize, SendError> {
        if data.len() > room {
            return Err(SendError::TooLarge);
        }
        // The marker begins a talk spurt (RFC 3551 section 4.1): the first packet does.
        let marker = self.clock.is_none();
        self.queue_packet(now, codec.payload_type, timestamp, marker, Body::Whole(data.clone()));
        Ok(1)
    }

    fn queue_vp8(
        &mut self,
        now: Instant,
        codec: &CodecConfig,
        timestamp: u32,
        data: &Bytes,
        room: usize,
    ) -> Result<usize, SendError> {
        let fragments = self.vp8.packetize(data.len(), room).map_err(|_| SendError::TooLarge)?;
        let packets = fragments.len();
        for fragment in fragments {
            let body = Body::Vp8(fragment.descriptor, data.slice(fragment.range));
            self.queue_packet(now, codec.payload_type, timestamp, fragment.last, body);
        }
        Ok(packets)
    }

    fn queue_packet(&mut self, now: Instant, payload_type: u8, timestamp: u32, marker: bool, body: Body) {
        let (csrc, extensions) = (Vec::new(), Extensions::new());
        let index = self.next;
        let packet = Outgoing { index, marker, payload_type, timestamp, csrc, extensions, body, at: now };
        self.push(packet);
    }

    /// Queues a packet from elsewhere under our own numbers.
    pub(crate) fn send_packet(&mut self, now: Instant, packet: Packet) -> Result<(), SendError> {
        let payload_type = packet.payload_type.get();
        let same = self.config.codecs.iter().find(|codec| codec.payload_type == payload_type);
        let codec = same.or(self.config.codecs.first()).ok_or(SendError::Codec)?;
        let (codec, payload_type, rate) = (codec.codec, codec.payload_type, codec.clock_rate);
        self.check_room(packet.payload.len())?;
        let (index, timestamp) = self.place(now, &packet, rate)?;
        self.count_forwarded(codec, &packet);
        let extensions = self.negotiated(&packet.extensions);
        let payload = match packet.payload.len() {
            ..=SMALL_PAYLOAD => Bytes::copy_from_slice(&packet.payload),
            _ => packet.payload,
        };
        if self.clock.is_none_or(|clock| timestamp.wrapping_sub(clock.timestamp) < 1 << 31) {
            self.clock = Some(MediaClock { at: now, timestamp, rate });
        }
        self.push(Outgoing {
            index,
            marker: packet.marker,
            payload_type,
            timestamp,
            csrc: packet.csrc,
            extensions,
            body: Body::Whole(payload),
            at: now,
        });
        Ok(())
    }

    /// Our number and timestamp of a forwarded packet.
    fn place(&mut self, now: Instant, packet: &Packet, clock_rate: u32) -> Result<(u64, u32), SendError> {
        if let Some(source) = &mut self.forwarded
            && source.ssrc() == packet.ssrc.get()
        {
            match source.map(packet) {
                Mapped::At(index, timestamp) => return Ok((index, timestamp)),
                Mapped::Late => return Err(SendError::Late),
                Mapped::Restart => {}
            }
        }
        let last = self.clock.map(|clock| (clock.at, clock.timestamp));
        let position = Position { next: self.next, last, first_timestamp: self.timestamp_offset, clock_rate };
        let (source, index, timestamp) = Source::join(now, packet, position);
        self.forwarded = Some(source);
        Ok((index, timestamp))
    }

    /// The elements that the other side knows. The MID is ours to write.
    fn negotiated(&self, extensions: &Extensions) -> Extensions {
        let mid = self.config.mid.as_ref().map(|(id, _)| *id);
        let keep = |id: &u8| Some(*id) != mid && self.config.extensions.contains(id);
        // What was read can be written: this does not fail.
        Extensions::from_elements(extensions.iter().filter(|(id, _)| keep(id))).unwrap_or_default()
    }

    /// After forwarding, frames go on where it stopped.
    fn leave_forwarding(&mut self, now: Instant, presentation: Duration, rate: u32) {
        let Some(clock) = self.clock.filter(|_| self.forwarded.take().is_some()) else { return };
        let elapsed = units(now.saturating_duration_since(clock.at), rate).max(1);
        let here = clock.timestamp.wrapping_add(elapsed);
        self.timestamp_offset = here.wrapping_sub(units(presentation, rate));
    }

    fn timestamp(&self, presentation: Duration, rate: u32) -> u32 {
        self.timestamp_offset.wrapping_add(units(presentation, rate))
    }

    fn check_room(&self, octets: usize) -> Result<(), SendError> {
        let full = self.queue.len() >= MAX_QUEUED_PACKETS || self.queued_octets >= MAX_QUEUED_OCTETS;
        match octets {
            _ if full => Err(SendError::Full),
            0..=vp8::MAX_FRAME => Ok(()),
            _ => Err(SendError::TooLarge),
        }
    }

    fn push(&mut self, packet: Outgoing) {
        self.next = self.next.max(packet.index + 1);
        self.queued_octets += packet.body.len();
        self.queue.push_back(packet);
    }

    // ---- giving packets

    /// Appends the next packet that was not sent before.
    pub(crate) fn poll_packet(&mut self, now: Instant, room: usize, out: &mut Vec<u8>) -> Polled {
        let Some(packet) = self.queue.front() else { return Polled::Empty };
        let unknown = self.acquaintance == Acquaintance::Unknown;
        let identity = Identity {
            ssrc: self.config.ssrc,
            sequence: packet.sequence(),
            payload_type: packet.payload_type,
            original: None,
            mid: self.mid().filter(|_| unknown),
        };
        let Some(written) = packet.write(identity, room, out) else { return Polled::NoRoom };
        let had_mid = identity.mid.is_some();
        if let Some(packet) = self.queue.pop_front() {
            self.queued_octets -= packet.body.len(); // added by push
            self.on_sent(now, &packet, written);
            if self.answers_nacks(packet.payload_type) {
                self.history.insert(now, packet, had_mid);
            }
        }
        Polled::Packet(written.header + written.payload)
    }

    /// Drops the next packet: it will never fit.
    pub(crate) fn drop_packet(&mut self) {
        if let Some(packet) = self.queue.pop_front() {
            self.queued_octets -= packet.body.len(); // added by push
        }
    }

    /// Appends the next packet that was asked for again.
    pub(crate) fn poll_repair(&mut self, room: usize, out: &mut Vec<u8>) -> Polled {
        let Some(index) = self.repairs.front() else { return Polled::Empty };
        let Some(sent) = self.history.get(*index) else {
            self.repairs.pop_front();
            return Polled::Empty;
        };
        let packet = &sent.packet;
        let codec = self.config.codecs.iter().find(|codec| codec.payload_type == packet.payload_type);
        let rtx = self.config.rtx_ssrc.zip(codec.and_then(|codec| codec.rtx));
        let identity = match rtx {
            Some((ssrc, payload_type)) => Identity {
                ssrc,
                sequence: self.rtx_sequence.get(),
                payload_type,
                original: Some(packet.sequence()),
                mid: self.mid(),
            },
            None => Identity {
                ssrc: self.config.ssrc,
                sequence: packet.sequence(),
                payload_type: packet.payload_type,
                original: None,
                mid: self.mid().filter(|_| sent.had_mid),
            },
        };
        let Some(written) = packet.write(identity, room, out) else { return Polled::NoRoom };
        self.repairs.pop_front();
        match rtx {
            Some(_) => self.rtx_sequence = self.rtx_sequence.next(),
            None => self.count_reported(written.payload),
        }
        self.stats.retransmitted_packets_sent += 1;
        self.stats.retransmitted_bytes_sent += written.payload as u64;
        self.count_sent(written);
        Polled::Packet(written.header + written.payload)
    }

    /// Forgets the next packet that was asked for again: it will never fit.
    pub(crate) fn drop_repair(&mut self) {
        self.repairs.pop_front();
    }

    fn mid(&self) -> Option<(u8, &str)> {
        self.config.mid.as_ref().map(|(id, mid)| (*id, mid.as_str()))
    }

    fn answers_nacks(&self, payload_type: u8) -> bool {
        self.config.codecs.iter().any(|codec| codec.payload_type == payload_type && codec.nack)
    }

    fn on_sent(&mut self, now: Instant, packet: &Outgoing, written: packet::Written) {
        self.stats.total_packet_send_delay += now.saturating_duration_since(packet.at);
        self.reports_left = SENDER_REPORTS;
        self.count_reported(written.payload);
        self.count_sent(written);
    }

    fn count_reported(&mut self, payload: usize) {
        self.reported_packets = self.reported_packets.wrapping_add(1);
        self.reported_octets = self.reported_octets.wrapping_add((payload & 0xffff_ffff) as u32);
    }

    fn count_sent(&mut self, written: packet::Written) {
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += written.payload as u64;
        self.stats.header_bytes_sent += written.header as u64;
    }

    // ---- feedback

    /// Packets are asked for again; how many will be sent.
    pub(crate) fn on_nack(
        &mut self,
        now: Instant,
        rtt: Option<Duration>,
        missing: impl Iterator<Item = SequenceNumber>,
        stats: &mut Stats,
    ) -> usize {
        self.stats.nack_count += 1;
        let mut granted = 0;
        for sequence in missing {
            let index = self.index_of(sequence);
            let waiting = self.repairs.len() >= MAX_RESENT_PER_ROUND_TRIP as usize;
            if !waiting && self.history.grant(now, index, rtt) {
                self.repairs.push_back(index);
                granted += 1;
            } else {
                stats.nack_refused += 1;
            }
        }
        granted
    }

    /// The extended number of a packet that was sent.
    fn index_of(&self, sequence: SequenceNumber) -> u64 {
        let next = SequenceNumber::new((self.next & 0xffff) as u16);
        let behind = u64::from(next.distance_from(sequence));
        // Zero behind is a packet that is yet to come: the history does not have it.
        self.next.saturating_sub(behind)
    }

    pub(crate) fn on_pli(&mut self, now: Instant, stats: &mut Stats) {
        self.stats.pli_count += 1;
        let taken = self.keyframe.on_request(now);
        stats.keyframe_requests_merged += u64::from(taken == Taken::Merged);
    }

    pub(crate) fn on_fir(&mut self, now: Instant, number: u8, stats: &mut Stats) {
        self.stats.fir_count += 1;
        let taken = self.keyframe.on_command(now, number);
        stats.keyframe_requests_merged += u64::from(taken == Taken::Merged);
    }

    /// A report about the source; gives the round trip if it tells one. `now_middle` is the NTP time of `now`.
    pub(crate) fn on_report(
        &mut self,
        now: Instant,
        now_middle: u32,
        block: &ReportBlock,
        stats: &mut Stats,
    ) -> Option<Duration> {
        self.acquaintance = Acquaintance::Known;
        let rtt = match block.last_sender_report {
            0 => None,
            lsr => {
                let rtt = round_trip(now_middle, lsr, block.delay_since_last);
                stats.rtcp_implausible += u64::from(rtt.is_none());
                rtt
            }
        };
        let rate = self.clock.map_or(1, |clock| clock.rate.max(1));
        let jitter = u64::from(block.jitter) * 1_000_000_000 / u64::from(rate);
        let highest = self.index_of(SequenceNumber::new((block.highest_sequence & 0xffff) as u16));
        let expected = i64::try_from(highest.saturating_sub(self.first) + 1).unwrap_or(i64::MAX);
        let received = expected.saturating_sub(i64::from(block.cumulative_lost));
        let before = self.stats.remote;
        self.stats.remote = Some(RemoteInbound {
            at: now,
            packets_received: u64::try_from(received).unwrap_or(0),
            packets_lost: i64::from(block.cumulative_lost),
            fraction_lost: f64::from(block.fraction_lost) / 256.0,
            jitter: Duration::from_nanos(jitter),
            round_trip_time: rtt.or(before.and_then(|before| before.round_trip_time)),
            total_round_trip_time: before.map_or(Duration::ZERO, |before| before.total_round_trip_time)
                + rtt.unwrap_or_default(),
            round_trip_time_measurements: before.map_or(0, |before| before.round_trip_time_measurements)
                + u64::from(rtt.is_some()),
            reports_received: before.map_or(0, |before| before.reports_received) + 1,
        });
        rtt
    }

    /// The next report of the source; `None` if it has not sent lately.
    pub(crate) fn report(&self, now: Instant, ntp: u64) -> Option<SenderReport> {
        let clock = self.clock.filter(|_| self.reports_left > 0)?;
        let elapsed = units(now.saturating_duration_since(clock.at), clock.rate);
        Some(SenderReport {
            ssrc: Ssrc::new(self.config.ssrc),
            ntp,
            rtp_timestamp: clock.timestamp.wrapping_add(elapsed),
            packet_count: self.reported_packets,
            octet_count: self.reported_octets,
            reports: Vec::new(),
            extension: Bytes::new(),
        })
    }

    /// A report of the source is being made.
    pub(crate) fn on_report_due(&mut self) {
        self.reports_left = self.reports_left.saturating_sub(1);
    }

    pub(crate) fn has_sent(&self) -> bool {
        self.stats.packets_sent > 0
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.keyframe.handle_timeout(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.keyframe.poll_timeout()
    }

    /// True once for each keyframe that the application is to make.
    pub(crate) fn take_keyframe_request(&mut self) -> bool {
        self.keyframe.take()
    }

    pub(crate) fn stats(&self) -> &SenderStats {
        &self.stats
    }
}

fn units(time: Duration, rate: u32) -> u32 {
    let units = time.as_nanos() * u128::from(rate) / 1_000_000_000;
    (units & 0xffff_ffff) as u32
}
