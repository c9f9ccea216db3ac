//! Which machine a datagram is for (RFC 7983), and which transceiver an RTP packet is for (RFC 9143 section 9.2).

use std::collections::BTreeMap;

use taut_rtp::{HeaderView, extension};

use crate::transceiver::TransceiverId;

/// How many SSRCs are remembered at most. Packets of further ones are still routed by MID or payload type, only
/// without the short cut; a description that changes a transceiver forgets what was learned of it.
const MAX_SSRCS: usize = 256;

/// The protocols that share a path, by the first octet (RFC 7983 section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// 0 to 3.
    Stun,
    /// What a TURN server relays (RFC 8656 section 12.4).
    ChannelData,
    /// 20 to 63.
    Dtls,
    /// 128 to 191, with an RTP payload type.
    Rtp,
    /// 128 to 191, with an RTCP packet type (RFC 5761 section 4).
    Rtcp,
    /// Everything else, and the empty datagram.
    Unknown,
}

impl Protocol {
    /// Tells the protocol of a datagram.
    pub(crate) fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(0..=3) => Self::Stun,
            Some(64..=79) => Self::ChannelData,
            Some(20..=63) => Self::Dtls,
            Some(128..=191) if taut_rtp::is_rtcp(datagram) => Self::Rtcp,
            Some(128..=191) => Self::Rtp,
            _ => Self::Unknown,
        }
    }
}

/// One transceiver that receives, as far as telling its packets goes.
#[derive(Debug, Clone)]
struct Section {
    transceiver: TransceiverId,
    mid: String,
    payload_types: Vec<u8>,
}

/// The table that assigns RTP packets to transceivers.
#[derive(Debug, Default)]
pub(crate) struct Demux {
    sections: Vec<Section>,
    mid_extension: Option<u8>,
    ssrcs: BTreeMap<u32, TransceiverId>,
}

impl Demux {
    /// Adds or replaces what is known of a transceiver. SSRCs that were learned are learned anew.
    pub(crate) fn set(
        &mut self,
        transceiver: TransceiverId,
        mid: &str,
        payload_types: Vec<u8>,
        mid_extension: Option<u8>,
        ssrcs: impl Iterator<Item = u32>,
    ) {
        self.remove(transceiver);
        self.mid_extension = mid_extension.or(self.mid_extension);
        self.sections.push(Section { transceiver, mid: mid.to_owned(), payload_types });
        for ssrc in ssrcs {
            self.learn(ssrc, transceiver);
        }
    }

    /// Forgets a transceiver.
    pub(crate) fn remove(&mut self, transceiver: TransceiverId) {
        self.sections.retain(|section| section.transceiver != transceiver);
        self.ssrcs.retain(|_, known| *known != transceiver);
    }

    /// The transceiver of a packet whose authenticity is proved: by its MID, else by its SSRC, else by a payload type
    /// that only one transceiver has. `None` for one whose payload type the transceiver does not have.
    pub(crate) fn route(&mut self, header: &HeaderView<'_>) -> Option<TransceiverId> {
        let ssrc = header.ssrc().get();
        let payload_type = header.payload_type().get();
        let takes =
            |section: &Section| section.payload_types.contains(&payload_type).then_some(section.transceiver);
        let mid = self
            .mid_extension
            .and_then(|id| header.extensions().find(|(known, _)| *known == id))
            .and_then(|(_, value)| extension::parse_text(value));
        if let Some(mid) = mid {
            let section = self.sections.iter().find(|section| section.mid == mid)?;
            let (transceiver, taken) = (section.transceiver, takes(section));
            self.learn(ssrc, transceiver);
            return taken;
        }
        if let Some(known) = self.ssrcs.get(&ssrc) {
            return self.sections.iter().find(|section| section.transceiver == *known).and_then(takes);
        }
        let mut matching = self.sections.iter().filter_map(takes);
        let transceiver = matching.next()?;
        if matching.next().is_some() {
            return None;
        }
        self.learn(ssrc, transceiver);
        Some(transceiver)
    }

