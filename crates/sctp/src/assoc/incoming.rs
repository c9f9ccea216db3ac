//! A packet comes in: checksum, ports, verification tag (RFC 9260 sections 6.10, 8.4, 8.5), then chunk by chunk.

use std::time::Instant;

use bytes::{Buf, Bytes};
use taut_sansio::codec::Reader;

use crate::assoc::heartbeat::Heartbeat;
use crate::association::{Association, Phase};
use crate::packet::cause::code;
use crate::packet::data::{DataHeader, Format};
use crate::packet::forward_tsn::ForwardTsnView;
use crate::packet::sack::SackView;
use crate::packet::tlv::Tlv;
use crate::packet::{Checksum, FLAG_T, Header, Unknown, Walker, kind, put_tlv};
use crate::rx::{Accepted, Rtt};
use crate::steps;
use crate::tx::SackResult;
use crate::types::CloseReason;

/// The most octets of a packet beside a payload that are kept alive by the payload: the headers, and a SACK.
const PINNED_MAX: usize = 64;

/// Whether the rest of a packet is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoOn,
    Stop,
}

/// What a chunk of user data is.
enum Data<'a> {
    Taken(DataHeader, &'a [u8]),
    Dropped,
    /// The association is over.
    Over,
}

impl Association {
    /// Takes a packet as it came out of DTLS.
    pub fn handle_packet(&mut self, now: Instant, packet: Bytes) {
        let now = self.tick(now);
        let accept = if self.config.zero_checksum { Checksum::Zero } else { Checksum::Crc32c };
        let (header, chunks) = match Header::parse(&packet, accept) {
            Ok(parsed) => parsed,
            Err(error) => {
                tracing::trace!(%error, "packet dropped");
                self.stats.malformed_packets += 1;
                return;
            }
        };
        if header.destination != self.config.local_port || header.source != self.config.remote_port {
            self.stats.malformed_packets += 1;
            return;
        }
        if let Some((header, start)) = self.on_chunks(now, header.tag, chunks, &packet) {
            // The packet itself becomes the payload: there is no count to raise and nothing to allocate.
            let mut payload = packet;
            payload.advance(start);
            self.on_payload(&header, payload);
        }
        if self.rx.on_packet_end(now, self.tx.rtt()) == Rtt::Wanted && self.heartbeat == Heartbeat::Answered {
            self.pending.heartbeat = true;
        }
        if self.rx.is_overrun() {
            self.fail(code::PROTOCOL_VIOLATION, CloseReason::ProtocolViolation);
        } else if self.rx.is_jammed() {
            self.fail(code::OUT_OF_RESOURCE, CloseReason::ProtocolViolation);
        }
        self.settle(now);
    }

    /// Chunk by chunk. User data that ends the packet is left to the caller: its header, and where it starts.
    fn on_chunks(
        &mut self,
        now: Instant,
        tag: u32,
        chunks: &[u8],
        packet: &Bytes,
    ) -> Option<(DataHeader, usize)> {
        let mut counted = false;
        let mut walker = Walker::new(chunks);
        while let Some(item) = walker.next() {
            steps::count(1);
            let item = match item {
                Ok(item) => item,
                Err(error) => {
                    tracing::trace!(%error, "chunk dropped");
                    self.stats.malformed_packets += 1;
                    return None;
                }
            };
            if !self.is_tag_good(&item, tag, chunks) {
                self.stats.bad_tags += 1;
                let kinds = Walker::new(chunks).flatten().map(|item| item.kind());
                self.on_out_of_the_blue(tag, kinds);
                return None;
            }
            if !std::mem::replace(&mut counted, true) {
                self.stats.packets_received += 1;
                self.stats.bytes_received += packet.len() as u64;
            }
            let format = match item.kind() {
                kind::DATA => Format::Data,
                kind::I_DATA => Format::Interleaved,
                _ if self.on_chunk(now, tag, &item, packet) == Flow::Stop => return None,
                _ => continue,
            };
            match self.on_data(format, &item) {
                Data::Dropped => {}
                Data::Over => return None,
                Data::Taken(header, payload) => {
                    let beside = packet.len() - payload.len();
                    if walker.is_empty() && payload.len() % 4 == 0 && beside <= PINNED_MAX {
                        return Some((header, beside));
                    }
                    // A slice must not pin a packet that is much larger for as long as it waits.
                    let payload = if beside > PINNED_MAX {
                        Bytes::copy_from_slice(payload)
                    } else {
                        packet.slice_ref(payload)
                    };
                    self.on_payload(&header, payload);
                }
            }
        }
        None
    }

    /// RFC 9260 section 8.5.1.
    fn is_tag_good(&self, item: &Tlv<'_>, tag: u32, chunks: &[u8]) -> bool {
        let ours = tag == self.local_tag && !matches!(self.phase, Phase::Closed | Phase::Idle);
        match item.kind() {
            // Alone in its packet, with the tag zero (rule A).
            kind::INIT => tag == 0 && item.whole.len() + 3 >= chunks.len(),
            // Our tag, or theirs reflected (rules B and C).
            kind::ABORT | kind::SHUTDOWN_COMPLETE => {
                if item.flags() & FLAG_T == 0 {
                    ours
                } else {
                    self.has_peer() && tag == self.remote.tag
                }
            }
            // The tag is in the cookie (rule D). A SHUTDOWN ACK is looked at in its handler (rule E).
            kind::COOKIE_ECHO | kind::SHUTDOWN_ACK => tag != 0,
            _ => ours,
        }
    }

