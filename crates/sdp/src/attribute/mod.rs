//! Attributes, the `a=` lines (RFC 8866 section 5.13): one typed enum, a file per family.

mod dtls;
mod grouping;
mod ice;
mod rtp;
mod sctp;
mod simulcast;
mod source;

use std::borrow::Cow;
use std::fmt::{self, Write as _};

pub use dtls::{Fingerprint, HashAlgorithm, Setup};
pub use grouping::Group;
pub use rtp::{Direction, Extmap, Feedback, Fmtp, Rtcp, RtcpFeedback, RtpMap};
pub use simulcast::{Rid, RidDirection, Simulcast, SimulcastId, SimulcastStreams};
pub use source::{Msid, SourceAttribute, SourceGroup};

use crate::error::Reason;
use crate::lexer::trim;

/// A `Cow::Borrowed` if the text is one of the given literals, else an owned copy: the names that every description repeats cost no memory.
macro_rules! intern {
    ($text:expr; $($known:literal),+ $(,)?) => {
        match $text {
            $($known => std::borrow::Cow::Borrowed($known),)+
            other => std::borrow::Cow::Owned(other.to_owned()),
        }
    };
}
pub(crate) use intern;

/// One `a=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attribute {
    /// `a=sendrecv`, `a=sendonly`, `a=recvonly`, `a=inactive` (RFC 8866 section 6.7).
    Direction(Direction),
    /// `a=candidate`: the value as it came, to be read by the ICE layer (RFC 8839 section 5.1).
    Candidate(String),
    /// `a=end-of-candidates` (RFC 8838 section 8.2).
    EndOfCandidates,
    /// `a=ice-ufrag` (RFC 8839 section 5.4).
    IceUfrag(String),
    /// `a=ice-pwd` (RFC 8839 section 5.4).
    IcePwd(String),
    /// `a=ice-options` (RFC 8839 section 5.6).
    IceOptions(Vec<Cow<'static, str>>),
    /// `a=ice-lite` (RFC 8839 section 5.3).
    IceLite,
    /// `a=fingerprint` (RFC 8122 section 5).
    Fingerprint(Fingerprint),
    /// `a=setup` (RFC 4145 section 4).
    Setup(Setup),
    /// `a=tls-id` (RFC 8842 section 4).
    TlsId(String),
    /// `a=rtpmap` (RFC 8866 section 6.6).
    RtpMap(RtpMap),
    /// `a=fmtp` of a payload type (RFC 8866 section 6.15).
    Fmtp(Fmtp),
    /// `a=rtcp-fb` (RFC 4585 section 4.2).
    RtcpFeedback(RtcpFeedback),
    /// `a=extmap` (RFC 8285 section 8).
    Extmap(Extmap),
    /// `a=extmap-allow-mixed` (RFC 8285 section 6).
    ExtmapAllowMixed,
    /// `a=rtcp` (RFC 3605).
    Rtcp(Rtcp),
    /// `a=rtcp-mux` (RFC 5761 section 5.1.3).
    RtcpMux,
    /// `a=rtcp-mux-only` (RFC 8858).
    RtcpMuxOnly,
    /// `a=rtcp-rsize` (RFC 5506 section 5.1).
    RtcpRsize,
    /// `a=ssrc` (RFC 5576 section 4.1).
    Source(SourceAttribute),
    /// `a=ssrc-group` (RFC 5576 section 4.2).
    SourceGroup(SourceGroup),
    /// `a=msid` (RFC 8830 section 2).
    Msid(Msid),
    /// `a=group` (RFC 5888 section 5).
    Group(Group),
    /// `a=mid` (RFC 5888 section 4).
    Mid(String),
    /// `a=bundle-only` (RFC 9143 section 6).
    BundleOnly,
    /// `a=rid` (RFC 8851 section 4).
    Rid(Rid),
    /// `a=simulcast` (RFC 8853 section 5.1).
    Simulcast(Simulcast),
    /// `a=sctp-port` (RFC 8841 section 5).
    SctpPort(u16),
    /// `a=max-message-size` (RFC 8841 section 6), in octets; 0 says that any size is accepted.
    MaxMessageSize(u64),
    /// `a=sctp-init`: the INIT chunk in base64, as it came.
    SctpInit(String),
    /// Any other attribute, and a known one whose value is not what its RFC says and where that does no harm.
    Other {
        /// What stands before the colon.
        name: Cow<'static, str>,
        /// What stands after the colon, if there is one.
        value: Option<String>,
    },
}

