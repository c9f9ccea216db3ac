//! The one error of the facade.

use std::io;

pub use taut_peer::ErrorKind;

/// Why a call was refused. The kind is the W3C exception that a browser would throw.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    #[source]
    source: Option<io::Error>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// What the operating system refused.
    pub(crate) fn io(what: impl std::fmt::Display, source: io::Error) -> Self {
        Self { kind: ErrorKind::Operation, message: format!("{what}: {source}"), source: Some(source) }
    }

    /// The call came after the end.
    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::InvalidState, "the connection is closed")
    }

    /// The connection has failed, and why.
    pub(crate) fn failed(cause: impl std::fmt::Display) -> Self {
        Self::new(ErrorKind::Operation, format!("the connection has failed: {cause}"))
    }

    /// A handle was given to a connection that it does not belong to.
    pub(crate) fn other_connection() -> Self {
        Self::new(ErrorKind::InvalidAccess, "this belongs to another connection")
    }

    /// The W3C exception.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What is wrong, for a person.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<taut_peer::Error> for Error {
    fn from(error: taut_peer::Error) -> Self {
        Self::new(error.kind, error.message)
    }
}
