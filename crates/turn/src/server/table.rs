//! The allocations, found by the client's path and by the relay's address (RFC 8656 section 5).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use taut_sansio::net::Path;
use taut_stun::attribute::PasswordAlgorithm;
use taut_stun::{Algorithm, Fingerprint, Key, TransactionId};

use super::limit::Bucket;
use crate::ChannelNumber;

/// How many addresses an allocation may have permissions for.
pub const MAX_PERMISSIONS: usize = 256;
/// How many channels an allocation may have.
pub const MAX_CHANNELS: usize = 128;

/// How long a permission lives (RFC 8656 section 9).
const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// How long a channel lives (RFC 8656 section 12).
const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AllocationId(u64);

/// What an answer is made with.
#[derive(Debug, Clone)]
pub(super) struct Signing {
    pub(super) username: String,
    pub(super) password: PasswordAlgorithm,
    pub(super) key: Key,
    pub(super) algorithm: Algorithm,
}

/// A relay's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relay {
    /// There is none of this family.
    None,
    /// It is being bound, for so many times now.
    Binding(SocketAddr, u32),
    Bound(SocketAddr),
    /// There was none left.
    Failed,
}

/// An Allocate request whose sockets are being bound.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) fingerprint: Fingerprint,
    pub(super) even: bool,
    /// A second family was asked for that this server does not have.
    pub(super) lacks_additional: bool,
    pub(super) lifetime: Duration,
}

#[derive(Debug)]
pub(super) struct Channel {
    peer: SocketAddr,
    until: Instant,
}

#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) path: Path,
    pub(super) user: String,
    pub(super) user_id: UserId,
    pub(super) signing: Signing,
    /// That of the Allocate request, to know it again.
    pub(super) transaction: TransactionId,
    /// Until the sockets are bound.
    pub(super) pending: Option<Pending>,
    /// IPv4, then IPv6.
    pub(super) relays: [Relay; 2],
    /// A second family was asked for that this server does not have.
    pub(super) lacks_additional: bool,
    pub(super) expires: Instant,
    /// The client's stream can take no more.
    pub(super) blocked: bool,
    permissions: BTreeMap<IpAddr, Instant>,
    channels: BTreeMap<ChannelNumber, Channel>,
    numbers: BTreeMap<SocketAddr, ChannelNumber>,
}

/// The table is full.
#[derive(Debug)]
pub(super) struct Full;

/// Why there is no channel.
#[derive(Debug)]
pub(super) enum BindError {
    Full,
    /// The number or the peer is part of another channel.
    Mismatch,
}

impl Allocation {
    pub(super) fn relays(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        self.relays.into_iter().filter_map(|relay| match relay {
            Relay::Binding(address, _) | Relay::Bound(address) => Some(address),
            Relay::None | Relay::Failed => None,
        })
    }

    /// The relay that speaks to peers of this family.
    pub(super) fn relay_for(&self, peer: SocketAddr) -> Option<SocketAddr> {
        match self.relays.get(usize::from(peer.is_ipv6())) {
            Some(Relay::Bound(address)) => Some(*address),
            _ => None,
        }
    }

    pub(super) fn is_permitted(&self, now: Instant, peer: IpAddr) -> bool {
        self.permissions.get(&peer).is_some_and(|until| *until > now)
    }

    /// True if so many addresses have room.
    pub(super) fn has_room_for(&mut self, now: Instant, peers: &[IpAddr]) -> bool {
        let fresh: BTreeSet<_> = peers.iter().filter(|peer| !self.permissions.contains_key(peer)).collect();
        if self.permissions.len().saturating_add(fresh.len()) > MAX_PERMISSIONS {
            self.permissions.retain(|_, until| *until > now);
        }
        self.permissions.len().saturating_add(fresh.len()) <= MAX_PERMISSIONS
    }

    pub(super) fn permit(&mut self, now: Instant, peer: IpAddr) -> Result<(), Full> {
        if !self.has_room_for(now, &[peer]) {
            return Err(Full);
        }
        self.permissions.insert(peer, now + PERMISSION_LIFETIME);
        Ok(())
    }

