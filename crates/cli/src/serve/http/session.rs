//! `/session/{id}`: a session that runs (RFC 9725 sections 4.2 and 4.3).

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use taut::PeerConnection;

use super::precondition::{self, IfMatch};
use super::{FRAGMENT, SDP, problem, recording, text};
use crate::serve::fragments::{self, Taken};
use crate::serve::session;
use crate::serve::sessions::{SessionId, Sessions};
use crate::serve::stats;

/// The media types that may be patched (RFC 5789 section 3.1).
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// Those of a session.
const PATCHES: &str = "application/trickle-ice-sdpfrag, application/sdp";

/// The routes of a session.
pub(super) fn routes() -> Router<Sessions> {
    Router::new()
        .route("/session/{id}", patch(change).delete(end).options(options))
        .route("/session/{id}/stats", get(statistics))
        .merge(recording::routes())
}

/// `PATCH`: a fragment with candidates, or the answer to our offer.
async fn change(
    State(sessions): State<Sessions>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Some(pc) = find(&sessions, &id) else { return unknown() };
    let result = match super::media_type(&headers).as_deref() {
        Some(FRAGMENT) => trickle(&pc, &headers, body).await,
        Some(SDP) => answer(&pc, &headers, body).await,
        _ => {
            let reason = "a session takes application/trickle-ice-sdpfrag and application/sdp";
            let refused = problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason);
            return ([(ACCEPT_PATCH, PATCHES)], refused).into_response();
        }
    };
    result.unwrap_or_else(|refused| *refused)
}

/// Candidates of the client, for the ICE session that its `If-Match` names, or a restart of it.
async fn trickle(
    pc: &PeerConnection,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Box<Response>> {
    require_match(pc, headers)?;
    let fragment = text(body)?;
    match fragments::take(pc, &fragment).await.map_err(|refusal| Box::new(refusal.into_response()))? {
        Taken::Trickled => Ok(StatusCode::NO_CONTENT.into_response()),
        Taken::Restarted(fragment) => {
            let tag = precondition::entity_tag(&session::ice_session(pc));
            let headers = [(CONTENT_TYPE, FRAGMENT.to_owned()), (ETAG, tag)];
            Ok((headers, fragment.to_string()).into_response())
        }
    }
}

/// The answer to our offer. There is but one, so that no precondition is needed; one that is given must hold.
async fn answer(
    pc: &PeerConnection,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Box<Response>> {
    if IfMatch::of(headers) != IfMatch::Missing {
        require_match(pc, headers)?;
    }
    let answer = text(body)?;
    session::set_answer(pc, &answer).await.map_err(|refusal| Box::new(refusal.into_response()))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn require_match(pc: &PeerConnection, headers: &HeaderMap) -> Result<(), Box<Response>> {
    let (status, reason) = match IfMatch::of(headers) {
        IfMatch::Missing => {
            (StatusCode::PRECONDITION_REQUIRED, "If-Match is missing: send the ETag of the session with it")
        }
        if_match if if_match.holds(&precondition::entity_tag(&session::ice_session(pc))) => return Ok(()),
        _ => (StatusCode::PRECONDITION_FAILED, "If-Match is not the ETag of the ICE session that runs"),
    };
    Err(Box::new(problem(status, reason)))
}

/// `DELETE`
async fn end(State(sessions): State<Sessions>, Path(id): Path<String>) -> Response {
    match id.parse().ok().and_then(|id| sessions.remove(id)) {
        Some(pc) => {
            pc.close().await;
            StatusCode::OK.into_response()
        }
        None => unknown(),
    }
}

/// `OPTIONS`: what is accepted, of any session: a browser that asks must not fail before its real request does.
async fn options() -> impl IntoResponse {
    [(ALLOW, "DELETE, OPTIONS, PATCH"), (ACCEPT_PATCH, PATCHES)]
}

/// `GET` on `/stats`
async fn statistics(State(sessions): State<Sessions>, Path(id): Path<String>) -> Response {
    let Some(pc) = find(&sessions, &id) else { return unknown() };
    let body = stats::to_json(&pc.stats().await, sessions.settings().configuration.dtls_engine);
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body).into_response()
}

pub(super) fn find(sessions: &Sessions, id: &str) -> Option<PeerConnection> {
    sessions.get(id.parse::<SessionId>().ok()?)
}

pub(super) fn unknown() -> Response {
    problem(StatusCode::NOT_FOUND, "there is no such session; it may have ended")
}
