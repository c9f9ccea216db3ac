//! Sources: `ssrc`, `ssrc-group` (RFC 5576), `msid` (RFC 8830).

use std::borrow::Cow;
use std::fmt;

use super::{display_as_written, intern};
use crate::error::Reason;
use crate::lexer::{Fields, trim};
use crate::write::number;

/// Something said about one SSRC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceAttribute {
    /// The synchronisation source.
    pub ssrc: u32,
    /// What is said: `cname`, `msid`, …
    pub name: Cow<'static, str>,
    /// With what value, if there is a colon.
    pub value: Option<String>,
}

impl SourceAttribute {
    /// `ssrc:<ssrc> cname:<cname>`.
    pub fn cname(ssrc: u32, cname: impl Into<String>) -> Self {
        Self { ssrc, name: Cow::Borrowed("cname"), value: Some(cname.into()) }
    }

    pub(super) fn parse(value: &str) -> Result<Self, Reason> {
        let mut fields = Fields::new(value);
        let ssrc = ssrc(&mut fields).ok_or(Reason::Ssrc)?;
        let rest = fields.rest();
        let (name, value) = match rest.split_once(':') {
            Some((name, value)) => (trim(name), Some(trim(value).to_owned())),
            None => (rest, None),
        };
        if name.is_empty() {
            return Err(Reason::Ssrc);
        }
        Ok(Self { ssrc, name: intern!(name; "cname", "msid", "mslabel", "label"), value })
    }
}

impl SourceAttribute {
    /// Writes the value of the attribute.
    pub(super) fn write(&self, out: &mut String) {
        number(self.ssrc, out);
        out.push(' ');
        out.push_str(&self.name);
        if let Some(value) = &self.value {
            out.push(':');
            out.push_str(value);
        }
    }
}

fn ssrc(fields: &mut Fields<'_>) -> Option<u32> {
    fields.number(u64::from(u32::MAX)).and_then(|ssrc| u32::try_from(ssrc).ok())
}

/// SSRCs that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceGroup {
    /// For what: `FID` (media and its retransmission), `FEC-FR`, `SIM`, …
    pub semantics: Cow<'static, str>,
    /// The members, in order.
    pub ssrcs: Vec<u32>,
}

impl SourceGroup {
    /// A flow identification group: a media SSRC and that of its retransmissions (RFC 4588 section 8.1 with RFC 5576).
    pub fn fid(media: u32, rtx: u32) -> Self {
        Self { semantics: Cow::Borrowed("FID"), ssrcs: vec![media, rtx] }
    }

    pub(super) fn parse(value: &str) -> Result<Self, Reason> {
        let mut fields = Fields::new(value);
        let semantics = fields.next().ok_or(Reason::SsrcGroup)?;
        let mut ssrcs = Vec::new();
        while fields.rest_if_any().is_some() {
            ssrcs.push(ssrc(&mut fields).ok_or(Reason::SsrcGroup)?);
        }
        Ok(Self { semantics: intern!(semantics; "FID", "SIM", "FEC-FR", "FEC"), ssrcs })
    }
}

impl fmt::Display for SourceGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.semantics)?;
        self.ssrcs.iter().try_for_each(|ssrc| write!(f, " {ssrc}"))
    }
}

/// The stream and the track that a media section sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Msid {
    /// The stream, [`Msid::NO_STREAM`] if the track belongs to none.
    pub stream: String,
    /// The track. JSEP writes it always; some senders leave it out.
    pub track: Option<String>,
}

impl Msid {
    /// Stands for "no stream" (RFC 8830 section 2).
    pub const NO_STREAM: &'static str = "-";

    pub(super) fn parse(value: &str) -> Result<Self, Reason> {
        let mut fields = Fields::new(value);
        let stream = fields.next().ok_or(Reason::Msid)?.to_owned();
        let track = fields.next().map(str::to_owned);
        if fields.next().is_some() { Err(Reason::Msid) } else { Ok(Self { stream, track }) }
    }
}

impl fmt::Display for Msid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stream)?;
        self.track.as_ref().map_or(Ok(()), |track| write!(f, " {track}"))
    }
}

display_as_written!(SourceAttribute);

#[cfg(test)]
mod tests {
    use crate::{Attribute, Msid, Reason, SourceAttribute, SourceGroup};

    #[test]
    fn sources_are_numbers_of_32_bits() {
        let source = SourceAttribute::cname(u32::MAX, "{a b}");
        assert_eq!(Attribute::parse("ssrc:4294967295 cname:{a b}"), Ok(Attribute::Source(source)));
        for bad in
            ["ssrc:4294967296 cname:x", "ssrc:-1 cname:x", "ssrc:1", "ssrc:1 :x", "ssrc:", "ssrc:x cname:x"]
        {
            assert_eq!(Attribute::parse(bad), Err(Reason::Ssrc), "{bad}");
        }
        let bare = Attribute::parse("ssrc:1 fmtp").expect("a property");
        assert_eq!(bare.to_string(), "ssrc:1 fmtp");
    }

    #[test]
    fn groups_of_sources() {
        assert_eq!(
            Attribute::parse("ssrc-group:FID 1 2"),
            Ok(Attribute::SourceGroup(SourceGroup::fid(1, 2)))
        );
        assert_eq!(Attribute::parse("ssrc-group:FID 1 x"), Err(Reason::SsrcGroup));
        assert_eq!(Attribute::parse("ssrc-group:"), Err(Reason::SsrcGroup));
    }

    #[test]
    fn msid_has_one_or_two_fields() {
        let msid = |stream: &str, track: Option<&str>| {
            Ok(Attribute::Msid(Msid { stream: stream.into(), track: track.map(Into::into) }))
        };
        assert_eq!(Attribute::parse("msid:- t"), msid("-", Some("t")));
        assert_eq!(Attribute::parse("msid:s"), msid("s", None));
        assert_eq!(Attribute::parse("msid:"), Err(Reason::Msid));
        assert_eq!(Attribute::parse("msid:a b c"), Err(Reason::Msid));
    }
}
