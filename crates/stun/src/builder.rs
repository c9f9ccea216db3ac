//! Writing a message (RFC 8489 section 6.1): appended to the caller's buffer, lengths patched in place.

use crate::attribute::{Attribute, AttributeType};
use crate::fingerprint;
use crate::integrity::{Algorithm, Key};
use crate::message::{Class, HEADER_LEN, MAGIC_COOKIE, Message, Method, TransactionId, encode_type};

/// Appends one message to a buffer. [`finish`](Self::finish) gives its length; a builder that is dropped before
/// leaves an unfinished message behind.
#[derive(Debug)]
pub struct Builder<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    transaction_id: TransactionId,
    overflow: bool,
}

impl<'o> Builder<'o> {
    /// Begins a message at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>, class: Class, method: Method, transaction_id: TransactionId) -> Self {
        let start = out.len();
        out.extend_from_slice(&encode_type(class, method).to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        out.extend_from_slice(&transaction_id.0);
        Self { out, start, transaction_id, overflow: false }
    }

    /// Begins the answer of class `class` to `request`.
    pub fn answer(out: &'o mut Vec<u8>, class: Class, request: &Message<'_>) -> Self {
        Self::new(out, class, request.method(), request.transaction_id())
    }

    /// Appends an attribute, padded with zeros.
    pub fn push<'a, A: Attribute<'a>>(mut self, attribute: &A) -> Self {
        let place = self.open(A::TYPE);
        attribute.write(self.transaction_id, self.out);
        self.close(place);
        self
    }

    /// Appends an integrity attribute over everything so far. Only FINGERPRINT (and MESSAGE-INTEGRITY-SHA256 after
    /// MESSAGE-INTEGRITY) may follow.
    pub fn integrity(mut self, key: &Key, algorithm: Algorithm) -> Self {
        self.set_length(algorithm.attribute_len());
        let mut value = [0; 32];
        key.append(algorithm, self.out.get(self.start..).unwrap_or_default(), &mut value);
        let (kind, length) = match algorithm {
            Algorithm::Sha1 => (AttributeType::MESSAGE_INTEGRITY, 20),
            Algorithm::Sha256 => (AttributeType::MESSAGE_INTEGRITY_SHA256, 32),
        };
        let place = self.open(kind);
        self.out.extend(value.iter().take(length));
        self.close(place);
        self
    }

    /// Appends FINGERPRINT. Nothing may follow.
    pub fn fingerprint(mut self) -> Self {
        self.set_length(fingerprint::ATTRIBUTE_LEN);
        let value = fingerprint::value(self.out.get(self.start..).unwrap_or_default());
        let place = self.open(AttributeType::FINGERPRINT);
        self.out.extend_from_slice(&value);
        self.close(place);
        self
    }

    /// Writes the length and returns how many octets were appended. `None`, with the buffer as it was before
    /// [`new`](Self::new), if the message would be longer than its length field can say.
    pub fn finish(mut self) -> Option<usize> {
        self.set_length(0);
        if self.overflow {
            self.out.truncate(self.start);
            return None;
        }
        Some(self.out.len().saturating_sub(self.start))
    }

    /// Writes an attribute's type and an empty length; returns where its value begins.
    fn open(&mut self, kind: AttributeType) -> usize {
        self.out.extend_from_slice(&kind.0.to_be_bytes());
        self.out.extend_from_slice(&[0, 0]);
        self.out.len()
    }

    /// Patches the length of the attribute whose value began at `value`, and pads it.
    fn close(&mut self, value: usize) {
        let length = self.out.len().saturating_sub(value);
        // With a longer value the message does not fit either, which its own length tells.
        let Ok(length16) = u16::try_from(length) else { return };
        if let Some(place) = self.out.get_mut(value.saturating_sub(2)..value) {
            place.copy_from_slice(&length16.to_be_bytes());
        }
        let padding = length.next_multiple_of(4).saturating_sub(length);
        self.out.resize(self.out.len().saturating_add(padding), 0);
    }

    /// Writes the message length as it will be after `more` octets.
    fn set_length(&mut self, more: usize) {
        let body = self.out.len().saturating_sub(self.start).saturating_sub(HEADER_LEN).saturating_add(more);
        match (u16::try_from(body), self.out.get_mut(self.start..)) {
            (Ok(length), Some([_, _, high, low, ..])) => [*high, *low] = length.to_be_bytes(),
            _ => self.overflow = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Software;

    #[test]
    fn a_message_that_does_not_fit_leaves_no_trace() {
        let mut out = vec![1, 2, 3];
        let text = "x".repeat(40_000);
        let software = Software::new(&text);
        let id = TransactionId([0; 12]);
        let builder = Builder::new(&mut out, Class::Request, Method::BINDING, id).push(&software);
        assert!(builder.push(&software).fingerprint().finish().is_none());
        let text = "x".repeat(70_000);
        let builder = Builder::new(&mut out, Class::Request, Method::BINDING, id).push(&Software::new(&text));
        assert!(builder.finish().is_none());
        assert_eq!(out, [1, 2, 3]);
    }

    #[test]
    fn messages_start_where_the_buffer_ended() {
        let mut out = b"before".to_vec();
        let key = Key::short_term("p");
        let id = TransactionId([3; 12]);
        let length = Builder::new(&mut out, Class::Indication, Method::BINDING, id)
            .push(&Software::new("abc"))
            .integrity(&key, Algorithm::Sha1)
            .integrity(&key, Algorithm::Sha256)
            .fingerprint()
            .finish();
        assert_eq!(length, Some(20 + 8 + 24 + 36 + 8));
        let message = Message::parse(&out[6..]).unwrap();
        assert_eq!(message.verify(&key), Ok(Algorithm::Sha256));
        assert_eq!(message.fingerprint(), crate::Fingerprint::Good);
        assert_eq!(message.get::<Software<'_>>().unwrap().unwrap().text(), "abc");
        assert_eq!(message.transaction_id(), id);
    }
}
