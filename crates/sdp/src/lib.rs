//! Session descriptions (RFC 8866) for WebRTC: parse, build and write.
//!
//! [`Session::parse`] reads a description, [`Display`](std::fmt::Display) writes it. Between the two lies plain data:
//! [`Session`] and [`Media`] with public fields in the order of RFC 8866 section 5, and one list of typed
//! [`Attribute`]s each. The order of attributes is kept, and an attribute that this crate does not know (or whose
//! value it cannot read and that nothing depends on) survives as [`Attribute::Other`], so that a description which is
//! read and written says the same. No negotiation happens here. A [`Fragment`] is what candidates travel in between two descriptions.
//!
//! **Lenient** where real clients are sloppy: lines may end in LF, lines may come in any order within their section,
//! empty lines and blanks at line ends are skipped, hexadecimal and enumerated values may come in any case.
//! **Strict** where a wrong reading would do harm: payload types, fingerprints, setup roles, mids, SSRCs, ports and header extension ids must
//! be well formed, or the whole description is refused with its line number and a [`Reason`].
//!
//! Parsing takes time linear in the text, and [`limits`] bound what one text may hold.
#![forbid(unsafe_code)]

pub mod attribute;
mod error;
mod fragment;
mod lexer;
mod media;
mod session;
mod write;

pub use attribute::{
    Attribute, Direction, Extmap, Feedback, Fingerprint, Fmtp, Group, HashAlgorithm, Msid, Rid, RidDirection,
    Rtcp, RtcpFeedback, RtpMap, Setup, Simulcast, SimulcastId, SimulcastStreams, SourceAttribute,
    SourceGroup,
};
pub use error::{ParseError, Reason};
pub use fragment::Fragment;
pub use media::{Format, Media, MediaKind, Protocol};
pub use session::{Bandwidth, Connection, Origin, Session, Time};

/// What one description may hold; above any of these it is refused with the [`Reason`] named here.
pub mod limits {
    /// Octets of text: [`Reason::TextTooLong`](crate::Reason::TextTooLong).
    pub const MAX_TEXT: usize = 1 << 20;
    /// Media sections: [`Reason::TooManyMedia`](crate::Reason::TooManyMedia).
    pub const MAX_MEDIA: usize = 1024;
    /// Lines of one section, session or media, of any type: [`Reason::TooManyLines`](crate::Reason::TooManyLines).
    /// Nearly all of them are attributes.
    pub const MAX_LINES: usize = 10_000;
    /// Formats of one `m=` line, twice what payload types can number: [`Reason::TooManyFormats`](crate::Reason::TooManyFormats).
    pub const MAX_FORMATS: usize = 256;
}
