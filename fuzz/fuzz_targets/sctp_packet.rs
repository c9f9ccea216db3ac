//! The parser of packets, behind a right header: one association that waits, and one that has sent INIT.
#![no_main]

use std::time::{Duration, Instant};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use taut_fuzz::{drain, sctp_packet};
use taut_sansio::rng::Rng;
use taut_sctp::{Association, Config, State};

fuzz_target!(|chunks: &[u8]| {
    let mut now = Instant::now();
    let mut waiting = Association::new(Config::default(), Rng::from_u64(1));
    let mut calling = Association::new(Config::default(), Rng::from_u64(2));
    calling.connect(now);
    let mut init = Vec::new();
    while calling.poll_transmit(now, 1_200, &mut init).is_some() {}
    // The verification tag that an answer to INIT has is the initiate tag of its first chunk.
    let tag = u32::from_be_bytes([init[16], init[17], init[18], init[19]]);
    let mut out = Vec::new();
    for (association, tag) in [(&mut waiting, 0), (&mut calling, tag)] {
        for packet in [sctp_packet(tag, chunks), chunks.to_vec()] {
            let had = packet.len();
            out.clear();
            association.handle_packet(now, Bytes::from(packet));
            drain(|| association.poll_transmit(now, 1_200, &mut out).is_some());
            assert!(out.len() <= 2 * had + 1_200, "{} octets answer {had}", out.len());
            assert!(association.poll_read(now).is_none(), "nothing was established");
            drain(|| association.poll_event().is_some());
            now += Duration::from_millis(10);
            association.handle_timeout(now);
        }
    }
    assert!(waiting.state() != State::Established, "a cookie was forged");
});
