//! A frame: what an encoder gives and a decoder takes.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::Codec;

/// An encoded frame: a picture, or one packet of an audio codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The codec.
    pub codec: Codec,
    /// The encoded octets.
    pub data: Bytes,
    /// The media time: when it is to be shown, from any zero that the sender chooses. Of a received frame: since the
    /// first packet of its source.
    pub presentation: Duration,
    /// It can be decoded without those before it.
    pub keyframe: bool,
    /// The RTP timestamp. Of a frame to send it is not looked at.
    pub rtp_timestamp: u32,
    /// When its last packet came in. Of a frame to send it is not looked at.
    pub received: Option<Instant>,
    /// Of a received frame: nothing is missing between it and the frame before it.
    pub contiguous: bool,
    /// Of a received frame: when it was captured by the sender's wall clock, since the Unix epoch, once a sender
    /// report has told how. Frames of the same participant are in step where this is equal (RFC 3550 section 6.4.1).
    pub captured: Option<Duration>,
}

impl Frame {
    /// A frame to send. A frame of an audio codec counts as a keyframe.
    pub fn new(codec: Codec, data: impl Into<Bytes>, presentation: Duration) -> Self {
        Self {
            codec,
            data: data.into(),
            presentation,
            keyframe: codec.kind() == crate::config::Kind::Audio,
            rtp_timestamp: 0,
            received: None,
            contiguous: true,
            captured: None,
        }
    }

    /// Says whether it can be decoded without those before it.
    pub fn with_keyframe(mut self, keyframe: bool) -> Self {
        self.keyframe = keyframe;
        self
    }
}
