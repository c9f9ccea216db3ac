//! SRTP (RFC 3711 section 3.3): a table of sources around a cipher, one for each direction.

use std::collections::BTreeMap;

use bytes::BytesMut;
use taut_rtp::HeaderView;
use taut_sansio::replay::Window;

use crate::MAX_SOURCES;
use crate::cipher::{Cipher, Index};
use crate::error::{ProtectError, UnprotectError};
use crate::replay::{MAX_INDEX, estimate};

/// The longest packet: what a UDP datagram holds. AES-CM could encrypt a megabyte under one index.
pub(crate) const MAX_PACKET: usize = 65_535;

/// The first packet of a source may be this far behind the first wrap for a rollover counter of one to be tried.
const FIRST_TURN: u16 = 0x8000;

/// Where to find source and index of a packet.
#[derive(Debug, Clone, Copy)]
struct Header {
    ssrc: u32,
    sequence: u16,
    len: usize,
}

impl Header {
    #[inline]
    fn parse(packet: &[u8]) -> Result<Self, taut_rtp::ParseError> {
        let view = HeaderView::parse(packet)?;
        Ok(Self { ssrc: view.ssrc().get(), sequence: view.sequence().get(), len: view.header_len() })
    }
}

/// Protects the packets of all sources of this side.
pub(crate) struct RtpOutbound {
    cipher: Cipher,
    sources: BTreeMap<u32, Window>,
}

impl RtpOutbound {
    pub(crate) fn new(cipher: Cipher) -> Self {
        Self { cipher, sources: BTreeMap::new() }
    }

    pub(crate) fn protect(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), ProtectError> {
        let packet = out.get(start..).unwrap_or(&[]);
        let Header { ssrc, sequence, len } = Header::parse(packet)?;
        if packet.len() > MAX_PACKET {
            return Err(ProtectError::TooLong);
        }
        let Some(window) = self.sources.get_mut(&ssrc) else {
            if self.sources.len() >= MAX_SOURCES {
                return Err(ProtectError::TooManySources);
            }
            let index = u64::from(sequence);
            self.cipher
                .seal_rtp(Index { ssrc, index }, len, out, start)
                .map_err(|_| ProtectError::TooLong)?;
            self.sources.insert(ssrc, Window::new(index));
            return Ok(());
        };
        let index = estimate(window.highest(), sequence);
        if index > MAX_INDEX {
            return Err(ProtectError::IndexExhausted);
        }
        window.check(index).map_err(|_| ProtectError::IndexReused)?;
        self.cipher.seal_rtp(Index { ssrc, index }, len, out, start).map_err(|_| ProtectError::TooLong)?;
        window.commit(index);
        Ok(())
    }

    pub(crate) fn sources(&self) -> usize {
        self.sources.len()
    }

    #[cfg(test)]
    pub(crate) fn set_highest(&mut self, ssrc: u32, index: u64) {
        self.sources.insert(ssrc, Window::new(index));
    }
}

/// Unprotects the packets of all sources of the other side.
pub(crate) struct RtpInbound {
    cipher: Cipher,
    sources: BTreeMap<u32, Window>,
}

impl RtpInbound {
    pub(crate) fn new(cipher: Cipher) -> Self {
        Self { cipher, sources: BTreeMap::new() }
    }

    pub(crate) fn unprotect(&mut self, packet: &mut BytesMut) -> Result<(), UnprotectError> {
        let header = Header::parse(packet)?;
        let Some(window) = self.sources.get_mut(&header.ssrc) else {
            return self.unprotect_first(header, packet);
        };
        let index = estimate(window.highest(), header.sequence);
        if index > MAX_INDEX {
            return Err(UnprotectError::IndexExhausted);
        }
        window.check(index)?;
        let opened = self.cipher.open_rtp(Index { ssrc: header.ssrc, index }, header.len, packet);
        let length = opened.ok_or(UnprotectError::Tag)?;
        window.commit(index);
        packet.truncate(length);
        Ok(())
    }

    /// The first packet of a source. The rollover counter is zero, as keys are new when a source is; or it is one, if
    /// the source began shortly before the wrap and all its packets up to it were lost.
    fn unprotect_first(&mut self, header: Header, packet: &mut BytesMut) -> Result<(), UnprotectError> {
        if self.sources.len() >= MAX_SOURCES {
            return Err(UnprotectError::TooManySources);
        }
        let Header { ssrc, sequence, len } = header;
        let index = u64::from(sequence);
        // A failed attempt may leave garbage in the packet, so the second one needs a copy.
        let copy = (sequence < FIRST_TURN).then(|| packet.to_vec());
        if let Some(length) = self.cipher.open_rtp(Index { ssrc, index }, len, packet) {
            self.sources.insert(ssrc, Window::new(index));
            packet.truncate(length);
            return Ok(());
        }
        packet.copy_from_slice(&copy.ok_or(UnprotectError::Tag)?);
        let index = index + (1 << 16);
        let opened = self.cipher.open_rtp(Index { ssrc, index }, len, packet);
        packet.truncate(opened.ok_or(UnprotectError::Tag)?);
        self.sources.insert(ssrc, Window::new(index));
        Ok(())
    }

    pub(crate) fn sources(&self) -> usize {
        self.sources.len()
    }

    #[cfg(test)]
    pub(crate) fn set_highest(&mut self, ssrc: u32, index: u64) {
        self.sources.insert(ssrc, Window::new(index));
    }

    #[cfg(test)]
    pub(crate) fn state(&self) -> BTreeMap<u32, Window> {
        self.sources.clone()
    }
}
