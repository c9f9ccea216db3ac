//! Counters of a session.

/// What a session has seen and dropped. Every datagram or record that is dropped raises one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams given to `handle_packet`.
    pub datagrams_received: u64,
    /// Datagrams given out by `poll_transmit`.
    pub datagrams_sent: u64,
    /// Records sealed.
    pub records_sealed: u64,
    /// Records of application data opened.
    pub records_opened: u64,
    /// Handshakes that were begun anew.
    pub restarts: u64,
    /// Octets that are no record: a bad type or version, or a length beyond the datagram. The rest of the datagram
    /// is dropped with them.
    pub malformed: u64,
    /// Records of a type that DTLS does not have in that place.
    pub unknown_type: u64,
    /// Records of an epoch that cannot be.
    pub wrong_epoch: u64,
    /// Alerts without protection.
    pub plaintext_alert: u64,
    /// Application data without protection.
    pub plaintext_data: u64,
    /// HelloRequests.
    pub hello_request: u64,
    /// Protected records shorter than nonce and tag.
    pub short_record: u64,
    /// Handshake records that are malformed or not of this part of the handshake.
    pub unexpected_message: u64,
    /// Handshake messages, or fragments of one, longer than 16 KiB.
    pub too_long: u64,
    /// Handshake records after 64 KiB of them.
    pub over_budget: u64,
    /// Records past the eighth of a datagram of the handshake.
    pub too_many_records: u64,
    /// Datagrams before `start`, or records before the first message of the other side, past the 8 KiB that are held.
    pub held_overflow: u64,
    /// Records of a future epoch past the four, or the 8 KiB, that are held.
    pub future_overflow: u64,
    /// First messages that cannot be read, or with nothing in common with this side.
    pub rejected_hello: u64,
    /// First messages that were repeated too soon, or came when they could no longer be answered.
    pub stale_hello: u64,
    /// Unprotected records of a handshake that is over.
    pub stale_handshake: u64,
    /// Datagrams that came after the end.
    pub after_close: u64,
    /// Records after the handshake that brought no application data: forged ones, replays, and what is left of the
    /// handshake.
    pub without_data: u64,
    /// Records opened and dropped because nobody polled for them.
    pub plaintext_overflow: u64,
    /// Datagrams made and dropped because nobody polled for them.
    pub transmit_overflow: u64,
}

impl Stats {
    /// Everything that came in and was dropped: the sum of the counters of that.
    pub fn dropped(&self) -> u64 {
        [
            self.malformed,
            self.unknown_type,
            self.wrong_epoch,
            self.plaintext_alert,
            self.plaintext_data,
            self.hello_request,
            self.short_record,
            self.unexpected_message,
            self.too_long,
            self.over_budget,
            self.too_many_records,
            self.held_overflow,
            self.future_overflow,
            self.rejected_hello,
            self.stale_hello,
            self.stale_handshake,
            self.after_close,
            self.without_data,
            self.plaintext_overflow,
        ]
        .iter()
        .sum()
    }
}