    /// How many sections and how many SSRCs are known.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.sections.len(), self.ssrcs.len())
    }

    fn learn(&mut self, ssrc: u32, transceiver: TransceiverId) {
        if self.ssrcs.len() < MAX_SSRCS || self.ssrcs.contains_key(&ssrc) {
            self.ssrcs.insert(ssrc, transceiver);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TransceiverId = TransceiverId::new(1);
    const B: TransceiverId = TransceiverId::new(2);
    const MID: u8 = 4;

    /// Audio with payload type 111, video with 96 and 97; both have 100.
    fn demux() -> Demux {
        let mut demux = Demux::default();
        demux.set(A, "audio", vec![111, 100], Some(MID), [10].into_iter());
        demux.set(B, "video", vec![96, 97, 100], Some(MID), std::iter::empty());
        demux
    }

    /// An RTP packet, with the MID extension in one-byte form (RFC 8285 section 4.2) if there is one.
    fn packet(payload_type: u8, ssrc: u32, mid: Option<&str>) -> Vec<u8> {
        let mut out = vec![0x80 | u8::from(mid.is_some()) << 4, payload_type, 0, 1, 0, 0, 0, 1];
        out.extend(ssrc.to_be_bytes());
        if let Some(mid) = mid {
            let words = (1 + mid.len()).div_ceil(4);
            out.extend([0xbe, 0xde, 0, words as u8, MID << 4 | (mid.len() as u8 - 1)]);
            out.extend(mid.bytes());
            out.resize(16 + words * 4, 0);
        }
        out.extend([1, 2, 3]);
        out
    }

    fn route(demux: &mut Demux, payload_type: u8, ssrc: u32, mid: Option<&str>) -> Option<TransceiverId> {
        demux.route(&HeaderView::parse(&packet(payload_type, ssrc, mid)).expect("a header"))
    }

    #[test]
    fn the_first_octet_tells_the_protocol() {
        for first in 0..=255u8 {
            let expected = match first {
                0..=3 => Protocol::Stun,
                64..=79 => Protocol::ChannelData,
                20..=63 => Protocol::Dtls,
                128..=191 => Protocol::Rtp,
                _ => Protocol::Unknown,
            };
            assert_eq!(Protocol::of(&[first, 96, 0, 0]), expected, "{first}");
        }
        assert_eq!(Protocol::of(&[0x80, 200, 0, 0]), Protocol::Rtcp);
        assert_eq!(Protocol::of(&[]), Protocol::Unknown);
    }

    #[test]
    fn mid_before_ssrc_before_payload_type() {
        let mut demux = demux();
        assert_eq!(route(&mut demux, 100, 10, None), Some(A), "by the SSRC of the description");
        assert_eq!(route(&mut demux, 100, 10, Some("video")), Some(B), "the MID is stronger");
        assert_eq!(route(&mut demux, 100, 10, None), Some(B), "and has moved the SSRC");
        assert_eq!(route(&mut demux, 96, 20, None), Some(B), "by the payload type");
        assert_eq!(route(&mut demux, 100, 20, None), Some(B), "which was learned");
        assert_eq!(route(&mut demux, 100, 30, None), None, "two have this payload type");
        assert_eq!(route(&mut demux, 5, 30, None), None, "and none this one");
    }

    #[test]
    fn an_unknown_mid_is_dropped_and_changes_nothing() {
        let mut demux = demux();
        assert_eq!(route(&mut demux, 111, 10, Some("nobody")), None);
        assert_eq!(route(&mut demux, 111, 10, None), Some(A));
    }

    #[test]
    fn a_payload_type_of_another_section_is_dropped() {
        let mut demux = demux();
        assert_eq!(route(&mut demux, 96, 10, None), None);
        assert_eq!(route(&mut demux, 111, 50, Some("video")), None);
        assert_eq!(route(&mut demux, 100, 50, None), Some(B), "yet its source is known by now");
    }

    #[test]
    fn what_is_learned_is_bounded_and_forgotten_with_its_transceiver() {
        let mut demux = demux();
        for ssrc in 0..10_000 {
            assert_eq!(route(&mut demux, 96, 1_000 + ssrc, Some("video")), Some(B));
        }
        assert_eq!(demux.ssrcs.len(), MAX_SSRCS);
        assert_eq!(route(&mut demux, 97, 90_000, None), Some(B), "still routed");
        demux.remove(B);
        assert_eq!((demux.ssrcs.len(), demux.sections.len()), (1, 1));
        assert_eq!(route(&mut demux, 96, 1_000, None), None);
    }
}
