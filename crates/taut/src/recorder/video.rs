//! Pictures to IVF.

use std::io::{self, Seek, SeekFrom, Write};
use std::time::Duration;

use taut_container::ivf;
use taut_peer::Frame;
use taut_peer::rtp::payload::vp8;

/// The unit of the times in the file: a sixtieth of a second. FFmpeg guesses a frame rate from the first pictures and wants
/// no two of the others closer than that. On this grid, which the second picture leaves no doubt of, it finds 60 a
/// second whatever the rate is, and a camera whose pictures come unevenly, or faster later, is no error.
const TIME_BASE: ivf::TimeBase = ivf::TimeBase::new(1, UNITS_PER_SECOND as u32).expect("neither is zero");
const UNITS_PER_SECOND: u128 = 60;

/// A file of pictures. It begins with a key frame, and after a loss goes on with one.
#[derive(Debug)]
pub(super) struct VideoFile<W> {
    out: W,
    state: State,
    /// What is written of the file in one piece.
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// Nothing is written.
    Empty,
    /// Every picture so far can be decoded.
    Whole(Written),
    /// Something is missing, only a key frame helps.
    Broken(Written),
}

/// What is in the file.
#[derive(Debug)]
struct Written {
    writer: ivf::Writer,
    pictures: u64,
    /// The time of the last picture, in units of the file.
    last: u64,
}

impl<W: Write + Seek> VideoFile<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, state: State::Empty, buffer: Vec::new() }
    }

    /// True until a key frame comes.
    pub(super) fn needs_keyframe(&self) -> bool {
        !matches!(self.state, State::Whole(_))
    }

    pub(super) fn pictures(&self) -> u64 {
        match &self.state {
            State::Empty => 0,
            State::Whole(written) | State::Broken(written) => written.pictures,
        }
    }

    /// Writes a picture at a time from the beginning of the recording, if it can be decoded.
    pub(super) fn write(&mut self, time: Duration, frame: &Frame) -> io::Result<()> {
        self.buffer.clear();
        self.state = match std::mem::replace(&mut self.state, State::Empty) {
            State::Empty if frame.keyframe => State::Whole(Written::begin(frame, &mut self.buffer)),
            State::Whole(written) if !frame.keyframe && !frame.contiguous => State::Broken(written),
            State::Broken(written) if frame.keyframe => State::Whole(written),
            state => state,
        };
        if let State::Whole(written) = &mut self.state {
            written.add(time, frame, &mut self.buffer)?;
        }
        self.out.write_all(&self.buffer)
    }

    /// Writes the length into the header: in the field for the number of frames, in units of the time base, as FFmpeg reads
    /// and writes it. Where the unit is a frame, as in the files of libvpx, the two are the same.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if let State::Whole(written) | State::Broken(written) = self.state {
            self.buffer.clear();
            // The last picture is shown for as long as the others on average.
            let length = u128::from(written.last) * u128::from(written.pictures)
                / u128::from(written.pictures.saturating_sub(1).max(1));
            let frames = u32::try_from(length).unwrap_or(u32::MAX);
            ivf::Header { frames, ..written.writer.finish() }.write(&mut self.buffer);
            self.out.seek(SeekFrom::Start(0))?;
            self.out.write_all(&self.buffer)?;
        }
        self.out.flush()
    }
}

impl Written {
    /// The header says the size of the first picture; later ones say theirs themselves.
    fn begin(frame: &Frame, buffer: &mut Vec<u8>) -> Self {
        let (width, height) = vp8::keyframe_size(&frame.data).unwrap_or_default();
        let header = ivf::Header { fourcc: *b"VP80", width, height, time_base: TIME_BASE, frames: 0 };
        Self { writer: ivf::Writer::new(header, buffer), pictures: 0, last: 0 }
    }

    fn add(&mut self, time: Duration, frame: &Frame, buffer: &mut Vec<u8>) -> io::Result<()> {
        let units = (time.as_nanos() * UNITS_PER_SECOND + 500_000_000) / 1_000_000_000;
        let units = u64::try_from(units).unwrap_or(u64::MAX);
        let units = match self.pictures {
            0 => units,
            // A unit earlier than the pictures that follow let expect.
            1 => units.saturating_sub(1).max(self.last.saturating_add(1)),
            _ => units.max(self.last.saturating_add(1)),
        };
        let time = Duration::from_nanos(
            u64::try_from(u128::from(units) * 1_000_000_000 / UNITS_PER_SECOND).unwrap_or(u64::MAX),
        );
        let written = self.writer.write_frame(time, &frame.data, buffer);
        written.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        self.last = units;
        self.pictures += 1;
        Ok(())
    }
}
