//! Care teams. Who may see and change one is decided by row-level security.

use jiff::Timestamp;

use super::{CallerTransaction, DatabaseError};
use crate::domain::{PatientId, Role, UserId};
use crate::policy::{CareTeams, Create, Delete, List, Privilege};

/// Somebody who cares for a patient.
pub struct Caregiver {
    /// Identity.
    pub user: UserId,
    /// Name for display.
    pub display_name: String,
    /// Role; absent when this version does not know it.
    pub role: Option<Role>,
    /// Since when.
    pub since: Timestamp,
}

/// The care team of a patient, longest members first; empty when the caller is not in it.
///
/// # Errors
/// [`DatabaseError`].
pub async fn list(
    caller: &mut CallerTransaction<List<CareTeams>>,
    patient: PatientId,
) -> Result<Vec<Caregiver>, DatabaseError> {
    let rows = sqlx::query!(
        r#"SELECT relation.user_id, relation.since AS "since: jiff_sqlx::Timestamp", account.display_name,
                  account.access_role
           FROM care_relation AS relation JOIN app_user AS account ON account.id = relation.user_id
           WHERE relation.patient_id = $1 ORDER BY relation.since, relation.user_id"#,
        patient.0
    )
    .fetch_all(caller.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Caregiver {
            user: UserId(row.user_id),
            display_name: row.display_name,
            role: Role::parse(&row.access_role),
            since: row.since.to_jiff(),
        })
        .collect())
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It is as asked.
    Done,
    /// One does not take oneself out of a team.
    Oneself,
    /// There is no such patient in the caller's care, or no such member of staff.
    NotFound,
}

async fn cares_for<P: Privilege>(
    caller: &mut CallerTransaction<P>,
    patient: PatientId,
) -> Result<bool, DatabaseError> {
    let cares = sqlx::query_scalar!(r#"SELECT cares_for($1) AS "cares!""#, patient.0)
        .fetch_one(caller.connection())
        .await?;
    Ok(cares)
}

/// Brings a doctor, nurse or radiologist into the team; no change when they are in it.
///
/// # Errors
/// [`DatabaseError`].
pub async fn add(
    caller: &mut CallerTransaction<Create<CareTeams>>,
    patient: PatientId,
    member: UserId,
) -> Result<Changed, DatabaseError> {
    let known = sqlx::query_scalar!(r#"SELECT is_caregiver($1) AS "known!""#, member.0)
        .fetch_one(caller.connection())
        .await?;
    if !known || !cares_for(caller, patient).await? {
        return Ok(Changed::NotFound);
    }
    sqlx::query!(
        "INSERT INTO care_relation (user_id, patient_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        member.0,
        patient.0
    )
    .execute(caller.connection())
    .await?;
    Ok(Changed::Done)
}

/// Takes another member out of the team.
///
/// # Errors
/// [`DatabaseError`].
pub async fn remove(
    caller: &mut CallerTransaction<Delete<CareTeams>>,
    patient: PatientId,
    member: UserId,
) -> Result<Changed, DatabaseError> {
    if member == caller.user() && cares_for(caller, patient).await? {
        return Ok(Changed::Oneself);
    }
    let removed = sqlx::query!(
        "DELETE FROM care_relation WHERE user_id = $1 AND patient_id = $2",
        member.0,
        patient.0
    )
    .execute(caller.connection())
    .await?
    .rows_affected();
    Ok(if removed > 0 {
        Changed::Done
    } else {
        Changed::NotFound
    })
}
