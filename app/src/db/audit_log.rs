//! The audit log, as auditors read it.

use jiff::Timestamp;
use uuid::Uuid;

use super::{CallerTransaction, DatabaseError};
use crate::policy::{AuditEvents, List};

/// A row of the log.
pub struct LoggedEvent {
    /// Number of the row; later rows have higher ones.
    pub sequence: i64,
    /// When it was written.
    pub occurred_at: Timestamp,
    /// Who; absent when nobody was identified.
    pub actor: Option<Uuid>,
    /// Their role at that time.
    pub actor_role: Option<String>,
    /// What was done.
    pub action: String,
    /// To what kind of object.
    pub resource: String,
    /// To which objects.
    pub resource_ids: Vec<Uuid>,
    /// How it ended.
    pub outcome: String,
    /// The request.
    pub request: Uuid,
    /// Address of the peer.
    pub client_address: Option<String>,
}

/// The rows before the row of this number, latest first, at most `limit`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn list(
    caller: &mut CallerTransaction<List<AuditEvents>>,
    before: i64,
    limit: i64,
) -> Result<Vec<LoggedEvent>, DatabaseError> {
    let rows = sqlx::query!(
        r#"SELECT sequence, occurred_at AS "occurred_at: jiff_sqlx::Timestamp", actor_id, actor_role, action, resource,
                  resource_ids, outcome, request_id, client_address
           FROM audit_event WHERE sequence < $1 ORDER BY sequence DESC LIMIT $2"#,
        before,
        limit
    )
    .fetch_all(caller.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| LoggedEvent {
            sequence: row.sequence,
            occurred_at: row.occurred_at.to_jiff(),
            actor: row.actor_id,
            actor_role: row.actor_role,
            action: row.action,
            resource: row.resource,
            resource_ids: row.resource_ids,
            outcome: row.outcome,
            request: row.request_id,
            client_address: row.client_address,
        })
        .collect())
}
