//! `GET /api/patients/{id}/care-team`

use axum::Json;
use axum::response::IntoResponse;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::care_team::{self, Caregiver};
use crate::domain::{PatientId, Role};
use crate::http::error::{ApiError, ProblemCode};
use crate::http::extract::{Authorised, RecordId};
use crate::http::problems::{Always, ForCallers, OnOne};
use crate::policy::{CareTeams, List};

/// Somebody who cares for the patient.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaregiverOutput {
    /// Identity.
    user_id: Uuid,
    /// Name for display.
    #[schema(max_length = 100)]
    display_name: String,
    /// Role.
    #[schema(required)]
    role: Option<Role>,
    /// Since when.
    #[schema(value_type = String, format = DateTime, max_length = 35)]
    since: Timestamp,
}

impl From<Caregiver> for CaregiverOutput {
    fn from(caregiver: Caregiver) -> Self {
        Self {
            user_id: caregiver.user.0,
            display_name: caregiver.display_name,
            role: caregiver.role,
            since: caregiver.since,
        }
    }
}

/// A care team.
#[derive(Serialize, ToSchema)]
pub struct CareTeam {
    /// Its members, longest first.
    #[schema(max_items = 10_000)]
    items: Vec<CaregiverOutput>,
}

/// List who cares for a patient in one's care.
#[utoipa::path(
    get,
    path = "/api/patients/{id}/care-team",
    tag = "care team",
    operation_id = "listCareTeam",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "Identity of the patient.")),
    responses(
        (status = 200, description = "The care team.", body = CareTeam),
        ForCallers,
        OnOne,
        Always,
    ),
)]
pub async fn list(
    mut access: Authorised<List<CareTeams>>,
    RecordId(id): RecordId,
) -> Result<impl IntoResponse, ApiError> {
    access.caller.concerns(id);
    let found = care_team::list(&mut access.caller, PatientId(id)).await;
    let answer = found.map_err(ApiError::from).and_then(|team| {
        // Who may see a team is in it.
        if team.is_empty() {
            return Err(ProblemCode::NotFound.into());
        }
        let items = team.into_iter().map(CaregiverOutput::from).collect();
        Ok(Json(CareTeam { items }))
    });
    access.conclude(answer).await
}
