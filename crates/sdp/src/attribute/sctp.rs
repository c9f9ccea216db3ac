//! SCTP over DTLS: `sctp-port` and `max-message-size` (RFC 8841 sections 5 and 6).

use crate::error::Reason;
use crate::lexer::decimal;

pub(super) fn port(value: &str) -> Result<u16, Reason> {
    decimal(value).and_then(|port| u16::try_from(port).ok()).ok_or(Reason::SctpPort)
}

/// In octets; a number too large for 64 bits is as good as the largest.
pub(super) fn max_message_size(value: &str) -> Result<u64, Reason> {
    decimal(value).ok_or(Reason::MaxMessageSize)
}

#[cfg(test)]
mod tests {
    use crate::{Attribute, Reason};

    #[test]
    fn numbers_are_checked() {
        assert_eq!(Attribute::parse("sctp-port:5000"), Ok(Attribute::SctpPort(5000)));
        assert_eq!(Attribute::parse("sctp-port:65536"), Err(Reason::SctpPort));
        assert_eq!(Attribute::parse("max-message-size:0"), Ok(Attribute::MaxMessageSize(0)));
        assert_eq!(Attribute::parse("max-message-size:-1"), Err(Reason::MaxMessageSize));
        let large = Attribute::parse("max-message-size:99999999999999999999");
        assert_eq!(large, Ok(Attribute::MaxMessageSize(u64::MAX)));
    }
}
