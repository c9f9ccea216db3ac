//! What a packet says of its frame, where packets are passed on and not put together.

use taut_rtp::Packet;
use taut_rtp::payload::vp8;

use crate::config::Codec;

/// Whether a frame ends with the packet: a picture with the marker (RFC 7741 section 4.1), a frame of sound with each.
pub(crate) fn ends_frame(codec: Codec, packet: &Packet) -> bool {
    match codec {
        Codec::Vp8 => packet.marker,
        Codec::Opus => true,
    }
}

/// A keyframe that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keyframe {
    /// Width and height, where its first packet tells.
    pub(crate) size: Option<(u16, u16)>,
}

impl Keyframe {
    /// The keyframe that begins with this payload, if one does. Sound is made of nothing else.
    pub(crate) fn begins(codec: Codec, payload: &[u8]) -> Option<Self> {
        match codec {
            Codec::Vp8 => {
                let payload = vp8::Payload::parse(payload).ok().filter(vp8::Payload::starts_keyframe)?;
                Some(Self { size: vp8::keyframe_size(payload.data) })
            }
            Codec::Opus => Some(Self { size: None }),
        }
    }
}
