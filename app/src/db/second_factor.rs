//! One-time passwords and recovery codes of users.

use sqlx::PgConnection;
use uuid::Uuid;

use super::DatabaseError;
use crate::crypto::{Location, PhiVault, TokenHash, TotpSecret};
use crate::domain::{Bearer, UserId};

fn location(user: UserId) -> Location {
    Location {
        table: "user_totp",
        column: "secret",
        row: user.0,
    }
}

/// Stores the secret of an enrolment, in the place of one that was not confirmed. Gives false when the user has a
/// confirmed one.
///
/// # Errors
/// [`DatabaseError`].
pub async fn enrol(
    connection: &mut PgConnection,
    vault: &PhiVault,
    user: UserId,
    secret: &TotpSecret,
) -> Result<bool, DatabaseError> {
    let (key, wrapped) = vault.new_data_key(user.0).await?;
    let sealed = key.seal(&location(user), secret.base32())?;
    let result = sqlx::query!(
        "INSERT INTO user_totp AS totp (user_id, kek_id, data_key, secret) VALUES ($1, $2, $3, $4)
         ON CONFLICT (user_id) DO UPDATE SET kek_id = excluded.kek_id, data_key = excluded.data_key,
             secret = excluded.secret, last_step = 0, enrolled_at = now()
         WHERE totp.confirmed_at IS NULL",
        user.0,
        &wrapped.kek_id[..],
        wrapped.sealed,
        sealed
    )
    .execute(connection)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// The secret of a user, either the confirmed one or the one of an enrolment that is still to be confirmed.
///
/// # Errors
/// [`DatabaseError`].
pub async fn secret(
    connection: &mut PgConnection,
    vault: &PhiVault,
    user: UserId,
    confirmed: bool,
) -> Result<Option<TotpSecret>, DatabaseError> {
    let row = sqlx::query!(
        "SELECT kek_id, data_key, secret FROM user_totp
         WHERE user_id = $1 AND (confirmed_at IS NOT NULL) = $2",
        user.0,
        confirmed
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let key = vault.data_key(user.0, &row.kek_id, &row.data_key).await?;
    let secret = key.open(&location(user), &row.secret)?;
    Ok(Some(TotpSecret::from_base32(secret)))
}

/// Confirms an enrolment with the step of its first code: the session counts as one with a second factor from now on, and
/// the recovery codes replace earlier ones. Gives false when there is nothing to confirm any more.
///
/// # Errors
/// [`DatabaseError`].
pub async fn confirm(
    connection: &mut PgConnection,
    bearer: Bearer,
    step: i64,
    recovery_codes: &[TokenHash],
) -> Result<bool, DatabaseError> {
    let confirmed = sqlx::query!(
        "UPDATE user_totp SET confirmed_at = now(), last_step = $2 WHERE user_id = $1 AND confirmed_at IS NULL",
        bearer.user.0,
        step
    )
    .execute(&mut *connection)
    .await?;
    if confirmed.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!("DELETE FROM recovery_code WHERE user_id = $1", bearer.user.0)
        .execute(&mut *connection)
        .await?;
    let hashes: Vec<Vec<u8>> = recovery_codes
        .iter()
        .map(|hash| hash.as_bytes().to_vec())
        .collect();
    sqlx::query!(
        "INSERT INTO recovery_code (hash, user_id) SELECT unnest($2::bytea[]), $1",
        bearer.user.0,
        &hashes
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE user_session SET second_factor = true WHERE id = $1",
        bearer.session.0
    )
    .execute(connection)
    .await?;
    Ok(true)
}

/// Takes the code of a step, which no other code of this or an earlier step can follow. Gives false when it was taken.
///
/// # Errors
/// [`DatabaseError`].
pub async fn take_step(
    connection: &mut PgConnection,
    user: UserId,
    step: i64,
) -> Result<bool, DatabaseError> {
    let result = sqlx::query!(
        "UPDATE user_totp SET last_step = $2
         WHERE user_id = $1 AND confirmed_at IS NOT NULL AND last_step < $2",
        user.0,
        step
    )
    .execute(connection)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Takes a recovery code. Gives false when the user has none like it, or used it.
///
/// # Errors
/// [`DatabaseError`].
pub async fn take_recovery_code(
    connection: &mut PgConnection,
    user: UserId,
    code: &TokenHash,
) -> Result<bool, DatabaseError> {
    let result = sqlx::query!(
        "UPDATE recovery_code SET used_at = now() WHERE user_id = $1 AND hash = $2 AND used_at IS NULL",
        user.0,
        code.as_bytes()
    )
    .execute(connection)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Removes a user's second factor; their sessions no longer count as ones with it. Gives false when there was none.
///
/// # Errors
/// [`DatabaseError`].
pub async fn remove(connection: &mut PgConnection, user: Uuid) -> Result<bool, DatabaseError> {
    sqlx::query!("DELETE FROM recovery_code WHERE user_id = $1", user)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "UPDATE user_session SET second_factor = false WHERE user_id = $1 AND second_factor",
        user
    )
    .execute(&mut *connection)
    .await?;
    let removed = sqlx::query!("DELETE FROM user_totp WHERE user_id = $1", user)
        .execute(connection)
        .await?;
    Ok(removed.rows_affected() == 1)
}
