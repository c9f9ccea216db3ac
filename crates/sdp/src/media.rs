//! A media section (RFC 8866 section 5.14) and what is read from it.

use std::borrow::Cow;
use std::fmt;

use crate::attribute::{
    Attribute, Direction, Extmap, Feedback, Fingerprint, Fmtp, Msid, RtpMap, Setup, SourceAttribute,
    SourceGroup, intern,
};
use crate::error::Reason;
use crate::lexer::{Fields, decimal, payload_type};
use crate::limits::MAX_FORMATS;
use crate::session::{Bandwidth, Connection};

/// One `m=` line and all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// What kind of media.
    pub kind: MediaKind,
    /// The transport port. 0 rejects the section, or says `a=bundle-only`; 9 stands for "not yet known".
    pub port: u16,
    /// How many ports, where it is said.
    pub port_count: Option<u16>,
    /// The transport protocol.
    pub protocol: Protocol,
    /// Payload types in order of preference, or the names of other formats.
    pub formats: Vec<Format>,
    /// `i=`.
    pub title: Option<String>,
    /// `c=`.
    pub connections: Vec<Connection>,
    /// `b=`.
    pub bandwidths: Vec<Bandwidth>,
    /// `k=`, obsolete.
    pub key: Option<String>,
    /// `a=`, in order.
    pub attributes: Vec<Attribute>,
}

/// The kind of media (RFC 8866 section 8.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MediaKind {
    /// `audio`.
    Audio,
    /// `video`.
    Video,
    /// `application`.
    Application,
    /// `text`, `message`, `image` and whatever else there is.
    Other(Cow<'static, str>),
}

impl MediaKind {
    /// The name in the `m=` line.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Application => "application",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for MediaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The transport protocol (RFC 8866 section 8.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// `UDP/TLS/RTP/SAVPF` (RFC 5764), what WebRTC writes for media.
    UdpTlsRtpSavpf,
    /// `UDP/DTLS/SCTP` (RFC 8841), what WebRTC writes for data.
    UdpDtlsSctp,
    /// Any other.
    Other(Cow<'static, str>),
}

impl Protocol {
    /// The name in the `m=` line.
    pub fn as_str(&self) -> &str {
        match self {
            Self::UdpTlsRtpSavpf => "UDP/TLS/RTP/SAVPF",
            Self::UdpDtlsSctp => "UDP/DTLS/SCTP",
            Self::Other(name) => name,
        }
    }

