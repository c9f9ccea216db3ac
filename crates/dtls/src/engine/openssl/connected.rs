//! What is left of an association when its handshake is done: its keys.

use std::collections::VecDeque;
use std::ops::Range;

use super::Said;
use super::protection::{Protection, Unusable};
use crate::engine::{Failure, Output};
use crate::peer::HandshakeFailure;
use crate::record::{MAX_RECORD_PLAINTEXT, content, handshake};

/// Alerts (RFC 5246 section 7.2): a level and a description.
const CLOSE_NOTIFY: [u8; 2] = [1, 0];
const FATAL: u8 = 2;

/// ChangeCipherSpec (RFC 5246 section 7.1) in its record; the number is put in on the way out.
const CHANGE_CIPHER_SPEC: [u8; 14] =
    [content::CHANGE_CIPHER_SPEC, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];

/// A connected association.
#[derive(Debug)]
pub(super) struct Connected {
    protection: Protection,
    /// The Finished of this side, where the other one may miss it: if this is the server.
    finished: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// This side has said that it closes.
    Closed,
}

impl Connected {
    pub(super) fn new(protection: Protection, finished: Vec<u8>) -> Self {
        Self { protection, finished, state: State::Open }
    }

    /// Opens a record where it lies, and says where its application data is. Whatever else is in it is done.
    #[inline]
    pub(super) fn open(
        &mut self,
        record: &mut [u8],
        said: &mut VecDeque<Said>,
    ) -> Result<Option<Range<usize>>, Failure> {
        let Some(opened) = self.protection.open(record) else { return Ok(None) };
        if opened.content_type == content::APPLICATION_DATA {
            // More is not allowed (RFC 6347 section 4.1), and nothing is no data.
            let allowed = 1..=MAX_RECORD_PLAINTEXT;
            return Ok(Some(opened.plaintext).filter(|plaintext| allowed.contains(&plaintext.len())));
        }
        let plaintext = record.get(opened.plaintext).unwrap_or_default();
        match (opened.content_type, plaintext) {
            (content::ALERT, [_, 0]) => said.push_back(Said::Other(Output::CloseNotify)),
            (content::ALERT, &[FATAL, alert]) => {
                return Err(Failure::Protocol(HandshakeFailure::Alert(alert)));
            }
            // RFC 6347 section 4.2.4: the client has not got the last flight. It goes twice, because the client asks rarely.
            (content::HANDSHAKE, [handshake::FINISHED, ..]) if !self.finished.is_empty() => {
                let mut flight = CHANGE_CIPHER_SPEC.to_vec();
                let Self { protection, finished, .. } = self;
                append(protection, content::HANDSHAKE, finished, &mut flight)?;
                said.extend([flight.clone(), flight].map(Said::Packet));
            }
            // A HelloRequest: nobody renegotiates (RFC 8827 section 6.5).
            _ => {}
        }
        Ok(None)
    }

    /// The octets in front of the plaintext of a record.
    #[inline]
    pub(super) fn headroom(&self) -> usize {
        self.protection.headroom()
    }

    #[inline]
    pub(super) fn seal(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), Failure> {
        self.protection.seal(content::APPLICATION_DATA, out, start).map_err(unusable)
    }

    pub(super) fn close(&mut self, said: &mut VecDeque<Said>) -> Result<(), Failure> {
        if self.state == State::Open {
            self.state = State::Closed;
            let mut alert = Vec::new();
            append(&mut self.protection, content::ALERT, &CLOSE_NOTIFY, &mut alert)?;
            said.push_back(Said::Packet(alert));
        }
        Ok(())
    }
}

/// Appends a record of this side's own.
fn append(
    protection: &mut Protection,
    content_type: u8,
    plaintext: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let start = out.len();
    out.resize(start.saturating_add(protection.headroom()), 0);
    out.extend_from_slice(plaintext);
    protection.seal(content_type, out, start).map_err(unusable)
}

pub(super) fn unusable(_: Unusable) -> Failure {
    Failure::Protocol(HandshakeFailure::Crypto)
}

#[cfg(test)]
mod tests {
    use super::super::protection::tests::pair;
    use super::*;

    /// A connected end, and the keys of the other one.
    fn connected(finished: &[u8]) -> (Connected, Protection) {
        let [client, server] = pair(0xc02b);
        (Connected::new(server, finished.to_vec()), client)
    }

