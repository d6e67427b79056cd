//! Rows of the audit log as they are served: what `audit export` prints, with the version of the resource.

use serde_json::{Value, json};

use crate::audit::{self, Row};
use crate::crypto::AuditKey;
use crate::db::DatabaseError;
use crate::http::error::ApiError;

/// Rows are never changed.
pub const ONLY_VERSION: i64 = 1;

/// The resource for a row, with its purpose opened.
///
/// # Errors
/// When the purpose does not open.
pub fn audit_event(row: &Row, key: &AuditKey) -> Result<Value, ApiError> {
    let purpose = row
        .purpose
        .as_deref()
        .map(|sealed| key.open_purpose(row.id, sealed))
        .transpose()
        .map_err(DatabaseError::from)?;
    let mut event = audit::fhir::audit_event(row, purpose.as_deref());
    event["meta"]["versionId"] = json!(ONLY_VERSION.to_string());
    event["meta"]["lastUpdated"] = json!(row.occurred_at.to_string());
    Ok(event)
}
