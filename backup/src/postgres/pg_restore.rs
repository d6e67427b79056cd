//! `pg_restore`, fed with an archive that exists only as a stream.

use std::io::{self, Read, Write};
use std::process::{ChildStdin, Command};

use super::binaries::{Binaries, BinariesError};
use super::connection::{Connection, bare_command};
use super::process::{Output, Process, ProcessError};
use super::table_of_contents;
use crate::interruption::{Interrupted, Interruption};

/// Bytes handed on at a time.
const CHUNK: usize = 256 * 1024;

/// An archive that could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum PgRestoreError {
    /// The archive could not be read to its end; nothing was committed.
    #[error("the dump could not be read: {0}; nothing was restored")]
    Archive(io::Error),
    /// A temporary file could not be written.
    #[error("the table of contents could not be kept in a temporary file: {0}")]
    List(io::Error),
    /// `pg_restore` failed; nothing was committed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// `pg_restore` is missing.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// A signal came.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// The archive's table of contents, as `pg_restore --list` prints it. Reads no more of `archive` than that needs.
pub fn list(
    binaries: &Binaries,
    archive: impl Read,
    interruption: &Interruption,
) -> Result<String, PgRestoreError> {
    let mut file = tempfile::tempfile().map_err(PgRestoreError::List)?;
    let mut command = bare_command(binaries, "pg_restore")?;
    command.arg("--list");
    let output = Output::File(file.try_clone().map_err(PgRestoreError::List)?);
    run(&mut command, archive, output, interruption)?;
    let mut list = String::new();
    io::Seek::rewind(&mut file)
        .and_then(|()| file.read_to_string(&mut list))
        .map_err(PgRestoreError::List)?;
    Ok(list)
}

/// Restores `archive` into the database of `connection` in one transaction: all of it or nothing.
///
/// Objects belong to the role of the connection; grants and policies are restored, and the roles they name must
/// exist. `list` is what [`list`] gave; extensions in `existing` are not made again.
pub fn restore(
    binaries: &Binaries,
    connection: &Connection,
    archive: impl Read,
    list: &str,
    existing: &std::collections::BTreeSet<String>,
    interruption: &Interruption,
) -> Result<(), PgRestoreError> {
    let mut use_list = tempfile::NamedTempFile::new().map_err(PgRestoreError::List)?;
    use_list
        .write_all(table_of_contents::without_foreign_extensions(list, existing).as_bytes())
        .map_err(PgRestoreError::List)?;
    let mut command = connection.command(binaries, "pg_restore")?;
    command.args([
        "--no-password",
        "--exit-on-error",
        "--single-transaction",
        "--no-owner",
        "--no-tablespaces",
    ]);
    command.arg("--format=custom");
    command.arg("--use-list").arg(use_list.path());
    run(&mut command, archive, Output::Discard, interruption)
}

fn run(
    command: &mut Command,
    mut archive: impl Read,
    output: Output,
    interruption: &Interruption,
) -> Result<(), PgRestoreError> {
    let mut process = Process::start("pg_restore", command, true, output, interruption)?;
    let mut stdin = process.stdin();
    let fed = stdin.as_mut().map_or(Ok(()), |stdin| feed(&mut archive, stdin));
    if let Err(error) = fed {
        // Killed before its input ends, so that it cannot take the end of a damaged archive for that of a whole one.
        drop(process);
        interruption.check()?;
        return Err(PgRestoreError::Archive(error));
    }
    drop(stdin);
    let finished = process.finish();
    interruption.check()?;
    Ok(finished?)
}

/// Hands the archive on until its end or until `pg_restore` wants no more. Only a failure to read is an error.
fn feed(archive: &mut impl Read, stdin: &mut ChildStdin) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = archive.read(&mut buffer)?;
        if read == 0 || stdin.write_all(&buffer[..read]).is_err() {
            return Ok(());
        }
    }
}
