//! Restoring a dump into an empty database.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use crate::archive::{Archive, ArchiveError};
use crate::catalog::{self, Selection};
use crate::encryption::{EncryptionError, Identities};
use crate::interruption::{Interrupted, Interruption};
use crate::postgres::binaries::{self, Binaries, BinariesError};
use crate::postgres::connection::Connection;
use crate::postgres::inventory;
use crate::postgres::pg_restore::{self, PgRestoreError};
use crate::postgres::session::{Session, SessionError};
use crate::progress::Progress;
use crate::rows::Differences;

/// What to restore, and where to.
#[derive(Debug)]
pub struct RestoreRequest {
    /// PostgreSQL's programs.
    pub binaries: Binaries,
    /// The empty database. Its role becomes the owner of everything restored.
    pub connection: Connection,
    /// The folder that holds the dumps.
    pub folder: PathBuf,
    /// Which of them.
    pub selection: Selection,
    /// The file that holds the identity.
    pub identity_file: PathBuf,
    /// How long to try to connect.
    pub connect_wait: Duration,
}

/// What a restore came to; the termination message of its container.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreSummary {
    /// Always true: a restore that failed has no summary.
    pub restored: bool,
    /// File name of the dump.
    pub file: String,
    /// The moment whose data the database now holds.
    pub taken_at: Timestamp,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Number of tables.
    pub tables: usize,
    /// Rows of all tables together, counted in the restored database and equal to the manifest's.
    pub rows: u64,
}

/// The database was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The dump cannot be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The identity cannot be used.
    #[error(transparent)]
    Encryption(#[from] EncryptionError),
    /// The dump is newer than the programs.
    #[error(
        "{name} was made by pg_dump {made_by}, and the programs here are of version {here}: use the image of a \
         PostgreSQL server of that version or a later one"
    )]
    Version {
        /// The dump.
        name: String,
        /// Version of the `pg_dump` that made it.
        made_by: String,
        /// Version of the programs found here.
        here: String,
    },
    /// PostgreSQL's programs are missing.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// The database holds something.
    #[error(
        "{place} is not empty, it holds {}: nothing was restored. Create a new database and restore into that, so that no \
         existing data can be lost", .objects.join(", ")
    )]
    NotEmpty {
        /// The database and its host.
        place: String,
        /// The first few objects in it.
        objects: Vec<String>,
    },
    /// Roles that the dump grants to are missing.
    #[error(
        "{place} lacks the roles {}: nothing was restored. Create them first (`CREATE ROLE name`), since grants and \
         policies of the dump name them", .roles.join(", ")
    )]
    MissingRoles {
        /// The database and its host.
        place: String,
        /// The roles.
        roles: Vec<String>,
    },
    /// The database could not be reached or asked.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// `pg_restore` failed, and with it the one transaction it ran in.
    #[error("{}{}. The restore runs in one transaction: the database is as empty as before", .0, remedy(.0))]
    PgRestore(#[from] PgRestoreError),
    /// The rows are not those of the manifest.
    #[error("the restored rows differ from the manifest of {name}: {differences}. Do not use this database")]
    Rows {
        /// The dump.
        name: String,
        /// How they differ.
        differences: Differences,
    },
    /// A signal came.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

fn remedy(error: &PgRestoreError) -> &'static str {
    let PgRestoreError::Process(cause) = error else {
        return "";
    };
    let says = |text: &str| cause.messages().iter().any(|message| message.contains(text));
    if says("permission denied to create extension") {
        ". Have the platform create the extension in the empty database first, and restore again"
    } else if says("row-level security") {
        ". A materialized view reads a table whose policies are forced upon its owner: restore as a role with BYPASSRLS"
    } else if says("No space left on device") {
        ". The disk of the server that was restored into is full; this says nothing about the dump"
    } else {
        ""
    }
}

/// Restores one dump and compares the rows with its manifest.
///
/// # Errors
/// Nothing is written unless the file has the SHA-256 of its manifest, the identity opens it, the
/// database is empty and has every role that the dump names. A failure of `pg_restore` rolls everything back.
pub fn restore(
    request: &RestoreRequest,
    interruption: &Interruption,
) -> Result<RestoreSummary, RestoreError> {
    let started = Instant::now();
    let identities = Identities::from_file(&request.identity_file)?;
    let archive = open(&request.folder, &request.selection)?;
    archive.check_digest(interruption)?;

    let (binaries, connection) = (&request.binaries, &request.connection);
    let mut session = Session::connect(binaries, connection, request.connect_wait, interruption)?;
    let place = connection.describe();
    let objects = inventory::user_objects(&mut session)?;
    if !objects.is_empty() {
        return Err(RestoreError::NotEmpty { place, objects });
    }
    let existing = inventory::existing_roles(&mut session)?;
    let roles: Vec<_> = archive
        .manifest()
        .roles
        .iter()
        .filter(|role| !existing.contains(*role))
        .cloned()
        .collect();
    if !roles.is_empty() {
        return Err(RestoreError::MissingRoles { place, roles });
    }
    let extensions = inventory::extensions(&mut session)?;
    load(
        binaries,
        connection,
        &archive,
        &identities,
        &extensions,
        interruption,
    )?;
    compare(&archive, &mut session)?;
    // pg_restore leaves no statistics, and without them the first queries run by bad plans.
    session.run("ANALYZE;")?;
    Ok(RestoreSummary {
        restored: true,
        file: archive.name().to_owned(),
        taken_at: archive.manifest().started_at,
        seconds: (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        tables: archive.manifest().tables.len(),
        rows: archive.manifest().total_rows(),
    })
}

/// Opens the dump that is meant.
pub(crate) fn open(folder: &Path, selection: &Selection) -> Result<Archive, ArchiveError> {
    let dump = catalog::select(folder, selection)?;
    tracing::info!(file = %dump.name, bytes = dump.bytes, "chosen");
    Archive::open(&dump)
}

/// Runs `pg_restore` over the decrypted stream; twice, because what to leave out must be known before it begins.
pub(crate) fn load(
    binaries: &Binaries,
    connection: &Connection,
    archive: &Archive,
    identities: &Identities,
    existing_extensions: &BTreeSet<String>,
    interruption: &Interruption,
) -> Result<(), RestoreError> {
    let (made_by, here) = (&archive.manifest().pg_dump_version, binaries.pg_dump_version()?);
    if binaries::major(made_by) > binaries::major(&here) {
        let (name, made_by) = (archive.name().to_owned(), made_by.clone());
        return Err(RestoreError::Version { name, made_by, here });
    }
    let contents = Progress::begin("Reading contents", 0);
    let list = pg_restore::list(
        binaries,
        archive.plain(identities, &contents, interruption)?,
        interruption,
    )?;
    drop(contents);
    let progress = Progress::begin("Restoring", archive.manifest().bytes);
    let plain = archive.plain(identities, &progress, interruption)?;
    pg_restore::restore(
        binaries,
        connection,
        plain,
        &list,
        existing_extensions,
        interruption,
    )?;
    progress.end();
    Ok(())
}

/// Compares a restored database with its manifest, table by table.
pub(crate) fn compare(archive: &Archive, session: &mut Session) -> Result<(), RestoreError> {
    let counts = inventory::count_restored_rows(session)?;
    Differences::check(archive.manifest(), &counts).map_err(|differences| RestoreError::Rows {
        name: archive.name().to_owned(),
        differences,
    })
}
