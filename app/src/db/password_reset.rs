//! One-time tokens by which a user sets a new password. The owner makes them, on the command line.

use sqlx::{Connection, PgConnection, PgPool};

use super::{DatabaseError, second_factor, session, write_audit};
use crate::audit::{AuditEvent, Outcome, RequestOrigin};
use crate::crypto::{AuditKey, TokenHash};
use crate::domain::{Email, Role, UserId};
use crate::policy::{Action, ResourceKind};

/// Seconds for which a token is good.
const LIFETIME_SECONDS: f64 = 1800.0;

/// Makes a token for the active user with this address, as the owner, and records it; earlier tokens of the user are good
/// no more. Gives nothing when there is no such user.
///
/// # Errors
/// [`DatabaseError`].
pub async fn create(
    connection: &mut PgConnection,
    audit_key: &AuditKey,
    email: &Email,
    token: &TokenHash,
    remove_second_factor: bool,
) -> Result<Option<UserId>, DatabaseError> {
    let mut transaction = connection.begin().await?;
    let user = sqlx::query_scalar!(
        "SELECT id FROM app_user WHERE email = $1 AND active",
        email.as_str()
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(user) = user else {
        return Ok(None);
    };
    sqlx::query!("DELETE FROM password_reset WHERE user_id = $1", user)
        .execute(&mut *transaction)
        .await?;
    sqlx::query!(
        "INSERT INTO password_reset (hash, user_id, expires_at)
         VALUES ($1, $2, now() + make_interval(secs => $3))",
        token.as_bytes(),
        user,
        LIFETIME_SECONDS
    )
    .execute(&mut *transaction)
    .await?;
    let mut actions = vec![Action::IssueReset];
    if remove_second_factor && second_factor::remove(&mut transaction, user).await? {
        actions.push(Action::RemoveSecondFactor);
    }
    for action in actions {
        let event = AuditEvent {
            resource_ids: vec![user],
            ..AuditEvent::new(
                action,
                ResourceKind::User,
                Outcome::Success,
                RequestOrigin::internal(),
            )
        };
        write_audit(&mut *transaction, audit_key, &event).await?;
    }
    transaction.commit().await?;
    Ok(Some(UserId(user)))
}

/// Whose password a token may set.
pub struct Entitled {
    /// Who.
    pub user: UserId,
    /// Their role.
    pub role: Role,
    /// Their address.
    pub email: Email,
}

/// Whose password a good token may set; nothing for any other token.
///
/// # Errors
/// [`DatabaseError`].
pub async fn entitled(pool: &PgPool, token: &TokenHash) -> Result<Option<Entitled>, DatabaseError> {
    let row = sqlx::query!(
        "SELECT app_user.id, access_role, email FROM password_reset JOIN app_user ON app_user.id = password_reset.user_id
         WHERE hash = $1 AND used_at IS NULL AND expires_at > now() AND active",
        token.as_bytes()
    )
    .fetch_optional(pool)
    .await?;
    row.and_then(|row| Role::parse(&row.access_role).map(|role| (row.id, role, row.email)))
        .map(|(id, role, email)| {
            Ok(Entitled {
                user: UserId(id),
                role,
                email: Email::parse(&email)?,
            })
        })
        .transpose()
}

/// Uses a token: sets the password and ends every session of the user. Gives false when the token was used or expired in
/// the meantime; nothing happened then.
///
/// # Errors
/// [`DatabaseError`].
pub async fn redeem(
    connection: &mut PgConnection,
    token: &TokenHash,
    user: UserId,
    password_hash: &str,
) -> Result<bool, DatabaseError> {
    let redeemed = sqlx::query!(
        "UPDATE password_reset SET used_at = now()
         WHERE hash = $1 AND user_id = $2 AND used_at IS NULL AND expires_at > now()",
        token.as_bytes(),
        user.0
    )
    .execute(&mut *connection)
    .await?;
    if redeemed.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query!(
        "UPDATE app_user SET password_hash = $2 WHERE id = $1",
        user.0,
        password_hash
    )
    .execute(&mut *connection)
    .await?;
    session::end_others(connection, user, None).await?;
    Ok(true)
}
