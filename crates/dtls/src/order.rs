//! The unprotected messages behind the first one, in DTLS 1.2: put together, and given out in their order (RFC 6347
//! section 4.2.2), each where RFC 5246 section 7.3 has it.

use std::collections::BTreeMap;

use crate::assembly::Assembly;
use crate::filter::Side;
use crate::record::{Fragment, handshake, write_message};

/// How far ahead of the next message another one may be; no flight has more messages.
const WINDOW: u16 = 8;
/// Octets of messages that wait for the ones before them.
const MAX_WAITING: usize = 8 * 1024;

/// The messages of the other side.
#[derive(Debug)]
pub(crate) struct Order {
    side: Side,
    next: u16,
    last: u8,
    messages: BTreeMap<u16, Assembly>,
}

/// Why a fragment was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is of no message that may come.
    Unexpected,
    /// Too much waits already.
    Full,
}

impl Order {
    /// For this side, whose first message from the other one is still to come.
    pub(crate) fn new(side: Side) -> Self {
        let last = match side {
            Side::Client => handshake::SERVER_HELLO,
            Side::Server => handshake::CLIENT_HELLO,
        };
        Self { side, next: 1, last, messages: BTreeMap::new() }
    }

    /// The number of the message behind the first one.
    pub(crate) fn begin(&mut self, next: u16) {
        self.next = next;
        self.messages.retain(|&message_seq, _| message_seq >= next);
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
    }

    /// True for a fragment of a message that was given out.
    pub(crate) fn is_repeated(&self, fragment: &Fragment<'_>) -> bool {
        fragment.message_seq < self.next
    }

    /// Takes a fragment in. The one that is next always has a place.
    pub(crate) fn insert(&mut self, fragment: &Fragment<'_>) -> Result<(), Refused> {
        let ahead = fragment.message_seq.checked_sub(self.next).ok_or(Refused::Unexpected)?;
        if ahead > WINDOW || (ahead == 0 && !self.follows(fragment.kind)) {
            return Err(Refused::Unexpected);
        }
        // Lossless: a usize has 32 bits or more.
        let length = fragment.length as usize;
        let others =
            self.messages.iter().filter(|(seq, _)| **seq != self.next && **seq != fragment.message_seq);
        let waiting: usize = others.map(|(_, assembly)| assembly.len()).sum();
        if ahead > 0 && waiting.saturating_add(length) > MAX_WAITING {
            return Err(Refused::Full);
        }
        self.messages.entry(fragment.message_seq).or_default().insert(fragment);
        Ok(())
    }

    /// Appends a record with the next message, if it is whole; `false` when it is not.
    pub(crate) fn write_next(&mut self, out: &mut Vec<u8>) -> bool {
        let Some((kind, body)) = self.messages.get_mut(&self.next).and_then(Assembly::take) else {
            return false;
        };
        self.messages.remove(&self.next);
        if !self.follows(kind) {
            // It waited, and another one belongs here. That one will be sent again.
            return false;
        }
        write_message(kind, self.next, &body, out);
        self.next = self.next.saturating_add(1);
        self.last = kind;
        true
    }

    /// True once every message before ChangeCipherSpec was given out.
    pub(crate) fn is_done(&self) -> bool {
        match self.side {
            Side::Client => matches!(self.last, handshake::SERVER_HELLO_DONE | handshake::NEW_SESSION_TICKET),
            Side::Server => self.last == handshake::CERTIFICATE_VERIFY,
        }
    }

    /// True when a message of this kind may follow the last one. Both sides show a certificate here.
    fn follows(&self, kind: u8) -> bool {
        use handshake::{
            CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_STATUS, CERTIFICATE_VERIFY, CLIENT_HELLO,
            CLIENT_KEY_EXCHANGE, NEW_SESSION_TICKET, SERVER_HELLO, SERVER_HELLO_DONE, SERVER_KEY_EXCHANGE,
        };
        matches!(
            (self.last, kind),
            (SERVER_HELLO | CLIENT_HELLO, CERTIFICATE)
                | (CERTIFICATE, CERTIFICATE_STATUS | SERVER_KEY_EXCHANGE | CLIENT_KEY_EXCHANGE)
                | (CERTIFICATE_STATUS, SERVER_KEY_EXCHANGE)
                | (SERVER_KEY_EXCHANGE, CERTIFICATE_REQUEST | SERVER_HELLO_DONE)
                | (CERTIFICATE_REQUEST, SERVER_HELLO_DONE)
                | (SERVER_HELLO_DONE, NEW_SESSION_TICKET)
                | (CLIENT_KEY_EXCHANGE, CERTIFICATE_VERIFY)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(kind: u8, message_seq: u16, body: &[u8]) -> Fragment<'_> {
        Fragment { kind, length: body.len() as u32, message_seq, offset: 0, body }
    }

    fn drain(order: &mut Order) -> usize {
        let mut out = Vec::new();
        (0..).take_while(|_| order.write_next(&mut out)).count()
    }

    #[test]
    fn a_flight_comes_out_in_order() {
        let mut order = Order::new(Side::Client);
        for (kind, seq) in [(14, 4), (13, 3), (12, 2)] {
            order.insert(&whole(kind, seq, b"abc")).unwrap();
            assert_eq!(drain(&mut order), 0);
        }
        assert!(!order.is_done());
        order.insert(&whole(11, 1, b"certificate")).unwrap();
        assert_eq!(drain(&mut order), 4);
        assert!(order.is_done());
        assert!(order.is_repeated(&whole(11, 1, b"")));
    }

    #[test]
    fn a_message_in_the_wrong_place_is_not_given_out_and_blocks_nothing() {
        let mut order = Order::new(Side::Server);
        assert_eq!(order.insert(&whole(15, 1, b"forged")), Err(Refused::Unexpected));
        order.insert(&whole(15, 2, b"forged")).unwrap();
        order.insert(&whole(11, 1, b"certificate")).unwrap();
        assert_eq!(drain(&mut order), 1);
        order.insert(&whole(16, 2, b"key")).unwrap();
        order.insert(&whole(15, 3, b"verify")).unwrap();
        assert_eq!(drain(&mut order), 2);
        assert!(order.is_done());
    }

    #[test]
    fn what_waits_is_bounded_and_the_next_one_always_has_a_place() {
        let mut order = Order::new(Side::Server);
        let long = vec![0; 8000];
        order.insert(&whole(16, 2, &long)).unwrap();
        assert_eq!(order.insert(&whole(15, 3, &long)), Err(Refused::Full));
        assert_eq!(order.insert(&whole(15, 10, b"")), Err(Refused::Unexpected));
        order.insert(&whole(11, 1, &[0; 16_000])).unwrap();
        assert_eq!(drain(&mut order), 2);
    }

    #[test]
    fn a_hello_verify_request_moves_the_beginning() {
        let mut order = Order::new(Side::Client);
        order.insert(&whole(11, 1, b"forged")).unwrap();
        order.insert(&whole(11, 2, b"certificate")).unwrap();
        order.begin(2);
        assert_eq!(drain(&mut order), 1);
    }
}
