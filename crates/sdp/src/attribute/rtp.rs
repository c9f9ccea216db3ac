//! RTP: `rtpmap`, `fmtp`, directions (RFC 8866 section 6), `rtcp-fb` (RFC 4585), `extmap` (RFC 8285), `rtcp` (RFC 3605).

use std::borrow::Cow;
use std::fmt;

use super::{display_as_written, intern};
use crate::error::Reason;
use crate::lexer::{Fields, decimal, payload_type, trim};
use crate::session::Connection;
use crate::write::number;

/// In which directions media flows, seen from the side that wrote the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both ways; what holds if nothing is said.
    #[default]
    SendRecv,
    /// From the writer only.
    SendOnly,
    /// To the writer only.
    RecvOnly,
    /// Not at all.
    Inactive,
}

impl Direction {
    /// From its two halves.
    pub fn new(send: bool, receive: bool) -> Self {
        match (send, receive) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// The attribute's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Whether the writer sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same, seen from the other side.
    pub fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What both allow.
    pub fn intersection(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|d| d.as_str() == name)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a payload type stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpMap {
    /// 0 to 127.
    pub payload_type: u8,
    /// The codec's name; it is compared without regard to case ([`RtpMap::is`]).
    pub encoding: Cow<'static, str>,
    /// Of the RTP timestamps, in Hz.
    pub clock_rate: u32,
    /// Audio channels; absent means one.
    pub channels: Option<u32>,
}

impl RtpMap {
    /// Without a number of channels.
    pub fn new(payload_type: u8, encoding: &'static str, clock_rate: u32) -> Self {
        Self { payload_type, encoding: Cow::Borrowed(encoding), clock_rate, channels: None }
    }

    /// With a number of channels.
    pub fn with_channels(self, channels: u32) -> Self {
        Self { channels: Some(channels), ..self }
    }

    /// Whether this is the codec of that name, in any case.
    pub fn is(&self, encoding: &str) -> bool {
        self.encoding.eq_ignore_ascii_case(encoding)
    }

    pub(super) fn parse(value: &str) -> Result<Self, Reason> {
        let mut fields = Fields::new(value);
        let payload_type = fields.next().and_then(payload_type).ok_or(Reason::PayloadType)?;
        let mut parts = fields.rest().split('/');
        let encoding = parts.next().filter(|name| !name.is_empty()).ok_or(Reason::RtpMap)?;
        let mut number = || parts.next().map(|text| decimal(trim(text)).and_then(|n| u32::try_from(n).ok()));
        let clock_rate = number().flatten().ok_or(Reason::RtpMap)?;
        let channels = match number() {
            None => None,
            Some(channels) => Some(channels.ok_or(Reason::RtpMap)?),
        };
        let encoding = intern!(encoding; "VP8", "rtx", "opus", "H264", "VP9", "AV1", "red", "ulpfec", "PCMU", "PCMA",
            "G722", "CN", "telephone-event", "H265", "flexfec-03");
        Ok(Self { payload_type, encoding, clock_rate, channels })
    }
}

impl RtpMap {
    /// Writes the value of the attribute.
    pub(super) fn write(&self, out: &mut String) {
        number(u32::from(self.payload_type), out);
        out.push(' ');
        out.push_str(&self.encoding);
        out.push('/');
        number(self.clock_rate, out);
        if let Some(channels) = self.channels {
            out.push('/');
            number(channels, out);
        }
    }
}

/// The parameters of a payload type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fmtp {
    /// 0 to 127.
    pub payload_type: u8,
    /// As written: mostly `name=value` parted by semicolons, see [`Fmtp::pairs`].
    pub parameters: String,
}

impl Fmtp {
    /// `None` if the format is no number: that is not about RTP.
    pub(super) fn parse(value: &str) -> Result<Option<Self>, Reason> {
        let mut fields = Fields::new(value);
        let Some(format) = fields.next().filter(|format| decimal(format).is_some()) else { return Ok(None) };
        let payload_type = payload_type(format).ok_or(Reason::PayloadType)?;
        Ok(Some(Self { payload_type, parameters: fields.rest().to_owned() }))
    }

    /// The parameters, each with its value, which is empty where there is none.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.split(';').map(trim).filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (trim(name), trim(value))
        })
    }

    /// The value of the first parameter of that name, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Fmtp {
    /// Writes the value of the attribute.
    pub(super) fn write(&self, out: &mut String) {
        number(u32::from(self.payload_type), out);
        out.push(' ');
        out.push_str(&self.parameters);
    }
}

/// A kind of RTCP feedback that may be sent about a payload type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtcpFeedback {
    /// `None` is `*`: every payload type of the section.
    pub payload_type: Option<u8>,
    /// What may be sent.
    pub feedback: Feedback,
}