    fn on_chunk(&mut self, now: Instant, tag: u32, item: &Tlv<'_>, packet: &Bytes) -> Flow {
        match item.kind() {
            kind::SACK => self.on_sack(now, item.value),
            kind::INIT => {
                self.on_init(now, item.value);
                return Flow::Stop;
            }
            kind::INIT_ACK => {
                self.on_init_ack(item.value);
                return Flow::Stop;
            }
            kind::COOKIE_ECHO => {
                if !self.on_cookie_echo(now, tag, item.value) {
                    return Flow::Stop;
                }
            }
            kind::COOKIE_ACK => self.on_cookie_ack(),
            kind::HEARTBEAT => self.on_heartbeat(packet.slice_ref(item.value)),
            kind::HEARTBEAT_ACK => self.on_heartbeat_ack(now, item.value),
            kind::ABORT => {
                self.on_abort(item.flags(), item.value);
                return Flow::Stop;
            }
            kind::SHUTDOWN => self.on_shutdown(now, item.value),
            kind::SHUTDOWN_ACK => {
                self.on_shutdown_ack(tag);
                return Flow::Stop;
            }
            kind::SHUTDOWN_COMPLETE => {
                self.on_shutdown_complete();
                return Flow::Stop;
            }
            kind::ERROR => self.on_error(item.value),
            // It only fills the packet (RFC 4820 section 4).
            kind::PAD => {}
            kind::RE_CONFIG if self.can_receive() => self.on_reconfig(item.value),
            kind::FORWARD_TSN if self.can_receive() => self.on_forward_tsn(Format::Data, item.value),
            kind::I_FORWARD_TSN if self.can_receive() => self.on_forward_tsn(Format::Interleaved, item.value),
            kind::RE_CONFIG | kind::FORWARD_TSN | kind::I_FORWARD_TSN => self.stats.unexpected_chunks += 1,
            _ => return self.on_unknown(item),
        }
        if matches!(self.phase, Phase::Closed) { Flow::Stop } else { Flow::GoOn }
    }

    fn on_data<'a>(&mut self, format: Format, item: &Tlv<'a>) -> Data<'a> {
        if !self.can_receive() {
            self.stats.unexpected_chunks += 1;
            return Data::Dropped;
        }
        if format != self.agreed.format() {
            // RFC 8260 section 2.2.3: the other kind of chunk than was agreed on ends the association.
            self.stats.unexpected_chunks += 1;
            self.fail(code::PROTOCOL_VIOLATION, CloseReason::ProtocolViolation);
            return Data::Over;
        }
        let mut reader = Reader::new(item.value);
        let Ok(header) = DataHeader::parse(format, item.flags(), &mut reader) else {
            self.stats.malformed_chunks += 1;
            return Data::Dropped;
        };
        let payload = reader.rest();
        if payload.is_empty() {
            // RFC 9260 section 6.2: a DATA chunk without data ends the association.
            self.stats.malformed_chunks += 1;
            self.fail(code::NO_USER_DATA, CloseReason::ProtocolViolation);
            return Data::Over;
        }
        Data::Taken(header, payload)
    }

    fn on_payload(&mut self, header: &DataHeader, payload: Bytes) {
        if header.stream >= self.streams.incoming {
            // RFC 9260 section 6.5: acknowledged, reported and dropped.
            self.stats.unknown_streams += 1;
            let [a, b] = header.stream.to_be_bytes();
            self.push_error(code::INVALID_STREAM, &[a, b, 0, 0]);
            return self.rx.acknowledge_only(header.tsn);
        }
        match self.rx.on_data(header, payload, &mut self.stats) {
            Accepted::New => self.stats.data_received += 1,
            Accepted::Duplicate | Accepted::Dropped => {}
        }
        if matches!(self.phase, Phase::ShutdownSent) {
            // RFC 9260 section 9.2: answered with SACK and SHUTDOWN at once. The other side lives.
            self.rx.ack_now();
            self.pending.shutdown = true;
            self.shutdown_attempts = 0;
        }
    }

    fn on_sack(&mut self, now: Instant, value: &[u8]) {
        if !self.is_open() {
            self.stats.unexpected_chunks += 1;
            return;
        }
        let Ok(view) = SackView::parse(value) else {
            self.stats.malformed_chunks += 1;
            return;
        };
        self.take_sack(now, &view);
    }

    /// `false` if it acknowledges what was never sent.
    pub(crate) fn take_sack(&mut self, now: Instant, view: &SackView<'_>) -> bool {
        match self.tx.on_sack(now, view, &mut self.stats) {
            SackResult::Taken => true,
            SackResult::Stale => {
                tracing::trace!("stale SACK");
                true
            }
            SackResult::Invalid => {
                self.stats.bad_sacks += 1;
                false
            }
        }
    }

    fn on_forward_tsn(&mut self, format: Format, value: &[u8]) {
        if format != self.agreed.format() {
            // RFC 8260 section 2.3.1, as for DATA.
            self.stats.unexpected_chunks += 1;
            return self.fail(code::PROTOCOL_VIOLATION, CloseReason::ProtocolViolation);
        }
        let Ok(view) = ForwardTsnView::parse(format, value) else {
            self.stats.malformed_chunks += 1;
            return;
        };
        if !self.agreed.forwards() {
            self.stats.unexpected_chunks += 1;
            return;
        }
        if !self.rx.on_forward_tsn(&view) {
            tracing::trace!("old FORWARD TSN");
        }
    }

    fn on_unknown(&mut self, item: &Tlv<'_>) -> Flow {
        self.stats.unknown_chunks += 1;
        let unknown = Unknown::chunk(item.kind());
        if unknown.report {
            let mut information = Vec::new();
            put_tlv(&mut information, item.head, |out| out.extend(item.value.iter().take(128)));
            self.push_error(code::UNRECOGNIZED_CHUNK, &information);
        }
        if unknown.skip { Flow::GoOn } else { Flow::Stop }
    }
}
