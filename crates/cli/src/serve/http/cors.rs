//! Cross-origin resource sharing (Fetch standard, section 3.2): which pages may use the server from a browser.
//!
//! An answer contains addresses of this machine, which browsers hide from strange pages with some effort. So pages of
//! this machine may use the server, and those that `--allow-origin` names; `*` names all.

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

use crate::serve::sessions::Sessions;

const METHODS: HeaderValue = HeaderValue::from_static("DELETE, GET, OPTIONS, PATCH, POST");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static("Authorization, Content-Type, If-Match");
const RESPONSE_HEADERS: HeaderValue =
    HeaderValue::from_static("Accept-Patch, Accept-Post, ETag, Link, Location, Retry-After");
/// How long a browser may remember what it was allowed, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Adds to a response that the page which asked may read it, if it may.
pub(super) async fn share(State(sessions): State<Sessions>, request: Request, next: Next) -> Response {
    let is_options = request.method() == Method::OPTIONS;
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let allowed = &sessions.settings().allowed_origins;
    let Some(origin) = origin.filter(|origin| origin.to_str().is_ok_and(|origin| may_use(origin, allowed)))
    else {
        return response;
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
    if is_options {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
    response
}

/// Whether pages of this origin may use the server.
fn may_use(origin: &str, allowed: &[String]) -> bool {
    is_local(origin) || allowed.iter().any(|one| one == "*" || one.eq_ignore_ascii_case(origin))
}

/// Whether an origin is a server on this machine: `localhost` or a loopback address, by any scheme, on any port.
fn is_local(origin: &str) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, "0"),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_loopback = bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    port.parse::<u16>().is_ok() && (is_loopback || host.eq_ignore_ascii_case("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_machine_may_use_the_server_and_others_only_if_named() {
        for local in [
            "http://localhost",
            "https://LOCALHOST:3000",
            "http://127.0.0.1:8080",
            "http://[::1]:81",
            "http://[::1]",
        ] {
            assert!(may_use(local, &[]), "{local}");
        }
        let strange = [
            "null",
            "",
            "http://example.com",
            "http://localhost.example.com",
            "http://127.0.0.1.nip.io:80",
            "http://[::2]",
            "http://::1",
            "http://127.0.0.1:x",
        ];
        for strange in strange {
            assert!(!may_use(strange, &[]), "{strange}");
            assert!(may_use(strange, &["*".to_owned()]), "{strange}");
        }
        let named = ["https://example.com".to_owned()];
        assert!(may_use("https://example.com", &named) && !may_use("http://example.com", &named));
    }
}
