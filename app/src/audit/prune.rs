//! The end of retention: months older than seven years go, and a signed tombstone says so.

use jiff::{SignedDuration, Timestamp};
use sqlx::{Connection, PgConnection};

use super::{AuditEvent, Outcome, RequestOrigin, Tombstone, verify};
use crate::crypto::AuditKey;
use crate::db::{DatabaseError, audit_read, write_audit};
use crate::policy::{Action, ResourceKind};

/// How long a row is kept at least (45 CFR 164.316(b)(2)(i) asks for six years; R-212 for seven).
const RETENTION: SignedDuration = SignedDuration::from_hours(2557 * 24);

/// Why nothing was pruned.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The time is too late.
    #[error("the audit log of the last 2557 days is kept; give an earlier time")]
    Retained,
    /// Pruning would hide what is wrong.
    #[error("the audit log is broken ({0}); find out why before anything is pruned")]
    Broken(&'static str),
    /// The sealer is late.
    #[error("rows of that time are not sealed yet; try again")]
    Unsealed,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<sqlx::Error> for PruneError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Prunes the months that ended before a time, as the owner, and gives how many rows they held. The links of the chain
/// stay, so that the rest verifies. All or nothing.
///
/// # Errors
/// [`PruneError`].
pub async fn prune(
    connection: &mut PgConnection,
    key: &AuditKey,
    before: Timestamp,
) -> Result<i64, PruneError> {
    let now = Timestamp::now();
    let now = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
    if before > now - RETENTION {
        return Err(PruneError::Retained);
    }
    let mut transaction = connection
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await?;
    let report = verify::verify(&mut transaction, key, None, |_| ()).await?;
    if let Some(finding) = report.findings.first() {
        return Err(PruneError::Broken(finding.problem));
    }
    let (_, oldest_unsealed) = crate::db::audit_chain::backlog(&mut transaction).await?;
    if oldest_unsealed.is_some_and(|oldest| oldest < before) {
        return Err(PruneError::Unsealed);
    }
    let pruned = audit_read::drop_partitions(&mut transaction, before).await?;
    if pruned > 0 {
        let tombstone = Tombstone::sign(before, pruned, now, key);
        audit_read::bury(&mut transaction, &tombstone).await?;
        let origin = RequestOrigin::internal();
        let event = AuditEvent::new(Action::Prune, ResourceKind::Audit, Outcome::Success, origin);
        write_audit(&mut *transaction, key, &event).await?;
    }
    transaction.commit().await?;
    Ok(pruned)
}
