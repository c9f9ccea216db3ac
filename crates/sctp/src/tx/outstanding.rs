//! What is out: a ring of chunks indexed by TSN.
//!
//! Losses are found by packets and not by chunks: every packet has a number, and a chunk is lost when three later
//! packets were acknowledged and it was not (the three missing reports of RFC 9260 section 7.2.4, counted as
//! RFC 9002 section 6.1.1 does), or when one was and the time for its own acknowledgement is over (RFC 8985 section
//! 6.2, which needs no three packets in flight). A retransmission gets the number of its packet, so a lost one is
//! found in the same way. Every chunk is looked at once when it is acknowledged and once when the point of loss
//! passes it ([`losses`]): the cost of a SACK does not grow with what is in flight.
//!
//! What gap blocks acknowledge is kept until the cumulative point passes it, because the receiver may still drop it
//! (RFC 9260 section 6.2.1): see [`Outstanding::lose_all`].

mod abandon;
mod losses;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::flight::{Flight, Packet, RateSample, push_tight};
use super::queue::Piece;
use super::*;
use crate::steps;

/// Later packets that must be acknowledged before a chunk counts as lost (RFC 9260 section 7.2.4).
const LOSS_PACKETS: usize = 3;

/// Chunks for which memory is kept while nothing is out.
const IDLE_CHUNKS: usize = 64;

/// Octets that a chunk counts for in flight.
fn size_of(payload: &Bytes) -> usize {
    payload.len() + DATA_HEADER
}

/// How far a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    InFlight,
    Lost,
    Acked,
    Abandoned,
}

/// A chunk that has a TSN.
#[derive(Debug)]
pub(crate) struct Sent {
    payload: Bytes,
    ppid: u32,
    stream: u16,
    number: u32,
    fsn: u32,
    /// How many TSNs before this one the piece before it has; zero for none.
    back: u32,
    /// How many TSNs after this one the next piece of its message has; zero while there is none.
    ahead: u32,
    flags: DataFlags,
    fate: Fate,
    transmits: u32,
    max_transmits: u32,
    expires: Option<Instant>,
    sent_at: Instant,
    /// The packet that carried it last.
    packet: u64,
}

impl Sent {
    fn write(&self, format: Format, tsn: u64, immediate: bool, out: &mut Vec<u8>) {
        let flags = if immediate { self.flags.with(DataFlags::IMMEDIATE) } else { self.flags };
        let tsn = Tsn::new(tsn as u32);
        let (stream, number, ppid, fsn) = (self.stream, self.number, self.ppid, self.fsn);
        DataHeader { flags, tsn, stream, number, ppid, fsn }.write(format, &self.payload, out);
    }

    fn lane(&self) -> Lane {
        Lane { stream: self.stream, unordered: self.flags.is_unordered() }
    }

    /// May not be sent again.
    fn is_spent(&self, now: Instant) -> bool {
        self.transmits >= self.max_transmits || self.expires.is_some_and(|at| at <= now)
    }
}

/// What a SACK acknowledged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Acked {
    pub(crate) octets: usize,
    pub(crate) advanced: bool,
    /// When the newest chunk was sent that was acknowledged, was sent only once (Karn's rule), and was not taken for
    /// lost: the answer to that one may have been lost itself, and what tells of it now says nothing of the path.
    sample: Option<Instant>,
    /// The probe was acknowledged, and not what it repeated, as far as time tells.
    pub(crate) by_probe: bool,
    /// The newest packet of which something was acknowledged, with its number.
    newest: Option<(u64, Packet)>,
    /// What it says of the rate.
    pub(crate) rate: Option<RateSample>,
    /// What was taken for lost and was not: acknowledged without having been sent again, or sooner after it than ever.
    pub(crate) spurious: Vec<u64>,
    /// What the other side says that it got twice.
    pub(crate) duplicates: Vec<u64>,
    /// Something that was sent once came after what was sent later.
    pub(crate) overtaken: bool,
    /// The newest packet that was acknowledged before.
    highest_before: u64,
}

impl Acked {
    /// What it says of the round trip.
    pub(crate) fn latest_rtt(&self, now: Instant) -> Option<Duration> {
        self.sample.map(|sent_at| now.saturating_duration_since(sent_at))
    }
}

