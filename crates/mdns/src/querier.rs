//! The querier (RFC 6762 sections 5.2 and 6): asks for A and AAAA in both groups, repeats with growing intervals, gives up.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use taut_sansio::rng::Rng;

use crate::name::Name;
use crate::wire::{self, Kind, RecordType};
use crate::{GROUP_V4, GROUP_V6};

/// How many names may be asked for at the same time. A further query fails at once.
pub const MAX_QUERIES: usize = 64;

/// The least and the most, in milliseconds, that the first question waits. RFC 6762 section 5.2 wants a random wait of
/// 20 to 120 ms; this is its lower end, as a person waits for the connection. It also gives the caller time to open the
/// socket, which it does at the first query.
const FIRST_MILLIS: std::ops::Range<u32> = 20..50;

/// How long after each asking the next thing happens: asked again, and again, given up. At least one second, and then
/// at least twice as long each time, except before giving up (RFC 6762 section 5.2).
const INTERVALS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(2)];

/// The most that is added to an interval at random, so that hosts that began together do not repeat together.
const JITTER_MILLIS: u32 = 100;

/// Names a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(u64);

/// How a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The name has an address. Each mDNS name of WebRTC stands for one; of several the first that came is told.
    Resolved {
        /// The query that ended.
        id: QueryId,
        /// The address of the host.
        address: IpAddr,
    },
    /// Nobody answered in time, there were too many queries, or the text was no name under `.local`.
    Failed {
        /// The query that ended.
        id: QueryId,
    },
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Questions sent.
    pub questions: u64,
    /// Responses that were well formed, to whomever's question.
    pub responses: u64,
    /// Datagrams that were queries or carried error codes.
    pub ignored: u64,
    /// Datagrams that were not well formed.
    pub malformed: u64,
}

#[derive(Debug)]
struct Query {
    name: Name,
    /// What is to be sent now.
    unsent: &'static [(RecordType, SocketAddr)],
    /// How often it was asked.
    asked: usize,
    /// When it is asked again or given up.
    next: Instant,
}

/// Resolves names under `.local`. See the crate for the contract.
#[derive(Debug)]
pub struct Querier {
    rng: Rng,
    now: Option<Instant>,
    queries: BTreeMap<QueryId, Query>,
    next_id: u64,
    events: VecDeque<Event>,
    stats: Stats,
}

/// What one asking sends.
const QUESTIONS: &[(RecordType, SocketAddr)] = &[
    (RecordType::A, GROUP_V4),
    (RecordType::Aaaa, GROUP_V4),
    (RecordType::A, GROUP_V6),
    (RecordType::Aaaa, GROUP_V6),
];

impl Querier {
    /// A querier that asks nothing yet.
    pub fn new(rng: Rng) -> Self {
        Self {
            rng,
            now: None,
            queries: BTreeMap::new(),
            next_id: 0,
            events: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Asks for the address of `name`, such as `1f4712db-ea17-4bcf-a596-105139dfd8bf.local`. Exactly one event will
    /// tell the end. The first question goes out at the next timeout. A name that is asked for twice is asked twice; one answer ends both.
    pub fn query(&mut self, now: Instant, name: &str) -> QueryId {
        let now = self.advance(now);
        let id = QueryId(self.next_id);
        self.next_id += 1;
        match Name::local(name) {
            Some(name) if self.queries.len() < MAX_QUERIES => {
                let spread = FIRST_MILLIS.end.saturating_sub(FIRST_MILLIS.start);
                let wait = FIRST_MILLIS.start.saturating_add(self.rng.below(spread));
                let next = now + Duration::from_millis(u64::from(wait));
                self.queries.insert(id, Query { name, unsent: &[], asked: 0, next });
            }
            _ => self.events.push_back(Event::Failed { id }),
        }
        id
    }

    /// Takes a datagram that came from port 5353.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        self.advance(now);
        let (queries, events) = (&mut self.queries, &mut self.events);
        let result = wire::read_response(datagram, |name, address| {
            queries.retain(|id, query| {
                let other = query.name != *name;
                if !other {
                    events.push_back(Event::Resolved { id: *id, address });
                }
                other
            });
        });
        match result {
            Ok(Kind::Response) => self.stats.responses += 1,
            Ok(Kind::Other) => self.stats.ignored += 1,
            Err(_) => {
                self.stats.malformed += 1;
                tracing::trace!(octets = datagram.len(), "dropped a malformed mDNS message");
            }
        }
    }

    /// Asks again, or gives up, what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        let (events, rng) = (&mut self.events, &mut self.rng);
        self.queries.retain(|id, query| {
            if query.next > now {
                return true;
            }
            let again = query.asked < INTERVALS.len();
            if again {
                ask(query, now, rng);
            } else {
                events.push_back(Event::Failed { id: *id });
            }
            again
        });
    }

