//! The responder (RFC 6762 section 6): answers for names of our own, and for nothing else.
//!
//! It is made for the names of WebRTC's host candidates (draft-ietf-mmusic-mdns-ice-candidates), which are random UUIDs:
//!
//! - **No probing** (RFC 6762 section 8.1): nobody else can have the name, as the draft says in section 3.1.1.
//! - **No announcement** (section 8.3): nobody has an old address of the name, nor knows it before it is signalled. It would only
//!   forbid the answer to the first question, as a record is multicast once a second at most.
//! - **A goodbye** (section 10.1) when a name is removed of which something was told.
//!
//! | A question for a name of ours | is answered |
//! |---|---|
//! | A or AAAA, the family of the address | with the address |
//! | the other family | that there is none (NSEC, section 6.1), so that nobody waits for it |
//! | any type | with the address |
//! | for an address that the querier says it knows | not at all (section 7.1) |
//!
//! By multicast, in the group of the family that the question came by, a record at most once a second there; what is asked for
//! sooner is answered when the second is over. To a querier that wants unicast (section 5.4), by unicast, if the record was
//! multicast within a quarter of its time to live, so that all who listen stay up to date; to a simple resolver, whose port is not
//! 5353 (section 6.7), always. A datagram is answered with at most one datagram for each record that it asks for.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::name::Name;
use crate::wire::{self, Asked, Fact, Form, Query, Question, RecordType, TTL};
use crate::{GROUPS, PORT};

/// How many names can be registered at a time; a further one is refused.
pub const MAX_NAMES: usize = 64;

/// How many unicast answers may wait to be sent; what is asked for above is not answered.
pub const MAX_UNICAST: usize = 64;

/// How many goodbyes may wait to be sent; above, the oldest goes.
const MAX_GOODBYES: usize = MAX_NAMES * GROUPS.len();

/// A record is multicast once in this time at most in each group (RFC 6762 section 6).
const MULTICAST_INTERVAL: Duration = Duration::from_secs(1);

/// So long after a record was multicast a unicast answer will do: a quarter of its time to live (RFC 6762 section 5.4).
const FRESH: Duration = Duration::from_secs(TTL as u64 / 4);

/// Why a name was not registered. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// It is no name under `.local`.
    #[error("it is no name under .local")]
    Name,
    /// There are [`MAX_NAMES`] already.
    #[error("there are too many names")]
    Full,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ResponderStats {
    /// Queries that were well formed, for whatever name.
    pub queries: u64,
    /// Answers sent.
    pub answers: u64,
    /// Goodbyes sent.
    pub goodbyes: u64,
    /// Questions that were not answered because the querier knew.
    pub known: u64,
    /// Questions that were not answered because too many unicast answers waited.
    pub dropped: u64,
    /// Datagrams that were responses or carried codes.
    pub ignored: u64,
    /// Datagrams that were not well formed.
    pub malformed: u64,
}

/// Where it stands with multicasting one record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Nothing,
    /// Then.
    At(Instant),
    /// With the next poll.
    Now,
}

/// One record of a name in one group.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    next: Next,
    /// When it was last multicast.
    sent: Option<Instant>,
}

/// What a name is in one group: the two networks know nothing of each other (RFC 6762 section 20).
#[derive(Debug, Clone, Copy, Default)]
struct Presence {
    /// That it has its address.
    own: Record,
    /// That it has none of the other family.
    other: Record,
    /// Somebody was told the address, and is to be told when it goes.
    told: bool,
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    /// In the order of [`GROUPS`].
    presence: [Presence; GROUPS.len()],
}

impl Entry {
    /// What it is in the group that hosts of this family are in.
    fn presence_for(&mut self, host: SocketAddr) -> &mut Presence {
        let [v4, v6] = &mut self.presence;
        if host.is_ipv4() { v4 } else { v6 }
    }
}

/// An answer to one host.
#[derive(Debug)]
struct Unicast {
    to: SocketAddr,
    name: Name,
    fact: Fact,
    form: Form,
}

