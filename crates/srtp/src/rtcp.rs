//! SRTCP (RFC 3711 section 3.4): the index travels in the packet.

use std::collections::BTreeMap;

use bytes::BytesMut;
use taut_sansio::replay::Window;

use crate::MAX_SOURCES;
use crate::cipher::{Cipher, ENCRYPTED, Index, RTCP_HEADER};
use crate::error::{ProtectError, UnprotectError};
use crate::rtp::MAX_PACKET;

/// The highest index: 31 bits.
const MAX_INDEX: u32 = ENCRYPTED - 1;

/// The first index. The RFC begins with 0; the stacks in use begin with 1, so that is what receivers are used to.
const FIRST_INDEX: u32 = 1;

/// The source that an RTCP packet begins with.
fn source(packet: &[u8]) -> Option<u32> {
    let (header, _) = packet.split_first_chunk::<RTCP_HEADER>()?;
    let [first, _, _, _, source @ ..] = *header;
    (first >> 6 == 2).then(|| u32::from_be_bytes(source))
}

/// Protects the RTCP packets of this side. All its sources share one count of indices: source and index together are
/// still unique, and there is no table that could be full.
pub(crate) struct RtcpOutbound {
    cipher: Cipher,
    next: u32,
}

impl RtcpOutbound {
    pub(crate) fn new(cipher: Cipher) -> Self {
        Self { cipher, next: FIRST_INDEX }
    }

    pub(crate) fn protect(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), ProtectError> {
        let packet = out.get(start..).unwrap_or(&[]);
        let ssrc = source(packet).ok_or(ProtectError::Rtcp)?;
        if packet.len() > MAX_PACKET {
            return Err(ProtectError::TooLong);
        }
        if self.next > MAX_INDEX {
            return Err(ProtectError::IndexExhausted);
        }
        let index = Index { ssrc, index: u64::from(self.next) };
        self.cipher.seal_rtcp(index, out, start).map_err(|_| ProtectError::TooLong)?;
        self.next += 1;
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn set_next(&mut self, next: u32) {
        self.next = next;
    }
}

/// Unprotects the RTCP packets of the other side.
pub(crate) struct RtcpInbound {
    cipher: Cipher,
    sources: BTreeMap<u32, Window>,
}

impl RtcpInbound {
    pub(crate) fn new(cipher: Cipher) -> Self {
        Self { cipher, sources: BTreeMap::new() }
    }

    pub(crate) fn unprotect(&mut self, packet: &mut BytesMut) -> Result<(), UnprotectError> {
        let ssrc = source(packet).ok_or(UnprotectError::Rtcp)?;
        let word = self.cipher.rtcp_index_word(packet).ok_or(UnprotectError::Rtcp)?;
        if word & ENCRYPTED == 0 {
            return Err(UnprotectError::Unencrypted);
        }
        let index = u64::from(word & MAX_INDEX);
        match self.sources.get(&ssrc) {
            Some(window) => window.check(index)?,
            None if self.sources.len() >= MAX_SOURCES => return Err(UnprotectError::TooManySources),
            None => {}
        }
        let opened = self.cipher.open_rtcp(Index { ssrc, index }, packet);
        packet.truncate(opened.ok_or(UnprotectError::Tag)?);
        self.sources.entry(ssrc).and_modify(|window| window.commit(index)).or_insert(Window::new(index));
        Ok(())
    }

    pub(crate) fn sources(&self) -> usize {
        self.sources.len()
    }

    #[cfg(test)]
    pub(crate) fn state(&self) -> BTreeMap<u32, Window> {
        self.sources.clone()
    }
}
