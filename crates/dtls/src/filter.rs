//! The record filter in front of every engine.
//!
//! Engines trust that what reaches them belongs there; a forged datagram can end them, make them buffer without
//! bound, or spend their retransmissions. The filter reads the outside of every record and lets through only what
//! the state of the handshake calls for. It puts unprotected messages together and in order itself, and holds what
//! overtook them.

use taut_sansio::codec::Reader;

use crate::assembly::Assembly;
use crate::config::Version;
use crate::hello::{self, ClientHello, ServerHello};
use crate::order::{Order, Refused};
use crate::record::{Fragment, Header, PLAIN_HEADER, Record, content, handshake, write_message};
use crate::stats::Stats;

/// Octets held before the first message of the other side is there, and before `start`.
pub(crate) const MAX_HELD: usize = 8 * 1024;
/// Records held before the first message of the other side is there, and datagrams before `start`.
pub(crate) const MAX_HELD_RECORDS: usize = 64;
/// Records of a future epoch that are held, and their octets.
const MAX_FUTURE: usize = 4;
const MAX_FUTURE_OCTETS: usize = 8 * 1024;
/// The longest handshake message; the certificates of WebRTC are under 2 KiB.
const MAX_MESSAGE: u32 = 16 * 1024;
/// Octets of handshake records that one session takes in.
const MAX_HANDSHAKE_OCTETS: usize = 64 * 1024;
/// Records of one datagram of the handshake.
const MAX_RECORDS: usize = 8;
/// ChangeCipherSpecs of one handshake: one, and its retransmissions.
const MAX_CHANGES: usize = 8;
/// The largest message_seq: the longest handshake has nine messages of one side.
const MAX_MESSAGE_SEQ: u16 = 15;
/// The Finished of DTLS 1.2, without its protection: a header and 12 octets (RFC 5246 section 7.4.9).
const FINISHED: usize = 12 + 12;
/// The shortest protected fragment of DTLS 1.3: an inner content type and a tag.
const SHORTEST_13: usize = 1 + 16;

/// ServerHellos that are remembered, for when the handshake dies.
const MAX_REFUSED: usize = 8;

/// The part that this side plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// How far the handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The other side's ClientHello or ServerHello is missing.
    Hello,
    /// The version is chosen.
    Handshake(Version),
    /// The handshake is done.
    Connected(Version),
}

/// What is to become of a record.
enum Judgement {
    Pass,
    Drop,
    /// It overtook the first message.
    Hold,
    /// It is for after the handshake.
    Later,
    /// It completed a first message; fragments behind it in the same record are given back as a record.
    Hello(Hello, Vec<u8>),
}

/// A whole first message.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) kind: HelloKind,
    pub(crate) message_seq: u16,
    /// One record with the message in one piece, for the engine.
    pub(crate) record: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum HelloKind {
    Client(ClientHello),
    Server(ServerHello),
}

/// The filter of one session.
#[derive(Debug)]
pub(crate) struct Filter {
    side: Side,
    stage: Stage,
    /// A client that would rather be the server of a ClientHello.
    takes_client_hello: bool,
    /// The message_seq of the first message to come.
    hello_seq: u16,
    assembly: Assembly,
    order: Order,
    held: Vec<Vec<u8>>,
    future: Vec<Vec<u8>>,
    handshake_octets: usize,
    changes: usize,
    /// Something of the client's second flight came.
    answered: bool,
    /// The other side has shown that it is done with the handshake.
    confirmed: bool,
    cipher_suite: Option<u16>,
    own_random: Option<[u8; 32]>,
    /// The randoms of the ServerHellos that came; those of a handshake that died are not for the next one.
    refused: Vec<[u8; 32]>,
    passed: Vec<u8>,
    pub(crate) stats: Stats,
}