impl Attribute {
    /// Reads what stands after `a=`.
    ///
    /// # Errors
    /// The [`Reason`] of the attribute whose value is malformed, if it is one where that matters.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        match text.split_once(':') {
            Some((name, value)) => Self::parse_value(trim(name), value),
            None => Self::parse_property(trim(text)),
        }
    }

    /// Any attribute by its name and value.
    pub fn other(name: impl Into<Cow<'static, str>>, value: Option<String>) -> Self {
        Self::Other { name: name.into(), value }
    }

    fn parse_value(name: &str, raw: &str) -> Result<Self, Reason> {
        let value = trim(raw);
        let read = match name {
            "rtpmap" => Some(Self::RtpMap(RtpMap::parse(value)?)),
            "rtcp-fb" => Some(Self::RtcpFeedback(RtcpFeedback::parse(value)?)),
            "fmtp" => Fmtp::parse(value)?.map(Self::Fmtp),
            "extmap" => Some(Self::Extmap(Extmap::parse(value)?)),
            "candidate" => Some(Self::Candidate(value.to_owned())),
            "ssrc" => Some(Self::Source(SourceAttribute::parse(value)?)),
            "ssrc-group" => Some(Self::SourceGroup(SourceGroup::parse(value)?)),
            "mid" => Some(Self::Mid(grouping::mid(value)?)),
            "msid" => Some(Self::Msid(Msid::parse(value)?)),
            "setup" => Some(Self::Setup(Setup::parse(value)?)),
            "fingerprint" => Some(Self::Fingerprint(Fingerprint::parse(value)?)),
            "ice-ufrag" => Some(Self::IceUfrag(ice::credential(value, Reason::IceUfrag)?)),
            "ice-pwd" => Some(Self::IcePwd(ice::credential(value, Reason::IcePwd)?)),
            "ice-options" => Some(Self::IceOptions(ice::options(value))),
            "rtcp" => Rtcp::parse(value).map(Self::Rtcp),
            "group" => Some(Self::Group(Group::parse(value)?)),
            "rid" => Rid::parse(value).map(Self::Rid),
            "simulcast" => Simulcast::parse(value).map(Self::Simulcast),
            "sctp-port" => Some(Self::SctpPort(sctp::port(value)?)),
            "max-message-size" => Some(Self::MaxMessageSize(sctp::max_message_size(value)?)),
            "sctp-init" => Some(Self::SctpInit(value.to_owned())),
            "tls-id" => Some(Self::TlsId(value.to_owned())),
            "" => return Err(Reason::AttributeName),
            _ => None,
        };
        Ok(read.unwrap_or_else(|| Self::Other { name: other_name(name), value: Some(raw.to_owned()) }))
    }

    fn parse_property(name: &str) -> Result<Self, Reason> {
        Ok(match name {
            "sendrecv" => Self::Direction(Direction::SendRecv),
            "sendonly" => Self::Direction(Direction::SendOnly),
            "recvonly" => Self::Direction(Direction::RecvOnly),
            "inactive" => Self::Direction(Direction::Inactive),
            "rtcp-mux" => Self::RtcpMux,
            "rtcp-rsize" => Self::RtcpRsize,
            "rtcp-mux-only" => Self::RtcpMuxOnly,
            "extmap-allow-mixed" => Self::ExtmapAllowMixed,
            "end-of-candidates" => Self::EndOfCandidates,
            "bundle-only" => Self::BundleOnly,
            "ice-lite" => Self::IceLite,
            "" => return Err(Reason::AttributeName),
            // These mean nothing without a value, and what they would have said is needed.
            "fingerprint" => return Err(Reason::Fingerprint),
            "setup" => return Err(Reason::Setup),
            "mid" => return Err(Reason::Mid),
            "rtpmap" => return Err(Reason::RtpMap),
            _ => Self::Other { name: other_name(name), value: None },
        })
    }

    /// What stands before the colon.
    pub fn name(&self) -> &str {
        match self {
            Self::Direction(direction) => direction.as_str(),
            Self::Candidate(_) => "candidate",
            Self::EndOfCandidates => "end-of-candidates",
            Self::IceUfrag(_) => "ice-ufrag",
            Self::IcePwd(_) => "ice-pwd",
            Self::IceOptions(_) => "ice-options",
            Self::IceLite => "ice-lite",
            Self::Fingerprint(_) => "fingerprint",
            Self::Setup(_) => "setup",
            Self::TlsId(_) => "tls-id",
            Self::RtpMap(_) => "rtpmap",
            Self::Fmtp(_) => "fmtp",
            Self::RtcpFeedback(_) => "rtcp-fb",
            Self::Extmap(_) => "extmap",
            Self::ExtmapAllowMixed => "extmap-allow-mixed",
            Self::Rtcp(_) => "rtcp",
            Self::RtcpMux => "rtcp-mux",
            Self::RtcpMuxOnly => "rtcp-mux-only",
            Self::RtcpRsize => "rtcp-rsize",
            Self::Source(_) => "ssrc",
            Self::SourceGroup(_) => "ssrc-group",
            Self::Msid(_) => "msid",
            Self::Group(_) => "group",
            Self::Mid(_) => "mid",
            Self::BundleOnly => "bundle-only",
            Self::Rid(_) => "rid",
            Self::Simulcast(_) => "simulcast",
            Self::SctpPort(_) => "sctp-port",
            Self::MaxMessageSize(_) => "max-message-size",
            Self::SctpInit(_) => "sctp-init",
            Self::Other { name, .. } => name,
        }
    }
}

