//! The codecs that are offered and understood, and the numbers that stand for them in a session.

use taut_media::{Codec, Kind};
use taut_sdp::{Attribute, Extmap, Feedback, Fmtp, Media, RtcpFeedback, RtpMap, Session};

/// The URI of the SDES MID header extension (RFC 9143 section 15).
pub(super) const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// The id that it gets in our offers, unless the session has another.
const MID_ID: u8 = 4;

/// The ids of the one-byte header (RFC 8285 section 4.2).
const EXTENSION_IDS: std::ops::RangeInclusive<u8> = 1..=14;

/// A codec as it was agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NegotiatedCodec {
    /// Which.
    pub codec: Codec,
    /// Its number.
    pub payload_type: u8,
    /// Of RTP timestamps, in Hz.
    pub clock_rate: u32,
    /// The channels that descriptions tell; 0 for video.
    pub channels: u8,
    /// The number of its retransmissions (RFC 4588), if they are used.
    pub rtx: Option<u8>,
    /// Whether generic NACK is used (RFC 4585).
    pub nack: bool,
    /// Whether picture loss indications are used (RFC 4585).
    pub pli: bool,
    /// Whether full intra requests are used (RFC 5104).
    pub fir: bool,
    /// `a=fmtp` of the side that receives, as written.
    pub parameters: String,
}

/// What is known of a codec before any negotiation.
#[derive(Debug)]
struct Known {
    codec: Codec,
    parameters: &'static str,
    repaired: Repair,
    /// The numbers of our offers, those that Chromium uses.
    payload_type: u8,
    rtx: u8,
}

/// How the losses of a codec are repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repair {
    /// Not at all.
    None,
    /// By retransmissions, and by asking for key frames.
    Feedback,
}

/// In order of preference for each kind.
const KNOWN: [Known; 2] = [
    Known {
        codec: Codec::Opus,
        parameters: "minptime=10;useinbandfec=1",
        repaired: Repair::None,
        payload_type: 111,
        rtx: 0,
    },
    Known { codec: Codec::Vp8, parameters: "", repaired: Repair::Feedback, payload_type: 96, rtx: 97 },
];

impl Known {
    fn matches(&self, map: &RtpMap) -> bool {
        let channels = u32::from(self.codec.channels()).max(1);
        map.is(self.codec.name())
            && map.clock_rate == self.codec.clock_rate()
            && map.channels.unwrap_or(1) == channels
    }
}

/// The codecs of a kind, in our order of preference.
fn known(kind: Kind) -> impl Iterator<Item = &'static Known> {
    KNOWN.iter().filter(move |known| known.codec.kind() == kind)
}

/// Whether a codec is known and of that kind.
pub(super) fn is_supported(codec: Codec, kind: Kind) -> bool {
    known(kind).any(|known| known.codec == codec)
}

/// The codecs among `preferences`, or all if it is empty; in its order.
fn preferred(kind: Kind, preferences: &[Codec]) -> Vec<&'static Known> {
    if preferences.is_empty() {
        return known(kind).collect();
    }
    preferences.iter().filter_map(|codec| known(kind).find(|known| known.codec == *codec)).collect()
}

/// What one pass over a section says of each payload type.
#[derive(Clone, Copy, Default)]
struct Entry<'a> {
    map: Option<&'a RtpMap>,
    parameters: Option<&'a Fmtp>,
    nack: bool,
    pli: bool,
    fir: bool,
    rtx: Option<u8>,
}

/// The codecs of a section that we know too, in its order of preference, one entry for each codec.
pub(super) fn codecs_of(media: &Media, kind: Kind) -> Vec<NegotiatedCodec> {
    let table = table(media);
    let entry = |payload_type: u8| table.get(usize::from(payload_type)).copied().unwrap_or_default();
    let mut codecs: Vec<NegotiatedCodec> = Vec::new();
    for payload_type in media.payload_types() {
        let found = entry(payload_type);
        let Some(known) = found.map.and_then(|map| known(kind).find(|known| known.matches(map))) else {
            continue;
        };
        if codecs.iter().any(|codec| codec.codec == known.codec) {
            continue;
        }
        let repaired = known.repaired == Repair::Feedback;
        codecs.push(NegotiatedCodec {
            codec: known.codec,
            payload_type,
            clock_rate: known.codec.clock_rate(),
            channels: known.codec.channels(),
            rtx: found.rtx.filter(|_| repaired && found.nack),
            nack: repaired && found.nack,
            pli: repaired && found.pli,
            fir: repaired && found.fir,
            parameters: found.parameters.map(|fmtp| fmtp.parameters.clone()).unwrap_or_default(),
        });
    }
    codecs
}

