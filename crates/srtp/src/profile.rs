//! The protection profiles that DTLS-SRTP negotiates (RFC 5764 section 4.1.2, RFC 7714 section 14.2).

/// The octets of the index word of SRTCP (RFC 3711 section 3.4).
pub(crate) const INDEX_LEN: usize = 4;

/// A protection profile. There are no others: the profiles with short tags or without encryption are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// AES-CM with a key of 128 bits, HMAC-SHA1 with tags of 80 bits.
    Aes128CmSha1_80,
    /// AES-GCM with a key of 128 bits.
    AeadAes128Gcm,
    /// AES-GCM with a key of 256 bits.
    AeadAes256Gcm,
}

impl Profile {
    /// The name in the IANA registry of DTLS-SRTP protection profiles, as statistics show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
        }
    }

    /// The octets of the master key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// The octets of the master salt.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }

    /// The octets of the tag.
    const fn tag_len(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 => 10,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// How many octets protecting adds to an RTP packet.
    pub const fn rtp_overhead(self) -> usize {
        self.tag_len()
    }

    /// How many octets protecting adds to an RTCP packet.
    pub const fn rtcp_overhead(self) -> usize {
        self.tag_len() + INDEX_LEN
    }
}
