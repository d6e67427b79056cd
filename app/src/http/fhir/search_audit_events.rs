//! `GET /fhir/AuditEvent`

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::IntoResponse;
use utoipa::IntoParams;
use uuid::Uuid;

use super::audit_event::audit_event;
use super::bundle::Searchset;
use super::parameters::{COUNT, CURSOR, Used, fault};
use super::representation::FhirJson;
use super::responses::{Always, FhirResource, ForCallers, OnSearch};
use crate::audit::Row;
use crate::db::audit_log;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::extract::Authorised;
use crate::policy::{AuditEvents, List};

/// Which page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what is read by name")]
pub struct AuditEventQuery {
    /// Entries on the page; at most 100, 25 when absent.
    #[param(rename = "_count", minimum = 1)]
    count: Option<u32>,
    /// Of a `next` link.
    #[param(rename = "_cursor", min_length = 22, max_length = 22)]
    cursor: Option<String>,
}

/// Read the audit log as FHIR, latest rows first.
#[utoipa::path(
    get,
    path = "/fhir/AuditEvent",
    tag = "fhir",
    operation_id = "searchFhirAuditEvents",
    security(("bearer" = [])),
    params(AuditEventQuery),
    responses(
        (status = 200, description = "A Bundle of rows.", body = FhirResource, content_type = "application/fhir+json"),
        OnSearch,
        ForCallers,
        Always,
    ),
)]
pub async fn search(
    State(state): State<AppState>,
    mut access: Authorised<List<AuditEvents>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let mut used = Used::read(&uri, &headers, &[COUNT, CURSOR])?;
    let page = used.page()?;
    let before = page.after.map(sequence).transpose()?.unwrap_or(i64::MAX);
    let found = audit_log::list(&mut access.caller, before, page.wanted()).await;
    let answer = found.map_err(ApiError::from).and_then(|mut rows| {
        let next = page.cut(&mut rows, place);
        let resources = rows.iter().map(|row| audit_event(row, &state.audit_key));
        let page = Searchset {
            base: &super::base(&state),
            kind: "AuditEvent",
            used: &used,
            next,
            total: None,
            resources: resources.collect::<Result<_, _>>()?,
        };
        Ok(FhirJson(page.into_bundle()))
    });
    access.conclude(answer).await
}

/// Cursors hold ids; the log is in the order of its numbers.
fn place(row: &Row) -> Uuid {
    Uuid::from_u128(row.sequence.unsigned_abs().into())
}

fn sequence(place: Uuid) -> Result<i64, ApiError> {
    i64::try_from(place.as_u128()).map_err(|_| fault(CURSOR, "malformed", "must be of a link of a page"))
}
