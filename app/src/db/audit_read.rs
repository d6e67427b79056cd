//! Reading the audit log, and ending the retention of its oldest months.

use jiff::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use super::DatabaseError;
use crate::audit::{Row, Tombstone};

/// A part of the log.
#[derive(Debug, Clone, Copy)]
pub struct Selection {
    /// From this time.
    pub from: Timestamp,
    /// Until before this time.
    pub to: Timestamp,
    /// About this patient only.
    pub patient: Option<Uuid>,
}

/// The rows of a selection after a number, in the order of their numbers, at most `limit`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn select(
    connection: &mut PgConnection,
    selection: &Selection,
    after: i64,
    limit: i64,
) -> Result<Vec<Row>, DatabaseError> {
    Ok(sqlx::query_as!(
        Row,
        r#"SELECT sequence, id, occurred_at AS "occurred_at: jiff_sqlx::Timestamp", actor_id, actor_role, session_id,
                  action, resource, resource_ids, patient_ids, outcome, request_id, client_address, purpose, diff, mac
           FROM audit_event
           WHERE sequence > $1 AND occurred_at >= $2 AND occurred_at < $3
             AND ($4::uuid IS NULL OR patient_ids @> ARRAY[$4] OR (resource = 'patient' AND resource_ids @> ARRAY[$4]))
           ORDER BY sequence LIMIT $5"#,
        after,
        jiff_sqlx::Timestamp::from(selection.from) as _,
        jiff_sqlx::Timestamp::from(selection.to) as _,
        selection.patient,
        limit
    )
    .fetch_all(connection)
    .await?)
}

/// Drops the months that ended before a time, and gives how many rows they held. Needs the owner.
///
/// # Errors
/// [`DatabaseError`]; also when the time is not 2557 days ago.
pub async fn drop_partitions(connection: &mut PgConnection, before: Timestamp) -> Result<i64, DatabaseError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT drop_audit_partitions($1) AS "dropped!""#,
        jiff_sqlx::Timestamp::from(before) as _
    )
    .fetch_one(connection)
    .await?)
}

/// Stores a tombstone. Needs the owner.
///
/// # Errors
/// [`DatabaseError`].
pub async fn bury(connection: &mut PgConnection, tombstone: &Tombstone) -> Result<(), DatabaseError> {
    sqlx::query!(
        "INSERT INTO audit_tombstone (before, pruned, signed_at, signature) VALUES ($1, $2, $3, $4)",
        jiff_sqlx::Timestamp::from(tombstone.before) as _,
        tombstone.pruned,
        jiff_sqlx::Timestamp::from(tombstone.signed_at) as _,
        tombstone.signature,
    )
    .execute(connection)
    .await?;
    Ok(())
}
