//! What a hostile peer can make an association hold: whatever the shape of what it sends, no more than the receive
//! window and 256 KiB.
//!
//! Alone in its file, because the allocator counts for the whole process.

use std::time::Instant;

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use taut_sansio::rng::Rng;
use taut_sctp::{Association, Config, Event, State};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What may be held beyond the window.
const SLACK: usize = 256 << 10;

const DATA: u8 = 0;
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const COOKIE_ECHO: u8 = 10;
const I_DATA: u8 = 64;
const SACK: u8 = 3;
const HEARTBEAT: u8 = 4;
const ABORT: u8 = 6;
const RE_CONFIG: u8 = 130;
const PAD: u8 = 132;
const I_FORWARD_TSN: u8 = 194;
const FORWARD_TSN: u8 = 192;
/// A type that is not known, and is skipped without a word.
const UNKNOWN: u8 = 0xbf;

const UNORDERED: u8 = 4;
const BEGIN: u8 = 2;
const END: u8 = 1;
const WHOLE: u8 = BEGIN | END;

/// A peer that sends what it likes.
struct Peer {
    victim: Association,
    now: Instant,
    tag: u32,
    /// DATA or I-DATA.
    kind: u8,
    tsn: u32,
    before: usize,
    most: usize,
}

fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, flags];
    out.extend(((value.len() + 4) as u16).to_be_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

impl Peer {
    #[allow(clippy::disallowed_methods, reason = "a starting point in time is needed")]
    fn new(window: usize, kind: u8) -> Self {
        let before = ALLOCATOR.current_usage();
        let victim = Association::new(Config::default().with_receive_window(window), Rng::from_u64(1));
        let mut peer = Self { victim, now: Instant::now(), tag: 0, kind, tsn: 1, before, most: 0 };
        // Tag 7, window, streams both ways, first TSN 1; FORWARD TSN and RE-CONFIG are supported.
        let mut init = vec![0, 0, 0, 7, 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1];
        init.extend([0xc0, 0, 0, 4, 0x80, 8, 0, 8, FORWARD_TSN, RE_CONFIG]);
        init.extend(if kind == I_DATA { [I_DATA, I_FORWARD_TSN] } else { [0, 0] });
        peer.send(&chunk(INIT, 0, &init));
        let answer = peer.answer().expect("INIT is answered");
        assert_eq!(answer[12], INIT_ACK);
        peer.tag = u32::from_be_bytes(answer[16..20].try_into().unwrap());
        let cookie = answer[32..].windows(2).position(|pair| pair == [0, 7]).unwrap() + 32;
        let length = usize::from(u16::from_be_bytes([answer[cookie + 2], answer[cookie + 3]]));
        peer.send(&chunk(COOKIE_ECHO, 0, &answer[cookie + 4..cookie + length]));
        assert_eq!(peer.victim.state(), State::Established);
        peer
    }

    fn answer(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.victim.poll_transmit(self.now, 1200, &mut out).map(|_| out)
    }

    fn send(&mut self, chunks: &[u8]) {
        let mut packet = Vec::with_capacity(12 + chunks.len());
        packet.extend([0x13, 0x88, 0x13, 0x88]);
        packet.extend(self.tag.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(chunks);
        let sum = crc_fast::crc32_iscsi(&packet);
        packet[8..12].copy_from_slice(&sum.to_le_bytes());
        self.victim.handle_packet(self.now, Bytes::from(packet));
    }

    /// Sends a DATA chunk, and `more` after it.
    fn data(&mut self, tsn: u32, stream: u16, ssn: u16, flags: u8, payload: &[u8], more: &[u8]) {
        let mut value = tsn.to_be_bytes().to_vec();
        value.extend(stream.to_be_bytes());
        if self.kind == I_DATA {
            // The number of the message, and that of the fragment, which is the TSN but in a first one.
            value.extend([0, 0, 0, 0]);
            value.extend(ssn.to_be_bytes());
            value.extend(if flags & BEGIN != 0 { 53 } else { tsn }.to_be_bytes());
        } else {
            value.extend(ssn.to_be_bytes());
            value.extend([0, 0, 0, 53]);
        }
        value.extend(payload);
        let mut chunks = chunk(self.kind, flags, &value);
        chunks.extend(more);
        self.send(&chunks);
        while self.answer().is_some() {}
        while self.victim.poll_event().is_some() {}
        self.most = self.most.max(self.held());
    }

    fn held(&self) -> usize {
        ALLOCATOR.current_usage().saturating_sub(self.before)
    }

    fn is_full(&self) -> bool {
        // A window of which nothing can ever be read ends the association.
        self.victim.stats().chunks_beyond_window > 50 || self.victim.state() == State::Closed
    }
}

/// A way to fill the window: the stream, the sequence number and the flags of the i-th chunk, and its payload.
struct Shape {
    name: &'static str,
    /// The first TSN stays out, so that nothing is in sequence.
    gap: bool,
    chunk: fn(u32) -> (u16, u16, u8),
    payload: usize,
    /// Octets of another chunk in the packet.
    beside: usize,
}

const SHAPES: [Shape; 12] = [
    Shape { name: "large messages", gap: false, chunk: |i| (1, i as u16, WHOLE), payload: 1_160, beside: 0 },
    Shape { name: "tiny messages", gap: false, chunk: |i| (1, i as u16, WHOLE), payload: 1, beside: 0 },
    Shape { name: "small messages", gap: false, chunk: |i| (1, i as u16, WHOLE), payload: 63, beside: 0 },
    Shape { name: "half a packet", gap: false, chunk: |i| (1, i as u16, WHOLE), payload: 600, beside: 560 },
    Shape { name: "many streams", gap: false, chunk: |i| (i as u16, 0, WHOLE), payload: 1, beside: 0 },
    Shape { name: "waiting", gap: false, chunk: |i| (1, i as u16 + 1, WHOLE), payload: 1, beside: 0 },
    Shape { name: "waiting streams", gap: false, chunk: |i| (i as u16, 1, WHOLE), payload: 1, beside: 0 },
    Shape { name: "unordered", gap: false, chunk: |_| (1, 0, WHOLE | UNORDERED), payload: 1, beside: 0 },
    Shape {
        name: "no end",
        gap: false,
        chunk: |i| (1, 0, if i == 0 { BEGIN } else { 0 }),
        payload: 1,
        beside: 0,
    },
    Shape { name: "only begins", gap: false, chunk: |i| (1, i as u16, BEGIN), payload: 1, beside: 0 },
    Shape { name: "out of sequence", gap: true, chunk: |i| (1, i as u16, 0), payload: 1, beside: 0 },
    Shape { name: "whole, early", gap: true, chunk: |i| (i as u16, i as u16, WHOLE), payload: 1, beside: 0 },
];

fn fill(shape: &Shape, window: usize, kind: u8) {
    let mut peer = Peer::new(window, kind);
    let payload = vec![5; shape.payload];
    let beside = if shape.beside > 0 { chunk(UNKNOWN, 0, &vec![0; shape.beside]) } else { Vec::new() };
    let first = if shape.gap { 2 } else { 1 };
    let mut sent = 0;
    while !peer.is_full() && sent < 100_000 {
        let (stream, ssn, flags) = (shape.chunk)(sent);
        peer.data(first + sent, stream, ssn, flags, &payload, &beside);
        sent += 1;
    }
    assert!(peer.is_full(), "{}: the window is used", shape.name);
    let (most, bound) = (peer.most, window + SLACK);
    println!(
        "{} of {kind}: {sent} chunks, {most} octets, {} charged",
        shape.name,
        peer.victim.stats().unread
    );
    assert!(most <= bound, "{}: {most} octets are held, {bound} may be", shape.name);
    // Once it is read, it is gone; but for what still waits for its turn.
    while peer.victim.poll_read(peer.now).is_some() {}
    if peer.victim.stats().unread == 0 {
        let left = peer.held();
        assert!(left <= SLACK, "{}: {left} octets are left", shape.name);
    }
}

#[test]
fn hostile_streams_hold_no_more_than_the_window() {
    // Pages, tables and the like that are made once are not counted.
    drop(Peer::new(1 << 20, DATA));
    for kind in [DATA, I_DATA] {
        for window in [300_000, 4 << 20] {
            for shape in &SHAPES {
                fill(shape, window, kind);
            }
        }
        queues_are_given_back(kind);
    }
    skipped_messages_are_charged();
    floods_leave_nothing_behind();
}

/// Streams that were full once and are empty keep little.
fn queues_are_given_back(kind: u8) {
    let mut peer = Peer::new(1 << 20, kind);
    for stream in 0..100 {
        for ssn in 0..2_000 {
            let tsn = peer.tsn;
            peer.data(tsn, stream, ssn, WHOLE, b"x", &[]);
            peer.tsn += 1;
        }
        while peer.victim.poll_read(peer.now).is_some() {}
    }
    assert_eq!(peer.victim.stats().chunks_beyond_window, 0);
    let left = peer.held();
    assert!(left <= SLACK, "{left}");
}

/// What must be remembered of skipped messages is in the window too; a peer that wants more remembered than that ends.
fn skipped_messages_are_charged() {
    for fill_first in [false, true] {
        let mut peer = Peer::new(300_000, I_DATA);
        let mut tsn = 1;
        while fill_first && !peer.is_full() && tsn < 2_000 {
            peer.data(tsn, tsn as u16, 0, WHOLE, &[0; 100], &[]);
            tsn += 1;
        }
        for round in 0..500u32 {
            let mut value = (tsn + round).to_be_bytes().to_vec();
            for i in 0..145u16 {
                // Streams far from each other.
                value.extend((round as u16 + i * 256).to_be_bytes());
                value.extend([0, (round % 2) as u8]);
                value.extend([0, 0, 0, 9]);
            }
            peer.send(&chunk(I_FORWARD_TSN, 0, &value));
            while peer.answer().is_some() {}
            peer.most = peer.most.max(peer.held());
        }
        println!("skipped: {} octets, {:?}", peer.most, peer.victim.state());
        assert_eq!(peer.victim.state(), State::Closed);
        assert!(peer.most <= 300_000 + SLACK, "{}", peer.most);
    }
}

/// What is asked and told again and again: duplicates, resets of streams, acknowledgements of nothing, heartbeats,
/// and ABORTs with a wrong tag.
fn floods_leave_nothing_behind() {
    for kind in [DATA, I_DATA] {
        let mut peer = Peer::new(300_000, kind);
        peer.data(1, 1, 0, WHOLE, b"x", &[]);
        for round in 1..=5_000u32 {
            peer.data(1, 1, 0, WHOLE, b"x", &[]);
            // An outgoing reset request, in sequence, of 200 streams (RFC 6525 section 4.1).
            let mut reset = vec![0, 13, 0x01, 0xa0];
            reset.extend([round.to_be_bytes(), [0; 4], 1u32.to_be_bytes()].concat());
            reset.extend((0..200u16).flat_map(|i| (i * 300).wrapping_add(round as u16).to_be_bytes()));
            peer.send(&chunk(RE_CONFIG, 0, &reset));
            peer.most = peer.most.max(peer.held());
            assert!(matches!(peer.victim.poll_event(), Some(Event::IncomingReset(_))), "it is performed");
            // Of a window that is closed, with 280 blocks; heartbeats of 200 octets.
            let mut sack = [0u32.to_be_bytes(), 0u32.to_be_bytes(), [1, 24, 0, 0]].concat();
            sack.extend((0..280u16).flat_map(|i| [2 * i + 2, 2 * i + 2]).flat_map(u16::to_be_bytes));
            peer.send(&chunk(SACK, 0, &sack));
            let heartbeat = [vec![0, 1, 0, 204], vec![7; 200]].concat();
            peer.send(&[chunk(HEARTBEAT, 0, &heartbeat), chunk(PAD, 0, &[0; 600])].concat());
            let tag = std::mem::replace(&mut peer.tag, round);
            peer.send(&chunk(ABORT, 0, &[]));
            peer.tag = tag;
            peer.most = peer.most.max(peer.held());
            while peer.victim.poll_read(peer.now).is_some() {}
        }
        println!("floods of {kind}: {} octets", peer.most);
        assert_eq!(peer.victim.state(), State::Established);
        assert!(peer.victim.stats().duplicate_tsns >= 5_000 && peer.victim.stats().bad_tags >= 4_999);
        assert!(peer.most <= SLACK, "{}", peer.most);
    }
}
