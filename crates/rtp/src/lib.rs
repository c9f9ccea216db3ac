//! RTP and RTCP packets, header extensions and payload formats.
