//! VP8 over RTP (RFC 7741): the payload descriptor, cutting a frame into packets, and putting it together again.
//!
//! ```text
//!      0 1 2 3 4 5 6 7
//!     |X|R|N|S|R| PID |    X: extension octet follows; N: non-reference; S: start of a partition
//! X:  |I|L|T|K| RSV   |
//! I:  |M| PictureID   |    M: 15 bits in two octets
//! L:  |   TL0PICIDX   |
//! T/K:|TID|Y| KEYIDX  |
//! ```

use std::ops::Range;

use bytes::Bytes;
use taut_sansio::codec::Reader;

/// The largest frame that is put together; a larger one is dropped.
pub const MAX_FRAME: usize = 4 << 20;
/// The most packets of one frame: a sequence number must not come round within it.
const MAX_PACKETS: usize = 32_768;

/// Why a payload is not VP8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// It ends within the descriptor.
    #[error("the payload ends within the VP8 descriptor")]
    Descriptor,
    /// There is nothing after the descriptor.
    #[error("there is nothing after the VP8 descriptor")]
    Empty,
}

impl From<taut_sansio::codec::Short> for ParseError {
    fn from(_: taut_sansio::codec::Short) -> Self {
        Self::Descriptor
    }
}

/// The running index of frames, with the width it has on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PictureId {
    /// Seven bits.
    Short(u8),
    /// Fifteen bits.
    Long(u16),
}

impl PictureId {
    /// The index.
    pub fn get(self) -> u16 {
        match self {
            Self::Short(id) => u16::from(id & 0x7f),
            Self::Long(id) => id & 0x7fff,
        }
    }
}

/// The payload descriptor, RFC 7741 section 4.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Descriptor {
    /// No other frame refers to this one.
    pub non_reference: bool,
    /// The payload begins with the start of a partition.
    pub start: bool,
    /// The partition that the first payload octet belongs to, 0..=7.
    pub partition: u8,
    /// The index of the frame.
    pub picture_id: Option<PictureId>,
    /// The index of the base-layer frame that this one belongs to.
    pub tl0_picture_index: Option<u8>,
    /// The temporal layer, 0..=3.
    pub temporal_layer: Option<u8>,
    /// The frame depends on the base layer only. Told only with a layer or a key index.
    pub layer_sync: bool,
    /// The index of the keyframe, 0..=31.
    pub key_index: Option<u8>,
}

impl Descriptor {
    /// Parses the descriptor at the start of a payload.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let first = reader.u8()?;
        let mut descriptor = Self {
            non_reference: first & 0x20 != 0,
            start: first & 0x10 != 0,
            partition: first & 0x07,
            ..Self::default()
        };
        if first & 0x80 == 0 {
            return Ok(descriptor);
        }
        let extended = reader.u8()?;
        if extended & 0x80 != 0 {
            let high = reader.u8()?;
            descriptor.picture_id = Some(if high & 0x80 == 0 {
                PictureId::Short(high)
            } else {
                PictureId::Long(u16::from_be_bytes([high & 0x7f, reader.u8()?]))
            });
        }
        if extended & 0x40 != 0 {
            descriptor.tl0_picture_index = Some(reader.u8()?);
        }
        if extended & 0x30 != 0 {
            let layer = reader.u8()?;
            descriptor.temporal_layer = (extended & 0x20 != 0).then_some(layer >> 6);
            descriptor.layer_sync = layer & 0x20 != 0;
            descriptor.key_index = (extended & 0x10 != 0).then_some(layer & 0x1f);
        }
        Ok(descriptor)
    }

    fn has_layer_octet(&self) -> bool {
        self.temporal_layer.is_some() || self.key_index.is_some()
    }

    fn is_extended(&self) -> bool {
        self.picture_id.is_some() || self.tl0_picture_index.is_some() || self.has_layer_octet()
    }

    /// How many octets [`write`](Self::write) appends, 1 to 6.
    pub fn encoded_len(&self) -> usize {
        let picture_id = match self.picture_id {
            None => 0,
            Some(PictureId::Short(_)) => 1,
            Some(PictureId::Long(_)) => 2,
        };
        1 + usize::from(self.is_extended())
            + picture_id
            + usize::from(self.tl0_picture_index.is_some())
            + usize::from(self.has_layer_octet())
    }

    /// Appends the descriptor.
    pub fn write(&self, out: &mut Vec<u8>) {
        let flag = |set: bool, bit: u8| u8::from(set) << bit;
        out.push(
            flag(self.is_extended(), 7)
                | flag(self.non_reference, 5)
                | flag(self.start, 4)
                | (self.partition & 0x07),
        );
        if !self.is_extended() {
            return;
        }
        out.push(
            flag(self.picture_id.is_some(), 7)
                | flag(self.tl0_picture_index.is_some(), 6)
                | flag(self.temporal_layer.is_some(), 5)
                | flag(self.key_index.is_some(), 4),
        );
        match self.picture_id {
            Some(PictureId::Short(id)) => out.push(id & 0x7f),
            Some(PictureId::Long(id)) => out.extend_from_slice(&(id | 0x8000).to_be_bytes()),
            None => {}
        }
        out.extend(self.tl0_picture_index);
        if self.has_layer_octet() {
            let layer = self.temporal_layer.unwrap_or(0) & 3;
            out.push((layer << 6) | flag(self.layer_sync, 5) | (self.key_index.unwrap_or(0) & 0x1f));
        }
    }
}

