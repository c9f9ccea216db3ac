//! The HTTP interface: the manners of WHIP (RFC 9725) and WHEP.
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /` | the demo page |
//! | `POST /echo`, `POST /clip` with an offer (`application/sdp`) | `201`, an answer with its candidates, `Location` and `ETag` of the session, `Link`s to the ICE servers |
//! | the same without a body | `201` and an offer, which is answered with `PATCH` |
//! | `PATCH` on a session with a fragment (`application/trickle-ice-sdpfrag`) | `204`: candidates are taken |
//! | the same with other credentials | `200`: ICE has restarted, a fragment of this side and another `ETag` |
//! | `PATCH` on a session with an answer (`application/sdp`) | `204`: the offer is answered |
//! | `DELETE` on a session | `200`, and it ends |
//! | `GET` on a session's `/stats` | its statistics |
//! | `POST` on a session's `/recording` | `201`: what the client sends is recorded |
//! | `DELETE` on that | `200`: the files are complete |
//! | `GET` on `/recording/NAME` | a file |
//! | `OPTIONS` on any of these | `Allow`, `Accept-Post`, `Accept-Patch`, `Link`, and what CORS asks for |
//! | `GET /sessions` | `{"open":N}` |
//!
//! What is refused is refused with a reason of one line.

mod connections;
mod cors;
mod endpoint;
mod precondition;
mod recording;
mod session;

use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

pub(super) use self::connections::serve;
use super::session::Refusal;
use super::sessions::Sessions;

/// The page: one file, nothing else is loaded.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    include_str!("../page/page.html")
        .replace("/* style.css */\n", include_str!("../page/style.css"))
        .replace("/* script.js */\n", include_str!("../page/script.js"))
});

/// The page's own inline style and script run, and it talks to this server alone.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                           img-src data:; media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The largest body. A browser's offer with every codec and twenty m-lines has some 100 kB; a larger body gets 413.
const MAX_BODY: usize = 256 * 1024;

/// The media type of a session description (RFC 8866 section 8.1).
const SDP: &str = "application/sdp";

/// The media type of a fragment of one (RFC 8840 section 9).
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// How long a request may take, its body and the gathering included; then it gets 408.
const REQUEST_TIME: Duration = Duration::from_secs(15);

/// What a client that found the server full is told to wait, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("10");

/// All routes.
fn router(sessions: Sessions) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/sessions", get(count))
        .merge(endpoint::routes())
        .merge(session::routes())
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "there is nothing here; the page is at /") })
        .method_not_allowed_fallback(|| async {
            problem(StatusCode::METHOD_NOT_ALLOWED, "not with this method; the header Allow says with which")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(within_time))
        .layer(middleware::from_fn_with_state(sessions.clone(), cors::share))
        .with_state(sessions)
}

/// `GET /`
async fn page() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE.as_str())
}

/// `GET /sessions`
async fn count(State(sessions): State<Sessions>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], format!("{{\"open\":{}}}\n", sessions.len()))
}

/// Gives up on a request that takes too long, such as one whose body never comes.
async fn within_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => problem(StatusCode::REQUEST_TIMEOUT, "the request took too long"),
    }
}

/// The content type without its parameters, in lower case.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(|media_type| media_type.trim().to_ascii_lowercase())
}

/// The body as text, or the response that says why not.
fn text(body: Result<Bytes, BytesRejection>) -> Result<String, Box<Response>> {
    let body = body.map_err(|rejection| match rejection.status() {
        too_large @ StatusCode::PAYLOAD_TOO_LARGE => {
            problem(too_large, &format!("a body may have {MAX_BODY} bytes"))
        }
        _ => problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    })?;
    String::from_utf8(body.into())
        .map_err(|_| Box::new(problem(StatusCode::BAD_REQUEST, "the body is not UTF-8")))
}

/// An error with its reason as text, which the page shows.
fn problem(status: StatusCode, reason: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{reason}\n")).into_response()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Open(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Clip(_) | Self::Setup(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut response = problem(status, &self.to_string());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}
