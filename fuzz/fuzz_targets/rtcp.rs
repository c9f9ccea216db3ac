//! Compound RTCP: every packet that parses writes itself back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taut_rtp::rtcp;
use taut_sansio::codec::Reader;

fuzz_target!(|datagram: &[u8]| {
    for packet in rtcp::compound(datagram) {
        let Ok(packet) = packet else { break };
        let mut out = Vec::new();
        packet.write(&mut out);
        assert_eq!(out.len(), packet.encoded_len());
        let again = rtcp::Packet::parse(&mut Reader::new(&out)).expect("what was written parses");
        assert_eq!(again, packet);
    }
});
