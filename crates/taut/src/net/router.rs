//! Which connection a datagram is for.
//!
//! A check by the ufrag in its USERNAME (RFC 8445 section 7.2.2); everything else by the path, once the connection has proved that
//! the path is its own; else, for STUN, by the transaction of a request that the connection sent. Only the path is a
//! route: a forged ufrag gets a datagram delivered, where its integrity fails, and steals nothing.
//!
//! DTLS and SRTP say nothing of the connection that they belong to, so a path has one. The next one that wants it is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use taut_sansio::net::Path;
use taut_stun::attribute::Username;
use taut_stun::{Class, Message, TransactionId, is_stun};

use super::inbox::Inbox;

/// How many paths one connection may own. An agent validates far fewer; what is above is refused.
const MAX_ROUTES_PER_CONNECTION: usize = 256;

/// How many of its unanswered STUN requests are remembered for one connection; the oldest is forgotten first, and the
/// agent repeats it.
const MAX_REQUESTS_PER_CONNECTION: usize = 64;

/// Names a connection within an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(u64);

/// Why a path did not become a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("another connection has this path")]
    Taken,
    #[error("the connection has too many paths")]
    TooMany,
}

#[derive(Debug)]
struct Connection {
    inbox: Arc<Inbox>,
    routes: usize,
    requests: VecDeque<TransactionId>,
}

/// The tables.
#[derive(Debug, Default)]
pub(crate) struct Router {
    next: u64,
    connections: BTreeMap<ConnectionId, Connection>,
    paths: BTreeMap<Path, ConnectionId>,
    ufrags: BTreeMap<String, ConnectionId>,
    requests: BTreeMap<TransactionId, ConnectionId>,
    multicast: BTreeSet<ConnectionId>,
}

impl Router {
    pub(crate) fn add(&mut self, inbox: Arc<Inbox>) -> ConnectionId {
        let id = ConnectionId(self.next);
        self.next += 1;
        self.connections.insert(id, Connection { inbox, routes: 0, requests: VecDeque::new() });
        id
    }

    /// Forgets a connection and everything that leads to it.
    pub(crate) fn remove(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.remove(&id) {
            for transaction in connection.requests {
                self.requests.remove(&transaction);
            }
        }
        self.paths.retain(|_, owner| *owner != id);
        self.ufrags.retain(|_, owner| *owner != id);
        self.multicast.remove(&id);
    }

    pub(crate) fn add_route(&mut self, id: ConnectionId, path: Path) -> Result<(), RouteError> {
        match self.paths.get(&path) {
            Some(owner) if *owner == id => return Ok(()),
            Some(_) => return Err(RouteError::Taken),
            None => {}
        }
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        if connection.routes >= MAX_ROUTES_PER_CONNECTION {
            return Err(RouteError::TooMany);
        }
        connection.routes += 1;
        self.paths.insert(path, id);
        Ok(())
    }

