//! Creations that are done once although they are asked for twice (draft-ietf-httpapi-idempotency-key-header-07).
//!
//! What is kept is the id of what was created, not the answer: the answer holds protected health information, and reading
//! the record again also asks again whether the caller may still see it.

use uuid::Uuid;

use super::{CallerTransaction, DatabaseError};
use crate::crypto::PhiVault;
use crate::policy::Privilege;

const TABLE: &str = "idempotency_key";

/// What a key means for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nothing was created with it in the last 24 hours; it now stands for this creation, if the transaction commits.
    New,
    /// The same request was made before and created this.
    Repeated(Uuid),
    /// It was used for a request with another body.
    Different,
    /// A request with it is being answered at this moment.
    InProgress,
}

/// Claims `key` for the creation of `resource` from a body with this canonical text, for 24 hours.
///
/// # Errors
/// [`DatabaseError`].
pub async fn claim<P: Privilege>(
    caller: &mut CallerTransaction<P>,
    vault: &PhiVault,
    key: &str,
    body: &str,
    resource: Uuid,
) -> Result<Claim, DatabaseError> {
    let account = caller.user().0;
    let key = vault.blind_index(TABLE, "key", key);
    let fingerprint = vault.blind_index(TABLE, "fingerprint", body);
    // The lock ends with the transaction; waiting for it would hold a connection for a request that is a duplicate.
    let free = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended($1::uuid::text || encode($2::bytea, 'hex'), 0)) AS "free!""#,
        account,
        key.as_bytes()
    )
    .fetch_one(caller.connection())
    .await?;
    if !free {
        return Ok(Claim::InProgress);
    }
    // Row-level security limits this to the caller's own keys.
    sqlx::query!("DELETE FROM idempotency_key WHERE created_at < now() - interval '24 hours'")
        .execute(caller.connection())
        .await?;
    let known = sqlx::query!(
        "SELECT fingerprint, resource_id FROM idempotency_key WHERE account = $1 AND key = $2",
        account,
        key.as_bytes()
    )
    .fetch_optional(caller.connection())
    .await?;
    match known {
        Some(known) if known.fingerprint == fingerprint.as_bytes() => Ok(Claim::Repeated(known.resource_id)),
        Some(_) => Ok(Claim::Different),
        None => {
            sqlx::query!(
                "INSERT INTO idempotency_key (account, key, fingerprint, resource_id) VALUES ($1, $2, $3, $4)",
                account,
                key.as_bytes(),
                fingerprint.as_bytes(),
                resource
            )
            .execute(caller.connection())
            .await?;
            Ok(Claim::New)
        }
    }
}