fn table(media: &Media) -> Vec<Entry<'_>> {
    let mut table = vec![Entry::default(); 128];
    for attribute in &media.attributes {
        match attribute {
            Attribute::RtpMap(map) => {
                if let Some(entry) = table.get_mut(usize::from(map.payload_type)) {
                    entry.map = entry.map.or(Some(map));
                }
            }
            Attribute::Fmtp(fmtp) => {
                if let Some(entry) = table.get_mut(usize::from(fmtp.payload_type)) {
                    entry.parameters = entry.parameters.or(Some(fmtp));
                }
            }
            Attribute::RtcpFeedback(RtcpFeedback { payload_type, feedback }) => {
                let range = payload_type.map_or(0..128, |one| usize::from(one)..usize::from(one) + 1);
                for entry in table.get_mut(range).unwrap_or_default() {
                    match feedback {
                        Feedback::Nack => entry.nack = true,
                        Feedback::NackPli => entry.pli = true,
                        Feedback::CcmFir => entry.fir = true,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    for payload_type in media.payload_types() {
        let Some(found) = table.get(usize::from(payload_type)) else { continue };
        let (Some(map), Some(fmtp)) = (found.map.filter(|map| map.is("rtx")), found.parameters) else {
            continue;
        };
        let Some(primary) = fmtp.get("apt").and_then(|apt| apt.parse::<u8>().ok()) else { continue };
        let clock_rate = map.clock_rate;
        if let Some(entry) = table.get_mut(usize::from(primary))
            && entry.rtx.is_none()
            && entry.map.is_some_and(|primary| primary.clock_rate == clock_rate)
        {
            entry.rtx = Some(payload_type);
        }
    }
    table
}

/// Keeps of `codecs` those that `other` has too and the application allows, and of their repair what both have.
pub(super) fn common(
    codecs: Vec<NegotiatedCodec>,
    other: &[NegotiatedCodec],
    preferences: &[Codec],
) -> Vec<NegotiatedCodec> {
    let mut kept: Vec<NegotiatedCodec> = codecs
        .into_iter()
        .filter(|codec| preferences.is_empty() || preferences.contains(&codec.codec))
        .filter_map(|codec| {
            let theirs = other.iter().find(|theirs| theirs.codec == codec.codec)?;
            Some(NegotiatedCodec {
                rtx: codec.rtx.filter(|_| theirs.rtx.is_some()),
                nack: codec.nack && theirs.nack,
                pli: codec.pli && theirs.pli,
                fir: codec.fir && theirs.fir,
                ..codec
            })
        })
        .collect();
    if !preferences.is_empty() {
        kept.sort_by_key(|codec| preferences.iter().position(|preferred| *preferred == codec.codec));
    }
    kept
}

/// The codecs of our answer to a section: what it offers and we know and allow, with its numbers and our parameters.
pub(super) fn answered(media: &Media, kind: Kind, preferences: &[Codec]) -> Vec<NegotiatedCodec> {
    let mut codecs = codecs_of(media, kind);
    codecs.retain(|codec| preferences.is_empty() || preferences.contains(&codec.codec));
    if !preferences.is_empty() {
        codecs.sort_by_key(|codec| preferences.iter().position(|preferred| *preferred == codec.codec));
    }
    for codec in &mut codecs {
        let known = known(kind).find(|known| known.codec == codec.codec);
        codec.parameters = known.map(|known| known.parameters.to_owned()).unwrap_or_default();
    }
    codecs
}

/// The numbers that a session uses. All sections share one transport, so a number has one meaning in all of them (RFC 9143 section 9.1).
#[derive(Debug, Default)]
pub(super) struct Numbers {
    taken: std::collections::BTreeSet<u8>,
    codecs: Vec<NegotiatedCodec>,
    extensions: std::collections::BTreeSet<u8>,
    mid: Option<u8>,
}

impl Numbers {
    /// Those of all these descriptions.
    pub(super) fn of<'a>(sessions: impl Iterator<Item = &'a Session>) -> Self {
        let mut numbers = Self::default();
        for session in sessions {
            for media in session.media.iter().filter(|media| media.protocol.is_rtp()) {
                numbers.taken.extend(media.payload_types());
                for kind in [Kind::Audio, Kind::Video] {
                    for codec in codecs_of(media, kind) {
                        if !numbers.codecs.iter().any(|known| known.codec == codec.codec) {
                            numbers.codecs.push(codec);
                        }
                    }
                }
                let ids = media.extmaps().filter_map(|extmap| u8::try_from(extmap.id).ok());
                numbers.extensions.extend(ids);
                numbers.mid = numbers.mid.or(mid_extension(session, media));
            }
        }
        numbers
    }

    /// The codecs of a section that we offer. `own` are those that the section has already.
    pub(super) fn offered(
        &mut self,
        kind: Kind,
        preferences: &[Codec],
        own: &[NegotiatedCodec],
    ) -> Vec<NegotiatedCodec> {
        preferred(kind, preferences).into_iter().filter_map(|known| self.codec(known, own)).collect()
    }

    fn codec(&mut self, known: &Known, own: &[NegotiatedCodec]) -> Option<NegotiatedCodec> {
        let used = own.iter().chain(&self.codecs).find(|codec| codec.codec == known.codec).cloned();
        let repaired = known.repaired == Repair::Feedback;
        let payload_type = match &used {
            Some(used) => used.payload_type,
            None => self.payload_type(known.payload_type)?,
        };
        let rtx = match used.and_then(|used| used.rtx) {
            Some(rtx) => Some(rtx),
            None if repaired => self.payload_type(known.rtx),
            None => None,
        };
        let codec = NegotiatedCodec {
            codec: known.codec,
            payload_type,
            clock_rate: known.codec.clock_rate(),
            channels: known.codec.channels(),
            rtx,
            nack: repaired,
            pli: repaired,
            fir: repaired,
            parameters: known.parameters.to_owned(),
        };
        self.codecs.retain(|used| used.codec != known.codec);
        self.codecs.push(codec.clone());
        Some(codec)
    }

    /// A free number: this one, else a dynamic one, else one below those that RTCP could be taken for (RFC 5761 section 4).
    fn payload_type(&mut self, wanted: u8) -> Option<u8> {
        let free = std::iter::once(wanted)
            .chain(96..=127)
            .chain(35..=63)
            .find(|number| !self.taken.contains(number))?;
        self.taken.insert(free);
        Some(free)
    }

    /// The id of the MID header extension; `None` if none is left.
    pub(super) fn mid_extension(&mut self) -> Option<u8> {
        if self.mid.is_none() {
            self.mid = std::iter::once(MID_ID).chain(EXTENSION_IDS).find(|id| !self.extensions.contains(id));
        }
        self.mid
    }
}

/// The id of the MID header extension in a section, if it is used both ways and fits the one-byte header.
pub(super) fn mid_extension(session: &Session, media: &Media) -> Option<u8> {
    let session_level = session.attributes.iter().filter_map(|attribute| match attribute {
        Attribute::Extmap(extmap) => Some(extmap),
        _ => None,
    });
    let both_ways =
        |extmap: &&Extmap| extmap.direction.is_none_or(|direction| direction.sends() && direction.receives());
    let found =
        media.extmaps().chain(session_level).filter(both_ways).find(|extmap| extmap.uri == MID_URI)?;
    u8::try_from(found.id).ok().filter(|id| EXTENSION_IDS.contains(id))
}

/// The attributes of a section's codecs, in the order of Chromium.
pub(super) fn attributes(codecs: &[NegotiatedCodec]) -> impl Iterator<Item = Attribute> {
    codecs.iter().flat_map(|codec| {
        let pt = codec.payload_type;
        let map = RtpMap::new(pt, codec.codec.name(), codec.clock_rate);
        let map = if codec.channels > 1 { map.with_channels(u32::from(codec.channels)) } else { map };
        let feedback =
            [(codec.fir, Feedback::CcmFir), (codec.nack, Feedback::Nack), (codec.pli, Feedback::NackPli)];
        let feedback = feedback.into_iter().filter(|(used, _)| *used);
        let feedback =
            feedback.map(move |(_, feedback)| Attribute::RtcpFeedback(RtcpFeedback::new(pt, feedback)));
        let parameters = (!codec.parameters.is_empty())
            .then(|| Attribute::Fmtp(Fmtp { payload_type: pt, parameters: codec.parameters.clone() }));
        let rtx = codec.rtx.into_iter().flat_map(move |rtx| {
            let parameters = Fmtp { payload_type: rtx, parameters: format!("apt={pt}") };
            [Attribute::RtpMap(RtpMap::new(rtx, "rtx", codec.clock_rate)), Attribute::Fmtp(parameters)]
        });
        std::iter::once(Attribute::RtpMap(map)).chain(feedback).chain(parameters).chain(rtx)
    })
}
