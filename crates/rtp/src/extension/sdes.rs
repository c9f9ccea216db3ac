//! SDES items as header extensions (RFC 7941): MID (RFC 9143 section 15.3), RtpStreamId and RepairedRtpStreamId
//! (RFC 8852 section 4). The value is the text itself.

/// The URI of the media identification.
pub const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
/// The URI of the stream identifier of a simulcast layer.
pub const RID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// The URI of the stream identifier that a repair stream repairs.
pub const REPAIRED_RID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";

/// The text of a value; `None` if it is empty or not UTF-8. Trailing zeros, which some senders pad with, are cut.
pub fn parse_text(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?.trim_end_matches('\0');
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_utf8_and_not_empty() {
        assert_eq!(parse_text(b"audio0"), Some("audio0"));
        assert_eq!(parse_text(b"0\0\0"), Some("0"));
        assert_eq!(parse_text(b""), None);
        assert_eq!(parse_text(b"\0"), None);
        assert_eq!(parse_text(&[0xff]), None);
    }
}