/// Answers for names under `.local`. See the crate for the contract, and the module for what is answered.
#[derive(Debug, Default)]
pub struct Responder {
    now: Option<Instant>,
    entries: BTreeMap<Name, Entry>,
    unicast: VecDeque<Unicast>,
    goodbyes: VecDeque<(Name, IpAddr, SocketAddr)>,
    stats: ResponderStats,
}

impl Responder {
    /// A responder that knows no name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers for `name` with `address` from now on. A name that is registered gets the new address.
    ///
    /// # Errors
    ///
    /// If it is no name under `.local`, or one too many.
    pub fn register(&mut self, name: &str, address: IpAddr) -> Result<(), RegisterError> {
        let name = Name::local(name).ok_or(RegisterError::Name)?;
        if self.entries.len() >= MAX_NAMES && !self.entries.contains_key(&name) {
            return Err(RegisterError::Full);
        }
        if self.entries.get(&name).is_some_and(|entry| entry.address == address) {
            return Ok(());
        }
        self.remove(&name);
        self.entries.insert(name, Entry { address, presence: Default::default() });
        Ok(())
    }

    /// Answers for `name` no more, and says goodbye if anybody was told of it.
    pub fn unregister(&mut self, name: &str) {
        if let Some(name) = Name::local(name) {
            self.remove(&name);
        }
    }

    /// Answers for no name any more.
    pub fn unregister_all(&mut self) {
        while let Some(name) = self.entries.keys().next().cloned() {
            self.remove(&name);
        }
    }

    fn remove(&mut self, name: &Name) {
        let Some(entry) = self.entries.remove(name) else { return };
        self.unicast.retain(|answer| answer.name != *name);
        for (_, group) in entry.presence.iter().zip(GROUPS).filter(|(presence, _)| presence.told) {
            // Who registers and removes without polling loses the oldest.
            if self.goodbyes.len() >= MAX_GOODBYES {
                self.goodbyes.pop_front();
            }
            self.goodbyes.push_back((name.clone(), entry.address, group));
        }
    }

