//! Sound to Ogg. The file has no times but the sum of its packets, so that what is missing must be filled.

use std::io::{self, Write};
use std::time::Duration;

use taut_container::ogg;
use taut_peer::rtp::payload::opus;

use super::timeline::nanos;

/// Samples in a second (RFC 7845 section 4).
const RATE: i128 = 48_000;

/// How far sound may be from its time before silence is put in, or a packet left out: 15 ms, less than a packet, more
/// than reports of a sender wander.
const TOLERANCE: i128 = RATE * 15 / 1_000;

/// Packets of silence, the longest first, with their samples: one CELT frame whose first bit says that it is silent
/// (RFC 6716 section 4.3).
const SILENCE: [(i128, [u8; 3]); 4] = [
    (960, [0xfc, 0xff, 0xfe]),
    (480, [0xf4, 0xff, 0xfe]),
    (240, [0xec, 0xff, 0xfe]),
    (120, [0xe4, 0xff, 0xfe]),
];

/// A file of sound. It begins at the time zero of the recording, to a sample.
#[derive(Debug)]
pub(super) struct AudioFile<W> {
    out: W,
    written: Option<Written>,
    packets: u64,
    /// What is written of the file in one piece.
    buffer: Vec<u8>,
}

/// What is in the file.
#[derive(Debug)]
struct Written {
    writer: ogg::OpusWriter,
    /// Where the next packet begins, in samples from the time zero; the first ones may be before it and are not played.
    position: i128,
}

impl<W: Write> AudioFile<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, written: None, packets: 0, buffer: Vec::new() }
    }

    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    /// How long it plays.
    pub(super) fn length(&self) -> Duration {
        let samples = self.written.as_ref().map_or(0, |written| written.position.max(0));
        Duration::from_nanos(u64::try_from(samples * 1_000_000_000 / RATE).unwrap_or(u64::MAX))
    }

    /// Writes a packet that begins at a time in nanoseconds, which may be before the time zero.
    pub(super) fn write(&mut self, time: i128, packet: &[u8]) -> io::Result<()> {
        let Ok(samples) = opus::Toc::parse(packet).map(|toc| i128::from(toc.samples())) else {
            return Ok(());
        };
        let start = (time * RATE).div_euclid(nanos(Duration::from_secs(1)));
        if start + samples <= 0 {
            return Ok(());
        }
        self.buffer.clear();
        let written = self.written.get_or_insert_with(|| Written::begin(start, &mut self.buffer));
        if written.position - start > TOLERANCE {
            // It would be late: what came before took longer than its time.
            return self.out.write_all(&self.buffer);
        }
        if start - written.position > TOLERANCE {
            written.fill(start, &mut self.buffer)?;
        }
        written.add(samples, packet, &mut self.buffer)?;
        self.packets += 1;
        self.out.write_all(&self.buffer)
    }

    /// Ends the stream.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if let Some(written) = self.written {
            self.buffer.clear();
            written.writer.finish(&mut self.buffer);
            self.out.write_all(&self.buffer)?;
        }
        self.out.flush()
    }
}

impl Written {
    /// Of a packet across the time zero a player skips the part before it.
    fn begin(start: i128, buffer: &mut Vec<u8>) -> Self {
        let position = start.min(0);
        let pre_skip = u16::try_from(-position).unwrap_or(u16::MAX);
        let head = ogg::OpusHead { pre_skip, ..ogg::OpusHead::new(2) };
        Self { writer: ogg::OpusWriter::new(head, 1, buffer), position }
    }

    fn fill(&mut self, until: i128, buffer: &mut Vec<u8>) -> io::Result<()> {
        for (samples, packet) in SILENCE {
            while self.position + samples <= until {
                self.add(samples, &packet, buffer)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, samples: i128, packet: &[u8], buffer: &mut Vec<u8>) -> io::Result<()> {
        let written = self.writer.write_packet(packet, buffer);
        written.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        self.position += samples;
        Ok(())
    }
}
