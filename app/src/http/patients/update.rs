//! `PUT /api/patients/{id}`

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;

use super::representation::{PatientInput, PatientOutput, versions_in};
use crate::db;
use crate::db::patient::Updated;
use crate::domain::PatientId;
use crate::http::AppState;
use crate::http::error::{ApiError, Problem, ProblemCode};
use crate::http::extract::{AuthorisedBody, RecordId};
use crate::http::problems::{Always, ForCallers, OnOne, WithBody};
use crate::policy::{Patients, Update};

/// Replace a patient's record.
///
/// `If-Match` names the version that the change is based on, so that nobody overwrites what they have not seen. A field
/// that the caller's role may not change has to be as it was; one that the role may not see is left out.
#[utoipa::path(
    put,
    path = "/api/patients/{id}",
    tag = "patients",
    operation_id = "updatePatient",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "Identity of the patient."),
        ("If-Match" = String, Header, description = "The ETag of the version that was read.", example = "\"1\""),
    ),
    request_body = PatientInput,
    responses(
        (status = 200, description = "Replaced.", body = PatientOutput,
         headers(("ETag" = String, description = "The new version, for If-Match."))),
        (status = 409, description = "Another patient has this record number.",
         body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "The record was changed in the meantime.",
         body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing.",
         body = Problem, content_type = "application/problem+json"),
        ForCallers,
        OnOne,
        WithBody,
        Always,
    ),
)]
pub async fn update(
    State(state): State<AppState>,
    RecordId(id): RecordId,
    headers: HeaderMap,
    AuthorisedBody {
        mut access,
        body: record,
    }: AuthorisedBody<Update<Patients>, PatientInput>,
) -> Result<impl IntoResponse, ApiError> {
    access.caller.concerns(id);
    let Some(if_match) = headers.get(header::IF_MATCH) else {
        return access
            .conclude(Err(ProblemCode::PreconditionRequired.into()))
            .await;
    };
    let versions = versions_in(if_match.to_str().unwrap_or_default());
    let updated = db::patient::replace(
        &mut access.caller,
        &state.vault,
        PatientId(id),
        versions.as_deref(),
        record,
    )
    .await;
    let answer = match updated {
        Ok(Updated::Done(patient)) => Ok(PatientOutput::from(*patient)),
        Ok(Updated::Forbidden(fields)) => Err(ApiError::forbidden_fields(&fields)),
        Ok(Updated::Stale) => Err(ProblemCode::PreconditionFailed.into()),
        Ok(Updated::NotFound) => Err(ProblemCode::NotFound.into()),
        Err(error) => Err(error.into()),
    };
    access.conclude(answer).await
}
