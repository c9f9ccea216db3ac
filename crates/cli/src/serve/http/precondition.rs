//! `ETag` and `If-Match` (RFC 9110 sections 8.8.3 and 13.1.1): which ICE session a request means.

use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;

/// The entity tag of an ICE session.
pub(super) fn entity_tag(ice_session: &str) -> String {
    format!("\"{ice_session}\"")
}

/// What a request demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IfMatch {
    /// Nothing.
    Missing,
    /// Any ICE session: `*`.
    Any,
    /// One of these.
    Tags(Vec<String>),
}

impl IfMatch {
    /// The demand of a request. What is no list of entity tags matches none.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if !headers.contains_key(IF_MATCH) {
            return Self::Missing;
        }
        let values = headers.get_all(IF_MATCH).iter().filter_map(|value| value.to_str().ok());
        let tags: Vec<String> =
            values.flat_map(|value| value.split(',')).map(|tag| tag.trim().to_owned()).collect();
        if tags == ["*"] { Self::Any } else { Self::Tags(tags) }
    }

    /// Whether it is fulfilled while this is the tag. Weak tags never match.
    pub(super) fn holds(&self, tag: &str) -> bool {
        match self {
            Self::Missing | Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|one| one == tag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn if_match(values: &[&'static str]) -> IfMatch {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IF_MATCH, axum::http::HeaderValue::from_static(value));
        }
        IfMatch::of(&headers)
    }

    #[test]
    fn the_tag_must_be_among_those_that_are_named() {
        let tag = entity_tag("ab+/");
        assert_eq!(tag, "\"ab+/\"");
        assert_eq!(if_match(&[]), IfMatch::Missing);
        for good in [&["*"][..], &["\"ab+/\""], &["\"x\", \"ab+/\""], &["\"x\"", "\"ab+/\""]] {
            assert!(if_match(good).holds(&tag), "{good:?}");
        }
        for bad in [&[""][..], &["\"ab\""], &["ab+/"], &["W/\"ab+/\""], &["*, \"x\""], &["\"\""]] {
            assert!(!if_match(bad).holds(&tag), "{bad:?}");
        }
    }
}
