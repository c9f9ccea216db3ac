//! Domain names: text to wire form, and reading names that are compressed (RFC 1035 section 4.1.4).

use taut_sansio::codec::{Reader, Short};

/// The most octets of a name on the wire, with its lengths and the root (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;
/// The most octets of a label (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;
/// The most pointers in one name. Each goes strictly backwards, so there is no loop; this bounds the work too.
const MAX_POINTERS: usize = 32;

/// A name in uncompressed wire form with ASCII letters in lower case, so that names that are the same (RFC 6762
/// section 16) have the same octets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(Vec<u8>);

impl Name {
    /// The name of a text under `local.`; `None` if it is no such name.
    pub(crate) fn local(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let (host, last) = text.rsplit_once('.')?;
        if host.is_empty() || !last.eq_ignore_ascii_case("local") {
            return None;
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.split('.') {
            let length =
                u8::try_from(label.len()).ok().filter(|n| (1..=MAX_LABEL).contains(&usize::from(*n)))?;
            wire.push(length);
            wire.extend(label.bytes().map(|octet| octet.to_ascii_lowercase()));
        }
        wire.push(0);
        (wire.len() <= MAX_NAME).then_some(Self(wire))
    }

    /// The octets on the wire.
    pub(crate) fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// Reads a name at the place of `reader`, which is a cursor in `message`. Pointers are followed backwards only.
    pub(crate) fn parse<'a>(message: &'a [u8], reader: &mut Reader<'a>) -> Result<Self, Short> {
        let mut wire = Vec::with_capacity(48);
        // Where the piece that is read began: a pointer must go before it.
        let mut piece = message.len().saturating_sub(reader.remaining());
        let mut jumped: Option<Reader<'a>> = None;
        for _ in 0..=MAX_POINTERS {
            let cursor = jumped.as_mut().unwrap_or(reader);
            let Some(target) = read_labels(cursor, &mut wire)? else {
                return Ok(Self(wire));
            };
            if target >= piece {
                return Err(Short);
            }
            piece = target;
            jumped = Some(Reader::new(message.get(target..).ok_or(Short)?));
        }
        Err(Short)
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

/// Appends labels up to the root (`None`) or to a pointer (its target).
fn read_labels(cursor: &mut Reader<'_>, wire: &mut Vec<u8>) -> Result<Option<usize>, Short> {
    loop {
        let length = cursor.u8()?;
        match length >> 6 {
            0 => {
                let label = cursor.take(usize::from(length))?;
                wire.push(length);
                wire.extend(label.iter().map(u8::to_ascii_lowercase));
                if wire.len() > MAX_NAME {
                    return Err(Short);
                }
                if length == 0 {
                    return Ok(None);
                }
            }
            3 => return Ok(Some(usize::from(u16::from_be_bytes([length & 0x3f, cursor.u8()?])))),
            // 01 and 10 are reserved (RFC 1035 section 4.1.4).
            _ => return Err(Short),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_at(message: &[u8], offset: usize) -> Result<(Name, usize), Short> {
        let mut reader = Reader::new(&message[offset..]);
        Name::parse(message, &mut reader).map(|name| (name, message.len() - reader.remaining()))
    }

    #[test]
    fn texts_become_names() {
        assert_eq!(Name::local("Ab.LOCAL").unwrap().as_wire(), b"\x02ab\x05local\0");
        assert_eq!(Name::local("ab.local."), Name::local("AB.local"));
        for bad in ["", ".", "local", ".local", "a..local", "example.com", "a.local..", "a.localhost"] {
            assert_eq!(Name::local(bad), None, "{bad}");
        }
        assert!(Name::local(&format!("{}.local", "x".repeat(63))).is_some());
        assert_eq!(Name::local(&format!("{}.local", "x".repeat(64))), None);
        assert_eq!(Name::local(&format!("{}local", "abcdefg.".repeat(40))), None);
    }

    #[test]
    fn compressed_names_are_followed_backwards() {
        let message = b"\x05local\0\x02AB\xc0\x00\x01c\xc0\x07";
        assert_eq!(parse_at(message, 7), Ok((Name::local("ab.local").unwrap(), 12)));
        assert_eq!(parse_at(message, 12), Ok((Name::local("c.ab.local").unwrap(), 16)));
    }

    #[test]
    fn loops_forward_pointers_and_reserved_labels_are_refused() {
        assert!(parse_at(b"\xc0\x00", 0).is_err());
        assert!(parse_at(b"\x01a\xc0\x00", 0).is_err());
        assert!(parse_at(b"\xc0\x02\xc0\x00", 0).is_err());
        assert!(parse_at(b"\xc0\x02\0", 0).is_err());
        assert!(parse_at(b"\x40a\0", 0).is_err());
        assert!(parse_at(b"\x80a\0", 0).is_err());
        assert!(parse_at(b"\xff\xff", 0).is_err());
        assert!(parse_at(b"\x05loc", 0).is_err());
        assert!(parse_at(b"", 0).is_err());
    }

    #[test]
    fn long_names_and_long_chains_are_refused() {
        let long = [b"\x3f".as_slice(), &[b'x'; 63]].concat().repeat(4);
        assert!(parse_at(&[&long[..], b"\0"].concat(), 0).is_err());
        let mut chain = vec![0, 0];
        for i in 0..100u16 {
            chain.extend_from_slice(&(0xc000 | (i * 2)).to_be_bytes());
        }
        assert!(parse_at(&chain, 2).is_ok());
        assert!(parse_at(&chain, 2 * MAX_POINTERS).is_ok());
        assert!(parse_at(&chain, 2 * MAX_POINTERS + 2).is_err());
    }
}
