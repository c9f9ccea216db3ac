//! Allocate and Refresh (RFC 8656 sections 7 and 8).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use taut_sansio::net::Path;
use taut_stun::attribute::{
    AdditionalAddressFamily, AddressErrorCode, AddressFamily, ErrorCode, EvenPort, Lifetime,
    RequestedAddressFamily, RequestedTransport, XorRelayedAddress,
};
use taut_stun::{AttributeType, Builder, Class, Fingerprint, Message, Method};

use super::request::{Authenticated, Refusal, finish_answer};
use super::table::{AllocationId, New, Pending, Relay};
use super::{Event, MAX_EVENTS, Server, count};

/// The lifetime of an allocation whose client asks for none (RFC 8656 section 3.2).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
/// How long the sockets may take to be bound.
const BIND_TIMEOUT: Duration = Duration::from_secs(10);
/// How many ports are tried for one relay.
const MAX_BIND_TRIES: u32 = 8;
/// How many random ports are looked at to find one that is free.
const MAX_DRAWS: u32 = 64;

const NO_FAMILY: Refusal =
    Refusal::new(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED, "Address Family not Supported");
const NO_ROOM: Refusal = Refusal::new(ErrorCode::INSUFFICIENT_CAPACITY, "Insufficient Capacity");
pub(super) const MISMATCH: Refusal = Refusal::new(ErrorCode::ALLOCATION_MISMATCH, "Allocation Mismatch");
pub(super) const WRONG_CREDENTIALS: Refusal = Refusal::new(ErrorCode::WRONG_CREDENTIALS, "Wrong Credentials");

/// What an Allocate request asks for.
struct Wanted {
    v4: bool,
    v6: bool,
    even: bool,
    lacks_additional: bool,
    lifetime: Duration,
}

impl Server {
    pub(super) fn on_allocate(
        &mut self,
        now: Instant,
        path: Path,
        request: &Message<'_>,
        who: Authenticated,
    ) -> Result<(), Refusal> {
        if let Some(id) = self.table.by_path(path) {
            return self.on_allocate_again(id, request);
        }
        let wanted = self.wanted(request)?;
        if self.table.allocations_of(&who.user) >= self.config.max_allocations_per_user {
            return Err(Refusal::new(ErrorCode::ALLOCATION_QUOTA_REACHED, "Allocation Quota Reached"));
        }
        if self.table.len() >= self.config.max_allocations {
            return Err(NO_ROOM);
        }
        if self.events.len() >= MAX_EVENTS {
            count(&mut self.stats.congested);
            return Ok(());
        }
        let pending = Pending {
            fingerprint: request.fingerprint(),
            even: wanted.even,
            lacks_additional: wanted.lacks_additional,
            lifetime: wanted.lifetime,
        };
        let Authenticated { user, signing } = who;
        let transaction = request.transaction_id();
        let expires = now + BIND_TIMEOUT;
        let id = self.table.insert(New { path, user, signing, transaction, pending, expires });
        for (v6, wanted) in [(false, wanted.v4), (true, wanted.v6)] {
            if wanted {
                self.bind_relay(id, v6, 1);
            }
        }
        self.conclude(now, id);
        Ok(())
    }

    /// The checks of RFC 8656 section 7.2, from the third on.
    fn wanted(&self, request: &Message<'_>) -> Result<Wanted, Refusal> {
        let transport = request.get::<RequestedTransport>()?.ok_or(Refusal::BAD_REQUEST)?;
        if transport != RequestedTransport::UDP {
            return Err(Refusal::new(ErrorCode::UNSUPPORTED_TRANSPORT, "Unsupported Transport Protocol"));
        }
        let family = request.get::<RequestedAddressFamily>()?;
        let additional = request.get::<AdditionalAddressFamily>()?;
        let even = request.get::<EvenPort>()?;
        if request.attributes().any(|attribute| attribute.kind == AttributeType::RESERVATION_TOKEN) {
            // No port is ever reserved, so no token is good.
            let alone = family.is_none() && additional.is_none() && even.is_none();
            return Err(if alone { NO_ROOM } else { Refusal::BAD_REQUEST });
        }
        let v4_again = additional == Some(AdditionalAddressFamily(AddressFamily::V4));
        if (family.is_some() && additional.is_some()) || v4_again {
            return Err(Refusal::BAD_REQUEST);
        }
        let reserve = even.is_some_and(|even| even.reserve_next);
        if reserve {
            return Err(if additional.is_some() { Refusal::BAD_REQUEST } else { NO_ROOM });
        }
        let first = family.map_or(AddressFamily::V4, |RequestedAddressFamily(family)| family);
        if !self.has(first) {
            return Err(NO_FAMILY);
        }
        let asked = request.get::<Lifetime>()?.map_or(0, |Lifetime(seconds)| seconds);
        Ok(Wanted {
            v4: first == AddressFamily::V4,
            v6: first == AddressFamily::V6 || (additional.is_some() && self.has(AddressFamily::V6)),
            even: even.is_some(),
            lacks_additional: additional.is_some() && !self.has(AddressFamily::V6),
            lifetime: self.lifetime(asked),
        })
    }

