//! A delay that grows with each failed attempt on an account, the same on every replica (R-128).
//!
//! It never becomes a lock: after 15 minutes at most the next attempt is welcome, and sessions that are open go on.
//! Unknown accounts are delayed like known ones.

use sqlx::{PgConnection, PgPool};

use super::DatabaseError;
use crate::crypto::BlindIndex;

/// Counts an attempt before its outcome is known, so that simultaneous ones count too. Gives the seconds to wait when it
/// comes too early; it does not count then.
///
/// # Errors
/// [`DatabaseError`].
pub async fn begin(pool: &PgPool, account: &BlindIndex) -> Result<Result<(), u64>, DatabaseError> {
    // What nobody tried for a day is forgotten, a little with each attempt.
    sqlx::query!(
        "DELETE FROM login_attempt WHERE account IN (
             SELECT account FROM login_attempt WHERE attempted_at < now() - interval '1 day'
             LIMIT 10 FOR UPDATE SKIP LOCKED)"
    )
    .execute(pool)
    .await?;
    let counted = sqlx::query_scalar!(
        "INSERT INTO login_attempt AS attempt (account, failures, blocked_until) VALUES ($1, 1, now())
         ON CONFLICT (account) DO UPDATE SET failures = least(attempt.failures + 1, 1000), attempted_at = now(),
             blocked_until = now() + attempt_delay(attempt.failures + 1)
         WHERE attempt.blocked_until <= now()
         RETURNING failures",
        account.as_bytes()
    )
    .fetch_optional(pool)
    .await?;
    if counted.is_some() {
        return Ok(Ok(()));
    }
    let seconds = sqlx::query_scalar!(
        r#"SELECT ceil(extract(epoch FROM blocked_until - now()))::bigint AS "seconds!"
           FROM login_attempt WHERE account = $1"#,
        account.as_bytes()
    )
    .fetch_optional(pool)
    .await?;
    Ok(Err(seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .unwrap_or_default()
        .max(1)))
}

/// Forgets the attempts on an account after its owner got in.
///
/// # Errors
/// [`DatabaseError`].
pub async fn succeeded(connection: &mut PgConnection, account: &BlindIndex) -> Result<(), DatabaseError> {
    sqlx::query!("DELETE FROM login_attempt WHERE account = $1", account.as_bytes())
        .execute(connection)
        .await?;
    Ok(())
}
