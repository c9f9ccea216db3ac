//! One transport: a path, its keys, and the media and data that travel under them. All media sections of a
//! connection are bundled onto one (RFC 9143), so a [`Peer`](crate::Peer) has one transport.

mod path_mtu;

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use taut_dtls as dtls;
use taut_rtp::HeaderView;
use taut_sansio::net::{Path, Received, Transmit, Transport as Carrier};
use taut_sansio::time::earliest;

use crate::channels::{Sctp, SctpState};
use crate::demux::{Demux, Protocol};
use crate::gate::{Gate, Verdict};
use crate::signaling::{DataParameters, TransportParameters};

/// How many blocked paths are remembered. More than a peer has candidate pairs; beyond, a path counts as writable
/// and the driver's own buffer takes the packet.
const MAX_BLOCKED_PATHS: usize = 128;

/// How many octets a full SCTP packet may stay below the room: chunks are padded to four octets (RFC 9260 section 3.2),
/// and a piece that would be too small is left for the next packet.
const SCTP_SLACK: usize = 8;

/// Why datagrams were dropped, and what was sent and received on the path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportStats {
    /// Octets sent in datagrams of DTLS, SRTP and SRTCP.
    pub bytes_sent: u64,
    /// Such datagrams sent.
    pub packets_sent: u64,
    /// Octets received in such datagrams.
    pub bytes_received: u64,
    /// Such datagrams received.
    pub packets_received: u64,
    /// Datagrams whose first octet belongs to no protocol.
    pub dropped_unknown: u64,
    /// DTLS, RTP and RTCP from addresses that ICE has not validated.
    pub dropped_gate: u64,
    /// RTP and RTCP before there were keys.
    pub dropped_no_keys: u64,
    /// Datagrams and records that DTLS dropped, forged or replayed ones and what is left of a handshake.
    pub dropped_dtls: u64,
    /// RTP and RTCP that were replayed or not authentic.
    pub dropped_srtp: u64,
    /// RTP that was authentic but malformed or for no transceiver, and data where no data channels were agreed.
    pub dropped_unrouted: u64,
    /// Datagrams that came while the events of [`Peer`](crate::Peer) were not polled: they would only make more of them.
    pub dropped_full: u64,
    /// Packets of our own that could not be protected: an index of SRTP that was used before, or a session that ended.
    pub dropped_unprotected: u64,
    /// How often the selected pair changed.
    pub selected_pair_changes: u64,
}

/// How far the keys are.
#[derive(Debug)]
enum Security {
    /// The descriptions are not complete.
    Idle,
    /// The handshake begins as soon as there is a path.
    Negotiated(TransportParameters),
    /// DTLS is at work.
    Handshake,
    /// DTLS is up; there are SRTP keys if a profile was agreed.
    Established(Option<Box<Srtp>>),
    /// DTLS has ended, and why.
    Ended(dtls::CloseReason),
}

/// The keyed contexts of both directions.
#[derive(Debug)]
struct Srtp {
    profile: taut_srtp::Profile,
    inbound: taut_srtp::Inbound,
    outbound: taut_srtp::Outbound,
}

/// How far data channels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Data {
    /// Nobody wants any: what comes is dropped.
    Idle,
    /// The application made a channel: the other side may be faster than its answer.
    Expected,
    /// The association begins as soon as DTLS is up.
    Negotiated(DataParameters),
    /// The association was started.
    Started(DataParameters),
    /// It was refused or given up.
    Ended,
}

/// The largest datagram of a forwarded RTP packet: what Ethernet carries under IPv6 and UDP. Some browsers fill
/// 1,200 octets with RTP alone, and to those come the tag and the MID.
const MAX_FORWARDED: usize = 1_452;

/// The most that a relay adds to a datagram: a Send indication with an IPv6 address (RFC 8656 section 11.1), in octets.
const MAX_RELAY_OVERHEAD: usize = 52;

/// The largest batch: one UDP packet before it is cut into segments, in octets.
const MAX_BATCH: usize = 65_000;

/// What a batch is made of; a batch never mixes kinds, because the sizes of one kind say nothing about another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Handshake,
    Rtcp,
    Rtp,
    Data,
    /// A probe of the path MTU.
    Probe,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) ice: taut_ice::Agent,
    pub(crate) dtls: dtls::Session,
    pub(crate) media: taut_media::Session,
    pub(crate) data: taut_datachannel::Session,
    pub(crate) demux: Demux,
    pub(crate) stats: TransportStats,
    security: Security,
    data_state: Data,
    gate: Gate,
    dtls_role: Option<dtls::Role>,
    blocked: BTreeSet<Path>,
    mtu: usize,
    /// The same for data, where the path is found to carry it.
    data_mtu: usize,
    /// The path that data channels know of, and what the layers between SCTP and UDP add there.
    measured: Option<(Path, usize)>,
}

