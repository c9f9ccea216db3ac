//! RFC 9260 section 5.2: INIT, INIT ACK and COOKIE ECHO that nobody expects, in every state.

use super::*;
use crate::assoc::cookie::Cookie;
use crate::association::Phase;
use crate::packet::init::InitFields;
use crate::packet::parameter::Capabilities;
use crate::packet::{Walker, cause, chunk_head, kind, put_tlv};

fn kinds(packet: &[u8]) -> Vec<u8> {
    Walker::new(&packet[12..]).map(|tlv| tlv.unwrap().kind()).collect()
}

/// A packet for A.
fn give(pair: &mut Pair, tag: u32, write: impl FnOnce(&mut Vec<u8>)) {
    pair.a.sctp.handle_packet(pair.now, packet_with_tag(tag, write));
}

/// What A sends next.
fn answer(pair: &mut Pair) -> Vec<u8> {
    let mut out = Vec::new();
    pair.a.sctp.poll_transmit(pair.now, 1_200, &mut out).map(|_| out).unwrap_or_default()
}

/// A pair whose A is in some state.
fn in_state(name: &str) -> Pair {
    let mut pair = match name {
        "idle" => return Pair::new(1, Net::default(), config()),
        "cookie wait" | "cookie echoed" => Pair::new(1, Net::default(), config()),
        _ => Pair::connected(1, Net::default(), config()),
    };
    if name.starts_with("cookie") {
        pair.a.sctp.connect(pair.now);
        pair.poll(End::A);
        if name == "cookie echoed" {
            // INIT goes to B, INIT ACK comes back.
            while !matches!(pair.a.sctp.phase, Phase::CookieEchoed { .. }) {
                pair.step();
            }
            pair.poll(End::A);
        }
        return pair;
    }
    pair.run_for(1_000 * MS);
    match name {
        "established" => {}
        "shutdown pending" => {
            pair.write(End::A, 1, vec![1; 2_000], reliable());
            pair.poll(End::A);
            pair.wire.clear();
            pair.a.sctp.shutdown(pair.now);
        }
        "shutdown sent" => {
            pair.a.sctp.shutdown(pair.now);
            pair.poll(End::A);
            pair.wire.clear();
        }
        "shutdown received" => {
            pair.write(End::A, 1, vec![1; 2_000], reliable());
            pair.poll(End::A);
            pair.wire.clear();
            pair.b.sctp.shutdown(pair.now);
            while !matches!(pair.a.sctp.phase, Phase::ShutdownReceived) {
                pair.step();
            }
        }
        "shutdown ack sent" => {
            pair.b.sctp.shutdown(pair.now);
            while !matches!(pair.a.sctp.phase, Phase::ShutdownAckSent) {
                pair.step();
            }
            pair.poll(End::A);
        }
        _ => {
            pair.a.sctp.abort(pair.now);
            pair.poll(End::A);
        }
    }
    pair.wire.clear();
    pair
}

const STATES: [&str; 9] = [
    "idle",
    "cookie wait",
    "cookie echoed",
    "established",
    "shutdown pending",
    "shutdown sent",
    "shutdown received",
    "shutdown ack sent",
    "closed",
];

fn phase(pair: &Pair) -> std::mem::Discriminant<Phase> {
    std::mem::discriminant(&pair.a.sctp.phase)
}

fn fields(tag: u32) -> InitFields {
    InitFields { tag, window: 100_000, outgoing: 10, incoming: 10, tsn: Tsn::new(77) }
}

#[test]
fn an_init_is_answered_in_every_state_and_changes_none() {
    for state in STATES {
        let mut pair = in_state(state);
        let (before, tag, remote) = (phase(&pair), pair.a.sctp.local_tag, pair.a.sctp.remote.tag);
        give(&mut pair, 0, |out| fields(7).write(kind::INIT, Capabilities::of(&config()), out, |_| {}));
        let out = answer(&mut pair);
        let told = u32::from_be_bytes(out[4..8].try_into().unwrap());
        match state {
            "closed" => assert_eq!((kinds(&out), told), (vec![kind::ABORT], 7)),
            "shutdown ack sent" => assert_eq!((kinds(&out), told), (vec![kind::SHUTDOWN_ACK], remote)),
            _ => {
                assert_eq!((kinds(&out), told), (vec![kind::INIT_ACK], 7), "{state}");
                // Its tag is ours while there is no association, and another one where there is (5.2.1, 5.2.2).
                let offered = u32::from_be_bytes(out[16..20].try_into().unwrap());
                let early = matches!(state, "idle" | "cookie wait" | "cookie echoed");
                assert_eq!(offered == tag, early, "{state}");
            }
        }
        assert_eq!((phase(&pair), pair.a.sctp.remote.tag), (before, remote), "{state}");
    }
}

