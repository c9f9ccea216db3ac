//! Forged datagrams against live handshakes and sessions, with the filter and without.

use std::time::Duration;

use super::pair::{CLIENT, Pair, SERVER};
use super::{CASES, Case};
use taut_sansio::rng::Rng;

use crate::{CloseReason, Engine, Event, HandshakeFailure, Stats, Version};

/// A record as an attacker writes it.
pub(super) fn record(content_type: u8, epoch: u16, sequence: u64, body: &[u8]) -> Vec<u8> {
    let mut out = vec![content_type, 0xfe, 0xfd];
    out.extend_from_slice(&((u64::from(epoch) << 48) | sequence).to_be_bytes());
    out.extend_from_slice(&(body.len() as u16).to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// A handshake message in one fragment.
pub(super) fn message(kind: u8, message_seq: u16, body: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (body.len() as u32).to_be_bytes();
    let [d, e] = message_seq.to_be_bytes();
    [&[kind, a, b, c, d, e, 0, 0, 0, a, b, c], body].concat()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Before anything of the other side came.
    Before,
    /// After the first datagram of the other side, or its first message.
    In,
    After,
}

struct Attack {
    case: Case,
    filtered: bool,
    target: usize,
    when: When,
}

impl Attack {
    /// Runs a session with the forged datagrams in it.
    fn run(&self, forged: &[Vec<u8>]) -> Pair {
        self.run_and_count(forged, |_| 0).0
    }

    /// The same, and by how much a counter is higher than before them.
    fn run_and_count(&self, forged: &[Vec<u8>], counter: Counter) -> (Pair, u64) {
        // As browsers meet it: the client does not know the version.
        let mut pair = Pair::with(9, &self.case.any(), &self.case.up_to());
        pair.room = if self.case.version == Version::Dtls12 { 300 } else { 500 };
        pair.ends[self.target].session.unfiltered = !self.filtered;
        pair.start();
        match self.when {
            When::Before => {}
            When::In => {
                let reached = |pair: &Pair| match self.target {
                    CLIENT => pair.ends[CLIENT].session.stats().datagrams_received > 0,
                    _ => !pair.ends[SERVER].sent.is_empty(),
                };
                assert!(pair.run_until(Duration::from_secs(1), reached));
            }
            When::After => {
                assert!(pair.run_until(Duration::from_secs(5), Pair::connected));
                pair.run(Duration::from_millis(300));
            }
        }
        let before = counter(&pair.ends[self.target].session.stats());
        for datagram in forged {
            pair.inject(self.target, datagram);
        }
        pair.run_until(Duration::from_secs(32), Pair::connected);
        let after = counter(&pair.ends[self.target].session.stats());
        (pair, after - before)
    }
}

/// A counter of the statistics.
type Counter = fn(&Stats) -> u64;

/// One kind of forgery.
struct Forgery {
    name: &'static str,
    datagrams: Vec<Vec<u8>>,
    /// The counter that the filter raises, and by how much.
    expected: fn(Version, usize, When) -> (Counter, u64),
    /// Where an engine without the filter does not finish the handshake.
    deadly: fn(Version, usize, When) -> bool,
}

/// A client that does not know the version dies of everything but a ServerHello.
fn as_first_answer(_: Version, target: usize, when: When) -> bool {
    (target, when) == (CLIENT, When::Before)
}

fn alert(name: &'static str, body: [u8; 2], deadly: fn(Version, usize, When) -> bool) -> Forgery {
    let expected = |_, _, _| -> (Counter, u64) { (|stats| stats.plaintext_alert, 1) };
    Forgery { name, datagrams: vec![record(21, 0, 9, &body)], expected, deadly }
}

fn forgeries() -> Vec<Forgery> {
    use When::{After, Before, In};
    let unified = |sequence: u8| [&[0x2f, 0, sequence, 0, 40], &[7; 40][..]].concat();
    vec![
        alert("fatal alert", [2, 40], |version, target, when| match (version, target, when) {
            // DTLS 1.3 has keys by then.
            (_, _, After) | (Version::Dtls13, _, In) => false,
            _ => true,
        }),
        alert("warning", [1, 90], as_first_answer),
        alert("close_notify", [1, 0], |version, target, when| {
            as_first_answer(version, target, when) || (version, when) == (Version::Dtls13, Before)
        }),
        Forgery {
            name: "HelloRequest 0",
            datagrams: vec![record(22, 0, 9, &message(0, 0, &[]))],
            expected: |_, _, _| (|stats| stats.hello_request, 1),
            deadly: |_, _, when| when == Before,
        },
        Forgery {
            name: "HelloRequest 1",
            datagrams: vec![record(22, 0, 9, &message(0, 1, &[]))],
            expected: |_, _, _| (|stats| stats.hello_request, 1),
            deadly: |version, _, when| when == Before || (version, when) == (Version::Dtls12, In),
        },
        Forgery {
            name: "short record",
            datagrams: (1..=15).map(|length| record(23, 1, 9, &[1; 15][..length])).collect(),
            expected: |version, _, when| match (version, when) {
                (Version::Dtls13, In | After) => (|stats| stats.wrong_epoch, 15),
                _ => (|stats| stats.short_record, 15),
            },
            deadly: as_first_answer,
        },
        Forgery {
            name: "junk",
            datagrams: vec![vec![22; 64], vec![60; 33], vec![20], vec![63; 1500]],
            expected: |_, _, _| (|stats| stats.malformed, 4),
            deadly: as_first_answer,
        },
        Forgery {
            name: "plaintext data",
            datagrams: vec![record(23, 0, 9, b"hello")],
            expected: |_, _, _| (|stats| stats.plaintext_data, 1),
            deadly: as_first_answer,
        },
        Forgery {
            name: "100 records of epoch 1",
            datagrams: (0..100).map(|sequence| record(23, 1, sequence, &[1; 40])).collect(),
            expected: |version, _, when| match (version, when) {
                // The engine drops them after the handshake.
                (Version::Dtls12, After) => (|stats| stats.without_data, 100),
                (Version::Dtls13, In | After) => (|stats| stats.wrong_epoch, 100),
                _ => (|stats| stats.future_overflow, 96),
            },
            deadly: |version, target, when| {
                as_first_answer(version, target, when) || (version, when) == (Version::Dtls13, Before)
            },
        },
        Forgery {
            name: "100 records of epoch 3",
            datagrams: (0..100).map(unified).collect(),
            expected: |version, _, when| match (version, when) {
                (Version::Dtls13, After) => (|stats| stats.without_data, 100),
                (Version::Dtls12, In | After) => (|stats| stats.wrong_epoch, 100),
                _ => (|stats| stats.future_overflow, 96),
            },
            deadly: |version, target, when| {
                as_first_answer(version, target, when) || (version, when) == (Version::Dtls13, Before)
            },
        },
        Forgery {
            name: "40 ChangeCipherSpecs",
            datagrams: (0..40).map(|sequence| record(20, 0, sequence, &[1])).collect(),
            expected: |_, _, when| match when {
                After => (|stats| stats.stale_handshake, 40),
                _ => (|stats| stats.unexpected_message, 40),
            },
            deadly: as_first_answer,
        },
        Forgery {
            name: "1,100 certificates that nobody asked for",
            datagrams: (0..1100u16).map(|n| record(22, 0, 9, &message(11, 12, &n.to_be_bytes()))).collect(),
            expected: |version, target, when| match (version, target, when) {
                // A server may be asked for its last flight; the engine knows that this is not it.
                (Version::Dtls12, SERVER, After) => (|stats| stats.without_data, 1100),
                (Version::Dtls12, CLIENT, After) | (Version::Dtls13, _, In | After) => {
                    (|stats| stats.stale_handshake, 1100)
                }
                _ => (|stats| stats.unexpected_message, 1100),
            },
            deadly: |version, target, when| {
                as_first_answer(version, target, when) || (version, when) == (Version::Dtls13, Before)
            },
        },
    ]
}

#[test]
fn forgeries_change_nothing_but_their_counter() {
    for forgery in forgeries() {
        for &case in CASES {
            for target in [CLIENT, SERVER] {
                for when in [When::Before, When::In, When::After] {
                    let name = format!("{} {case:?} {target} {when:?}", forgery.name);
                    let attack = Attack { case, filtered: true, target, when };
                    let (counter, expected) = (forgery.expected)(case.version, target, when);
                    let (mut pair, counted) = attack.run_and_count(&forgery.datagrams, counter);
                    assert!(pair.connected(), "{name}: {:?}", pair.ends[target].events);
                    pair.run(Duration::from_millis(200));
                    pair.check_keys();
                    pair.check_data();
                    let stats = pair.ends[target].session.stats();
                    assert_eq!(counted, expected, "{name}: {stats:?}");
                    assert_eq!(stats.restarts, 0, "{name}");
                }
            }
        }
    }
}

/// The same without the filter: this is what it is for. An entry that no longer dies means that the engine got better.
#[test]
fn without_the_filter_the_engine_dies_of_them() {
    let mut wrong = Vec::new();
    for forgery in forgeries() {
        for &case in CASES.iter().filter(|case| case.engine == Engine::Dimpl) {
            for target in [CLIENT, SERVER] {
                for when in [When::Before, When::In, When::After] {
                    let pair = Attack { case, filtered: false, target, when }.run(&forgery.datagrams);
                    let closed =
                        pair.ends[target].events.iter().find(|event| matches!(event, Event::Closed(_)));
                    if closed.is_some() != (forgery.deadly)(case.version, target, when) {
                        wrong.push(format!("{} {case:?} {target} {when:?}: {closed:?}", forgery.name));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The datagrams of the server's first flight, cut to a room, in reverse.
fn reversed(case: Case, filtered: bool) -> Pair {
    let server = case.up_to();
    let mut pair = Pair::with(9, &case.any(), &server);
    pair.ends[CLIENT].session.unfiltered = !filtered;
    pair.start();
    for datagram in pair.take(CLIENT) {
        pair.inject(SERVER, &datagram);
    }
    pair.room = 450;
    let mut flight = pair.take(SERVER);
    pair.room = 1200;
    assert!(flight.len() > 1);
    flight.reverse();
    for datagram in flight {
        pair.inject(CLIENT, &datagram);
    }
    pair
}

#[test]
fn a_reordered_first_flight_costs_no_retransmission() {
    for &case in CASES {
        let mut pair = reversed(case, true);
        let begin = pair.now;
        assert!(pair.run_until(Duration::from_secs(5), Pair::connected), "{:?}", pair.ends[CLIENT].events);
        assert!(pair.now - begin <= pair.link.latency * 2, "{case:?}: nothing had to be sent again");
        pair.run(Duration::from_millis(200));
        pair.check_data();
        if case.engine == Engine::OpenSsl {
            continue;
        }
        let mut pair = reversed(case, false);
        pair.run(Duration::from_secs(32));
        let died = Event::Closed(CloseReason::Handshake(HandshakeFailure::UnexpectedMessage));
        assert_eq!(pair.ends[CLIENT].events, [died], "{case:?}");
    }
}

/// Every length from 0 to 64, type from 20 to 26 and epoch from 0 to 3, and every kind of header of DTLS 1.3.
fn short_records() -> Vec<Vec<u8>> {
    let mut forged = Vec::new();
    for length in 0..=64 {
        for content_type in 20..=26 {
            for epoch in 0..4 {
                let fill = if content_type == 22 { 0xee } else { 7 };
                forged.push(record(content_type, epoch, 5000 + length, &vec![fill; length as usize]));
            }
        }
        for flags in 0x20..=0x3f {
            let header = [flags, 0, 9, 0, length as u8];
            forged.push([&header[..], &vec![7; length as usize]].concat());
        }
    }
    forged
}

#[test]
fn every_short_record_after_the_handshake_is_counted_once() {
    for &case in CASES {
        for target in [CLIENT, SERVER] {
            let mut pair = Attack { case, filtered: true, target, when: When::After }.run(&[]);
            pair.check_data();
            for forged in short_records() {
                let before = pair.ends[target].session.stats().dropped();
                pair.inject(target, &forged);
                let after = pair.ends[target].session.stats().dropped();
                // A header without a length takes all there is; a length below what there is leaves a rest.
                assert!((1..=3).contains(&(after - before)), "{case:?} {target} {forged:?}");
                if forged[0] < 0x20 {
                    assert_eq!(after - before, 1, "{case:?} {target} {forged:?}");
                }
            }
            pair.check_data();
        }
    }
}

#[test]
fn every_short_record_of_every_type_and_epoch_in_every_stage() {
    for &case in CASES {
        for target in [CLIENT, SERVER] {
            for when in [When::Before, When::In, When::After] {
                let forged = short_records();
                let mut pair = Attack { case, filtered: true, target, when }.run(&forged);
                assert!(
                    pair.connected(),
                    "{case:?} {target} {when:?} {:?}",
                    pair.ends[target].session.stats()
                );
                pair.run(Duration::from_millis(200));
                pair.check_data();
                assert_eq!(pair.ends[target].session.stats().restarts, 0);
                assert!(pair.ends[target].data.len() == 1, "only what was sent");
            }
        }
    }
}

#[test]
fn random_datagrams_and_changed_genuine_ones_end_nothing() {
    for &case in CASES {
        let config = case.up_to();
        let mut pair = Pair::with(10, &config, &config);
        pair.connect();
        let mut rng = Rng::from_u64(11);
        let genuine: Vec<Vec<u8>> = pair.ends.iter().flat_map(|end| end.sent.clone()).collect();
        for _ in 0..10_000 {
            let target = rng.below(2) as usize;
            let mut datagram = if rng.below(2) == 0 {
                let mut random = vec![0; rng.below(100) as usize + 1];
                rng.fill(&mut random);
                random[0] = 20 + (random[0] % 44);
                random
            } else {
                genuine[rng.below(genuine.len() as u32) as usize].clone()
            };
            let at = rng.below(datagram.len() as u32) as usize;
            datagram[at] ^= 1 << rng.below(8);
            pair.inject(target, &datagram);
            for end in [CLIENT, SERVER] {
                pair.take(end);
            }
        }
        assert!(pair.connected());
        pair.check_data();
        assert!(pair.ends.iter().all(|end| end.data.len() == 1));
    }
}

#[test]
fn a_huge_forged_sequence_number_does_not_move_the_replay_window() {
    for &case in CASES {
        let config = case.up_to();
        let mut pair = Pair::with(12, &config, &config);
        pair.connect();
        pair.check_data();
        for target in [CLIENT, SERVER] {
            for sequence in [1 << 47, (1 << 48) - 1] {
                pair.inject(target, &record(23, 1, sequence, &[9; 60]));
            }
            pair.inject(target, &[&[0x2f, 0xff, 0xff, 0, 60], &[9; 60][..]].concat());
        }
        pair.check_data();
    }
}

#[test]
fn a_replayed_record_is_delivered_once() {
    for &case in CASES {
        let config = case.up_to();
        let mut pair = Pair::with(13, &config, &config);
        pair.connect();
        let mut out = Vec::new();
        pair.ends[CLIENT].session.seal(pair.now, b"once", &mut out).unwrap();
        let before = pair.ends[SERVER].session.stats().without_data;
        for _ in 0..10 {
            pair.inject(SERVER, &out);
        }
        assert_eq!(pair.ends[SERVER].data, [&b"once"[..]]);
        assert_eq!(pair.ends[SERVER].session.stats().without_data, before + 9);
    }
}

/// A nonce of AES-GCM must never come twice under a key; in DTLS 1.2 it is on the wire (RFC 5288 section 3), in 1.3 it
/// is the number of the record, of which 16 bits are.
#[test]
fn no_two_records_have_the_same_nonce() {
    for &case in CASES {
        let mut pair = Pair::with(14, &case.only(), &case.only());
        pair.connect();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..10_000 {
            let mut out = Vec::new();
            pair.ends[CLIENT].session.seal(pair.now, b"x", &mut out).unwrap();
            let nonce = if case.version == Version::Dtls12 { &out[13..21] } else { &out[..] };
            assert!(seen.insert(nonce.to_vec()), "{case:?}");
        }
    }
}

/// Whoever has seen a certificate can show it, but not sign with its key (CVE-2022-29222).
#[test]
#[cfg(feature = "dimpl")]
fn a_certificate_without_its_key_connects_nobody() {
    use super::pair::{End, UNIX};
    use crate::Certificate;
    for &case in CASES {
        for thief in [CLIENT, SERVER] {
            let attacker = Case { engine: Engine::Dimpl, version: case.version }.only();
            let mut configs = [case.only(), case.only()];
            configs[thief] = attacker.clone();
            let mut pair = Pair::with(15, &configs[CLIENT], &configs[SERVER]);
            let stolen = Certificate::generate(UNIX).unwrap();
            let own = Certificate::generate(UNIX).unwrap();
            pair.ends[thief] = End::with(&attacker, stolen.with_key_of(&own), pair.now);
            pair.start();
            pair.run(Duration::from_secs(32));
            let victim = &pair.ends[1 - thief];
            let connected = victim.events.iter().any(|event| matches!(event, Event::Connected(_)));
            assert!(!connected, "{case:?} {thief}: {:?}", victim.events);
            // With its key it would have been let in.
            let mut pair = Pair::with(15, &configs[CLIENT], &configs[SERVER]);
            pair.ends[thief] = End::with(&attacker, stolen, pair.now);
            pair.connect();
        }
    }
}

/// What OpenSSL dies of without the filter, whatever its release: the newer ones survive short records and bound what
/// they hold.
#[test]
#[cfg(feature = "openssl")]
fn without_the_filter_openssl_dies_of_some_of_them_too() {
    let case = Case { engine: Engine::OpenSsl, version: Version::Dtls12 };
    let deadly = [
        ("fatal alert", CLIENT, When::Before),
        ("fatal alert", CLIENT, When::In),
        ("fatal alert", SERVER, When::In),
        ("HelloRequest 1", CLIENT, When::Before),
    ];
    let mut died = Vec::new();
    for forgery in forgeries() {
        for target in [CLIENT, SERVER] {
            for when in [When::Before, When::In, When::After] {
                let pair = Attack { case, filtered: false, target, when }.run(&forgery.datagrams);
                if pair.ends[target].events.iter().any(|event| matches!(event, Event::Closed(_))) {
                    died.push((forgery.name, target, when));
                }
            }
        }
    }
    assert!(deadly.iter().all(|forgery| died.contains(forgery)), "{died:?}");
}
