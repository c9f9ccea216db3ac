//! The HTTP interface.
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /` | the demo page |
//! | `POST /echo`, `Content-Type: application/sdp`, an offer | `201`, an answer with its candidates, and the session's `Location` |
//! | `DELETE` on a location | `200`, and the session ends |
//! | `GET /sessions` | `{"open":N}` |
//!
//! There are no CORS headers, and the content type of an offer makes browsers ask for them: pages from elsewhere cannot
//! use the server to learn this machine's addresses, which an answer contains.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};

use super::echo::{self, AnswerError};
use super::sessions::{SessionId, Sessions};

/// The page: one file, nothing else is loaded.
const PAGE: &str = include_str!("page.html");

/// The page's own inline style and script run, and it talks to this server alone.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                           img-src data:; media-src 'self' blob: mediastream:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The largest offer. A browser's with every codec and twenty m-lines has some 100 kB; a larger body gets 413.
const MAX_OFFER: usize = 256 * 1024;

/// The media type of a session description (RFC 8866 section 8.1).
const SDP: &str = "application/sdp";

/// How long a request may take, its body and the gathering included; then it gets 408.
const REQUEST_TIME: Duration = Duration::from_secs(15);

/// What a client that found the server full is told to wait, in seconds.
const RETRY_AFTER_SECONDS: &str = "10";

/// All routes.
pub(super) fn router(sessions: Sessions) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/echo", post(open))
        .route("/session/{id}", delete(close).fallback(not_delete))
        .route("/sessions", get(count))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "there is nothing here; the page is at /") })
        .layer(DefaultBodyLimit::max(MAX_OFFER))
        .layer(middleware::from_fn(within_time))
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
    (headers, PAGE)
}

/// `POST /echo`
async fn open(
    State(sessions): State<Sessions>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if !is_sdp(&headers) {
        return problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the offer must come with Content-Type: application/sdp",
        );
    }
    let body = match body {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return problem(StatusCode::PAYLOAD_TOO_LARGE, &format!("an offer may have {MAX_OFFER} bytes"));
        }
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let Ok(offer) = std::str::from_utf8(&body) else {
        return problem(StatusCode::BAD_REQUEST, "the offer is not UTF-8");
    };
    match echo::answer(&sessions, offer).await {
        Ok((id, answer)) => {
            let headers = [(CONTENT_TYPE, SDP.to_owned()), (LOCATION, format!("/session/{id}"))];
            (StatusCode::CREATED, headers, answer).into_response()
        }
        Err(error @ AnswerError::Offer(_)) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(error @ AnswerError::Open(_)) => {
            let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string());
            response
                .headers_mut()
                .insert(RETRY_AFTER, axum::http::HeaderValue::from_static(RETRY_AFTER_SECONDS));
            response
        }
        Err(error @ AnswerError::Setup(_)) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// `DELETE /session/{id}`
async fn close(State(sessions): State<Sessions>, Path(id): Path<String>) -> Response {
    match id.parse::<SessionId>().ok().and_then(|id| sessions.remove(id)) {
        Some(pc) => {
            pc.close().await;
            StatusCode::OK.into_response()
        }
        None => problem(StatusCode::NOT_FOUND, "there is no such session; it may have ended"),
    }
}

/// Anything but `DELETE` on a session.
async fn not_delete() -> Response {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "a session can only be ended, with DELETE");
    response.headers_mut().insert(ALLOW, axum::http::HeaderValue::from_static("DELETE"));
    response
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

/// Whether the content type is that of a session description, whatever its parameters.
fn is_sdp(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(SDP))
}

/// An error with its reason as text, which the page shows.
fn problem(status: StatusCode, reason: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{reason}\n")).into_response()
}
