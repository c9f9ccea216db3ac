//! A description, or a fragment of one, that parses writes itself so that it parses to the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taut_sdp::{Fragment, Session};

fuzz_target!(|text: &str| {
    if let Ok(session) = Session::parse(text) {
        let again = Session::parse(&session.to_string()).expect("what was written parses");
        assert_eq!(again, session);
    }
    if let Ok(fragment) = Fragment::parse(text) {
        let again = Fragment::parse(&fragment.to_string()).expect("what was written parses");
        assert_eq!(again, fragment);
    }
});