impl Filter {
    pub(crate) fn new(side: Side) -> Self {
        Self {
            side,
            stage: Stage::Hello,
            takes_client_hello: false,
            hello_seq: 0,
            assembly: Assembly::default(),
            order: Order::new(side),
            held: Vec::new(),
            future: Vec::new(),
            handshake_octets: 0,
            changes: 0,
            answered: false,
            confirmed: false,
            cipher_suite: None,
            own_random: None,
            refused: Vec::new(),
            passed: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Begins anew, for a new engine. The octets that were spent stay spent.
    pub(crate) fn restart(&mut self, side: Side) {
        let (stats, handshake_octets) = (self.stats, self.handshake_octets);
        let refused = std::mem::take(&mut self.refused);
        *self = Self { stats, handshake_octets, refused, ..Self::new(side) };
    }

    /// Lets a client see ClientHellos until a server has answered it.
    pub(crate) fn take_client_hello(&mut self) {
        self.takes_client_hello = true;
    }

    /// The version is chosen: the rest of the handshake may come.
    pub(crate) fn choose(&mut self, version: Version) {
        self.stage = Stage::Handshake(version);
        match version {
            Version::Dtls12 => self.order.begin(self.hello_seq.saturating_add(1)),
            Version::Dtls13 => self.order.clear(),
        }
        self.takes_client_hello = false;
        self.changes = 0;
        self.answered = false;
    }

    /// A HelloVerifyRequest or HelloRetryRequest went by: the next first message has the next number.
    pub(crate) fn expect_another_hello(&mut self) {
        self.hello_seq = 1;
        self.assembly.clear();
    }

    /// A ServerHello with this random is not for the handshakes to come. The first [`MAX_REFUSED`] are remembered.
    pub(crate) fn refuse(&mut self, random: [u8; 32]) {
        if self.refused.len() < MAX_REFUSED && !self.is_refused(&random) {
            self.refused.push(random);
        }
    }

    pub(crate) fn is_refused(&self, random: &[u8; 32]) -> bool {
        self.refused.contains(random)
    }

    /// What a client's engine was told by the ServerHello.
    pub(crate) fn set_cipher_suite(&mut self, suite: u16) {
        self.cipher_suite = Some(suite);
    }

    /// The handshake is done. Nothing of it is held any more.
    pub(crate) fn connect(&mut self, version: Version) {
        self.stage = Stage::Connected(version);
        self.assembly.clear();
        self.order.clear();
        self.held = Vec::new();
        self.passed = Vec::new();
    }

    /// The other side has sent application data, so it needs no flight of the handshake again.
    pub(crate) fn confirm(&mut self) {
        self.confirmed = true;
    }

    pub(crate) fn cipher_suite(&self) -> Option<u16> {
        self.cipher_suite
    }

    pub(crate) fn own_random(&self) -> Option<[u8; 32]> {
        self.own_random
    }

    pub(crate) fn answered(&self) -> bool {
        self.answered
    }

    /// The records that the last [`receive`](Self::receive) or [`release`](Self::release) let through.
    pub(crate) fn passed(&self) -> &[u8] {
        &self.passed
    }

    /// Lets through what overtook the first message, up to the first gap; it is in [`passed`](Self::passed) then.
    pub(crate) fn release(&mut self) {
        self.passed.clear();
        while self.order.write_next(&mut self.passed) {}
    }

    /// The protected records that overtook the first message, in the order in which they came.
    pub(crate) fn take_held(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.held)
    }

    /// What overtook the end of the handshake.
    pub(crate) fn take_future(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.future)
    }

    /// Judges a datagram of the handshake. What passes is in [`passed`](Self::passed), and goes first. After a first
    /// message the rest of the datagram is held.
    pub(crate) fn receive(&mut self, datagram: &[u8]) -> Option<Hello> {
        self.passed.clear();
        let mut reader = Reader::new(datagram);
        let mut records = 0;
        while !reader.is_empty() {
            let Ok(record) = Record::parse(&mut reader) else {
                self.stats.malformed += 1;
                break;
            };
            records += 1;
            if records > MAX_RECORDS {
                self.stats.too_many_records += 1;
                break;
            }
            match self.judge(&record) {
                Judgement::Pass => self.passed.extend_from_slice(record.bytes),
                Judgement::Drop => {}
                Judgement::Hold => self.hold(record.bytes),
                Judgement::Later => self.hold_future(record.bytes),
                Judgement::Hello(hello, behind) => {
                    if !self.refused.is_empty() {
                        // What waits may be of the flight of a ServerHello that is not followed.
                        self.held.clear();
                        self.order.clear();
                    }
                    self.hold(&behind);
                    self.hold(reader.rest());
                    return Some(hello);
                }
            }
        }
        None
    }

