//! `GET /fhir/AuditEvent/{id}`

use axum::extract::State;
use axum::response::IntoResponse;

use super::audit_event::{ONLY_VERSION, audit_event};
use super::representation::Versioned;
use super::responses::{Always, FhirResource, ForCallers, OnOne};
use crate::db::audit_log;
use crate::http::AppState;
use crate::http::error::{ApiError, ProblemCode};
use crate::http::extract::{Authorised, RecordId};
use crate::policy::{AuditEvents, Read};

/// Read a row of the audit log as FHIR.
#[utoipa::path(
    get,
    path = "/fhir/AuditEvent/{id}",
    tag = "fhir",
    operation_id = "readFhirAuditEvent",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "Identity of the row.")),
    responses(
        (status = 200, description = "The AuditEvent.", body = FhirResource, content_type = "application/fhir+json",
         headers(("ETag" = String, description = "The version, weak."),
                 ("Last-Modified" = String, description = "When it was recorded."))),
        ForCallers,
        OnOne,
        Always,
    ),
)]
pub async fn read(
    State(state): State<AppState>,
    mut access: Authorised<Read<AuditEvents>>,
    RecordId(id): RecordId,
) -> Result<impl IntoResponse, ApiError> {
    access.caller.concerns(id);
    let found = audit_log::find(&mut access.caller, id).await;
    let answer = found.map_err(ApiError::from).and_then(|row| {
        let row = row.ok_or(ProblemCode::NotFound)?;
        Ok(Versioned {
            resource: audit_event(&row, &state.audit_key)?,
            version: ONLY_VERSION,
            last_updated: row.occurred_at,
        })
    });
    access.conclude(answer).await
}
