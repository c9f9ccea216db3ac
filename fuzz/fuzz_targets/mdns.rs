//! The querier against datagrams from anybody on the link.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use taut_mdns::Querier;
use taut_sansio::rng::Rng;

fuzz_target!(|datagrams: Vec<Vec<u8>>| {
    let mut now = Instant::now();
    let mut querier = Querier::new(Rng::from_u64(1));
    querier.query(now, "0.local");
    querier.query(now, "01234567-89ab-cdef-0123-456789abcdef.local");
    let mut out = Vec::new();
    for datagram in datagrams {
        querier.handle_datagram(now, &datagram);
        while querier.poll_transmit(now, &mut out).is_some() {}
        while querier.poll_event().is_some() {}
        now += Duration::from_millis(100);
        querier.handle_timeout(now);
    }
});
