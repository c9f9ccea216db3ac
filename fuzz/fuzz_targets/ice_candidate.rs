//! A candidate that parses writes itself so that it parses to the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taut_ice::{Candidate, MAX_CANDIDATE_LEN};

fuzz_target!(|text: &str| {
    if let Ok(candidate) = text.parse::<Candidate>() {
        let written = candidate.to_string();
        // What is written may have a prefix that the text had not.
        if written.len() > MAX_CANDIDATE_LEN {
            return;
        }
        let again: Candidate = written.parse().expect("what was written parses");
        assert_eq!(again, candidate);
    }
});