    /// Judges one record after the handshake.
    pub(crate) fn admits(&mut self, record: &Record<'_>) -> bool {
        let Stage::Connected(version) = self.stage else { return false };
        match (version, record.header) {
            (Version::Dtls13, Header::Unified { .. }) => self.admits_length(record, SHORTEST_13),
            (Version::Dtls12, Header::Plain { content_type, epoch: 1 }) => {
                let known =
                    matches!(content_type, content::ALERT | content::HANDSHAKE | content::APPLICATION_DATA);
                self.stats.unknown_type += u64::from(!known);
                known && self.admits_length(record, self.protection())
            }
            (_, Header::Plain { content_type, epoch: 0 }) => {
                self.admits_late_plaintext(version, content_type, record)
            }
            _ => {
                self.stats.wrong_epoch += 1;
                false
            }
        }
    }

    /// Counts octets that are no record.
    pub(crate) fn malformed(&mut self) {
        self.stats.malformed += 1;
    }

    /// Reads our own hellos as they go out.
    pub(crate) fn observe(&mut self, datagram: &[u8]) {
        if matches!(self.stage, Stage::Connected(_)) {
            return;
        }
        let mut reader = Reader::new(datagram);
        while let Ok(record) = Record::parse(&mut reader) {
            if record.header != (Header::Plain { content_type: content::HANDSHAKE, epoch: 0 }) {
                continue;
            }
            let Ok(fragment) = Fragment::parse(&mut Reader::new(record.fragment)) else { continue };
            match fragment.kind {
                // Version and random stand at the front, so the first fragment is enough.
                handshake::CLIENT_HELLO if fragment.offset == 0 => {
                    let mut body = Reader::new(fragment.body);
                    self.own_random = body.skip(2).and_then(|()| body.array()).ok();
                }
                handshake::SERVER_HELLO => match ServerHello::parse(fragment.body) {
                    Ok(ServerHello::Chosen { cipher_suite, .. }) => self.cipher_suite = Some(cipher_suite),
                    Ok(ServerHello::Retry) => self.hello_seq = 1,
                    _ => {}
                },
                _ => {}
            }
        }
    }

    fn judge(&mut self, record: &Record<'_>) -> Judgement {
        match (self.stage, record.header) {
            (_, Header::Plain { content_type, epoch: 0 }) => self.judge_plaintext(content_type, record),
            (Stage::Hello, Header::Unified { epoch_bits: 2 }) if self.side == Side::Client => {
                if self.admits_length(record, SHORTEST_13) { Judgement::Hold } else { Judgement::Drop }
            }
            (Stage::Handshake(Version::Dtls13), Header::Unified { epoch_bits: 2 }) => {
                if self.admits_length(record, SHORTEST_13) {
                    self.answered = true;
                    Judgement::Pass
                } else {
                    Judgement::Drop
                }
            }
            (Stage::Hello | Stage::Handshake(Version::Dtls13), Header::Unified { epoch_bits: 3 }) => {
                if self.admits_length(record, SHORTEST_13) { Judgement::Later } else { Judgement::Drop }
            }
            (Stage::Hello | Stage::Handshake(Version::Dtls12), Header::Plain { content_type, epoch: 1 }) => {
                self.judge_protected_12(content_type, record)
            }
            _ => {
                self.stats.wrong_epoch += 1;
                Judgement::Drop
            }
        }
    }

    /// Epoch 1 of DTLS 1.2 before the end of the handshake. Between ChangeCipherSpec and Finished an engine dies of a
    /// record that it cannot open, so nothing but a Finished may reach it there.
    fn judge_protected_12(&mut self, content_type: u8, record: &Record<'_>) -> Judgement {
        let protection = self.protection();
        if !matches!(content_type, content::ALERT | content::HANDSHAKE | content::APPLICATION_DATA) {
            self.stats.unknown_type += 1;
            Judgement::Drop
        } else if !self.admits_length(record, protection) {
            Judgement::Drop
        } else if content_type == content::HANDSHAKE
            && self.changes > 0
            && record.fragment.len() == FINISHED.saturating_add(protection)
        {
            Judgement::Pass
        } else {
            Judgement::Later
        }
    }

    fn judge_plaintext(&mut self, content_type: u8, record: &Record<'_>) -> Judgement {
        match content_type {
            content::HANDSHAKE => self.judge_handshake(record),
            content::ALERT => {
                self.stats.plaintext_alert += 1;
                Judgement::Drop
            }
            content::APPLICATION_DATA => {
                self.stats.plaintext_data += 1;
                Judgement::Drop
            }
            content::CHANGE_CIPHER_SPEC => self.judge_change(record),
            _ => {
                self.stats.unknown_type += 1;
                Judgement::Drop
            }
        }
    }

