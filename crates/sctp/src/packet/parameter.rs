//! Parameters of INIT and INIT ACK (RFC 9260 sections 3.3.2.1 and 3.3.3.1; RFC 5061 section 4.2.7 for the list of
//! supported extensions; RFC 3758 section 3.1; RFC 9653 section 4).

use super::data::Format;
use super::tlv::TlvError;
use super::{Unknown, Walker, kind, put_tlv};
use crate::config::Config;

/// Parameter types.
pub(crate) mod parameter_kind {
    pub(crate) const HEARTBEAT_INFO: u16 = 1;
    pub(crate) const IPV4_ADDRESS: u16 = 5;
    pub(crate) const IPV6_ADDRESS: u16 = 6;
    pub(crate) const STATE_COOKIE: u16 = 7;
    pub(crate) const UNRECOGNIZED: u16 = 8;
    pub(crate) const COOKIE_PRESERVATIVE: u16 = 9;
    pub(crate) const HOST_NAME: u16 = 11;
    pub(crate) const SUPPORTED_ADDRESS_TYPES: u16 = 12;
    pub(crate) const ZERO_CHECKSUM_ACCEPTABLE: u16 = 0x8001;
    pub(crate) const SUPPORTED_EXTENSIONS: u16 = 0x8008;
    pub(crate) const FORWARD_TSN_SUPPORTED: u16 = 0xc000;
}

/// The error detection of SCTP over DTLS instead of the checksum (RFC 9653 section 8.2, the IANA registry).
const ERROR_DETECTION_DTLS: u32 = 1;

/// The most octets of unrecognized parameters that are reported back.
const MAX_REPORT: usize = 256;

/// The extensions that one side can do, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Capabilities {
    /// RFC 3758.
    pub(crate) forward_tsn: bool,
    /// RFC 6525.
    pub(crate) reconfig: bool,
    /// I-DATA (RFC 8260).
    pub(crate) interleaving: bool,
    /// I-FORWARD-TSN (RFC 8260 section 2.3.1).
    pub(crate) interleaved_forward: bool,
    /// Takes packets whose checksum is zero, because DTLS protects them (RFC 9653).
    pub(crate) zero_checksum: bool,
}

impl Capabilities {
    /// What is offered with these settings.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            forward_tsn: true,
            reconfig: true,
            interleaving: config.interleaving,
            interleaved_forward: config.interleaving,
            zero_checksum: config.zero_checksum,
        }
    }

    /// What both can do.
    pub(crate) fn and(self, other: Self) -> Self {
        Self::from_bits(self.to_bits() & other.to_bits())
    }

    /// How user data is carried.
    pub(crate) fn format(self) -> Format {
        if self.interleaving { Format::Interleaved } else { Format::Data }
    }

    /// Messages may be given up (RFC 8260 section 2.3.1: which chunk says so depends on which carries the data).
    pub(crate) fn forwards(self) -> bool {
        match self.format() {
            Format::Data => self.forward_tsn,
            Format::Interleaved => self.interleaved_forward,
        }
    }

    /// As bits for the cookie.
    pub(crate) fn to_bits(self) -> u8 {
        u8::from(self.forward_tsn)
            | u8::from(self.reconfig) << 1
            | u8::from(self.interleaving) << 2
            | u8::from(self.interleaved_forward) << 3
            | u8::from(self.zero_checksum) << 4
    }

    /// From the bits of a cookie.
    pub(crate) fn from_bits(bits: u8) -> Self {
        Self {
            forward_tsn: bits & 1 != 0,
            reconfig: bits & 2 != 0,
            interleaving: bits & 4 != 0,
            interleaved_forward: bits & 8 != 0,
            zero_checksum: bits & 16 != 0,
        }
    }

    /// Appends the parameters that announce them.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        if self.forward_tsn {
            put_tlv(out, parameter_kind::FORWARD_TSN_SUPPORTED, |_| {});
        }
        let extensions = [
            (self.reconfig, kind::RE_CONFIG),
            (self.forward_tsn, kind::FORWARD_TSN),
            (self.interleaving, kind::I_DATA),
            (self.interleaved_forward, kind::I_FORWARD_TSN),
        ];
        put_tlv(out, parameter_kind::SUPPORTED_EXTENSIONS, |out| {
            out.extend(extensions.iter().filter(|(has, _)| *has).map(|(_, kind)| kind));
        });
        if self.zero_checksum {
            put_tlv(out, parameter_kind::ZERO_CHECKSUM_ACCEPTABLE, |out| {
                out.extend_from_slice(&ERROR_DETECTION_DTLS.to_be_bytes());
            });
        }
    }
}

