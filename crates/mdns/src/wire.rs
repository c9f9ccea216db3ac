//! Messages: questions and answers, written and read (RFC 1035 section 4.1, RFC 6762 section 18).
//!
//! ```text
//! | ID = 0 | flags | QDCOUNT | ANCOUNT | NSCOUNT | ARCOUNT |  questions … answers … authorities … additionals …
//! question:  | name … | type | class |        record:  | name … | type | class | TTL (4) | length | data … |
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use taut_sansio::codec::{Reader, Short};

use crate::name::Name;

/// The longest message (RFC 6762 section 17, without the headers of UDP and IP).
const MAX_MESSAGE: usize = 9_000;
/// Class IN.
const IN: u16 = 1;
/// In a response the high bit of the class asks to flush a cache (RFC 6762 section 10.2).
const CLASS_MASK: u16 = 0x7fff;
/// In a question the high bit of the class asks for a unicast answer (RFC 6762 section 5.4), in a record of a response it
/// asks to flush the cache (section 10.2).
const TOP_BIT: u16 = 0x8000;
/// Class ANY, of questions only (RFC 1035 section 3.2.5).
const ANY_CLASS: u16 = 255;
/// Type ANY, of questions only.
const ANY_TYPE: u16 = 255;
/// NSEC: which types a name has (RFC 4034 section 4, RFC 6762 section 6.1).
const NSEC: u16 = 47;
/// QR: the message is a response.
const RESPONSE: u16 = 0x8000;
/// AA, which every response has (RFC 6762 section 18.4).
const AUTHORITATIVE: u16 = 0x0400;
/// The operation code and the response code; messages where one is not zero are ignored (RFC 6762 sections 18.3, 18.11).
const CODES: u16 = 0x780f;

/// The kinds of record that hold an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordType {
    A,
    Aaaa,
}

impl RecordType {
    fn value(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
        }
    }

    /// The one that holds such an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::A } else { Self::Aaaa }
    }
}

/// Appends a query with one question. Only one, and without the unicast-response bit: Chromium's responder ignores a
/// message with several questions and any class but IN, and on a shared port 5353 a unicast answer may reach another
/// process.
pub(crate) fn write_query(name: &Name, record_type: RecordType, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(name.as_wire());
    out.extend_from_slice(&record_type.value().to_be_bytes());
    out.extend_from_slice(&IN.to_be_bytes());
}

/// What a querier knows already need not be told while at least half of the time to live is left (RFC 6762 section 7.1).
const KNOWN_TTL: u32 = TTL / 2;

/// How long an address may be kept, in seconds (RFC 6762 section 10).
pub(crate) const TTL: u32 = 120;

/// How long an answer to a simple resolver may be kept, in seconds (RFC 6762 section 6.7).
const LEGACY_TTL: u32 = 10;

/// The most questions, and known answers, of ours in one message; further ones are not read. Two names of each of 32
/// addresses are the most that a connection has.
const MAX_PER_MESSAGE: usize = 64;

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    One(RecordType),
    Any,
}

/// A question for a name of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) name: Name,
    pub(crate) asked: Asked,
    /// A unicast answer will do.
    pub(crate) unicast: bool,
}

/// What of a query is for us.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) id: u16,
    pub(crate) questions: Vec<Question>,
    /// What the querier knows, and will for long enough.
    pub(crate) known: Vec<(Name, IpAddr)>,
}

/// Reads what a query asks of the names that `ours` holds for; `None` for other messages.
pub(crate) fn read_query(datagram: &[u8], ours: impl Fn(&Name) -> bool) -> Result<Option<Query>, Short> {
    if datagram.len() > MAX_MESSAGE {
        return Err(Short);
    }
    let mut reader = Reader::new(datagram);
    let (id, flags) = (reader.u16()?, reader.u16()?);
    let (questions, answers) = (reader.u16()?, reader.u16()?);
    reader.skip(4)?;
    if flags & (RESPONSE | CODES) != 0 {
        return Ok(None);
    }
    let mut query = Query { id, ..Query::default() };
    for _ in 0..questions {
        let name = Name::parse(datagram, &mut reader)?;
        let (record_type, class) = (reader.u16()?, reader.u16()?);
        let asked = match record_type {
            1 => Asked::One(RecordType::A),
            28 => Asked::One(RecordType::Aaaa),
            ANY_TYPE => Asked::Any,
            _ => continue,
        };
        let wanted = matches!(class & CLASS_MASK, IN | ANY_CLASS) && ours(&name);
        if wanted && query.questions.len() < MAX_PER_MESSAGE {
            query.questions.push(Question { name, asked, unicast: class & TOP_BIT != 0 });
        }
    }
    let known = &mut query.known;
    for _ in 0..answers {
        read_record(datagram, &mut reader, &mut |name, address, ttl| {
            if ttl >= KNOWN_TTL && known.len() < MAX_PER_MESSAGE && ours(name) {
                known.push((name.clone(), address));
            }
        })?;
    }
    Ok(Some(query))
}

