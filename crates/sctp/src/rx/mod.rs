//! Receiving: which TSNs came ([`gaps`]), what they carry ([`reassembly`] for DATA, [`interleaved`] for I-DATA), what
//! can be read ([`delivery`]), and when to say so.
//!
//! RFC 9260 sections 6.2 (acknowledgement), 6.5 and 6.6 (ordered and unordered delivery), 6.9 (reassembly);
//! RFC 3758 section 3.6 (FORWARD TSN); RFC 8260.

mod delivery;
mod gaps;
mod interleaved;
mod reassembly;
mod stream;
mod window;

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::packet::data::{DataFlags, DataHeader, Format};
use crate::packet::forward_tsn::ForwardTsnView;
use crate::packet::sack::{self, SACK_HEADER, SACK_ITEM};
use crate::packet::{Ssn, Tsn};
use crate::stats::Stats;
use crate::types::StreamId;

use delivery::Delivery;
use gaps::{Arrival, Gaps};
use interleaved::{Crowd, Interleaved};
use reassembly::{Fragment, Reassembly};
pub(crate) use window::Rtt;
use window::Window;

/// What each chunk costs of the window beside its octets: what it takes in memory to keep it in order, measured by
/// `tests/heap.rs`. Bounds the number of chunks to window / 256.
pub(crate) const CHUNK_OVERHEAD: usize = 256;

/// What each stream costs of the window on which something waits, for the same reason.
pub(crate) const STREAM_OVERHEAD: usize = 320;

/// How far over the window the next expected chunk may go when something waits behind it: it frees that.
const GAP_SLACK: usize = 96 << 10;

/// The same for chunks that fill other gaps. It is less, so that where a full window has many gaps there is room left
/// for the first of them, without which nothing can be read.
const LATER_GAP_SLACK: usize = GAP_SLACK / 2;

/// Duplicate TSNs that are remembered for the next SACK.
const DUPLICATES_MAX: usize = 32;

/// Packets in a row of which nothing was taken for want of room, that end the association. A peer that probes a
/// closed window comes to it in a day.
const OVERRUN_MAX: u32 = 10_000;

/// A piece of a message, as [`Association::poll_read`](crate::Association::poll_read) hands it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The stream it came on.
    pub stream: StreamId,
    /// The payload protocol identifier of the message.
    pub ppid: u32,
    /// True for a message that may overtake others.
    pub unordered: bool,
    /// The message starts here.
    pub begin: bool,
    /// The message ends here.
    pub end: bool,
    /// The message was given up by the sender (RFC 3758) after its start was handed up: nothing more of it comes,
    /// and what came must be thrown away. `end` is set and `bytes` is empty.
    pub abandoned: bool,
    /// The octets.
    pub bytes: Bytes,
}

/// When the next SACK is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ack {
    Nothing,
    /// One packet came: wait for a second or for the timer.
    Delayed,
    Now,
}

/// What a DATA chunk did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    New,
    Duplicate,
    /// There was no room: not acknowledged, so it comes again.
    Dropped,
}

/// The receiving half of an association.
#[derive(Debug)]
pub(crate) struct Receiver {
    gaps: Gaps,
    delivery: Delivery,
    format: Format,
    reassembly: Reassembly,
    interleaved: Interleaved,
    window: Window,
    duplicates: Vec<Tsn>,
    ack: Ack,
    /// A packet with DATA is being handled, so that packets are counted and not chunks.
    data_in_packet: bool,
    /// The window that the last SACK told.
    told: usize,
    overruns: u32,
    jammed: bool,
    /// Something in the packet that is being handled was refused.
    refused_in_packet: bool,
    mtu: usize,
}

impl Receiver {
    pub(crate) fn new(window: usize, mtu: usize) -> Self {
        let window = Window::new(window);
        Self {
            gaps: Gaps::new(Tsn::new(0)),
            delivery: Delivery::default(),
            format: Format::Data,
            reassembly: Reassembly::default(),
            interleaved: Interleaved::default(),
            told: window.size(),
            window,
            duplicates: Vec::new(),
            ack: Ack::Nothing,
            data_in_packet: false,
            overruns: 0,
            jammed: false,
            refused_in_packet: false,
            mtu,
        }
    }

    /// Begins to expect `first`. Everything that was there is gone, but how the streams are to be read.
    pub(crate) fn start(&mut self, first: Tsn, format: Format) {
        let delivery = std::mem::take(&mut self.delivery).renewed();
        *self = Self { delivery, format, ..Self::new(self.window.most(), self.mtu) };
        self.gaps = Gaps::new(first);
        self.reassembly.start(self.gaps.cumulative() + 1);
    }

