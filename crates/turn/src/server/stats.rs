//! What a server counted.

/// What was done, and what was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Allocations granted.
    pub allocated: u64,
    /// Allocations that nobody refreshed.
    pub expired: u64,
    /// Datagrams from clients that went to peers.
    pub to_peers: u64,
    /// The octets in them.
    pub to_peers_bytes: u64,
    /// Datagrams from peers that went to clients.
    pub to_clients: u64,
    /// The octets in them.
    pub to_clients_bytes: u64,
    /// Requests answered with 401 or 438.
    pub challenged: u64,
    /// Requests answered with another error.
    pub refused: u64,
    /// Dropped: neither STUN nor ChannelData, or damaged, or lacking what it is for.
    pub malformed: u64,
    /// Dropped: an answer was due, but the source's prefix has had its share.
    pub limited: u64,
    /// Dropped: an answer was due, but would have been more than three times as long.
    pub amplifying: u64,
    /// Dropped: not a request, or of a client without an allocation.
    pub unexpected: u64,
    /// Dropped: to or from a peer without permission.
    pub not_permitted: u64,
    /// Dropped: more than the user may have relayed.
    pub over_bandwidth: u64,
    /// Dropped: too much waits to be sent, or the client's stream is blocked.
    pub congested: u64,
}
