//! What a session, a receiver and a sender are told: the outcome of a negotiation.

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// A codec whose payload format is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// VP8 (RFC 7741).
    Vp8,
    /// Opus (RFC 7587).
    Opus,
}

impl Codec {
    /// Audio or video.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Vp8 => Kind::Video,
            Self::Opus => Kind::Audio,
        }
    }

    /// The encoding name as in SDP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::Opus => "opus",
        }
    }

    /// The clock of its RTP timestamps, per second.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Vp8 => 90_000,
            Self::Opus => 48_000,
        }
    }

    /// The channels that SDP tells for it; 0 where it tells none.
    pub const fn channels(self) -> u8 {
        match self {
            Self::Vp8 => 0,
            Self::Opus => 2,
        }
    }
}

/// What a receiver gives to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Whole frames, for players and recorders.
    #[default]
    Frames,
    /// RTP packets after repair and in order, for forwarders.
    Packets,
    /// Packets, and the frames that they make beside them, for forwarders that record.
    Both,
}

/// A receiver, by a number that the caller chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiverId(pub u32);

/// A sender, by a number that the caller chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SenderId(pub u32);

/// Settings of a [`Session`](crate::Session).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The canonical name in every RTCP compound (RFC 3550 section 6.5.1; RFC 7022 says how to make one).
    pub cname: String,
    /// The octets of an RTP packet that frames are cut to fit, before SRTP. Default 1,200.
    pub max_packet_size: usize,
    /// Feedback may go without a report in front of it (`a=rtcp-rsize`, RFC 5506). Default no.
    pub reduced_size: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { cname: String::new(), max_packet_size: 1_200, reduced_size: false }
    }
}

impl Config {
    /// Sets the canonical name.
    pub fn with_cname(mut self, cname: impl Into<String>) -> Self {
        self.cname = cname.into();
        self
    }

    /// Sets the octets of an RTP packet that frames are cut to fit.
    pub fn with_max_packet_size(mut self, octets: usize) -> Self {
        self.max_packet_size = octets;
        self
    }

    /// Sets whether feedback may go without a report in front of it.
    pub fn with_reduced_size(mut self, reduced_size: bool) -> Self {
        self.reduced_size = reduced_size;
        self
    }
}

/// A codec as it was negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodecConfig {
    /// The codec.
    pub codec: Codec,
    /// Its payload type.
    pub payload_type: u8,
    /// The clock of its RTP timestamps, per second.
    pub clock_rate: u32,
    /// The channels that SDP tells; 0 for video.
    pub channels: u8,
    /// The payload type of its retransmissions (RFC 4588).
    pub rtx: Option<u8>,
    /// Missing packets are asked for (`a=rtcp-fb: nack`), or sent again if asked for.
    pub nack: bool,
    /// Keyframes are asked for by PLI (`nack pli`).
    pub pli: bool,
    /// Keyframes are asked for by FIR (`ccm fir`) where PLI is not negotiated.
    pub fir: bool,
}

impl CodecConfig {
    /// A codec with its usual clock and channels, without retransmission and feedback.
    pub fn new(codec: Codec, payload_type: u8) -> Self {
        Self {
            codec,
            payload_type,
            clock_rate: codec.clock_rate(),
            channels: codec.channels(),
            rtx: None,
            nack: false,
            pli: false,
            fir: false,
        }
    }

    /// Sets the payload type of retransmissions.
    pub fn with_rtx(mut self, payload_type: u8) -> Self {
        self.rtx = Some(payload_type);
        self
    }

    /// Sets whether missing packets are asked for.
    pub fn with_nack(mut self, nack: bool) -> Self {
        self.nack = nack;
        self
    }

    /// Sets whether keyframes are asked for by PLI.
    pub fn with_pli(mut self, pli: bool) -> Self {
        self.pli = pli;
        self
    }

    /// Sets whether keyframes are asked for by FIR.
    pub fn with_fir(mut self, fir: bool) -> Self {
        self.fir = fir;
        self
    }
}

impl Default for CodecConfig {
    fn default() -> Self {
        Self::new(Codec::Opus, 111)
    }
}

/// Settings of a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverConfig {
    /// Audio or video.
    pub kind: Kind,
    /// What may come in.
    pub codecs: Vec<CodecConfig>,
    /// What the application gets.
    pub mode: Mode,
    /// The sources that were signalled, each with the source of its retransmissions. It may be empty: sources are
    /// also learned from their packets.
    pub ssrcs: Vec<(u32, Option<u32>)>,
}

impl ReceiverConfig {
    /// A receiver of frames, without codecs.
    pub fn new(kind: Kind) -> Self {
        Self { kind, codecs: Vec::new(), mode: Mode::Frames, ssrcs: Vec::new() }
    }

    /// Sets what may come in.
    pub fn with_codecs(mut self, codecs: Vec<CodecConfig>) -> Self {
        self.codecs = codecs;
        self
    }

    /// Sets what the application gets.
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the sources that were signalled.
    pub fn with_ssrcs(mut self, ssrcs: Vec<(u32, Option<u32>)>) -> Self {
        self.ssrcs = ssrcs;
        self
    }

    pub(crate) fn codec(&self, payload_type: u8) -> Option<&CodecConfig> {
        self.codecs.iter().find(|codec| codec.payload_type == payload_type)
    }

    pub(crate) fn codec_of_rtx(&self, payload_type: u8) -> Option<&CodecConfig> {
        self.codecs.iter().find(|codec| codec.rtx == Some(payload_type))
    }
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self::new(Kind::Audio)
    }
}

/// Settings of a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SenderConfig {
    /// Audio or video.
    pub kind: Kind,
    /// The source.
    pub ssrc: u32,
    /// The source of retransmissions; without it packets are sent again as they are.
    pub rtx_ssrc: Option<u32>,
    /// What may be sent.
    pub codecs: Vec<CodecConfig>,
    /// The identifier of the MID header extension and its value (RFC 9143). It is on every packet until the other
    /// side has reported that it receives the source, and on every retransmission.
    pub mid: Option<(u8, String)>,
    /// The identifiers of header extensions that forwarded packets may keep; others are taken off.
    pub extensions: Vec<u8>,
}

impl SenderConfig {
    /// A sender without codecs.
    pub fn new(kind: Kind, ssrc: u32) -> Self {
        Self { kind, ssrc, rtx_ssrc: None, codecs: Vec::new(), mid: None, extensions: Vec::new() }
    }

    /// Sets the source of retransmissions.
    pub fn with_rtx_ssrc(mut self, ssrc: u32) -> Self {
        self.rtx_ssrc = Some(ssrc);
        self
    }

    /// Sets what may be sent.
    pub fn with_codecs(mut self, codecs: Vec<CodecConfig>) -> Self {
        self.codecs = codecs;
        self
    }

    /// Sets the MID header extension.
    pub fn with_mid(mut self, identifier: u8, mid: impl Into<String>) -> Self {
        self.mid = Some((identifier, mid.into()));
        self
    }

    /// Sets the header extensions that forwarded packets may keep.
    pub fn with_extensions(mut self, identifiers: Vec<u8>) -> Self {
        self.extensions = identifiers;
        self
    }
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self::new(Kind::Audio, 0)
    }
}
