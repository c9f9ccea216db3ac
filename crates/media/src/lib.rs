//! RTP media sessions: jitter buffer, repair, reports and frames, without I/O.
