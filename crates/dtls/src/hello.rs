//! The first messages: ClientHello, ServerHello and HelloVerifyRequest, read as far as the filter needs (RFC 5246
//! section 7.4.1, RFC 8446 section 4.1, RFC 6347 section 4.2.1).

use taut_sansio::codec::{Leftover, Reader, Short};

use crate::config::Version;

/// supported_versions (RFC 8446 section 4.2.1).
const SUPPORTED_VERSIONS: u16 = 43;
/// The random value that makes a ServerHello a HelloRetryRequest (RFC 8446 section 4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// The message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl From<Short> for Unreadable {
    fn from(_: Short) -> Self {
        Unreadable
    }
}

impl From<Leftover> for Unreadable {
    fn from(_: Leftover) -> Self {
        Unreadable
    }
}

/// What a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientHello {
    pub(crate) random: [u8; 32],
    pub(crate) offers_12: bool,
    pub(crate) offers_13: bool,
}

impl ClientHello {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let mut reader = Reader::new(body);
        let legacy_version = reader.u16()?;
        let random = reader.array()?;
        vector_u8(&mut reader)?; // session id
        vector_u8(&mut reader)?; // cookie
        let suites = vector_u16(&mut reader)?;
        let compression = vector_u8(&mut reader)?;
        if suites.is_empty() || suites.remaining() % 2 != 0 || compression.is_empty() {
            return Err(Unreadable);
        }
        let mut hello =
            Self { random, offers_12: legacy_version == Version::Dtls12.wire(), offers_13: false };
        let Some(mut extensions) = extensions(reader)? else { return Ok(hello) };
        while let Some((kind, mut value)) = extension(&mut extensions)? {
            if kind != SUPPORTED_VERSIONS {
                continue;
            }
            let mut versions = vector_u8(&mut value)?;
            value.finish()?;
            hello.offers_12 = false;
            while !versions.is_empty() {
                let version = versions.u16()?;
                hello.offers_12 |= version == Version::Dtls12.wire();
                hello.offers_13 |= version == Version::Dtls13.wire();
            }
        }
        Ok(hello)
    }
}

/// What a server chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerHello {
    /// HelloVerifyRequest of DTLS 1.2: the client is to come again with a cookie.
    Verify,
    /// HelloRetryRequest of DTLS 1.3: the client is to come again with another share.
    Retry,
    /// The choice.
    Chosen { version: Version, cipher_suite: u16, random: [u8; 32] },
}

impl ServerHello {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let mut reader = Reader::new(body);
        if reader.u16()? != Version::Dtls12.wire() {
            return Err(Unreadable);
        }
        let random: [u8; 32] = reader.array()?;
        if vector_u8(&mut reader)?.remaining() > 32 {
            return Err(Unreadable);
        }
        let cipher_suite = reader.u16()?;
        if reader.u8()? != 0 {
            return Err(Unreadable); // compression
        }
        let mut version = Version::Dtls12;
        if let Some(mut extensions) = extensions(reader)? {
            while let Some((kind, mut value)) = extension(&mut extensions)? {
                if kind == SUPPORTED_VERSIONS {
                    let chosen = value.u16()?;
                    value.finish()?;
                    if chosen != Version::Dtls13.wire() {
                        return Err(Unreadable);
                    }
                    version = Version::Dtls13;
                }
            }
        }
        if random == RETRY_RANDOM {
            return if version == Version::Dtls13 { Ok(ServerHello::Retry) } else { Err(Unreadable) };
        }
        Ok(ServerHello::Chosen { version, cipher_suite, random })
    }

    pub(crate) fn parse_verify(body: &[u8]) -> Result<Self, Unreadable> {
        let mut reader = Reader::new(body);
        if !matches!(reader.u16()?, 0xfeff | 0xfefd) {
            return Err(Unreadable);
        }
        vector_u8(&mut reader)?;
        reader.finish()?;
        Ok(ServerHello::Verify)
    }
}

/// The name of a cipher suite in the registry of IANA. These are the ones that the engines can negotiate.
pub(crate) fn cipher_suite_name(suite: u16) -> &'static str {
    match suite {
        0x1301 => "TLS_AES_128_GCM_SHA256",
        0x1302 => "TLS_AES_256_GCM_SHA384",
        0x1303 => "TLS_CHACHA20_POLY1305_SHA256",
        0xc02b => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        0xc02c => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        0xcca9 => "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        0xc02f => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        0xc030 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        0xcca8 => "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        _ => "unknown",
    }
}

/// True for a suite whose server signs with RSA.
pub(crate) fn is_rsa(suite: u16) -> bool {
    matches!(suite, 0xc02f | 0xc030 | 0xcca8)
}

/// What protection adds to a fragment: the explicit nonce and the tag (RFC 5288, RFC 7905, RFC 8446 section 5.2).
pub(crate) fn protection_overhead(suite: u16) -> usize {
    match suite {
        0xc02b | 0xc02c | 0xc02f | 0xc030 => 8 + 16,
        _ => 16,
    }
}

