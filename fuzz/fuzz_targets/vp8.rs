//! The VP8 depacketizer, over a run of payloads.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use taut_rtp::payload::vp8::{self, Depacketizer, Payload};

fuzz_target!(|payloads: Vec<(Vec<u8>, bool)>| {
    let mut depacketizer = Depacketizer::new();
    for (payload, marker) in payloads {
        let _ = Payload::parse(&payload).map(|payload| (payload.starts_frame(), payload.starts_keyframe()));
        let _ = (vp8::is_keyframe(&payload), vp8::keyframe_size(&payload));
        let _ = depacketizer.push(&Bytes::from(payload), marker);
    }
});
