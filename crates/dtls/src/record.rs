//! The outside of records: headers of DTLSPlaintext (RFC 6347 section 4.1, RFC 9147 section 4), of DTLSCiphertext
//! (RFC 9147 section 4), and of handshake fragments (RFC 6347 section 4.2.2). Views, nothing is decrypted here.

use taut_sansio::codec::{Reader, Short};

/// The header of a record of DTLS 1.2, and of an unprotected one of 1.3.
pub(crate) const PLAIN_HEADER: usize = 13;
/// The most octets of plaintext in one record (RFC 6347 section 4.1).
pub(crate) const MAX_RECORD_PLAINTEXT: usize = 1 << 14;
/// The largest fragment of a record of DTLS 1.2: that, and 2,048 octets of protection (RFC 5246 section 6.2.3).
const MAX_FRAGMENT: usize = MAX_RECORD_PLAINTEXT + 2048;

/// Content types (RFC 5246 section 6.2.1).
pub(crate) mod content {
    pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(crate) const ALERT: u8 = 21;
    pub(crate) const HANDSHAKE: u8 = 22;
    pub(crate) const APPLICATION_DATA: u8 = 23;
}

/// Handshake types (RFC 5246 section 7.4, RFC 6347 section 4.3.2).
pub(crate) mod handshake {
    pub(crate) const HELLO_REQUEST: u8 = 0;
    pub(crate) const CLIENT_HELLO: u8 = 1;
    pub(crate) const SERVER_HELLO: u8 = 2;
    pub(crate) const HELLO_VERIFY_REQUEST: u8 = 3;
    pub(crate) const NEW_SESSION_TICKET: u8 = 4;
    pub(crate) const CERTIFICATE: u8 = 11;
    pub(crate) const SERVER_KEY_EXCHANGE: u8 = 12;
    pub(crate) const CERTIFICATE_REQUEST: u8 = 13;
    pub(crate) const SERVER_HELLO_DONE: u8 = 14;
    pub(crate) const CERTIFICATE_VERIFY: u8 = 15;
    pub(crate) const CLIENT_KEY_EXCHANGE: u8 = 16;
    #[cfg(feature = "openssl")]
    pub(crate) const FINISHED: u8 = 20;
    pub(crate) const CERTIFICATE_STATUS: u8 = 22;
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// DTLSPlaintext, and every record of DTLS 1.2.
    Plain { content_type: u8, epoch: u16 },
    /// DTLSCiphertext of DTLS 1.3, with the two low bits of its epoch.
    Unified { epoch_bits: u8 },
}

/// A record as it lies in its datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) header: Header,
    /// Header and fragment.
    pub(crate) bytes: &'a [u8],
    /// What follows the header.
    pub(crate) fragment: &'a [u8],
}

/// The octets are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The type is none that exists.
    Type,
    /// The version or the length is wrong.
    Header,
}

impl From<Short> for Malformed {
    fn from(_: Short) -> Self {
        Malformed::Header
    }
}

impl<'a> Record<'a> {
    /// True for a record under keys.
    #[cfg(feature = "openssl")]
    pub(crate) fn is_protected(&self) -> bool {
        !matches!(self.header, Header::Plain { epoch: 0, .. })
    }

    /// The next record of a datagram.
    pub(crate) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let whole = reader.clone();
        let first = reader.u8()?;
        let (header, fragment) = if first & 0xe0 == 0x20 {
            if first & 0x10 != 0 {
                return Err(Malformed::Header); // a connection id, which nobody negotiated
            }
            reader.skip(if first & 0x08 != 0 { 2 } else { 1 })?;
            let fragment = if first & 0x04 != 0 {
                let length = usize::from(reader.u16()?);
                reader.take(length)?
            } else {
                reader.rest()
            };
            (Header::Unified { epoch_bits: first & 3 }, fragment)
        } else {
            if !(20..=26).contains(&first) {
                return Err(Malformed::Type);
            }
            if !matches!(reader.u16()?, 0xfeff | 0xfefd) {
                return Err(Malformed::Header);
            }
            let epoch = reader.u16()?;
            reader.skip(6)?;
            let length = usize::from(reader.u16()?);
            (Header::Plain { content_type: first, epoch }, reader.take(length)?)
        };
        if fragment.len() > MAX_FRAGMENT {
            return Err(Malformed::Header);
        }
        let length = whole.remaining().saturating_sub(reader.remaining());
        let bytes = whole.clone().take(length)?;
        Ok(Self { header, bytes, fragment })
    }
}

