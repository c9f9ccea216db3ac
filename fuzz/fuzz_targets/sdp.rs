//! A description that parses writes itself so that it parses to the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taut_sdp::Session;

fuzz_target!(|text: &str| {
    if let Ok(session) = Session::parse(text) {
        let again = Session::parse(&session.to_string()).expect("what was written parses");
        assert_eq!(again, session);
    }
});
