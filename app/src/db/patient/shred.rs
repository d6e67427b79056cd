//! Destroying the key of one patient's record: what it sealed is unreadable from then on, also in the audit log's diffs.

use sqlx::{Connection, PgConnection};

use crate::audit::{AuditEvent, Outcome, RequestOrigin};
use crate::crypto::{AuditKey, SecretKey};
use crate::db::{DatabaseError, maintenance, write_audit};
use crate::domain::PatientId;
use crate::policy::{Action, ResourceKind};

/// Destroys the key as the owner, empties the sealed columns, ends every relation of care, and records the reason. No
/// when there is no such patient or the key was destroyed before.
///
/// # Errors
/// [`DatabaseError`]; nothing happened then.
pub async fn shred(
    connection: &mut PgConnection,
    audit_key: &AuditKey,
    id: PatientId,
    reason: String,
) -> Result<bool, DatabaseError> {
    let mut transaction = connection.begin().await?;
    maintenance::begin(&mut transaction).await?;
    // In the place of the record number's index: nothing that anybody can look up, and unique.
    let noise = SecretKey::generate().map_err(|_| crate::crypto::SealError::Cipher)?;
    let shredded = sqlx::query!(
        "UPDATE patient
         SET shredded_at = clock_timestamp(), version = version + 1, kek_id = $3, data_key = '',
             record_number_index = $2, record_number = '', family_name = '', given_name = '', date_of_birth = '',
             notes = NULL, updated_at = clock_timestamp()
         WHERE id = $1 AND shredded_at IS NULL",
        id.0,
        &noise.hmac(id.0.as_bytes())[..],
        &[0; 16][..],
    )
    .execute(&mut *transaction)
    .await?
    .rows_affected()
        > 0;
    if shredded {
        sqlx::query!("DELETE FROM care_relation WHERE patient_id = $1", id.0)
            .execute(&mut *transaction)
            .await?;
        // A reason for an emergency access speaks of the patient, too.
        sqlx::query!(
            "UPDATE emergency_access SET kek_id = $2, data_key = '', reason = '' WHERE patient_id = $1",
            id.0,
            &[0; 16][..]
        )
        .execute(&mut *transaction)
        .await?;
        let origin = RequestOrigin::internal();
        let event = AuditEvent {
            resource_ids: vec![id.0],
            purpose: Some(reason),
            ..AuditEvent::new(Action::Shred, ResourceKind::Patient, Outcome::Success, origin)
        };
        write_audit(&mut *transaction, audit_key, &event).await?;
    }
    transaction.commit().await?;
    Ok(shredded)
}
