//! `GET /fhir/Patient/{id}`

use axum::extract::State;
use axum::response::IntoResponse;

use super::patient::patient;
use super::representation::Versioned;
use super::responses::{Always, FhirResource, ForCallers, OnOne};
use crate::db;
use crate::domain::PatientId;
use crate::http::AppState;
use crate::http::error::{ApiError, ProblemCode};
use crate::http::extract::{Authorised, RecordId};
use crate::policy::{Patients, Read};

/// Read a patient as FHIR.
#[utoipa::path(
    get,
    path = "/fhir/Patient/{id}",
    tag = "fhir",
    operation_id = "readFhirPatient",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "Identity of the patient.")),
    responses(
        (status = 200, description = "The Patient.", body = FhirResource, content_type = "application/fhir+json",
         headers(("ETag" = String, description = "The version, weak."),
                 ("Last-Modified" = String, description = "Time of the last change."))),
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
    let answer = found.map_err(ApiError::from).and_then(|found| {
        let found = found.ok_or(ProblemCode::NotFound)?;
        Ok(Versioned {
            resource: patient(&found, &super::base(&state)),
            version: found.version,
            last_updated: found.updated_at,
        })
    });
    access.conclude(answer).await
}
