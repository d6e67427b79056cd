//! `POST /api/patients/{id}/emergency-access`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::emergency_access;
use crate::domain::{EmergencyAccessId, EmergencyMinutes, EmergencyReason, PatientId};
use crate::http::AppState;
use crate::http::body::{Checked, Faults};
use crate::http::error::{ApiError, FieldFault, ProblemCode};
use crate::http::extract::{AuthorisedBody, RecordId};
use crate::http::problems::{Always, ForCallers, OnOne, WithBody};
use crate::policy::{BreakGlass, EmergencyAccesses};

/// Why, and for how long. There is no Debug: the reason may say something about the patient.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmergencyAccessInput {
    /// What makes it an emergency, for the one who reviews it.
    #[schema(
        required,
        nullable = false,
        min_length = 20,
        max_length = 1000,
        example = "Unconscious in the emergency room, allergies unknown."
    )]
    reason: Option<String>,
    /// Minutes for which the access holds; 15 when absent.
    #[schema(minimum = 1, maximum = 60, example = 15)]
    minutes: Option<i64>,
}

impl Checked for EmergencyAccessInput {
    type Valid = (EmergencyReason, EmergencyMinutes);
    const MEMBERS: &'static [&'static str] = &["reason", "minutes"];

    fn check(self) -> Result<Self::Valid, Vec<FieldFault>> {
        let mut faults = Faults::default();
        let reason = faults.required("reason", self.reason.as_deref(), EmergencyReason::parse);
        let minutes = faults.taken("minutes", EmergencyMinutes::new(self.minutes));
        faults.finish(reason.zip(minutes))
    }
}

/// An emergency access.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmergencyAccessOutput {
    /// Identity.
    id: Uuid,
    /// When it ends by itself.
    #[schema(value_type = String, format = DateTime, max_length = 35)]
    expires_at: Timestamp,
}

/// Reach a patient who is not in one's care, in an emergency.
///
/// For at most an hour the patient can be read, listed and found. Every such access is recorded as one, and somebody else
/// reviews the reason afterwards.
#[utoipa::path(
    post,
    path = "/api/patients/{id}/emergency-access",
    tag = "emergency access",
    operation_id = "breakGlass",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "Identity of the patient.")),
    request_body = EmergencyAccessInput,
    responses(
        (status = 201, description = "The patient can be read.", body = EmergencyAccessOutput),
        ForCallers,
        OnOne,
        WithBody,
        Always,
    ),
)]
pub async fn grant(
    State(state): State<AppState>,
    RecordId(patient): RecordId,
    AuthorisedBody {
        mut access,
        body: (reason, minutes),
    }: AuthorisedBody<BreakGlass<EmergencyAccesses>, EmergencyAccessInput>,
) -> Result<impl IntoResponse, ApiError> {
    let id = EmergencyAccessId(Uuid::now_v7());
    let user = access.caller.user();
    access.caller.concerns(patient);
    access.caller.concerns(id.0);
    let granted = emergency_access::grant(
        &mut access.caller,
        &state.vault,
        id,
        PatientId(patient),
        &reason,
        minutes,
    )
    .await;
    let answer = granted.map_err(ApiError::from).and_then(|granted| {
        let expires_at = granted.ok_or(ProblemCode::NotFound)?;
        Ok((
            StatusCode::CREATED,
            Json(EmergencyAccessOutput { id: id.0, expires_at }),
        ))
    });
    let recorded = access.conclude(answer).await?;
    state.metrics.emergency_accesses.inc();
    tracing::warn!(user = %user.0, patient = %patient, access = %id.0, "emergency access to a patient");
    Ok(recorded)
}