/// A fragment of a handshake message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment<'a> {
    pub(crate) kind: u8,
    pub(crate) length: u32,
    pub(crate) message_seq: u16,
    pub(crate) offset: u32,
    pub(crate) body: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// The next fragment of a handshake record.
    pub(crate) fn parse(reader: &mut Reader<'a>) -> Result<Self, Short> {
        let (kind, length, message_seq, offset) = (reader.u8()?, reader.u24()?, reader.u16()?, reader.u24()?);
        let fragment_length = reader.u24()?;
        // Both are below 2^24, so the sum does not overflow.
        if offset + fragment_length > length {
            return Err(Short);
        }
        // Lossless: a usize has 32 bits or more.
        let body = reader.take(fragment_length as usize)?;
        Ok(Self { kind, length, message_seq, offset, body })
    }

    /// Writes an unprotected record with this fragment. It is at most 16 KiB long; the sequence number is 0.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let u24 = |number: u32, out: &mut Vec<u8>| {
            let [_, a, b, c] = number.to_be_bytes();
            out.extend_from_slice(&[a, b, c]);
        };
        out.extend_from_slice(&[content::HANDSHAKE, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0]);
        let fits = taut_sansio::codec::put_length_u16(out, |out| {
            out.push(self.kind);
            u24(self.length, out);
            out.extend_from_slice(&self.message_seq.to_be_bytes());
            u24(self.offset, out);
            u24(u32::try_from(self.body.len()).unwrap_or(0), out);
            out.extend_from_slice(self.body);
        });
        debug_assert!(fits, "a message is at most 16 KiB long");
    }
}

/// Writes a record with one whole, unprotected handshake message. The message is at most 16 KiB long.
pub(crate) fn write_message(kind: u8, message_seq: u16, body: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(body.len()).unwrap_or(0);
    Fragment { kind, length, message_seq, offset: 0, body }.write(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(content_type: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
        let mut out = vec![content_type, 0xfe, 0xfd];
        out.extend_from_slice(&epoch.to_be_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&(body.len() as u16).to_be_bytes());
        out.extend_from_slice(body);
        out
    }

    #[test]
    fn records_follow_each_other() {
        let mut datagram = plain(22, 0, b"abc");
        datagram.extend_from_slice(&[0x2e, 1, 2, 0, 2, 8, 9]); // two octets of number, a length
        datagram.extend_from_slice(&[0x23, 1, 7, 7, 7]); // one octet of number, to the end
        let mut reader = Reader::new(&datagram);
        let first = Record::parse(&mut reader).unwrap();
        assert_eq!(
            (first.header, first.fragment),
            (Header::Plain { content_type: 22, epoch: 0 }, &b"abc"[..])
        );
        assert_eq!(first.bytes, &datagram[..16]);
        let second = Record::parse(&mut reader).unwrap();
        assert_eq!((second.header, second.fragment), (Header::Unified { epoch_bits: 2 }, &[8u8, 9][..]));
        let third = Record::parse(&mut reader).unwrap();
        assert_eq!((third.header, third.fragment), (Header::Unified { epoch_bits: 3 }, &[7u8, 7, 7][..]));
        assert!(reader.is_empty());
    }

    #[test]
    fn no_prefix_and_no_wrong_octet_is_a_record() {
        let good = plain(23, 1, b"0123456789");
        for length in 0..good.len() {
            assert!(Record::parse(&mut Reader::new(&good[..length])).is_err(), "{length}");
        }
        for (at, value, error) in [
            (0, 19, Malformed::Type),
            (0, 27, Malformed::Type),
            (1, 3, Malformed::Header),
            (0, 0x30, Malformed::Header),
        ] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(Record::parse(&mut Reader::new(&bad)), Err(error));
        }
        let long = plain(23, 1, &vec![0; MAX_FRAGMENT + 1]);
        assert_eq!(Record::parse(&mut Reader::new(&long)), Err(Malformed::Header));
    }

    #[test]
    fn messages_are_written_as_they_are_read() {
        let mut out = Vec::new();
        write_message(handshake::CLIENT_HELLO, 3, b"hello", &mut out);
        let record = Record::parse(&mut Reader::new(&out)).unwrap();
        assert_eq!(record.header, Header::Plain { content_type: 22, epoch: 0 });
        let fragment = Fragment::parse(&mut Reader::new(record.fragment)).unwrap();
        assert_eq!(fragment, Fragment { kind: 1, length: 5, message_seq: 3, offset: 0, body: b"hello" });
    }

    #[test]
    fn fragments_stay_inside_their_message() {
        let mut bytes = vec![1, 0, 0, 5, 0, 0, 0, 0, 3, 0, 0, 3];
        bytes.extend_from_slice(b"abc");
        assert_eq!(Fragment::parse(&mut Reader::new(&bytes)), Err(Short));
        bytes[8] = 2;
        assert!(Fragment::parse(&mut Reader::new(&bytes)).is_ok());
        assert_eq!(Fragment::parse(&mut Reader::new(&bytes[..14])), Err(Short));
        bytes[9] = 0xff;
        assert_eq!(Fragment::parse(&mut Reader::new(&bytes)), Err(Short));
    }
}
