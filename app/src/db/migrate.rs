//! The `migrate` command: brings the schema to this version, once, whoever else tries at the same time.

use sqlx::migrate::Migrate;
use sqlx::{Connection, PgConnection};

use super::owner_connection;
use super::schema::MIGRATIONS;
use crate::config::DatabaseSettings;

/// The role that `serve` uses; it gets its rights from the migrations.
const SERVING_ROLE: &str = "medical_app";

/// Key of the advisory lock: "medical" in ASCII.
const LOCK: i64 = 0x006d_6564_6963_616c;

/// What `migrate` did.
#[derive(Debug, PartialEq, Eq)]
pub struct MigrateReport {
    /// Migrations applied by this run.
    pub applied: usize,
    /// Version of the newest migration of this program.
    pub version: i64,
}

/// Why `migrate` stopped. The messages are one line and hold no secret.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// No connection.
    #[error("cannot connect to the database as the owner: {0}")]
    Connect(#[source] sqlx::Error),
    /// Another `migrate` holds the lock for longer than two minutes.
    #[error("another migration holds the lock for more than 120 seconds; see pg_locks for its process")]
    Locked(#[source] sqlx::Error),
    /// The role for serving is not there.
    #[error(
        "the role {SERVING_ROLE} does not exist; create it (LOGIN NOBYPASSRLS, no other rights), then migrate again"
    )]
    ServingRoleMissing,
    /// The role for serving could read everything.
    #[error(
        "the role {SERVING_ROLE} is a superuser or may bypass row-level security; take that away, then migrate again"
    )]
    ServingRoleTooPowerful,
    /// A migration failed; the ones before it stay applied.
    #[error("a migration failed: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// The database refused something else.
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
}

/// Applies the missing migrations as the owner.
///
/// # Errors
/// [`MigrateError`].
pub async fn migrate(settings: &DatabaseSettings) -> Result<MigrateReport, MigrateError> {
    let mut connection = owner_connection(settings).await.map_err(MigrateError::Connect)?;
    sqlx::query!("SELECT set_config('lock_timeout', '120s', false)")
        .fetch_one(&mut connection)
        .await?;
    sqlx::query!("SELECT pg_advisory_lock($1)", LOCK)
        .fetch_one(&mut connection)
        .await
        .map_err(MigrateError::Locked)?;
    // From here on a lock that does not come within 10 s belongs to live traffic, which matters more.
    sqlx::query!("SELECT set_config('lock_timeout', '10s', false)")
        .fetch_one(&mut connection)
        .await?;
    check_serving_role(&mut connection).await?;
    let report = apply(&mut connection).await?;
    // Ending the session frees the lock, also when this process ends in any other way.
    connection.close().await?;
    Ok(report)
}

async fn check_serving_role(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let role = sqlx::query!(
        r#"SELECT (rolsuper OR rolbypassrls) AS "too_powerful!" FROM pg_roles WHERE rolname = $1"#,
        SERVING_ROLE
    )
    .fetch_optional(connection)
    .await?;
    match role {
        None => Err(MigrateError::ServingRoleMissing),
        Some(role) if role.too_powerful => Err(MigrateError::ServingRoleTooPowerful),
        Some(_) => Ok(()),
    }
}

async fn apply(connection: &mut PgConnection) -> Result<MigrateReport, MigrateError> {
    let table = "_sqlx_migrations";
    connection
        .ensure_migrations_table(table)
        .await
        .map_err(MigrateError::Migration)?;
    let before = connection
        .list_applied_migrations(table)
        .await
        .map_err(MigrateError::Migration)?
        .len();
    MIGRATIONS
        .run(&mut *connection)
        .await
        .map_err(MigrateError::Migration)?;
    let after = connection
        .list_applied_migrations(table)
        .await
        .map_err(MigrateError::Migration)?
        .len();
    // `schema_state` reads the table that sqlx keeps.
    sqlx::query!("GRANT SELECT ON _sqlx_migrations TO medical_app")
        .execute(&mut *connection)
        .await?;
    let version = MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or_default();
    Ok(MigrateReport {
        applied: after.saturating_sub(before),
        version,
    })
}
