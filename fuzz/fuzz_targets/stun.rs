//! Parsing, attributes and integrity of STUN messages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taut_stun::{Key, Message, is_stun};

fuzz_target!(|datagram: &[u8]| {
    let _ = is_stun(datagram);
    if let Ok(message) = Message::parse(datagram) {
        for attribute in message.attributes() {
            let _ = attribute;
        }
        assert!(message.verify(&Key::short_term("a password that is not the one")).is_err());
        let _ = message.fingerprint();
    }
});