impl Transport {
    pub(crate) fn new(
        ice: taut_ice::Agent,
        dtls: dtls::Session,
        media: taut_media::Session,
        data: taut_datachannel::Session,
        mtu: usize,
        data_max_mtu: usize,
    ) -> Self {
        Self {
            ice,
            dtls,
            media,
            data,
            demux: Demux::default(),
            stats: TransportStats::default(),
            security: Security::Idle,
            data_state: Data::Idle,
            gate: Gate::default(),
            dtls_role: None,
            blocked: BTreeSet::new(),
            mtu,
            data_mtu: data_max_mtu.max(mtu),
            measured: None,
        }
    }

    // ---- negotiation

    /// Both descriptions are known: the handshake may begin. Later calls change nothing: the association outlives ICE
    /// restarts.
    pub(crate) fn set_parameters(&mut self, now: Instant, parameters: TransportParameters) {
        if matches!(self.security, Security::Idle) {
            self.dtls_role = Some(parameters.dtls_role);
            self.security = Security::Negotiated(parameters);
            self.start_handshake(now);
        }
    }

    /// The application made a data channel.
    pub(crate) fn expect_data(&mut self) {
        if self.data_state == Data::Idle {
            self.data_state = Data::Expected;
        }
    }

    /// The data section is agreed.
    pub(crate) fn set_data(&mut self, now: Instant, parameters: DataParameters) {
        if matches!(self.data_state, Data::Idle | Data::Expected) {
            self.data_state = Data::Negotiated(parameters);
            self.start_data(now);
        }
    }

    /// The data section is refused: every channel ends.
    pub(crate) fn refuse_data(&mut self, now: Instant) {
        self.data_state = Data::Ended;
        self.data.handle_transport_closed(now);
    }

    /// Starts DTLS once both descriptions and a path are there.
    pub(crate) fn start_handshake(&mut self, now: Instant) {
        if self.ice.selected_path().is_none() {
            return;
        }
        if let Security::Negotiated(parameters) = &self.security {
            self.dtls.start(now, parameters.dtls_role, parameters.fingerprints.clone(), self.ice.rtt());
            self.security = Security::Handshake;
        }
    }

    /// DTLS is up and the fingerprint held: keys come out, data begins.
    ///
    /// # Errors
    ///
    /// When the keys do not fit the profile, which only a fault of the engine can cause.
    pub(crate) fn on_dtls_connected(
        &mut self,
        now: Instant,
        verified: &dtls::VerifiedPeer,
    ) -> Result<(), taut_srtp::KeyError> {
        let srtp = match verified.srtp() {
            Some(keys) => Some(Box::new(Srtp::new(keys)?)),
            None => None,
        };
        self.security = Security::Established(srtp);
        if let Some(rtt) = self.ice.rtt() {
            self.media.set_path_rtt(rtt);
        }
        self.start_data(now);
        Ok(())
    }

    /// DTLS has ended.
    pub(crate) fn on_dtls_closed(&mut self, reason: dtls::CloseReason) {
        self.security = Security::Ended(reason);
    }

    /// Why DTLS failed. Being closed is no failure.
    pub(crate) fn dtls_failure(&self) -> Option<dtls::CloseReason> {
        match self.security {
            Security::Ended(dtls::CloseReason::Local | dtls::CloseReason::Remote) => None,
            Security::Ended(reason) => Some(reason),
            _ => None,
        }
    }

    fn start_data(&mut self, now: Instant) {
        let (Data::Negotiated(parameters), Security::Established(_)) = (self.data_state, &self.security)
        else {
            return;
        };
        let role = match self.dtls_role {
            Some(dtls::Role::Client) => taut_datachannel::Role::Client,
            _ => taut_datachannel::Role::Server,
        };
        let remote = taut_datachannel::RemoteParameters {
            max_message_size: parameters.max_message_size,
            port: parameters.port,
        };
        self.data.start(now, role, remote);
        self.data_state = Data::Started(parameters);
    }

    // ---- receiving

