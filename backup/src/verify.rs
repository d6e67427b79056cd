//! Proving that a dump restores: into a server of our own, with the rows compared.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use crate::archive::ArchiveError;
use crate::catalog::Selection;
use crate::encryption::{EncryptionError, Identities};
use crate::interruption::Interruption;
use crate::postgres::binaries::Binaries;
use crate::postgres::scratch_server::{ScratchError, ScratchServer};
use crate::postgres::session::{Session, SessionError};
use crate::restore::{self, RestoreError};

/// The database that the dump is restored into.
const DATABASE: &str = "verify";

/// What to verify, and with what.
#[derive(Debug)]
pub struct VerifyRequest {
    /// PostgreSQL's programs, those of the server included.
    pub binaries: Binaries,
    /// The folder that holds the dumps.
    pub folder: PathBuf,
    /// Which of them.
    pub selection: Selection,
    /// The file that holds the identity.
    pub identity_file: PathBuf,
    /// The folder for the scratch server; it needs room for the whole database.
    pub scratch: PathBuf,
}

/// What a verification came to; the termination message of its container.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifySummary {
    /// Always true: a verification that failed has no summary.
    pub verified: bool,
    /// File name of the dump.
    pub file: String,
    /// The moment whose data the dump holds.
    pub taken_at: Timestamp,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Number of tables.
    pub tables: usize,
    /// Rows of all tables together.
    pub rows: u64,
}

/// The dump is not proven.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The dump cannot be read back.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The identity cannot be used.
    #[error(transparent)]
    Encryption(#[from] EncryptionError),
    /// The scratch server did not come up; this says nothing about the dump.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// The scratch server could not be asked.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The dump did not restore.
    #[error("{name} does not restore: {source}")]
    Restore {
        /// The dump.
        name: String,
        /// Why not.
        source: RestoreError,
    },
}

/// Verifies one dump: SHA-256 and manifest, decryption, a whole restore, and the rows of every table. Leaves nothing behind.
pub fn verify(request: &VerifyRequest, interruption: &Interruption) -> Result<VerifySummary, VerifyError> {
    let started = Instant::now();
    let identities = Identities::from_file(&request.identity_file)?;
    let archive = restore::open(&request.folder, &request.selection)?;
    archive.check_digest(interruption)?;

    let binaries = &request.binaries;
    let server = ScratchServer::start(binaries, &request.scratch, interruption)?;
    let manifest = archive.manifest();
    let mut session = Session::connect(
        binaries,
        &server.connection("postgres"),
        Duration::ZERO,
        interruption,
    )?;
    create_roles(&mut session, &manifest.roles)?;
    session.run(&format!("CREATE DATABASE {DATABASE} TEMPLATE template0;"))?;
    drop(session);

    let connection = server.connection(DATABASE);
    let failed = |source| match source {
        RestoreError::Archive(error) => VerifyError::Archive(error),
        source => VerifyError::Restore {
            name: archive.name().to_owned(),
            source,
        },
    };
    restore::load(
        binaries,
        &connection,
        &archive,
        &identities,
        &BTreeSet::new(),
        interruption,
    )
    .map_err(failed)?;
    let mut session = Session::connect(binaries, &connection, Duration::ZERO, interruption)?;
    restore::compare(&archive, &mut session).map_err(failed)?;
    Ok(VerifySummary {
        verified: true,
        file: archive.name().to_owned(),
        taken_at: manifest.started_at,
        seconds: (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        tables: manifest.tables.len(),
        rows: manifest.total_rows(),
    })
}

/// Grants and policies name roles of the server that was dumped. Here they only have to exist.
fn create_roles(session: &mut Session, roles: &[String]) -> Result<(), SessionError> {
    for role in roles.iter().filter(|role| *role != "postgres") {
        let name = role.replace('"', "\"\"");
        session.run(&format!("CREATE ROLE \"{name}\" NOLOGIN;"))?;
    }
    Ok(())
}
