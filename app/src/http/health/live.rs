//! `GET /livez`

use axum::response::Response;

use super::{Health, ok};

/// Whether the process works; says nothing about the database, which a restart would not heal.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "health",
    operation_id = "live",
    responses((status = 200, description = "The process works.", body = Health)),
)]
pub async fn live() -> Response {
    ok()
}
