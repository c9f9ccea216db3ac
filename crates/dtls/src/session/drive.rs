//! Between the filter and the engine: datagrams go in, and what the engine says is done.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Buf as _, Bytes, BytesMut};
use taut_sansio::codec::Reader;

use super::{SCRATCH, Session, State};
use crate::engine::{Engine, Output};
use crate::record::Record;

/// Records opened and not yet polled.
const MAX_PLAINTEXT: usize = 1024;

impl Session {
    pub(super) fn receive(&mut self, now: Instant, mut packet: BytesMut) {
        #[cfg(test)]
        if self.unfiltered {
            self.deliver(now, &packet.clone());
            return self.drain(now, &mut packet);
        }
        if self.state == State::Connected {
            return self.receive_connected(now, packet);
        }
        let mut waiting = VecDeque::from([packet.split()]);
        while let Some(datagram) = waiting.pop_front() {
            if self.state == State::Connected {
                self.receive_connected(now, datagram);
                continue;
            }
            if self.state != State::Connecting {
                return;
            }
            let hello = self.filter.receive(&datagram);
            self.deliver_passed(now);
            if let Some(hello) = hello
                && self.on_hello(now, hello)
            {
                self.filter.release();
                self.deliver_passed(now);
                let held = self.filter.take_held();
                waiting.extend(held.iter().map(|held| BytesMut::from(held.as_slice())));
            }
        }
    }

    /// The hot path: each record that is admitted is opened where it lies.
    pub(super) fn receive_connected(&mut self, now: Instant, mut packet: BytesMut) {
        while !packet.is_empty() && self.state == State::Connected {
            let Ok(record) = Record::parse(&mut Reader::new(&packet)) else {
                return self.filter.malformed();
            };
            let admitted = self.filter.admits(&record);
            let record = packet.split_to(record.bytes.len());
            if admitted {
                let before = self.opened();
                self.open(now, record);
                let without_data = self.opened() == before && self.state == State::Connected;
                self.filter.stats.without_data += u64::from(without_data);
            }
        }
    }

    /// Application data stays where it is in the datagram; what an engine has taken out of it comes back there.
    fn open(&mut self, now: Instant, mut record: BytesMut) {
        let Some(engine) = self.engine.as_mut() else { return };
        match engine.open(now, &mut record) {
            Ok(Some(plaintext)) => {
                record.truncate(plaintext.end);
                record.advance(plaintext.start);
                self.on_plaintext(record.freeze());
            }
            Ok(None) => self.drain(now, &mut record),
            Err(failure) => self.on_failure(now, failure),
        }
    }

    /// Records with application data that came so far.
    fn opened(&self) -> u64 {
        self.filter.stats.records_opened.saturating_add(self.filter.stats.plaintext_overflow)
    }

    /// Gives what the filter let through to the engine, record by record.
    pub(super) fn deliver_passed(&mut self, now: Instant) {
        let passed = self.filter.passed().to_vec();
        let mut reader = Reader::new(&passed);
        let restarts = self.filter.stats.restarts;
        while self.engine.is_some()
            && self.filter.stats.restarts == restarts
            && let Ok(record) = Record::parse(&mut reader)
        {
            self.deliver(now, record.bytes);
        }
    }

    /// Gives a datagram of the handshake to the engine, and does what it then says.
    pub(super) fn deliver(&mut self, now: Instant, datagram: &[u8]) {
        let Some(engine) = self.engine.as_mut() else { return };
        match engine.handle_packet(now, datagram) {
            Ok(()) => self.drain(now, &mut BytesMut::new()),
            Err(failure) => self.on_failure(now, failure),
        }
    }

    /// Does all that the engine says. Plaintext goes into `spare`, the buffer of the datagram that brought it, as long
    /// as there is room; everything else goes through the scratch buffer.
    pub(super) fn drain(&mut self, now: Instant, spare: &mut BytesMut) {
        let mut scratch = std::mem::take(&mut self.scratch);
        if scratch.len() < SCRATCH {
            scratch.resize(SCRATCH, 0);
        }
        while let Some(engine) = self.engine.as_mut() {
            let in_spare = self.state == State::Connected && !spare.is_empty();
            let output = engine.poll(if in_spare { &mut spare[..] } else { &mut scratch[..] });
            match output {
                Output::TooSmall(needed) if in_spare => {
                    // Not for this buffer: the scratch buffer takes it.
                    spare.clear();
                    if needed > scratch.len() {
                        scratch.resize(needed, 0);
                    }
                }
                Output::TooSmall(needed) => scratch.resize(needed, 0),
                Output::Plaintext(length) if in_spare => {
                    let plaintext = spare.split_to(length.min(spare.len())).freeze();
                    self.on_plaintext(plaintext);
                }
                Output::Plaintext(length) => {
                    let plaintext = scratch.get(..length).map(Bytes::copy_from_slice);
                    self.on_plaintext(plaintext.unwrap_or_default());
                }
                Output::Packet(length) => {
                    let buffer = if in_spare { &spare[..] } else { &scratch[..] };
                    let packet = buffer.get(..length).unwrap_or_default().to_vec();
                    self.on_packet(now, packet);
                }
                Output::Idle(timeout) => {
                    // An engine that waits for nothing has had its answer.
                    if timeout.is_none() {
                        self.outgoing.forget_flight();
                    }
                    // While something of a flight is missing, dimpl 0.9 in DTLS 1.3 wants to send an ACK at once, and again
                    // at once when it has: a loop without this pause.
                    let earliest = now.checked_add(self.handshake.first_timeout / 2);
                    self.engine_timeout = timeout.max(timeout.and(earliest));
                    break;
                }
                other => self.on_output(now, other, &scratch),
            }
        }
        self.scratch = scratch;
        if self.handshake.done {
            self.handshake.done = false;
            self.on_done(now);
        }
    }

    pub(super) fn on_output(&mut self, now: Instant, output: Output, scratch: &[u8]) {
        match output {
            Output::Certificate(length) => {
                self.handshake.certificate = scratch.get(..length).map(Bytes::copy_from_slice);
            }
            Output::Connected => self.handshake.done = true,
            Output::Keys(profile, material) => self.handshake.keys = Some((profile, material)),
            Output::KeyLog(line) => self.handshake.key_log = Some(line),
            Output::CloseNotify => {
                if self.handshake.done {
                    self.handshake.done = false;
                    self.on_done(now);
                }
                self.on_close_notify(now);
            }
            Output::Packet(_) | Output::Plaintext(_) | Output::TooSmall(_) | Output::Idle(_) => {}
        }
    }

    pub(super) fn on_packet(&mut self, now: Instant, packet: Vec<u8>) {
        self.filter.observe(&packet);
        if !self.outgoing.push(now, packet) {
            self.filter.stats.transmit_overflow += 1;
        }
    }

    pub(super) fn on_plaintext(&mut self, plaintext: Bytes) {
        self.filter.confirm();
        if self.plaintext.len() >= MAX_PLAINTEXT {
            self.filter.stats.plaintext_overflow += 1;
            return;
        }
        self.filter.stats.records_opened += 1;
        self.plaintext.push_back(plaintext);
    }
}

/// What an engine has to send; whatever else it says is dropped.
pub(super) fn packets(engine: &mut Engine) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; SCRATCH];
    let mut packets = Vec::new();
    loop {
        match engine.poll(&mut buffer) {
            Output::Packet(length) => packets.extend(buffer.get(..length).map(<[u8]>::to_vec)),
            Output::TooSmall(needed) => buffer.resize(needed, 0),
            Output::Idle(_) => return packets,
            _ => {}
        }
    }
}
