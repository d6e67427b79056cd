//! The chain over the audit log: what is not sealed yet, links, checkpoints, tombstones.

use jiff::Timestamp;
use sqlx::PgConnection;

use super::DatabaseError;
use crate::audit::{Authenticity, Checkpoint, Head, Link, Row, Tombstone};
use crate::crypto::Digest;

/// Key of the advisory lock under which one process at a time seals: "sealer" in ASCII.
const LOCK: i64 = 0x7365_616c_6572;

/// A stored value of a fixed length; what the table's checks do not let in becomes zeros, which verify as nothing.
fn digest(bytes: &[u8]) -> Digest {
    bytes.try_into().unwrap_or_default()
}

/// Takes the right to seal until the end of the transaction; no when another process has it.
///
/// # Errors
/// [`DatabaseError`].
pub async fn try_lock(connection: &mut PgConnection) -> Result<bool, DatabaseError> {
    Ok(
        sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "locked!""#, LOCK)
            .fetch_one(connection)
            .await?,
    )
}

/// Number and time of rows that are in no chain yet, the first ones, at most `limit`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn unsealed(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<(i64, Timestamp)>, DatabaseError> {
    let rows = sqlx::query!(
        r#"SELECT sequence, occurred_at AS "occurred_at: jiff_sqlx::Timestamp"
           FROM audit_unsealed ORDER BY sequence LIMIT $1"#,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.sequence, row.occurred_at.to_jiff()))
        .collect())
}

/// How many rows are in no chain yet, and the time of the oldest.
///
/// # Errors
/// [`DatabaseError`].
pub async fn backlog(connection: &mut PgConnection) -> Result<(i64, Option<Timestamp>), DatabaseError> {
    let row = sqlx::query!(
        r#"SELECT count(*) AS "count!", min(occurred_at) AS "oldest: jiff_sqlx::Timestamp" FROM audit_unsealed"#
    )
    .fetch_one(connection)
    .await?;
    Ok((row.count, row.oldest.map(jiff_sqlx::Timestamp::to_jiff)))
}

/// The rows of these numbers and times.
///
/// # Errors
/// [`DatabaseError`].
pub async fn rows(
    connection: &mut PgConnection,
    wanted: &[(i64, Timestamp)],
) -> Result<Vec<Row>, DatabaseError> {
    let (sequences, times): (Vec<i64>, Vec<jiff_sqlx::Timestamp>) = wanted
        .iter()
        .map(|(sequence, time)| (*sequence, jiff_sqlx::Timestamp::from(*time)))
        .unzip();
    Ok(sqlx::query_as!(
        Row,
        r#"SELECT event.sequence, id, event.occurred_at AS "occurred_at: jiff_sqlx::Timestamp", actor_id, actor_role,
                  session_id, action, resource, resource_ids, patient_ids, outcome, request_id, client_address,
                  purpose, diff, mac
           FROM unnest($1::bigint[], $2::timestamptz[]) AS wanted (sequence, occurred_at)
           JOIN audit_event AS event
               ON event.sequence = wanted.sequence AND event.occurred_at = wanted.occurred_at"#,
        &sequences,
        &times as _,
    )
    .fetch_all(connection)
    .await?)
}

/// Stores links and a checkpoint over the last of them, and takes their rows off the list.
///
/// # Errors
/// [`DatabaseError`].
pub async fn append(
    connection: &mut PgConnection,
    links: &[Link],
    checkpoint: &Checkpoint,
) -> Result<(), DatabaseError> {
    let positions: Vec<i64> = links.iter().map(|link| link.position).collect();
    let sequences: Vec<i64> = links.iter().map(|link| link.sequence).collect();
    let time = |time: Timestamp| jiff_sqlx::Timestamp::from(time);
    let occurred: Vec<_> = links.iter().map(|link| time(link.occurred_at)).collect();
    let sealed: Vec<_> = links.iter().map(|link| time(link.sealed_at)).collect();
    let authenticity: Vec<_> = links
        .iter()
        .map(|link| link.authenticity.as_str().to_owned())
        .collect();
    let contents: Vec<_> = links.iter().map(|link| link.content.to_vec()).collect();
    let values: Vec<_> = links.iter().map(|link| link.link.to_vec()).collect();
    sqlx::query!(
        "INSERT INTO audit_link (position, sequence, occurred_at, sealed_at, authenticity, content, link)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::text[],
                              $6::bytea[], $7::bytea[])",
        &positions,
        &sequences,
        &occurred as _,
        &sealed as _,
        &authenticity,
        &contents,
        &values,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("DELETE FROM audit_unsealed WHERE sequence = ANY($1)", &sequences)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "INSERT INTO audit_checkpoint (position, head, signed_at, signature) VALUES ($1, $2, $3, $4)",
        checkpoint.head.position,
        &checkpoint.head.link[..],
        time(checkpoint.signed_at) as _,
        checkpoint.signature,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The last link's place and value.
///
/// # Errors
/// [`DatabaseError`].
pub async fn head(connection: &mut PgConnection) -> Result<Head, DatabaseError> {
    let row = sqlx::query!("SELECT position, link FROM audit_link ORDER BY position DESC LIMIT 1")
        .fetch_optional(connection)
        .await?;
    Ok(row.map_or(Head::GENESIS, |row| Head {
        position: row.position,
        link: digest(&row.link),
    }))
}

/// Whether the chain holds this link at this place.
///
/// # Errors
/// [`DatabaseError`].
pub async fn holds(connection: &mut PgConnection, head: Head) -> Result<bool, DatabaseError> {
    let link = sqlx::query_scalar!("SELECT link FROM audit_link WHERE position = $1", head.position)
        .fetch_optional(connection)
        .await?;
    Ok(head == Head::GENESIS || link.is_some_and(|link| link == head.link))
}

/// A row of `audit_checkpoint` as it is stored.
struct StoredCheckpoint {
    position: i64,
    head: Vec<u8>,
    signed_at: jiff_sqlx::Timestamp,
    signature: Vec<u8>,
}

impl From<StoredCheckpoint> for Checkpoint {
    fn from(row: StoredCheckpoint) -> Self {
        Self {
            head: Head {
                position: row.position,
                link: digest(&row.head),
            },
            signed_at: row.signed_at.to_jiff(),
            signature: row.signature,
        }
    }
}

/// The newest checkpoint.
///
/// # Errors
/// [`DatabaseError`].
pub async fn newest_checkpoint(connection: &mut PgConnection) -> Result<Option<Checkpoint>, DatabaseError> {
    let row = sqlx::query_as!(
        StoredCheckpoint,
        r#"SELECT position, head, signed_at AS "signed_at: jiff_sqlx::Timestamp", signature
           FROM audit_checkpoint ORDER BY position DESC LIMIT 1"#
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Checkpoint::from))
}

