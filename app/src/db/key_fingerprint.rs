//! Whether this process holds the keys that the stored data was sealed with.

use sqlx::{PgConnection, PgPool};

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
    for (purpose, fingerprints) in vault.fingerprints() {
        let Some(active) = fingerprints.first() else {
            continue;
        };
        let mut known = known(&mut transaction, purpose).await?;
        if !known.iter().any(|known| known[..] == *active) {
            // Two processes with different keys cannot both become the first: they meet at this lock, and the second one
            // finds the row.
            sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('key_fingerprint'))")
                .fetch_one(&mut *transaction)
                .await?;
            // A new key is taken where there was none, or from a process that opens what the known one sealed.
            let others: Vec<Vec<u8>> = fingerprints
                .iter()
                .map(|fingerprint| fingerprint.to_vec())
                .collect();
            sqlx::query!(
                "INSERT INTO key_fingerprint (purpose, fingerprint)
                 SELECT $1, $2
                 WHERE NOT EXISTS (SELECT FROM key_fingerprint WHERE purpose = $1)
                    OR EXISTS (SELECT FROM key_fingerprint WHERE purpose = $1 AND fingerprint = ANY($3))
                 ON CONFLICT DO NOTHING",
                purpose,
                &active[..],
                &others
            )
            .execute(&mut *transaction)
            .await?;
            known = self::known(&mut transaction, purpose).await?;
        }
        if !known.iter().any(|known| known[..] == *active) {
            result = KeyCheck::Mismatch;
        }
    }
    transaction.commit().await?;
    Ok(result)
}

async fn known(connection: &mut PgConnection, purpose: &str) -> Result<Vec<Vec<u8>>, DatabaseError> {
    Ok(sqlx::query_scalar!(
        "SELECT fingerprint FROM key_fingerprint WHERE purpose = $1",
        purpose
    )
    .fetch_all(connection)
    .await?)
}
