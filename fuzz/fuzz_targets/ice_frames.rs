//! Frames of ICE over TCP (RFC 4571), cut anywhere: the same datagrams come out however the stream is cut, and again when they are
//! framed anew.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taut_ice::{Deframer, MAX_FRAME, frame};

/// The datagrams of a stream that is read in pieces, and whether it broke.
fn datagrams(stream: &[u8], piece: usize, limit: usize) -> (Vec<Vec<u8>>, bool) {
    let mut deframer = Deframer::new();
    deframer.set_limit(limit);
    let mut datagrams = Vec::new();
    for read in stream.chunks(piece.max(1)) {
        deframer.push(read);
        loop {
            match deframer.poll_datagram() {
                Ok(Some(datagram)) => {
                    assert!(!datagram.is_empty() && datagram.len() <= limit);
                    datagrams.push(datagram.to_vec());
                }
                Ok(None) => break,
                Err(_) => return (datagrams, true),
            }
        }
    }
    (datagrams, false)
}

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (piece, limit, octets) = input;
    let limit = if limit == 0 { MAX_FRAME } else { usize::from(limit) };
    let whole = datagrams(octets, octets.len(), limit);
    assert_eq!(datagrams(octets, usize::from(piece), limit), whole);
    let mut again = Vec::new();
    for datagram in &whole.0 {
        assert!(frame(datagram, &mut again));
    }
    assert_eq!(datagrams(&again, usize::from(piece), limit), (whole.0, false));
});