impl Attribute {
    /// Writes the attribute without `a=`. A description has dozens of the first five kinds with a value, so they go
    /// straight into the text.
    pub(crate) fn write(&self, out: &mut String) {
        out.push_str(self.name());
        let value: &dyn fmt::Display = match self {
            Self::Direction(_)
            | Self::EndOfCandidates
            | Self::IceLite
            | Self::ExtmapAllowMixed
            | Self::RtcpMux
            | Self::RtcpMuxOnly
            | Self::RtcpRsize
            | Self::BundleOnly
            | Self::Other { value: None, .. } => return,
            Self::RtpMap(map) => return map.write(colon(out)),
            Self::Fmtp(fmtp) => return fmtp.write(colon(out)),
            Self::RtcpFeedback(feedback) => return feedback.write(colon(out)),
            Self::Extmap(extmap) => return extmap.write(colon(out)),
            Self::Source(source) => return source.write(colon(out)),
            Self::Candidate(text)
            | Self::IceUfrag(text)
            | Self::IcePwd(text)
            | Self::TlsId(text)
            | Self::Mid(text)
            | Self::SctpInit(text)
            | Self::Other { value: Some(text), .. } => return colon(out).push_str(text),
            Self::IceOptions(options) => return ice::write_options(options, out),
            Self::Fingerprint(fingerprint) => fingerprint,
            Self::Setup(setup) => setup,
            Self::Rtcp(rtcp) => rtcp,
            Self::SourceGroup(group) => group,
            Self::Msid(msid) => msid,
            Self::Group(group) => group,
            Self::Rid(rid) => rid,
            Self::Simulcast(simulcast) => simulcast,
            Self::SctpPort(port) => port,
            Self::MaxMessageSize(size) => size,
        };
        // Writing to a `String` cannot fail.
        let _ = write!(colon(out), "{value}");
    }
}

fn colon(out: &mut String) -> &mut String {
    out.push(':');
    out
}

/// `Display` for what has `write(&self, &mut String)`.
macro_rules! display_as_written {
    ($($name:ty),+) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut text = String::new();
                self.write(&mut text);
                f.write_str(&text)
            }
        }
    )+};
}
pub(crate) use display_as_written;

display_as_written!(Attribute);

/// The names that real clients send and that need no reading.
fn other_name(name: &str) -> Cow<'static, str> {
    intern!(name; "msid-semantic", "rtcp-xr", "ptime", "maxptime", "ice-pacing", "imageattr", "framerate", "sctpmap",
        "crypto", "ssrc", "rid", "simulcast", "fmtp", "rtcp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_attribute_survives_as_it_is() {
        for text in [
            "x",
            "x:",
            "x: a  b ",
            "msid-semantic: WMS *",
            "key-mgmt:mikey AQ==",
            "fmtp:webrtc-datachannel a=1",
        ] {
            let attribute = Attribute::parse(text).expect(text);
            assert!(matches!(attribute, Attribute::Other { .. }), "{attribute:?}");
            assert_eq!(attribute.to_string(), text);
        }
    }

    #[test]
    fn an_attribute_needs_a_name() {
        assert_eq!(Attribute::parse(""), Err(Reason::AttributeName));
        assert_eq!(Attribute::parse(":x"), Err(Reason::AttributeName));
        assert_eq!(Attribute::parse("fingerprint"), Err(Reason::Fingerprint));
    }

    #[test]
    fn attributes_are_small() {
        assert!(size_of::<Attribute>() <= 80, "{}", size_of::<Attribute>());
    }
}
