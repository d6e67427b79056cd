//! `GET /health`, `/api/health` and `/api/health/db`: the names under which monitors ask that know no other (C-23).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::AppState;
use crate::readiness::NotReady;

/// Health as monitors read it.
#[derive(Serialize, ToSchema)]
pub struct HealthOverview {
    /// `healthy` or `unhealthy`.
    #[schema(example = "healthy", max_length = 16)]
    status: &'static str,
    /// `connected` or `disconnected`.
    #[schema(example = "connected", max_length = 16)]
    database: &'static str,
    /// When this was written.
    #[schema(value_type = String, format = DateTime, max_length = 35)]
    timestamp: Timestamp,
}

async fn overview(state: &AppState) -> Response {
    let ready = state.readiness.check().await;
    let connected = !matches!(ready, Err(NotReady::Database));
    let status = if ready.is_ok() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = HealthOverview {
        status: if ready.is_ok() { "healthy" } else { "unhealthy" },
        database: if connected { "connected" } else { "disconnected" },
        timestamp: Timestamp::now(),
    };
    (status, Json(body)).into_response()
}

macro_rules! overviews {
    ($($name:ident = $path:literal, $operation:literal;)*) => {
        $(
            /// The same as `/readyz`, for monitors that know this name.
            #[utoipa::path(
                get,
                path = $path,
                tag = "health",
                operation_id = $operation,
                responses(
                    (status = 200, description = "Healthy.", body = HealthOverview),
                    (status = 503, description = "Not healthy.", body = HealthOverview),
                ),
            )]
            pub async fn $name(State(state): State<AppState>) -> Response {
                overview(&state).await
            }
        )*
    };
}

overviews! {
    health = "/health", "health";
    api_health = "/api/health", "apiHealth";
    database_health = "/api/health/db", "databaseHealth";
}
