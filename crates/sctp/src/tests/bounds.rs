//! What the other side can make wait here: how much of each flood is held, and what is answered to it.

use super::hostile::{data, settled};
use super::*;
use crate::packet::data::Format;
use crate::packet::parameter::parameter_kind;
use crate::packet::sack::SackView;
use crate::packet::{Walker, chunk_head, kind, put_tlv, reconfig};

/// All that an end has to say: the chunks of its packets, and their values.
fn said(pair: &mut Pair, end: End) -> Vec<(u8, Vec<u8>)> {
    let now = pair.now;
    let mut chunks = Vec::new();
    let mut out = Vec::new();
    while pair.side(end).sctp.poll_transmit(now, ROOM, &mut out).is_some() {
        let items = Walker::new(&out[12..]).map(Result::unwrap);
        chunks.extend(items.map(|item| (item.kind(), item.value.to_vec())));
        out.clear();
    }
    chunks
}

fn count(chunks: &[(u8, Vec<u8>)], kind: u8) -> usize {
    chunks.iter().filter(|(other, _)| *other == kind).count()
}

#[test]
fn an_acknowledgement_tells_of_32_duplicates() {
    let mut pair = settled(1, config());
    let base = pair.b.sctp.rx.cumulative();
    for first in 0..50 {
        give(&mut pair, End::B, |out| {
            (0..40).for_each(|i| data(base - (first * 40 + i), 1, 0, 3).write(Format::Data, b"x", out));
        });
    }
    let said = said(&mut pair, End::B);
    let sacks = said.iter().filter(|(kind, _)| *kind == kind::SACK);
    let told: Vec<usize> =
        sacks.map(|(_, value)| SackView::parse(value).unwrap().duplicates().count()).collect();
    assert_eq!((told, pair.b.sctp.stats().duplicate_tsns), (vec![32], 2_000));
}

#[test]
fn what_fills_gaps_goes_so_far_beyond_the_window() {
    let window = 64 << 10;
    let mut pair = settled(2, config().with_receive_window(window));
    pair.b.reads = false;
    let base = pair.b.sctp.rx.cumulative();
    let most = |numbers: std::ops::Range<u32>, pair: &mut Pair| {
        let chunk = |n: u32| {
            let header = data(base + n, 1, (n - 1) as u16, 3);
            give(pair, End::B, |out| header.write(Format::Data, &[5; 1_000], out));
            pair.b.sctp.stats().unread
        };
        numbers.map(chunk).max().unwrap()
    };
    // What is beyond all others has the window, what comes between them 48 KiB more, and what is next 96 KiB.
    for (numbers, limit) in
        [(5_000..5_500, window), (2..1_000, window + (48 << 10)), (1..1_000, window + (96 << 10))]
    {
        let unread = most(numbers, &mut pair);
        assert!((limit - 1_256..=limit).contains(&unread), "{unread} of {limit}");
    }
    assert_eq!(pair.b.sctp.state(), State::Established);
}

#[test]
fn ten_thousand_chunks_in_a_row_may_ignore_the_window() {
    let mut pair = settled(3, config().with_receive_window(8_000));
    pair.b.reads = false;
    let base = pair.b.sctp.rx.cumulative();
    let chunk = |n: u32, pair: &mut Pair| {
        give(pair, End::B, |out| data(base + n, 1, 0, 0).write(Format::Data, &[5; 1_000], out));
    };
    (2..8).for_each(|n| chunk(n, &mut pair));
    let before = pair.b.sctp.stats().chunks_beyond_window;
    while pair.b.sctp.stats().chunks_beyond_window < 10_000 {
        chunk(100, &mut pair);
    }
    assert_eq!((before, pair.b.sctp.state()), (0, State::Established));
    chunk(100, &mut pair);
    assert_eq!(pair.b.sctp.state(), State::Closed);
}

