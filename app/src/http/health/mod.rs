//! Probes. They tell states and no details: anybody who reaches the port can ask.

mod live;
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
}

/// Answer of a probe.
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok` or `unavailable`.
    #[schema(example = "ok", max_length = 16)]
    status: &'static str,
    /// What is missing: `draining`, `database`, `schema` or `keys`.
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
