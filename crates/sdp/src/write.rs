//! Writing a description, in the order of RFC 8866 section 5; lines end in CRLF.

use std::fmt::{self, Display, Formatter};

use crate::attribute::Attribute;
use crate::fragment::Fragment;
use crate::media::Media;
use crate::session::{Bandwidth, Connection, Origin, Session, Time};

fn optional(f: &mut Formatter<'_>, letter: char, value: Option<&(impl Display + ?Sized)>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, "{letter}={value}\r\n"))
}

fn each<T: Display>(f: &mut Formatter<'_>, letter: char, values: &[T]) -> fmt::Result {
    values.iter().try_for_each(|value| write!(f, "{letter}={value}\r\n"))
}

fn attributes(f: &mut Formatter<'_>, attributes: &[Attribute]) -> fmt::Result {
    attributes.iter().try_for_each(|attribute| {
        f.write_str("a=")?;
        attribute.fmt(f)?;
        f.write_str("\r\n")
    })
}

impl Display for Session {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "v=0\r\no={}\r\ns={}\r\n", self.origin, self.name)?;
        optional(f, 'i', self.information.as_ref())?;
        optional(f, 'u', self.uri.as_ref())?;
        each(f, 'e', &self.emails)?;
        each(f, 'p', &self.phones)?;
        optional(f, 'c', self.connection.as_ref())?;
        each(f, 'b', &self.bandwidths)?;
        for time in &self.times {
            write!(f, "t={time}\r\n")?;
            each(f, 'r', &time.repeats)?;
        }
        optional(f, 'z', self.zones.as_ref())?;
        optional(f, 'k', self.key.as_ref())?;
        attributes(f, &self.attributes)?;
        self.media.iter().try_for_each(|media| media.fmt(f))
    }
}

impl Display for Fragment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        attributes(f, &self.attributes)?;
        self.media.iter().try_for_each(|media| media.fmt(f))
    }
}

impl Display for Media {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "m={} {}", self.kind, self.port)?;
        if let Some(count) = self.port_count {
            write!(f, "/{count}")?;
        }
        write!(f, " {}", self.protocol)?;
        for format in &self.formats {
            f.write_str(" ")?;
            format.fmt(f)?;
        }
        f.write_str("\r\n")?;
        optional(f, 'i', self.title.as_ref())?;
        each(f, 'c', &self.connections)?;
        each(f, 'b', &self.bandwidths)?;
        optional(f, 'k', self.key.as_ref())?;
        attributes(f, &self.attributes)
    }
}

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
