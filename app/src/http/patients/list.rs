//! `GET /api/patients`

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::representation::PatientOutput;
use crate::db;
use crate::domain::PatientId;
use crate::http::AppState;
use crate::http::error::{ApiError, Problem};
use crate::http::extract::Authorised;
use crate::http::page::{Page, PageQuery};
use crate::http::problems::{Always, ForCallers};
use crate::policy::{List, Patients};

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

/// List the patients whom the caller may see.
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
    let page = Page::check(query)?;
    let after = page.after.map(PatientId);
    let found = db::patient::list(&mut access.caller, &state.vault, after, page.wanted()).await;
    let answer = found.map_err(ApiError::from).map(|mut patients| {
        let next = page.cut(&mut patients, |patient| patient.id.0);
        for patient in &patients {
            access.caller.shows(patient);
        }
        let items = patients.into_iter().map(PatientOutput::from).collect();
        Json(PatientPage { items, next })
    });
    access.conclude(answer).await
}
