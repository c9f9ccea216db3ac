//! The header view and the packet agree, and a packet that parses writes itself back.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use taut_rtp::{HeaderView, Packet};

fuzz_target!(|datagram: &[u8]| {
    let view = HeaderView::parse(datagram);
    if let Ok(view) = &view {
        assert!(view.header_len() <= datagram.len());
        let _ = view.payload();
        let _ = view.extensions().count();
    }
    if let Ok(packet) = Packet::parse(Bytes::copy_from_slice(datagram)) {
        assert!(view.is_ok());
        let mut out = Vec::new();
        packet.write(&mut out);
        assert_eq!(out.len(), packet.encoded_len());
        let again = Packet::parse(out.into()).expect("what was written parses");
        assert_eq!(again.payload, packet.payload);
        assert_eq!(again.sequence, packet.sequence);
    }
});
