//! `/echo` and `/clip`: where sessions begin (RFC 9725 section 4.2).

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::{ALLOW, CONTENT_TYPE, ETAG, LINK, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{MethodRouter, post};

use super::{SDP, problem, text};
use crate::serve::session::{self, Refusal, Service};
use crate::serve::sessions::Sessions;

/// The media types that may be posted.
pub(super) const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// The routes of the endpoints.
pub(super) fn routes() -> Router<Sessions> {
    Router::new().route("/echo", endpoint(Service::Echo)).route("/clip", endpoint(Service::Clip))
}

fn endpoint(service: Service) -> MethodRouter<Sessions> {
    post(move |State(sessions): State<Sessions>, headers: HeaderMap, body| async move {
        open(&sessions, service, &headers, body).await.unwrap_or_else(|refused| *refused)
    })
    .options(options)
}

/// Begins a session: with the client's offer, or without one, with ours.
async fn open(
    sessions: &Sessions,
    service: Service,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Box<Response>> {
    let body = text(body)?;
    match super::media_type(headers).as_deref() {
        Some(SDP) => {}
        None if body.is_empty() => {}
        _ => {
            let reason = "the offer must come with Content-Type: application/sdp";
            return Err(Box::new(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason)));
        }
    }
    let opened = match body.as_str() {
        "" => session::offer(sessions, service).await,
        offer => session::answer(sessions, service, offer).await,
    };
    let opened = opened.map_err(|refusal: Refusal| Box::new(refusal.into_response()))?;
    let headers = [
        (CONTENT_TYPE, SDP.to_owned()),
        (LOCATION, format!("/session/{}", opened.id)),
        (ETAG, super::precondition::entity_tag(&opened.ice_session)),
    ];
    Ok((StatusCode::CREATED, headers, AppendHeaders(links(sessions)), opened.sdp).into_response())
}

/// `OPTIONS`: what is accepted. The servers come here too, for clients that have to know them before their offer.
async fn options(State(sessions): State<Sessions>) -> impl IntoResponse {
    ([(ALLOW, "OPTIONS, POST"), (ACCEPT_POST, SDP)], AppendHeaders(links(&sessions)))
}

/// A link to every ICE server (RFC 9725 section 4.6).
fn links(sessions: &Sessions) -> Vec<(HeaderName, HeaderValue)> {
    let servers = sessions.settings().ice_servers.iter();
    servers.filter_map(|server| Some((LINK, server.link().parse().ok()?))).collect()
}
