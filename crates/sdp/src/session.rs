//! A whole description (RFC 8866 section 5): its types and its parser.

use std::borrow::Cow;

use crate::attribute::{Attribute, Direction, Fingerprint, Group, Setup, intern};
use crate::error::{ParseError, Reason};
use crate::lexer::{Fields, Line, Lines, decimal, trim};
use crate::limits::{MAX_LINES, MAX_MEDIA, MAX_TEXT};
use crate::media::Media;

/// A session description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// `o=`.
    pub origin: Origin,
    /// `s=`, mostly `-`.
    pub name: String,
    /// `i=`.
    pub information: Option<String>,
    /// `u=`.
    pub uri: Option<String>,
    /// `e=`.
    pub emails: Vec<String>,
    /// `p=`.
    pub phones: Vec<String>,
    /// `c=`.
    pub connection: Option<Connection>,
    /// `b=`.
    pub bandwidths: Vec<Bandwidth>,
    /// `t=` with its `r=`; at least one.
    pub times: Vec<Time>,
    /// `z=`, as written.
    pub zones: Option<String>,
    /// `k=`, obsolete.
    pub key: Option<String>,
    /// `a=` before the first `m=`, in order.
    pub attributes: Vec<Attribute>,
    /// The sections.
    pub media: Vec<Media>,
}

/// Who made the session (RFC 8866 section 5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `-` if there is none.
    pub username: String,
    /// Names the session, together with the other fields but the version.
    pub session_id: u64,
    /// Grows by one with each changed description.
    pub session_version: u64,
    /// Where it was made. JSEP writes an address that says nothing.
    pub connection: Connection,
}

/// An address (RFC 8866 section 5.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// `IN`.
    pub network: Cow<'static, str>,
    /// `IP4` or `IP6`.
    pub address_type: Cow<'static, str>,
    /// An address or a name, with `/ttl` and `/count` where they are given.
    pub address: Cow<'static, str>,
}

/// A bound on the bandwidth (RFC 8866 section 5.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bandwidth {
    /// `AS`, `CT`, `TIAS`, …
    pub kind: Cow<'static, str>,
    /// In the unit of the kind, kbit/s for most.
    pub value: u64,
}

/// When the session takes place (RFC 8866 sections 5.9 and 5.10); zeros in WebRTC.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Time {
    /// NTP seconds.
    pub start: u64,
    /// NTP seconds.
    pub stop: u64,
    /// `r=`, as written.
    pub repeats: Vec<String>,
}

impl Connection {
    /// `IN IP4 0.0.0.0`.
    pub fn unspecified() -> Self {
        Self::ipv4("0.0.0.0")
    }

    /// `IN IP4` and an address.
    pub fn ipv4(address: impl Into<Cow<'static, str>>) -> Self {
        Self { network: "IN".into(), address_type: "IP4".into(), address: address.into() }
    }

    pub(crate) fn parse(value: &str) -> Option<Self> {
        let mut fields = Fields::new(value);
        let (network, address_type, address) = (fields.next()?, fields.next()?, fields.next()?);
        fields.next().is_none().then(|| Self {
            network: intern!(network; "IN"),
            address_type: intern!(address_type; "IP4", "IP6"),
            address: intern!(address; "0.0.0.0", "127.0.0.1", "::"),
        })
    }
}

impl Origin {
    fn parse(value: &str) -> Option<Self> {
        let mut fields = Fields::new(value);
        Some(Self {
            username: fields.next()?.to_owned(),
            session_id: fields.number(u64::MAX)?,
            session_version: fields.number(u64::MAX)?,
            connection: Connection::parse(fields.rest())?,
        })
    }
}

impl Bandwidth {
    fn parse(value: &str) -> Option<Self> {
        let (kind, value) = trim(value).split_once(':')?;
        let value = decimal(trim(value))?;
        (!kind.is_empty()).then(|| Self { kind: intern!(kind; "AS", "CT", "TIAS", "RR", "RS"), value })
    }
}

