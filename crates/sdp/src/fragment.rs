//! Fragments of a description (RFC 8840 section 9, `application/trickle-ice-sdpfrag`): candidates that follow a
//! description, or the credentials and candidates of an ICE restart.

use crate::attribute::Attribute;
use crate::error::{ParseError, Reason};
use crate::media::Media;
use crate::session::Parser;

/// A fragment: attributes of the session, and pseudo `m=` sections with attributes of theirs.
///
/// ```
/// let text = "a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\nm=audio 9 RTP/AVP 0\r\na=mid:1\r\na=end-of-candidates\r\n";
/// let fragment = taut_sdp::Fragment::parse(text).unwrap();
/// assert_eq!(fragment.ice_ufrag(), Some("8hhY"));
/// assert_eq!(fragment.media[0].mid(), Some("1"));
/// assert_eq!(fragment.to_string(), text);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fragment {
    /// `a=` before the first `m=`, in order.
    pub attributes: Vec<Attribute>,
    /// The pseudo sections: nothing but `a=mid` says which section of the description is meant.
    pub media: Vec<Media>,
}

impl Fragment {
    /// Reads a fragment. The grammar allows an empty one.
    ///
    /// # Errors
    /// The first line that is wrong, and how.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser::new(text)?;
        let mut attributes = Vec::new();
        loop {
            let line = parser.next()?;
            match line {
                Some(line) if line.letter == b'a' => {
                    attributes.push(Attribute::parse(line.value).map_err(|reason| line.error(reason))?);
                }
                Some(line) if line.letter != b'm' => return Err(line.error(Reason::UnexpectedLine)),
                first => return Ok(Self { attributes, media: parser.sections(first)? }),
            }
        }
    }

    /// The first `a=ice-ufrag`, of the session or of a section: bundled sections have one in common.
    pub fn ice_ufrag(&self) -> Option<&str> {
        self.all().find_map(|a| if let Attribute::IceUfrag(ufrag) = a { Some(ufrag.as_str()) } else { None })
    }

    /// The first `a=ice-pwd`, of the session or of a section.
    pub fn ice_pwd(&self) -> Option<&str> {
        self.all().find_map(|a| if let Attribute::IcePwd(pwd) = a { Some(pwd.as_str()) } else { None })
    }

    fn all(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().chain(self.media.iter().flat_map(|media| &media.attributes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8840 section 4.4, with the candidates of its section 4.3.
    const EXAMPLE: &str = "a=ice-pwd:asd88fgpdd777uzjYhagZg\r\n\
        a=ice-ufrag:8hhY\r\n\
        m=audio 9 RTP/AVP 0\r\n\
        a=mid:1\r\n\
        a=candidate:1 1 UDP 2130706432 2001:db8:a0b:12f0::1 5000 typ host\r\n\
        a=candidate:1 2 UDP 2130706432 2001:db8:a0b:12f0::1 5001 typ host\r\n\
        a=end-of-candidates\r\n\
        m=audio 9 RTP/AVP 0\r\n\
        a=mid:2\r\n\
        a=candidate:1 1 UDP 2130706432 2001:db8:a0b:12f0::1 6000 typ host\r\n";

    #[test]
    fn what_is_read_is_written() {
        let fragment = Fragment::parse(EXAMPLE).expect("a fragment");
        assert_eq!(
            (fragment.ice_ufrag(), fragment.ice_pwd()),
            (Some("8hhY"), Some("asd88fgpdd777uzjYhagZg"))
        );
        assert_eq!(fragment.media.iter().map(|m| m.candidates().count()).collect::<Vec<_>>(), [2, 1]);
        assert!(fragment.media[0].has(&Attribute::EndOfCandidates));
        assert_eq!(fragment.to_string(), EXAMPLE);
        assert_eq!(Fragment::parse(""), Ok(Fragment::default()));
    }

    #[test]
    fn credentials_may_be_those_of_a_section() {
        let fragment =
            Fragment::parse("m=video 9 X 0\na=mid:v\na=ice-ufrag:u\na=ice-pwd:p\n").expect("a fragment");
        assert_eq!((fragment.ice_ufrag(), fragment.ice_pwd()), (Some("u"), Some("p")));
    }

    #[test]
    fn what_does_not_belong_there_is_refused() {
        let reason = |text| Fragment::parse(text).map_err(|error| (error.line, error.reason));
        assert_eq!(reason("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\n"), Err((1, Reason::UnexpectedLine)));
        assert_eq!(reason("a=mid:1\nhello"), Err((2, Reason::NotALine)));
        assert_eq!(reason("a=ice-pwd:\n"), Err((1, Reason::IcePwd)));
        assert_eq!(reason("m=audio\n"), Err((1, Reason::Media)));
        assert_eq!(reason("m=audio 9 RTP/AVP 0\nv=0\n"), Err((2, Reason::UnexpectedLine)));
        let many = "m=audio 9 RTP/AVP 0\n".repeat(crate::limits::MAX_MEDIA + 1);
        assert_eq!(reason(&many), Err((1_025, Reason::TooManyMedia)));
    }
}
