//! The ciphers: a file per family, joined in an enum. A cipher has the keys of one direction for either RTP or RTCP.

mod cm;
mod gcm;

use crate::error::KeyError;
use crate::kdf::{Master, Use};
use crate::profile::{INDEX_LEN, Profile};
use cm::Cm;
use gcm::Gcm;

/// The octets of an RTCP packet that stay in the clear: header and source.
pub(crate) const RTCP_HEADER: usize = 8;
/// The bit of the SRTCP index word that says that the packet is encrypted.
pub(crate) const ENCRYPTED: u32 = 1 << 31;

/// A packet is longer than the cipher takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// A packet's source and index, unique under a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Index {
    pub(crate) ssrc: u32,
    /// 48 bits for RTP, 31 for RTCP.
    pub(crate) index: u64,
}

/// A keyed cipher.
pub(crate) enum Cipher {
    Cm(Box<Cm>),
    Gcm(Gcm),
}

impl Cipher {
    /// The cipher of a profile with keys derived from the master key.
    pub(crate) fn derive(profile: Profile, master: &Master<'_>, purpose: Use) -> Result<Self, KeyError> {
        Ok(match profile {
            Profile::Aes128CmSha1_80 => Self::Cm(Box::new(Cm::new(
                &master.encryption_key(purpose)?,
                &master.salt(purpose)?,
                &master.authentication_key(purpose)?,
            )?)),
            Profile::AeadAes128Gcm => {
                Self::Gcm(Gcm::new(&master.encryption_key::<16>(purpose)?, master.salt(purpose)?)?)
            }
            Profile::AeadAes256Gcm => {
                Self::Gcm(Gcm::new(&master.encryption_key::<32>(purpose)?, master.salt(purpose)?)?)
            }
        })
    }

    /// Encrypts the RTP packet at the tail of `out` behind its header of `header_len` octets, and appends the tag.
    #[inline]
    pub(crate) fn seal_rtp(
        &self,
        index: Index,
        header_len: usize,
        out: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), TooLong> {
        match self {
            Self::Cm(cm) => cm.seal_rtp(index, header_len, out, start),
            Self::Gcm(gcm) => gcm.seal_rtp(index, header_len, out, start),
        }
    }

    /// Checks the tag and decrypts behind the header. Gives the length without tag, or `None` if the tag does not hold
    /// or there is no room for one.
    #[inline]
    pub(crate) fn open_rtp(&self, index: Index, header_len: usize, packet: &mut [u8]) -> Option<usize> {
        match self {
            Self::Cm(cm) => cm.open_rtp(index, header_len, packet),
            Self::Gcm(gcm) => gcm.open_rtp(index, header_len, packet),
        }
    }

    /// Encrypts the RTCP packet at the tail of `out` and appends tag and index word.
    pub(crate) fn seal_rtcp(&self, index: Index, out: &mut Vec<u8>, start: usize) -> Result<(), TooLong> {
        match self {
            Self::Cm(cm) => cm.seal_rtcp(index, out, start),
            Self::Gcm(gcm) => gcm.seal_rtcp(index, out, start),
        }
    }

    /// The index word of an SRTCP packet.
    pub(crate) fn rtcp_index_word(&self, packet: &[u8]) -> Option<u32> {
        let before_tag = match self {
            Self::Cm(_) => packet.get(..packet.len().checked_sub(cm::TAG)?)?,
            Self::Gcm(_) => packet,
        };
        before_tag.last_chunk::<INDEX_LEN>().map(|octets| u32::from_be_bytes(*octets))
    }

    /// Checks the tag of an encrypted SRTCP packet with this index and decrypts it. Gives the length without tag and
    /// index word.
    pub(crate) fn open_rtcp(&self, index: Index, packet: &mut [u8]) -> Option<usize> {
        match self {
            Self::Cm(cm) => cm.open_rtcp(index, packet),
            Self::Gcm(gcm) => gcm.open_rtcp(index, packet),
        }
    }
}

/// The SRTCP index word of an encrypted packet.
fn index_word(index: Index) -> [u8; INDEX_LEN] {
    // The index has 31 bits; the caller stops before it has more.
    (ENCRYPTED | (index.index & 0x7fff_ffff) as u32).to_be_bytes()
}