    fn sealed(by: &mut Protection, content_type: u8, plaintext: &[u8]) -> Vec<u8> {
        let mut record = Vec::new();
        append(by, content_type, plaintext, &mut record).unwrap();
        record
    }

    #[test]
    fn alerts_close_end_or_pass() {
        let mut said = VecDeque::new();
        let (mut end, mut other) = connected(&[]);
        for warning in [[1, 90], [1, 100]] {
            let mut record = sealed(&mut other, content::ALERT, &warning);
            assert_eq!(end.open(&mut record, &mut said), Ok(None));
        }
        assert!(said.is_empty());
        let mut record = sealed(&mut other, content::ALERT, &[1, 0]);
        assert_eq!(end.open(&mut record, &mut said), Ok(None));
        assert!(matches!(said.pop_front(), Some(Said::Other(Output::CloseNotify))));
        let mut record = sealed(&mut other, content::ALERT, &[2, 40]);
        let ended = Failure::Protocol(HandshakeFailure::Alert(40));
        assert_eq!(end.open(&mut record, &mut said), Err(ended));
    }

    #[test]
    fn a_finished_that_comes_again_is_answered_with_the_last_flight() {
        let finished = [&[handshake::FINISHED, 0, 0, 12][..], &[5; 20]].concat();
        let mut said = VecDeque::new();
        let (mut server, mut client) = connected(&finished);
        for _ in 0..3 {
            let mut record = sealed(&mut client, content::HANDSHAKE, &finished);
            assert_eq!(server.open(&mut record.clone(), &mut said), Ok(None));
            let Some(Said::Packet(flight)) = said.pop_front() else { panic!("{said:?}") };
            assert!(matches!(said.pop_front(), Some(Said::Packet(again)) if again == flight));
            let (change, last) = flight.split_at(CHANGE_CIPHER_SPEC.len());
            assert_eq!(change, CHANGE_CIPHER_SPEC);
            let mut last = last.to_vec();
            let opened = client.open(&mut last).unwrap();
            assert_eq!((opened.content_type, &last[opened.plaintext]), (content::HANDSHAKE, &finished[..]));
            // Only one that is new.
            assert_eq!(server.open(&mut record, &mut said), Ok(None));
            assert!(said.is_empty());
        }
        // A client has nothing to repeat, and a HelloRequest is no reason to.
        let (mut end, mut other) = connected(&[]);
        for message in [&finished[..], &[handshake::HELLO_REQUEST, 0, 0, 0]] {
            let mut record = sealed(&mut other, content::HANDSHAKE, message);
            assert_eq!(end.open(&mut record, &mut said), Ok(None));
        }
        let mut record = sealed(&mut client, content::HANDSHAKE, &[handshake::HELLO_REQUEST, 0, 0, 0]);
        assert_eq!(server.open(&mut record, &mut said), Ok(None));
        assert!(said.is_empty());
    }

    #[test]
    fn a_record_holds_no_more_than_the_protocol_says() {
        let mut said = VecDeque::new();
        let (mut end, mut other) = connected(&[]);
        for (length, taken) in [(MAX_RECORD_PLAINTEXT, true), (MAX_RECORD_PLAINTEXT + 1, false)] {
            let mut record = sealed(&mut other, content::APPLICATION_DATA, &vec![7; length]);
            let place = end.open(&mut record, &mut said).unwrap();
            assert_eq!(place.map(|place| place.len()), taken.then_some(length));
        }
    }

    #[test]
    fn empty_data_is_none_and_a_goodbye_is_said_once() {
        let mut said = VecDeque::new();
        let (mut end, mut other) = connected(&[]);
        let mut record = sealed(&mut other, content::APPLICATION_DATA, &[]);
        assert_eq!(end.open(&mut record, &mut said), Ok(None));
        let mut record = sealed(&mut other, content::APPLICATION_DATA, b"data");
        let place = end.open(&mut record, &mut said).unwrap().unwrap();
        assert_eq!(&record[place], b"data");
        end.close(&mut said).unwrap();
        end.close(&mut said).unwrap();
        let Some(Said::Packet(mut alert)) = said.pop_front() else { panic!("{said:?}") };
        let opened = other.open(&mut alert).unwrap();
        assert_eq!((opened.content_type, &alert[opened.plaintext]), (content::ALERT, &[1, 0][..]));
        assert!(said.is_empty());
    }
}
