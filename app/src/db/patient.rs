//! Patients. Columns are sealed on the way in and opened on the way out; which rows there are is decided by row-level
//! security, so the queries say nothing about the caller.

mod diff;
mod shred;
mod verify;

use jiff::Timestamp;
use uuid::Uuid;

use super::{CallerTransaction, DatabaseError};
use crate::crypto::{BlindIndex, DataKey, Location, PhiVault};
use crate::domain::{DateOfBirth, Notes, Patient, PatientId, PatientRecord, PersonName, RecordNumber};
use crate::policy::{Create, Field, List, Patients, Privilege, Read, Relation, Search, Update};

pub use shred::shred;
pub use verify::{Opened, open_all};

const TABLE: &str = "patient";

/// Name of the constraint that a second patient with the same record number breaks.
pub const RECORD_NUMBER_UNIQUE: &str = "patient_record_number_unique";

/// A row as it is stored, and how the caller stands to it.
struct SealedPatient {
    id: Uuid,
    relation: String,
    version: i64,
    kek_id: Vec<u8>,
    data_key: Vec<u8>,
    record_number: Vec<u8>,
    family_name: Vec<u8>,
    given_name: Vec<u8>,
    date_of_birth: Vec<u8>,
    notes: Option<Vec<u8>>,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
}

impl SealedPatient {
    fn relation(&self) -> Relation {
        Relation::parse(&self.relation)
    }

    /// Opens what the caller may see. Demographics go with every permission to see a patient at all; the notes do not,
    /// and stay sealed then.
    async fn open(&self, permitted: &[Field], vault: &PhiVault) -> Result<Patient, DatabaseError> {
        let shows_notes = permitted.contains(&Field::Notes);
        let key = vault.data_key(self.id, &self.kek_id, &self.data_key).await?;
        Ok(Patient {
            id: PatientId(self.id),
            relation: self.relation(),
            shows_notes,
            version: self.version,
            record: self.record(&key, shows_notes)?,
            created_at: self.created_at.to_jiff(),
            updated_at: self.updated_at.to_jiff(),
        })
    }

    fn record(&self, key: &DataKey, with_notes: bool) -> Result<PatientRecord, DatabaseError> {
        let text = |column, sealed: &[u8]| {
            key.open(
                &Location {
                    table: TABLE,
                    column,
                    row: self.id,
                },
                sealed,
            )
        };
        let notes = self
            .notes
            .as_deref()
            .filter(|_| with_notes)
            .map(|sealed| text("notes", sealed))
            .transpose()?;
        Ok(PatientRecord {
            record_number: RecordNumber::parse(&text("record_number", &self.record_number)?)?,
            family_name: PersonName::parse(&text("family_name", &self.family_name)?)?,
            given_name: PersonName::parse(&text("given_name", &self.given_name)?)?,
            date_of_birth: DateOfBirth::stored(&text("date_of_birth", &self.date_of_birth)?)?,
            notes: notes.as_deref().map(Notes::parse).transpose()?,
        })
    }
}

/// Seals the columns of one patient.
struct Sealer<'a> {
    key: &'a DataKey,
    id: PatientId,
}

impl Sealer<'_> {
    fn seal(&self, column: &'static str, text: &str) -> Result<Vec<u8>, DatabaseError> {
        let location = Location {
            table: TABLE,
            column,
            row: self.id.0,
        };
        Ok(self.key.seal(&location, text)?)
    }

    fn notes(&self, record: &PatientRecord) -> Result<Option<Vec<u8>>, DatabaseError> {
        let notes = record.notes.as_ref();
        notes.map(|notes| self.seal("notes", notes.expose())).transpose()
    }
}

fn record_number_index(vault: &PhiVault, number: &RecordNumber) -> BlindIndex {
    vault.blind_index(TABLE, "record_number", &number.normalised())
}