#[test]
fn an_init_ack_is_dropped_but_where_it_is_waited_for() {
    for state in STATES {
        let mut pair = in_state(state);
        let (before, tag, remote) = (phase(&pair), pair.a.sctp.local_tag, pair.a.sctp.remote.tag);
        give(&mut pair, tag, |out| {
            fields(7).write(kind::INIT_ACK, Capabilities::of(&config()), out, |out| {
                crate::packet::init::put_cookie(out, b"cookie");
            });
        });
        if state == "cookie wait" {
            assert!(matches!(pair.a.sctp.phase, Phase::CookieEchoed { .. }));
        } else {
            assert_eq!((phase(&pair), pair.a.sctp.remote.tag), (before, remote), "{state}");
        }
    }
}

/// The rows of section 5.2.4, table 12: tags of the cookie against ours, and whether the tie tags are right.
#[test]
fn a_cookie_is_taken_as_the_table_says() {
    for state in &STATES[2..8] {
        let early = *state == "cookie echoed";
        for (row, local, remote, ties) in [
            ("A", false, false, true),
            ("A without tie tags", false, false, false),
            ("B", true, false, false),
            ("C", false, true, false),
            ("D", true, true, false),
        ] {
            let mut pair = in_state(state);
            let (ours, theirs) = (pair.a.sctp.local_tag, pair.a.sctp.remote.tag);
            let cookie = Cookie {
                created: pair.a.sctp.since_epoch(pair.now),
                local_tag: if local { ours } else { 1_234 },
                local_tsn: if local { pair.a.sctp.local_tsn } else { Tsn::new(99) },
                remote: fields(if remote { theirs } else { 4_321 }),
                capabilities: Capabilities::of(&config()),
                tie_local: if ties { ours } else { 0 },
                tie_remote: if ties { theirs } else { 0 },
            };
            let before = phase(&pair);
            let sealed = cookie.seal(&pair.a.sctp.signer);
            give(&mut pair, cookie.local_tag, |out| {
                put_tlv(out, chunk_head(kind::COOKIE_ECHO, 0), |out| out.extend(&sealed));
            });
            let case = format!("{state}, row {row}");
            let out = answer(&mut pair);
            let told = if out.is_empty() { vec![] } else { kinds(&out) };
            let restarted =
                std::iter::from_fn(|| pair.a.sctp.poll_event()).any(|event| event == Event::Restarted);
            match (row, *state) {
                // The other side started anew: so does this one, but not while it shuts down.
                ("A", "established" | "shutdown pending" | "shutdown sent" | "shutdown received") => {
                    assert!(restarted && told.contains(&kind::COOKIE_ACK), "{case} {told:?}");
                    assert_eq!((pair.a.sctp.local_tag, pair.a.sctp.remote.tag), (1_234, 4_321), "{case}");
                    let goes_on = matches!(pair.a.sctp.phase, Phase::Established);
                    assert_eq!(goes_on, matches!(*state, "established" | "shutdown received"), "{case}");
                }
                ("A", "shutdown ack sent") => {
                    assert!(
                        told.contains(&kind::SHUTDOWN_ACK) && told.contains(&kind::ERROR),
                        "{case} {told:?}"
                    );
                    assert_eq!(phase(&pair), before, "{case}");
                }
                ("B", _) if early => {
                    assert!(told.contains(&kind::COOKIE_ACK), "{case}");
                    assert_eq!((pair.a.sctp.local_tag, pair.a.sctp.remote.tag), (ours, 4_321), "{case}");
                    assert!(matches!(pair.a.sctp.phase, Phase::Established), "{case}");
                }
                ("D", _) if early => {
                    assert!(told.contains(&kind::COOKIE_ACK) && !restarted, "{case}");
                    assert!(matches!(pair.a.sctp.phase, Phase::Established), "{case}");
                }
                ("D", "established" | "shutdown pending") => {
                    assert!(told.contains(&kind::COOKIE_ACK) && !restarted, "{case}");
                    assert_eq!((phase(&pair), pair.a.sctp.remote.tag), (before, theirs), "{case}");
                }
                _ => {
                    assert!(!told.contains(&kind::COOKIE_ACK) && !restarted, "{case} {told:?}");
                    assert_eq!((phase(&pair), pair.a.sctp.remote.tag), (before, theirs), "{case}");
                }
            }
        }
    }
}