/// The parameters of an INIT or INIT ACK.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Parameters {
    pub(crate) capabilities: Capabilities,
    /// The state cookie of an INIT ACK.
    pub(crate) cookie: Option<Vec<u8>>,
    /// Whole parameters to report back, padded, at most 256 octets.
    pub(crate) unrecognized: Vec<u8>,
    /// A host name was given, which RFC 9260 section 3.3.2.1.4 answers with an ABORT.
    pub(crate) host_name: bool,
}

impl Parameters {
    /// Reads all parameters; an unknown one whose type says so ends the reading.
    pub(crate) fn parse(input: &[u8]) -> Result<Self, TlvError> {
        let mut this = Self::default();
        for item in Walker::new(input) {
            let item = item?;
            match item.head {
                parameter_kind::STATE_COOKIE => {
                    this.cookie.get_or_insert_with(|| item.value.to_vec());
                }
                parameter_kind::FORWARD_TSN_SUPPORTED => this.capabilities.forward_tsn = true,
                parameter_kind::SUPPORTED_EXTENSIONS => {
                    this.capabilities.reconfig |= item.value.contains(&kind::RE_CONFIG);
                    this.capabilities.forward_tsn |= item.value.contains(&kind::FORWARD_TSN);
                    this.capabilities.interleaving |= item.value.contains(&kind::I_DATA);
                    this.capabilities.interleaved_forward |= item.value.contains(&kind::I_FORWARD_TSN);
                }
                parameter_kind::ZERO_CHECKSUM_ACCEPTABLE => {
                    this.capabilities.zero_checksum = item.value == ERROR_DETECTION_DTLS.to_be_bytes();
                }
                parameter_kind::HOST_NAME => this.host_name = true,
                // Addresses mean nothing over DTLS (RFC 8261 section 6.3); the rest is informative.
                parameter_kind::IPV4_ADDRESS
                | parameter_kind::IPV6_ADDRESS
                | parameter_kind::COOKIE_PRESERVATIVE
                | parameter_kind::SUPPORTED_ADDRESS_TYPES
                | parameter_kind::UNRECOGNIZED => {}
                other => {
                    let unknown = Unknown::parameter(other);
                    if unknown.report && this.unrecognized.len() + item.whole.len() <= MAX_REPORT {
                        put_tlv(&mut this.unrecognized, other, |out| out.extend_from_slice(item.value));
                    }
                    if !unknown.skip {
                        break;
                    }
                }
            }
        }
        Ok(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parameters_follow_their_high_bits() {
        for (kind, skip, report) in
            [(0x0999, false, false), (0x4999, false, true), (0x8999, true, false), (0xc999, true, true)]
        {
            let mut out = Vec::new();
            put_tlv(&mut out, kind, |o| o.extend_from_slice(b"xy"));
            put_tlv(&mut out, parameter_kind::FORWARD_TSN_SUPPORTED, |_| {});
            let parsed = Parameters::parse(&out).unwrap();
            assert_eq!(parsed.capabilities.forward_tsn, skip, "{kind:x}");
            assert_eq!(!parsed.unrecognized.is_empty(), report, "{kind:x}");
        }
    }

    #[test]
    fn reports_are_bounded() {
        let mut out = Vec::new();
        for _ in 0..100 {
            put_tlv(&mut out, 0xc999, |o| o.extend_from_slice(&[0; 40]));
        }
        assert!(Parameters::parse(&out).unwrap().unrecognized.len() <= MAX_REPORT);
    }

    #[test]
    fn capabilities_survive_the_wire_and_the_cookie() {
        for bits in 0..32 {
            let capabilities = Capabilities::from_bits(bits);
            assert_eq!(capabilities.to_bits(), bits);
            let mut out = Vec::new();
            capabilities.write(&mut out);
            assert_eq!(Parameters::parse(&out).unwrap().capabilities, capabilities);
        }
    }

    #[test]
    fn another_error_detection_than_dtls_is_not_agreed_to() {
        let mut out = Vec::new();
        put_tlv(&mut out, parameter_kind::ZERO_CHECKSUM_ACCEPTABLE, |out| {
            out.extend_from_slice(&[0, 0, 0, 2])
        });
        assert!(!Parameters::parse(&out).unwrap().capabilities.zero_checksum);
    }
}
