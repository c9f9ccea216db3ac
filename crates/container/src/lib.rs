//! Media files, read and written without I/O: [`ivf`] (VP8 and other video frames) and [`ogg`] with Opus.
//!
//! A reader gets the whole file as [`bytes::Bytes`] and hands out frames that are slices of it; a writer appends to a
//! `Vec<u8>`, which the caller writes to a file as it likes. Nothing here can panic on any input, and nothing is
//! allocated that the octets of the file do not justify.

pub mod ivf;
pub mod ogg;