/// What is told of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    /// Its address.
    Address,
    /// That it has no address of the other family.
    NoOther,
}

/// In what form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For everybody who speaks multicast DNS.
    Modern,
    /// The same, and that it is not so any more (RFC 6762 section 10.1).
    Goodbye,
    /// For a simple resolver, which expects its id and its question (RFC 6762 section 6.7).
    Legacy(u16, RecordType),
}

/// Appends a response with one record.
pub(crate) fn write_response(name: &Name, address: IpAddr, fact: Fact, form: Form, out: &mut Vec<u8>) {
    let (id, questions) = match form {
        Form::Legacy(id, _) => (id, 1),
        Form::Modern | Form::Goodbye => (0, 0),
    };
    for field in [id, RESPONSE | AUTHORITATIVE, questions, 1, 0, 0] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    if let Form::Legacy(_, record_type) = form {
        out.extend_from_slice(name.as_wire());
        out.extend_from_slice(&record_type.value().to_be_bytes());
        out.extend_from_slice(&IN.to_be_bytes());
    }
    let own = RecordType::of(address);
    let (record_type, data) = match (fact, address) {
        (Fact::Address, IpAddr::V4(address)) => (own.value(), address.octets().to_vec()),
        (Fact::Address, IpAddr::V6(address)) => (own.value(), address.octets().to_vec()),
        // The next name is the name itself, and the bitmap has the one type that there is.
        (Fact::NoOther, IpAddr::V4(_)) => (NSEC, [name.as_wire(), &[0, 1, 0x40]].concat()),
        (Fact::NoOther, IpAddr::V6(_)) => (NSEC, [name.as_wire(), &[0, 4, 0, 0, 0, 0x08]].concat()),
    };
    let (class, ttl) = match form {
        Form::Modern => (IN | TOP_BIT, TTL),
        Form::Goodbye => (IN | TOP_BIT, 0),
        Form::Legacy(..) => (IN, LEGACY_TTL),
    };
    out.extend_from_slice(name.as_wire());
    out.extend_from_slice(&record_type.to_be_bytes());
    out.extend_from_slice(&class.to_be_bytes());
    out.extend_from_slice(&ttl.to_be_bytes());
    // A name has at most 255 octets.
    out.extend_from_slice(&u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(&data);
}

/// What a datagram is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A response; its addresses were handed over, if it had any.
    Response,
    /// A query, or a message with codes that are to be ignored.
    Other,
}

/// Hands each address record in the answer and additional sections of a response to `found`. An error may come after
/// some were handed over.
pub(crate) fn read_response(datagram: &[u8], mut found: impl FnMut(&Name, IpAddr)) -> Result<Kind, Short> {
    if datagram.len() > MAX_MESSAGE {
        return Err(Short);
    }
    let mut reader = Reader::new(datagram);
    let (_id, flags) = (reader.u16()?, reader.u16()?);
    let (questions, answers) = (reader.u16()?, reader.u16()?);
    let (authorities, additionals) = (reader.u16()?, reader.u16()?);
    if flags & RESPONSE == 0 || flags & CODES != 0 {
        return Ok(Kind::Other);
    }
    for _ in 0..questions {
        Name::parse(datagram, &mut reader)?;
        reader.skip(4)?;
    }
    // A time to live of zero is a goodbye (RFC 6762 section 10.1).
    let mut found = |name: &Name, address, ttl| {
        if ttl != 0 {
            found(name, address);
        }
    };
    // A record has at least eleven octets, so the length of the datagram bounds the loops, not the counts.
    for _ in 0..answers {
        read_record(datagram, &mut reader, &mut found)?;
    }
    for _ in 0..authorities {
        read_record(datagram, &mut reader, &mut |_, _, _| {})?;
    }
    for _ in 0..additionals {
        read_record(datagram, &mut reader, &mut found)?;
    }
    Ok(Kind::Response)
}