    fn judge_change(&mut self, record: &Record<'_>) -> Judgement {
        let in_place = self.stage == Stage::Handshake(Version::Dtls12) && self.order.is_done();
        if in_place && self.changes < MAX_CHANGES && record.fragment == [1] {
            self.changes += 1;
            Judgement::Pass
        } else {
            self.stats.unexpected_message += 1;
            Judgement::Drop
        }
    }

    /// A handshake record without protection, in any stage but the last.
    fn judge_handshake(&mut self, record: &Record<'_>) -> Judgement {
        let octets = self.handshake_octets.saturating_add(record.fragment.len());
        if octets > MAX_HANDSHAKE_OCTETS {
            self.stats.over_budget += 1;
            return Judgement::Drop;
        }
        let mut reader = Reader::new(record.fragment);
        let Some(first) = self.check_fragments(&mut reader) else { return Judgement::Drop };
        self.handshake_octets = octets;
        if self.is_hello(first.kind) {
            return self.judge_hello(record, &first, reader.rest());
        }
        match self.stage {
            Stage::Hello if self.side == Side::Client => self.order_fragments(record),
            Stage::Handshake(Version::Dtls12) if self.order.is_repeated(&first) => return Judgement::Pass,
            Stage::Handshake(Version::Dtls12) => {
                self.answered = true;
                self.order_fragments(record);
                while self.order.write_next(&mut self.passed) {}
            }
            Stage::Handshake(Version::Dtls13) => self.stats.stale_handshake += 1,
            Stage::Hello | Stage::Connected(_) => self.stats.unexpected_message += 1,
        }
        Judgement::Drop
    }

    fn order_fragments(&mut self, record: &Record<'_>) {
        let mut reader = Reader::new(record.fragment);
        while let Ok(fragment) = Fragment::parse(&mut reader) {
            match self.order.insert(&fragment) {
                Ok(()) => {}
                Err(Refused::Unexpected) => self.stats.unexpected_message += 1,
                Err(Refused::Full) => self.stats.held_overflow += 1,
            }
        }
    }

