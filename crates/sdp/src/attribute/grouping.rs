//! Grouping: `group` and `mid` (RFC 5888), `BUNDLE` (RFC 9143).

use std::borrow::Cow;
use std::fmt;

use super::intern;
use crate::error::Reason;
use crate::lexer::Fields;

/// Media sections that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// For what: `BUNDLE`, `LS`, …
    pub semantics: Cow<'static, str>,
    /// The `a=mid` of each member.
    pub mids: Vec<String>,
}

impl Group {
    /// A BUNDLE group.
    pub fn bundle(mids: impl IntoIterator<Item = String>) -> Self {
        Self { semantics: Cow::Borrowed("BUNDLE"), mids: mids.into_iter().collect() }
    }

    /// Whether this is a BUNDLE group.
    pub fn is_bundle(&self) -> bool {
        self.semantics.eq_ignore_ascii_case("BUNDLE")
    }

    pub(super) fn parse(value: &str) -> Result<Self, Reason> {
        let mut fields = Fields::new(value);
        let semantics = fields.next().ok_or(Reason::Group)?;
        Ok(Self {
            semantics: intern!(semantics; "BUNDLE", "LS", "FID"),
            mids: fields.map(str::to_owned).collect(),
        })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.semantics)?;
        self.mids.iter().try_for_each(|mid| write!(f, " {mid}"))
    }
}

/// A media section's name: one token.
pub(super) fn mid(value: &str) -> Result<String, Reason> {
    if value.is_empty() || value.contains([' ', '\t']) { Err(Reason::Mid) } else { Ok(value.to_owned()) }
}

#[cfg(test)]
mod tests {
    use crate::{Attribute, Group, Reason};

    #[test]
    fn groups_hold_mids() {
        let group = Group::bundle(["0".to_owned(), "data".to_owned()]);
        assert_eq!(Attribute::parse("group:BUNDLE 0 data"), Ok(Attribute::Group(group.clone())));
        assert!(group.is_bundle());
        assert_eq!(Attribute::parse("group:BUNDLE"), Ok(Attribute::Group(Group::bundle([]))));
        assert_eq!(Attribute::parse("group:"), Err(Reason::Group));
    }

    #[test]
    fn a_mid_is_one_token() {
        assert_eq!(Attribute::parse("mid:a1"), Ok(Attribute::Mid("a1".into())));
        assert_eq!(Attribute::parse("mid:"), Err(Reason::Mid));
        assert_eq!(Attribute::parse("mid:a b"), Err(Reason::Mid));
    }
}
