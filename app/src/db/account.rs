//! Accounts, as administrators see and change them.

use uuid::Uuid;

use super::{CallerTransaction, DatabaseError};
use crate::domain::{Role, UserId};
use crate::policy::{Deactivate, List, Privilege, Update, Users};

/// An account.
pub struct Account {
    /// Identity.
    pub id: UserId,
    /// Address, the login name.
    pub email: String,
    /// Name for display.
    pub display_name: String,
    /// Role; absent when this version does not know it.
    pub role: Option<Role>,
    /// Whether the user may log in.
    pub active: bool,
}

/// The accounts in the order of their making, after `after`, at most `limit`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn list(
    caller: &mut CallerTransaction<List<Users>>,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<Account>, DatabaseError> {
    let rows = sqlx::query!(
        "SELECT id, email, display_name, access_role, active FROM app_user WHERE id > $1 ORDER BY id LIMIT $2",
        after.map_or(Uuid::nil(), |after| after.0),
        limit
    )
    .fetch_all(caller.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Account {
            id: UserId(row.id),
            email: row.email,
            display_name: row.display_name,
            role: Role::parse(&row.access_role),
            active: row.active,
        })
        .collect())
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is as asked.
    Done,
    /// It is the caller's own account.
    Own,
    /// The account belongs to a patient, and its role cannot change.
    OfPatient,
    /// Another administrator took the caller's role or account in the meantime.
    NoAdministrator,
    /// There is no such account.
    NotFound,
}

/// Key of the advisory lock: "accounts" in ASCII.
const LOCK: i64 = 0x6163_636f_756e_7473;

/// What stands against a change of an account.
///
/// Changes of accounts are made one after the other by administrators who still are ones, and nobody changes their own:
/// that way the last active administrator stays, whoever changes whom at the same time.
async fn obstacle<P: Privilege>(
    caller: &mut CallerTransaction<P>,
    id: UserId,
) -> Result<Option<Changed>, DatabaseError> {
    let user = caller.user();
    if id == user {
        return Ok(Some(Changed::Own));
    }
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK)
        .fetch_one(caller.connection())
        .await?;
    let administrates = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM app_user WHERE id = $1 AND active AND access_role = 'administrator') AS "is!""#,
        user.0
    )
    .fetch_one(caller.connection())
    .await?;
    if !administrates {
        return Ok(Some(Changed::NoAdministrator));
    }
    let of_patient = sqlx::query_scalar!(
        r#"SELECT patient_id IS NOT NULL AS "of_patient!" FROM app_user WHERE id = $1"#,
        id.0
    )
    .fetch_optional(caller.connection())
    .await?;
    Ok(match of_patient {
        None => Some(Changed::NotFound),
        Some(true) if P::ACTION == crate::policy::Action::Update => Some(Changed::OfPatient),
        Some(_) => None,
    })
}

/// Gives a member of staff another role; it holds from their next request.
///
/// # Errors
/// [`DatabaseError`].
pub async fn change_role(
    caller: &mut CallerTransaction<Update<Users>>,
    id: UserId,
    role: Role,
) -> Result<Changed, DatabaseError> {
    if let Some(obstacle) = obstacle(caller, id).await? {
        return Ok(obstacle);
    }
    sqlx::query!(
        "UPDATE app_user SET access_role = $2 WHERE id = $1",
        id.0,
        role.as_str()
    )
    .execute(caller.connection())
    .await?;
    Ok(Changed::Done)
}

/// Ends an account; it holds from the next request. No change when it has ended.
///
/// # Errors
/// [`DatabaseError`].
pub async fn deactivate(
    caller: &mut CallerTransaction<Deactivate<Users>>,
    id: UserId,
) -> Result<Changed, DatabaseError> {
    if let Some(obstacle) = obstacle(caller, id).await? {
        return Ok(obstacle);
    }
    sqlx::query!("UPDATE app_user SET active = false WHERE id = $1", id.0)
        .execute(caller.connection())
        .await?;
    Ok(Changed::Done)
}
