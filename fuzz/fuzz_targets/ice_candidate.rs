//! A candidate that parses writes itself so that it parses to the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taut_ice::Candidate;

fuzz_target!(|text: &str| {
    if let Ok(candidate) = text.parse::<Candidate>() {
        let again: Candidate = candidate.to_string().parse().expect("what was written parses");
        assert_eq!(again, candidate);
    }
});