fn read_record<'a>(
    datagram: &'a [u8],
    reader: &mut Reader<'a>,
    found: &mut impl FnMut(&Name, IpAddr, u32),
) -> Result<(), Short> {
    let name = Name::parse(datagram, reader)?;
    let (record_type, class, ttl) = (reader.u16()?, reader.u16()?, reader.u32()?);
    let length = usize::from(reader.u16()?);
    let data = reader.take(length)?;
    if class & CLASS_MASK != IN {
        return Ok(());
    }
    let address = if record_type == RecordType::A.value() {
        <[u8; 4]>::try_from(data).ok().map(|octets| IpAddr::V4(Ipv4Addr::from(octets)))
    } else if record_type == RecordType::Aaaa.value() {
        <[u8; 16]>::try_from(data).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
    } else {
        None
    };
    // The address of a host is neither unspecified nor a group.
    if let Some(address) = address.filter(|address| !address.is_unspecified() && !address.is_multicast()) {
        found(&name, address, ttl);
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A response with one record, as a browser's responder sends it.
    pub(crate) fn response(name: &str, address: IpAddr, ttl: u32) -> Vec<u8> {
        let mut out = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        out.extend_from_slice(Name::local(name).unwrap().as_wire());
        let data = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        out.extend_from_slice(&if data.len() == 4 { 1u16 } else { 28 }.to_be_bytes());
        out.extend_from_slice(&0x8001u16.to_be_bytes());
        out.extend_from_slice(&ttl.to_be_bytes());
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(&data);
        out
    }

    fn read(datagram: &[u8]) -> (Result<Kind, Short>, Vec<IpAddr>) {
        let mut addresses = Vec::new();
        (read_response(datagram, |_, address| addresses.push(address)), addresses)
    }

    #[test]
    fn both_families_are_read_and_others_are_not() {
        for address in ["192.0.2.1", "2001:db8::1", "127.0.0.1"] {
            let address = address.parse().unwrap();
            assert_eq!(read(&response("a.local", address, 120)), (Ok(Kind::Response), vec![address]));
            assert!(read(&response("a.local", address, 0)).1.is_empty(), "a goodbye is no answer");
        }
        for address in ["0.0.0.0", "224.0.0.251", "::", "ff02::fb"] {
            assert!(read(&response("a.local", address.parse().unwrap(), 120)).1.is_empty());
        }
        let mut wrong_length = response("a.local", "192.0.2.1".parse().unwrap(), 9);
        wrong_length.pop();
        let place = wrong_length.len() - 4;
        wrong_length[place] = 3;
        assert_eq!(read(&wrong_length), (Ok(Kind::Response), vec![]));
    }

    fn name(text: &str) -> Name {
        Name::local(text).unwrap()
    }

    #[test]
    fn a_response_is_written_as_others_write_it_and_is_read_back() {
        for address in ["192.0.2.1", "2001:db8::1"] {
            let address = address.parse().unwrap();
            let mut out = Vec::new();
            write_response(&name("a.local"), address, Fact::Address, Form::Modern, &mut out);
            assert_eq!(out, response("a.local", address, 120));
            assert_eq!(read(&out), (Ok(Kind::Response), vec![address]));
            out.clear();
            write_response(&name("a.local"), address, Fact::Address, Form::Goodbye, &mut out);
            assert_eq!(out, response("a.local", address, 0));
        }
    }

    #[test]
    fn the_other_family_is_denied_with_a_bitmap() {
        let tail = |address: &str| {
            let mut out = Vec::new();
            write_response(&name("a.local"), address.parse().unwrap(), Fact::NoOther, Form::Modern, &mut out);
            assert_eq!(read(&out), (Ok(Kind::Response), vec![]));
            out.split_off(12 + 9)
        };
        let head = b"\0\x2f\x80\x01\0\0\0\x78";
        assert_eq!(tail("192.0.2.1"), [&head[..], b"\0\x0c\x01a\x05local\0\0\x01\x40"].concat());
        assert_eq!(tail("2001:db8::1"), [&head[..], b"\0\x0f\x01a\x05local\0\0\x04\0\0\0\x08"].concat());
    }

    #[test]
    fn a_simple_resolver_gets_its_id_and_question_back() {
        let mut out = Vec::new();
        let form = Form::Legacy(0x1234, RecordType::A);
        write_response(&name("a.local"), "192.0.2.1".parse().unwrap(), Fact::Address, form, &mut out);
        let expected = b"\x12\x34\x84\0\0\x01\0\x01\0\0\0\0\x01a\x05local\0\0\x01\0\x01\
            \x01a\x05local\0\0\x01\0\x01\0\0\0\x0a\0\x04\xc0\0\x02\x01";
        assert_eq!(out, expected);
    }

    #[test]
    fn of_a_query_only_what_is_for_us_is_read() {
        let question = |text: &str, kind: u8, class: u16| {
            [name(text).as_wire(), &[0, kind], &class.to_be_bytes()].concat()
        };
        let mut message = vec![0, 7, 0, 0, 0, 6, 0, 2, 0, 0, 0, 0];
        for (text, kind, class) in [
            ("A.local", 1, 1),
            ("a.local", 28, 0x8001),
            ("a.local", 255, 255),
            ("b.local", 1, 1),
            ("a.local", 16, 1),
            ("a.local", 1, 3),
        ] {
            message.extend(question(text, kind, class));
        }
        for ttl in [59, 60] {
            let record = response("a.local", "192.0.2.1".parse().unwrap(), ttl);
            message.extend_from_slice(&record[12..]);
        }
        let query = read_query(&message, |asked| *asked == name("a.local")).unwrap().unwrap();
        let of = |asked, unicast| Question { name: name("a.local"), asked, unicast };
        assert_eq!(query.id, 7);
        assert_eq!(
            query.questions,
            [
                of(Asked::One(RecordType::A), false),
                of(Asked::One(RecordType::Aaaa), true),
                of(Asked::Any, false)
            ]
        );
        assert_eq!(query.known.len(), 1, "one is known for long enough");
        for end in 0..message.len() {
            assert!(read_query(&message[..end], |_| true).is_err(), "{end}");
        }
        for (place, value) in [(2, 0x84), (2, 0x08), (3, 0x03)] {
            let mut other = message.clone();
            other[place] = value;
            assert!(read_query(&other, |_| true).unwrap().is_none(), "neither a response nor with codes");
        }
    }

    #[test]
    fn a_message_full_of_questions_is_read_in_part() {
        let question = [name("a.local").as_wire(), &[0, 1, 0, 1]].concat();
        let mut message = vec![0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
        (0..512).for_each(|_| message.extend_from_slice(&question));
        let query = read_query(&message, |_| true).unwrap().unwrap();
        assert_eq!(query.questions.len(), MAX_PER_MESSAGE);
        let [ours, other] = ["a.local", "b.local"].map(|name| {
            let record = response(name, "192.0.2.1".parse().unwrap(), TTL);
            record[12..].to_vec()
        });
        let mut message = vec![0, 0, 0, 0, 0, 0, 0, 200, 0, 0, 0, 0];
        (0..100).for_each(|_| message.extend_from_slice(&other));
        (0..100).for_each(|_| message.extend_from_slice(&ours));
        let query = read_query(&message, |asked| *asked == name("a.local")).unwrap().unwrap();
        assert_eq!(query.known.len(), MAX_PER_MESSAGE);
        assert!(query.known.iter().all(|(known, _)| *known == name("a.local")), "others leave room");
        assert!(read_query(&vec![0; MAX_MESSAGE + 1], |_| true).is_err());
    }

    #[test]
    fn queries_and_errors_are_ignored() {
        let good = response("a.local", "192.0.2.1".parse().unwrap(), 120);
        for (place, value) in [(2, 0x04), (2, 0x8c), (3, 0x03)] {
            let mut other = good.clone();
            other[place] = value;
            assert_eq!(read(&other), (Ok(Kind::Other), vec![]));
        }
    }

    #[test]
    fn a_record_of_another_class_is_no_address() {
        let mut message = response("a.local", "192.0.2.1".parse().unwrap(), 120);
        let class = 12 + name("a.local").as_wire().len() + 2;
        message[class + 1] = 3;
        assert_eq!(read(&message), (Ok(Kind::Response), vec![]));
    }

    #[test]
    fn additional_records_count_and_authorities_do_not() {
        let mut message = response("a.local", "192.0.2.1".parse().unwrap(), 120);
        message[7] = 0;
        message[9] = 1;
        assert!(read(&message).1.is_empty());
        message[9] = 0;
        message[11] = 1;
        assert_eq!(read(&message).1.len(), 1);
    }

    #[test]
    fn no_prefix_and_no_changed_octet_panics() {
        let good = response("a2b4.local", "192.0.2.1".parse().unwrap(), 120);
        for end in 0..good.len() {
            assert!(read(&good[..end]).0.is_err(), "{end}");
        }
        for place in 0..good.len() {
            for value in 0..=255 {
                let mut changed = good.clone();
                changed[place] = value;
                let (_, addresses) = read(&changed);
                assert!(addresses.len() <= 1);
            }
        }
        assert!(read(&vec![0; MAX_MESSAGE + 1]).0.is_err());
    }

    #[test]
    fn counts_cost_no_more_than_the_octets_there_are() {
        let mut message = vec![0, 0, 0x84, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert!(read(&message).0.is_err());
        message.resize(MAX_MESSAGE, 0);
        assert!(read(&message).0.is_err());
    }
}