    /// Takes a datagram that came from a host on the link.
    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        let now = self.advance(now);
        match wire::read_query(datagram, |name| self.entries.contains_key(name)) {
            Ok(Some(query)) => {
                self.stats.queries += 1;
                for question in &query.questions {
                    self.on_question(now, source, question, &query);
                }
            }
            Ok(None) => self.stats.ignored += 1,
            Err(_) => {
                self.stats.malformed += 1;
                tracing::trace!(octets = datagram.len(), "dropped a malformed mDNS message");
            }
        }
    }

    fn on_question(&mut self, now: Instant, source: SocketAddr, question: &Question, query: &Query) {
        let Some(entry) = self.entries.get_mut(&question.name) else { return };
        let address = entry.address;
        let own = RecordType::of(address);
        let presence = entry.presence_for(source);
        let (fact, record) = match question.asked {
            Asked::One(asked) if asked != own => (Fact::NoOther, &mut presence.other),
            Asked::One(_) | Asked::Any => (Fact::Address, &mut presence.own),
        };
        let knows = |(name, known): &(Name, IpAddr)| *name == question.name && *known == address;
        if fact == Fact::Address && query.known.iter().any(knows) {
            self.stats.known += 1;
            return;
        }
        let fresh = record.sent.is_some_and(|sent| now < sent + FRESH);
        let form = if source.port() != PORT {
            let asked = match question.asked {
                Asked::One(asked) => asked,
                Asked::Any => own,
            };
            Form::Legacy(query.id, asked)
        } else if question.unicast && fresh {
            Form::Modern
        } else {
            let earliest = record.sent.map(|sent| sent + MULTICAST_INTERVAL).filter(|at| *at > now);
            record.next = earliest.map_or(Next::Now, Next::At);
            return;
        };
        let answer = Unicast { to: source, name: question.name.clone(), fact, form };
        let same = |other: &Unicast| other.to == source && other.name == answer.name && other.fact == fact;
        if self.unicast.len() >= MAX_UNICAST {
            self.stats.dropped += 1;
        } else if !self.unicast.iter().any(same) {
            self.unicast.push_back(answer);
        }
    }

    /// Makes the answers ready whose second is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        let presences = self.entries.values_mut().flat_map(|entry| &mut entry.presence);
        for record in presences.flat_map(|presence| [&mut presence.own, &mut presence.other]) {
            if matches!(record.next, Next::At(at) if at <= now) {
                record.next = Next::Now;
            }
        }
    }

    /// Appends the next message, and gives its length and where it goes; `None` when there is none.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<(usize, SocketAddr)> {
        self.handle_timeout(now);
        let start = out.len();
        let to = self
            .write_goodbye(out)
            .or_else(|| self.write_unicast(out))
            .or_else(|| self.write_multicast(out))?;
        Some((out.len().saturating_sub(start), to))
    }

    fn write_goodbye(&mut self, out: &mut Vec<u8>) -> Option<SocketAddr> {
        let (name, address, group) = self.goodbyes.pop_front()?;
        wire::write_response(&name, address, Fact::Address, Form::Goodbye, out);
        self.stats.goodbyes += 1;
        Some(group)
    }

    fn write_unicast(&mut self, out: &mut Vec<u8>) -> Option<SocketAddr> {
        let Unicast { to, name, fact, form } = self.unicast.pop_front()?;
        // The answers of a name that was removed are gone with it.
        let entry = self.entries.get_mut(&name)?;
        entry.presence_for(to).told |= fact == Fact::Address;
        wire::write_response(&name, entry.address, fact, form, out);
        self.stats.answers += 1;
        Some(to)
    }

    fn write_multicast(&mut self, out: &mut Vec<u8>) -> Option<SocketAddr> {
        for (name, entry) in &mut self.entries {
            for (presence, group) in entry.presence.iter_mut().zip(GROUPS) {
                let Presence { own, other, told } = presence;
                for (fact, record) in [(Fact::Address, own), (Fact::NoOther, other)] {
                    if record.next == Next::Now {
                        *record = Record { next: Next::Nothing, sent: self.now };
                        *told |= fact == Fact::Address;
                        wire::write_response(name, entry.address, fact, Form::Modern, out);
                        self.stats.answers += 1;
                        return Some(group);
                    }
                }
            }
        }
        None
    }

    /// When `handle_timeout` is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let presences = self.entries.values().flat_map(|entry| &entry.presence);
        let records = presences.flat_map(|presence| [presence.own, presence.other]);
        let due = |record: Record| match record.next {
            Next::At(at) => Some(at),
            Next::Nothing | Next::Now => None,
        };
        records.filter_map(due).min()
    }

    /// What was counted.
    pub fn stats(&self) -> ResponderStats {
        self.stats
    }

    /// The newest time seen.
    fn advance(&mut self, now: Instant) -> Instant {
        let newest = self.now.map_or(now, |before| before.max(now));
        self.now = Some(newest);
        newest
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test takes its first instant from the clock")]
mod tests {
    use super::*;
    use crate::wire::tests::response;
    use crate::{Event, GROUP_V4, GROUP_V6, Querier};
    use taut_sansio::rng::Rng;

    const NAME: &str = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local";
    const MODERN: &str = "192.0.2.9:5353";
    const MODERN_V6: &str = "[fe80::9%3]:5353";
    const SIMPLE: &str = "192.0.2.9:40000";

    const A: u16 = 1;
    const AAAA: u16 = 28;
    const UNICAST: u16 = 0x8001;

    fn address() -> IpAddr {
        "192.0.2.7".parse().unwrap()
    }

    fn responder() -> (Responder, Instant) {
        let mut responder = Responder::new();
        responder.register(NAME, address()).unwrap();
        (responder, Instant::now())
    }

    fn question(name: &str, record_type: u16, class: u16) -> Vec<u8> {
        let mut out = vec![0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        out.extend_from_slice(Name::local(name).unwrap().as_wire());
        out.extend_from_slice(&record_type.to_be_bytes());
        out.extend_from_slice(&class.to_be_bytes());
        out
    }

    fn ask(
        responder: &mut Responder,
        now: Instant,
        from: &str,
        message: &[u8],
    ) -> Vec<(Vec<u8>, SocketAddr)> {
        responder.handle_datagram(now, from.parse().unwrap(), message);
        sent(responder, now)
    }

    fn sent(responder: &mut Responder, now: Instant) -> Vec<(Vec<u8>, SocketAddr)> {
        std::iter::from_fn(|| {
            let mut out = vec![7];
            let (length, to) = responder.poll_transmit(now, &mut out)?;
            assert_eq!(length, out.len() - 1, "messages are appended");
            Some((out.split_off(1), to))
        })
        .collect()
    }

    fn answer(to: SocketAddr) -> Vec<(Vec<u8>, SocketAddr)> {
        vec![(response(NAME, address(), 120), to)]
    }

    #[test]
    fn machines_are_send_sync_debug() {
        fn check<T: Send + Sync + std::fmt::Debug>() {}
        check::<Responder>();
    }

    #[test]
    fn a_querier_finds_a_registered_name_and_no_other() {
        let (mut responder, start) = responder();
        let mut querier = Querier::new(Rng::from_u64(1));
        let ours = querier.query(start, &NAME.to_uppercase());
        let _other = querier.query(start, "other.local");
        let now = start + Duration::from_millis(50);
        querier.handle_timeout(now);
        let mut out = Vec::new();
        while let Some((_, group)) = querier.poll_transmit(now, &mut out) {
            let from = if group.is_ipv4() { MODERN } else { MODERN_V6 };
            for (message, to) in ask(&mut responder, now, from, &out) {
                assert_eq!(to, group, "who asked in a group is answered in it");
                querier.handle_datagram(now, &message);
            }
            out.clear();
        }
        assert_eq!(querier.poll_event(), Some(Event::Resolved { id: ours, address: address() }));
        assert_eq!(querier.poll_event(), None);
    }

    #[test]
    fn without_a_question_nothing_is_said() {
        let (mut responder, now) = responder();
        assert!(sent(&mut responder, now).is_empty(), "neither a probe nor an announcement");
        for message in [question("other.local", A, 1), question(NAME, 16, 1), response(NAME, address(), 120)]
        {
            assert!(ask(&mut responder, now, MODERN, &message).is_empty());
        }
        assert!(ask(&mut responder, now, MODERN, &question(NAME, A, 1)[..20]).is_empty());
        let stats = responder.stats();
        assert_eq!((stats.queries, stats.ignored, stats.malformed, stats.answers), (2, 1, 1, 0));
        assert_eq!(responder.poll_timeout(), None);
    }

    #[test]
    fn the_other_family_is_denied_at_once() {
        let (mut responder, now) = responder();
        let denial = ask(&mut responder, now, MODERN, &question(NAME, AAAA, 1));
        assert_eq!(denial.len(), 1);
        assert_eq!(denial[0].0[12 + 44..][..2], [0, 47]);
        assert_eq!(ask(&mut responder, now, MODERN, &question(NAME, A, 1)), answer(GROUP_V4), "two records");
        let six: IpAddr = "2001:db8::7".parse().unwrap();
        responder.register(NAME, six).unwrap();
        let both = ask(&mut responder, now, MODERN, &question(NAME, AAAA, 1));
        assert_eq!(both[0].0, response(NAME, address(), 0), "the address before is taken back");
        assert_eq!(both[1].0, response(NAME, six, 120));
    }

    #[test]
    fn a_record_is_multicast_once_a_second() {
        let (mut responder, start) = responder();
        assert_eq!(ask(&mut responder, start, MODERN, &question(NAME, A, 1)), answer(GROUP_V4));
        let soon = start + Duration::from_millis(1);
        for _ in 0..1000 {
            assert!(ask(&mut responder, soon, MODERN, &question(NAME, A, 1)).is_empty());
        }
        let due = responder.poll_timeout().expect("who asked is answered");
        assert_eq!(due, start + Duration::from_secs(1));
        responder.handle_timeout(due - Duration::from_millis(1));
        assert!(sent(&mut responder, due - Duration::from_millis(1)).is_empty());
        assert_eq!(sent(&mut responder, due), answer(GROUP_V4), "once");
        assert_eq!(responder.poll_timeout(), None);
    }

    #[test]
    fn the_groups_of_the_families_know_nothing_of_each_other() {
        let (mut responder, start) = responder();
        let both = [(MODERN, GROUP_V4), (MODERN_V6, GROUP_V6)];
        for (from, group) in both {
            assert_eq!(ask(&mut responder, start, from, &question(NAME, A, 1)), answer(group));
        }
        let soon = start + Duration::from_millis(1);
        for (from, _) in both {
            assert!(ask(&mut responder, soon, from, &question(NAME, A, 1)).is_empty(), "{from}");
        }
        let due = responder.poll_timeout().unwrap();
        assert_eq!(sent(&mut responder, due), [answer(GROUP_V4), answer(GROUP_V6)].concat());
        let unicast = ask(&mut responder, due, MODERN_V6, &question(NAME, A, UNICAST));
        assert_eq!(unicast, answer(MODERN_V6.parse().unwrap()), "with the scope of the question");
        responder.unregister_all();
        let goodbye = |group| (response(NAME, address(), 0), group);
        assert_eq!(sent(&mut responder, due), [goodbye(GROUP_V4), goodbye(GROUP_V6)]);

        responder.register(NAME, address()).unwrap();
        let later = due + Duration::from_secs(1);
        assert_eq!(ask(&mut responder, later, MODERN_V6, &question(NAME, A, 1)), answer(GROUP_V6));
        responder.unregister_all();
        assert_eq!(sent(&mut responder, later), [goodbye(GROUP_V6)], "where it was told");
    }

    #[test]
    fn who_wants_unicast_gets_it_while_the_others_are_up_to_date() {
        let (mut responder, start) = responder();
        let message = question(NAME, A, UNICAST);
        assert_eq!(ask(&mut responder, start, MODERN, &message), answer(GROUP_V4));
        let to: SocketAddr = MODERN.parse().unwrap();
        assert_eq!(ask(&mut responder, start, MODERN, &message), answer(to));
        let quarter = start + Duration::from_secs(30);
        assert_eq!(ask(&mut responder, quarter - Duration::from_millis(1), MODERN, &message), answer(to));
        assert_eq!(ask(&mut responder, quarter, MODERN, &message), answer(GROUP_V4));
    }

    #[test]
    fn a_simple_resolver_is_answered_alone() {
        let (mut responder, now) = responder();
        for _ in 0..2 {
            let answers = ask(&mut responder, now, SIMPLE, &question(NAME, A, 1));
            assert_eq!(answers.len(), 1);
            assert_eq!(answers[0].1, SIMPLE.parse().unwrap());
            assert_eq!(answers[0].0[..2], [0, 9], "its id");
        }
    }

    #[test]
    fn what_is_known_is_not_told() {
        let (mut responder, now) = responder();
        let knowing = |address: IpAddr, ttl| {
            let mut message = question(NAME, A, 1);
            message[7] = 1;
            message.extend_from_slice(&response(NAME, address, ttl)[12..]);
            message
        };
        assert!(ask(&mut responder, now, MODERN, &knowing(address(), 60)).is_empty());
        assert_eq!(responder.stats().known, 1);
        let wrong = "192.0.2.8".parse().unwrap();
        assert_eq!(ask(&mut responder, now, MODERN, &knowing(wrong, 120)), answer(GROUP_V4));
        let later = now + Duration::from_secs(1);
        assert_eq!(ask(&mut responder, later, MODERN, &knowing(address(), 59)), answer(GROUP_V4));
    }

    #[test]
    fn a_name_that_was_told_says_goodbye_once() {
        let (mut responder, now) = responder();
        responder.unregister(NAME);
        assert!(sent(&mut responder, now).is_empty(), "nobody knows of it");
        responder.register(NAME, address()).unwrap();
        responder.register("b.local", address()).unwrap();
        ask(&mut responder, now, MODERN, &question(NAME, A, 1));
        responder.handle_datagram(now, SIMPLE.parse().unwrap(), &question(NAME, A, 1));
        responder.unregister_all();
        assert_eq!(sent(&mut responder, now), vec![(response(NAME, address(), 0), GROUP_V4)]);
        assert!(ask(&mut responder, now, MODERN, &question(NAME, A, 1)).is_empty());
        assert_eq!(responder.stats().goodbyes, 1);
    }

    #[test]
    fn names_and_answers_have_bounds() {
        let (mut responder, now) = responder();
        assert_eq!(responder.register("example.org", address()), Err(RegisterError::Name));
        for i in 1..MAX_NAMES {
            responder.register(&format!("{i}.local"), address()).unwrap();
        }
        assert_eq!(responder.register("more.local", address()), Err(RegisterError::Full));
        assert_eq!(responder.register(NAME, address()), Ok(()), "it is there already");
        for port in 0..2 * MAX_UNICAST {
            let from = SocketAddr::new(address(), 10_000 + port as u16);
            responder.handle_datagram(now, from, &question(NAME, A, 1));
        }
        assert_eq!(responder.stats().dropped, MAX_UNICAST as u64);
        assert_eq!(sent(&mut responder, now).len(), MAX_UNICAST);
        for _ in 0..3 {
            for i in 1..MAX_NAMES {
                let name = format!("{i}.local");
                let _ = responder.register(&name, address());
                responder.handle_datagram(now, SIMPLE.parse().unwrap(), &question(&name, A, 1));
                responder.write_unicast(&mut Vec::new());
                responder.unregister(&name);
            }
        }
        assert_eq!(responder.goodbyes.len(), MAX_GOODBYES);
    }

    #[test]
    fn an_answer_of_a_name_that_was_removed_holds_no_other_up() {
        let (mut responder, now) = responder();
        responder.register("b.local", address()).unwrap();
        for name in [NAME, "b.local"] {
            responder.handle_datagram(now, SIMPLE.parse().unwrap(), &question(name, A, 1));
        }
        responder.unregister(NAME);
        assert_eq!(sent(&mut responder, now).len(), 1);
    }

    #[test]
    fn what_is_known_of_another_name_or_family_silences_nothing() {
        let (mut responder, now) = responder();
        responder.register("b.local", address()).unwrap();
        for (asked, record_type, known) in [(NAME, A, "b.local"), (NAME, AAAA, NAME)] {
            let mut message = question(asked, record_type, 1);
            message[7] = 1;
            message.extend_from_slice(&response(known, address(), 120)[12..]);
            assert_eq!(ask(&mut responder, now, MODERN, &message).len(), 1, "{record_type} {known}");
        }
    }

    #[test]
    fn questions_for_others_leave_room_for_ours() {
        let (mut responder, now) = responder();
        let mut message = question("other.local", A, 1);
        let other = message.split_off(12);
        (0..100).for_each(|_| message.extend_from_slice(&other));
        message.extend_from_slice(&question(NAME, A, 1)[12..]);
        message[5] = 101;
        assert_eq!(ask(&mut responder, now, MODERN, &message), answer(GROUP_V4));
    }

    #[test]
    fn time_does_not_go_back() {
        let (mut responder, start) = responder();
        let later = start + Duration::from_secs(10);
        assert_eq!(ask(&mut responder, later, MODERN, &question(NAME, A, 1)), answer(GROUP_V4));
        assert!(ask(&mut responder, start, MODERN, &question(NAME, A, 1)).is_empty());
        assert_eq!(responder.poll_timeout(), Some(later + Duration::from_secs(1)));
        assert!(ask(&mut responder, start, MODERN, &question(NAME, AAAA, 1)).len() == 1);
        assert!(ask(&mut responder, later, MODERN, &question(NAME, AAAA, 1)).is_empty(), "told at {later:?}");
    }

    #[test]
    fn a_datagram_asks_for_each_answer_once() {
        let (mut responder, now) = responder();
        let one = question(NAME, A, 1);
        let mut message = one.clone();
        message[5] = 50;
        (1..50).for_each(|_| message.extend_from_slice(&one[12..]));
        assert_eq!(ask(&mut responder, now, SIMPLE, &message).len(), 1);
        assert_eq!(ask(&mut responder, now, MODERN, &message).len(), 1);
    }
}
