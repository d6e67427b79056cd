//! Rotation of the key-encryption key: every data key is wrapped anew, in batches, while the application serves.
//!
//! A data key is good in either wrapping as long as both keys are mounted, and each batch is one transaction: stopped at
//! any point, the work goes on from there when it is started again (ASVS 11.1.1, 13.3.4).

use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

mod holder;

use holder::Holder;

use super::{DatabaseError, maintenance, write_audit};
use crate::audit::{AuditEvent, Outcome, RequestOrigin};
use crate::crypto::{AuditKey, PhiVault, RewrapError};
use crate::metrics::Metrics;
use crate::policy::{Action, ResourceKind};

/// How often the metrics learn how far a rotation is.
const MEASURED_EVERY: std::time::Duration = std::time::Duration::from_mins(1);

/// How the data keys are wrapped at present.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage {
    /// By the active key.
    pub active: i64,
    /// By another key that is at hand.
    pub other: i64,
    /// By a key that is not at hand: they do not open.
    pub unknown: i64,
}

/// Counts. The serving role may do this, too.
///
/// # Errors
/// [`DatabaseError`].
pub async fn usage(connection: &mut PgConnection, vault: &PhiVault) -> Result<KeyUsage, DatabaseError> {
    let rows = sqlx::query!(r#"SELECT kek_id AS "kek_id!", data_keys AS "data_keys!" FROM data_key_usage()"#)
        .fetch_all(connection)
        .await?;
    let mut usage = KeyUsage::default();
    for row in rows {
        if row.kek_id == vault.active_kek() {
            usage.active += row.data_keys;
        } else if vault.has_kek(&row.kek_id) {
            usage.other += row.data_keys;
        } else {
            usage.unknown += row.data_keys;
        }
    }
    Ok(usage)
}

/// Keeps the metrics equal to [`usage`]. Runs until it is dropped.
pub async fn measure(pool: PgPool, vault: std::sync::Arc<PhiVault>, metrics: std::sync::Arc<Metrics>) {
    loop {
        // A database that cannot be asked is reported by readiness.
        if let Ok(mut connection) = pool.acquire().await
            && let Ok(usage) = usage(&mut connection, &vault).await
        {
            for (state, count) in [
                ("active", usage.active),
                ("other", usage.other),
                ("unknown", usage.unknown),
            ] {
                metrics.data_keys.with_label_values(&[state]).set(count);
            }
        }
        tokio::time::sleep(MEASURED_EVERY).await;
    }
}

/// What a rotation did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// Data keys that were wrapped anew.
    pub rewrapped: u64,
    /// Data keys that could not be opened; they are as they were.
    pub failed: u64,
}

/// Names of the tables whose rows have a data key of their own.
pub fn tables() -> Vec<&'static str> {
    Holder::ALL.into_iter().map(Holder::table).collect()
}

/// Wraps every data key with the active key that is not yet, as the owner. `progress` is told how many are done.
///
/// # Errors
/// [`DatabaseError`]; the batches before stay done.
pub async fn rotate(
    connection: &mut PgConnection,
    vault: &PhiVault,
    audit_key: &AuditKey,
    batch: i64,
    mut progress: impl FnMut(u64),
) -> Result<Rotated, DatabaseError> {
    let mut done = Rotated::default();
    for holder in Holder::ALL {
        let mut after = Uuid::nil();
        while let Some(last) =
            rotate_batch(connection, vault, audit_key, holder, (after, batch), &mut done).await?
        {
            after = last;
            progress(done.rewrapped);
        }
    }
    if done.failed == 0 {
        forget_unused_keys(connection, vault).await?;
    }
    Ok(done)
}

/// Gives the last row of the batch; nothing when there was none.
async fn rotate_batch(
    connection: &mut PgConnection,
    vault: &PhiVault,
    audit_key: &AuditKey,
    holder: Holder,
    (after, batch): (Uuid, i64),
    done: &mut Rotated,
) -> Result<Option<Uuid>, DatabaseError> {
    let mut transaction = connection.begin().await?;
    maintenance::begin(&mut transaction).await?;
    // The locks keep others from changing these rows until the batch is committed, which takes milliseconds.
    let rows = holder
        .take(&mut transaction, vault.active_kek(), after, batch)
        .await?;
    let mut rewrapped = 0;
    for row in &rows {
        let wrapped = match vault.rewrap(row.id, &row.kek_id, &row.data_key).await {
            Ok(wrapped) => wrapped,
            Err(RewrapError::Seal(error)) => return Err(error.into()),
            Err(RewrapError::Open(_)) => {
                done.failed += 1;
                continue;
            }
        };
        holder.put(&mut transaction, row.id, &wrapped).await?;
        rewrapped += 1;
    }
    if rewrapped > 0 {
        let origin = RequestOrigin::internal();
        let event = AuditEvent {
            patient_ids: match holder {
                Holder::Patient => rows.iter().map(|row| row.id).collect(),
                Holder::EmergencyAccess | Holder::Totp => Vec::new(),
            },
            ..AuditEvent::new(Action::Rotate, ResourceKind::Key, Outcome::Success, origin)
        };
        write_audit(&mut *transaction, audit_key, &event).await?;
    }
    transaction.commit().await?;
    done.rewrapped += rewrapped;
    Ok(rows.last().map(|row| row.id))
}

/// A process that still has a former key only must not become ready any more.
async fn forget_unused_keys(connection: &mut PgConnection, vault: &PhiVault) -> Result<(), DatabaseError> {
    let mut transaction = connection.begin().await?;
    maintenance::begin(&mut transaction).await?;
    sqlx::query!(
        "DELETE FROM key_fingerprint
         WHERE purpose = 'phi-kek' AND fingerprint <> $1
           AND EXISTS (SELECT FROM key_fingerprint WHERE purpose = 'phi-kek' AND fingerprint = $1)
           AND NOT EXISTS (SELECT FROM patient WHERE kek_id = fingerprint)
           AND NOT EXISTS (SELECT FROM emergency_access WHERE kek_id = fingerprint)
           AND NOT EXISTS (SELECT FROM user_totp WHERE kek_id = fingerprint)",
        &vault.active_kek()[..]
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}
