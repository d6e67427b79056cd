//! `GET /api/patients`

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::representation::PatientOutput;
use crate::db;
use crate::domain::{Patient, PatientId, Violation};
use crate::http::AppState;
use crate::http::error::{ApiError, FieldFault, Problem};
use crate::http::extract::Authorised;
use crate::http::problems::{Always, ForCallers};
use crate::policy::{List, Patients};

/// Patients on a page when the client does not say.
const DEFAULT_LIMIT: i64 = 25;
/// Most patients on a page.
const LARGEST_LIMIT: i64 = 100;

/// Which page.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Patients on the page; 25 when absent.
    #[param(value_type = Option<i32>, minimum = 1, maximum = 100, example = 25)]
    limit: Option<String>,
    /// `next` of the page before; the first page when absent.
    #[param(min_length = 22, max_length = 22, pattern = "^[A-Za-z0-9_-]{22}$")]
    after: Option<String>,
}

struct Page {
    limit: i64,
    after: Option<PatientId>,
}

impl PageQuery {
    fn check(query: Result<Query<Self>, QueryRejection>) -> Result<Page, ApiError> {
        // The rejection's text repeats what was sent.
        let Query(query) = query.map_err(|_| {
            fault(
                "",
                "unknown_parameter",
                "the query may hold limit and after, each once",
            )
        })?;
        let limit = match query.limit.as_deref() {
            None => DEFAULT_LIMIT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=LARGEST_LIMIT).contains(limit))
                .ok_or_else(|| fault("limit", "out_of_range", "must be a whole number from 1 to 100"))?,
        };
        let after = query
            .after
            .map(|text| decode(&text).ok_or_else(|| fault("after", "malformed", "must be `next` of a page")))
            .transpose()?;
        Ok(Page { limit, after })
    }
}

fn fault(pointer: &str, code: &'static str, detail: &str) -> ApiError {
    ApiError::validation(vec![FieldFault::new(pointer, Violation::new(code, detail))])
}

fn encode(id: PatientId) -> String {
    URL_SAFE_NO_PAD.encode(id.0.as_bytes())
}

fn decode(cursor: &str) -> Option<PatientId> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    Uuid::from_slice(&bytes).ok().map(PatientId)
}

/// A page of patients.
#[derive(Serialize, ToSchema)]
pub struct PatientPage {
    /// The patients, in the order of their admission.
    #[schema(max_items = 100)]
    items: Vec<PatientOutput>,
    /// For `after`, to get the next page; null on the last one.
    #[schema(max_length = 22, required)]
    next: Option<String>,
}

impl PatientPage {
    /// `patients` holds one more than the page when there is a next page.
    fn new(mut patients: Vec<Patient>, limit: usize) -> Self {
        let more = patients.len() > limit;
        patients.truncate(limit);
        let next = patients.last().filter(|_| more).map(|last| encode(last.id));
        Self {
            items: patients.into_iter().map(PatientOutput::from).collect(),
            next,
        }
    }
}

/// List the patients in one's care.
#[utoipa::path(
    get,
    path = "/api/patients",
    tag = "patients",
    operation_id = "listPatients",
    security(("bearer" = [])),
    params(PageQuery),
    responses(
        (status = 200, description = "A page of patients.", body = PatientPage),
        (status = 422, description = "A query parameter is not valid.",
         body = Problem, content_type = "application/problem+json"),
        ForCallers,
        Always,
    ),
)]
pub async fn list(
    State(state): State<AppState>,
    mut access: Authorised<List<Patients>>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let page = PageQuery::check(query)?;
    let found = db::patient::list(&mut access.caller, &state.vault, page.after, page.limit + 1).await;
    let shown = usize::try_from(page.limit).unwrap_or_default();
    if let Ok(patients) = &found {
        for patient in patients.iter().take(shown) {
            access.caller.concerns(patient.id.0);
        }
    }
    let answer = found
        .map_err(ApiError::from)
        .map(|patients| Json(PatientPage::new(patients, shown)));
    access.conclude(answer).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_the_id_it_was_made_of_and_nothing_else_is_one() {
        let id = PatientId(Uuid::from_u128(42));
        assert_eq!(decode(&encode(id)), Some(id));
        for text in ["", "42", "AAAA", &"A".repeat(23)] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