    /// Checks all fragments of a record, and gives the first; the reader then stands behind it.
    fn check_fragments<'a>(&mut self, reader: &mut Reader<'a>) -> Option<Fragment<'a>> {
        let mut all = reader.clone();
        loop {
            let Ok(fragment) = Fragment::parse(&mut all) else {
                // Nothing, or a fragment longer than its message, or than its record.
                self.stats.unexpected_message += 1;
                return None;
            };
            if fragment.kind == handshake::HELLO_REQUEST {
                self.stats.hello_request += 1;
                return None;
            }
            if fragment.length > MAX_MESSAGE {
                self.stats.too_long += 1;
                return None;
            }
            if !self.expects(fragment.kind) || fragment.message_seq > MAX_MESSAGE_SEQ {
                self.stats.unexpected_message += 1;
                return None;
            }
            if all.is_empty() {
                break;
            }
        }
        Fragment::parse(reader).ok()
    }

    /// True for a message that the other side may send without protection.
    fn expects(&self, kind: u8) -> bool {
        match self.side {
            Side::Client => {
                matches!(
                    kind,
                    handshake::SERVER_HELLO
                        | handshake::HELLO_VERIFY_REQUEST
                        | handshake::NEW_SESSION_TICKET
                        | handshake::CERTIFICATE
                        | handshake::SERVER_KEY_EXCHANGE
                        | handshake::CERTIFICATE_REQUEST
                        | handshake::SERVER_HELLO_DONE
                        | handshake::CERTIFICATE_STATUS
                ) || (kind == handshake::CLIENT_HELLO && self.takes_client_hello)
            }
            Side::Server => matches!(
                kind,
                handshake::CLIENT_HELLO
                    | handshake::CERTIFICATE
                    | handshake::CERTIFICATE_VERIFY
                    | handshake::CLIENT_KEY_EXCHANGE
            ),
        }
    }

    fn is_hello(&self, kind: u8) -> bool {
        matches!(kind, handshake::CLIENT_HELLO | handshake::SERVER_HELLO | handshake::HELLO_VERIFY_REQUEST)
    }

    fn judge_hello(&mut self, record: &Record<'_>, first: &Fragment<'_>, behind: &[u8]) -> Judgement {
        let is_client_hello = first.kind == handshake::CLIENT_HELLO;
        // A server takes a ClientHello whenever it comes: the session knows whether it is the same one again.
        let in_time = is_client_hello || (self.stage == Stage::Hello && first.message_seq == self.hello_seq);
        if !in_time || first.message_seq > self.hello_seq {
            if let (handshake::SERVER_HELLO, 0) = (first.kind, first.offset)
                && let Ok(random) = Reader::new(first.body.get(2..).unwrap_or_default()).array()
            {
                self.refuse(random);
            }
            self.stats.stale_hello += 1;
            return Judgement::Drop;
        }
        self.assembly.insert(first);
        let Some((_, body)) = self.assembly.take() else { return Judgement::Drop };
        let kind = match first.kind {
            handshake::CLIENT_HELLO => ClientHello::parse(&body).map(HelloKind::Client),
            handshake::SERVER_HELLO => ServerHello::parse(&body).map(HelloKind::Server),
            _ => ServerHello::parse_verify(&body).map(HelloKind::Server),
        };
        let Ok(kind) = kind else {
            self.stats.rejected_hello += 1;
            return Judgement::Drop;
        };
        let mut whole = Vec::with_capacity(body.len().saturating_add(PLAIN_HEADER + 12));
        write_message(first.kind, first.message_seq, &body, &mut whole);
        let behind = if behind.is_empty() { Vec::new() } else { same_header(record, behind) };
        Judgement::Hello(Hello { kind, message_seq: first.message_seq, record: whole }, behind)
    }

    /// After the handshake, a server of DTLS 1.2 may still be asked for its last flight.
    fn admits_late_plaintext(&mut self, version: Version, content_type: u8, record: &Record<'_>) -> bool {
        match content_type {
            content::ALERT => self.stats.plaintext_alert += 1,
            content::APPLICATION_DATA => self.stats.plaintext_data += 1,
            content::HANDSHAKE => {
                let Some(first) = self.check_fragments(&mut Reader::new(record.fragment)) else {
                    return false;
                };
                if first.kind == handshake::CLIENT_HELLO {
                    self.stats.stale_hello += 1;
                    return false;
                }
                let over = self.side == Side::Client || version != Version::Dtls12 || self.confirmed;
                let octets = self.handshake_octets.saturating_add(record.fragment.len());
                if over {
                    self.stats.stale_handshake += 1;
                } else if octets > MAX_HANDSHAKE_OCTETS {
                    self.stats.over_budget += 1;
                } else {
                    self.handshake_octets = octets;
                    return true;
                }
            }
            content::CHANGE_CIPHER_SPEC => self.stats.stale_handshake += 1,
            _ => self.stats.unknown_type += 1,
        }
        false
    }

    fn admits_length(&mut self, record: &Record<'_>, shortest: usize) -> bool {
        let enough = record.fragment.len() >= shortest;
        self.stats.short_record += u64::from(!enough);
        enough
    }

    /// What protection adds in DTLS 1.2; the least that any suite adds while none is chosen.
    fn protection(&self) -> usize {
        self.cipher_suite.map_or(16, hello::protection_overhead)
    }

    fn hold(&mut self, octets: &[u8]) {
        if octets.is_empty() {
            return;
        }
        let held: usize = self.held.iter().map(Vec::len).sum();
        if self.held.len() >= MAX_HELD_RECORDS || held.saturating_add(octets.len()) > MAX_HELD {
            self.stats.held_overflow += 1;
        } else {
            self.held.push(octets.to_vec());
        }
    }

    fn hold_future(&mut self, octets: &[u8]) {
        let held: usize = self.future.iter().map(Vec::len).sum();
        if self.future.len() >= MAX_FUTURE || held.saturating_add(octets.len()) > MAX_FUTURE_OCTETS {
            self.stats.future_overflow += 1;
        } else {
            self.future.push(octets.to_vec());
        }
    }
}

/// A record with the header of another one, around a part of its fragment.
fn same_header(record: &Record<'_>, fragment: &[u8]) -> Vec<u8> {
    let mut out = record.bytes.iter().take(PLAIN_HEADER - 2).copied().collect();
    // A part of a fragment is not longer than 65,535 octets either.
    let _fits = taut_sansio::codec::put_length_u16(&mut out, |out| out.extend_from_slice(fragment));
    out
}