/// What one RTP payload is, for a jitter buffer that looks for the borders of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The descriptor.
    pub descriptor: Descriptor,
    /// The octets of the frame, not empty.
    pub data: &'a [u8],
}

impl<'a> Payload<'a> {
    /// Parses a payload.
    pub fn parse(payload: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(payload);
        let descriptor = Descriptor::parse(&mut reader)?;
        let data = reader.rest();
        if data.is_empty() { Err(ParseError::Empty) } else { Ok(Self { descriptor, data }) }
    }

    /// True if a frame begins with this packet. It ends with the packet that has the marker bit.
    pub fn starts_frame(&self) -> bool {
        self.descriptor.start && self.descriptor.partition == 0
    }

    /// True if this is the first packet of a keyframe (section 4.3: the P bit is 0).
    pub fn starts_keyframe(&self) -> bool {
        self.starts_frame() && is_keyframe(self.data)
    }
}

/// True if an encoded frame is a keyframe (RFC 6386 section 9.1).
pub fn is_keyframe(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 1 == 0)
}

/// Width and height in pixels that a keyframe tells (RFC 6386 section 9.1); `None` for other frames.
pub fn keyframe_size(frame: &[u8]) -> Option<(u16, u16)> {
    let ([_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1], _) = frame.split_first_chunk::<10>()? else {
        return None;
    };
    let size = (u16::from_le_bytes([*w0, *w1]) & 0x3fff, u16::from_le_bytes([*h0, *h1]) & 0x3fff);
    is_keyframe(frame).then_some(size)
}

/// Why a frame cannot be cut into packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketizeError {
    /// The frame has no octets.
    #[error("the frame is empty")]
    Empty,
    /// There is no room for a payload octet after the descriptor, or the frame needs too many packets.
    #[error("the frame needs too many packets of this size")]
    Room,
}

/// Cuts frames into packets, with a 15-bit PictureID that runs through the frames.
///
/// ```
/// use taut_rtp::payload::vp8::Packetizer;
/// use taut_rtp::{Packet, PayloadType, SequenceNumber};
///
/// let (frame, mut sequence) = (vec![0; 3_000], SequenceNumber::new(7));
/// let mut packetizer = Packetizer::new(0x1234);
/// for fragment in packetizer.packetize(frame.len(), 1_100).unwrap() {
///     let mut payload = Vec::new();
///     fragment.descriptor.write(&mut payload);
///     payload.extend_from_slice(&frame[fragment.range]);
///     let packet = Packet {
///         marker: fragment.last,
///         payload_type: PayloadType::new(96),
///         sequence,
///         timestamp: 90_000,
///         payload: payload.into(),
///         ..Packet::default()
///     };
///     let mut datagram = Vec::new();
///     packet.write(&mut datagram);
///     sequence = sequence.next();
/// }
/// assert_eq!(sequence, SequenceNumber::new(10));
/// ```
#[derive(Debug, Clone)]
pub struct Packetizer {
    picture_id: u16,
}

