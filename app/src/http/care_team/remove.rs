//! `DELETE /api/patients/{id}/care-team/{member}`

use axum::response::IntoResponse;

use super::Membership;
use crate::db::care_team;
use crate::domain::{PatientId, UserId};
use crate::http::error::ApiError;
use crate::http::extract::Authorised;
use crate::http::problems::{Always, ForCallers, OnOne};
use crate::policy::{CareTeams, Delete};

/// Take another member out of the care team of a patient in one's care.
///
/// Nobody takes themselves out: another doctor of the team does it, so that a patient is not left without care.
#[utoipa::path(
    delete,
    path = "/api/patients/{id}/care-team/{member}",
    tag = "care team",
    operation_id = "removeFromCareTeam",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "Identity of the patient."),
        ("member" = Uuid, Path, description = "Identity of the member of staff."),
    ),
    responses((status = 204, description = "Not in the team any more."), ForCallers, OnOne, Always),
)]
pub async fn remove(
    mut access: Authorised<Delete<CareTeams>>,
    Membership { patient, member }: Membership,
) -> Result<impl IntoResponse, ApiError> {
    access.caller.concerns(patient);
    access.caller.concerns(member);
    let removed = care_team::remove(&mut access.caller, PatientId(patient), UserId(member)).await;
    access
        .conclude(removed.map_err(ApiError::from).and_then(super::answer))
        .await
}
