//! Which machine a datagram is for (RFC 7983), and which transceiver an RTP packet is for (RFC 9143 section 9.2).

use std::collections::BTreeMap;

use taut_rtp::{HeaderView, extension};

use crate::transceiver::TransceiverId;

/// How many SSRCs are remembered at most. Packets of further ones are still routed by MID or payload type, only
/// without the short cut; the table is emptied by the next description.
const MAX_SSRCS: usize = 256;

/// The protocols that share a path, by the first octet (RFC 7983 section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// 0 to 3.
    Stun,
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
    /// that only one transceiver has.
    pub(crate) fn route(&mut self, header: &HeaderView<'_>) -> Option<TransceiverId> {
        let ssrc = header.ssrc().get();
        let mid = self
            .mid_extension
            .and_then(|id| header.extensions().find(|(known, _)| *known == id))
            .and_then(|(_, value)| extension::parse_text(value));
        if let Some(mid) = mid {
            let transceiver = self.sections.iter().find(|section| section.mid == mid)?.transceiver;
            self.learn(ssrc, transceiver);
            return Some(transceiver);
        }
        if let Some(&transceiver) = self.ssrcs.get(&ssrc) {
            return Some(transceiver);
        }
        let payload_type = header.payload_type().get();
        let mut matching =
            self.sections.iter().filter(|section| section.payload_types.contains(&payload_type));
        let transceiver = matching.next()?.transceiver;
        if matching.next().is_some() {
            return None;
        }
        self.learn(ssrc, transceiver);
        Some(transceiver)
    }

    fn learn(&mut self, ssrc: u32, transceiver: TransceiverId) {
        if self.ssrcs.len() < MAX_SSRCS || self.ssrcs.contains_key(&ssrc) {
            self.ssrcs.insert(ssrc, transceiver);
        }
    }
}
