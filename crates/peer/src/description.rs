//! What signalling carries: a session description and its type (W3C section 4.5).

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// The type of a session description (W3C `RTCSdpType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SdpType {
    /// An offer.
    Offer,
    /// An answer that may be replaced by another one.
    PrAnswer,
    /// The final answer.
    Answer,
    /// No description: takes back the offer that is being negotiated.
    Rollback,
}

impl SdpType {
    /// The name in W3C's enumeration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::PrAnswer => "pranswer",
            Self::Answer => "answer",
            Self::Rollback => "rollback",
        }
    }
}

impl FromStr for SdpType {
    type Err = Error;

    /// Reads the name in W3C's enumeration, as JSON of a browser has it.
    ///
    /// # Errors
    ///
    /// `Type` for any other text.
    fn from_str(name: &str) -> Result<Self, Error> {
        let types = [Self::Offer, Self::PrAnswer, Self::Answer, Self::Rollback];
        let found = types.into_iter().find(|kind| kind.as_str() == name);
        found.ok_or_else(|| Error::new(ErrorKind::Type, format!("{name:?} is not the type of a description")))
    }
}

impl fmt::Display for SdpType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A session description (W3C `RTCSessionDescription`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDescription {
    /// Offer, answer or rollback.
    pub kind: SdpType,
    /// The text (RFC 8866); not read for a rollback.
    pub sdp: String,
}

impl SessionDescription {
    /// A description of any type.
    pub fn new(kind: SdpType, sdp: impl Into<String>) -> Self {
        Self { kind, sdp: sdp.into() }
    }

    /// An offer.
    pub fn offer(sdp: impl Into<String>) -> Self {
        Self::new(SdpType::Offer, sdp)
    }

    /// A final answer.
    pub fn answer(sdp: impl Into<String>) -> Self {
        Self::new(SdpType::Answer, sdp)
    }

    /// Takes back the offer that is being negotiated.
    pub fn rollback() -> Self {
        Self::new(SdpType::Rollback, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_are_written() {
        for kind in [SdpType::Offer, SdpType::PrAnswer, SdpType::Answer, SdpType::Rollback] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        for name in ["", "Offer", "provisional"] {
            assert_eq!(name.parse::<SdpType>().unwrap_err().kind, ErrorKind::Type);
        }
    }
}