    pub(crate) fn remove_route(&mut self, id: ConnectionId, path: Path) {
        if self.paths.get(&path) == Some(&id) {
            self.paths.remove(&path);
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.routes = connection.routes.saturating_sub(1);
            }
        }
    }

    /// Checks that carry this ufrag are for the connection. The first connection to claim a ufrag has it.
    pub(crate) fn add_ufrag(&mut self, id: ConnectionId, ufrag: &str) {
        if self.connections.contains_key(&id) {
            self.ufrags.entry(ufrag.to_owned()).or_insert(id);
        }
    }

    pub(crate) fn remove_ufrag(&mut self, id: ConnectionId, ufrag: &str) {
        if self.ufrags.get(ufrag) == Some(&id) {
            self.ufrags.remove(ufrag);
        }
    }

    /// Remembers a STUN request that the connection sends on a path that is no route yet, so that its response finds
    /// back: a transaction id is 96 random bits. On the path of another connection it would not.
    pub(crate) fn note_sent(
        &mut self,
        id: ConnectionId,
        path: &Path,
        datagram: &[u8],
    ) -> Result<(), RouteError> {
        let owner = self.paths.get(path);
        if owner == Some(&id) || !is_stun(datagram) {
            return Ok(());
        }
        let Ok(message) = Message::parse(datagram) else { return Ok(()) };
        if message.class() != Class::Request {
            return Ok(());
        }
        if owner.is_some() {
            return Err(RouteError::Taken);
        }
        let transaction = message.transaction_id();
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        if self.requests.insert(transaction, id).is_none() {
            connection.requests.push_back(transaction);
        }
        if connection.requests.len() > MAX_REQUESTS_PER_CONNECTION
            && let Some(oldest) = connection.requests.pop_front()
        {
            self.requests.remove(&oldest);
        }
        Ok(())
    }

    pub(crate) fn want_multicast(&mut self, id: ConnectionId) {
        self.multicast.insert(id);
    }

    /// The connection that owns the path.
    pub(crate) fn by_path(&self, path: &Path) -> Option<&Arc<Inbox>> {
        self.inbox(*self.paths.get(path)?)
    }

    /// The connection that a check is for.
    pub(crate) fn by_check(&self, datagram: &[u8]) -> Option<&Arc<Inbox>> {
        let message = stun(datagram).filter(|message| message.class() == Class::Request)?;
        self.inbox(*self.ufrags.get(local_ufrag(&message)?)?)
    }

    /// The connection that asked for a response.
    pub(crate) fn by_response(&self, datagram: &[u8]) -> Option<&Arc<Inbox>> {
        let message = stun(datagram).filter(|message| message.class() != Class::Request)?;
        self.inbox(*self.requests.get(&message.transaction_id())?)
    }

    /// The connections that listen to multicast DNS.
    pub(crate) fn multicast(&self) -> impl Iterator<Item = &Arc<Inbox>> {
        self.multicast.iter().filter_map(|id| self.inbox(*id))
    }

    /// All connections.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Inbox>> {
        self.connections.values().map(|connection| &connection.inbox)
    }

    fn inbox(&self, id: ConnectionId) -> Option<&Arc<Inbox>> {
        self.connections.get(&id).map(|connection| &connection.inbox)
    }
}

fn stun(datagram: &[u8]) -> Option<Message<'_>> {
    is_stun(datagram).then(|| Message::parse(datagram).ok())?
}

/// The part of a check's USERNAME that its receiver chose: what is before the colon.
fn local_ufrag<'a>(check: &Message<'a>) -> Option<&'a str> {
    let username: Username<'a> = check.get().ok()??;
    username.text().split_once(':').map(|(local, _)| local)
}

#[cfg(test)]
mod tests {
    use taut_stun::{Builder, Method};

    use super::*;

    fn path(port: u16) -> Path {
        Path::udp(([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], port).into())
    }

    fn message(class: Class, id: u8, username: Option<&str>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut builder = Builder::new(&mut out, class, Method::BINDING, TransactionId([id; 12]));
        if let Some(username) = username {
            builder = builder.push(&Username::new(username));
        }
        builder.finish().unwrap();
        out
    }

    fn two() -> (Router, [(ConnectionId, Arc<Inbox>); 2]) {
        let mut router = Router::default();
        let connections = [(); 2].map(|()| {
            let inbox = Arc::new(Inbox::new(Arc::default()));
            (router.add(inbox.clone()), inbox)
        });
        (router, connections)
    }

    fn is(found: Option<&Arc<Inbox>>, inbox: &Arc<Inbox>) -> bool {
        found.is_some_and(|found| Arc::ptr_eq(found, inbox))
    }

