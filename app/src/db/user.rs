//! Users.

use std::collections::HashMap;

use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::{DatabaseError, write_audit};
use crate::audit::{AuditEvent, Outcome, RequestOrigin};
use crate::crypto::AuditKey;
use crate::domain::{Email, PatientId, Role, UserId};
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
        "SELECT id, access_role, display_name, active, password_hash FROM app_user WHERE email = $1",
        email.as_str()
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.and_then(|row| {
        Some(Credentials {
            id: UserId(row.id),
            role: Role::parse(&row.access_role)?,
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
    let role = sqlx::query_scalar!("SELECT access_role FROM app_user WHERE id = $1", user.0)
        .fetch_optional(connection)
        .await?;
    Ok(role.and_then(|role| Role::parse(&role)))
}

/// Names for display of these users.
///
/// # Errors
/// [`DatabaseError`].
pub async fn names(
    connection: &mut PgConnection,
    users: &[Uuid],
) -> Result<HashMap<Uuid, String>, DatabaseError> {
    let rows = sqlx::query!("SELECT id, display_name FROM app_user WHERE id = ANY($1)", users)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.display_name)).collect())
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
    /// The patient whose account it is; there for [`Role::Patient`] and for nobody else.
    pub patient: Option<PatientId>,
}

/// Name of the constraint that an account for an unknown patient breaks.
const PATIENT_KNOWN: &str = "app_user_patient_known";
/// Name of the constraint that a second account for a patient breaks.
const ONE_ACCOUNT: &str = "app_user_one_account_a_patient";

/// Why no user was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateUserError {
    /// The patient is not there.
    #[error("there is no patient with this id")]
    UnknownPatient,
    /// The patient has an account.
    #[error("the patient has an account already")]
    SecondAccount,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<sqlx::Error> for CreateUserError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some(PATIENT_KNOWN) => Self::UnknownPatient,
            Some(ONE_ACCOUNT) => Self::SecondAccount,
            _ => Self::Database(error.into()),
        }
    }
}

/// Makes a user, as the owner, and records it. Gives nothing when the address is taken.
///
/// # Errors
/// [`CreateUserError`].
pub async fn create(
    connection: &mut PgConnection,
    audit_key: &AuditKey,
    user: &NewUser<'_>,
) -> Result<Option<UserId>, CreateUserError> {
    let mut transaction = connection.begin().await?;
    let id = sqlx::query_scalar!(
        "INSERT INTO app_user (id, email, display_name, access_role, password_hash, patient_id)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (email) DO NOTHING RETURNING id",
        Uuid::now_v7(),
        user.email.as_str(),
        user.display_name,
        user.role.as_str(),
        user.password_hash,
        user.patient.map(|patient| patient.0)
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(id) = id {
        let origin = RequestOrigin::internal();
        let event = AuditEvent {
            resource_ids: vec![id],
            ..AuditEvent::new(Action::Create, ResourceKind::User, Outcome::Success, origin)
        };
        write_audit(&mut *transaction, audit_key, &event).await?;
    }
    transaction.commit().await?;
    Ok(id.map(UserId))
}
