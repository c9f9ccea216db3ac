//! The table-of-contents octet of Opus.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taut_rtp::payload::opus::Toc;

fuzz_target!(|packet: &[u8]| {
    if let Ok(toc) = Toc::parse(packet) {
        assert!(toc.samples() <= 5760, "a packet is at most 120 ms (RFC 6716 section 3.2.5)");
        let _ = toc.duration();
    }
});