    /// Binds or refreshes a channel, and permits its address (RFC 8656 section 12.2).
    pub(super) fn bind(
        &mut self,
        now: Instant,
        number: ChannelNumber,
        peer: SocketAddr,
    ) -> Result<(), BindError> {
        let live = |until: Instant| until > now;
        let other_peer = self.channels.get(&number).is_some_and(|c| c.peer != peer && live(c.until));
        let other_number = self.numbers.get(&peer).is_some_and(|other| {
            *other != number && self.channels.get(other).is_some_and(|channel| live(channel.until))
        });
        if other_peer || other_number {
            return Err(BindError::Mismatch);
        }
        if self.channels.len() >= MAX_CHANNELS && !self.channels.contains_key(&number) {
            self.channels.retain(|_, channel| live(channel.until));
            let channels = &self.channels;
            self.numbers.retain(|_, number| channels.contains_key(number));
        }
        let fresh = !self.channels.contains_key(&number);
        if (fresh && self.channels.len() >= MAX_CHANNELS) || self.permit(now, peer.ip()).is_err() {
            return Err(BindError::Full);
        }
        let old = self.channels.insert(number, Channel { peer, until: now + CHANNEL_LIFETIME });
        if let Some(old) = old.filter(|old| old.peer != peer) {
            self.numbers.remove(&old.peer);
        }
        if let Some(old) = self.numbers.insert(peer, number).filter(|old| *old != number) {
            self.channels.remove(&old);
        }
        Ok(())
    }

    pub(super) fn peer_of(&self, now: Instant, number: ChannelNumber) -> Option<SocketAddr> {
        self.channels.get(&number).filter(|channel| channel.until > now).map(|channel| channel.peer)
    }

    pub(super) fn channel_to(&self, now: Instant, peer: SocketAddr) -> Option<ChannelNumber> {
        let number = self.numbers.get(&peer)?;
        self.channels.get(number).filter(|channel| channel.until > now).map(|_| *number)
    }

