//! ChannelData, and a stream of it and STUN, cut anywhere: the same messages come out however it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taut_turn::{ChannelData, Deframer, MAX_PARTIAL};

/// The messages of a stream that is read in pieces, and whether it broke.
fn messages(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let mut deframer = Deframer::new();
    let mut messages = Vec::new();
    for read in stream.chunks(piece.max(1)) {
        deframer.push(read);
        loop {
            match deframer.poll_message() {
                Ok(Some(message)) => {
                    assert!(message.len() < MAX_PARTIAL);
                    messages.push(message.to_vec());
                }
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, octets) = input;
    if let Ok(view) = ChannelData::parse(octets) {
        assert!(view.payload().len() + 4 <= octets.len());
        assert_eq!(view.number().get(), u16::from_be_bytes([octets[0], octets[1]]));
    }
    let whole = messages(octets, octets.len());
    assert_eq!(messages(octets, usize::from(piece)), whole);
    for message in whole.0 {
        assert!(message[0] < 4 || ChannelData::parse(&message).is_ok());
    }
});