/// Stores a new patient in the care of the caller.
///
/// # Errors
/// [`DatabaseError::Conflict`] with [`RECORD_NUMBER_UNIQUE`] when the record number is taken.
pub async fn create(
    caller: &mut CallerTransaction<Create<Patients>>,
    vault: &PhiVault,
    id: PatientId,
    record: PatientRecord,
) -> Result<Patient, DatabaseError> {
    let (key, wrapped) = vault.new_data_key(id.0).await?;
    let sealer = Sealer { key: &key, id };
    // No RETURNING and no default: the row is visible to its creator only after the trigger wrote the relation.
    // PostgreSQL keeps microseconds.
    let now = Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap_or(Timestamp::UNIX_EPOCH);
    let user = caller.user();
    let number_index = record_number_index(vault, &record.record_number);
    sqlx::query!(
        "INSERT INTO patient (id, kek_id, data_key, record_number_index, record_number, family_name, given_name,
                              date_of_birth, notes, created_by, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        id.0,
        &wrapped.kek_id[..],
        wrapped.sealed,
        number_index.as_bytes(),
        sealer.seal("record_number", record.record_number.expose())?,
        sealer.seal("family_name", record.family_name.expose())?,
        sealer.seal("given_name", record.given_name.expose())?,
        sealer.seal("date_of_birth", &record.date_of_birth.expose())?,
        sealer.notes(&record)?,
        user.0,
        jiff_sqlx::Timestamp::from(now) as _,
    )
    .execute(caller.connection())
    .await?;
    Ok(Patient {
        id,
        relation: Relation::Care,
        shows_notes: true,
        version: 1,
        record,
        created_at: now,
        updated_at: now,
    })
}

/// The patient of this id, when the caller may see them.
///
/// # Errors
/// [`DatabaseError`].
pub async fn find(
    caller: &mut CallerTransaction<Read<Patients>>,
    vault: &PhiVault,
    id: PatientId,
) -> Result<Option<Patient>, DatabaseError> {
    by_id(caller, vault, id).await
}

/// The same, for a search.
///
/// # Errors
/// [`DatabaseError`].
pub async fn find_by_id(
    caller: &mut CallerTransaction<Search<Patients>>,
    vault: &PhiVault,
    id: PatientId,
) -> Result<Option<Patient>, DatabaseError> {
    by_id(caller, vault, id).await
}

async fn by_id<P: Privilege>(
    caller: &mut CallerTransaction<P>,
    vault: &PhiVault,
    id: PatientId,
) -> Result<Option<Patient>, DatabaseError> {
    let row = sqlx::query_as!(
        SealedPatient,
        r#"SELECT id, relation_to(id) AS "relation!", version, kek_id, data_key, record_number, family_name, given_name,
                  date_of_birth, notes, created_at AS "created_at: jiff_sqlx::Timestamp", updated_at AS "updated_at: jiff_sqlx::Timestamp"
           FROM patient WHERE id = $1"#,
        id.0
    )
    .fetch_optional(caller.connection())
    .await?;
    match row {
        Some(row) => row.open(caller.fields(row.relation()), vault).await.map(Some),
        None => Ok(None),
    }
}

/// The patients whom the caller may see, in the order of their admission, after `after`, at most `limit`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn list(
    caller: &mut CallerTransaction<List<Patients>>,
    vault: &PhiVault,
    after: Option<PatientId>,
    limit: i64,
) -> Result<Vec<Patient>, DatabaseError> {
    let rows = sqlx::query_as!(
        SealedPatient,
        r#"SELECT id, relation_to(id) AS "relation!", version, kek_id, data_key, record_number, family_name, given_name,
                  date_of_birth, notes, created_at AS "created_at: jiff_sqlx::Timestamp", updated_at AS "updated_at: jiff_sqlx::Timestamp"
           FROM patient WHERE id > $1 ORDER BY id LIMIT $2"#,
        after.map_or(Uuid::nil(), |after| after.0),
        limit
    )
    .fetch_all(caller.connection())
    .await?;
    let mut patients = Vec::with_capacity(rows.len());
    for row in rows {
        patients.push(row.open(caller.fields(row.relation()), vault).await?);
    }
    Ok(patients)
}

/// The patient with this record number, when the caller may see them.
///
/// # Errors
/// [`DatabaseError`].
pub async fn find_by_record_number(
    caller: &mut CallerTransaction<Search<Patients>>,
    vault: &PhiVault,
    number: &RecordNumber,
) -> Result<Option<Patient>, DatabaseError> {
    let index = record_number_index(vault, number);
    let row = sqlx::query_as!(
        SealedPatient,
        r#"SELECT id, relation_to(id) AS "relation!", version, kek_id, data_key, record_number, family_name, given_name,
                  date_of_birth, notes, created_at AS "created_at: jiff_sqlx::Timestamp", updated_at AS "updated_at: jiff_sqlx::Timestamp"
           FROM patient WHERE record_number_index = $1"#,
        index.as_bytes()
    )
    .fetch_optional(caller.connection())
    .await?;
    match row {
        Some(row) => row.open(caller.fields(row.relation()), vault).await.map(Some),
        None => Ok(None),
    }
}