    /// Takes in one datagram: the whole way from the socket to the machine that it is for.
    pub(crate) fn handle_datagram(&mut self, meta: Received, datagram: BytesMut) {
        let mdns = meta.path.local == taut_mdns::local_for(meta.path.remote);
        // What comes over a stream comes from a relay, or on a connection of ICE.
        let relay = meta.path.transport != Carrier::Udp && !self.ice.is_tcp(&meta.path);
        let protocol = Protocol::of(&datagram);
        if !mdns && !relay && !matches!(protocol, Protocol::Stun | Protocol::ChannelData) {
            return self.handle_inner(meta, protocol, datagram);
        }
        let relayed = self.ice.handle_datagram(meta, datagram);
        self.release_held(meta.at);
        if let Some((meta, inner)) = relayed {
            self.handle_inner(meta, Protocol::of(&inner), inner);
        }
    }

    /// Takes in what is not for ICE, from a socket or out of a relay.
    fn handle_inner(&mut self, meta: Received, protocol: Protocol, datagram: BytesMut) {
        let now = meta.at;
        match protocol {
            Protocol::Dtls => match self.gate.check_dtls(meta, datagram, self.ice.validation(&meta.path)) {
                Verdict::Pass(datagram) => self.handle_dtls(now, datagram),
                Verdict::Held => {}
                Verdict::Dropped => self.stats.dropped_gate += 1,
            },
            protocol @ (Protocol::Rtp | Protocol::Rtcp) => {
                if self.ice.validation(&meta.path) != taut_ice::Validation::Validated {
                    self.stats.dropped_gate += 1;
                } else if protocol == Protocol::Rtp {
                    self.handle_srtp(now, datagram);
                } else {
                    self.handle_srtcp(now, datagram);
                }
            }
            // A relay within a relay is nothing that anybody asked for.
            Protocol::Stun | Protocol::ChannelData | Protocol::Unknown => {
                self.stats.dropped_unknown += 1;
                tracing::trace!(len = datagram.len(), "datagram of no protocol");
            }
        }
    }

    /// Hands on what waited for a path that is now validated.
    fn release_held(&mut self, now: Instant) {
        while !self.gate.is_empty() {
            let ice = &self.ice;
            let Some((_, datagram)) = self.gate.release(|path| ice.validation(path)) else { return };
            self.handle_dtls(now, datagram);
        }
    }

    fn handle_dtls(&mut self, now: Instant, datagram: BytesMut) {
        self.count_received(datagram.len());
        self.dtls.handle_packet(now, datagram);
        while let Some(plaintext) = self.dtls.poll_plaintext() {
            match self.data_state {
                Data::Idle | Data::Ended => self.stats.dropped_unrouted += 1,
                Data::Expected | Data::Negotiated(_) | Data::Started(_) => {
                    self.data.handle_packet(now, plaintext);
                }
            }
        }
    }

    fn handle_srtp(&mut self, now: Instant, mut datagram: BytesMut) {
        let len = datagram.len();
        let Security::Established(Some(srtp)) = &mut self.security else {
            self.stats.dropped_no_keys += 1;
            return;
        };
        if srtp.inbound.unprotect_rtp(&mut datagram).is_err() {
            self.stats.dropped_srtp += 1;
            return;
        }
        self.count_received(len);
        let routed = HeaderView::parse(&datagram).ok().and_then(|header| self.demux.route(&header));
        let packet = taut_rtp::Packet::parse(datagram.freeze());
        match (routed, packet) {
            (Some(transceiver), Ok(packet)) => self.media.handle_rtp(now, transceiver.into(), packet),
            _ => self.stats.dropped_unrouted += 1,
        }
    }

    fn handle_srtcp(&mut self, now: Instant, mut datagram: BytesMut) {
        let len = datagram.len();
        let Security::Established(Some(srtp)) = &mut self.security else {
            self.stats.dropped_no_keys += 1;
            return;
        };
        if srtp.inbound.unprotect_rtcp(&mut datagram).is_err() {
            self.stats.dropped_srtp += 1;
            return;
        }
        self.count_received(len);
        self.media.handle_rtcp(now, Bytes::from(datagram));
    }

    fn count_received(&mut self, len: usize) {
        self.stats.packets_received += 1;
        self.stats.bytes_received += len as u64;
    }

    // ---- time

