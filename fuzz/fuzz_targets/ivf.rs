//! A file that reads writes itself so that it reads to the same frames.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use taut_container::ivf::{Reader, Writer};

fuzz_target!(|file: &[u8]| {
    let Ok(mut reader) = Reader::new(Bytes::copy_from_slice(file)) else { return };
    let mut out = Vec::new();
    let mut writer = Writer::new(*reader.header(), &mut out);
    let mut frames = Vec::new();
    while let Some(Ok(frame)) = reader.next_frame() {
        // Times are rounded to nanoseconds, so the tick that comes back is the same only where a tick is longer.
        if writer.write_frame(frame.timestamp, &frame.data, &mut out).is_ok() {
            frames.push(frame.data);
        }
    }
    let mut again = Reader::new(out.into()).expect("what was written reads");
    for frame in frames {
        assert_eq!(again.next_frame().expect("a frame").expect("what was written reads").data, frame);
    }
    assert!(again.next_frame().is_none());
});
