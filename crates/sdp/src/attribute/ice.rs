//! ICE: `ice-ufrag`, `ice-pwd`, `ice-options` (RFC 8839 sections 5.4 and 5.6). Lengths and characters are for the negotiation to judge.

use std::borrow::Cow;

use super::intern;
use crate::error::Reason;

/// A ufrag or password: one token.
pub(super) fn credential(value: &str, reason: Reason) -> Result<String, Reason> {
    if value.is_empty() || value.contains(' ') { Err(reason) } else { Ok(value.to_owned()) }
}

/// The option tags. They are parted by blanks; libdatachannel has sent commas.
pub(super) fn options(value: &str) -> Vec<Cow<'static, str>> {
    value
        .split([' ', ','])
        .filter(|tag| !tag.is_empty())
        .map(|tag| intern!(tag; "trickle", "ice2", "renomination", "rtp+ecn"))
        .collect()
}

/// Writes the colon and the tags behind it.
pub(super) fn write_options(options: &[Cow<'static, str>], out: &mut String) {
    out.push(':');
    for (i, option) in options.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { " " });
        out.push_str(option);
    }
}

#[cfg(test)]
mod tests {
    use crate::{Attribute, Reason};

    #[test]
    fn options_are_parted_by_blanks_or_commas() {
        let attribute = Attribute::parse("ice-options:ice2,trickle  x").expect("options");
        assert_eq!(attribute, Attribute::IceOptions(vec!["ice2".into(), "trickle".into(), "x".into()]));
        assert_eq!(attribute.to_string(), "ice-options:ice2 trickle x");
        let empty = Attribute::parse("ice-options:").expect("no options");
        assert_eq!(Attribute::parse(&empty.to_string()), Ok(empty));
    }

    #[test]
    fn credentials_are_one_token() {
        assert_eq!(Attribute::parse("ice-ufrag:"), Err(Reason::IceUfrag));
        assert_eq!(Attribute::parse("ice-pwd:a b"), Err(Reason::IcePwd));
        assert_eq!(Attribute::parse("ice-pwd: a/+ "), Ok(Attribute::IcePwd("a/+".into())));
    }
}
