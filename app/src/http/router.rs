//! All routes, and the layers around them.

use axum::Router;
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use tower_http::csrf::{CsrfLayer, ProtectionError};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::error::{ApiError, ProblemCode};
use super::openapi::Frame;
use super::state::AppState;
use super::{
    audit_events, auth, care_team, emergency_access, fhir, health, idempotency, metrics, middleware,
    patients, rate_limit, retry, trace_context, users,
};
use crate::config::Origin;

/// How long a browser may remember the answer to a preflight request (C-09).
const PREFLIGHT_SECONDS: u64 = 3600;

/// The routes with their descriptions; a resource adds one line.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Frame::openapi())
        .merge(health::routes())
        .merge(auth::routes())
        .merge(patients::routes())
        .merge(care_team::routes())
        .merge(emergency_access::routes())
        .merge(users::routes())
        .merge(audit_events::routes())
        .merge(fhir::routes())
}

/// The API, ready to serve.
pub fn api(state: AppState, own: &Origin, origins: &[Origin]) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(async || ApiError::from(ProblemCode::NotFound))
        .method_not_allowed_fallback(async || ApiError::from(ProblemCode::MethodNotAllowed))
        .layer(from_fn_with_state(state.clone(), retry::retry_reads))
        .layer(from_fn_with_state(state.clone(), rate_limit::limit))
        .layer(cross_site(&state, own, origins))
        .layer(cors(origins))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state.clone(), middleware::observe))
        .layer(from_fn(fhir::problems_as_outcomes))
        .with_state(state)
}

/// Refuses requests that another site made a browser send and that may change something. Fetch metadata tell them apart
/// (ASVS 3.5.1, 3.5.8); programs that are no browsers send none, and have no cookies to be abused.
fn cross_site(
    state: &AppState,
    own: &Origin,
    origins: &[Origin],
) -> CsrfLayer<impl Fn(ProtectionError) -> Response + Clone + use<>> {
    let mut layer = CsrfLayer::new();
    for origin in origins.iter().chain([own]) {
        // Origins are checked when they are read; one that is refused here is simply not trusted.
        layer = layer.clone().add_trusted_origin(origin.as_str()).unwrap_or(layer);
    }
    let state = state.clone();
    layer.with_rejection_response(move |_| {
        state.metrics.cross_site.inc();
        ApiError::from(ProblemCode::CrossSiteRequest).into_response()
    })
}

/// The listener for metrics, and for nothing else.
pub fn metrics_only(state: AppState) -> Router {
    Router::new()
        .route("/metrics", get(metrics::metrics))
        .with_state(state)
}

/// The panic's message goes nowhere: it may hold anything. Its place is logged by the hook of `telemetry`.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    ApiError::from(ProblemCode::Internal).into_response()
}

fn cors(origins: &[Origin]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok())
        .collect();
    if origins.is_empty() {
        return CorsLayer::new();
    }
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            idempotency::IDEMPOTENCY_KEY,
            trace_context::TRACEPARENT,
            middleware::REQUEST_ID,
        ])
        .expose_headers([
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            rate_limit::RATE_LIMIT,
            rate_limit::RATE_LIMIT_POLICY,
            middleware::REQUEST_ID,
        ])
        .max_age(std::time::Duration::from_secs(PREFLIGHT_SECONDS))
}
