//! The two directions of a session.

use bytes::BytesMut;

use crate::cipher::Cipher;
use crate::error::{KeyError, ProtectError, UnprotectError};
use crate::kdf::{Master, Use};
use crate::profile::Profile;
use crate::rtcp::{RtcpInbound, RtcpOutbound};
use crate::rtp::{RtpInbound, RtpOutbound};

/// Protects what this side sends.
pub struct Outbound {
    profile: Profile,
    pub(crate) rtp: RtpOutbound,
    pub(crate) rtcp: RtcpOutbound,
}

impl Outbound {
    /// From the master key and salt of this side.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, KeyError> {
        let master = Master::new(profile, key, salt)?;
        let cipher = |purpose| Cipher::derive(profile, &master, purpose);
        Ok(Self {
            profile,
            rtp: RtpOutbound::new(cipher(Use::Rtp)?),
            rtcp: RtcpOutbound::new(cipher(Use::Rtcp)?),
        })
    }

    /// Protects the RTP packet that begins at `start` and ends `out`, in place: [`Profile::rtp_overhead`] octets are
    /// appended. An error leaves `out` as it was.
    ///
    /// Sequence numbers may come out of order by less than 128, and none may come twice.
    pub fn protect_rtp(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), ProtectError> {
        self.rtp.protect(out, start)
    }

    /// Protects the RTCP packet, single or compound, that begins at `start` and ends `out`, in place:
    /// [`Profile::rtcp_overhead`] octets are appended. An error leaves `out` as it was.
    pub fn protect_rtcp(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), ProtectError> {
        self.rtcp.protect(out, start)
    }

    /// The profile.
    pub fn profile(&self) -> Profile {
        self.profile
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound")
            .field("profile", &self.profile)
            .field("rtp_sources", &self.rtp.sources())
            .finish_non_exhaustive()
    }
}

/// Unprotects what the other side sent.
pub struct Inbound {
    profile: Profile,
    pub(crate) rtp: RtpInbound,
    pub(crate) rtcp: RtcpInbound,
}

impl Inbound {
    /// From the master key and salt of the other side.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, KeyError> {
        let master = Master::new(profile, key, salt)?;
        let cipher = |purpose| Cipher::derive(profile, &master, purpose);
        Ok(Self {
            profile,
            rtp: RtpInbound::new(cipher(Use::Rtp)?),
            rtcp: RtcpInbound::new(cipher(Use::Rtcp)?),
        })
    }

    /// Unprotects an SRTP packet in place: it becomes the RTP packet. After an error it is to be dropped.
    pub fn unprotect_rtp(&mut self, packet: &mut BytesMut) -> Result<(), UnprotectError> {
        self.rtp.unprotect(packet)
    }

    /// Unprotects an SRTCP packet in place: it becomes the RTCP packet, single or compound. After an error it is to be
    /// dropped.
    pub fn unprotect_rtcp(&mut self, packet: &mut BytesMut) -> Result<(), UnprotectError> {
        self.rtcp.unprotect(packet)
    }

    /// The profile.
    pub fn profile(&self) -> Profile {
        self.profile
    }
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbound")
            .field("profile", &self.profile)
            .field("rtp_sources", &self.rtp.sources())
            .field("rtcp_sources", &self.rtcp.sources())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