    #[test]
    fn a_check_finds_its_connection_by_the_ufrag_and_makes_no_route() {
        let (mut router, [(a, inbox_a), (b, inbox_b)]) = two();
        router.add_ufrag(a, "aaaa");
        router.add_ufrag(b, "bbbb");
        router.add_ufrag(b, "aaaa");
        assert!(
            is(router.by_check(&message(Class::Request, 1, Some("aaaa:x"))), &inbox_a),
            "the first claim holds"
        );
        assert!(is(router.by_check(&message(Class::Request, 1, Some("bbbb:x"))), &inbox_b));
        assert!(router.by_path(&path(2)).is_none());
        for other in [Some("cccc:x"), Some("aaaa"), Some(":aaaa"), None] {
            assert!(router.by_check(&message(Class::Request, 1, other)).is_none(), "{other:?}");
        }
        assert!(router.by_check(&message(Class::Indication, 1, Some("aaaa:x"))).is_none());
        assert!(router.by_check(b"").is_none());
        assert!(router.by_check(&[128; 40]).is_none());
        router.remove_ufrag(b, "aaaa");
        assert!(router.by_check(&message(Class::Request, 1, Some("aaaa:x"))).is_some(), "not b's");
        router.remove_ufrag(a, "aaaa");
        assert!(router.by_check(&message(Class::Request, 1, Some("aaaa:x"))).is_none());
    }

    #[test]
    fn a_response_finds_the_connection_that_asked() {
        let (mut router, [(a, inbox_a), _]) = two();
        let response = message(Class::Success, 7, None);
        assert!(router.by_response(&response).is_none());
        router.note_sent(a, &path(2), &message(Class::Request, 7, None)).unwrap();
        assert!(is(router.by_response(&response), &inbox_a));
        assert!(router.by_response(&message(Class::Request, 7, None)).is_none());
        for id in 8..8 + MAX_REQUESTS_PER_CONNECTION as u8 {
            router.note_sent(a, &path(2), &message(Class::Request, id, None)).unwrap();
        }
        assert!(router.by_response(&response).is_none(), "the oldest request is forgotten first");
        assert_eq!(router.requests.len(), MAX_REQUESTS_PER_CONNECTION);
        router.remove(a);
        router.add_ufrag(a, "late");
        assert!(router.requests.is_empty() && router.ufrags.is_empty(), "what is gone gets nothing any more");
    }

    #[test]
    fn a_path_belongs_to_one_connection() {
        let (mut router, [(a, inbox_a), (b, inbox_b)]) = two();
        assert_eq!(router.add_route(a, path(2)), Ok(()));
        assert_eq!(router.add_route(a, path(2)), Ok(()), "twice is once");
        assert_eq!(router.add_route(b, path(2)), Err(RouteError::Taken));
        assert_eq!(router.note_sent(a, &path(2), &message(Class::Request, 1, None)), Ok(()));
        assert_eq!(
            router.note_sent(b, &path(2), &message(Class::Request, 1, None)),
            Err(RouteError::Taken),
            "its answer would not find back"
        );
        assert_eq!(router.note_sent(b, &path(2), &message(Class::Error, 1, None)), Ok(()));
        assert!(is(router.by_path(&path(2)), &inbox_a));
        router.remove_route(b, path(2));
        assert!(is(router.by_path(&path(2)), &inbox_a), "only the owner gives a path up");
        router.remove_route(a, path(2));
        assert_eq!(router.add_route(b, path(2)), Ok(()));
        assert!(is(router.by_path(&path(2)), &inbox_b));
        router.remove(b);
        assert!(router.by_path(&path(2)).is_none());
    }

    #[test]
    fn the_routes_of_a_connection_are_bounded() {
        let (mut router, [(a, _), _]) = two();
        for port in 0..MAX_ROUTES_PER_CONNECTION as u16 {
            assert_eq!(router.add_route(a, path(port)), Ok(()));
        }
        assert_eq!(router.add_route(a, path(60_000)), Err(RouteError::TooMany));
        router.remove_route(a, path(0));
        assert_eq!(router.add_route(a, path(60_000)), Ok(()));
    }
}
