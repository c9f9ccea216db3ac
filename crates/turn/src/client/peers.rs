//! Permissions and channels (RFC 8656 sections 9 to 12): wanted, asked for, kept.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use taut_stun::attribute::ErrorCode;

use super::request::{Kind, MAX_REQUESTS};
use super::{Client, Event, State};
use crate::ChannelNumber;

/// How many addresses have a permission, or are known to be refused one.
pub const MAX_PERMISSIONS: usize = 256;
/// How many peers have a channel.
pub const MAX_CHANNELS: usize = 64;
/// How many addresses one request asks for: 16 of IPv6 and the credentials fit any path.
const MAX_PER_REQUEST: usize = 16;
/// A permission lives for five minutes (RFC 8656 section 9), and is refreshed a minute before.
const PERMISSION_REFRESH: Duration = Duration::from_secs(240);
/// A channel lives for ten minutes (RFC 8656 section 12), and is refreshed a minute before.
const CHANNEL_REFRESH: Duration = Duration::from_secs(540);

/// What the server knows of something wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    /// Ask then: for the first time.
    Wanted(Instant),
    /// Asked for the first time.
    Asked,
    /// Granted; refresh it then.
    Granted(Instant),
    /// Granted, and asked to be kept.
    Refreshing,
    /// Not granted. It is not asked for again.
    Refused,
}

impl Grant {
    fn due(self) -> Option<Instant> {
        match self {
            Self::Wanted(at) | Self::Granted(at) => Some(at),
            Self::Asked | Self::Refreshing | Self::Refused => None,
        }
    }

    fn is_due(self, now: Instant) -> bool {
        self.due().is_some_and(|at| at <= now)
    }

    fn asked(self) -> Self {
        match self {
            Self::Wanted(_) => Self::Asked,
            Self::Granted(_) => Self::Refreshing,
            other => other,
        }
    }

    /// Nobody answered: what was granted still is, for a while.
    fn ask_again(&mut self, now: Instant) {
        match self {
            Self::Asked => *self = Self::Wanted(now),
            Self::Refreshing => *self = Self::Granted(now),
            Self::Wanted(_) | Self::Granted(_) | Self::Refused => {}
        }
    }

    fn is_granted(self) -> bool {
        matches!(self, Self::Granted(_) | Self::Refreshing)
    }
}

#[derive(Debug)]
struct Channel {
    number: ChannelNumber,
    grant: Grant,
}

/// The peers that the relay is for.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    permissions: BTreeMap<IpAddr, Grant>,
    channels: BTreeMap<SocketAddr, Channel>,
    by_number: BTreeMap<ChannelNumber, SocketAddr>,
    /// The number used last. None comes again before all others were used, as one must rest for five minutes.
    last: Option<ChannelNumber>,
    /// Channels that were forgotten, [`MAX_CHANNELS`] of them: the server may still have them, and a peer that is wanted again gets
    /// no other number then (RFC 8656 section 12.2).
    resting: VecDeque<(SocketAddr, ChannelNumber)>,
    /// Addresses of requests that were refused as a whole: each is asked for alone, to find the one that is meant.
    alone: BTreeSet<IpAddr>,
}

impl Peers {
    pub(super) fn permit(&mut self, now: Instant, peer: IpAddr) {
        if self.permissions.len() < MAX_PERMISSIONS {
            self.permissions.entry(peer).or_insert(Grant::Wanted(now));
        }
    }

    pub(super) fn bind(&mut self, now: Instant, peer: SocketAddr) {
        if self.channels.len() >= MAX_CHANNELS
            || self.channels.contains_key(&peer)
            || !self.permissions.contains_key(&peer.ip())
        {
            return;
        }
        let number = self.number_for(peer);
        self.by_number.insert(number, peer);
        self.channels.insert(peer, Channel { number, grant: Grant::Wanted(now) });
    }

    /// The number that the peer had, or the next that nobody has or had lately.
    fn number_for(&mut self, peer: SocketAddr) -> ChannelNumber {
        if let Some(at) = self.resting.iter().position(|(address, _)| *address == peer)
            && let Some((_, number)) = self.resting.remove(at)
        {
            return number;
        }
        let mut number = self.last.map_or(ChannelNumber::FIRST, ChannelNumber::next);
        while self.by_number.contains_key(&number) || self.resting.iter().any(|(_, other)| *other == number) {
            // Ends: there are 4096 numbers, and at most twice `MAX_CHANNELS` are in use or rest.
            number = number.next();
        }
        self.last = Some(number);
        number
    }

