//! Which channels a client has, and whom it hears on them. Each test fails without its check.

mod common;

use std::net::SocketAddr;

use common::play::{Play, get, method};
use common::{PEER, address};
use taut_stun::attribute::ChannelNumber;
use taut_stun::{Class, Method};
use taut_turn::{Event, MAX_CHANNELS};

/// What came on channel 0x4000.
const DATA: &[u8] = &[0x40, 0, 0, 1, 9];

/// Asks for a channel to `PEER` and grants the permission. The request for the channel, as yet unanswered.
fn asked(play: &mut Play) -> Vec<u8> {
    play.client.bind(play.now, address(PEER));
    let permission = play.request();
    grant(play, &permission);
    let request = play.request();
    assert_eq!(method(&request), Method::CHANNEL_BIND);
    request
}

fn grant(play: &mut Play, request: &[u8]) {
    play.answer(request, Class::Success, Some(&Play::key()), &|b| b);
}

fn has_channel(play: &Play) -> bool {
    play.client.overhead(address(PEER)) == 4
}

/// Another peer, and another one for every number.
fn other(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([20, 0, high, low], 9))
}

/// Others come and go: one channel each.
fn pass_by(play: &mut Play, others: std::ops::Range<u16>) {
    for peer in others.map(other) {
        play.client.bind(play.now, peer);
        play.client.forget(peer.ip());
    }
}

/// The number of the next channel that is asked for.
fn number(play: &mut Play) -> u16 {
    let requests = std::iter::from_fn(|| play.next());
    let mut binds = requests.map(|(_, request)| request).filter(|one| method(one) == Method::CHANNEL_BIND);
    let ChannelNumber(number) = get(&binds.next().expect("a request for a channel")).unwrap();
    number
}

#[test]
fn nobody_is_heard_on_a_channel_that_was_refused() {
    let mut play = Play::allocated();
    let request = asked(&mut play);
    assert!(play.give(DATA).is_some(), "the answer may be overtaken");
    play.refuse(&request, 508, Some(&Play::key()));
    assert_eq!((play.give(DATA), play.client.stats().unknown_peer), (None, 1));
    assert_eq!(play.client.poll_event(), None, "the peer itself was not refused");
}

#[test]
fn a_peer_that_is_forbidden_a_channel_is_forbidden_altogether() {
    let mut play = Play::allocated();
    let request = asked(&mut play);
    play.refuse(&request, 403, Some(&Play::key()));
    let peer = address(PEER).ip();
    let told = play.client.poll_event();
    assert_eq!(told, Some(Event::PeerRefused { peer, code: 403, reason: "no".into() }));
    play.pass(std::time::Duration::from_secs(5));
    play.client.permit(play.now, peer);
    assert!(play.next().is_none(), "it is not asked again");
    assert_eq!(play.give(DATA), None);
}

#[test]
fn a_channel_that_is_wanted_twice_is_asked_for_once() {
    let mut play = Play::allocated();
    let request = asked(&mut play);
    play.client.bind(play.now, address(PEER));
    grant(&mut play, &request);
    play.client.bind(play.now, address(PEER));
    assert!(has_channel(&play) && play.next().is_none());
    assert_eq!(play.give(DATA).unwrap().peer, address(PEER));
}

#[test]
fn a_late_answer_says_nothing_of_the_channel_that_came_after() {
    for code in [None, Some(508), Some(403)] {
        let mut play = Play::allocated();
        let first = asked(&mut play);
        play.client.forget(address(PEER).ip());
        pass_by(&mut play, 0..MAX_CHANNELS as u16);
        play.client.bind(play.now, address(PEER));
        match code {
            None => grant(&mut play, &first),
            Some(code) => play.refuse(&first, code, Some(&Play::key())),
        }
        assert!(!has_channel(&play), "the server does not know of it");
        assert_eq!(play.client.poll_event(), None);
        assert_eq!(number(&mut play), 0x4000 + MAX_CHANNELS as u16 + 1, "it is asked for: {code:?}");
    }
}

#[test]
fn the_numbers_of_those_forgotten_are_remembered_up_to_a_bound() {
    for (others, wanted) in [(MAX_CHANNELS - 1, 0x4000), (MAX_CHANNELS, 0x4001 + MAX_CHANNELS)] {
        let mut play = Play::allocated();
        play.client.bind(play.now, address(PEER));
        play.client.forget(address(PEER).ip());
        pass_by(&mut play, 0..others as u16);
        play.client.bind(play.now, address(PEER));
        assert_eq!(usize::from(number(&mut play)), wanted);
    }
}

#[test]
fn a_number_that_another_has_or_had_lately_is_not_given() {
    for forgotten in [false, true] {
        let mut play = Play::allocated();
        play.client.bind(play.now, address(PEER));
        // All numbers but the one of that peer, which is wanted now and then.
        for start in (1..4_096).step_by(32) {
            pass_by(&mut play, start..(start + 32).min(4_096));
            if forgotten {
                play.client.forget(address(PEER).ip());
                play.client.bind(play.now, address(PEER));
            }
        }
        if forgotten {
            play.client.forget(address(PEER).ip());
        }
        play.client.bind(play.now, other(5_000));
        assert_eq!(number(&mut play), 0x4001, "{forgotten}");
    }
}

#[test]
fn what_pads_data_on_a_channel_is_not_data() {
    let mut play = Play::allocated();
    asked(&mut play);
    assert_eq!(play.give(&[0x40, 0, 0, 1, 9, 0, 0, 0]).unwrap().data, &[9u8][..]);
}
