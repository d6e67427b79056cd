//! `GET /readyz`

use axum::extract::State;
use axum::response::Response;

use super::{Health, degraded, unavailable};
use crate::http::AppState;

/// Whether the process should get requests: it is not ending, the database answers, its schema is new enough and was
/// used with the same keys.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    operation_id = "ready",
    responses(
        (status = 200, description = "Send requests.", body = Health),
        (status = 503, description = "Send no requests.", body = Health),
    ),
)]
pub async fn ready(State(state): State<AppState>) -> Response {
    match state.readiness.check().await {
        Ok(()) => degraded(state.readiness.is_audit_degraded().then_some("audit")),
        Err(reason) => unavailable(reason.as_str()),
    }
}