fn vector_u8<'a>(reader: &mut Reader<'a>) -> Result<Reader<'a>, Short> {
    let length = usize::from(reader.u8()?);
    reader.sub(length)
}

fn vector_u16<'a>(reader: &mut Reader<'a>) -> Result<Reader<'a>, Short> {
    let length = usize::from(reader.u16()?);
    reader.sub(length)
}

/// The block of extensions at the end of a hello; hellos without one exist.
fn extensions<'a>(mut reader: Reader<'a>) -> Result<Option<Reader<'a>>, Unreadable> {
    if reader.is_empty() {
        return Ok(None);
    }
    let block = vector_u16(&mut reader)?;
    reader.finish()?;
    Ok(Some(block))
}

fn extension<'a>(block: &mut Reader<'a>) -> Result<Option<(u16, Reader<'a>)>, Unreadable> {
    if block.is_empty() {
        return Ok(None);
    }
    let kind = block.u16()?;
    Ok(Some((kind, vector_u16(block)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_hello(random: [u8; 32], extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend_from_slice(&random);
        body.extend_from_slice(&[0, 0x13, 0x01, 0]);
        body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
        body.extend_from_slice(extensions);
        body
    }

    const CHOOSES_13: [u8; 6] = [0, 43, 0, 2, 0xfe, 0xfc];

    #[test]
    fn the_version_is_where_rfc_8446_puts_it() {
        let chosen = |version| Ok(ServerHello::Chosen { version, cipher_suite: 0x1301, random: [7; 32] });
        assert_eq!(ServerHello::parse(&server_hello([7; 32], &CHOOSES_13)), chosen(Version::Dtls13));
        assert_eq!(ServerHello::parse(&server_hello([7; 32], &[])), chosen(Version::Dtls12));
        assert_eq!(ServerHello::parse(&server_hello(RETRY_RANDOM, &CHOOSES_13)), Ok(ServerHello::Retry));
        assert_eq!(ServerHello::parse(&server_hello(RETRY_RANDOM, &[])), Err(Unreadable));
        assert_eq!(ServerHello::parse(&server_hello([7; 32], &[0, 43, 0, 2, 0xfe, 0xfb])), Err(Unreadable));
    }

    #[test]
    fn a_version_that_is_announced_and_missing_is_unreadable() {
        // The length of the extension points behind the end of the message.
        assert_eq!(ServerHello::parse(&server_hello([7; 32], &CHOOSES_13[..4])), Err(Unreadable));
        assert_eq!(ServerHello::parse(&server_hello([7; 32], &[0, 43, 0, 1, 0xfe])), Err(Unreadable));
    }

    #[test]
    fn no_prefix_is_read_but_the_one_before_the_extensions() {
        let good = server_hello([7; 32], &CHOOSES_13);
        for length in 0..good.len() {
            let without_extensions = length == 38;
            assert_eq!(ServerHello::parse(&good[..length]).is_ok(), without_extensions, "{length}");
        }
        assert_eq!(ServerHello::parse_verify(&[0xfe, 0xff, 2, 1, 2]), Ok(ServerHello::Verify));
        assert_eq!(ServerHello::parse_verify(&[0xfe, 0xff, 3, 1, 2]), Err(Unreadable));
        assert_eq!(ServerHello::parse_verify(&[0xfe, 0xff, 1, 1, 2]), Err(Unreadable));
    }

    #[test]
    fn suites_that_have_a_name_have_their_overhead() {
        for suite in (0..=u16::MAX).filter(|suite| cipher_suite_name(*suite) != "unknown") {
            let name = cipher_suite_name(suite);
            let explicit_nonce = name.contains("_GCM_") && !name.starts_with("TLS_AES");
            assert_eq!(protection_overhead(suite), if explicit_nonce { 24 } else { 16 }, "{name}");
            assert_eq!(is_rsa(suite), name.contains("_RSA_"), "{name}");
        }
    }

    #[test]
    fn what_a_client_offers() {
        let hello = |extensions: &[u8]| {
            let mut body = vec![0xfe, 0xfd];
            body.extend_from_slice(&[9; 32]);
            body.extend_from_slice(&[0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
            body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
            body.extend_from_slice(extensions);
            ClientHello::parse(&body).map(|hello| (hello.offers_12, hello.offers_13))
        };
        assert_eq!(hello(&[]), Ok((true, false)));
        assert_eq!(hello(&[0, 43, 0, 5, 4, 0xfe, 0xfc, 0xfe, 0xfd]), Ok((true, true)));
        assert_eq!(hello(&[0, 43, 0, 3, 2, 0xfe, 0xfc]), Ok((false, true)));
        assert_eq!(hello(&[0, 43, 0, 3, 2, 0x1a, 0x1a]), Ok((false, false)));
        assert_eq!(hello(&[0, 43, 0, 3, 3, 0xfe, 0xfc]), Err(Unreadable));
        assert_eq!(hello(&[0, 43, 0, 2, 1, 0xfe]), Err(Unreadable));
    }
}
