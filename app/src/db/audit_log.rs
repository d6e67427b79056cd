//! The audit log, as auditors read it.

use uuid::Uuid;

use super::{CallerTransaction, DatabaseError};
use crate::audit::Row;
use crate::policy::{AuditEvents, List, Read};

/// The rows before the row of this number, latest first, at most `limit`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn list(
    caller: &mut CallerTransaction<List<AuditEvents>>,
    before: i64,
    limit: i64,
) -> Result<Vec<Row>, DatabaseError> {
    Ok(sqlx::query_as!(
        Row,
        r#"SELECT sequence, id, occurred_at AS "occurred_at: jiff_sqlx::Timestamp", actor_id, actor_role, session_id,
                  action, resource, resource_ids, patient_ids, outcome, request_id, client_address, purpose, diff, mac
           FROM audit_event WHERE sequence < $1 ORDER BY sequence DESC LIMIT $2"#,
        before,
        limit
    )
    .fetch_all(caller.connection())
    .await?)
}

/// The row of this id.
///
/// # Errors
/// [`DatabaseError`].
pub async fn find(
    caller: &mut CallerTransaction<Read<AuditEvents>>,
    id: Uuid,
) -> Result<Option<Row>, DatabaseError> {
    Ok(sqlx::query_as!(
        Row,
        r#"SELECT sequence, id, occurred_at AS "occurred_at: jiff_sqlx::Timestamp", actor_id, actor_role, session_id,
                  action, resource, resource_ids, patient_ids, outcome, request_id, client_address, purpose, diff, mac
           FROM audit_event WHERE id = $1"#,
        id
    )
    .fetch_optional(caller.connection())
    .await?)
}
