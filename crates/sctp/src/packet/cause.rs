//! Error causes of ABORT and ERROR (RFC 9260 section 3.3.10).

use super::{Walker, chunk_head, put_tlv};

/// Cause codes.
pub(crate) mod code {
    pub(crate) const INVALID_STREAM: u16 = 1;
    pub(crate) const STALE_COOKIE: u16 = 3;
    pub(crate) const OUT_OF_RESOURCE: u16 = 4;
    pub(crate) const UNRESOLVABLE_ADDRESS: u16 = 5;
    pub(crate) const UNRECOGNIZED_CHUNK: u16 = 6;
    pub(crate) const INVALID_MANDATORY: u16 = 7;
    pub(crate) const UNRECOGNIZED_PARAMETERS: u16 = 8;
    pub(crate) const NO_USER_DATA: u16 = 9;
    pub(crate) const COOKIE_WHILE_SHUTTING_DOWN: u16 = 10;
    pub(crate) const USER_INITIATED: u16 = 12;
    pub(crate) const PROTOCOL_VIOLATION: u16 = 13;
}

/// Appends an ABORT or ERROR chunk with one cause.
pub(crate) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, code: u16, information: &[u8]) {
    put_tlv(out, chunk_head(kind, flags), |out| {
        put_tlv(out, code, |out| out.extend_from_slice(information));
    });
}

/// The code of the first cause, zero if there is none.
pub(crate) fn first(value: &[u8]) -> u16 {
    Walker::new(value).next().and_then(Result::ok).map_or(0, |cause| cause.head)
}

#[cfg(test)]
mod tests {
    use super::super::kind;
    use super::*;

    #[test]
    fn the_first_cause_is_found() {
        let mut out = Vec::new();
        write(&mut out, kind::ABORT, 0, code::PROTOCOL_VIOLATION, b"no");
        assert_eq!(first(&out[4..]), code::PROTOCOL_VIOLATION);
        assert_eq!(first(&[]), 0);
        assert_eq!(first(&[0, 1, 0, 3]), 0);
    }
}