#[test]
fn a_cookie_that_was_changed_or_is_of_another_tag_is_nothing() {
    for state in &STATES[..8] {
        let mut pair = in_state(state);
        let tag = pair.a.sctp.local_tag;
        let cookie = Cookie {
            created: Duration::ZERO,
            local_tag: tag,
            local_tsn: pair.a.sctp.local_tsn,
            remote: fields(4_321),
            capabilities: Capabilities::of(&config()),
            tie_local: 0,
            tie_remote: 0,
        };
        let sealed = cookie.seal(&pair.a.sctp.signer);
        let (before, bad) = (phase(&pair), pair.a.sctp.stats().bad_cookies);
        for at in 0..=sealed.len() {
            let mut changed = sealed.clone();
            let tag = match changed.get_mut(at) {
                Some(octet) => {
                    *octet ^= 0x80;
                    tag
                }
                None => tag ^ 1,
            };
            give(&mut pair, tag, |out| {
                put_tlv(out, chunk_head(kind::COOKIE_ECHO, 0), |out| out.extend(&changed));
            });
        }
        assert_eq!(pair.a.sctp.stats().bad_cookies - bad, sealed.len() as u64 + 1, "{state}");
        assert_eq!(phase(&pair), before, "{state}");
    }
}

#[test]
fn an_abort_is_told_with_its_cause_and_ends_every_state() {
    for state in &STATES[1..8] {
        let mut pair = in_state(state);
        let tag = pair.a.sctp.local_tag;
        // A wrong tag first, many times: nothing.
        let before = phase(&pair);
        for wrong in 1..1_000u32 {
            give(&mut pair, tag.wrapping_add(wrong), |out| cause::write(out, kind::ABORT, 0, 12, b"no"));
        }
        assert_eq!(phase(&pair), before, "{state}");
        give(&mut pair, tag, |out| cause::write(out, kind::ABORT, 0, 12, b"because"));
        let events: Vec<Event> = std::iter::from_fn(|| pair.a.sctp.poll_event()).collect();
        assert_eq!(events.last(), Some(&Event::Closed(CloseReason::RemoteAbort { code: 12 })), "{state}");
        assert!(answer(&mut pair).is_empty(), "{state}: an ABORT is not answered");
        assert_eq!(pair.a.sctp.poll_timeout(), None, "{state}");
    }
}

#[test]
fn data_on_a_stream_that_there_is_not_is_acknowledged_reported_and_dropped() {
    use crate::packet::data::{DataFlags, DataHeader, Format};
    for (config, format) in [(config(), Format::Data), (interleaved(), Format::Interleaved)] {
        let mut pair = Pair::connected(1, Net::default(), config.with_streams(4));
        pair.run_for(1_000 * MS);
        let (tag, next) = (pair.a.sctp.local_tag, pair.a.sctp.rx.cumulative() + 1);
        for (i, stream) in [4u16, 65_535, 3].into_iter().enumerate() {
            let flags = DataFlags::from_wire(3);
            let header = DataHeader { flags, tsn: next + i as u32, stream, number: 0, ppid: 53, fsn: 0 };
            give(&mut pair, tag, |out| header.write(format, b"data", out));
        }
        pair.a.read(pair.now);
        assert_eq!(pair.a.messages, [(StreamId(3), 53, b"data".to_vec())]);
        assert_eq!((pair.a.sctp.rx.cumulative(), pair.a.sctp.stats().unknown_streams), (next + 2, 2));
        let out = answer(&mut pair);
        assert_eq!(kinds(&out), [kind::ERROR, kind::ERROR, kind::SACK]);
        assert_eq!(cause::first(&out[16..]), cause::code::INVALID_STREAM);
        assert_eq!(pair.a.sctp.stats().unread, 0);
    }
}

#[test]
fn errors_are_taken_in_every_state_and_change_nothing_but_a_stale_cookie() {
    for state in &STATES[1..8] {
        for code in 0..14 {
            let mut pair = in_state(state);
            let (before, tag) = (phase(&pair), pair.a.sctp.local_tag);
            give(&mut pair, tag, |out| cause::write(out, kind::ERROR, 0, code, &[0; 4]));
            if *state == "cookie echoed" && code == cause::code::STALE_COOKIE {
                assert!(matches!(pair.a.sctp.phase, Phase::CookieWait));
            } else {
                assert_eq!(phase(&pair), before, "{state} {code}");
            }
        }
    }
}