/// The value of an `a=rtcp-fb`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feedback {
    /// `nack`: generic NACK (RFC 4585 section 6.2.1).
    Nack,
    /// `nack pli`: picture loss indication (RFC 4585 section 6.3.1).
    NackPli,
    /// `ccm fir`: full intra request (RFC 5104 section 4.3.1).
    CcmFir,
    /// `goog-remb`: receiver estimated maximum bitrate.
    GoogRemb,
    /// `transport-cc`: transport-wide congestion control.
    TransportCc,
    /// Anything else, its words parted by one blank.
    Other(String),
}

impl Feedback {
    /// The value of the attribute after the payload type.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Nack => "nack",
            Self::NackPli => "nack pli",
            Self::CcmFir => "ccm fir",
            Self::GoogRemb => "goog-remb",
            Self::TransportCc => "transport-cc",
            Self::Other(text) => text,
        }
    }
}

impl RtcpFeedback {
    /// Feedback about one payload type.
    pub fn new(payload_type: u8, feedback: Feedback) -> Self {
        Self { payload_type: Some(payload_type), feedback }
    }

    /// Whether it holds for that payload type.
    pub fn applies_to(&self, payload_type: u8) -> bool {
        self.payload_type.is_none_or(|own| own == payload_type)
    }

    pub(super) fn parse(value: &str) -> Result<Self, Reason> {
        let mut fields = Fields::new(value);
        let payload_type = match fields.next() {
            Some("*") => None,
            Some(text) => Some(payload_type(text).ok_or(Reason::PayloadType)?),
            None => return Err(Reason::RtcpFeedback),
        };
        let feedback = match fields.rest() {
            "" => return Err(Reason::RtcpFeedback),
            "nack" => Feedback::Nack,
            "nack pli" => Feedback::NackPli,
            "ccm fir" => Feedback::CcmFir,
            "goog-remb" => Feedback::GoogRemb,
            "transport-cc" => Feedback::TransportCc,
            _ => match (fields.next(), fields.next(), fields.next()) {
                (Some("nack"), Some("pli"), None) => Feedback::NackPli,
                (Some("ccm"), Some("fir"), None) => Feedback::CcmFir,
                (first, second, third) => Feedback::Other(
                    [first, second, third].into_iter().flatten().chain(fields).collect::<Vec<_>>().join(" "),
                ),
            },
        };
        Ok(Self { payload_type, feedback })
    }
}

impl RtcpFeedback {
    /// Writes the value of the attribute.
    pub(super) fn write(&self, out: &mut String) {
        match self.payload_type {
            Some(payload_type) => number(u32::from(payload_type), out),
            None => out.push('*'),
        }
        out.push(' ');
        out.push_str(self.feedback.as_str());
    }
}

/// The number that stands for a header extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extmap {
    /// 1 to 14 fits the one-byte header, to 255 the two-byte header; 4096 to 4351 may stand in an offer of more than
    /// can be numbered (RFC 8285 section 7).
    pub id: u16,
    /// In which direction it is used; absent means the section's.
    pub direction: Option<Direction>,
    /// What it is.
    pub uri: Cow<'static, str>,
    /// Anything after the URI.
    pub attributes: Option<String>,
}

impl Extmap {
    /// Both ways, without attributes.
    pub fn new(id: u16, uri: impl Into<Cow<'static, str>>) -> Self {
        Self { id, direction: None, uri: uri.into(), attributes: None }
    }

    pub(super) fn parse(value: &str) -> Result<Self, Reason> {
        let mut fields = Fields::new(value);
        let entry = fields.next().ok_or(Reason::Extmap)?;
        let (id, direction) = match entry.split_once('/') {
            Some((id, direction)) => (id, Some(Direction::parse(direction).ok_or(Reason::Extmap)?)),
            None => (entry, None),
        };
        let id =
            decimal(id).and_then(|id| u16::try_from(id).ok()).filter(|&id| id > 0).ok_or(Reason::Extmap)?;
        let uri = uri(fields.next().ok_or(Reason::Extmap)?);
        Ok(Self { id, direction, uri, attributes: fields.rest_if_any().map(str::to_owned) })
    }
}

fn uri(uri: &str) -> Cow<'static, str> {
    intern!(uri;
        "urn:ietf:params:rtp-hdrext:sdes:mid",
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        "urn:ietf:params:rtp-hdrext:toffset",
        "urn:3gpp:video-orientation",
        "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
        "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
        "http://www.webrtc.org/experiments/rtp-hdrext/video-timing",
        "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
        "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "urn:ietf:params:rtp-hdrext:csrc-audio-level",
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
    )
}

impl Extmap {
    /// Writes the value of the attribute.
    pub(super) fn write(&self, out: &mut String) {
        number(u32::from(self.id), out);
        if let Some(direction) = self.direction {
            out.push('/');
            out.push_str(direction.as_str());
        }
        out.push(' ');
        out.push_str(&self.uri);
        if let Some(attributes) = &self.attributes {
            out.push(' ');
            out.push_str(attributes);
        }
    }
}