    /// Takes one of two relays away, with what belongs to it.
    pub(super) fn drop_relay(&mut self, v6: bool) {
        if let Some(relay) = self.relays.get_mut(usize::from(v6)) {
            *relay = Relay::None;
        }
        self.permissions.retain(|peer, _| peer.is_ipv6() != v6);
        self.channels.retain(|_, channel| channel.peer.is_ipv6() != v6);
        self.numbers.retain(|peer, _| peer.is_ipv6() != v6);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UserId(u64);

/// What a user uses.
#[derive(Debug)]
struct Usage {
    name: String,
    allocations: usize,
    bucket: Bucket,
}

/// All allocations.
#[derive(Debug, Default)]
pub(super) struct Table {
    allocations: BTreeMap<AllocationId, Allocation>,
    paths: BTreeMap<Path, AllocationId>,
    relays: BTreeMap<SocketAddr, AllocationId>,
    expiries: BTreeSet<(Instant, AllocationId)>,
    users: BTreeMap<UserId, Usage>,
    names: BTreeMap<String, UserId>,
    next: u64,
}

/// What a new allocation begins with.
pub(super) struct New {
    pub(super) path: Path,
    pub(super) user: String,
    pub(super) signing: Signing,
    pub(super) transaction: TransactionId,
    pub(super) pending: Pending,
    pub(super) expires: Instant,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.allocations.len()
    }

    pub(super) fn allocations_of(&self, user: &str) -> usize {
        let usage = self.names.get(user).and_then(|id| self.users.get(id));
        usage.map_or(0, |usage| usage.allocations)
    }

    pub(super) fn insert(&mut self, new: New) -> AllocationId {
        let New { path, user, signing, transaction, pending, expires } = new;
        self.next = self.next.wrapping_add(1);
        let id = AllocationId(self.next);
        let user_id = *self.names.entry(user.clone()).or_insert(UserId(self.next));
        let usage = Usage { name: user.clone(), allocations: 0, bucket: Bucket::new() };
        let usage = self.users.entry(user_id).or_insert(usage);
        usage.allocations = usage.allocations.saturating_add(1);
        self.paths.insert(path, id);
        self.expiries.insert((expires, id));
        let allocation = Allocation {
            path,
            user,
            user_id,
            signing,
            transaction,
            lacks_additional: pending.lacks_additional,
            pending: Some(pending),
            relays: [Relay::None; 2],
            expires,
            blocked: false,
            permissions: BTreeMap::new(),
            channels: BTreeMap::new(),
            numbers: BTreeMap::new(),
        };
        self.allocations.insert(id, allocation);
        id
    }

    pub(super) fn remove(&mut self, id: AllocationId) -> Option<Allocation> {
        let allocation = self.allocations.remove(&id)?;
        self.paths.remove(&allocation.path);
        self.expiries.remove(&(allocation.expires, id));
        for relay in allocation.relays() {
            self.relays.remove(&relay);
        }
        if let Some(usage) = self.users.get_mut(&allocation.user_id) {
            usage.allocations = usage.allocations.saturating_sub(1);
            if usage.allocations == 0 {
                self.names.remove(&usage.name);
                self.users.remove(&allocation.user_id);
            }
        }
        Some(allocation)
    }

    pub(super) fn set_expiry(&mut self, id: AllocationId, expires: Instant) {
        if let Some(allocation) = self.allocations.get_mut(&id) {
            self.expiries.remove(&(allocation.expires, id));
            self.expiries.insert((expires, id));
            allocation.expires = expires;
        }
    }

    /// Sets the relay of one family, under whose address the allocation is then found.
    pub(super) fn set_relay(&mut self, id: AllocationId, v6: bool, relay: Relay) {
        let Some(place) =
            self.allocations.get_mut(&id).and_then(|allocation| allocation.relays.get_mut(usize::from(v6)))
        else {
            return;
        };
        if let Relay::Binding(old, _) | Relay::Bound(old) = std::mem::replace(place, relay) {
            self.relays.remove(&old);
        }
        if let Relay::Binding(address, _) | Relay::Bound(address) = relay {
            self.relays.insert(address, id);
        }
    }

    /// Takes one of two relays away. Returns the address that it had.
    pub(super) fn drop_relay(&mut self, id: AllocationId, v6: bool) -> Option<SocketAddr> {
        let allocation = self.allocations.get_mut(&id)?;
        let address = allocation.relays().find(|relay| relay.is_ipv6() == v6)?;
        allocation.drop_relay(v6);
        self.relays.remove(&address);
        Some(address)
    }

    pub(super) fn get(&self, id: AllocationId) -> Option<&Allocation> {
        self.allocations.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        self.allocations.get_mut(&id)
    }

    pub(super) fn by_path(&self, path: Path) -> Option<AllocationId> {
        self.paths.get(&path).copied()
    }

    pub(super) fn by_relay(&self, relay: SocketAddr) -> Option<AllocationId> {
        self.relays.get(&relay).copied()
    }

    /// Takes from what the user of an allocation may have relayed.
    pub(super) fn take_bandwidth(&mut self, user: UserId, now: Instant, octets: usize, rate: u64) -> bool {
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        // A second's worth may go at once, and never less than the longest datagram.
        let most = rate.max(0xffff);
        self.users.get_mut(&user).is_some_and(|usage| usage.bucket.take(now, octets, rate, most))
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, _)| *at)
    }

    pub(super) fn next_expired(&self, now: Instant) -> Option<AllocationId> {
        self.expiries.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests need some instant to start from")]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_as_long_as_he_has_an_allocation() {
        let mut table = Table::default();
        let now = Instant::now();
        let mut insert = |port: u16| {
            let signing = Signing {
                username: String::new(),
                password: PasswordAlgorithm::Md5,
                key: Key::from_bytes(b"key"),
                algorithm: Algorithm::Sha1,
            };
            let pending = Pending {
                fingerprint: Fingerprint::Absent,
                even: false,
                lacks_additional: false,
                lifetime: PERMISSION_LIFETIME,
            };
            let path = Path::udp(([192, 0, 2, 1], 3_478).into(), ([192, 0, 2, 2], port).into());
            let (user, transaction) = ("ann".to_owned(), TransactionId([1; 12]));
            table.insert(New { path, user, signing, transaction, pending, expires: now })
        };
        let (first, second) = (insert(1), insert(2));
        let _ = table.remove(first);
        assert_eq!((table.allocations_of("ann"), table.users.len(), table.names.len()), (1, 1, 1));
        let _ = table.remove(second);
        assert_eq!((table.users.len(), table.names.len()), (0, 0));
    }
}
