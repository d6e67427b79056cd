//! `GET /startupz`

use axum::response::Response;

use super::{Health, ok};

/// Whether the process has started: configuration, keys and certificate are loaded before the port opens. A database
/// that is late is for `/readyz`; restarting would not bring it.
#[utoipa::path(
    get,
    path = "/startupz",
    tag = "health",
    operation_id = "startup",
    responses((status = 200, description = "The process has started.", body = Health)),
)]
pub async fn startup() -> Response {
    ok()
}
