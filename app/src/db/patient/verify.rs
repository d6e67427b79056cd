//! Opening every sealed value once, to know that it opens.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{SealedPatient, diff_of, record_number_index};
use crate::crypto::{AuditKey, DataKey, PhiVault};
use crate::db::{DatabaseError, emergency_access};
use crate::policy::Field;

/// Rows that are read at a time.
const BATCH: i64 = 500;
/// Failures that are listed; all are counted.
const LISTED: usize = 100;

/// How the sealed values did.
#[derive(Debug, Default, serde::Serialize)]
pub struct Opened {
    /// Records of which every column opened, with the index that belongs to the record number.
    pub records: i64,
    /// Reasons for emergency accesses that opened.
    pub reasons: i64,
    /// Purposes and diffs of the audit log that opened.
    pub audit_values: i64,
    /// Diffs whose patient's key was destroyed.
    pub shredded: i64,
    /// What did not open.
    pub failed: i64,
    /// Ids of the first of these: patients and rows of the audit log.
    pub failures: Vec<Uuid>,
}

impl Opened {
    fn failed(&mut self, id: Uuid) {
        self.failed += 1;
        if self.failures.len() < LISTED {
            self.failures.push(id);
        }
    }
}

/// Opens everything, as the owner in a transaction for maintenance. `progress` is told how many values were opened.
///
/// # Errors
/// [`DatabaseError`] when the database fails; a value that does not open is counted.
pub async fn open_all(
    connection: &mut PgConnection,
    vault: &PhiVault,
    audit_key: &AuditKey,
    mut progress: impl FnMut(i64),
) -> Result<Opened, DatabaseError> {
    let mut opened = Opened::default();
    records(connection, vault, &mut opened, &mut progress).await?;
    reasons(connection, vault, &mut opened).await?;
    audit_values(connection, vault, audit_key, &mut opened, &mut progress).await?;
    Ok(opened)
}

async fn records(
    connection: &mut PgConnection,
    vault: &PhiVault,
    opened: &mut Opened,
    progress: &mut impl FnMut(i64),
) -> Result<(), DatabaseError> {
    let mut after = Uuid::nil();
    loop {
        let rows = sqlx::query_as!(
            SealedPatient,
            r#"SELECT id, 'none' AS "relation!", version, kek_id, data_key, record_number, family_name, given_name, date_of_birth, notes,
                      created_at AS "created_at: jiff_sqlx::Timestamp",
                      updated_at AS "updated_at: jiff_sqlx::Timestamp"
               FROM patient WHERE id > $1 AND shredded_at IS NULL ORDER BY id LIMIT $2"#,
            after,
            BATCH
        )
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = rows.last().map(|row| row.id) else {
            return Ok(());
        };
        let indexes = sqlx::query!(
            "SELECT id, record_number_index FROM patient WHERE id > $1 AND id <= $2",
            after,
            last
        )
        .fetch_all(&mut *connection)
        .await?;
        let indexes: HashMap<Uuid, Vec<u8>> = indexes
            .into_iter()
            .map(|row| (row.id, row.record_number_index))
            .collect();
        for row in rows {
            let id = row.id;
            match row.open(&Field::ALL, vault).await {
                Ok(patient)
                    if indexes.get(&id).map(Vec::as_slice)
                        == Some(record_number_index(vault, &patient.record.record_number).as_bytes()) =>
                {
                    opened.records += 1;
                }
                Ok(_) | Err(DatabaseError::Open(_) | DatabaseError::Stored(_)) => opened.failed(id),
                Err(error) => return Err(error),
            }
        }
        after = last;
        progress(opened.records);
    }
}

async fn reasons(
    connection: &mut PgConnection,
    vault: &PhiVault,
    opened: &mut Opened,
) -> Result<(), DatabaseError> {
    let mut after = Uuid::nil();
    loop {
        let rows = sqlx::query!(
            "SELECT id, kek_id, data_key, reason FROM emergency_access
             WHERE id > $1 AND data_key <> '' ORDER BY id LIMIT $2",
            after,
            BATCH
        )
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = last.id;
        for row in rows {
            match emergency_access::open_reason(vault, row.id, &row.kek_id, &row.data_key, &row.reason).await
            {
                Ok(_) => opened.reasons += 1,
                Err(DatabaseError::Open(_) | DatabaseError::Stored(_)) => opened.failed(row.id),
                Err(error) => return Err(error),
            }
        }
    }
}

async fn audit_values(
    connection: &mut PgConnection,
    vault: &PhiVault,
    audit_key: &AuditKey,
    opened: &mut Opened,
    progress: &mut impl FnMut(i64),
) -> Result<(), DatabaseError> {
    let mut after = 0;
    loop {
        let rows = sqlx::query!(
            r#"SELECT event.sequence, event.id, event.purpose, event.diff, patient.id AS "patient?",
                      patient.kek_id AS "kek_id?", patient.data_key AS "data_key?",
                      patient.shredded_at IS NOT NULL AS "shredded!"
               FROM audit_event AS event
               LEFT JOIN patient ON event.diff IS NOT NULL AND patient.id = event.resource_ids[1]
               WHERE event.sequence > $1 AND (event.purpose IS NOT NULL OR event.diff IS NOT NULL)
               ORDER BY event.sequence LIMIT $2"#,
            after,
            BATCH
        )
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = rows.last().map(|row| row.sequence) else {
            return Ok(());
        };
        for row in rows {
            if let Some(purpose) = &row.purpose {
                match audit_key.open_purpose(row.id, purpose) {
                    Ok(_) => opened.audit_values += 1,
                    Err(_) => opened.failed(row.id),
                }
            }
            let Some(diff) = &row.diff else { continue };
            if row.shredded {
                opened.shredded += 1;
                continue;
            }
            let key: Option<DataKey> = match (row.patient, row.kek_id, row.data_key) {
                (Some(patient), Some(kek_id), Some(data_key)) => {
                    vault.data_key(patient, &kek_id, &data_key).await.ok()
                }
                _ => None,
            };
            match key.map(|key| key.open(&diff_of(row.id), diff)) {
                Some(Ok(_)) => opened.audit_values += 1,
                _ => opened.failed(row.id),
            }
        }
        after = last;
        progress(opened.records + opened.audit_values);
    }
}
