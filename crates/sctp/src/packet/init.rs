//! INIT and INIT ACK (RFC 9260 sections 3.3.2 and 3.3.3).

use taut_sansio::codec::Reader;

use super::parameter::{Capabilities, Parameters, parameter_kind};
use super::{ParseError, Tsn, chunk_head, put_tlv};

/// The fixed part, which both chunks share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InitFields {
    pub(crate) tag: u32,
    pub(crate) window: u32,
    pub(crate) outgoing: u16,
    pub(crate) incoming: u16,
    pub(crate) tsn: Tsn,
}

/// INIT or INIT ACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Init {
    pub(crate) fields: InitFields,
    pub(crate) parameters: Parameters,
}

impl Init {
    /// Reads the value of the chunk. A zero tag or stream count is [`ParseError::Missing`].
    pub(crate) fn parse(value: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(value);
        let fields = InitFields {
            tag: reader.u32()?,
            window: reader.u32()?,
            outgoing: reader.u16()?,
            incoming: reader.u16()?,
            tsn: Tsn::new(reader.u32()?),
        };
        if fields.tag == 0 || fields.outgoing == 0 || fields.incoming == 0 {
            return Err(ParseError::Missing);
        }
        Ok(Self { fields, parameters: Parameters::parse(reader.rest())? })
    }
}

impl InitFields {
    /// Appends an INIT or INIT ACK; `extra` appends further parameters.
    pub(crate) fn write(
        &self,
        kind: u8,
        capabilities: Capabilities,
        out: &mut Vec<u8>,
        extra: impl FnOnce(&mut Vec<u8>),
    ) {
        put_tlv(out, chunk_head(kind, 0), |out| {
            out.extend_from_slice(&self.tag.to_be_bytes());
            out.extend_from_slice(&self.window.to_be_bytes());
            out.extend_from_slice(&self.outgoing.to_be_bytes());
            out.extend_from_slice(&self.incoming.to_be_bytes());
            out.extend_from_slice(&self.tsn.get().to_be_bytes());
            capabilities.write(out);
            extra(out);
        });
    }
}

/// Appends the state cookie parameter.
pub(crate) fn put_cookie(out: &mut Vec<u8>, cookie: &[u8]) {
    put_tlv(out, parameter_kind::STATE_COOKIE, |out| out.extend_from_slice(cookie));
}

/// Appends one "unrecognized parameter" around each of the padded parameters in `reports`.
pub(crate) fn put_unrecognized(out: &mut Vec<u8>, reports: &[u8]) {
    for item in super::Walker::new(reports).flatten() {
        put_tlv(out, parameter_kind::UNRECOGNIZED, |out| out.extend_from_slice(item.whole));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Walker, kind};
    use super::*;

    #[test]
    fn what_is_written_parses_back_and_zeroes_are_refused() {
        let fields = InitFields { tag: 1, window: 2, outgoing: 3, incoming: 4, tsn: Tsn::new(5) };
        let mut out = Vec::new();
        let capabilities = Capabilities::from_bits(0x1f);
        fields.write(kind::INIT_ACK, capabilities, &mut out, |o| put_cookie(o, b"cookie"));
        let tlv = Walker::new(&out).next().unwrap().unwrap();
        let parsed = Init::parse(tlv.value).unwrap();
        assert_eq!(parsed.fields, fields);
        assert_eq!(parsed.parameters.cookie.as_deref(), Some(&b"cookie"[..]));
        assert_eq!(parsed.parameters.capabilities, capabilities);
        for bad in [
            InitFields { tag: 0, ..fields },
            InitFields { outgoing: 0, ..fields },
            InitFields { incoming: 0, ..fields },
        ] {
            let mut out = Vec::new();
            bad.write(kind::INIT, capabilities, &mut out, |_| {});
            assert_eq!(Init::parse(&out[4..]), Err(ParseError::Missing));
        }
        for length in 0..16 {
            assert_eq!(Init::parse(&tlv.value[..length]), Err(ParseError::Short));
        }
    }
}