    /// Takes a chunk of user data. `payload` is not empty.
    pub(crate) fn on_data(&mut self, header: &DataHeader, payload: Bytes, stats: &mut Stats) -> Accepted {
        self.data_in_packet = true;
        let arrival = self.gaps.classify(header.tsn);
        let cost = payload.len() + CHUNK_OVERHEAD;
        let held = self.delivery.charged();
        let limit = match arrival {
            Arrival::Duplicate => {
                if self.duplicates.len() < DUPLICATES_MAX {
                    self.duplicates.push(header.tsn);
                }
                self.ack = Ack::Now;
                stats.duplicate_tsns += 1;
                return Accepted::Duplicate;
            }
            Arrival::Next(_) => self.window.size() + GAP_SLACK,
            Arrival::InGap(_) => self.window.size() + LATER_GAP_SLACK,
            Arrival::Beyond(_) => self.window.size(),
            Arrival::TooFar => 0,
        };
        // The next expected chunk is held to the plain window too, unless something waits behind it.
        let limit = if matches!(arrival, Arrival::Next(_)) && !self.gaps.has_gaps() {
            self.window.size()
        } else {
            limit
        };
        if held + cost > limit && !(held == 0 && limit > 0) {
            let stuck = self.format == Format::Interleaved && self.delivery.is_empty();
            self.jammed |= stuck && matches!(arrival, Arrival::Next(_));
            return self.refuse(stats);
        }
        let tsn = match arrival {
            Arrival::Next(tsn) | Arrival::InGap(tsn) | Arrival::Beyond(tsn) => tsn,
            Arrival::Duplicate | Arrival::TooFar => return Accepted::Dropped,
        };
        let had_gaps = self.gaps.has_gaps();
        if !self.gaps.insert(tsn) {
            return self.refuse(stats);
        }
        self.overruns = 0;
        self.refused_in_packet = false;
        self.window.on_received(cost);
        self.take(tsn, header, payload);
        if had_gaps || self.gaps.has_gaps() || header.flags.contains(DataFlags::IMMEDIATE) {
            self.ack = Ack::Now;
        }
        Accepted::New
    }

    /// Takes the TSN of a chunk whose data nobody wants.
    pub(crate) fn acknowledge_only(&mut self, tsn: Tsn) {
        self.data_in_packet = true;
        self.ack = Ack::Now;
        if let Arrival::Next(tsn) | Arrival::InGap(tsn) | Arrival::Beyond(tsn) = self.gaps.classify(tsn)
            && self.gaps.insert(tsn)
        {
            self.reassembly.pass(self.gaps.cumulative(), &mut self.delivery);
        }
    }

    fn take(&mut self, tsn: u64, header: &DataHeader, payload: Bytes) {
        if self.format == Format::Interleaved {
            let crowd =
                if self.delivery.charged() > self.window.most() / 2 { Crowd::Much } else { Crowd::Little };
            return self.interleaved.insert(header, payload, crowd, &mut self.delivery);
        }
        let (stream, ssn, ppid, flags) = (header.stream, header.ssn(), header.ppid, header.flags);
        let fragment = Fragment { stream, ssn, ppid, flags, payload };
        let (cumulative, run) = (self.gaps.cumulative(), self.gaps.run_of(tsn));
        self.reassembly.insert(tsn, fragment, cumulative, run, &mut self.delivery);
    }

    fn refuse(&mut self, stats: &mut Stats) -> Accepted {
        stats.chunks_beyond_window += 1;
        self.ack = Ack::Now;
        self.refused_in_packet = true;
        Accepted::Dropped
    }

    /// The other side ignores the window for good.
    pub(crate) fn is_overrun(&self) -> bool {
        self.overruns > OVERRUN_MAX
    }

    /// The window is full of messages none of which is whole, and the next chunk was refused: nothing can end this.
    /// Or it is full, and there is more to remember of streams.
    pub(crate) fn is_jammed(&self) -> bool {
        self.jammed
    }

    /// The packet is through: the second one with DATA asks for a SACK at once (RFC 9260 section 6.2).
    pub(crate) fn on_packet_end(&mut self, now: Instant, rtt: Option<Duration>) -> Rtt {
        self.overruns += u32::from(std::mem::take(&mut self.refused_in_packet));
        if std::mem::take(&mut self.data_in_packet) {
            self.ack = match self.ack {
                Ack::Nothing => Ack::Delayed,
                Ack::Delayed | Ack::Now => Ack::Now,
            };
        }
        if !self.delivery.is_readable() && self.delivery.charged() > self.window.size() / 2 {
            self.window.on_unreadable();
        }
        self.window.on_packet_end(now, rtt)
    }

    /// Octets for what is remembered of streams on which nothing waits.
    fn remembered(&self) -> usize {
        self.delivery.numbers.charge() + self.interleaved.skip_charge()
    }

    /// Skips to the new cumulative TSN; `false` if it is an old one.
    pub(crate) fn on_forward_tsn(&mut self, view: &ForwardTsnView<'_>) -> bool {
        self.ack = Ack::Now;
        let Some(cumulative) = self.gaps.forward(view.cumulative) else { return false };
        let before = self.remembered();
        match self.format {
            Format::Data => {
                let skipped = view.lanes().map(|(lane, number)| (lane.stream, Ssn::new(number as u16)));
                let now = self.gaps.cumulative();
                self.reassembly.forward(cumulative, now, skipped, &mut self.delivery);
            }
            Format::Interleaved => {
                for (lane, mid) in view.lanes() {
                    self.interleaved.skip(lane, mid, &mut self.delivery);
                }
            }
        }
        // What is remembered of streams cannot be refused like a chunk.
        let full = self.delivery.charged() > self.window.size() + GAP_SLACK;
        self.jammed |= full && self.remembered() > before;
        true
    }

