//! CreatePermission and ChannelBind (RFC 8656 sections 10 and 12.2).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use taut_sansio::net::Path;
use taut_stun::Message;
use taut_stun::attribute::{Attribute, ChannelNumber as ChannelNumberAttribute, ErrorCode, XorPeerAddress};

use super::Server;
use super::request::{Authenticated, Refusal};
use super::table::BindError;
use crate::ChannelNumber;

const FORBIDDEN: Refusal = Refusal::new(ErrorCode::FORBIDDEN, "Forbidden");
const OTHER_FAMILY: Refusal =
    Refusal::new(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH, "Peer Address Family Mismatch");
const NO_ROOM: Refusal = Refusal::new(ErrorCode::INSUFFICIENT_CAPACITY, "Insufficient Capacity");

impl Server {
    pub(super) fn on_create_permission(
        &mut self,
        now: Instant,
        path: Path,
        request: &Message<'_>,
        who: &Authenticated,
    ) -> Result<(), Refusal> {
        let id = self.allocation_of(path, who)?;
        let mut peers: Vec<IpAddr> = Vec::new();
        for raw in request.attributes().filter(|attribute| attribute.kind == XorPeerAddress::TYPE) {
            let XorPeerAddress(peer) = request.read(raw)?;
            peers.push(peer.ip());
        }
        if peers.is_empty() {
            return Err(Refusal::BAD_REQUEST);
        }
        // All or none (section 10.2).
        for peer in &peers {
            self.check_peer(id, SocketAddr::new(*peer, 0))?;
        }
        let allocation = self.table.get_mut(id).ok_or(NO_ROOM)?;
        if !allocation.has_room_for(now, &peers) {
            return Err(NO_ROOM);
        }
        for peer in peers {
            allocation.permit(now, peer).map_err(|_| NO_ROOM)?;
        }
        self.grant(path, request, &who.signing, |builder| builder);
        Ok(())
    }

    pub(super) fn on_channel_bind(
        &mut self,
        now: Instant,
        path: Path,
        request: &Message<'_>,
        who: &Authenticated,
    ) -> Result<(), Refusal> {
        let id = self.allocation_of(path, who)?;
        let ChannelNumberAttribute(number) = request.get()?.ok_or(Refusal::BAD_REQUEST)?;
        let number = ChannelNumber::new(number).ok_or(Refusal::BAD_REQUEST)?;
        let XorPeerAddress(peer) = request.get()?.ok_or(Refusal::BAD_REQUEST)?;
        self.check_peer(id, peer)?;
        let allocation = self.table.get_mut(id).ok_or(NO_ROOM)?;
        allocation.bind(now, number, peer).map_err(|error| match error {
            BindError::Full => NO_ROOM,
            BindError::Mismatch => Refusal::BAD_REQUEST,
        })?;
        self.grant(path, request, &who.signing, |builder| builder);
        Ok(())
    }

    /// True if an allocation may have to do with a peer.
    fn check_peer(&self, id: super::table::AllocationId, peer: SocketAddr) -> Result<(), Refusal> {
        if !self.policy.permits(peer.ip()) {
            return Err(FORBIDDEN);
        }
        match self.table.get(id).and_then(|allocation| allocation.relay_for(peer)) {
            Some(_) => Ok(()),
            None => Err(OTHER_FAMILY),
        }
    }
}
