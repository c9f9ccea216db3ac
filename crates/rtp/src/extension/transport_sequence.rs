//! The transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 2): 16 bits that
//! count the packets of all streams of a transport.

taut_sansio::serial_number! {
    /// A sequence number over all streams of a transport.
    pub struct TransportSequence(u16);
}

impl TransportSequence {
    /// The URI of the extension.
    pub const URI: &'static str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

    /// Reads a value. Octets after the first two belong to version 2 of the extension and are not read.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (number, _) = value.split_first_chunk::<2>()?;
        Some(Self::new(u16::from_be_bytes(*number)))
    }

    /// The value.
    pub fn encode(self) -> [u8; 2] {
        self.get().to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_round_trips() {
        let number = TransportSequence::new(0xfeff);
        assert_eq!(number.encode(), [0xfe, 0xff]);
        assert_eq!(TransportSequence::parse(&number.encode()), Some(number));
        assert_eq!(TransportSequence::parse(&[1, 2, 0, 0]), Some(TransportSequence::new(0x0102)));
        assert_eq!(TransportSequence::parse(&[1]), None);
    }
}
