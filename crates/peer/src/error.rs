//! The error of every command, with the kind of exception that W3C names for it.

/// Why a command was refused. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
#[non_exhaustive]
pub struct Error {
    /// Which W3C exception this is.
    pub kind: ErrorKind,
    /// What exactly is wrong, for a person.
    pub message: String,
}

impl Error {
    /// An error of that kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// The exceptions of the W3C API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// `InvalidStateError`: the state does not allow it.
    #[error("invalid state")]
    InvalidState,
    /// `InvalidAccessError`: an argument, or a description's content, is not valid here.
    #[error("invalid access")]
    InvalidAccess,
    /// `InvalidModificationError`: this may not be changed in this way.
    #[error("invalid modification")]
    InvalidModification,
    /// `OperationError`: it failed for a reason of its own.
    #[error("operation failed")]
    Operation,
    /// `SyntaxError`, and `RTCError` with `sdp-syntax-error`: a text is malformed.
    #[error("syntax error")]
    Syntax,
    /// `TypeError`: an argument cannot be.
    #[error("type error")]
    Type,
    /// `NotSupportedError`.
    #[error("not supported")]
    NotSupported,
    /// `RangeError`: a number is out of its range.
    #[error("out of range")]
    Range,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_its_kind_and_why() {
        let error = Error::new(ErrorKind::InvalidState, "there is no offer");
        assert_eq!(error.to_string(), "invalid state: there is no offer");
    }
}