impl Packetizer {
    /// A packetizer whose first frame has this PictureID (its low 15 bits), which is to be random.
    pub fn new(first_picture_id: u16) -> Self {
        Self { picture_id: first_picture_id & 0x7fff }
    }

    /// Cuts a frame of `frame_len` octets into payloads of at most `max_payload` octets, descriptor included. All
    /// payloads have the same length but the last, which may be shorter. An error uses up no PictureID.
    pub fn packetize(&mut self, frame_len: usize, max_payload: usize) -> Result<Fragments, PacketizeError> {
        if frame_len == 0 {
            return Err(PacketizeError::Empty);
        }
        let descriptor =
            Descriptor { picture_id: Some(PictureId::Long(self.picture_id)), ..Descriptor::default() };
        let room = max_payload.checked_sub(descriptor.encoded_len()).filter(|room| *room > 0);
        let packets = room.map(|room| frame_len.div_ceil(room)).filter(|packets| *packets <= MAX_PACKETS);
        let packets = packets.ok_or(PacketizeError::Room)?;
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        Ok(Fragments { descriptor, next: 0, frame_len, step: frame_len.div_ceil(packets) })
    }
}

/// One packet of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// What goes before the octets of the frame.
    pub descriptor: Descriptor,
    /// The octets of the frame.
    pub range: Range<usize>,
    /// True for the last packet of the frame, which gets the marker bit.
    pub last: bool,
}

/// The packets of a frame, in order. See [`Packetizer::packetize`].
#[derive(Debug, Clone)]
pub struct Fragments {
    descriptor: Descriptor,
    next: usize,
    frame_len: usize,
    step: usize,
}

impl Iterator for Fragments {
    type Item = Fragment;

    fn next(&mut self) -> Option<Fragment> {
        if self.next >= self.frame_len {
            return None;
        }
        let end = self.next.saturating_add(self.step).min(self.frame_len);
        let range = std::mem::replace(&mut self.next, end)..end;
        let descriptor = Descriptor { start: range.start == 0, ..self.descriptor };
        Some(Fragment { descriptor, range, last: end == self.frame_len })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.frame_len.saturating_sub(self.next).div_ceil(self.step);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Fragments {}

/// Why a frame cannot be put together. The packets held are dropped with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DepacketizeError {
    /// A payload is not VP8.
    #[error(transparent)]
    Payload(#[from] ParseError),
    /// The first packet does not start a frame.
    #[error("the first packet does not start a frame")]
    Start,
    /// A packet starts another frame, or has another PictureID.
    #[error("the packet belongs to another frame")]
    OtherFrame,
    /// The frame is larger than [`MAX_FRAME`], or has more packets than half the sequence numbers.
    #[error("the frame is too large")]
    TooLarge,
}

/// A frame that was put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The encoded frame. A slice of its packet if there was only one.
    pub data: Bytes,
    /// True for a keyframe.
    pub keyframe: bool,
    /// The descriptor of the first packet.
    pub descriptor: Descriptor,
}

/// Puts the packets of a frame together. They come in order and without gaps: that is the jitter buffer's work.
#[derive(Debug, Default)]
pub struct Depacketizer {
    first: Option<Descriptor>,
    parts: Vec<Bytes>,
    len: usize,
}

impl Depacketizer {
    /// A depacketizer that holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next payload; `marker` says that it ends the frame, and gives it. An error drops what is held.
    pub fn push(&mut self, payload: &Bytes, marker: bool) -> Result<Option<Frame>, DepacketizeError> {
        match self.take(payload) {
            Ok(()) if marker => Ok(self.finish()),
            Ok(()) => Ok(None),
            Err(error) => {
                self.reset();
                Err(error)
            }
        }
    }

    /// Drops what is held.
    pub fn reset(&mut self) {
        self.first = None;
        self.parts.clear();
        self.len = 0;
    }