impl Time {
    fn parse(value: &str) -> Option<Self> {
        let mut fields = Fields::new(value);
        Some(Self { start: fields.number(u64::MAX)?, stop: fields.number(u64::MAX)?, repeats: Vec::new() })
    }
}

impl Session {
    /// A session of JSEP's form (RFC 8829 section 5.2.1): no name, no times, no media yet.
    pub fn new(session_id: u64, session_version: u64) -> Self {
        let connection = Connection::ipv4("127.0.0.1");
        Self {
            origin: Origin { username: "-".to_owned(), session_id, session_version, connection },
            name: "-".to_owned(),
            information: None,
            uri: None,
            emails: Vec::new(),
            phones: Vec::new(),
            connection: None,
            bandwidths: Vec::new(),
            times: vec![Time::default()],
            zones: None,
            key: None,
            attributes: Vec::new(),
            media: Vec::new(),
        }
    }

    /// Adds an attribute at the end.
    pub fn with(mut self, attribute: Attribute) -> Self {
        self.attributes.push(attribute);
        self
    }

    /// Adds a section at the end.
    pub fn with_media(mut self, media: Media) -> Self {
        self.media.push(media);
        self
    }

    /// Reads a description.
    ///
    /// # Errors
    /// The first line that is wrong, and how.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Parser::new(text)?.session()
    }

    /// All `a=group`.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.attributes
            .iter()
            .filter_map(|a| if let Attribute::Group(group) = a { Some(group) } else { None })
    }

    /// All `a=fingerprint` of the session itself.
    pub fn fingerprints(&self) -> impl Iterator<Item = &Fingerprint> {
        self.attributes
            .iter()
            .filter_map(|a| if let Attribute::Fingerprint(print) = a { Some(print) } else { None })
    }

    /// `a=setup` of the session itself.
    pub fn setup(&self) -> Option<Setup> {
        self.attributes.iter().find_map(|a| if let Attribute::Setup(setup) = a { Some(*setup) } else { None })
    }

    /// `a=ice-ufrag` of the session itself.
    pub fn ice_ufrag(&self) -> Option<&str> {
        self.attributes
            .iter()
            .find_map(|a| if let Attribute::IceUfrag(ufrag) = a { Some(ufrag.as_str()) } else { None })
    }

    /// `a=ice-pwd` of the session itself.
    pub fn ice_pwd(&self) -> Option<&str> {
        self.attributes
            .iter()
            .find_map(|a| if let Attribute::IcePwd(pwd) = a { Some(pwd.as_str()) } else { None })
    }

    /// Whether the other side is a lite agent (`a=ice-lite`).
    pub fn is_ice_lite(&self) -> bool {
        self.has(&Attribute::IceLite)
    }

    /// Whether this very attribute is there; for those without a value.
    pub fn has(&self, attribute: &Attribute) -> bool {
        self.attributes.contains(attribute)
    }

    /// The direction of a section of this session: its own, else the session's, else both ways (RFC 8866 section 6.7).
    pub fn direction(&self, media: &Media) -> Direction {
        let own = |attributes: &[Attribute]| {
            attributes
                .iter()
                .find_map(|a| if let Attribute::Direction(direction) = a { Some(*direction) } else { None })
        };
        own(&media.attributes).or_else(|| own(&self.attributes)).unwrap_or_default()
    }
}

