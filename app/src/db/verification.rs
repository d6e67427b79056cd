//! Verification of all data, such as after a restore: the audit log is intact, every sealed value opens, and the numbers
//! agree with each other.

use serde::Serialize;
use sqlx::{Connection, PgConnection};

use super::{DatabaseError, maintenance, patient};
use crate::audit::verify::{self, Report};
use crate::crypto::{AuditKey, PhiVault};

/// Two numbers that have to be the same.
#[derive(Debug, Serialize)]
pub struct Count {
    /// What was counted.
    pub name: &'static str,
    /// How many there are.
    pub found: i64,
    /// How many there have to be.
    pub expected: i64,
    /// Whether they are the same.
    pub matches: bool,
}

impl Count {
    fn new(name: &'static str, found: i64, expected: i64) -> Self {
        Self {
            name,
            found,
            expected,
            matches: found == expected,
        }
    }
}

/// What the verification found.
#[derive(Debug, Serialize)]
pub struct Verification {
    /// Whether all is well.
    pub intact: bool,
    /// The audit log.
    pub audit: Report,
    /// Sealed values.
    pub sealed: patient::Opened,
    /// Numbers.
    pub counts: Vec<Count>,
}

/// Verifies, as the owner, in one snapshot. `progress` is told how many links and values were looked at.
///
/// # Errors
/// [`DatabaseError`] when the database fails; what is wrong with the data is in the result.
pub async fn verify(
    connection: &mut PgConnection,
    vault: &PhiVault,
    audit_key: &AuditKey,
    mut progress: impl FnMut(i64),
) -> Result<Verification, DatabaseError> {
    let mut snapshot = connection
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    maintenance::begin(&mut snapshot).await?;
    let audit = verify::verify(&mut snapshot, audit_key, None, &mut progress).await?;
    let links = audit.position;
    let sealed =
        patient::open_all(&mut snapshot, vault, audit_key, |opened| progress(links + opened)).await?;
    let counts = counts(&mut snapshot, &audit, &sealed).await?;
    Ok(Verification {
        intact: audit.intact && sealed.failed == 0 && counts.iter().all(|count| count.matches),
        audit,
        sealed,
        counts,
    })
}

async fn counts(
    connection: &mut PgConnection,
    audit: &Report,
    sealed: &patient::Opened,
) -> Result<Vec<Count>, DatabaseError> {
    let found = sqlx::query!(
        r#"SELECT (SELECT count(*) FROM patient) AS "patients!",
                  (SELECT count(*) FROM patient WHERE shredded_at IS NOT NULL) AS "shredded!",
                  (SELECT count(*) FROM audit_event) AS "rows!",
                  (SELECT count(*) FROM audit_event
                   WHERE action = 'create' AND resource = 'patient' AND outcome = 'success') AS "admissions!",
                  (SELECT count(*) FROM audit_event
                   WHERE action = 'shred' AND resource = 'patient' AND outcome = 'success') AS "destructions!""#
    )
    .fetch_one(connection)
    .await?;
    let mut counts = vec![
        Count::new("audit rows", found.rows, audit.rows + audit.unsealed),
        Count::new("audit links", audit.position, audit.rows + audit.pruned),
        Count::new(
            "records that open",
            sealed.records,
            found.patients - found.shredded,
        ),
    ];
    // Pruned rows no longer tell of these.
    if audit.pruned == 0 {
        counts.push(Count::new("patients", found.patients, found.admissions));
        counts.push(Count::new("destroyed keys", found.shredded, found.destructions));
    }
    Ok(counts)
}
