//! Rows of the audit log.

use sqlx::{PgExecutor, PgPool};

use super::DatabaseError;
use crate::audit::AuditEvent;

/// Appends one row, in the caller's transaction where it has one.
///
/// # Errors
/// [`DatabaseError`]; the caller must not answer with what the row was to record.
pub async fn write(executor: impl PgExecutor<'_>, event: &AuditEvent) -> Result<(), DatabaseError> {
    sqlx::query!(
        "INSERT INTO audit_event
            (actor_id, actor_role, action, resource, resource_ids, outcome, request_id, client_address)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        event.actor.map(|(user, _)| user.0),
        event.actor.map(|(_, role)| role.as_str()),
        event.action.as_str(),
        event.resource.as_str(),
        &event.resource_ids,
        event.outcome.as_str(),
        event.origin.request_id,
        event.origin.client_address.map(|address| address.to_string()),
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
        r#"SELECT (has_table_privilege('audit_event', 'INSERT')
                   AND NOT current_setting('transaction_read_only')::boolean) AS "writable!""#
    )
    .fetch_one(pool)
    .await?;
    Ok(writable)
}