    /// The next piece that is ready, oldest stream first.
    #[inline]
    pub(crate) fn read(&mut self) -> Option<Chunk> {
        let chunk = self.delivery.read()?;
        self.update_window();
        Some(chunk)
    }

    /// Opening the window again by a good part is told at once, so that the sender need not probe.
    fn update_window(&mut self) {
        let step = (2 * self.mtu).min(self.window.size() / 2);
        if self.told < step && self.window_left() >= step {
            self.ack = Ack::Now;
        }
    }

    /// A paused stream keeps what it has; its chunks stay charged against the window.
    pub(crate) fn pause(&mut self, stream: StreamId) {
        self.delivery.pause(stream.0);
    }

    pub(crate) fn resume(&mut self, stream: StreamId) {
        self.delivery.resume(stream.0);
    }

    /// Whether messages of a stream are handed up before they are whole.
    pub(crate) fn set_in_parts(&mut self, stream: StreamId, in_parts: bool) {
        self.delivery.set_in_parts(stream.0, in_parts);
    }

    /// True if there is something ready on the stream.
    pub(crate) fn has_ready(&self, stream: StreamId) -> bool {
        self.delivery.has_ready(stream.0)
    }

    /// The other side starts the stream again at sequence number zero.
    pub(crate) fn reset_stream(&mut self, stream: StreamId) {
        self.reassembly.reset_stream(stream.0, &mut self.delivery);
        self.interleaved.reset_stream(stream.0, &mut self.delivery);
        self.delivery.numbers.clear(stream.0);
    }

    pub(crate) fn known_streams(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.delivery.known_streams().map(StreamId)
    }

    /// Octets that are held, overhead included.
    pub(crate) fn charged(&self) -> usize {
        self.delivery.charged()
    }

    fn window_left(&self) -> usize {
        self.window.size().saturating_sub(self.delivery.charged())
    }

    /// The highest TSN before which nothing is missing.
    pub(crate) fn cumulative(&self) -> Tsn {
        Tsn::new(self.gaps.cumulative() as u32)
    }

    /// An acknowledgement waits for its timer.
    pub(crate) fn is_ack_delayed(&self) -> bool {
        self.ack == Ack::Delayed
    }

    /// An acknowledgement must go now.
    pub(crate) fn is_ack_due(&self) -> bool {
        self.ack == Ack::Now
    }

    /// The SACK that was just written was taken back: it waits for its timer again.
    pub(crate) fn delay_again(&mut self) {
        self.ack = Ack::Delayed;
    }

    pub(crate) fn ack_now(&mut self) {
        self.ack = Ack::Now;
    }

    /// Appends a SACK within `room` octets; `false` if not even an empty one fits.
    pub(crate) fn write_sack(&mut self, room: usize, out: &mut Vec<u8>) -> bool {
        let Some(room) = room.checked_sub(SACK_HEADER) else { return false };
        let items = room / SACK_ITEM;
        let gaps = self.gaps.len().min(items);
        let duplicates = self.duplicates.len().min(items - gaps);
        self.told = self.window_left();
        sack::write(
            out,
            self.cumulative(),
            self.told as u32,
            self.gaps.blocks().take(gaps),
            self.duplicates.iter().copied().take(duplicates),
        );
        self.duplicates.clear();
        self.ack = Ack::Nothing;
        true
    }
}

/// For tests of sequence wraps.
#[cfg(test)]
impl Receiver {
    pub(crate) fn expect_number(&mut self, stream: u16, number: u32) {
        self.delivery.numbers.set(stream, number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fragment of a message of four, of 1,000 octets.
    fn put(receiver: &mut Receiver, tsn: u32) -> Accepted {
        let flags = match tsn % 4 {
            0 => DataFlags::BEGIN,
            3 => DataFlags::END,
            _ => DataFlags::default(),
        };
        let header =
            DataHeader { flags, tsn: Tsn::new(tsn), stream: 1, number: tsn / 4, ppid: 53, fsn: tsn % 4 };
        receiver.on_data(&header, Bytes::from(vec![0; 1_000]), &mut Stats::default())
    }

    #[test]
    fn a_full_window_with_many_gaps_keeps_room_for_the_first() {
        let mut receiver = Receiver::new(400_000, 1_200);
        receiver.start(Tsn::new(0), Format::Interleaved);
        let highest = (0..).map(|at| 2 * at + 1).find(|&tsn| put(&mut receiver, tsn) == Accepted::Dropped);
        let highest = highest.expect("the window is full at some time");
        let filled =
            (0..highest / 2).rev().take_while(|at| put(&mut receiver, 2 * at) == Accepted::New).count();
        assert!((20..60).contains(&filled), "later gaps have some room: {filled}");
        assert!(!receiver.is_jammed());
        for tsn in [0, 2] {
            assert_eq!(put(&mut receiver, tsn), Accepted::New, "it frees what waits");
        }
        assert!(!receiver.is_jammed() && receiver.read().is_some());
    }
}