impl std::str::FromStr for Session {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

/// Walks over the lines once; `section_lines` counts those of the section at hand.
pub(crate) struct Parser<'a> {
    lines: Lines<'a>,
    section_lines: usize,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a str) -> Result<Self, ParseError> {
        if text.len() > MAX_TEXT {
            return Err(ParseError { line: 0, reason: Reason::TextTooLong });
        }
        Ok(Self { lines: Lines::new(text), section_lines: 0 })
    }

    fn session(mut self) -> Result<Session, ParseError> {
        match self.next()? {
            Some(Line { letter: b'v', value, .. }) if trim(value) == "0" => {}
            other => {
                return Err(ParseError {
                    line: other.map_or(self.lines.number(), |l| l.number),
                    reason: Reason::Version,
                });
            }
        }
        let mut head = Head::default();
        let mut session = Session { times: Vec::new(), ..Session::new(0, 0) };
        let mut media_line = None;
        while let Some(line) = self.next()? {
            if line.letter == b'm' {
                media_line = Some(line);
                break;
            }
            session_line(&mut session, &mut head, line).map_err(|reason| line.error(reason))?;
        }
        self.finish_head(&mut session, head, media_line.is_some())?;
        session.media = self.sections(media_line)?;
        Ok(session)
    }

    /// The sections from an `m=` line on, to the end of the text.
    pub(crate) fn sections(&mut self, mut media_line: Option<Line<'a>>) -> Result<Vec<Media>, ParseError> {
        let mut sections = Vec::new();
        while let Some(line) = media_line.take() {
            if sections.len() >= MAX_MEDIA {
                return Err(line.error(Reason::TooManyMedia));
            }
            let mut media = Media::parse_line(line.value).map_err(|reason| line.error(reason))?;
            self.section_lines = 0;
            while let Some(line) = self.next()? {
                if line.letter == b'm' {
                    media_line = Some(line);
                    break;
                }
                add_media_line(&mut media, line).map_err(|reason| line.error(reason))?;
            }
            sections.push(media);
        }
        Ok(sections)
    }

    /// The lines that must have come before the first section.
    fn finish_head(&self, session: &mut Session, head: Head, media_follows: bool) -> Result<(), ParseError> {
        let line = self.lines.number().saturating_sub(u32::from(media_follows));
        let missing = |reason| ParseError { line, reason };
        session.origin = head.origin.ok_or(missing(Reason::MissingOrigin))?;
        session.name = head.name.ok_or(missing(Reason::MissingName))?;
        if session.times.is_empty() { Err(missing(Reason::MissingTime)) } else { Ok(()) }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Line<'a>>, ParseError> {
        let line = self.lines.next_line()?;
        if let Some(line) = line {
            self.section_lines = self.section_lines.saturating_add(1);
            if self.section_lines > MAX_LINES && line.letter != b'm' {
                return Err(line.error(Reason::TooManyLines));
            }
        }
        Ok(line)
    }
}

/// The lines that a session must have, while they are looked for.
#[derive(Default)]
struct Head {
    origin: Option<Origin>,
    name: Option<String>,
}

fn session_line(session: &mut Session, head: &mut Head, line: Line<'_>) -> Result<(), Reason> {
    let value = line.value;
    match line.letter {
        b'a' => session.attributes.push(Attribute::parse(value)?),
        b'o' => once(&mut head.origin, Origin::parse(value).ok_or(Reason::Origin)?)?,
        b's' => once(&mut head.name, value.to_owned())?,
        b't' => session.times.push(Time::parse(value).ok_or(Reason::Time)?),
        b'r' => session.times.last_mut().ok_or(Reason::UnexpectedLine)?.repeats.push(value.to_owned()),
        b'c' => once(&mut session.connection, Connection::parse(value).ok_or(Reason::Connection)?)?,
        b'b' => session.bandwidths.push(Bandwidth::parse(value).ok_or(Reason::Bandwidth)?),
        b'i' => once(&mut session.information, value.to_owned())?,
        b'u' => once(&mut session.uri, value.to_owned())?,
        b'e' => session.emails.push(value.to_owned()),
        b'p' => session.phones.push(value.to_owned()),
        b'z' => once(&mut session.zones, value.to_owned())?,
        b'k' => once(&mut session.key, value.to_owned())?,
        _ => return Err(Reason::UnexpectedLine),
    }
    Ok(())
}

/// The attributes of a usual section: room for them is made at once, as growing step by step moves them about.
const USUAL_ATTRIBUTES: usize = 32;

