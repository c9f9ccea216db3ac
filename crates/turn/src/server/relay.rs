//! What is relayed (RFC 8656 sections 11 and 12): nothing is allocated for it, and its payload is copied once, to where it
//! leaves from.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use taut_sansio::net::{Path, Transmit, Transport};
use taut_stun::attribute::{Data, XorPeerAddress};
use taut_stun::{Builder, Class, Message, Method, TransactionId};

use super::table::AllocationId;
use super::{MAX_QUEUED, Server, count};
use crate::ChannelNumber;
use crate::channel_data::{self, ChannelData, padding, patch_header};
use crate::known;

/// What stands before the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Nothing: an answer, or what goes to a peer.
    Plain,
    /// ChannelData.
    Channel(ChannelNumber),
    /// A Data indication from this peer.
    Indication(SocketAddr),
}

/// Something that waits to be polled.
#[derive(Debug)]
pub(super) struct Outgoing {
    path: Path,
    form: Form,
    payload: BytesMut,
}

impl Server {
    /// ChannelData of a client.
    pub(super) fn on_channel_data(&mut self, now: Instant, path: Path, mut datagram: BytesMut) {
        let Ok(view) = ChannelData::parse(&datagram) else {
            return count(&mut self.stats.malformed);
        };
        let (number, length) = (view.number(), view.payload().len());
        let Some(id) = self.table.by_path(path) else {
            return count(&mut self.stats.unexpected);
        };
        let peer = self.table.get(id).and_then(|allocation| allocation.peer_of(now, number));
        let Some(peer) = peer else { return count(&mut self.stats.not_permitted) };
        datagram.advance(channel_data::HEADER_LEN);
        datagram.truncate(length);
        self.relay_to_peer(now, id, peer, datagram);
    }

    /// A Send indication of a client.
    pub(super) fn on_send(&mut self, now: Instant, path: Path, mut datagram: BytesMut) {
        let Some(id) = self.table.by_path(path) else {
            return count(&mut self.stats.unexpected);
        };
        let Some((peer, start, length)) = read_send(&datagram) else {
            return count(&mut self.stats.malformed);
        };
        let permitted = self.table.get(id).is_some_and(|allocation| allocation.is_permitted(now, peer.ip()));
        if !permitted {
            return count(&mut self.stats.not_permitted);
        }
        datagram.advance(start);
        datagram.truncate(length);
        self.relay_to_peer(now, id, peer, datagram);
    }

    fn relay_to_peer(&mut self, now: Instant, id: AllocationId, peer: SocketAddr, payload: BytesMut) {
        let Some(allocation) = self.table.get(id) else { return };
        let (Some(relay), user) = (allocation.relay_for(peer), allocation.user_id) else {
            return count(&mut self.stats.not_permitted);
        };
        let destination = if self.policy.is_relay(peer.ip()) {
            // To this host itself: only to a relay, which belongs to another client.
            let bound = self.policy.bound(peer);
            if self.table.by_relay(bound).is_none() {
                return count(&mut self.stats.not_permitted);
            }
            bound
        } else {
            peer
        };
        if peer.port() == 0 {
            return count(&mut self.stats.not_permitted);
        }
        if !self.has_bandwidth(now, user, payload.len()) {
            return count(&mut self.stats.over_bandwidth);
        }
        let octets = payload.len() as u64;
        if self.push(Path::udp(relay, destination), Form::Plain, payload) {
            count(&mut self.stats.to_peers);
            self.stats.to_peers_bytes = self.stats.to_peers_bytes.saturating_add(octets);
        }
    }

