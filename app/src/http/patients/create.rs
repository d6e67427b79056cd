//! `POST /api/patients`

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::representation::{PatientInput, PatientOutput};
use crate::audit::RequestOrigin;
use crate::db;
use crate::db::idempotency::{self, Claim};
use crate::domain::{Bearer, Patient, PatientId};
use crate::http::AppState;
use crate::http::error::{ApiError, Problem, ProblemCode};
use crate::http::extract::{Authorised, AuthorisedBody};
use crate::http::idempotency::IdempotencyKey;
use crate::http::problems::{Always, ForCallers, WithBody};
use crate::policy::{Create, Patients, Read};

/// Admit a patient.
///
/// The new patient is in the caller's care. With an `Idempotency-Key`, the same request within 24 hours admits nobody
/// again: it is answered with the patient as they are now.
#[utoipa::path(
    post,
    path = "/api/patients",
    tag = "patients",
    operation_id = "createPatient",
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header,
            description = "Names this creation, so that it can be asked for again; good for 24 hours.",
            example = "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"")),
    request_body = PatientInput,
    responses(
        (status = 201, description = "Admitted.", body = PatientOutput,
         headers(("ETag" = String, description = "The version, for If-Match."),
                 ("Location" = String, description = "Path of the patient."))),
        (status = 409, description = "Another patient has this record number, or a request with this Idempotency-Key is \
                                      being answered.",
         body = Problem, content_type = "application/problem+json"),
        ForCallers,
        WithBody,
        Always,
    ),
)]
pub async fn create(
    State(state): State<AppState>,
    key: IdempotencyKey,
    AuthorisedBody {
        mut access,
        body: record,
    }: AuthorisedBody<Create<Patients>, PatientInput>,
) -> Result<Response, ApiError> {
    let id = PatientId(Uuid::now_v7());
    if let Some(key) = key.check()? {
        let body = record.canonical();
        match idempotency::claim(&mut access.caller, &state.vault, &key, &body, id.0).await {
            Ok(Claim::New) => {}
            Ok(Claim::Repeated(created)) => {
                let (bearer, origin) = access.caller.abandon().await?;
                return repeat(&state, bearer, origin, PatientId(created)).await;
            }
            Ok(Claim::Different) => return refuse(access, ProblemCode::IdempotencyKeyReused.into()).await,
            Ok(Claim::InProgress) => return refuse(access, ProblemCode::RequestInProgress.into()).await,
            Err(error) => return refuse(access, error.into()).await,
        }
    }
    access.caller.concerns(id.0);
    let created = db::patient::create(&mut access.caller, &state.vault, id, record).await;
    let answer = created.map_err(ApiError::from).map(admitted);
    Ok(access.conclude(answer).await?.into_response())
}

fn admitted(patient: Patient) -> impl IntoResponse {
    let location = format!("/api/patients/{}", patient.id.0);
    (
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        PatientOutput::from(patient),
    )
}

async fn refuse(access: Authorised<Create<Patients>>, error: ApiError) -> Result<Response, ApiError> {
    let answer: Result<StatusCode, ApiError> = Err(error);
    Ok(access.conclude(answer).await?.into_response())
}

/// Answers a request that was answered before. It is a read, and recorded as one.
async fn repeat(
    state: &AppState,
    bearer: Bearer,
    origin: RequestOrigin,
    id: PatientId,
) -> Result<Response, ApiError> {
    let mut access = Authorised::<Read<Patients>>::begin(state, bearer, origin).await?;
    access.caller.concerns(id.0);
    let found = db::patient::find(&mut access.caller, &state.vault, id).await;
    let answer = found
        .map_err(ApiError::from)
        .and_then(|patient| patient.map(admitted).ok_or_else(|| ProblemCode::NotFound.into()));
    Ok(access.conclude(answer).await?.into_response())
}