    fn has(&self, family: AddressFamily) -> bool {
        self.config.relays.iter().any(|relay| relay.bind.is_ipv4() == (family == AddressFamily::V4))
    }

    /// What is granted to who asks for so many seconds (RFC 8656 section 7.2).
    fn lifetime(&self, asked: u32) -> Duration {
        let most = self.config.max_lifetime;
        Duration::from_secs(u64::from(asked)).min(most).max(DEFAULT_LIFETIME.min(most))
    }

    /// An Allocate on a path that has an allocation: the same request once more, or a wrong one.
    fn on_allocate_again(&mut self, id: AllocationId, request: &Message<'_>) -> Result<(), Refusal> {
        let Some(allocation) = self.table.get(id) else { return Ok(()) };
        if allocation.transaction != request.transaction_id() {
            return Err(MISMATCH);
        }
        if allocation.pending.is_none() {
            self.answer_allocate(id, request.fingerprint());
        }
        Ok(())
    }

    /// Asks for a socket on a free port.
    fn bind_relay(&mut self, id: AllocationId, v6: bool, tries: u32) {
        let even = self
            .table
            .get(id)
            .and_then(|allocation| allocation.pending.as_ref())
            .is_some_and(|pending| pending.even);
        let relay = match self.free_port(v6, even) {
            Some(address) => {
                self.events.push_back(Event::Bind(address));
                Relay::Binding(address, tries)
            }
            None => Relay::Failed,
        };
        self.table.set_relay(id, v6, relay);
    }

    /// A port that no relay has, by chance (RFC 6056): whoever wants to send to a relay must not be able to guess it.
    fn free_port(&mut self, v6: bool, even: bool) -> Option<SocketAddr> {
        let ip = self.config.relays.iter().find(|relay| relay.bind.is_ipv6() == v6)?.bind;
        let (first, last) = self.config.relay_ports;
        let ports = u32::from(last.saturating_sub(first)).saturating_add(1);
        for _ in 0..MAX_DRAWS {
            let draw = u16::try_from(self.rng.below(ports)).unwrap_or(0);
            let port = first.saturating_add(draw);
            let port = if even { port & !1 } else { port };
            let address = SocketAddr::new(ip, port);
            if port >= first && self.table.by_relay(address).is_none() {
                return Some(address);
            }
        }
        None
    }

    pub(super) fn on_bound(&mut self, now: Instant, address: SocketAddr, bound: Result<(), ()>) {
        let Some(id) = self.table.by_relay(address) else {
            // The allocation is gone meanwhile; so is, by the event that was sent then, the socket.
            return;
        };
        let v6 = address.is_ipv6();
        let relay = self.table.get(id).and_then(|allocation| allocation.relays.get(usize::from(v6)).copied());
        let Some(Relay::Binding(_, tries)) = relay else { return };
        match bound {
            Ok(()) => self.table.set_relay(id, v6, Relay::Bound(address)),
            Err(()) if tries < MAX_BIND_TRIES && self.events.len() < MAX_EVENTS => {
                self.bind_relay(id, v6, tries.saturating_add(1));
            }
            Err(()) => self.table.set_relay(id, v6, Relay::Failed),
        }
        self.conclude(now, id);
    }

    /// Answers an Allocate whose sockets are all bound, or not to be had.
    fn conclude(&mut self, now: Instant, id: AllocationId) {
        let Some(allocation) = self.table.get_mut(id) else { return };
        if allocation.relays.iter().any(|relay| matches!(relay, Relay::Binding(..))) {
            return;
        }
        let Some(pending) = allocation.pending.take() else { return };
        let bound = allocation.relays().next().is_some();
        let failed = allocation.relays.contains(&Relay::Failed);
        // Of two, IPv4 is the one that must be there.
        let fails = !bound || matches!(allocation.relays, [Relay::Failed, _]);
        if fails {
            self.answer_no_room(id, pending.fingerprint);
            return self.remove(id);
        }
        let expires = now.checked_add(pending.lifetime).unwrap_or(now + DEFAULT_LIFETIME);
        self.table.set_expiry(id, expires);
        count(&mut self.stats.allocated);
        self.answer_allocate(id, pending.fingerprint);
        if let Some(allocation) = self.table.get(id) {
            let relays: Vec<SocketAddr> = allocation.relays().collect();
            tracing::debug!(path = ?allocation.path, user = %allocation.user, ?relays, failed, "allocated");
        }
    }

