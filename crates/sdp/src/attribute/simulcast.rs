//! Simulcast: `rid` (RFC 8851), `simulcast` (RFC 8853). A malformed one is to be ignored, so it is kept unread.

use std::fmt;

use crate::lexer::{Fields, payload_type, trim};

/// The way that a restricted stream goes, seen from the side that wrote the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RidDirection {
    /// From the writer.
    Send,
    /// To the writer.
    Recv,
}

impl RidDirection {
    /// `send` or `recv`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Recv => "recv",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "send" => Some(Self::Send),
            "recv" => Some(Self::Recv),
            _ => None,
        }
    }
}

/// A restriction on one RTP stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rid {
    /// The stream's name, letters and digits (RFC 8851 section 10; `-` and `_` are read too).
    pub id: String,
    /// Which way.
    pub direction: RidDirection,
    /// The restrictions as written: `pt=97,98;max-width=1280`.
    pub restrictions: Option<String>,
}

impl Rid {
    /// The payload types it is restricted to; none at all means any.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> {
        let restrictions = self.restrictions.as_deref().unwrap_or_default();
        let list =
            restrictions.split(';').find_map(|part| trim(part).strip_prefix("pt=")).unwrap_or_default();
        list.split(',').filter_map(|text| payload_type(trim(text)))
    }

    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut fields = Fields::new(value);
        let id = fields.next().filter(|id| is_rid(id))?.to_owned();
        let direction = RidDirection::parse(fields.next()?)?;
        Some(Self { id, direction, restrictions: fields.rest_if_any().map(str::to_owned) })
    }
}

impl fmt::Display for Rid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.direction.as_str())?;
        self.restrictions.as_ref().map_or(Ok(()), |restrictions| write!(f, " {restrictions}"))
    }
}

fn is_rid(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The streams of one source in several qualities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulcast {
    /// One or two directions, as they are written.
    pub directions: Vec<SimulcastStreams>,
}

/// The streams of one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulcastStreams {
    /// Which way.
    pub direction: RidDirection,
    /// The streams, each as its alternatives in order of preference.
    pub streams: Vec<Vec<SimulcastId>>,
}

/// The name of a simulcast stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulcastId {
    /// That of its `a=rid`.
    pub rid: String,
    /// Whether it begins paused (`~`).
    pub paused: bool,
}

impl Simulcast {
    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut fields = Fields::new(value);
        let mut directions: Vec<SimulcastStreams> = Vec::new();
        while let Some(direction) = fields.next() {
            let direction = RidDirection::parse(direction)?;
            if directions.iter().any(|known| known.direction == direction) {
                return None;
            }
            let streams = fields.next()?.split(';').map(Self::alternatives).collect::<Option<_>>()?;
            directions.push(SimulcastStreams { direction, streams });
        }
        (!directions.is_empty()).then_some(Self { directions })
    }

    fn alternatives(text: &str) -> Option<Vec<SimulcastId>> {
        text.split(',')
            .map(|id| {
                let (paused, rid) = id.strip_prefix('~').map_or((false, id), |rid| (true, rid));
                is_rid(rid).then(|| SimulcastId { rid: rid.to_owned(), paused })
            })
            .collect()
    }
}

impl fmt::Display for Simulcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, SimulcastStreams { direction, streams }) in self.directions.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { " " })?;
            f.write_str(direction.as_str())?;
            for (i, alternatives) in streams.iter().enumerate() {
                f.write_str(if i == 0 { " " } else { ";" })?;
                for (i, id) in alternatives.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { "," })?;
                    f.write_str(if id.paused { "~" } else { "" })?;
                    f.write_str(&id.rid)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Attribute, RidDirection};

    #[test]
    fn simulcast_round_trips() {
        for text in [
            "simulcast:send q;h;f",
            "simulcast:recv 1;2,~3 send ~4",
            "rid:1 send pt=97;max-width=1280",
            "rid:f recv",
        ] {
            let attribute = Attribute::parse(text).expect(text);
            assert!(!matches!(attribute, Attribute::Other { .. }), "{attribute:?}");
            assert_eq!(attribute.to_string(), text);
        }
    }

    #[test]
    fn what_is_malformed_is_kept_unread() {
        for text in [
            "simulcast:send",
            "simulcast: send rid=q;h",
            "simulcast:send a send b",
            "simulcast:",
            "rid:1",
            "rid:a b",
            "rid:é send",
        ] {
            let attribute = Attribute::parse(text).expect(text);
            assert!(matches!(attribute, Attribute::Other { .. }), "{attribute:?}");
            assert_eq!(attribute.to_string(), text);
        }
    }

    #[test]
    fn a_rid_names_payload_types() {
        let Ok(Attribute::Rid(rid)) = Attribute::parse("rid:a recv max-fs=3600;pt=97, 98") else {
            panic!("no rid")
        };
        assert_eq!(rid.payload_types().collect::<Vec<_>>(), [97, 98]);
        assert_eq!(rid.direction, RidDirection::Recv);
    }
}