    /// Passes time to every machine.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.ice.handle_timeout(now);
        self.dtls.handle_timeout(now);
        self.media.handle_timeout(now);
        self.data.handle_timeout(now);
    }

    /// When a machine wants to be woken. Machines that cannot act yet do not count.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let mut next = self.ice.poll_timeout();
        if matches!(self.security, Security::Handshake | Security::Established(_)) {
            next = earliest(next, self.dtls.poll_timeout());
        }
        if let Security::Established(srtp) = &self.security {
            next = earliest(next, self.data.poll_timeout());
            if srtp.is_some() {
                next = earliest(next, self.media.poll_timeout());
            }
        }
        next
    }

    // ---- sending

    /// Says whether a path takes packets. A path that does not is skipped, the others are not held up.
    pub(crate) fn handle_writable(&mut self, path: Path, writable: bool) {
        self.ice.handle_writable(path, writable);
        if writable {
            self.blocked.remove(&path);
        } else if self.blocked.len() < MAX_BLOCKED_PATHS {
            self.blocked.insert(path);
        }
    }

    /// A TCP connection has ended, and whatever held it up.
    pub(crate) fn handle_tcp_closed(&mut self, now: Instant, path: Path) {
        self.blocked.remove(&path);
        self.ice.handle_tcp_closed(now, path);
    }

    /// Makes the next batch: checks and consent first, then on the selected path what its sources have.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: usize,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        if let Some(transmit) = self.ice.poll_transmit(now, max_segments, out) {
            return Some(transmit);
        }
        let path = self.ice.selected_path()?;
        let outer = self.ice.outer_path(&path).filter(|outer| !self.blocked.contains(outer))?;
        let start = out.len();
        self.measure(now, &path, &outer);
        let (source, segment) = self.append_first(now, &path, out)?;
        let max_segments = max_segments.min(MAX_BATCH / segment.max(1));
        let mut segments = 1;
        while segments < max_segments && self.continues(&path, source, segment) {
            match self.append(now, &path, source, segment, out) {
                Some(len) => {
                    segments += 1;
                    if len < segment {
                        break;
                    }
                }
                None => break,
            }
        }
        let len = out.len().saturating_sub(start);
        self.stats.packets_sent += segments as u64;
        self.stats.bytes_sent += len as u64;
        let segment_size = (segments > 1).then_some(segment);
        Some(Transmit { segment_size, mtu_probe: source == Source::Probe, ..Transmit::single(outer, len) })
    }

    /// What ICE still has to say once it is closed: allocations and names are given back.
    pub(crate) fn poll_farewell(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.ice.poll_transmit(now, 1, out)
    }

    /// Whether a batch on `path` that began with a packet of `segment` octets may go on. SCTP cuts its data by the room
    /// there is, so a batch that began with a small packet goes on with what fits without a cut.
    fn continues(&mut self, path: &Path, source: Source, segment: usize) -> bool {
        match source {
            Source::Handshake | Source::Rtcp | Source::Probe => false,
            Source::Rtp => true,
            // Pieces are cut for the MTU, however much larger a packet may be.
            Source::Data if segment + SCTP_SLACK >= self.mtu => true,
            Source::Data => {
                let overhead = self.ice.relay_overhead(path) + self.dtls.overhead();
                self.data.next_data_fits(segment.saturating_sub(overhead))
            }
        }
    }

    /// The first packet of a batch decides the source and the size of the others.
    fn append_first(&mut self, now: Instant, path: &Path, out: &mut Vec<u8>) -> Option<(Source, usize)> {
        let sources = [Source::Handshake, Source::Rtcp, Source::Rtp, Source::Data, Source::Probe];
        sources.into_iter().find_map(|source| {
            let room = match source {
                Source::Handshake | Source::Rtcp => self.mtu,
                // What is cut here fits the MTU; what is forwarded has the size that its sender chose.
                Source::Rtp => self.mtu.max(MAX_FORWARDED),
                // SCTP knows how much comes through. What it cut for a path without a relay goes through one, too.
                Source::Data | Source::Probe => self.data_mtu.max(self.mtu + MAX_RELAY_OVERHEAD),
            };
            Some((source, self.append(now, path, source, room, out)?))
        })
    }

    /// Appends one packet of a source, at most `room` octets of UDP payload. What cannot be protected is left out
    /// and counted; the next one takes its place.
    ///
    /// Through a relay, its header is written first and its length afterwards, so that the packet is made where it leaves
    /// from.
    fn append(
        &mut self,
        now: Instant,
        path: &Path,
        source: Source,
        room: usize,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let start = out.len();
        let room = room.checked_sub(self.ice.relay_overhead(path))?;
        loop {
            let envelope = self.ice.open(path, out)?;
            let payload = out.len();
            let made = self.make(now, source, room, out);
            if made == Some(true) && out.len() > payload && self.ice.seal(envelope, out) {
                return Some(out.len().saturating_sub(start));
            }
            out.truncate(start);
            match made {
                Some(false) => self.stats.dropped_unprotected += 1,
                _ => return None,
            }
        }
    }

    /// Makes one packet; `None` when the source has none, false when it could not be protected.
    fn make(&mut self, now: Instant, source: Source, room: usize, out: &mut Vec<u8>) -> Option<bool> {
        let start = out.len();
        match (source, &mut self.security) {
            (Source::Handshake, Security::Handshake | Security::Established(_) | Security::Ended(_)) => {
                self.dtls.poll_transmit(now, room, out).map(|_| true)
            }
            (Source::Rtcp, Security::Established(Some(srtp))) => {
                self.media.poll_rtcp(now, room.checked_sub(srtp.profile.rtcp_overhead())?, out)?;
                Some(srtp.outbound.protect_rtcp(out, start).is_ok())
            }
            (Source::Rtp, Security::Established(Some(srtp))) => {
                self.media.poll_rtp(now, room.checked_sub(srtp.profile.rtp_overhead())?, out)?;
                Some(srtp.outbound.protect_rtp(out, start).is_ok())
            }
            (Source::Data, Security::Established(_)) => {
                let room = room.checked_sub(self.dtls.overhead())?;
                self.dtls.begin_record(out);
                self.data.poll_transmit(now, room, out)?;
                Some(self.dtls.end_record(now, out, start).is_ok())
            }
            (Source::Probe, Security::Established(_)) => {
                let room = room.checked_sub(self.dtls.overhead())?;
                self.dtls.begin_record(out);
                self.data.poll_mtu_probe(now, room, out)?;
                Some(self.dtls.end_record(now, out, start).is_ok())
            }
            _ => None,
        }
    }

    // ---- getters

    /// The association of the data channels, once it is negotiated.
    pub(crate) fn sctp(&self) -> Option<Sctp> {
        let (state, parameters) = match self.data_state {
            Data::Idle | Data::Expected => return None,
            Data::Negotiated(parameters) => (SctpState::Connecting, Some(parameters)),
            Data::Started(parameters) if self.data.is_connected() => (SctpState::Connected, Some(parameters)),
            Data::Started(parameters) if self.data.max_message_size().is_some() => {
                (SctpState::Connecting, Some(parameters))
            }
            Data::Started(parameters) => (SctpState::Closed, Some(parameters)),
            Data::Ended => (SctpState::Closed, None),
        };
        let max_message_size = match parameters.map_or(0, |parameters| parameters.max_message_size) {
            0 => usize::MAX,
            octets => octets,
        };
        Some(Sctp { state, max_message_size, max_channels: self.data.max_channels() })
    }

    /// True once media can be sent.
    pub(crate) fn has_srtp(&self) -> bool {
        matches!(self.security, Security::Established(Some(_)))
    }

    /// The agreed SRTP profile.
    pub(crate) fn srtp_profile(&self) -> Option<taut_srtp::Profile> {
        match &self.security {
            Security::Established(Some(srtp)) => Some(srtp.profile),
            _ => None,
        }
    }

    /// Whether a datagram waits for its path.
    #[cfg(test)]
    pub(crate) fn holds(&self) -> bool {
        !self.gate.is_empty()
    }

    /// The DTLS role, once both descriptions are known.
    pub(crate) fn dtls_role(&self) -> Option<dtls::Role> {
        self.dtls_role
    }
}

impl Srtp {
    fn new(keys: &dtls::SrtpKeys) -> Result<Self, taut_srtp::KeyError> {
        let profile = match keys.profile {
            dtls::SrtpProfile::AeadAes128Gcm => taut_srtp::Profile::AeadAes128Gcm,
            dtls::SrtpProfile::AeadAes256Gcm => taut_srtp::Profile::AeadAes256Gcm,
            _ => taut_srtp::Profile::Aes128CmSha1_80,
        };
        Ok(Self {
            profile,
            inbound: taut_srtp::Inbound::new(profile, &keys.remote_key, &keys.remote_salt)?,
            outbound: taut_srtp::Outbound::new(profile, &keys.local_key, &keys.local_salt)?,
        })
    }
}
