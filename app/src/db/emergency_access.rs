//! Emergency access. How long one holds is for the database's clock to say.

use jiff::Timestamp;
use uuid::Uuid;

use super::{CallerTransaction, DatabaseError};
use crate::crypto::{Location, PhiVault};
use crate::domain::{EmergencyAccessId, EmergencyMinutes, EmergencyReason, PatientId, UserId, Verdict};
use crate::policy::{BreakGlass, EmergencyAccesses, List, Review};

/// Name of the constraint that an access to an unknown patient breaks.
const PATIENT_KNOWN: &str = "emergency_access_patient_known";

/// Most open reviews that are shown at once.
pub const LARGEST_PAGE: i64 = 100;

fn reason_of(id: Uuid) -> Location {
    Location {
        table: "emergency_access",
        column: "reason",
        row: id,
    }
}

/// Gives the caller access to a patient until the time it returns; nothing when there is no such patient.
///
/// # Errors
/// [`DatabaseError`].
pub async fn grant(
    caller: &mut CallerTransaction<BreakGlass<EmergencyAccesses>>,
    vault: &PhiVault,
    id: EmergencyAccessId,
    patient: PatientId,
    reason: &EmergencyReason,
    minutes: EmergencyMinutes,
) -> Result<Option<Timestamp>, DatabaseError> {
    let (key, wrapped) = vault.new_data_key(id.0).await?;
    let reason = key.seal(&reason_of(id.0), reason.expose())?;
    // No RETURNING: only reviewers see the row. now() is the same for both statements.
    let expires_at = sqlx::query_scalar!(
        r#"SELECT now() + make_interval(mins => $1) AS "expires_at!: jiff_sqlx::Timestamp""#,
        minutes.get()
    )
    .fetch_one(caller.connection())
    .await?;
    let user = caller.user();
    let stored = sqlx::query!(
        "INSERT INTO emergency_access (id, user_id, patient_id, kek_id, data_key, reason, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(mins => $7))",
        id.0,
        user.0,
        patient.0,
        &wrapped.kek_id[..],
        wrapped.sealed,
        reason,
        minutes.get()
    )
    .execute(caller.connection())
    .await;
    match stored {
        Ok(_) => Ok(Some(expires_at.to_jiff())),
        Err(error)
            if error.as_database_error().and_then(|error| error.constraint()) == Some(PATIENT_KNOWN) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// An emergency access that waits for its review.
pub struct OpenReview {
    /// Identity.
    pub id: EmergencyAccessId,
    /// Whose access it is.
    pub user: UserId,
    /// To which patient.
    pub patient: PatientId,
    /// Why; absent when the patient's data were destroyed.
    pub reason: Option<EmergencyReason>,
    /// From when.
    pub granted_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

/// The accesses that wait for a review, oldest first, at most [`LARGEST_PAGE`].
///
/// # Errors
/// [`DatabaseError`].
pub async fn open_reviews(
    caller: &mut CallerTransaction<List<EmergencyAccesses>>,
    vault: &PhiVault,
) -> Result<Vec<OpenReview>, DatabaseError> {
    let rows = sqlx::query!(
        r#"SELECT id, user_id, patient_id, kek_id, data_key, reason, granted_at AS "granted_at: jiff_sqlx::Timestamp",
                  expires_at AS "expires_at: jiff_sqlx::Timestamp"
           FROM emergency_access WHERE reviewed_at IS NULL ORDER BY id LIMIT $1"#,
        LARGEST_PAGE
    )
    .fetch_all(caller.connection())
    .await?;
    let mut reviews = Vec::with_capacity(rows.len());
    for row in rows {
        let reason = if row.data_key.is_empty() {
            None
        } else {
            Some(open_reason(vault, row.id, &row.kek_id, &row.data_key, &row.reason).await?)
        };
        reviews.push(OpenReview {
            id: EmergencyAccessId(row.id),
            user: UserId(row.user_id),
            patient: PatientId(row.patient_id),
            reason,
            granted_at: row.granted_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
        });
    }
    Ok(reviews)
}

/// The reason of an access, out of its sealed form.
///
/// # Errors
/// [`DatabaseError::Open`] when it does not open.
pub(super) async fn open_reason(
    vault: &PhiVault,
    id: Uuid,
    kek_id: &[u8],
    data_key: &[u8],
    reason: &[u8],
) -> Result<EmergencyReason, DatabaseError> {
    let key = vault.data_key(id, kek_id, data_key).await?;
    Ok(EmergencyReason::parse(&key.open(&reason_of(id), reason)?)?)
}

/// What became of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reviewed {
    /// It is closed.
    Done,
    /// It is the caller's own access.
    Own,
    /// Somebody was first.
    Already,
    /// There is no such access.
    NotFound,
}

/// Closes the review of an access with a verdict.
///
/// # Errors
/// [`DatabaseError`].
pub async fn review(
    caller: &mut CallerTransaction<Review<EmergencyAccesses>>,
    id: EmergencyAccessId,
    verdict: Verdict,
) -> Result<Reviewed, DatabaseError> {
    let reviewer = caller.user();
    let user = sqlx::query_scalar!("SELECT user_id FROM emergency_access WHERE id = $1", id.0)
        .fetch_optional(caller.connection())
        .await?;
    match user {
        None => return Ok(Reviewed::NotFound),
        Some(user) if user == reviewer.0 => return Ok(Reviewed::Own),
        Some(_) => {}
    }
    let closed = sqlx::query!(
        "UPDATE emergency_access SET reviewed_by = $2, reviewed_at = clock_timestamp(), verdict = $3
         WHERE id = $1 AND reviewed_at IS NULL",
        id.0,
        reviewer.0,
        verdict.as_str()
    )
    .execute(caller.connection())
    .await?
    .rows_affected();
    Ok(if closed > 0 {
        Reviewed::Done
    } else {
        Reviewed::Already
    })
}
