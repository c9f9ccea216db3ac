//! Messages: writing a question, reading the addresses of a response (RFC 1035 section 4.1, RFC 6762 section 18).
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
/// QR: the message is a response.
const RESPONSE: u16 = 0x8000;
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
    // A record has at least eleven octets, so the length of the datagram bounds the loops, not the counts.
    for _ in 0..answers {
        read_record(datagram, &mut reader, &mut found)?;
    }
    for _ in 0..authorities {
        read_record(datagram, &mut reader, &mut |_, _| {})?;
    }
    for _ in 0..additionals {
        read_record(datagram, &mut reader, &mut found)?;
    }
    Ok(Kind::Response)
}

fn read_record<'a>(
    datagram: &'a [u8],
    reader: &mut Reader<'a>,
    found: &mut impl FnMut(&Name, IpAddr),
) -> Result<(), Short> {
    let name = Name::parse(datagram, reader)?;
    let (record_type, class, ttl) = (reader.u16()?, reader.u16()?, reader.u32()?);
    let length = usize::from(reader.u16()?);
    let data = reader.take(length)?;
    // A time to live of zero is a goodbye (RFC 6762 section 10.1).
    if class & CLASS_MASK != IN || ttl == 0 {
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
        found(&name, address);
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
