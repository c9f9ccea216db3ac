//! Media files for WebRTC: IVF and Ogg readers and writers.
