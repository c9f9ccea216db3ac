//! Stage: frames. Puts the payloads of a frame together, and knows whether a decoder can use it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use taut_rtp::payload::{opus, vp8};

use super::jitter::Entry;
use crate::config::Codec;

/// A frame as its packets told it.
#[derive(Debug)]
pub(crate) struct Assembled {
    pub(crate) codec: Codec,
    pub(crate) data: Bytes,
    pub(crate) keyframe: bool,
    pub(crate) timestamp: u32,
    /// When the last of its packets came.
    pub(crate) at: Instant,
    /// The packets it came in.
    pub(crate) packets: u32,
    /// From the first to the last of its packets.
    pub(crate) assembly: Duration,
    /// Nothing is missing between it and the one before.
    pub(crate) contiguous: bool,
}

impl Assembled {
    /// Width and height of a picture, if it tells.
    pub(crate) fn size(&self) -> Option<(u16, u16)> {
        match self.codec {
            Codec::Vp8 => vp8::keyframe_size(&self.data),
            Codec::Opus => None,
        }
    }
}

/// How decoding goes on after something is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// With the next keyframe, which is asked for. A source begins likewise.
    Keyframe,
    /// With any frame: each stands alone, or nobody can be asked.
    Any,
}

/// Whether the next frames can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chain {
    /// Everything that later frames refer to was given to the application.
    Whole,
    /// Something is missing. Only a keyframe helps.
    Broken,
}

/// A frame of which some packets came.
#[derive(Debug)]
struct Partial {
    timestamp: u32,
    packets: u32,
    first: Instant,
    last: Instant,
}

/// The depacketizer of one source.
#[derive(Debug)]
pub(crate) struct FrameAssembler {
    recovery: Recovery,
    vp8: vp8::Depacketizer,
    partial: Option<Partial>,
    chain: Chain,
    /// Something is missing since the last frame that was given to the application.
    gap: bool,
    /// The timestamp of the newest frame that was dropped: the rest of it is not counted again.
    dropping: Option<u32>,
    dropped: u64,
}

impl FrameAssembler {
    /// An assembler at the start of a source.
    pub(crate) fn new(recovery: Recovery) -> Self {
        Self {
            recovery,
            vp8: vp8::Depacketizer::new(),
            partial: None,
            chain: Chain::Broken,
            gap: false,
            dropping: None,
            dropped: 0,
        }
    }

    pub(crate) fn set_recovery(&mut self, recovery: Recovery) {
        self.recovery = recovery;
    }

    /// Packets are missing before the next one.
    pub(crate) fn on_gap(&mut self) {
        self.vp8.reset();
        self.gap = true;
        self.chain = Chain::Broken;
        if let Some(partial) = self.partial.take() {
            self.drop_frame(partial.timestamp);
        }
    }

    /// True if nothing comes before a keyframe does.
    pub(crate) fn needs_keyframe(&self) -> bool {
        self.chain == Chain::Broken && self.recovery == Recovery::Keyframe
    }

    /// How many frames were dropped since the last call: broken ones, and those that no decoder could use.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Takes the next packet in order.
    pub(crate) fn push(&mut self, entry: Entry) -> Option<Assembled> {
        // Padding that a sender uses to probe for bandwidth has no payload.
        if entry.packet.payload.is_empty() {
            return None;
        }
        let assembled = match entry.codec {
            Codec::Opus => self.push_opus(entry)?,
            Codec::Vp8 => self.push_vp8(&entry)?,
        };
        if self.needs_keyframe() && !assembled.keyframe {
            self.gap = true;
            self.drop_frame(assembled.timestamp);
            return None;
        }
        self.chain = Chain::Whole;
        self.gap = false;
        Some(assembled)
    }

    fn push_opus(&mut self, entry: Entry) -> Option<Assembled> {
        if opus::Toc::parse(&entry.packet.payload).is_err() {
            self.gap = true;
            self.drop_frame(entry.packet.timestamp);
            return None;
        }
        Some(Assembled {
            codec: entry.codec,
            keyframe: true,
            timestamp: entry.packet.timestamp,
            at: entry.at,
            packets: 1,
            assembly: Duration::ZERO,
            contiguous: !self.gap,
            data: entry.packet.payload,
        })
    }

    fn push_vp8(&mut self, entry: &Entry) -> Option<Assembled> {
        let packet = &entry.packet;
        // A frame whose marker never came ends where the timestamp changes; it is not whole.
        if self.partial.as_ref().is_some_and(|partial| partial.timestamp != packet.timestamp) {
            self.on_gap();
        }
        match self.vp8.push(&packet.payload, packet.marker) {
            Ok(None) => {
                self.grow(entry);
                None
            }
            Ok(Some(frame)) => Some(self.assembled(entry, frame)),
            Err(_) => {
                self.on_gap();
                self.drop_frame(packet.timestamp);
                None
            }
        }
    }

    fn drop_frame(&mut self, timestamp: u32) {
        if self.dropping != Some(timestamp) {
            self.dropping = Some(timestamp);
            self.dropped += 1;
        }
    }

    fn grow(&mut self, entry: &Entry) {
        let timestamp = entry.packet.timestamp;
        let new = Partial { timestamp, packets: 0, first: entry.at, last: entry.at };
        let partial = self.partial.get_or_insert(new);
        partial.packets = partial.packets.saturating_add(1);
        partial.first = partial.first.min(entry.at);
        partial.last = partial.last.max(entry.at);
    }