/// The ring. TSNs are 64-bit numbers that do not wrap.
#[derive(Debug)]
pub(crate) struct Outstanding {
    /// Everything up to here is acknowledged.
    cumulative: u64,
    /// The chunk at index i has the TSN `cumulative + 1 + i`.
    ring: VecDeque<Sent>,
    /// Ranges beyond `cumulative` that are acknowledged; inclusive, ascending, not adjacent.
    ranges: Vec<(u64, u64)>,
    lost: BTreeSet<u64>,
    in_flight: usize,
    /// Octets that are neither acknowledged nor given up.
    octets: usize,
    flight: Flight,
    /// The numbers of the last packets that were acknowledged, highest first.
    top: [u64; LOSS_PACKETS],
    /// Chunks below were checked for loss of their first transmission.
    scanned: u64,
    /// How far that was when the timer went off.
    timeout_scanned: u64,
    /// Retransmissions by packet number.
    resent: VecDeque<(u64, u64)>,
    /// The chunk that was repeated as a probe.
    probed: Option<u64>,
    /// Chunks that were lost and must be checked for being given up.
    suspects: VecDeque<u64>,
    abandoned: usize,
    /// Everything between the cumulative point and this is given up.
    forward: u64,
    skipped: BTreeMap<Lane, u32>,
    format: Format,
}

impl Outstanding {
    pub(crate) fn new(first: Tsn) -> Self {
        let cumulative = u64::from(first.get()) + (1 << 32) - 1;
        Self {
            cumulative,
            ring: VecDeque::new(),
            ranges: Vec::new(),
            lost: BTreeSet::new(),
            in_flight: 0,
            octets: 0,
            flight: Flight::default(),
            top: [0; LOSS_PACKETS],
            scanned: cumulative + 1,
            timeout_scanned: cumulative + 1,
            resent: VecDeque::new(),
            probed: None,
            suspects: VecDeque::new(),
            abandoned: 0,
            forward: cumulative,
            skipped: BTreeMap::new(),
            format: Format::Data,
        }
    }

    /// How user data is carried from now on.
    pub(crate) fn set_format(&mut self, format: Format) {
        self.format = format;
    }

    pub(crate) fn cumulative(&self) -> u64 {
        self.cumulative
    }

    /// The highest TSN given out.
    pub(crate) fn newest(&self) -> u64 {
        self.cumulative + self.ring.len() as u64
    }