    /// Appends the next message, and gives its length and the group that it goes to; `None` when there is none.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<(usize, SocketAddr)> {
        self.advance(now);
        let start = out.len();
        let (query, (record_type, group), rest) = self.queries.values_mut().find_map(|query| {
            let (first, rest) = query.unsent.split_first()?;
            Some((query, *first, rest))
        })?;
        query.unsent = rest;
        wire::write_query(&query.name, record_type, out);
        self.stats.questions += 1;
        Some((out.len().saturating_sub(start), group))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When `handle_timeout` is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.queries.values().map(|query| query.next).min()
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The newest time seen.
    fn advance(&mut self, now: Instant) -> Instant {
        let newest = self.now.map_or(now, |before| before.max(now));
        self.now = Some(newest);
        newest
    }
}

/// Asks once more, and sets when the next thing happens.
fn ask(query: &mut Query, now: Instant, rng: &mut Rng) {
    let interval = INTERVALS.get(query.asked).copied().unwrap_or_default();
    query.unsent = QUESTIONS;
    query.asked += 1;
    query.next = now + interval + Duration::from_millis(u64::from(rng.below(JITTER_MILLIS)));
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test takes its first instant from the clock")]
mod tests {
    use super::*;
    use crate::wire::tests::response;

    const NAME: &str = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local";

    fn querier() -> (Querier, Instant) {
        (Querier::new(Rng::from_u64(1)), Instant::now())
    }

    fn sent(querier: &mut Querier, now: Instant) -> Vec<(Vec<u8>, SocketAddr)> {
        std::iter::from_fn(|| {
            let mut out = vec![7];
            let (length, group) = querier.poll_transmit(now, &mut out)?;
            assert_eq!(length, out.len() - 1, "messages are appended");
            Some((out.split_off(1), group))
        })
        .collect()
    }

    fn address() -> IpAddr {
        "192.0.2.7".parse().unwrap()
    }

    #[test]
    fn machines_are_send_sync_debug() {
        fn check<T: Send + Sync + std::fmt::Debug>() {}
        check::<Querier>();
        check::<Event>();
    }

    #[test]
    fn one_question_a_message_for_a_and_aaaa_in_each_group() {
        let (mut querier, start) = querier();
        querier.query(start, "AB.local");
        assert!(sent(&mut querier, start).is_empty(), "the first question waits");
        let now = querier.poll_timeout().unwrap();
        let wait = (now - start).as_millis();
        assert!((20..50).contains(&wait), "{wait}");
        querier.handle_timeout(now);
        let question = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x02ab\x05local\0\0";
        let (a, aaaa) = ([&question[..], &[1, 0, 1]].concat(), [&question[..], &[28, 0, 1]].concat());
        let expected = [(a.clone(), GROUP_V4), (aaaa.clone(), GROUP_V4), (a, GROUP_V6), (aaaa, GROUP_V6)];
        assert_eq!(sent(&mut querier, now), expected);
        assert!(sent(&mut querier, now).is_empty());
        assert_eq!(querier.stats().questions, 4);
    }

    #[test]
    fn an_answer_resolves_all_queries_of_the_name_in_any_case_and_no_other() {
        let (mut querier, now) = querier();
        let first = querier.query(now, NAME);
        let other = querier.query(now, "other.local");
        let second = querier.query(now, &NAME.to_uppercase());
        querier.handle_datagram(now, &response("nobody.local", address(), 120));
        assert_eq!(querier.poll_event(), None);
        querier.handle_datagram(now, &response(&NAME.to_uppercase(), address(), 120));
        assert_eq!(querier.poll_event(), Some(Event::Resolved { id: first, address: address() }));
        assert_eq!(querier.poll_event(), Some(Event::Resolved { id: second, address: address() }));
        assert_eq!(querier.poll_event(), None);
        querier.handle_datagram(now, &response(NAME, address(), 120));
        assert_eq!(querier.poll_event(), None, "a query ends once");
        let six: IpAddr = "2001:db8::9".parse().unwrap();
        querier.handle_datagram(now, &response("other.local", six, 120));
        assert_eq!(querier.poll_event(), Some(Event::Resolved { id: other, address: six }));
        assert_eq!(querier.poll_timeout(), None);
    }

    #[test]
    fn questions_are_repeated_with_growing_intervals_and_then_fail() {
        let (mut querier, start) = querier();
        let id = querier.query(start, NAME);
        let mut now = querier.poll_timeout().unwrap();
        querier.handle_timeout(now);
        let mut times = Vec::new();
        while let Some(next) = querier.poll_timeout() {
            let messages = sent(&mut querier, now);
            assert_eq!(messages.len(), 4);
            times.push(now - start);
            querier.handle_timeout(next - Duration::from_millis(1));
            assert_eq!(sent(&mut querier, now).len(), 0, "an early timeout does nothing");
            assert_eq!(querier.poll_event(), None);
            now = next;
            querier.handle_timeout(now);
        }
        assert_eq!(times.len(), 3);
        assert!(times[1] - times[0] >= Duration::from_secs(1));
        assert!(times[2] - times[1] >= Duration::from_secs(2));
        assert_eq!(querier.poll_event(), Some(Event::Failed { id }));
        let total = now - start;
        assert!((Duration::from_secs(5)..Duration::from_millis(5_350)).contains(&total), "{total:?}");
        assert_eq!(sent(&mut querier, now).len(), 0);
    }

    #[test]
    fn an_answer_to_a_repeated_question_counts() {
        let (mut querier, start) = querier();
        let id = querier.query(start, NAME);
        let first = querier.poll_timeout().unwrap();
        querier.handle_timeout(first);
        sent(&mut querier, first);
        let later = querier.poll_timeout().unwrap();
        querier.handle_timeout(later);
        assert_eq!(sent(&mut querier, later).len(), 4);
        querier.handle_datagram(later, &response(NAME, address(), 120));
        assert_eq!(querier.poll_event(), Some(Event::Resolved { id, address: address() }));
    }

    #[test]
    fn too_many_queries_and_bad_names_fail_at_once() {
        let (mut querier, now) = querier();
        for text in ["", "example.com", "a..local"] {
            let id = querier.query(now, text);
            assert_eq!(querier.poll_event(), Some(Event::Failed { id }));
        }
        for i in 0..MAX_QUERIES {
            querier.query(now, &format!("{i}.local"));
        }
        assert_eq!(querier.poll_event(), None);
        let id = querier.query(now, NAME);
        assert_eq!(querier.poll_event(), Some(Event::Failed { id }));
        querier.handle_datagram(now, &response("3.local", address(), 120));
        querier.poll_event().unwrap();
        querier.query(now, NAME);
        assert_eq!(querier.poll_event(), None, "an ended query makes room");
    }

    #[test]
    fn junk_is_counted_and_changes_nothing() {
        let (mut querier, start) = querier();
        querier.query(start, NAME);
        let now = querier.poll_timeout().unwrap();
        querier.handle_timeout(now);
        let before = querier.poll_timeout();
        let good = response(NAME, address(), 120);
        querier.handle_datagram(now, &good[..20]);
        querier.handle_datagram(now, &[]);
        for (message, _) in sent(&mut querier, now) {
            querier.handle_datagram(now, &message);
        }
        let expected = Stats { questions: 4, responses: 0, ignored: 4, malformed: 2 };
        assert_eq!(querier.stats(), expected);
        assert_eq!((querier.poll_event(), querier.poll_timeout()), (None, before));
    }

    #[test]
    fn time_does_not_go_back() {
        let (mut querier, start) = querier();
        let late = start + Duration::from_secs(10);
        querier.handle_timeout(late);
        querier.query(start, NAME);
        assert!(querier.poll_timeout().unwrap() > late);
    }
}
