//! Users.

use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::{DatabaseError, write_audit};
use crate::audit::{AuditEvent, Outcome, RequestOrigin};
use crate::domain::{Email, Role, UserId};
use crate::policy::{Action, ResourceKind};

/// What login has to know about a user. There is no Debug: it holds the password's hash.
pub struct Credentials {
    /// Identity.
    pub id: UserId,
    /// Role.
    pub role: Role,
    /// Name for display.
    pub display_name: String,
    /// Whether the user may log in.
    pub active: bool,
    /// PHC string.
    pub password_hash: String,
}

/// The credentials of the user with this address.
///
/// # Errors
/// [`DatabaseError`].
pub async fn credentials(pool: &PgPool, email: &Email) -> Result<Option<Credentials>, DatabaseError> {
    let row = sqlx::query!(
        "SELECT id, role, display_name, active, password_hash FROM app_user WHERE email = $1",
        email.as_str()
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.and_then(|row| {
        Some(Credentials {
            id: UserId(row.id),
            role: Role::parse(&row.role)?,
            display_name: row.display_name,
            active: row.active,
            password_hash: row.password_hash,
        })
    }))
}

/// An active user's own address and password hash.
///
/// # Errors
/// [`DatabaseError`].
pub async fn own_credentials(pool: &PgPool, user: UserId) -> Result<Option<(Email, String)>, DatabaseError> {
    let row = sqlx::query!(
        "SELECT email, password_hash FROM app_user WHERE id = $1 AND active",
        user.0
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| Ok((Email::parse(&row.email)?, row.password_hash)))
        .transpose()
}

/// Whether an active user still has the password hash that was compared with. Until the transaction ends nobody can change
/// it, so that a session that is started here is seen by a change of the password, which ends it.
///
/// # Errors
/// [`DatabaseError`].
pub async fn still_has(
    connection: &mut PgConnection,
    user: UserId,
    password_hash: &str,
) -> Result<bool, DatabaseError> {
    let row = sqlx::query!(
        "SELECT id FROM app_user WHERE id = $1 AND active AND password_hash = $2 FOR SHARE",
        user.0,
        password_hash
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.is_some())
}

/// Puts a new password hash in the place of the one that was compared with. Gives false when that one is gone: somebody
/// else changed the password in between.
///
/// # Errors
/// [`DatabaseError`].
pub async fn replace_password(
    connection: &mut PgConnection,
    user: UserId,
    old_hash: &str,
    new_hash: &str,
) -> Result<bool, DatabaseError> {
    let result = sqlx::query!(
        "UPDATE app_user SET password_hash = $3 WHERE id = $1 AND password_hash = $2",
        user.0,
        old_hash,
        new_hash
    )
    .execute(connection)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Role of a user, active or not.
///
/// # Errors
/// [`DatabaseError`].
pub async fn role(connection: &mut PgConnection, user: UserId) -> Result<Option<Role>, DatabaseError> {
    let role = sqlx::query_scalar!("SELECT role FROM app_user WHERE id = $1", user.0)
        .fetch_optional(connection)
        .await?;
    Ok(role.and_then(|role| Role::parse(&role)))
}

/// A user to be made.
pub struct NewUser<'a> {
    /// Address, the login name.
    pub email: &'a Email,
    /// Name for display, 1 to 100 characters.
    pub display_name: &'a str,
    /// Role.
    pub role: Role,
    /// PHC string.
    pub password_hash: &'a str,
}

/// Makes a user, as the owner, and records it. Gives nothing when the address is taken.
///
/// # Errors
/// [`DatabaseError`].
pub async fn create(
    connection: &mut PgConnection,
    user: &NewUser<'_>,
) -> Result<Option<UserId>, DatabaseError> {
    let mut transaction = connection.begin().await?;
    let id = sqlx::query_scalar!(
        "INSERT INTO app_user (id, email, display_name, role, password_hash) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (email) DO NOTHING RETURNING id",
        Uuid::now_v7(),
        user.email.as_str(),
        user.display_name,
        user.role.as_str(),
        user.password_hash
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(id) = id {
        let event = AuditEvent {
            actor: None,
            action: Action::Create,
            resource: ResourceKind::User,
            resource_ids: vec![id],
            outcome: Outcome::Success,
            origin: RequestOrigin {
                request_id: Uuid::now_v7(),
                client_address: None,
            },
        };
        write_audit(&mut *transaction, &event).await?;
    }
    transaction.commit().await?;
    Ok(id.map(UserId))
}