/// The port of RTCP, and perhaps its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rtcp {
    /// 9 if it is not known.
    pub port: u16,
    /// If it differs from that of RTP.
    pub connection: Option<Connection>,
}

impl Rtcp {
    /// What a description without addresses says: `9 IN IP4 0.0.0.0`.
    pub fn unspecified() -> Self {
        Self { port: 9, connection: Some(Connection::unspecified()) }
    }

    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut fields = Fields::new(value);
        let port = u16::try_from(fields.number(u64::from(u16::MAX))?).ok()?;
        let connection = match fields.rest_if_any() {
            None => None,
            Some(rest) => Some(Connection::parse(rest)?),
        };
        Some(Self { port, connection })
    }
}

impl fmt::Display for Rtcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.port)?;
        self.connection.as_ref().map_or(Ok(()), |connection| write!(f, " {connection}"))
    }
}

display_as_written!(RtpMap, Fmtp, RtcpFeedback, Extmap);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Attribute;

    #[test]
    fn payload_types_above_127_are_refused() {
        for text in [
            "rtpmap:128 VP8/90000",
            "rtpmap:383 VP8/90000",
            "rtpmap:-1 x/1",
            "rtcp-fb:128 nack",
            "fmtp:128 a=1",
        ] {
            assert_eq!(Attribute::parse(text), Err(Reason::PayloadType), "{text}");
        }
        for text in
            ["rtpmap:96", "rtpmap:96 VP8", "rtpmap:96 /90000", "rtpmap:96 VP8/x", "rtpmap:96 opus/48000/x"]
        {
            assert_eq!(Attribute::parse(text), Err(Reason::RtpMap), "{text}");
        }
    }

    #[test]
    fn a_codec_is_known_in_any_case_and_kept_as_written() {
        let Ok(Attribute::RtpMap(map)) = Attribute::parse("rtpmap:111 OPUS/48000/2") else {
            panic!("no rtpmap")
        };
        assert!(map.is("opus") && map.channels == Some(2) && map.clock_rate == 48_000);
        assert_eq!(map.to_string(), "111 OPUS/48000/2");
    }

    #[test]
    fn fmtp_is_read_by_name() {
        let Ok(Attribute::Fmtp(fmtp)) = Attribute::parse("fmtp:111 minptime=10; useinbandfec=1;x") else {
            panic!("no fmtp")
        };
        assert_eq!(fmtp.get("UseInbandFec"), Some("1"));
        assert_eq!(fmtp.get("x"), Some(""));
        assert_eq!(fmtp.get("y"), None);
    }

    #[test]
    fn feedback_is_read_past_needless_blanks() {
        let read = |text| match Attribute::parse(text) {
            Ok(Attribute::RtcpFeedback(feedback)) => feedback,
            other => panic!("{other:?}"),
        };
        assert_eq!(read("rtcp-fb:96 nack "), RtcpFeedback::new(96, Feedback::Nack));
        assert_eq!(read("rtcp-fb:96  nack   pli"), RtcpFeedback::new(96, Feedback::NackPli));
        assert_eq!(read("rtcp-fb:* ccm fir").payload_type, None);
        assert_eq!(read("rtcp-fb:96 ccm  tmmbr smaxpr=120").to_string(), "96 ccm tmmbr smaxpr=120");
        assert_eq!(Attribute::parse("rtcp-fb:96"), Err(Reason::RtcpFeedback));
    }

    #[test]
    fn extension_ids_are_checked() {
        let Ok(Attribute::Extmap(extmap)) = Attribute::parse("extmap:6/recvonly urn:x short 2") else {
            panic!("no extmap")
        };
        assert_eq!(extmap.direction, Some(Direction::RecvOnly));
        assert_eq!(extmap.to_string(), "6/recvonly urn:x short 2");
        for bad in ["extmap:0 urn:x", "extmap:65536 urn:x", "extmap:1/both urn:x", "extmap:1", "extmap:"] {
            assert_eq!(Attribute::parse(bad), Err(Reason::Extmap), "{bad}");
        }
    }

    #[test]
    fn directions_reverse_and_intersect() {
        use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
        for (direction, reversed) in
            [(SendRecv, SendRecv), (SendOnly, RecvOnly), (RecvOnly, SendOnly), (Inactive, Inactive)]
        {
            assert_eq!(direction.reversed(), reversed);
            assert_eq!(direction.intersection(SendRecv), direction);
            assert_eq!(Direction::parse(direction.as_str()), Some(direction));
        }
        assert_eq!(SendOnly.intersection(RecvOnly), Inactive);
    }

    #[test]
    fn rtcp_may_lack_its_address() {
        for text in ["rtcp:53020", "rtcp:9 IN IP4 0.0.0.0"] {
            let attribute = Attribute::parse(text).expect(text);
            assert!(matches!(attribute, Attribute::Rtcp(_)));
            assert_eq!(attribute.to_string(), text);
        }
        assert!(matches!(Attribute::parse("rtcp:x"), Ok(Attribute::Other { .. })));
    }
}
