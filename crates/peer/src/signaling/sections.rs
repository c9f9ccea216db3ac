//! The parts that offers and answers of ours are made of (RFC 8829 section 5.2.1).
//!
//! Every live section carries the parameters of the one transport, so that implementations which look for them in
//! each section find them, as browsers do; candidates stand in the first section of the group alone.

use taut_dtls as dtls;
use taut_ice as ice;
use taut_media::Kind;
use taut_sdp::{
    Attribute, Connection, Direction, Extmap, Format, Media, MediaKind, Msid, Protocol, Rtcp, Session, Setup,
    SourceAttribute, SourceGroup,
};

use super::codecs::{self, MID_URI, NegotiatedCodec};
use super::config::{LocalTransport, SCTP_PORT, SignalingConfig};
use super::remote::transport_section;
use crate::error::{Error, ErrorKind};
use crate::transceiver::Transceiver;

/// The discard port: "not yet known" (RFC 8840 section 4.1.1).
const DISCARD: u16 = 9;

/// A media section that is offered or answered.
pub(super) struct MediaSection<'a> {
    pub(super) transceiver: &'a Transceiver,
    pub(super) protocol: Protocol,
    /// `None` if the offer has none.
    pub(super) mid: Option<String>,
    pub(super) direction: Direction,
    pub(super) codecs: Vec<NegotiatedCodec>,
    pub(super) mid_extension: Option<u8>,
    /// Whether to say that RTCP has no port of its own (RFC 8858): in the first offer of a section.
    pub(super) mux_only: bool,
}

/// The attributes that are the same in all live sections.
pub(super) struct Shared {
    attributes: Vec<Attribute>,
    cname: String,
    max_message_size: u64,
}

impl Shared {
    /// # Errors
    /// `Operation` if a fingerprint cannot be written, which only an unknown hash can cause.
    pub(super) fn new(
        config: &SignalingConfig,
        local: &LocalTransport,
        credentials: &ice::Credentials,
        setup: Setup,
    ) -> Result<Self, Error> {
        let mut attributes =
            vec![Attribute::IceUfrag(credentials.ufrag.clone()), Attribute::IcePwd(credentials.pwd.clone())];
        for print in &local.fingerprints {
            let attribute = Attribute::parse(&format!("fingerprint:{print}"))
                .map_err(|reason| Error::new(ErrorKind::Operation, reason.to_string()))?;
            attributes.push(attribute);
        }
        attributes.push(Attribute::Setup(setup));
        let max_message_size = u64::try_from(config.max_message_size).unwrap_or(u64::MAX);
        Ok(Self { attributes, cname: config.cname.clone(), max_message_size })
    }

    pub(super) fn media(&self, section: MediaSection<'_>) -> Media {
        let MediaSection { transceiver, protocol, mid, direction, codecs, mid_extension, mux_only } = section;
        let kind = match transceiver.kind {
            Kind::Audio => MediaKind::Audio,
            Kind::Video => MediaKind::Video,
        };
        let formats = codecs.iter().flat_map(|codec| std::iter::once(codec.payload_type).chain(codec.rtx));
        let mut media = Media::new(kind, DISCARD, protocol, formats.map(Format::PayloadType).collect());
        media.connections.push(Connection::unspecified());
        let list = &mut media.attributes;
        list.push(Attribute::Rtcp(Rtcp::unspecified()));
        list.extend(self.attributes.iter().cloned());
        list.extend(mid.map(Attribute::Mid));
        list.extend(mid_extension.map(|id| Attribute::Extmap(Extmap::new(u16::from(id), MID_URI))));
        list.push(Attribute::Direction(direction));
        // As the transceiver wants, even where the offer keeps it from sending: else it would seem to be left out, and both sides
        // would make offers for ever (W3C section 4.7.3).
        if transceiver.direction.sends() {
            list.extend(msids(transceiver).map(Attribute::Msid));
        }
        list.push(Attribute::RtcpMux);
        list.extend(mux_only.then_some(Attribute::RtcpMuxOnly));
        // RTCP of reduced size is taken. What is sent is compound, which is always allowed (RFC 5506 section 5).
        list.push(Attribute::RtcpRsize);
        list.extend(codecs::attributes(&codecs));
        if direction.sends() {
            self.sources(transceiver, codecs.iter().any(|codec| codec.rtx.is_some()), list);
        }
        media
    }

    fn sources(&self, transceiver: &Transceiver, rtx: bool, list: &mut Vec<Attribute>) {
        let cname = |ssrc| Attribute::Source(SourceAttribute::cname(ssrc, self.cname.clone()));
        if rtx {
            list.push(Attribute::SourceGroup(SourceGroup::fid(transceiver.ssrc, transceiver.rtx_ssrc)));
        }
        list.push(cname(transceiver.ssrc));
        if rtx {
            list.push(cname(transceiver.rtx_ssrc));
        }
    }

    pub(super) fn data(&self, protocol: Protocol, mid: Option<String>) -> Media {
        let formats = vec![Format::Name("webrtc-datachannel".into())];
        let mut media = Media::new(MediaKind::Application, DISCARD, protocol, formats);
        media.connections.push(Connection::unspecified());
        media.attributes.extend(self.attributes.iter().cloned());
        media.attributes.extend(mid.map(Attribute::Mid));
        media.attributes.push(Attribute::SctpPort(SCTP_PORT));
        media.attributes.push(Attribute::MaxMessageSize(self.max_message_size));
        media
    }
}

