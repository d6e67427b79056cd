//! `GET /api/patients/{id}`

use axum::extract::State;
use axum::response::IntoResponse;

use super::representation::PatientOutput;
use crate::db;
use crate::domain::PatientId;
use crate::http::AppState;
use crate::http::error::{ApiError, ProblemCode};
use crate::http::extract::{Authorised, RecordId};
use crate::http::problems::{Always, ForCallers, OnOne};
use crate::policy::{Patients, Read};

/// Read a patient.
#[utoipa::path(
    get,
    path = "/api/patients/{id}",
    tag = "patients",
    operation_id = "readPatient",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "Identity of the patient.")),
    responses(
        (status = 200, description = "The patient.", body = PatientOutput,
         headers(("ETag" = String, description = "The version, for If-Match."))),
        ForCallers,
        OnOne,
        Always,
    ),
)]
pub async fn read(
    State(state): State<AppState>,
    mut access: Authorised<Read<Patients>>,
    RecordId(id): RecordId,
) -> Result<impl IntoResponse, ApiError> {
    let found = db::patient::find(&mut access.caller, &state.vault, PatientId(id)).await;
    match &found {
        Ok(Some(patient)) => access.caller.shows(patient),
        _ => access.caller.concerns(id),
    }
    let answer = found.map_err(ApiError::from).and_then(|patient| {
        patient
            .map(PatientOutput::from)
            .ok_or_else(|| ProblemCode::NotFound.into())
    });
    access.conclude(answer).await
}
