//! Receiving: the sources of one receiver, and which of them a packet belongs to.

mod clock;
mod depacketizer;
mod jitter;
mod keyframe;
mod nack;
mod ready;
mod report;
mod rtx;
mod sequence;
mod stream;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use taut_rtp::Packet;
use taut_sansio::time::earliest;

use crate::config::{Mode, ReceiverConfig};
use crate::limits::MAX_STREAMS;
use crate::stats::Stats;
pub(crate) use ready::Ready;
pub(crate) use sequence::{Arrival, Sequence};
pub(crate) use stream::{Context, KeyframeRequest, Stream};

/// A receiver: what one media section of the other side sends.
#[derive(Debug)]
pub(crate) struct Receiver {
    config: ReceiverConfig,
    streams: Vec<Stream>,
    /// The source that a source of retransmissions belongs to, as learned from packets.
    repaired_by: BTreeMap<u32, u32>,
    /// The source of the newest packet.
    active: Option<u32>,
    pub(crate) ready: Ready,
    /// Sources whose goodbye the application was not told of.
    goodbyes: Vec<u32>,
}

impl Receiver {
    pub(crate) fn new(config: ReceiverConfig) -> Self {
        Self {
            config,
            streams: Vec::new(),
            repaired_by: BTreeMap::new(),
            active: None,
            ready: Ready::default(),
            goodbyes: Vec::new(),
        }
    }

    pub(crate) fn set_config(&mut self, config: ReceiverConfig) {
        self.config = config;
    }

    pub(crate) fn set_mode(&mut self, mode: Mode) {
        self.config.mode = mode;
    }

    pub(crate) fn context(&self, now: Instant, rtt: Option<Duration>) -> Context {
        Context { now, rtt, mode: self.config.mode }
    }

    /// Takes a packet of any of its sources; true if the source has something to ask for now.
    pub(crate) fn handle_rtp(&mut self, cx: Context, packet: Packet, stats: &mut Stats) -> bool {
        let payload_type = packet.payload_type.get();
        if self.config.codec(payload_type).is_some() {
            return self.handle_direct(cx, packet, stats);
        }
        if self.config.codec_of_rtx(payload_type).is_some() {
            let repaired = self.handle_repair(cx, packet);
            stats.rtx_unmatched += u64::from(!repaired);
            // What is given on after a repair may show that a keyframe is needed.
            return repaired;
        }
        tracing::trace!(payload_type, "a payload type that was not negotiated");
        stats.rtp_unknown_payload += 1;
        false
    }

    fn handle_direct(&mut self, cx: Context, packet: Packet, stats: &mut Stats) -> bool {
        let Some(codec) = self.config.codec(packet.payload_type.get()) else { return false };
        let ssrc = packet.ssrc.get();
        self.active = Some(ssrc);
        let place = match self.streams.iter().position(|stream| stream.ssrc() == ssrc) {
            Some(place) => place,
            None => {
                if self.streams.len() >= MAX_STREAMS {
                    evict_oldest(&mut self.streams);
                    stats.streams_evicted += 1;
                }
                self.streams.push(Stream::new(cx.now, ssrc, packet.sequence, codec));
                self.streams.len() - 1 // one was pushed
            }
        };
        let Some(stream) = self.streams.get_mut(place) else { return false };
        stream.receive(cx, packet, codec, &mut self.ready);
        stream.wants_feedback()
    }

    /// False if it repairs nothing.
    fn handle_repair(&mut self, cx: Context, packet: Packet) -> bool {
        let Some(ssrc) = self.repaired_source(&packet) else { return false };
        let Some(codec) = self.config.codec_of_rtx(packet.payload_type.get()) else { return false };
        let Some(packet) = rtx::restore(packet, ssrc, codec.payload_type) else { return false };
        match self.streams.iter_mut().find(|stream| stream.ssrc() == ssrc) {
            Some(stream) => stream.recover(cx, packet, codec, &mut self.ready),
            None => false,
        }
    }

    /// The source that a retransmission belongs to: signalled, learned, the only one, or the one that waits for it
    /// (RFC 4588 section 5.3).
    fn repaired_source(&mut self, packet: &Packet) -> Option<u32> {
        let repair = packet.ssrc.get();
        let signalled = self.config.ssrcs.iter().find(|(_, rtx)| *rtx == Some(repair));
        if let Some((ssrc, _)) = signalled {
            return Some(*ssrc);
        }
        if let Some(ssrc) = self.repaired_by.get(&repair) {
            return Some(*ssrc);
        }
        if let [only] = self.streams.as_slice() {
            return Some(only.ssrc());
        }
        let sequence = rtx::original_sequence(packet)?;
        let mut waiting = self.streams.iter().filter(|stream| stream.is_waiting_for(sequence));
        let (first, second) = (waiting.next()?, waiting.next());
        if second.is_some() {
            return None;
        }
        if self.repaired_by.len() >= MAX_STREAMS {
            self.repaired_by.pop_first();
        }
        self.repaired_by.insert(repair, first.ssrc());
        Some(first.ssrc())
    }

    pub(crate) fn on_goodbye(&mut self, cx: Context, ssrc: u32) -> bool {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc() == ssrc) else { return false };
        stream.on_goodbye(cx, &mut self.ready);
        if !self.goodbyes.contains(&ssrc) && self.goodbyes.len() < MAX_STREAMS {
            self.goodbyes.push(ssrc);
        }
        true
    }

    pub(crate) fn take_goodbye(&mut self) -> Option<u32> {
        self.goodbyes.pop()
    }

    pub(crate) fn request_keyframe(&mut self, cx: Context) {
        let active = self.active;
        if let Some(stream) = self.streams.iter_mut().find(|stream| Some(stream.ssrc()) == active) {
            stream.request_keyframe(cx);
        }
    }

    pub(crate) fn handle_timeout(&mut self, cx: Context) {
        for stream in &mut self.streams {
            stream.handle_timeout(cx, &mut self.ready);
        }
    }

    pub(crate) fn poll_timeout(&self, rtt: Option<Duration>) -> Option<Instant> {
        self.streams.iter().fold(None, |next, stream| earliest(next, stream.poll_timeout(rtt)))
    }

    pub(crate) fn streams(&self) -> &[Stream] {
        &self.streams
    }

    pub(crate) fn streams_mut(&mut self) -> &mut [Stream] {
        &mut self.streams
    }
}

fn evict_oldest(streams: &mut Vec<Stream>) {
    let oldest = streams.iter().enumerate().min_by_key(|(_, stream)| stream.last_packet());
    if let Some((place, _)) = oldest {
        streams.swap_remove(place);
    }
}
