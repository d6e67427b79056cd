//! `GET /api/audit-events`

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::IntoResponse;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::audit::Row;
use crate::db::audit_log;
use crate::domain::Violation;
use crate::http::error::{ApiError, FieldFault, Problem};
use crate::http::extract::Authorised;
use crate::http::problems::{Always, ForCallers};
use crate::policy::{AuditEvents, List};

/// Rows on a page.
const PAGE: i64 = 100;

/// Which page.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BeforeQuery {
    /// The lowest `sequence` of the page before; the latest rows when absent.
    #[param(value_type = Option<i64>, minimum = 1, example = 1000)]
    before: Option<String>,
}

impl BeforeQuery {
    fn check(query: Result<Query<Self>, QueryRejection>) -> Result<i64, ApiError> {
        let fault = |pointer: &str, code, detail: &str| {
            ApiError::validation(vec![FieldFault::new(pointer, Violation::new(code, detail))])
        };
        // The rejection's text repeats what was sent.
        let Query(query) =
            query.map_err(|_| fault("", "unknown_parameter", "the query may hold before, once"))?;
        match query.before.as_deref() {
            None => Ok(i64::MAX),
            Some(text) => text
                .parse()
                .ok()
                .filter(|before| *before > 0)
                .ok_or_else(|| fault("before", "out_of_range", "must be a whole number from 1")),
        }
    }
}

/// Who did what to which objects, when, and how it ended.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEventOutput {
    /// Number of the row; later rows have higher ones.
    #[schema(minimum = 1)]
    sequence: i64,
    /// When it was written.
    #[schema(value_type = String, format = DateTime, max_length = 35)]
    occurred_at: Timestamp,
    /// Who; null when nobody was identified.
    #[schema(required)]
    actor_id: Option<Uuid>,
    /// Their role at that time.
    #[schema(max_length = 32, required)]
    actor_role: Option<String>,
    /// What was done.
    #[schema(max_length = 32)]
    action: String,
    /// To what kind of object.
    #[schema(max_length = 32)]
    resource: String,
    /// To which objects.
    #[schema(max_items = 10_000)]
    resource_ids: Vec<Uuid>,
    /// How it ended.
    #[schema(max_length = 32)]
    outcome: String,
    /// Id of the request.
    request_id: Uuid,
    /// Address of the peer.
    #[schema(max_length = 45, required)]
    client_address: Option<String>,
}

impl From<Row> for AuditEventOutput {
    fn from(event: Row) -> Self {
        Self {
            sequence: event.sequence,
            occurred_at: event.occurred_at,
            actor_id: event.actor_id,
            actor_role: event.actor_role,
            action: event.action,
            resource: event.resource,
            resource_ids: event.resource_ids,
            outcome: event.outcome,
            request_id: event.request_id,
            client_address: event.client_address,
        }
    }
}

/// A page of the log.
#[derive(Serialize, ToSchema)]
pub struct AuditEventPage {
    /// The rows, latest first; fewer than a hundred on the last page.
    #[schema(max_items = 100)]
    items: Vec<AuditEventOutput>,
}

/// Read the audit log.
#[utoipa::path(
    get,
    path = "/api/audit-events",
    tag = "audit",
    operation_id = "listAuditEvents",
    security(("bearer" = [])),
    params(BeforeQuery),
    responses(
        (status = 200, description = "A page of the log.", body = AuditEventPage),
        (status = 422, description = "A query parameter is not valid.",
         body = Problem, content_type = "application/problem+json"),
        ForCallers,
        Always,
    ),
)]
pub async fn list(
    mut access: Authorised<List<AuditEvents>>,
    query: Result<Query<BeforeQuery>, QueryRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let before = BeforeQuery::check(query)?;
    let found = audit_log::list(&mut access.caller, before, PAGE).await;
    let answer = found.map_err(ApiError::from).map(|events| {
        let items = events.into_iter().map(AuditEventOutput::from).collect();
        Json(AuditEventPage { items })
    });
    access.conclude(answer).await
}
