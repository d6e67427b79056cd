//! Rows of the audit log.

use sqlx::{PgExecutor, PgPool};

use super::DatabaseError;
use crate::audit::{AuditEvent, Row};
use crate::crypto::AuditKey;

/// Appends one row, in the caller's transaction where it has one.
///
/// # Errors
/// [`DatabaseError`]; the caller must not answer with what the row was to record.
pub async fn write(
    executor: impl PgExecutor<'_>,
    key: &AuditKey,
    event: &AuditEvent,
) -> Result<(), DatabaseError> {
    let row = Row::of(event, key)?;
    sqlx::query!(
        "INSERT INTO audit_event
            (id, occurred_at, actor_id, actor_role, session_id, action, resource, resource_ids, patient_ids, outcome,
             request_id, client_address, purpose, diff, mac)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        row.id,
        jiff_sqlx::Timestamp::from(row.occurred_at) as _,
        row.actor_id,
        row.actor_role,
        row.session_id,
        row.action,
        row.resource,
        &row.resource_ids,
        &row.patient_ids,
        row.outcome,
        row.request_id,
        row.client_address,
        row.purpose,
        row.diff,
        row.mac,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Whether rows can be appended: the role has the right, and the database is not read-only.
///
/// # Errors
/// [`DatabaseError`].
pub async fn is_writable(pool: &PgPool) -> Result<bool, DatabaseError> {
    let writable = sqlx::query_scalar!(
        r#"SELECT (has_column_privilege('audit_event', 'action', 'INSERT')
                   AND NOT current_setting('transaction_read_only')::boolean) AS "writable!""#
    )
    .fetch_one(pool)
    .await?;
    Ok(writable)
}
