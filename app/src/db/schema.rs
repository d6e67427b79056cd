//! Which schema the database has and which one this program needs.

use std::sync::LazyLock;

use sqlx::PgPool;
use sqlx::migrate::Migrator;

/// The migrations, compiled into the program.
///
/// A database that is ahead of them is left as it is, so that going back to the previous version of the program needs
/// no going back of the schema. The lock is taken by [`super::migrate`], around more than the migrations.
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("./migrations");
    migrations.set_ignore_missing(true).set_locking(false);
    migrations
});

/// How the database's schema compares with the one this program needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// Everything this program needs is there. The database may be ahead: migrations only expand what the previous
    /// version uses, so that a rollout does not interrupt it.
    Ready,
    /// A migration is missing or did not finish.
    Behind,
}

/// Looks it up.
///
/// # Errors
/// What the database says; a database without any migration is an error of the kind "undefined table".
pub async fn schema_state(pool: &PgPool) -> Result<SchemaState, sqlx::Error> {
    let applied = sqlx::query_scalar!("SELECT version FROM _sqlx_migrations WHERE success")
        .fetch_all(pool)
        .await?;
    let complete = MIGRATIONS
        .iter()
        .all(|migration| applied.contains(&migration.version));
    Ok(if complete {
        SchemaState::Ready
    } else {
        SchemaState::Behind
    })
}