    /// What a peer has sent to a relay.
    pub(super) fn on_peer(&mut self, now: Instant, id: AllocationId, path: Path, payload: BytesMut) {
        let peer = self.policy.advertised(path.remote);
        let Some(allocation) = self.table.get(id) else { return };
        // One whose sockets are still being bound has permitted nobody.
        if !allocation.is_permitted(now, peer.ip()) {
            return count(&mut self.stats.not_permitted);
        }
        let (client, user, blocked) = (allocation.path, allocation.user_id, allocation.blocked);
        let form = allocation.channel_to(now, peer).map_or(Form::Indication(peer), Form::Channel);
        if blocked {
            return count(&mut self.stats.congested);
        }
        if !self.has_bandwidth(now, user, payload.len()) {
            return count(&mut self.stats.over_bandwidth);
        }
        let octets = payload.len() as u64;
        if self.push(client, form, payload) {
            count(&mut self.stats.to_clients);
            self.stats.to_clients_bytes = self.stats.to_clients_bytes.saturating_add(octets);
        }
    }

    fn has_bandwidth(&mut self, now: Instant, user: super::table::UserId, octets: usize) -> bool {
        match self.config.bandwidth_per_user {
            Some(rate) => self.table.take_bandwidth(user, now, octets, rate),
            None => true,
        }
    }

    /// Queues an answer.
    pub(super) fn send(&mut self, path: Path, answer: BytesMut) {
        let _ = self.push(path, Form::Plain, answer);
    }

    fn push(&mut self, path: Path, form: Form, payload: BytesMut) -> bool {
        if self.queue.len() >= MAX_QUEUED {
            count(&mut self.stats.congested);
            return false;
        }
        self.queue.push_back(Outgoing { path, form, payload });
        true
    }

    pub(super) fn poll_queue(&mut self, max_segments: usize, out: &mut Vec<u8>) -> Option<Transmit> {
        let first = self.queue.pop_front()?;
        let path = first.path;
        let size = self.write(&first, out);
        let mut transmit = Transmit::single(path, size);
        // Segments of a size are a thing of datagrams.
        if path.transport != Transport::Udp || size == 0 {
            return Some(transmit);
        }
        for _ in 1..max_segments {
            let Some(next) = self.queue.front().filter(|next| {
                next.path == path && next.form == first.form && next.payload.len() <= first.payload.len()
            }) else {
                break;
            };
            // The last one may be shorter, but not empty: it would not be seen.
            if next.payload.is_empty() {
                break;
            }
            let Some(next) = self.queue.pop_front() else { break };
            let length = self.write(&next, out);
            transmit.len = transmit.len.saturating_add(length);
            transmit.segment_size = Some(size);
            if length < size {
                break;
            }
        }
        Some(transmit)
    }

    /// Appends a datagram, or a message of a stream; returns its length.
    fn write(&mut self, outgoing: &Outgoing, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        let payload = &outgoing.payload;
        match outgoing.form {
            Form::Plain => out.extend_from_slice(payload),
            Form::Channel(number) => {
                // What came as a datagram is no longer than one.
                let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
                let mut header = [0; channel_data::HEADER_LEN];
                patch_header(&mut header, number, length);
                out.extend_from_slice(&header);
                out.extend_from_slice(payload);
                if outgoing.path.transport != Transport::Udp {
                    out.resize(out.len().saturating_add(padding(payload.len())), 0);
                }
            }
            Form::Indication(peer) => {
                let id = TransactionId::random(&mut self.rng);
                let builder = Builder::new(out, Class::Indication, Method::DATA, id);
                // The longest datagram with this header does not fit a message: then nothing is written.
                let _ = builder.push(&XorPeerAddress(peer)).push(&Data(payload)).finish();
            }
        }
        out.len().saturating_sub(start)
    }
}

/// The peer of a Send indication, and where its data stands in the datagram.
fn read_send(datagram: &[u8]) -> Option<(SocketAddr, usize, usize)> {
    let message = Message::parse(datagram).ok()?;
    if message.unknown_required(known::IN_INDICATIONS).next().is_some() {
        return None;
    }
    let XorPeerAddress(peer) = message.get().ok()??;
    let Data(data) = message.get().ok()??;
    // Both are addresses within the one datagram.
    let start = data.as_ptr().addr().checked_sub(datagram.as_ptr().addr())?;
    Some((peer, start, data.len()))
}
