//! What goes through the relay: ChannelData and Send and Data indications (RFC 8656 sections 11 and 12).

use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use taut_stun::attribute::{Data, XorPeerAddress};
use taut_stun::{Builder, Class, Fingerprint, HEADER_LEN, Message, Method, TransactionId};

use super::{Client, Link, Relayed};
use crate::ChannelNumber;
use crate::channel_data::{self, ChannelData, padding, patch_header};
use crate::known;

/// The start of something that is written for a peer: the header stands in the buffer, its lengths do not.
#[derive(Debug)]
#[must_use = "what was opened must be sealed"]
pub struct Envelope {
    start: usize,
    payload: usize,
    channel: Option<ChannelNumber>,
}

impl Client {
    /// How many octets stand before the payload for this peer, and how many may follow it.
    pub fn overhead(&self, peer: SocketAddr) -> usize {
        let header = match self.peers.channel_to(peer) {
            Some(_) => channel_data::HEADER_LEN,
            // XOR-PEER-ADDRESS with its header, and the header of DATA.
            None if peer.is_ipv4() => HEADER_LEN + 12 + 4,
            None => HEADER_LEN + 24 + 4,
        };
        if self.peers.channel_to(peer).is_some() && !self.is_stream() { header } else { header + 3 }
    }

    /// Begins a datagram for a peer at the end of `out`: the payload is appended next, and [`seal`](Self::seal) ends
    /// it. `None` while there is no relayed address of the peer's family.
    pub fn open(&mut self, peer: SocketAddr, out: &mut Vec<u8>) -> Option<Envelope> {
        if !self.relayed.iter().any(|relayed| relayed.is_ipv4() == peer.is_ipv4()) {
            return None;
        }
        let start = out.len();
        let channel = self.peers.channel_to(peer);
        if channel.is_some() {
            out.extend_from_slice(&[0; channel_data::HEADER_LEN]);
        } else {
            let id = TransactionId::random(&mut self.rng);
            let builder = Builder::new(out, Class::Indication, Method::SEND, id);
            // Two attributes of known size fit every message.
            builder.push(&XorPeerAddress(peer)).push(&Data(&[])).finish()?;
        }
        Some(Envelope { start, payload: out.len(), channel })
    }

    /// Ends a datagram: patches its lengths and pads it where its form asks for it. Returns how many octets there are
    /// since [`open`](Self::open). `None`, with the datagram taken out again, if the payload is longer than its form can
    /// say.
    pub fn seal(&mut self, envelope: Envelope, out: &mut Vec<u8>) -> Option<usize> {
        let Envelope { start, payload, channel } = envelope;
        let length = out.len().saturating_sub(payload);
        let sealed = match channel {
            Some(number) => u16::try_from(length).ok().and_then(|length| {
                patch_header(out.get_mut(start..payload)?, number, length);
                Some(self.is_stream())
            }),
            None => patch_indication(out, start, payload, length).then_some(true),
        };
        let Some(padded) = sealed else {
            out.truncate(start);
            return None;
        };
        if padded {
            out.resize(out.len().saturating_add(padding(length)), 0);
        }
        self.stats.relayed_out = self.stats.relayed_out.saturating_add(1);
        Some(out.len().saturating_sub(start))
    }

    pub(super) fn on_channel_data(&mut self, mut datagram: BytesMut) -> Option<Relayed> {
        let Ok(view) = ChannelData::parse(&datagram) else {
            self.on_malformed();
            return None;
        };
        let (number, length) = (view.number(), view.payload().len());
        let Some(peer) = self.peers.peer_of(number) else {
            self.on_unknown_peer();
            return None;
        };
        datagram.advance(channel_data::HEADER_LEN);
        datagram.truncate(length);
        self.relayed_from(peer, datagram)
    }

    pub(super) fn on_stun(&mut self, _now: Instant, datagram: &[u8]) -> Option<Relayed> {
        let Ok(message) = Message::parse(datagram) else {
            self.on_malformed();
            return None;
        };
        match message.class() {
            Class::Success | Class::Error => {
                self.on_answer(&message);
                None
            }
            Class::Indication if message.method() == Method::DATA => self.on_data(&message),
            Class::Indication | Class::Request => {
                self.stats.unexpected = self.stats.unexpected.saturating_add(1);
                None
            }
        }
    }

    /// A Data indication. Only what comes before there is a channel is copied.
    fn on_data(&mut self, message: &Message<'_>) -> Option<Relayed> {
        let whole = message.fingerprint() != Fingerprint::Bad
            && message.unknown_required(known::IN_INDICATIONS).next().is_none();
        let peer = message.get::<XorPeerAddress>();
        let data = message.get::<Data<'_>>();
        // With ICMP instead of DATA, the peer was not reached: ICE finds out by itself (RFC 8656 section 11.6).
        let (true, Ok(Some(XorPeerAddress(peer))), Ok(Some(Data(data)))) = (whole, peer, data) else {
            self.on_malformed();
            return None;
        };
        if !self.peers.is_permitted(peer.ip()) {
            self.on_unknown_peer();
            return None;
        }
        self.relayed_from(peer, BytesMut::from(data))
    }

    fn relayed_from(&mut self, peer: SocketAddr, data: BytesMut) -> Option<Relayed> {
        let of_family = |address: &&SocketAddr| address.is_ipv4() == peer.is_ipv4();
        let Some(relayed) = self.relayed.iter().find(of_family).copied() else {
            self.on_unknown_peer();
            return None;
        };
        if matches!(self.link, Link::Up(_)) {
            self.heard = self.now;
        }
        self.stats.relayed_in = self.stats.relayed_in.saturating_add(1);
        Some(Relayed { relayed, peer, data })
    }

    fn on_unknown_peer(&mut self) {
        self.stats.unknown_peer = self.stats.unknown_peer.saturating_add(1);
        tracing::trace!("data of a peer that has no permission: dropped");
    }
}

/// Writes the lengths of an indication that begins at `start`, and of its DATA that begins at `payload`.
fn patch_indication(out: &mut [u8], start: usize, payload: usize, length: usize) -> bool {
    let body = payload
        .saturating_sub(start)
        .saturating_sub(HEADER_LEN)
        .saturating_add(length)
        .saturating_add(padding(length));
    let (Ok(length), Ok(body)) = (u16::try_from(length), u16::try_from(body)) else { return false };
    let mut patch = |at: usize, value: u16| match out.get_mut(at..at.saturating_add(2)) {
        Some(place) => {
            place.copy_from_slice(&value.to_be_bytes());
            true
        }
        None => false,
    };
    patch(start.saturating_add(2), body) && patch(payload.saturating_sub(2), length)
}
