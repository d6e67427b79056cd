//! `POST /api/patients/search`

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::representation::PatientOutput;
use crate::db;
use crate::domain::RecordNumber;
use crate::http::AppState;
use crate::http::body::{Checked, Faults};
use crate::http::error::{ApiError, FieldFault};
use crate::http::extract::AuthorisedBody;
use crate::http::problems::{Always, ForCallers, WithBody};
use crate::policy::{Patients, Search};

// In the body and not in the URL: URLs end up in logs of proxies and histories of browsers (ASVS 14.2.1).

/// What to look for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PatientSearch {
    /// The institution's number, whole; case does not matter.
    #[schema(
        required,
        nullable = false,
        min_length = 1,
        max_length = 64,
        pattern = "^[A-Za-z0-9][A-Za-z0-9\\-/._]*$",
        example = "MRN-000001"
    )]
    record_number: Option<String>,
}

impl Checked for PatientSearch {
    type Valid = RecordNumber;
    const MEMBERS: &'static [&'static str] = &["recordNumber"];

    fn check(self) -> Result<RecordNumber, Vec<FieldFault>> {
        let mut faults = Faults::default();
        let number = faults.required("recordNumber", self.record_number.as_deref(), RecordNumber::parse);
        faults.finish(number)
    }
}

/// What was found.
#[derive(Serialize, ToSchema)]
pub struct SearchResult {
    /// The patients in the caller's care who have the number: one or none.
    #[schema(max_items = 1)]
    items: Vec<PatientOutput>,
}

/// Find a patient by record number.
#[utoipa::path(
    post,
    path = "/api/patients/search",
    tag = "patients",
    operation_id = "searchPatients",
    security(("bearer" = [])),
    request_body = PatientSearch,
    responses(
        (status = 200, description = "What was found.", body = SearchResult),
        ForCallers,
        WithBody,
        Always,
    ),
)]
pub async fn search(
    State(state): State<AppState>,
    AuthorisedBody {
        mut access,
        body: number,
    }: AuthorisedBody<Search<Patients>, PatientSearch>,
) -> Result<impl IntoResponse, ApiError> {
    let found = db::patient::find_by_record_number(&mut access.caller, &state.vault, &number).await;
    if let Ok(Some(patient)) = &found {
        access.caller.shows(patient);
    }
    let answer = found.map_err(ApiError::from).map(|patient| {
        Json(SearchResult {
            items: patient.into_iter().map(PatientOutput::from).collect(),
        })
    });
    access.conclude(answer).await
}
