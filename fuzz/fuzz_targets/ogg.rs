//! Packets that were read can be written and read again.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use taut_container::ogg::{OpusReader, OpusWriter};

fuzz_target!(|file: &[u8]| {
    let Ok(mut reader) = OpusReader::new(Bytes::copy_from_slice(file)) else { return };
    let mut out = Vec::new();
    let mut writer = OpusWriter::new(*reader.head(), 7, &mut out);
    let mut packets = Vec::new();
    let mut turns = 0;
    while let Some(packet) = reader.next_packet() {
        turns += 1;
        assert!(turns <= file.len(), "every packet takes an octet of the file");
        let Ok(packet) = packet else { continue };
        if writer.write_packet(&packet.data, &mut out).is_ok() {
            packets.push(packet.data);
        }
    }
    writer.finish(&mut out);
    let mut again = OpusReader::new(out.into()).expect("what was written reads");
    for packet in packets {
        assert_eq!(again.next_packet().expect("a packet").expect("what was written reads").data, packet);
    }
    assert!(again.next_packet().is_none());
});
