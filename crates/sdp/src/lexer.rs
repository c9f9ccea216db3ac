//! Lines, and the fields of a line (RFC 8866 sections 5 and 9). Everything here walks forward once.

use crate::error::{ParseError, Reason};

/// One line without its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    /// From 1.
    pub(crate) number: u32,
    /// The type letter.
    pub(crate) letter: u8,
    /// What follows the equals sign.
    pub(crate) value: &'a str,
}

impl Line<'_> {
    /// The error that this line is.
    pub(crate) fn error(&self, reason: Reason) -> ParseError {
        ParseError { line: self.number, reason }
    }
}

/// The lines of a text. Empty lines are skipped, lines end in CRLF or LF.
#[derive(Debug, Clone)]
pub(crate) struct Lines<'a> {
    rest: &'a str,
    number: u32,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text, number: 0 }
    }

    /// The number of the line that was read last.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The next line, `None` at the end of the text.
    pub(crate) fn next_line(&mut self) -> Result<Option<Line<'a>>, ParseError> {
        while !self.rest.is_empty() {
            let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
            self.rest = rest;
            self.number = self.number.saturating_add(1);
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                continue;
            }
            // No value may have one (RFC 8866 section 9, byte-string); at the end of a field it would be written as
            // part of the line's end.
            if line.contains('\r') {
                return Err(ParseError { line: self.number, reason: Reason::NotALine });
            }
            let (Some((&letter, [b'=', ..])), Some(value)) = (line.as_bytes().split_first(), line.get(2..))
            else {
                return Err(ParseError { line: self.number, reason: Reason::NotALine });
            };
            return Ok(Some(Line { number: self.number, letter, value }));
        }
        Ok(None)
    }
}

/// The fields of a value, parted by blanks.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    pub(crate) fn new(value: &'a str) -> Self {
        Self(value)
    }

    /// What is left, without blanks around it.
    pub(crate) fn rest(&self) -> &'a str {
        trim(self.0)
    }

    /// What is left, `None` if nothing is.
    pub(crate) fn rest_if_any(&self) -> Option<&'a str> {
        Some(self.rest()).filter(|rest| !rest.is_empty())
    }

    /// The next field read as a number of at most `max`.
    pub(crate) fn number(&mut self, max: u64) -> Option<u64> {
        decimal(self.next()?).filter(|&n| n <= max)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let start = self.0.bytes().position(|byte| byte != b' ')?;
        let rest = self.0.get(start..)?;
        let end = rest.bytes().position(|byte| byte == b' ').unwrap_or(rest.len());
        let (field, rest) = rest.split_at_checked(end)?;
        self.0 = rest;
        Some(field)
    }
}

/// Without blanks and tabs at both ends.
pub(crate) fn trim(text: &str) -> &str {
    let is_blank = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
    match is_blank(text.as_bytes().first()) || is_blank(text.as_bytes().last()) {
        true => text.trim_matches([' ', '\t']),
        // Nearly always: the first octets need no reading as characters.
        false => text,
    }
}

/// A decimal number without a sign; what does not fit saturates.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0u64, |sum, byte| match byte {
        b'0'..=b'9' => Some(sum.saturating_mul(10).saturating_add(u64::from(byte - b'0'))),
        _ => None,
    })
}

/// A payload type, 0 to 127 (RFC 3550 section 5.1).
pub(crate) fn payload_type(text: &str) -> Option<u8> {
    decimal(text).and_then(|n| u8::try_from(n).ok()).filter(|&n| n <= 127)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_crlf_or_lf_and_empty_ones_are_skipped() {
        let mut lines = Lines::new("v=0\r\n\no=x\n\r\ns=");
        let mut seen = Vec::new();
        while let Some(line) = lines.next_line().expect("lines") {
            seen.push((line.number, line.letter, line.value));
        }
        assert_eq!(seen, [(1, b'v', "0"), (3, b'o', "x"), (5, b's', "")]);
        for bad in ["v", "v0", "é=0", "=", " v=0", "v=0\r ", "v=\r0"] {
            let error = Lines::new(bad).next_line().expect_err(bad);
            assert_eq!(error, ParseError { line: 1, reason: Reason::NotALine });
        }
    }

    #[test]
    fn numbers_have_no_sign_and_saturate() {
        assert_eq!(decimal("0018"), Some(18));
        assert_eq!(decimal("99999999999999999999999"), Some(u64::MAX));
        for bad in ["", "+1", "-1", "1x", " 1", "٣"] {
            assert_eq!(decimal(bad), None, "{bad}");
        }
        assert_eq!(payload_type("127"), Some(127));
        assert_eq!(payload_type("128"), None);
        assert_eq!(payload_type("383"), None);
    }

    #[test]
    fn fields_are_parted_by_any_number_of_blanks() {
        let mut fields = Fields::new("  a bc   d  ");
        assert_eq!((fields.next(), fields.rest()), (Some("a"), "bc   d"));
        assert_eq!(fields.collect::<Vec<_>>(), ["bc", "d"]);
        assert_eq!(Fields::new("").next(), None);
    }
}