#[test]
fn four_packets_are_answered_by_a_packet_each() {
    let mut pair = settled(4, config());
    let is_init = |(from, packet): &&(End, Bytes)| *from == End::A && packet[12] == kind::INIT;
    let (_, init) = pair.record.iter().find(is_init).unwrap().clone();
    for _ in 0..1_000 {
        pair.b.sctp.handle_packet(pair.now, init.clone());
    }
    assert_eq!(count(&said(&mut pair, End::B), kind::INIT_ACK), 4);
    assert_eq!(pair.b.sctp.state(), State::Established);
}

#[test]
fn four_errors_wait_to_be_reported() {
    let mut pair = settled(5, config());
    for _ in 0..1_000 {
        // Its two high bits ask for a report, and that the rest is read (RFC 9260 section 3.2).
        give(&mut pair, End::B, |out| put_tlv(out, chunk_head(0xfe, 0), |out| out.extend([0; 60])));
    }
    assert_eq!(
        (count(&said(&mut pair, End::B), kind::ERROR), pair.b.sctp.stats().unknown_chunks),
        (4, 1_000)
    );
}

#[test]
fn four_heartbeats_of_256_octets_are_answered() {
    let mut pair = settled(6, config());
    let heartbeat = |information: usize, pair: &mut Pair| {
        give(pair, End::B, |out| {
            put_tlv(out, chunk_head(kind::HEARTBEAT, 0), |out| {
                put_tlv(out, parameter_kind::HEARTBEAT_INFO, |out| out.resize(out.len() + information, 7));
            });
        });
    };
    heartbeat(253, &mut pair);
    assert_eq!(pair.b.sctp.stats().malformed_chunks, 1);
    assert_eq!(count(&said(&mut pair, End::B), kind::HEARTBEAT_ACK), 0);
    for _ in 0..1_000 {
        heartbeat(252, &mut pair);
    }
    assert_eq!(count(&said(&mut pair, End::B), kind::HEARTBEAT_ACK), 4);
    assert_eq!(pair.b.sctp.stats().malformed_chunks, 1);
}

#[test]
fn four_reset_requests_are_answered() {
    let mut pair = settled(7, config());
    let base = pair.b.sctp.rx.cumulative();
    for number in 0..1_000 {
        let wrong = pair.a.sctp.local_tsn.get().wrapping_add(0x4000_0000 + number);
        give(&mut pair, End::B, |out| reconfig::write_outgoing_reset(out, wrong, 0, base, &[1, 2, 3]));
    }
    assert_eq!(count(&said(&mut pair, End::B), kind::RE_CONFIG), 4);
    assert_eq!(pair.b.sctp.poll_event(), None);
}

/// The octets of a packet stay in memory for as long as a payload that is a slice of it waits to be read.
#[test]
fn a_payload_keeps_64_octets_alive_beside_itself() {
    for (beside, shares) in [(0, true), (36, true), (40, false), (600, false)] {
        let mut pair = settled(8, config());
        let tsn = pair.b.sctp.rx.cumulative() + 1;
        let tag = pair.b.sctp.local_tag;
        let mut packet = Vec::new();
        crate::packet::Header { source: 5000, destination: 5000, tag }.write(&mut packet);
        // The headers are 28 octets; a chunk that only fills the packet has 4 of its own (RFC 4820).
        if beside > 0 {
            put_tlv(&mut packet, chunk_head(kind::PAD, 0), |out| out.resize(out.len() + beside - 4, 0));
        }
        data(tsn, 1, 0, 3).write(Format::Data, &[5; 400], &mut packet);
        crate::packet::finish(&mut packet, 0);
        let packet = Bytes::from(packet);
        let range = packet.as_ptr_range();
        pair.b.sctp.handle_packet(pair.now, packet.clone());
        let chunk = pair.b.sctp.poll_read(pair.now).unwrap();
        assert_eq!((chunk.bytes.len(), range.contains(&chunk.bytes.as_ptr())), (400, shares), "{beside}");
    }
}