    /// How many chunks are kept until everything before them is acknowledged.
    pub(crate) fn outstanding(&self) -> usize {
        self.ring.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    fn index(&self, tsn: u64) -> Option<usize> {
        usize::try_from(tsn.checked_sub(self.cumulative + 1)?).ok()
    }

    fn get(&self, tsn: u64) -> Option<&Sent> {
        self.ring.get(self.index(tsn)?)
    }

    fn get_mut(&mut self, tsn: u64) -> Option<&mut Sent> {
        let index = self.index(tsn)?;
        self.ring.get_mut(index)
    }

    /// The chunks that are added now are in one packet.
    pub(crate) fn begin_packet(&mut self) {
        self.flight.begin();
    }

    /// From how many octets of chunks on a packet is large.
    pub(crate) fn set_large(&mut self, octets: usize) {
        self.flight.set_large(octets);
    }

    /// Large packets that were lost since one was acknowledged.
    pub(crate) fn large_lost(&self) -> usize {
        self.flight.large_lost()
    }

    /// What was lost of large packets is dealt with.
    pub(crate) fn forget_large_lost(&mut self) {
        self.flight.forget_large_lost();
    }

    /// There is less to send than the window takes.
    pub(crate) fn on_app_limited(&mut self) {
        self.flight.on_app_limited(self.in_flight);
    }

    /// Octets acknowledged since the start.
    pub(crate) fn delivered(&self) -> u64 {
        self.flight.delivered()
    }

    /// Sends a new chunk.
    #[inline]
    pub(crate) fn push(&mut self, piece: Piece, now: Instant, immediate: bool, out: &mut Vec<u8>) {
        let size = size_of(&piece.payload);
        let packet = self.flight.add(now, self.in_flight, size);
        self.link(piece, now, packet, Fate::InFlight);
        if let Some(sent) = self.ring.back() {
            sent.write(self.format, self.newest(), immediate, out);
        }
        self.in_flight += size;
        self.octets += size;
    }

    /// Adds a chunk to the ring, and to the others of its message.
    #[inline]
    fn link(&mut self, piece: Piece, now: Instant, packet: u64, fate: Fate) {
        let distance = if piece.fsn > 0 { self.newest() + 1 - piece.previous } else { 0 };
        // Only a message that was written slowly is that far apart; its start was acknowledged long ago.
        let back = u32::try_from(distance).unwrap_or(0);
        if back > 0
            && let Some(previous) = self.get_mut(piece.previous)
        {
            previous.ahead = back;
        }
        let sent = Sent {
            back,
            ahead: 0,
            payload: piece.payload,
            ppid: piece.ppid,
            stream: piece.stream,
            number: piece.number,
            fsn: piece.fsn,
            flags: piece.flags,
            fate,
            transmits: 1,
            max_transmits: piece.max_transmits,
            expires: piece.expires,
            sent_at: now,
            packet,
        };
        push_tight(&mut self.ring, sent);
    }

    /// Gives a TSN to the end of a message that was given up half sent (RFC 3758 section 3.5, rule A5).
    pub(crate) fn push_abandoned(&mut self, piece: Piece, now: Instant) {
        self.abandoned += 1;
        self.link(piece, now, self.flight.newest(), Fate::Abandoned);
    }

    /// Something is lost and was not sent again.
    pub(crate) fn has_losses(&self) -> bool {
        !self.lost.is_empty()
    }

    /// The first lost chunk, and its octets of user data.
    pub(crate) fn first_lost(&self) -> Option<(u64, usize)> {
        let &tsn = self.lost.first()?;
        Some((tsn, self.get(tsn)?.payload.len()))
    }

    /// Sends a lost chunk again.
    pub(crate) fn retransmit(&mut self, tsn: u64, now: Instant, out: &mut Vec<u8>) {
        self.lost.remove(&tsn);
        let Some(size) = self.get(tsn).map(|sent| size_of(&sent.payload)) else { return };
        let (packet, format) = (self.flight.add(now, self.in_flight, size), self.format);
        let Some(sent) = self.get_mut(tsn) else { return };
        sent.fate = Fate::InFlight;
        sent.transmits = sent.transmits.saturating_add(1);
        sent.sent_at = now;
        sent.packet = packet;
        sent.write(format, tsn, true, out);
        self.in_flight += size;
        self.resent.push_back((packet, tsn));
    }

    /// Takes the acknowledgements of a SACK. Checks all of it before anything changes.
    pub(crate) fn on_sack(
        &mut self,
        sack: &SackView<'_>,
        lowest_rtt: Duration,
        now: Instant,
    ) -> Result<Acked, SackResult> {
        let ahead = sack.cumulative.get().wrapping_sub(self.cumulative as u32);
        if ahead > i32::MAX as u32 {
            return Err(SackResult::Stale);
        }
        let cumulative = self.cumulative + u64::from(ahead);
        let newest = self.newest();
        let bad_block =
            |(first, last): (u16, u16)| first == 0 || last < first || cumulative + u64::from(last) > newest;
        if cumulative > newest || sack.gaps().any(bad_block) {
            return Err(SackResult::Invalid);
        }
        let [highest_before, ..] = self.top;
        let advanced = cumulative > self.cumulative;
        let mut acked = Acked { advanced, highest_before, ..Acked::default() };
        for duplicate in sack.duplicates() {
            steps::count(1);
            // Below 2^32 there are none: the numbers begin one turn up.
            let behind = (cumulative as u32).wrapping_sub(duplicate.get());
            let ahead = duplicate.get().wrapping_sub(cumulative as u32);
            acked.duplicates.push(if behind <= i32::MAX as u32 {
                cumulative - u64::from(behind)
            } else {
                cumulative + u64::from(ahead)
            });
        }
        for (first, last) in sack.gaps() {
            steps::count(1);
            let (first, last) = (cumulative + u64::from(first), cumulative + u64::from(last));
            self.ack_range(first, last, lowest_rtt, now, &mut acked);
        }
        self.ack_cumulative(cumulative, lowest_rtt, now, &mut acked);
        if acked.octets > 0 {
            self.flight.on_delivered(now, acked.octets);
            // What this one says of the round trip counts: it may be the shortest so far.
            let lowest = acked.latest_rtt(now).map_or(lowest_rtt, |latest| latest.min(lowest_rtt));
            acked.rate = acked.newest.map(|(_, packet)| self.flight.sample(&packet, lowest));
        }
        Ok(acked)
    }

    fn ack_cumulative(&mut self, cumulative: u64, lowest_rtt: Duration, now: Instant, acked: &mut Acked) {
        while self.cumulative < cumulative {
            self.ack(self.cumulative + 1, lowest_rtt, now, acked);
            if let Some(sent) = self.ring.pop_front() {
                self.abandoned -= usize::from(sent.fate == Fate::Abandoned);
            }
            self.cumulative += 1;
        }
        let passed = self.ranges.partition_point(|&(_, last)| last <= cumulative);
        self.ranges.drain(..passed);
        self.scanned = self.scanned.max(cumulative + 1);
        if self.forward <= cumulative {
            self.forward = cumulative;
            self.skipped.clear();
        }
        if self.ring.is_empty() {
            self.resent.clear();
            self.suspects.clear();
        }
    }

    /// Gives back what a large flight took, if nothing is out.
    pub(crate) fn shrink(&mut self) {
        if !self.ring.is_empty() {
            return;
        }
        if self.ring.capacity() > IDLE_CHUNKS {
            self.ring = VecDeque::new();
            self.resent = VecDeque::new();
        }
        self.flight.shrink();
    }

    /// Acknowledges what of `first..=last` was not, and joins it to the ranges.
    fn ack_range(&mut self, first: u64, last: u64, lowest_rtt: Duration, now: Instant, acked: &mut Acked) {
        let at = self.ranges.partition_point(|&(_, end)| end + 1 < first);
        let (mut start, mut end) = (first, last);
        let mut from = first;
        let mut until = at;
        while let Some(&(known_start, known_end)) = self.ranges.get(until) {
            if known_start > last + 1 {
                break;
            }
            steps::count(1);
            if until == at && known_start <= first && last <= known_end {
                return;
            }
            for tsn in from..known_start {
                self.ack(tsn, lowest_rtt, now, acked);
            }
            from = from.max(known_end + 1);
            start = start.min(known_start);
            end = end.max(known_end);
            until += 1;
        }
        for tsn in from..=last {
            self.ack(tsn, lowest_rtt, now, acked);
        }
        if until - at != 1 {
            steps::count(self.ranges.len() - at);
        }
        self.ranges.splice(at..until, [(start, end)]);
    }

    #[inline]
    fn ack(&mut self, tsn: u64, lowest_rtt: Duration, now: Instant, acked: &mut Acked) {
        steps::count(1);
        let highest_before = acked.highest_before;
        let Some(sent) = self.get_mut(tsn) else { return };
        let size = size_of(&sent.payload);
        match sent.fate {
            Fate::Acked | Fate::Abandoned => return,
            Fate::InFlight | Fate::Lost => {}
        }
        let was = std::mem::replace(&mut sent.fate, Fate::Acked);
        let (transmits, sent_at, packet) = (sent.transmits, sent.sent_at, sent.packet);
        // An answer that comes sooner than ever is to an earlier transmission and says nothing of this packet.
        let of_this = transmits == 1 || now.saturating_duration_since(sent_at) >= lowest_rtt;
        if was == Fate::InFlight {
            self.in_flight = self.in_flight.saturating_sub(size);
            if of_this
                && acked.newest.is_none_or(|(newest, _)| packet > newest)
                && let Some(&record) = self.flight.get(packet)
            {
                self.flight.on_acked(packet, &record);
                acked.newest = Some((packet, record));
            }
            self.flight.release(packet);
        } else {
            self.lost.remove(&tsn);
        }
        if was == Fate::Lost || !of_this {
            acked.spurious.push(tsn);
        }
        acked.overtaken |= transmits == 1 && packet < highest_before;
        self.octets = self.octets.saturating_sub(size);
        acked.octets += size;
        if transmits == 1 && was == Fate::InFlight {
            acked.sample = acked.sample.max(Some(sent_at));
        }
        if of_this {
            self.note_packet(packet);
            acked.by_probe |= self.probed == Some(tsn);
        }
        if self.probed == Some(tsn) {
            self.probed = None;
        }
    }

    fn note_packet(&mut self, packet: u64) {
        let [a, b, c] = self.top;
        self.top = if packet > a {
            [packet, a, b]
        } else if packet < a && packet > b {
            [a, packet, b]
        } else if packet < b && packet > c {
            [a, b, packet]
        } else {
            return;
        };
    }

    /// True for the lowest chunk that is not acknowledged.
    pub(crate) fn is_first(&self, tsn: u64) -> bool {
        tsn == self.forward.max(self.cumulative) + 1
    }
}
