//! Probes. They tell states and no details: anybody who reaches the port can ask.

mod live;
mod overview;
mod ready;
mod startup;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::AppState;

/// The routes of this folder.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(live::live))
        .routes(routes!(ready::ready))
        .routes(routes!(startup::startup))
        .routes(routes!(overview::health))
        .routes(routes!(overview::api_health))
        .routes(routes!(overview::database_health))
}

/// Whether a route is a probe: answered whatever the load, and logged only when it fails.
pub fn is_probe(route: &str) -> bool {
    matches!(
        route,
        "/livez" | "/readyz" | "/startupz" | "/health" | "/api/health" | "/api/health/db"
    )
}

/// Answer of a probe.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok` or `unavailable`.
    #[schema(example = "ok", max_length = 16)]
    status: &'static str,
    /// What is missing: `draining`, `database`, `schema`, `keys` or `audit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 16)]
    missing: Option<&'static str>,
    /// What is late while requests are answered: `audit`, when the audit log is not being sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 16)]
    degraded: Option<&'static str>,
}

fn ok() -> Response {
    degraded(None)
}

fn degraded(degraded: Option<&'static str>) -> Response {
    Json(Health {
        status: "ok",
        missing: None,
        degraded,
    })
    .into_response()
}

fn unavailable(missing: &'static str) -> Response {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        Json(Health {
            status: "unavailable",
            missing: Some(missing),
            degraded: None,
        }),
    )
        .into_response()
}