/// `a=msid` of what a transceiver sends: one for each stream, or one without a stream.
pub(super) fn msids(transceiver: &Transceiver) -> impl Iterator<Item = Msid> {
    let none = transceiver.streams.is_empty().then(|| Msid::NO_STREAM.to_owned());
    transceiver
        .streams
        .iter()
        .cloned()
        .chain(none)
        .map(|stream| Msid { stream, track: Some(transceiver.sender_id.clone()) })
}

/// The same section with port 0.
pub(super) fn rejected(media: &Media) -> Media {
    let section = Media::new(media.kind.clone(), 0, media.protocol.clone(), media.formats.clone());
    let mid = media.mid().map(|mid| Attribute::Mid(mid.to_owned()));
    let maps = media.rtpmaps().map(|map| Attribute::RtpMap(map.clone()));
    let mut section = section.with_connection(Connection::unspecified());
    section.attributes.extend(mid);
    if media.protocol.is_rtp() {
        section.attributes.push(Attribute::Direction(Direction::Inactive));
        section.attributes.extend(maps);
    }
    section
}

/// The `a=setup` of an answer: what goes with the offer and with the association that may exist, else active (RFC 8829 section 5.3.1).
pub(super) fn answer_setup(offered: Option<Setup>, established: Option<dtls::Role>) -> Setup {
    match (offered, established) {
        (Some(Setup::Active), _) => Setup::Passive,
        (Some(Setup::Passive), _) => Setup::Active,
        (_, Some(dtls::Role::Server)) => Setup::Passive,
        _ => Setup::Active,
    }
}

/// A description without what gathering adds to it: the form in which descriptions are kept and compared.
pub(super) fn without_candidates(mut session: Session) -> Session {
    for media in &mut session.media {
        media.attributes.retain(|a| !matches!(a, Attribute::Candidate(_) | Attribute::EndOfCandidates));
        if media.port != 0 {
            media.port = DISCARD;
        }
        for connection in &mut media.connections {
            *connection = Connection::unspecified();
        }
    }
    session
}

/// A description of ours with the candidates gathered so far, and the best of them as the default one (RFC 8839
/// section 4.2.1.2).
pub(super) fn with_candidates(mut session: Session, local: &LocalTransport) -> Session {
    let Some(media) = transport_section(&session).and_then(|index| session.media.get_mut(index)) else {
        return session;
    };
    let ufrag = media.ice_ufrag();
    let of_generation = |text: &&String| named_ufrag(text).is_none_or(|named| Some(named) == ufrag);
    let candidates: Vec<&str> =
        local.candidates.iter().filter(of_generation).map(|text| candidate_value(text)).collect();
    let mut added: Vec<Attribute> =
        candidates.iter().map(|text| Attribute::Candidate((*text).to_owned())).collect();
    if local.end_of_candidates && ufrag == Some(&local.credentials.ufrag) {
        added.push(Attribute::EndOfCandidates);
    }
    let place = usize::from(matches!(media.attributes.first(), Some(Attribute::Rtcp(_))));
    media.attributes.splice(place..place, added);
    if let Some((port, connection)) = default_address(&candidates) {
        media.port = port;
        media.connections = vec![connection];
    }
    session
}

/// The ufrag that a candidate says it belongs to.
fn named_ufrag(candidate: &str) -> Option<&str> {
    let mut fields = candidate.split_ascii_whitespace().skip_while(|field| *field != "ufrag");
    fields.nth(1)
}

/// Without `a=` and `candidate:` in front.
pub(super) fn candidate_value(text: &str) -> &str {
    let text = text.trim();
    let text = text.strip_prefix("a=").unwrap_or(text);
    text.strip_prefix("candidate:").unwrap_or(text)
}

/// The address of the candidate that is most likely to be reached without ICE: relayed, else reflexive, else host, IPv4 first.
fn default_address(candidates: &[&str]) -> Option<(u16, Connection)> {
    let usable = candidates.iter().filter_map(|text| {
        let mut fields = candidate_value(text).split_ascii_whitespace().skip(1);
        let (component, transport, _priority) = (fields.next()?, fields.next()?, fields.next()?);
        let (address, port) = (fields.next()?, fields.next()?.parse::<u16>().ok().filter(|&port| port != 0)?);
        let (_, kind) = (fields.next()?, fields.next()?);
        let address: std::net::IpAddr = address.parse().ok()?;
        let rank = ["relay", "srflx", "host"].iter().position(|known| *known == kind)?;
        (component == "1" && transport.eq_ignore_ascii_case("udp")).then_some((
            rank,
            address.is_ipv6(),
            port,
            address,
        ))
    });
    let (_, v6, port, address) = usable.min_by_key(|(rank, v6, ..)| (*rank, *v6))?;
    let address_type = if v6 { "IP6" } else { "IP4" };
    let connection = Connection {
        network: "IN".into(),
        address_type: address_type.into(),
        address: address.to_string().into(),
    };
    Some((port, connection))
}
