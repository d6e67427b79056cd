//! Whether this process holds the keys that the stored data was sealed with.

use sqlx::PgPool;

use super::DatabaseError;
use crate::crypto::PhiVault;

/// Result of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyCheck {
    /// The keys are the ones in use, or the database is new and they are now.
    Match,
    /// The database was used with other keys.
    Mismatch,
}

/// Compares, and records the keys of a new database.
///
/// # Errors
/// [`DatabaseError`].
pub async fn check_keys(pool: &PgPool, vault: &PhiVault) -> Result<KeyCheck, DatabaseError> {
    let mut transaction = pool.begin().await?;
    let mut result = KeyCheck::Match;
    for (purpose, fingerprint) in vault.fingerprints() {
        let known = sqlx::query_scalar!(
            "SELECT fingerprint FROM key_fingerprint WHERE purpose = $1",
            purpose
        )
        .fetch_all(&mut *transaction)
        .await?;
        if known.is_empty() {
            // Two processes with different keys cannot both become the first: they meet at this lock, and the second
            // one finds the row.
            sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('key_fingerprint'))")
                .fetch_one(&mut *transaction)
                .await?;
            sqlx::query!(
                "INSERT INTO key_fingerprint (purpose, fingerprint)
                 SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM key_fingerprint WHERE purpose = $1)",
                purpose,
                &fingerprint[..]
            )
            .execute(&mut *transaction)
            .await?;
            let stored = sqlx::query_scalar!(
                "SELECT fingerprint FROM key_fingerprint WHERE purpose = $1",
                purpose
            )
            .fetch_all(&mut *transaction)
            .await?;
            if !stored.iter().any(|stored| stored[..] == fingerprint) {
                result = KeyCheck::Mismatch;
            }
        } else if !known.iter().any(|known| known[..] == fingerprint) {
            result = KeyCheck::Mismatch;
        }
    }
    transaction.commit().await?;
    Ok(result)
}