    pub(super) fn forget(&mut self, peer: IpAddr) {
        self.permissions.remove(&peer);
        self.alone.remove(&peer);
        self.channels.retain(|address, _| address.ip() != peer);
        let resting = &mut self.resting;
        self.by_number.retain(|number, address| {
            if address.ip() == peer {
                resting.push_back((*address, *number));
            }
            address.ip() != peer
        });
        while self.resting.len() > MAX_CHANNELS {
            self.resting.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The allocation is gone: everything is wanted anew, of the next one.
    pub(super) fn lose(&mut self, now: Instant) {
        self.alone.clear();
        self.resting.clear();
        self.permissions.values_mut().for_each(|grant| *grant = Grant::Wanted(now));
        self.channels.values_mut().for_each(|channel| channel.grant = Grant::Wanted(now));
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let permissions = self.permissions.values().filter_map(|grant| grant.due());
        permissions.chain(self.channels.values().filter_map(|channel| channel.grant.due())).min()
    }

    /// The next addresses to ask for.
    fn due_permissions(&mut self, now: Instant) -> Vec<IpAddr> {
        let mut due: Vec<IpAddr> = Vec::new();
        for (peer, grant) in &mut self.permissions {
            let alone = self.alone.contains(peer);
            if !grant.is_due(now) || (alone && !due.is_empty()) {
                continue;
            }
            *grant = grant.asked();
            due.push(*peer);
            if alone || due.len() >= MAX_PER_REQUEST {
                break;
            }
        }
        due
    }

    fn due_channel(&mut self, now: Instant) -> Option<(ChannelNumber, SocketAddr)> {
        let (peer, channel) = self.channels.iter_mut().find(|(_, channel)| channel.grant.is_due(now))?;
        channel.grant = channel.grant.asked();
        Some((channel.number, *peer))
    }

    pub(super) fn on_permitted(&mut self, now: Instant, peers: &[IpAddr]) {
        for peer in peers {
            if let Some(grant) = self.permissions.get_mut(peer) {
                *grant = Grant::Granted(now + PERMISSION_REFRESH);
            }
        }
    }

    pub(super) fn on_bound(&mut self, now: Instant, number: ChannelNumber, peer: SocketAddr) {
        if let Some(channel) = self.channels.get_mut(&peer).filter(|channel| channel.number == number) {
            channel.grant = Grant::Granted(now + CHANNEL_REFRESH);
            // A channel permits its address, too (RFC 8656 section 12.2).
            self.on_permitted(now, &[peer.ip()]);
        }
    }

    /// Requests for these were not answered.
    pub(super) fn ask_again(&mut self, now: Instant, peers: &[IpAddr], channel: Option<SocketAddr>) {
        for peer in peers {
            if let Some(grant) = self.permissions.get_mut(peer) {
                grant.ask_again(now);
            }
        }
        if let Some(channel) = channel.and_then(|peer| self.channels.get_mut(&peer)) {
            channel.grant.ask_again(now);
        }
    }

    /// True if what this address sends was asked for.
    pub(super) fn is_permitted(&self, peer: IpAddr) -> bool {
        self.permissions.get(&peer).is_some_and(|grant| *grant != Grant::Refused)
    }

    /// The number of the channel to this peer that the server knows of.
    pub(super) fn channel_to(&self, peer: SocketAddr) -> Option<ChannelNumber> {
        self.channels.get(&peer).filter(|channel| channel.grant.is_granted()).map(|channel| channel.number)
    }

    /// The peer of a channel that was asked for.
    pub(super) fn peer_of(&self, number: ChannelNumber) -> Option<SocketAddr> {
        let peer = self.by_number.get(&number)?;
        let channel = self.channels.get(peer)?;
        (!matches!(channel.grant, Grant::Wanted(_) | Grant::Refused)).then_some(*peer)
    }
}

impl Client {
    /// Asks for the permissions and channels that are due.
    pub(super) fn ask_for_peers(&mut self, now: Instant) {
        if !matches!(self.state, State::Allocated { .. }) {
            return;
        }
        while self.requests.len() < MAX_REQUESTS {
            let peers = self.peers.due_permissions(now);
            if !peers.is_empty() {
                self.ask(Kind::Permit(peers));
            } else if let Some((number, peer)) = self.peers.due_channel(now) {
                self.ask(Kind::Bind(number, peer));
            } else {
                return;
            }
        }
    }

    pub(super) fn on_permit_error(&mut self, peers: &[IpAddr], error: &ErrorCode<'_>) {
        match peers {
            [peer] => {
                self.peers.permissions.insert(*peer, Grant::Refused);
                self.peers.alone.remove(peer);
                self.refuse(*peer, error);
            }
            _ => {
                for peer in peers {
                    if let Some(grant) = self.peers.permissions.get_mut(peer) {
                        *grant = Grant::Wanted(self.now);
                        self.peers.alone.insert(*peer);
                    }
                }
            }
        }
    }

    /// Without a channel, indications do.
    pub(super) fn on_bind_error(&mut self, number: ChannelNumber, peer: SocketAddr, error: &ErrorCode<'_>) {
        if let Some(channel) = self.peers.channels.get_mut(&peer).filter(|channel| channel.number == number) {
            channel.grant = Grant::Refused;
            if error.code == ErrorCode::FORBIDDEN {
                self.peers.permissions.insert(peer.ip(), Grant::Refused);
                self.refuse(peer.ip(), error);
            }
        }
    }

    fn refuse(&mut self, peer: IpAddr, error: &ErrorCode<'_>) {
        tracing::debug!(%peer, code = error.code, "the TURN server refuses the peer");
        let (code, reason) = (error.code, error.reason.to_string());
        self.tell(Event::PeerRefused { peer, code, reason });
    }
}
