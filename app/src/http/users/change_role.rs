//! `PUT /api/users/{id}/role`

use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::db::account;
use crate::domain::{Role, UserId, Violation};
use crate::http::body::{Checked, Faults};
use crate::http::error::{ApiError, FieldFault};
use crate::http::extract::{AuthorisedBody, RecordId};
use crate::http::problems::{Always, ForCallers, OnOne, WithBody};
use crate::policy::{Update, Users};

/// A role.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleInput {
    /// Any role but patient.
    #[schema(required, nullable = false, value_type = Role)]
    role: Option<String>,
}

impl Checked for RoleInput {
    type Valid = Role;
    const MEMBERS: &'static [&'static str] = &["role"];

    fn check(self) -> Result<Role, Vec<FieldFault>> {
        let mut faults = Faults::default();
        let role = faults.required("role", self.role.as_deref(), |name| {
            Role::parse(name)
                .filter(|role| *role != Role::Patient)
                .ok_or_else(|| Violation::new("not_known", "must be a role of staff"))
        });
        faults.finish(role)
    }
}

/// Change the role of a member of staff.
///
/// It holds from the user's next request. Nobody changes their own role.
#[utoipa::path(
    put,
    path = "/api/users/{id}/role",
    tag = "users",
    operation_id = "changeRole",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "Identity of the user.")),
    request_body = RoleInput,
    responses((status = 204, description = "Changed."), ForCallers, OnOne, WithBody, Always),
)]
pub async fn change_role(
    RecordId(id): RecordId,
    AuthorisedBody {
        mut access,
        body: role,
    }: AuthorisedBody<Update<Users>, RoleInput>,
) -> Result<impl IntoResponse, ApiError> {
    access.caller.concerns(id);
    let changed = account::change_role(&mut access.caller, UserId(id), role).await;
    access
        .conclude(changed.map_err(ApiError::from).and_then(super::answer))
        .await
}
