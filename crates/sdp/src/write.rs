//! Writing a description, in the order of RFC 8866 section 5; lines end in CRLF.

use std::fmt::{self, Display, Formatter, Write as _};

use crate::attribute::{Attribute, display_as_written};
use crate::fragment::Fragment;
use crate::media::{Format, Media};
use crate::session::{Bandwidth, Connection, Origin, Session, Time};

/// A usual description, so that the text does not grow step by step.
const USUAL_TEXT: usize = 8 << 10;

fn line(out: &mut String, letter: char, value: &(impl Display + ?Sized)) {
    // Writing to a `String` cannot fail.
    let _ = write!(out, "{letter}={value}\r\n");
}

fn lines<'a, T: Display + 'a>(out: &mut String, letter: char, values: impl IntoIterator<Item = &'a T>) {
    values.into_iter().for_each(|value| line(out, letter, value));
}

fn attributes(out: &mut String, attributes: &[Attribute]) {
    for attribute in attributes {
        out.push_str("a=");
        attribute.write(out);
        out.push_str("\r\n");
    }
}

/// Appends a number in decimal.
pub(crate) fn number(number: u32, out: &mut String) {
    if number >= 10 {
        self::number(number / 10, out);
    }
    out.push(char::from(b'0' + (number % 10) as u8));
}

impl Session {
    fn write(&self, out: &mut String) {
        out.reserve(USUAL_TEXT);
        out.push_str("v=0\r\n");
        line(out, 'o', &self.origin);
        line(out, 's', &self.name);
        lines(out, 'i', &self.information);
        lines(out, 'u', &self.uri);
        lines(out, 'e', &self.emails);
        lines(out, 'p', &self.phones);
        lines(out, 'c', &self.connection);
        lines(out, 'b', &self.bandwidths);
        for time in &self.times {
            line(out, 't', time);
            lines(out, 'r', &time.repeats);
        }
        lines(out, 'z', &self.zones);
        lines(out, 'k', &self.key);
        attributes(out, &self.attributes);
        self.media.iter().for_each(|media| media.write(out));
    }
}

impl Fragment {
    fn write(&self, out: &mut String) {
        attributes(out, &self.attributes);
        self.media.iter().for_each(|media| media.write(out));
    }
}

impl Media {
    fn write(&self, out: &mut String) {
        out.push_str("m=");
        out.push_str(self.kind.as_str());
        out.push(' ');
        number(u32::from(self.port), out);
        if let Some(count) = self.port_count {
            out.push('/');
            number(u32::from(count), out);
        }
        out.push(' ');
        out.push_str(self.protocol.as_str());
        for format in &self.formats {
            out.push(' ');
            match format {
                Format::PayloadType(payload_type) => number(u32::from(*payload_type), out),
                Format::Name(name) => out.push_str(name),
            }
        }
        out.push_str("\r\n");
        lines(out, 'i', &self.title);
        lines(out, 'c', &self.connections);
        lines(out, 'b', &self.bandwidths);
        lines(out, 'k', &self.key);
        attributes(out, &self.attributes);
    }
}

display_as_written!(Session, Fragment, Media);

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.username, self.session_id, self.session_version, self.connection)
    }
}

impl Display for Connection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.network, self.address_type, self.address)
    }
}

impl Display for Bandwidth {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.start, self.stop)
    }
}
