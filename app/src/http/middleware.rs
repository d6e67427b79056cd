//! What happens around every request: its id, its span, its metrics, its time limit, the headers of its answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;
use uuid::Uuid;

use super::client_address::client_address;
use super::client_certificate::VerifiedClient;
use super::error::ApiError;
use super::health::is_probe;
use super::state::AppState;
use super::trace_context::trace_id;
use crate::audit::RequestOrigin;

/// Header of the request's id, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest time for one request (C-11).
const DEADLINE: Duration = Duration::from_secs(30);

tokio::task_local! {
    static CURRENT_REQUEST: Uuid;
}

/// Id of the request that this task answers; nil outside of one.
pub fn current_request_id() -> Uuid {
    CURRENT_REQUEST.try_with(|id| *id).unwrap_or(Uuid::nil())
}

/// The outermost layer. It logs the route's template, never the path, the query or a header.
pub async fn observe(
    State(state): State<AppState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let request_id = request_id(request.headers());
    let method = method_label(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("unmatched", MatchedPath::as_str);
    let client_address = Some(client_address(peer.ip(), request.headers(), &state.proxies));
    request.extensions_mut().insert(RequestOrigin {
        request_id,
        client_address,
        session: None,
    });
    let trace_id = trace_id(request.headers(), request_id);
    let client = request.extensions().get::<VerifiedClient>().cloned();
    let client = client.as_ref().map(VerifiedClient::as_str);
    let span = tracing::info_span!("request", %request_id, trace_id, method, route, client);
    let version = request.version();
    let in_flight = InFlight::enter(&state);
    let mut response = CURRENT_REQUEST
        .scope(request_id, within_deadline(request, next))
        .instrument(span.clone())
        .await;
    drop(in_flight);

    let elapsed = started.elapsed();
    let status = response.status();
    state
        .metrics
        .requests
        .with_label_values(&[method, route, status.as_str()])
        .inc();
    state
        .metrics
        .duration
        .with_label_values(&[method, route])
        .observe(elapsed.as_secs_f64());
    if !(is_probe(route) && status.is_success()) {
        let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        span.in_scope(|| tracing::info!(status = status.as_u16(), duration_ms, "request"));
    }
    set_headers(response.headers_mut(), request_id);
    // A client that keeps its connection would otherwise be surprised by its end; HTTP/2 has a message for that.
    if version <= Version::HTTP_11 && state.readiness.is_draining() {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn within_deadline(request: Request, next: Next) -> Response {
    tokio::time::timeout(DEADLINE, next.run(request))
        .await
        .unwrap_or_else(|_| ApiError::unavailable().into_response())
}

/// Counts down when the request ends in any way, a lost connection included.
struct InFlight(prometheus::IntGauge);

impl InFlight {
    fn enter(state: &AppState) -> Self {
        state.metrics.in_flight.inc();
        Self(state.metrics.in_flight.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The caller's own id when it is a UUID, so that nothing else can be smuggled into logs; otherwise a new one.
fn request_id(headers: &HeaderMap) -> Uuid {
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|value| value.len() == 36)
        .and_then(|value| Uuid::try_parse(value).ok())
        .filter(|id| !id.is_nil())
        .unwrap_or_else(Uuid::now_v7)
}

/// A label from a fixed set: methods are the client's choice, too.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Headers of every answer (requirements section 6; ASVS 3.4, 14.3.2).
const HEADERS: [(HeaderName, &str); 10] = [
    (
        header::STRICT_TRANSPORT_SECURITY,
        "max-age=31536000; includeSubDomains",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), payment=(), geolocation=(), usb=()",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (header::X_XSS_PROTECTION, "0"),
    (header::CACHE_CONTROL, "no-store"),
];

fn set_headers(headers: &mut HeaderMap, request_id: Uuid) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_uuid_is_taken_as_a_request_id() {
        let given = "018f3a52-4b1c-7c3e-9f00-1234567890ab";
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(value).unwrap());
            request_id(&headers).to_string()
        };
        assert_eq!(with(given), given);
        for other in [
            "Ada Lovelace",
            "",
            "00000000-0000-0000-0000-000000000000",
            "018f3a524b1c7c3e9f001234567890ab",
        ] {
            assert_ne!(with(other), other);
        }
    }
}