/// The checkpoints after one position up to another.
///
/// # Errors
/// [`DatabaseError`].
pub async fn checkpoints(
    connection: &mut PgConnection,
    after: i64,
    up_to: i64,
) -> Result<Vec<Checkpoint>, DatabaseError> {
    let rows = sqlx::query_as!(
        StoredCheckpoint,
        r#"SELECT position, head, signed_at AS "signed_at: jiff_sqlx::Timestamp", signature
           FROM audit_checkpoint WHERE position > $1 AND position <= $2 ORDER BY position"#,
        after,
        up_to
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Checkpoint::from).collect())
}

/// The links after a position, at most `limit`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn links(
    connection: &mut PgConnection,
    after: i64,
    limit: i64,
) -> Result<Vec<Link>, DatabaseError> {
    let rows = sqlx::query!(
        r#"SELECT position, sequence, occurred_at AS "occurred_at: jiff_sqlx::Timestamp",
                  sealed_at AS "sealed_at: jiff_sqlx::Timestamp", authenticity, content, link
           FROM audit_link WHERE position > $1 ORDER BY position LIMIT $2"#,
        after,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Link {
            position: row.position,
            sequence: row.sequence,
            occurred_at: row.occurred_at.to_jiff(),
            sealed_at: row.sealed_at.to_jiff(),
            authenticity: Authenticity::parse(&row.authenticity).unwrap_or(Authenticity::Forged),
            content: digest(&row.content),
            link: digest(&row.link),
        })
        .collect())
}

/// All tombstones, oldest first.
///
/// # Errors
/// [`DatabaseError`].
pub async fn tombstones(connection: &mut PgConnection) -> Result<Vec<Tombstone>, DatabaseError> {
    let rows = sqlx::query!(
        r#"SELECT before AS "before: jiff_sqlx::Timestamp", pruned, signed_at AS "signed_at: jiff_sqlx::Timestamp",
                  signature
           FROM audit_tombstone ORDER BY before"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Tombstone {
            before: row.before.to_jiff(),
            pruned: row.pruned,
            signed_at: row.signed_at.to_jiff(),
            signature: row.signature,
        })
        .collect())
}

/// Numbers of rows that are neither linked nor waiting for it, which no insert of the program leaves; at most `limit`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn strays(connection: &mut PgConnection, limit: i64) -> Result<Vec<i64>, DatabaseError> {
    Ok(sqlx::query_scalar!(
        "SELECT event.sequence FROM audit_event AS event
         WHERE NOT EXISTS (SELECT FROM audit_link AS link
                           WHERE link.sequence = event.sequence AND link.occurred_at = event.occurred_at)
           AND NOT EXISTS (SELECT FROM audit_unsealed AS waiting
                           WHERE waiting.sequence = event.sequence AND waiting.occurred_at = event.occurred_at)
         ORDER BY event.sequence LIMIT $1",
        limit
    )
    .fetch_all(connection)
    .await?)
}

/// Makes the partitions of this month and the next three where they are missing.
///
/// # Errors
/// [`DatabaseError`].
pub async fn create_partitions_ahead(connection: &mut PgConnection) -> Result<(), DatabaseError> {
    sqlx::query!("SELECT create_audit_partitions_ahead()")
        .fetch_one(connection)
        .await?;
    Ok(())
}
