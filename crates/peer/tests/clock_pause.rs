//! A machine that sleeps in the middle of a call: what it does when it wakes, and what the other side does meanwhile.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Call, Clock, binary, body, configs, pair_of};
use taut_netsim::NodeId;
use taut_peer::{ChannelId, CloseReason, Config, ConnectionState, Event};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// The clock of a machine may stop while it sleeps, as the monotonic clock of Linux does, or go on.
const CLOCKS: [Clock; 2] = [Clock::Stops, Clock::GoesOn];

/// More than this at once is a storm: checks on every pair, consent, reports and data that was waiting.
const MOST_AT_ONCE: usize = 64;

/// How long who wakes may take to give up: 30 s without consent (RFC 7675 section 5.1), or, where the clock says at once
/// that consent is gone, the seven transmissions of a check of every pair (RFC 8445 section 14.3).
const IN_TIME: Duration = Duration::from_secs(40);

fn state(call: &mut Call, side: NodeId) -> ConnectionState {
    call.peer(side).connection_state()
}

/// A call in which one side has slept for so long; it still does. The other one has sent 20 messages, if it is a.
fn sleep(config: &Config, sleeper: fn(&Call) -> NodeId, clock: Clock, length: Duration) -> (Call, ChannelId) {
    let (mut call, id) = pair_of(40, config.clone());
    let sleeper = sleeper(&call);
    let (now, awake) = (call.now(), call.other(sleeper));
    call.side(sleeper).sleep(now, clock);
    if awake == call.a {
        for number in 0..20 {
            call.peer(awake).send(now, id, binary(body(number, 1_000))).unwrap();
        }
    }
    call.run_for(length);
    (call, id)
}

fn sides() -> [fn(&Call) -> NodeId; 2] {
    [|call| call.a, |call| call.b]
}

#[test]
fn a_short_sleep_costs_nothing_but_time() {
    for config in configs() {
        for clock in CLOCKS {
            let (mut call, id) = sleep(&config, |call| call.b, clock, 15 * SECOND);
            let (a, b) = (call.a, call.b);
            assert_eq!(state(&mut call, a), ConnectionState::Disconnected, "{clock:?}");
            call.wake(b);
            let all = call.run_until(10 * SECOND, |w, _, b| w.node(b).message_count() == 20);
            assert!(all, "{clock:?}: {}", call.side(b).message_count());
            assert!(call.connect(10 * SECOND), "{clock:?}");
            let now = call.now();
            call.peer(a).send(now, id, binary(body(20, 1_000))).unwrap();
            assert!(call.run_until(5 * SECOND, |w, _, b| w.node(b).message_count() == 21));
        }
    }
}

#[test]
fn the_other_side_reports_a_long_sleep_in_time_and_frees_everything() {
    for config in configs() {
        for sleeper in sides() {
            let (mut call, _) = sleep(&config, sleeper, Clock::Stops, Duration::ZERO);
            let begin = call.now();
            let awake = call.other(sleeper(&call));
            let failed = call.run_until(60 * SECOND, |w, _, _| {
                w.node(awake).peer.connection_state() == ConnectionState::Failed
            });
            let after = call.now() - begin;
            assert!(failed && after > 20 * SECOND && after <= 35 * SECOND, "after {after:?}");
            let failures = |call: &mut Call| {
                let failed = Event::ConnectionStateChange(ConnectionState::Failed);
                call.side(awake).events.iter().filter(|event| **event == failed).count()
            };
            assert_eq!(failures(&mut call), 1);
            // The application closes it, as one does: nothing is left to be done or said.
            let now = call.now();
            call.peer(awake).close(now);
            call.run_for(SECOND);
            assert!(call.peer(awake).is_closed());
            assert_eq!(call.side(awake).events.last(), Some(&Event::Closed(CloseReason::Local)));
            assert_eq!(call.peer(awake).poll_timeout(), None);
            let now = call.now();
            assert_eq!(call.peer(awake).poll_transmit(now, 1, &mut Vec::new()), None);
            assert_eq!(failures(&mut call), 1);
        }
    }
}

#[test]
fn who_wakes_after_the_end_notices_without_a_storm() {
    for config in configs() {
        for (sleeper, length) in sides().into_iter().flat_map(|side| [(side, 60), (side, 600)]) {
            for clock in CLOCKS {
                let (mut call, _) = sleep(&config, sleeper, clock, Duration::from_secs(length));
                let sleeper = sleeper(&call);
                let awake = call.other(sleeper);
                assert_eq!(state(&mut call, awake), ConnectionState::Failed);
                let now = call.now();
                call.peer(awake).close(now);
                call.run_for(SECOND);
                let before = call.side(sleeper).sent.len();
                let events = call.side(sleeper).events.len();
                call.wake(sleeper);
                // netsim itself ends a test in which a node is woken again and again at one instant.
                call.run_for(100 * MS);
                let sent = call.side(sleeper).sent.len() - before;
                assert!(sent <= MOST_AT_ONCE, "{clock:?} {length} s: {sent} datagrams at once");
                let over = |state| matches!(state, ConnectionState::Failed | ConnectionState::Closed);
                let noticed =
                    call.run_until(IN_TIME, |w, _, _| over(w.node(sleeper).peer.connection_state()));
                assert!(noticed, "{clock:?} {length} s: {:?}", state(&mut call, sleeper));
                let sent = call.side(sleeper).sent.len() - before;
                assert!(
                    sent <= IN_TIME.as_secs() as usize * MOST_AT_ONCE,
                    "{clock:?} {length} s: {sent} datagrams"
                );
                let told = call.side(sleeper).events.len() - events;
                assert!(told <= 16, "{clock:?} {length} s: {:?}", &call.side(sleeper).events[events..]);
            }
        }
    }
}