    fn take(&mut self, payload: &Bytes) -> Result<(), DepacketizeError> {
        let parsed = Payload::parse(payload)?;
        match &self.first {
            None if !parsed.starts_frame() => return Err(DepacketizeError::Start),
            None => self.first = Some(parsed.descriptor),
            Some(first) if parsed.starts_frame() || first.picture_id != parsed.descriptor.picture_id => {
                return Err(DepacketizeError::OtherFrame);
            }
            Some(_) => {}
        }
        // Both numbers are bounded by MAX_FRAME and the length of a datagram.
        self.len += parsed.data.len();
        if self.len > MAX_FRAME || self.parts.len() >= MAX_PACKETS {
            return Err(DepacketizeError::TooLarge);
        }
        self.parts.push(payload.slice_ref(parsed.data));
        Ok(())
    }

    fn finish(&mut self) -> Option<Frame> {
        let descriptor = self.first.take()?;
        let data = match self.parts.as_slice() {
            [only] => only.clone(),
            parts => {
                let mut data = Vec::with_capacity(self.len);
                parts.iter().for_each(|part| data.extend_from_slice(part));
                Bytes::from(data)
            }
        };
        self.reset();
        Some(Frame { keyframe: is_keyframe(&data), data, descriptor })
    }
}

#[cfg(test)]
mod tests {
    use taut_sansio::assert_wire;

    use super::*;

    fn full() -> Descriptor {
        Descriptor {
            non_reference: true,
            start: true,
            partition: 7,
            picture_id: Some(PictureId::Long(0x7abc)),
            tl0_picture_index: Some(200),
            temporal_layer: Some(2),
            layer_sync: true,
            key_index: Some(31),
        }
    }

    #[test]
    fn descriptors_round_trip() {
        assert_wire!(Descriptor, Descriptor::default());
        assert_wire!(Descriptor, full());
        assert_wire!(Descriptor, Descriptor { picture_id: Some(PictureId::Short(127)), ..full() });
        assert_wire!(Descriptor, Descriptor { temporal_layer: None, ..full() });
        assert_wire!(Descriptor, Descriptor { key_index: None, tl0_picture_index: None, ..full() });
    }

    #[test]
    fn the_examples_of_the_rfc_parse() {
        // RFC 7741 section 4.6.1: a keyframe in one packet, PictureID 17.
        let key = Payload::parse(&[0x90, 0x80, 0x11, 0x10, 1, 2]).unwrap();
        assert_eq!(key.descriptor.picture_id, Some(PictureId::Short(17)));
        assert!(key.starts_keyframe());
        // Section 4.6.2: an interframe without PictureID.
        let inter = Payload::parse(&[0x10, 0x11, 1, 2]).unwrap();
        assert!(inter.starts_frame() && !inter.starts_keyframe());
        assert_eq!(inter.descriptor.picture_id, None);
        // Section 4.6.5: a PictureID of 15 bits, 4711.
        let long = Payload::parse(&[0x90, 0x80, 0x92, 0x67, 0x11]).unwrap();
        assert_eq!(long.descriptor.picture_id, Some(PictureId::Long(4711)));
        // Section 4.6.3: the second partition starts, but no frame does.
        assert!(!Payload::parse(&[0x91, 0x80, 0x11, 0x10]).unwrap().starts_frame());
    }

    fn cut(frame: &[u8], max_payload: usize, packetizer: &mut Packetizer) -> Vec<(Bytes, bool)> {
        let fragments = packetizer.packetize(frame.len(), max_payload).unwrap();
        let expected = fragments.len();
        let payloads: Vec<_> = fragments
            .map(|fragment| {
                let mut payload = Vec::new();
                fragment.descriptor.write(&mut payload);
                payload.extend_from_slice(&frame[fragment.range]);
                assert!(payload.len() <= max_payload);
                (Bytes::from(payload), fragment.last)
            })
            .collect();
        assert_eq!(payloads.len(), expected);
        payloads
    }

    #[test]
    fn frames_of_every_length_come_back() {
        let mut packetizer = Packetizer::new(0x7fff);
        let mut depacketizer = Depacketizer::new();
        for length in 1..400usize {
            let frame: Vec<u8> = (0..length).map(|i| (i + length) as u8).collect();
            let payloads = cut(&frame, 50, &mut packetizer);
            let size = payloads[0].0.len();
            assert!(payloads.iter().rev().skip(1).all(|(payload, _)| payload.len() == size));
            let mut whole = None;
            for (payload, last) in &payloads {
                assert!(whole.is_none());
                whole = depacketizer.push(payload, *last).unwrap();
            }
            let whole = whole.unwrap();
            assert_eq!(whole.data, frame);
            assert_eq!(whole.keyframe, frame[0] & 1 == 0);
            assert_eq!(whole.descriptor.picture_id, Some(PictureId::Long((0x7ffe + length as u16) & 0x7fff)));
        }
    }

