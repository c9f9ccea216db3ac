//! A peer that is a lite agent of ICE, as servers are.
#![allow(clippy::disallowed_methods, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Call, What, assert_alive, config};
use taut_netsim::Link;
use taut_peer::{ChannelInit, IceRole};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_lite_peer_connects_in_both_roles_and_says_what_it_is() {
    for lite_offers in [true, false] {
        let configs = [config().with_ice_lite(lite_offers), config().with_ice_lite(!lite_offers)];
        let [config_a, config_b] = configs;
        let mut call = Call::with_configs(1, Link::default().latency(10 * MS), config_a, config_b);
        let (now, a) = (call.now(), call.a);
        let id = call.peer(a).create_data_channel(now, ChannelInit::new("x")).unwrap();
        call.negotiate(a);
        let lite = if lite_offers { call.a } else { call.b };
        let full = call.other(lite);
        let says = |sdp: String| sdp.contains("a=ice-lite\r\n");
        assert!(says(call.peer(lite).local_description().unwrap().sdp));
        assert!(!says(call.peer(full).local_description().unwrap().sdp));
        assert!(call.connect(5 * SECOND), "the lite side offers: {lite_offers}");
        call.run_for(60 * SECOND);
        assert_alive(&mut call, id);
        let now = call.now();
        let role = |call: &mut Call, id| call.peer(id).stats(now).transport().unwrap().ice_role;
        assert_eq!(
            (role(&mut call, lite), role(&mut call, full)),
            (IceRole::Controlled, IceRole::Controlling)
        );
        // All STUN of the lite side is answers.
        let asked = call.side(full).count(What::Stun);
        assert!(call.side(lite).count(What::Stun) <= asked);
        // It restarts as others do.
        let before = call.peer(lite).local_description();
        call.peer(lite).restart_ice(now);
        call.negotiate(lite);
        call.run_for(5 * SECOND);
        assert_ne!(call.peer(lite).local_description(), before);
        call.run_for(60 * SECOND);
        assert_alive(&mut call, id);
    }
}
