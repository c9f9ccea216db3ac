//! What can be wrong with a description.

/// Why a text is no session description, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// The line, counted from 1. For something that is missing, the last line of the section that lacks it.
    pub line: u32,
    /// What is wrong with it.
    pub reason: Reason,
}

/// One variant per offence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The text is longer than [`MAX_TEXT`](crate::limits::MAX_TEXT).
    #[error("the text is too long")]
    TextTooLong,
    /// There are more media sections than [`MAX_MEDIA`](crate::limits::MAX_MEDIA).
    #[error("too many media sections")]
    TooManyMedia,
    /// A section has more lines than [`MAX_LINES`](crate::limits::MAX_LINES).
    #[error("too many lines in one section")]
    TooManyLines,
    /// An `m=` line has more formats than [`MAX_FORMATS`](crate::limits::MAX_FORMATS).
    #[error("too many formats in one m= line")]
    TooManyFormats,
    /// The line is not a letter, an equals sign and a value.
    #[error("not a line of the form x=value")]
    NotALine,
    /// The letter means nothing in this section (RFC 8866 section 5).
    #[error("a line of this type does not belong here")]
    UnexpectedLine,
    /// A line comes twice that may come once.
    #[error("this line may come only once")]
    Repeated,
    /// The first line is not `v=0`.
    #[error("the first line is not v=0")]
    Version,
    /// There is no `o=` line.
    #[error("the o= line is missing")]
    MissingOrigin,
    /// There is no `s=` line.
    #[error("the s= line is missing")]
    MissingName,
    /// There is no `t=` line.
    #[error("the t= line is missing")]
    MissingTime,
    /// The `o=` line is malformed.
    #[error("malformed o= line")]
    Origin,
    /// A `c=` line is malformed.
    #[error("malformed c= line")]
    Connection,
    /// A `b=` line is malformed.
    #[error("malformed b= line")]
    Bandwidth,
    /// A `t=` line is malformed.
    #[error("malformed t= line")]
    Time,
    /// An `m=` line is malformed.
    #[error("malformed m= line")]
    Media,
    /// The port is missing or above 65535.
    #[error("malformed port")]
    Port,
    /// A payload type is missing or above 127.
    #[error("malformed payload type")]
    PayloadType,
    /// An `a=` line has no name.
    #[error("an attribute without a name")]
    AttributeName,
    /// Malformed `a=rtpmap`.
    #[error("malformed a=rtpmap")]
    RtpMap,
    /// Malformed `a=rtcp-fb`.
    #[error("malformed a=rtcp-fb")]
    RtcpFeedback,
    /// Malformed `a=extmap`.
    #[error("malformed a=extmap")]
    Extmap,
    /// Malformed `a=ssrc`.
    #[error("malformed a=ssrc")]
    Ssrc,
    /// Malformed `a=ssrc-group`.
    #[error("malformed a=ssrc-group")]
    SsrcGroup,
    /// Malformed `a=msid`.
    #[error("malformed a=msid")]
    Msid,
    /// Malformed `a=mid`.
    #[error("malformed a=mid")]
    Mid,
    /// Malformed `a=group`.
    #[error("malformed a=group")]
    Group,
    /// Malformed `a=fingerprint`.
    #[error("malformed a=fingerprint")]
    Fingerprint,
    /// Malformed `a=setup`.
    #[error("malformed a=setup")]
    Setup,
    /// Malformed `a=ice-ufrag` (empty).
    #[error("malformed a=ice-ufrag")]
    IceUfrag,
    /// Malformed `a=ice-pwd` (empty).
    #[error("malformed a=ice-pwd")]
    IcePwd,
    /// Malformed `a=sctp-port`.
    #[error("malformed a=sctp-port")]
    SctpPort,
    /// Malformed `a=max-message-size`.
    #[error("malformed a=max-message-size")]
    MaxMessageSize,
}