/// Where the audit log keeps what an event changed.
fn diff_of(event: Uuid) -> Location {
    Location {
        table: "audit_event",
        column: "diff",
        row: event,
    }
}

/// What became of an update.
pub enum Updated {
    /// It was done.
    Done(Box<Patient>),
    /// The patient is at another version by now.
    Stale,
    /// The caller may not change these fields.
    Forbidden(Vec<Field>),
    /// There is no such patient, or none whom the caller may change.
    NotFound,
}

/// Replaces the record of a patient if they are still at one of `versions`, or at any when that is absent. A field that
/// the caller may not see is left as it is when the new record does not hold it.
///
/// # Errors
/// [`DatabaseError::Conflict`] with [`RECORD_NUMBER_UNIQUE`] when another patient has the new record number.
pub async fn replace(
    caller: &mut CallerTransaction<Update<Patients>>,
    vault: &PhiVault,
    id: PatientId,
    versions: Option<&[i64]>,
    record: PatientRecord,
) -> Result<Updated, DatabaseError> {
    // The lock makes the comparison and the change one step for everybody else.
    let stored = sqlx::query_as!(
        SealedPatient,
        r#"SELECT id, relation_to(id) AS "relation!", version, kek_id, data_key, record_number, family_name, given_name,
                  date_of_birth, notes, created_at AS "created_at: jiff_sqlx::Timestamp",
                  updated_at AS "updated_at: jiff_sqlx::Timestamp"
           FROM patient WHERE id = $1 FOR NO KEY UPDATE"#,
        id.0
    )
    .fetch_optional(caller.connection())
    .await?;
    let Some(stored) = stored else {
        return Ok(Updated::NotFound);
    };
    if versions.is_some_and(|versions| !versions.contains(&stored.version)) {
        return Ok(Updated::Stale);
    }
    let key = vault.data_key(id.0, &stored.kek_id, &stored.data_key).await?;
    let relation = stored.relation();
    let permitted = caller.fields(relation);
    // A record that does not open can still be replaced with a good one, by whom may change all of it.
    let before = stored.record(&key, permitted.contains(&Field::Notes)).ok();
    let changed = before
        .as_ref()
        .map_or_else(|| Field::ALL.to_vec(), |before| before.differences(&record));
    let forbidden: Vec<_> = changed
        .iter()
        .copied()
        .filter(|field| !permitted.contains(field))
        .collect();
    if !forbidden.is_empty() {
        return Ok(Updated::Forbidden(forbidden));
    }
    let event = caller.event_id();
    caller.changed(key.seal(&diff_of(event), &diff::between(before.as_ref(), &record))?);
    // What did not change keeps its sealed form: the database tells by it which fields a caller changes.
    let sealer = Sealer { key: &key, id };
    let resealed = |field, column, text: &str| {
        changed
            .contains(&field)
            .then(|| sealer.seal(column, text))
            .transpose()
    };
    let number_index = record_number_index(vault, &record.record_number);
    let updated = sqlx::query!(
        r#"UPDATE patient
           SET version = version + 1, record_number_index = $2, record_number = coalesce($3, record_number),
               family_name = coalesce($4, family_name), given_name = coalesce($5, given_name),
               date_of_birth = coalesce($6, date_of_birth), notes = CASE WHEN $7 THEN $8 ELSE notes END,
               updated_at = clock_timestamp()
           WHERE id = $1
           RETURNING version, updated_at AS "updated_at: jiff_sqlx::Timestamp""#,
        id.0,
        number_index.as_bytes(),
        resealed(
            Field::RecordNumber,
            "record_number",
            record.record_number.expose()
        )?,
        resealed(Field::FamilyName, "family_name", record.family_name.expose())?,
        resealed(Field::GivenName, "given_name", record.given_name.expose())?,
        resealed(
            Field::DateOfBirth,
            "date_of_birth",
            &record.date_of_birth.expose()
        )?,
        changed.contains(&Field::Notes),
        sealer.notes(&record)?,
    )
    .fetch_one(caller.connection())
    .await?;
    Ok(Updated::Done(Box::new(Patient {
        id,
        relation,
        shows_notes: permitted.contains(&Field::Notes),
        version: updated.version,
        record,
        created_at: stored.created_at.to_jiff(),
        updated_at: updated.updated_at.to_jiff(),
    })))
}
