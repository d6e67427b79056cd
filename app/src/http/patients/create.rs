//! `POST /api/patients`

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use uuid::Uuid;

use super::representation::{PatientInput, PatientOutput};
use crate::db;
use crate::domain::PatientId;
use crate::http::AppState;
use crate::http::error::{ApiError, Problem};
use crate::http::extract::AuthorisedBody;
use crate::http::problems::{Always, ForCallers, WithBody};
use crate::policy::{Create, Patients};

/// Admit a patient.
///
/// The new patient is in the caller's care.
#[utoipa::path(
    post,
    path = "/api/patients",
    tag = "patients",
    operation_id = "createPatient",
    security(("bearer" = [])),
    request_body = PatientInput,
    responses(
        (status = 201, description = "Admitted.", body = PatientOutput,
         headers(("ETag" = String, description = "The version, for If-Match."),
                 ("Location" = String, description = "Path of the patient."))),
        (status = 409, description = "Another patient has this record number.",
         body = Problem, content_type = "application/problem+json"),
        ForCallers,
        WithBody,
        Always,
    ),
)]
pub async fn create(
    State(state): State<AppState>,
    AuthorisedBody {
        mut access,
        body: record,
    }: AuthorisedBody<Create<Patients>, PatientInput>,
) -> Result<impl IntoResponse, ApiError> {
    let id = PatientId(Uuid::now_v7());
    access.caller.concerns(id.0);
    let created = db::patient::create(&mut access.caller, &state.vault, id, record).await;
    let answer = created.map_err(ApiError::from).map(|patient| {
        let location = format!("/api/patients/{}", id.0);
        (
            StatusCode::CREATED,
            [(header::LOCATION, location)],
            PatientOutput::from(patient),
        )
    });
    access.conclude(answer).await
}