    #[test]
    fn a_frame_of_one_packet_is_not_copied() {
        let payload = Bytes::from_static(&[0x10, 2, 3, 4]);
        let frame = Depacketizer::new().push(&payload, true).unwrap().unwrap();
        assert_eq!(frame.data.as_ptr(), payload[1..].as_ptr());
    }

    #[test]
    fn packets_of_other_frames_are_refused_and_drop_what_is_held() {
        let mut depacketizer = Depacketizer::new();
        let middle = Bytes::from_static(&[0x80, 0x80, 5, 9]);
        let start = Bytes::from_static(&[0x90, 0x80, 5, 9]);
        let other = Bytes::from_static(&[0x80, 0x80, 6, 9]);
        assert_eq!(depacketizer.push(&middle, false), Err(DepacketizeError::Start));
        assert_eq!(depacketizer.push(&start, false), Ok(None));
        assert_eq!(depacketizer.push(&start, true), Err(DepacketizeError::OtherFrame));
        assert_eq!(depacketizer.push(&middle, true), Err(DepacketizeError::Start));
        assert_eq!(depacketizer.push(&start, false), Ok(None));
        assert_eq!(depacketizer.push(&other, true), Err(DepacketizeError::OtherFrame));
        assert_eq!(depacketizer.push(&Bytes::new(), true), Err(ParseError::Descriptor.into()));
        assert_eq!(depacketizer.push(&start, false), Ok(None));
        assert_eq!(depacketizer.push(&middle, true).unwrap().unwrap().data, &[9u8, 9][..]);
    }

    #[test]
    fn a_frame_without_end_is_bounded() {
        let mut depacketizer = Depacketizer::new();
        let middle = Bytes::from([&[0x00][..], &[1; 65_000]].concat());
        depacketizer.push(&Bytes::from_static(&[0x10, 1]), false).unwrap();
        let refused = (0..100).find_map(|_| depacketizer.push(&middle, false).err());
        assert_eq!(refused, Some(DepacketizeError::TooLarge));
        assert_eq!((depacketizer.len, depacketizer.parts.len()), (0, 0));

        let tiny = Bytes::from_static(&[0x00, 1]);
        depacketizer.push(&Bytes::from_static(&[0x10, 1]), false).unwrap();
        let accepted = (0..100_000).take_while(|_| depacketizer.push(&tiny, false).is_ok()).count();
        assert_eq!(accepted, MAX_PACKETS - 1);
    }

    #[test]
    fn no_short_payload_panics() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                for length in 0..8 {
                    let mut payload = vec![first, second, 0xff, 0xff, 0xff, 0xff, 0xff];
                    payload.truncate(length);
                    if let Ok(parsed) = Payload::parse(&payload) {
                        assert!(!parsed.data.is_empty());
                    }
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        let mut packetizer = Packetizer::new(3);
        assert_eq!(packetizer.packetize(0, 1200).unwrap_err(), PacketizeError::Empty);
        for room in 0..=4 {
            assert_eq!(packetizer.packetize(5, room).unwrap_err(), PacketizeError::Room);
        }
        assert_eq!(packetizer.packetize(usize::MAX, 1200).unwrap_err(), PacketizeError::Room);
        let first = packetizer.packetize(5, 5).unwrap().next().unwrap();
        assert_eq!(first.descriptor.picture_id, Some(PictureId::Long(3)), "errors use up no PictureID");
    }

    #[test]
    fn the_size_of_a_keyframe_is_read() {
        let key = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0xe0, 0x01];
        assert_eq!(keyframe_size(&key), Some((640, 480)));
        let mut inter = key;
        inter[0] |= 1;
        assert_eq!(keyframe_size(&inter), None);
        assert_eq!(keyframe_size(&key[..9]), None);
    }
}
