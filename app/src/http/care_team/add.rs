//! `PUT /api/patients/{id}/care-team/{member}`

use axum::response::IntoResponse;

use super::Membership;
use crate::db::care_team;
use crate::domain::{PatientId, UserId};
use crate::http::error::ApiError;
use crate::http::extract::Authorised;
use crate::http::problems::{Always, ForCallers, OnOne};
use crate::policy::{CareTeams, Create};

/// Bring a doctor, nurse or radiologist into the care team of a patient in one's care.
#[utoipa::path(
    put,
    path = "/api/patients/{id}/care-team/{member}",
    tag = "care team",
    operation_id = "addToCareTeam",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "Identity of the patient."),
        ("member" = Uuid, Path, description = "Identity of the member of staff."),
    ),
    responses((status = 204, description = "In the team."), ForCallers, OnOne, Always),
)]
pub async fn add(
    mut access: Authorised<Create<CareTeams>>,
    Membership { patient, member }: Membership,
) -> Result<impl IntoResponse, ApiError> {
    access.caller.concerns(patient);
    access.caller.concerns(member);
    let added = care_team::add(&mut access.caller, PatientId(patient), UserId(member)).await;
    access
        .conclude(added.map_err(ApiError::from).and_then(super::answer))
        .await
}
