//! One moment of the database, shared by `pg_dump` and the row counts.

use super::inventory;
use super::session::{Session, SessionError};
use crate::rows::RowCounts;

/// An exported snapshot. It can be used as long as this value lives.
#[derive(Debug)]
pub struct Snapshot {
    session: Session,
    id: String,
}

impl Snapshot {
    /// Begins a read-only transaction, exports its snapshot and locks the tables that will be dumped.
    pub fn export(mut session: Session) -> Result<Self, SessionError> {
        session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;")?;
        let id = session.row("SELECT to_json(pg_export_snapshot());")?;
        inventory::lock_tables(&mut session)?;
        Ok(Self { session, id })
    }

    /// What `pg_dump --snapshot` takes.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The session inside the snapshot's transaction.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Counts the rows of every table as the snapshot sees them.
    pub fn count_rows(&mut self) -> Result<RowCounts, SessionError> {
        inventory::count_rows(&mut self.session)
    }
}