fn add_media_line(media: &mut Media, line: Line<'_>) -> Result<(), Reason> {
    let value = line.value;
    match line.letter {
        b'a' => {
            if media.attributes.is_empty() {
                media.attributes.reserve(USUAL_ATTRIBUTES);
            }
            media.attributes.push(Attribute::parse(value)?);
        }
        b'c' => media.connections.push(Connection::parse(value).ok_or(Reason::Connection)?),
        b'b' => media.bandwidths.push(Bandwidth::parse(value).ok_or(Reason::Bandwidth)?),
        b'i' => once(&mut media.title, value.to_owned())?,
        b'k' => once(&mut media.key, value.to_owned())?,
        _ => return Err(Reason::UnexpectedLine),
    }
    Ok(())
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Reason> {
    if place.is_some() {
        return Err(Reason::Repeated);
    }
    *place = Some(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";

    fn error(text: &str) -> (u32, Reason) {
        let error = Session::parse(text).expect_err(text);
        (error.line, error.reason)
    }

    #[test]
    fn errors_carry_the_line() {
        assert_eq!(error(""), (0, Reason::Version));
        assert_eq!(error("o=- 1 2 IN IP4 127.0.0.1\r\n"), (1, Reason::Version));
        assert_eq!(error("v=1\r\n"), (1, Reason::Version));
        assert_eq!(error("v=0\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"), (3, Reason::MissingOrigin));
        assert_eq!(error("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\nt=0 0\r\n"), (3, Reason::MissingName));
        assert_eq!(error("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\n"), (3, Reason::MissingTime));
        for (line, reason) in [
            ("o=- 1 2 IN IP4 127.0.0.1", Reason::Repeated),
            ("s=x", Reason::Repeated),
            ("x=1", Reason::UnexpectedLine),
            ("c=IN IP4", Reason::Connection),
            ("b=AS", Reason::Bandwidth),
            ("t=0", Reason::Time),
            ("a=fingerprint:sha-256 AB", Reason::Fingerprint),
            ("m=audio", Reason::Media),
            ("hello", Reason::NotALine),
        ] {
            assert_eq!(error(&format!("{HEAD}{line}\r\n")), (5, reason), "{line}");
        }
        let bad_origin = "v=0\r\no=- x 2 IN IP4 127.0.0.1\r\n";
        assert_eq!(error(bad_origin), (2, Reason::Origin));
        assert_eq!(ParseError { line: 2, reason: Reason::Origin }.to_string(), "line 2: malformed o= line");
    }

    #[test]
    fn every_line_type_survives() {
        let text = "v=0\r\no=jane 1 2 IN IP6 ::1\r\ns=Talk\r\ni=About\r\nu=http://example.com/\r\ne=j@example.com\r\n\
            p=+1 617\r\nc=IN IP4 233.252.0.1/127\r\nb=CT:128\r\nt=1 2\r\nr=7d 1h 0\r\nt=3 4\r\nz=1 -1h\r\nk=prompt\r\n\
            a=recvonly\r\nm=text 9 RTP/AVP 99\r\ni=T\r\nc=IN IP4 1.2.3.4\r\nc=IN IP4 1.2.3.5\r\nb=AS:1\r\nk=clear:x\r\na=x:y\r\n";
        let session = Session::parse(text).expect("a session");
        assert_eq!(session.to_string(), text);
        assert_eq!(session.direction(&session.media[0]), Direction::RecvOnly);
    }

    #[test]
    fn the_limits_hold() {
        let sections = |n| format!("{HEAD}{}", "m=audio 9 RTP/AVP 0\n".repeat(n));
        assert_eq!(Session::parse(&sections(MAX_MEDIA)).expect("enough").media.len(), MAX_MEDIA);
        assert_eq!(error(&sections(MAX_MEDIA + 1)), (4 + 1025, Reason::TooManyMedia));
        let attributes = |n| format!("{HEAD}m=audio 9 RTP/AVP 0\n{}m=audio 9 RTP/AVP 0\n", "a=x\n".repeat(n));
        assert_eq!(
            Session::parse(&attributes(MAX_LINES)).expect("enough").media[0].attributes.len(),
            MAX_LINES
        );
        assert_eq!(error(&attributes(MAX_LINES + 1)), (5 + 10_001, Reason::TooManyLines));
        assert_eq!(error(&format!("{HEAD}{}", "a=x\n".repeat(MAX_LINES))).1, Reason::TooManyLines);
        assert_eq!(error(&"a".repeat(MAX_TEXT + 1)), (0, Reason::TextTooLong));
    }
}
