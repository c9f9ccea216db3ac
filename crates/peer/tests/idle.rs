//! What a connection costs on which nothing happens.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Call, assert_alive};
use taut_netsim::Link;
use taut_peer::ChannelInit;

const SECOND: Duration = Duration::from_secs(1);

/// Ten minutes of a data channel on which nobody sends.
#[test]
fn an_idle_connection_wakes_ten_times_a_minute_at_most_beyond_consent() {
    let mut call = Call::new(1, Link::default().latency(Duration::from_millis(50)));
    let (now, a) = (call.now(), call.a);
    let id = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
    call.negotiate(a);
    assert!(call.connect(5 * SECOND));
    call.run_for(60 * SECOND);
    let sides = [call.a, call.b];
    let count = |call: &mut Call| {
        sides.map(|id| {
            let now = call.now();
            let asked = call.peer(id).stats(now).selected_pair().expect("a pair").consent_requests_sent;
            (call.side(id).wakes, asked)
        })
    };
    let before = count(&mut call);
    call.run_for(600 * SECOND);
    let after = count(&mut call);
    for (before, after) in before.into_iter().zip(after) {
        let (wakes, consent) = (after.0 - before.0, after.1 - before.1);
        println!("{wakes} wake-ups in ten minutes, {consent} of them for consent");
        assert!((100..=150).contains(&consent), "every 4 to 6 s: {consent}");
        assert!(wakes.saturating_sub(consent) <= 100, "{wakes} wake-ups, {consent} of them for consent");
    }
    assert_alive(&mut call, id);
}