    /// Whether the formats are RTP payload types.
    pub fn is_rtp(&self) -> bool {
        match self {
            Self::UdpTlsRtpSavpf => true,
            Self::UdpDtlsSctp => false,
            Self::Other(name) => name.split('/').any(|part| part == "RTP"),
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "UDP/TLS/RTP/SAVPF" => Self::UdpTlsRtpSavpf,
            "UDP/DTLS/SCTP" => Self::UdpDtlsSctp,
            _ => {
                Self::Other(intern!(text; "RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP",
                "TCP/DTLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "TCP/DTLS/SCTP", "DTLS/SCTP"))
            }
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One entry of the format list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Of an RTP section: 0 to 127.
    PayloadType(u8),
    /// Of any other section, such as `webrtc-datachannel`.
    Name(Cow<'static, str>),
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PayloadType(payload_type) => payload_type.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Media {
    /// A section without attributes.
    pub fn new(kind: MediaKind, port: u16, protocol: Protocol, formats: Vec<Format>) -> Self {
        Self {
            kind,
            port,
            port_count: None,
            protocol,
            formats,
            title: None,
            connections: Vec::new(),
            bandwidths: Vec::new(),
            key: None,
            attributes: Vec::new(),
        }
    }

    /// Adds an attribute at the end.
    pub fn with(mut self, attribute: Attribute) -> Self {
        self.attributes.push(attribute);
        self
    }

    /// Adds a `c=` line.
    pub fn with_connection(mut self, connection: Connection) -> Self {
        self.connections.push(connection);
        self
    }

    /// Reads what stands after `m=`.
    pub(crate) fn parse_line(value: &str) -> Result<Self, Reason> {
        let mut fields = Fields::new(value);
        let (Some(kind), Some(port), Some(protocol)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(Reason::Media);
        };
        let kind = match kind {
            "audio" => MediaKind::Audio,
            "video" => MediaKind::Video,
            "application" => MediaKind::Application,
            other => MediaKind::Other(intern!(other; "text", "message", "image")),
        };
        let number = |text| decimal(text).and_then(|n| u16::try_from(n).ok()).ok_or(Reason::Port);
        let (port, port_count) = match port.split_once('/') {
            Some((port, count)) => (number(port)?, Some(number(count)?)),
            None => (number(port)?, None),
        };
        let protocol = Protocol::parse(protocol);
        let formats = Self::parse_formats(fields, protocol.is_rtp())?;
        Ok(Self { port_count, ..Self::new(kind, port, protocol, formats) })
    }

    fn parse_formats(fields: Fields<'_>, rtp: bool) -> Result<Vec<Format>, Reason> {
        // Two digits and a blank each: a good guess of how many there are.
        let mut formats = Vec::with_capacity((fields.rest().len() / 3).saturating_add(1).min(MAX_FORMATS));
        for field in fields {
            if formats.len() >= MAX_FORMATS {
                return Err(Reason::TooManyFormats);
            }
            formats.push(match rtp {
                true => Format::PayloadType(payload_type(field).ok_or(Reason::PayloadType)?),
                false => Format::Name(intern!(field; "webrtc-datachannel")),
            });
        }
        if formats.is_empty() { Err(Reason::Media) } else { Ok(formats) }
    }

    /// The first value that `read` finds among the attributes.
    fn find<'a, T>(&'a self, read: impl FnMut(&'a Attribute) -> Option<T>) -> Option<T> {
        self.attributes.iter().find_map(read)
    }

    /// Whether this very attribute is there; for those without a value.
    pub fn has(&self, attribute: &Attribute) -> bool {
        self.attributes.contains(attribute)
    }

    /// The payload types of the `m=` line, in order.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> {
        self.formats.iter().filter_map(|format| match format {
            Format::PayloadType(payload_type) => Some(*payload_type),
            Format::Name(_) => None,
        })
    }

    /// `a=mid`.
    pub fn mid(&self) -> Option<&str> {
        self.find(|a| if let Attribute::Mid(mid) = a { Some(mid.as_str()) } else { None })
    }

    /// The direction that the section itself gives; `None` leaves it to the session, see [`Session::direction`](crate::Session::direction).
    pub fn direction(&self) -> Option<Direction> {
        self.find(|a| if let Attribute::Direction(direction) = a { Some(*direction) } else { None })
    }

    /// All `a=rtpmap`.
    pub fn rtpmaps(&self) -> impl Iterator<Item = &RtpMap> {
        self.attributes.iter().filter_map(|a| if let Attribute::RtpMap(map) = a { Some(map) } else { None })
    }

    /// All `a=fmtp`.
    pub fn fmtps(&self) -> impl Iterator<Item = &Fmtp> {
        self.attributes.iter().filter_map(|a| if let Attribute::Fmtp(fmtp) = a { Some(fmtp) } else { None })
    }

    /// The first `a=fmtp` of a payload type.
    pub fn fmtp(&self, payload_type: u8) -> Option<&Fmtp> {
        self.fmtps().find(|fmtp| fmtp.payload_type == payload_type)
    }

    /// The feedback that holds for a payload type, that of `*` included.
    pub fn rtcp_feedback(&self, payload_type: u8) -> impl Iterator<Item = &Feedback> {
        self.attributes.iter().filter_map(move |a| match a {
            Attribute::RtcpFeedback(feedback) if feedback.applies_to(payload_type) => {
                Some(&feedback.feedback)
            }
            _ => None,
        })
    }

    /// All `a=extmap` of the section.
    pub fn extmaps(&self) -> impl Iterator<Item = &Extmap> {
        self.attributes
            .iter()
            .filter_map(|a| if let Attribute::Extmap(extmap) = a { Some(extmap) } else { None })
    }

    /// All `a=ssrc`.
    pub fn sources(&self) -> impl Iterator<Item = &SourceAttribute> {
        self.attributes
            .iter()
            .filter_map(|a| if let Attribute::Source(source) = a { Some(source) } else { None })
    }

    /// All `a=ssrc-group`.
    pub fn source_groups(&self) -> impl Iterator<Item = &SourceGroup> {
        self.attributes
            .iter()
            .filter_map(|a| if let Attribute::SourceGroup(group) = a { Some(group) } else { None })
    }

    /// Every SSRC that an `a=ssrc` names, once each, in the order of first mention.
    pub fn ssrcs(&self) -> Vec<u32> {
        let mut seen = std::collections::BTreeSet::new();
        self.sources().map(|source| source.ssrc).filter(|&ssrc| seen.insert(ssrc)).collect()
    }

    /// All `a=msid`.
    pub fn msids(&self) -> impl Iterator<Item = &Msid> {
        self.attributes.iter().filter_map(|a| if let Attribute::Msid(msid) = a { Some(msid) } else { None })
    }

    /// `a=setup` of the section itself.
    pub fn setup(&self) -> Option<Setup> {
        self.find(|a| if let Attribute::Setup(setup) = a { Some(*setup) } else { None })
    }

    /// All `a=fingerprint` of the section itself.
    pub fn fingerprints(&self) -> impl Iterator<Item = &Fingerprint> {
        self.attributes
            .iter()
            .filter_map(|a| if let Attribute::Fingerprint(print) = a { Some(print) } else { None })
    }

    /// `a=ice-ufrag` of the section itself.
    pub fn ice_ufrag(&self) -> Option<&str> {
        self.find(|a| if let Attribute::IceUfrag(ufrag) = a { Some(ufrag.as_str()) } else { None })
    }

    /// `a=ice-pwd` of the section itself.
    pub fn ice_pwd(&self) -> Option<&str> {
        self.find(|a| if let Attribute::IcePwd(pwd) = a { Some(pwd.as_str()) } else { None })
    }

    /// The values of all `a=candidate`.
    pub fn candidates(&self) -> impl Iterator<Item = &str> {
        self.attributes
            .iter()
            .filter_map(|a| if let Attribute::Candidate(text) = a { Some(text.as_str()) } else { None })
    }

    /// `a=sctp-port`.
    pub fn sctp_port(&self) -> Option<u16> {
        self.find(|a| if let Attribute::SctpPort(port) = a { Some(*port) } else { None })
    }

    /// `a=max-message-size`.
    pub fn max_message_size(&self) -> Option<u64> {
        self.find(|a| if let Attribute::MaxMessageSize(size) = a { Some(*size) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_lines() {
        let media = Media::parse_line("video 49170/2 RTP/AVP 31 96").expect("m-line");
        assert_eq!((media.port, media.port_count), (49_170, Some(2)));
        assert_eq!(media.payload_types().collect::<Vec<_>>(), [31, 96]);
        let data = Media::parse_line("application 9 UDP/DTLS/SCTP webrtc-datachannel").expect("m-line");
        assert_eq!(data.formats, [Format::Name("webrtc-datachannel".into())]);
        for (text, reason) in [
            ("audio 9 RTP/AVP", Reason::Media),
            ("audio 9", Reason::Media),
            ("audio 65536 RTP/AVP 0", Reason::Port),
            ("audio 9/x RTP/AVP 0", Reason::Port),
            ("audio -1 RTP/AVP 0", Reason::Port),
            ("audio 9 UDP/TLS/RTP/SAVPF 128", Reason::PayloadType),
            ("audio 9 UDP/TLS/RTP/SAVPF *", Reason::PayloadType),
        ] {
            assert_eq!(Media::parse_line(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn formats_are_bounded() {
        let line = |n| format!("audio 9 RTP/AVP{}", " 0".repeat(n));
        assert!(Media::parse_line(&line(MAX_FORMATS)).is_ok());
        assert_eq!(Media::parse_line(&line(MAX_FORMATS + 1)), Err(Reason::TooManyFormats));
    }
}