    /// The answer to an Allocate that was granted, the first time and every time that it is asked again.
    fn answer_allocate(&mut self, id: AllocationId, fingerprint: Fingerprint) {
        let Some(allocation) = self.table.get(id) else { return };
        let mut out = Vec::new();
        let mut builder = Builder::new(&mut out, Class::Success, Method::ALLOCATE, allocation.transaction);
        for relay in allocation.relays() {
            builder = builder.push(&XorRelayedAddress(self.policy.advertised(relay)));
        }
        let missing = match allocation.relays {
            [_, Relay::Failed] => Some(NO_ROOM.code),
            _ => allocation.lacks_additional.then_some(NO_FAMILY.code),
        };
        if let Some(code) = missing {
            builder = builder.push(&AddressErrorCode { family: AddressFamily::V6, code });
        }
        let left = allocation.expires.saturating_duration_since(self.now).as_secs();
        let builder = builder
            .push(&Lifetime(u32::try_from(left).unwrap_or(u32::MAX)))
            .push(&Self::mapped(allocation.path))
            .integrity(&allocation.signing.key, allocation.signing.algorithm);
        let path = allocation.path;
        if finish_answer(builder, fingerprint).is_some() {
            self.send(path, BytesMut::from(&out[..]));
        }
    }

    fn answer_no_room(&mut self, id: AllocationId, fingerprint: Fingerprint) {
        let Some(allocation) = self.table.get(id) else { return };
        let mut out = Vec::new();
        let builder = Builder::new(&mut out, Class::Error, Method::ALLOCATE, allocation.transaction)
            .push(&ErrorCode::new(NO_ROOM.code, NO_ROOM.reason))
            .integrity(&allocation.signing.key, allocation.signing.algorithm);
        count(&mut self.stats.refused);
        let path = allocation.path;
        if finish_answer(builder, fingerprint).is_some() {
            self.send(path, BytesMut::from(&out[..]));
        }
    }

    pub(super) fn on_refresh(
        &mut self,
        now: Instant,
        path: Path,
        request: &Message<'_>,
        who: &Authenticated,
    ) -> Result<(), Refusal> {
        let id = self.allocation_of(path, who)?;
        let family = request.get::<RequestedAddressFamily>()?;
        let asked = request.get::<Lifetime>()?;
        let relays: Vec<SocketAddr> = self.table.get(id).map(|a| a.relays().collect()).unwrap_or_default();
        let of_family = |family| relays.iter().any(|relay| AddressFamily::of(*relay) == family);
        if let Some(RequestedAddressFamily(family)) = family
            && !of_family(family)
        {
            return Err(Refusal::new(
                ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH,
                "Peer Address Family Mismatch",
            ));
        }
        let granted = match (asked, family) {
            (Some(Lifetime(0)), Some(RequestedAddressFamily(family))) if relays.len() > 1 => {
                if let Some(relay) = self.table.drop_relay(id, family == AddressFamily::V6) {
                    self.events.push_back(Event::Unbind(relay));
                }
                Duration::ZERO
            }
            (Some(Lifetime(0)), _) => {
                self.remove(id);
                Duration::ZERO
            }
            // Both relays of a dual allocation live as long as the one that is refreshed.
            (asked, _) => {
                let lifetime = self.lifetime(asked.map_or(0, |Lifetime(seconds)| seconds));
                self.table.set_expiry(id, now.checked_add(lifetime).unwrap_or(now + DEFAULT_LIFETIME));
                lifetime
            }
        };
        let granted = Lifetime(u32::try_from(granted.as_secs()).unwrap_or(u32::MAX));
        self.grant(path, request, &who.signing, |builder| builder.push(&granted));
        Ok(())
    }

    /// The allocation of a path, which must be this user's (RFC 8656 section 5).
    pub(super) fn allocation_of(&self, path: Path, who: &Authenticated) -> Result<AllocationId, Refusal> {
        let id = self.table.by_path(path).ok_or(MISMATCH)?;
        let allocation =
            self.table.get(id).filter(|allocation| allocation.pending.is_none()).ok_or(MISMATCH)?;
        if allocation.signing.username == who.signing.username { Ok(id) } else { Err(WRONG_CREDENTIALS) }
    }
}