    fn assembled(&mut self, entry: &Entry, frame: vp8::Frame) -> Assembled {
        self.grow(entry);
        let (packets, first, last) = match self.partial.take() {
            Some(partial) => (partial.packets, partial.first, partial.last),
            None => (1, entry.at, entry.at),
        };
        Assembled {
            codec: entry.codec,
            data: frame.data,
            keyframe: frame.keyframe,
            timestamp: entry.packet.timestamp,
            at: last,
            packets,
            assembly: last.saturating_duration_since(first),
            contiguous: !self.gap,
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use taut_rtp::Packet;

    use super::*;

    /// A VP8 packet: a descriptor of one octet, then the octets of the frame.
    fn vp8_entry(start: bool, data: &[u8], timestamp: u32, marker: bool) -> Entry {
        let mut payload = vec![if start { 0x10 } else { 0x00 }];
        payload.extend_from_slice(data);
        let packet = Packet { payload: payload.into(), timestamp, marker, ..Packet::default() };
        Entry { packet, codec: Codec::Vp8, at: Instant::now() }
    }

    fn short(frame: Option<Assembled>) -> Option<(Vec<u8>, bool, bool)> {
        frame.map(|frame| (frame.data.to_vec(), frame.keyframe, frame.contiguous))
    }

    #[test]
    fn frames_of_one_and_of_more_packets() {
        let mut assembler = FrameAssembler::new(Recovery::Keyframe);
        let one = assembler.push(vp8_entry(true, &[0, 1], 0, true));
        assert_eq!(short(one), Some((vec![0, 1], true, true)));
        assert!(assembler.push(vp8_entry(true, &[1, 2], 9, false)).is_none());
        let two = assembler.push(vp8_entry(false, &[3], 9, true)).unwrap();
        assert_eq!(two.packets, 2);
        assert_eq!(short(Some(two)), Some((vec![1, 2, 3], false, true)));
        assert_eq!(assembler.take_dropped(), 0);
    }

    #[test]
    fn nothing_comes_before_the_first_keyframe_and_after_a_gap() {
        let mut assembler = FrameAssembler::new(Recovery::Keyframe);
        assert!(assembler.push(vp8_entry(true, &[1], 0, true)).is_none());
        assert!(assembler.needs_keyframe());
        assert!(assembler.push(vp8_entry(true, &[0], 1, true)).is_some());
        assembler.on_gap();
        assert!(assembler.push(vp8_entry(true, &[1], 2, true)).is_none());
        assert_eq!(assembler.take_dropped(), 2);
        assert_eq!(short(assembler.push(vp8_entry(true, &[0], 3, true))), Some((vec![0], true, false)));
        assert_eq!(short(assembler.push(vp8_entry(true, &[1], 4, true))), Some((vec![1], false, true)));
    }

    #[test]
    fn without_anybody_to_ask_decoding_goes_on() {
        let mut assembler = FrameAssembler::new(Recovery::Any);
        assert!(assembler.push(vp8_entry(true, &[1], 0, true)).is_some());
        assembler.on_gap();
        assert_eq!(short(assembler.push(vp8_entry(true, &[1], 1, true))), Some((vec![1], false, false)));
    }

    #[test]
    fn a_broken_frame_is_dropped_once() {
        let mut assembler = FrameAssembler::new(Recovery::Keyframe);
        assembler.push(vp8_entry(true, &[0], 0, false));
        assembler.on_gap();
        assert!(assembler.push(vp8_entry(false, &[5], 0, false)).is_none());
        assert!(assembler.push(vp8_entry(false, &[5], 0, true)).is_none());
        assert_eq!(assembler.take_dropped(), 1);
        assert!(assembler.push(vp8_entry(false, &[5], 7, false)).is_none());
        assert!(assembler.push(vp8_entry(false, &[5], 7, true)).is_none());
        assert_eq!(assembler.take_dropped(), 1);
    }

    #[test]
    fn a_frame_without_marker_is_not_whole() {
        let mut assembler = FrameAssembler::new(Recovery::Keyframe);
        assembler.push(vp8_entry(true, &[0], 0, false));
        assert!(assembler.push(vp8_entry(true, &[0], 1, false)).is_none());
        assert_eq!(short(assembler.push(vp8_entry(false, &[1], 1, true))), Some((vec![0, 1], true, false)));
        assert_eq!(assembler.take_dropped(), 1);
    }

    #[test]
    fn opus_packets_are_frames_and_padding_is_nothing() {
        let mut assembler = FrameAssembler::new(Recovery::Any);
        let opus = |payload: &'static [u8]| {
            let packet = Packet { payload: Bytes::from_static(payload), ..Packet::default() };
            Entry { packet, codec: Codec::Opus, at: Instant::now() }
        };
        assert_eq!(short(assembler.push(opus(&[0xfc, 1]))), Some((vec![0xfc, 1], true, true)));
        assert!(assembler.push(opus(&[])).is_none());
        assert_eq!(assembler.take_dropped(), 0);
        assert!(assembler.push(opus(&[0xff, 0])).is_none());
        assert_eq!(assembler.take_dropped(), 1);
        assert_eq!(short(assembler.push(opus(&[0xfc, 2]))), Some((vec![0xfc, 2], true, false)));
        assembler.on_gap();
        assert_eq!(short(assembler.push(opus(&[0xfc, 3]))), Some((vec![0xfc, 3], true, false)));
    }
}
