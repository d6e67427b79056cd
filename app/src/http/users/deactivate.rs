//! `POST /api/users/{id}/deactivation`

use axum::response::IntoResponse;

use crate::db::account;
use crate::domain::UserId;
use crate::http::error::ApiError;
use crate::http::extract::{Authorised, RecordId};
use crate::http::problems::{Always, ForCallers, OnOne};
use crate::policy::{Deactivate, Users};

/// End an account.
///
/// It holds from the user's next request. Nobody ends their own account, so that an administrator stays.
#[utoipa::path(
    post,
    path = "/api/users/{id}/deactivation",
    tag = "users",
    operation_id = "deactivateUser",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "Identity of the user.")),
    responses((status = 204, description = "Ended."), ForCallers, OnOne, Always),
)]
pub async fn deactivate(
    mut access: Authorised<Deactivate<Users>>,
    RecordId(id): RecordId,
) -> Result<impl IntoResponse, ApiError> {
    access.caller.concerns(id);
    let changed = account::deactivate(&mut access.caller, UserId(id)).await;
    access
        .conclude(changed.map_err(ApiError::from).and_then(super::answer))
        .await
}
