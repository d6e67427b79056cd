//! The tables whose rows have a data key of their own. A table that is missing here is lost with the key-encryption key
//! that wrapped it; a test compares them with the schema.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::crypto::WrappedKey;
use crate::db::DatabaseError;

/// A table.
#[derive(Clone, Copy)]
pub(super) enum Holder {
    Patient,
    EmergencyAccess,
    Totp,
}

/// The data key of a row.
pub(super) struct HeldKey {
    pub(super) id: Uuid,
    pub(super) kek_id: Vec<u8>,
    pub(super) data_key: Vec<u8>,
}

impl Holder {
    pub(super) const ALL: [Self; 3] = [Self::Patient, Self::EmergencyAccess, Self::Totp];

    pub(super) fn table(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::EmergencyAccess => "emergency_access",
            Self::Totp => "user_totp",
        }
    }

    /// Locks the first rows after `after` whose key another key-encryption key than `active` wraps, at most `limit`.
    pub(super) async fn take(
        self,
        connection: &mut PgConnection,
        active: [u8; 16],
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<HeldKey>, DatabaseError> {
        let rows = match self {
            Self::Patient => {
                sqlx::query_as!(
                    HeldKey,
                    "SELECT id, kek_id, data_key FROM patient
                     WHERE kek_id <> $1 AND shredded_at IS NULL AND id > $2
                     ORDER BY id LIMIT $3 FOR NO KEY UPDATE",
                    &active[..],
                    after,
                    limit
                )
                .fetch_all(connection)
                .await
            }
            Self::EmergencyAccess => {
                sqlx::query_as!(
                    HeldKey,
                    "SELECT id, kek_id, data_key FROM emergency_access
                     WHERE kek_id <> $1 AND data_key <> '' AND id > $2 ORDER BY id LIMIT $3 FOR NO KEY UPDATE",
                    &active[..],
                    after,
                    limit
                )
                .fetch_all(connection)
                .await
            }
            Self::Totp => {
                sqlx::query_as!(
                    HeldKey,
                    "SELECT user_id AS id, kek_id, data_key FROM user_totp
                     WHERE kek_id <> $1 AND user_id > $2 ORDER BY user_id LIMIT $3 FOR NO KEY UPDATE",
                    &active[..],
                    after,
                    limit
                )
                .fetch_all(connection)
                .await
            }
        };
        Ok(rows?)
    }

    /// Stores a key in its new wrapping.
    pub(super) async fn put(
        self,
        connection: &mut PgConnection,
        id: Uuid,
        wrapped: &WrappedKey,
    ) -> Result<(), DatabaseError> {
        let kek_id = &wrapped.kek_id[..];
        let update = match self {
            Self::Patient => sqlx::query!(
                "UPDATE patient SET kek_id = $2, data_key = $3 WHERE id = $1",
                id,
                kek_id,
                wrapped.sealed
            ),
            Self::EmergencyAccess => sqlx::query!(
                "UPDATE emergency_access SET kek_id = $2, data_key = $3 WHERE id = $1",
                id,
                kek_id,
                wrapped.sealed
            ),
            Self::Totp => sqlx::query!(
                "UPDATE user_totp SET kek_id = $2, data_key = $3 WHERE user_id = $1",
                id,
                kek_id,
                wrapped.sealed
            ),
        };
        update.execute(connection).await?;
        Ok(())
    }
}
