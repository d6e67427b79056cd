//! Taking a dump: `pg_dump` → zstd → age → file, with the rows counted in the same snapshot.

use std::fs::File;
use std::io::{self, Read, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ChildStdout;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use crate::digest::DigestingWriter;
use crate::encryption::{EncryptionError, Recipient};
use crate::interruption::{Interrupted, Interruption};
use crate::lock::{FolderLock, LockError};
use crate::manifest::{MANIFEST_VERSION, Manifest};
use crate::name::{DumpName, Tier};
use crate::part_file::PartFile;
use crate::postgres::binaries::{self, Binaries, BinariesError};
use crate::postgres::connection::Connection;
use crate::postgres::inventory;
use crate::postgres::process::{Output, Process, ProcessError};
use crate::postgres::session::{Session, SessionError};
use crate::postgres::snapshot::Snapshot;
use crate::progress::Progress;
use crate::prune::{self, PruneError};
use crate::rows::RowCounts;

/// zstd's own default: about the speed at which `pg_dump` delivers, and a memory of a few MiB.
const COMPRESSION_LEVEL: i32 = 3;
/// Bytes read from `pg_dump` at a time.
const CHUNK: usize = 256 * 1024;

/// What to dump, where to, and how patiently.
#[derive(Debug)]
pub struct DumpRequest {
    /// PostgreSQL's programs, of the server's major version or a later one.
    pub binaries: Binaries,
    /// The database. Its role must read every row: `pg_read_all_data` and `BYPASSRLS`.
    pub connection: Connection,
    /// The folder the dump is written to.
    pub folder: PathBuf,
    /// The tier the dump belongs to.
    pub tier: Tier,
    /// How many dumps of the tier to keep, this one included.
    pub keep: NonZeroU32,
    /// The file that holds the recipient.
    pub recipient_file: PathBuf,
    /// How long to try to connect.
    pub connect_wait: Duration,
    /// How long to wait for another dump or prune in the same folder.
    pub lock_wait: Duration,
}

/// What a dump came to; the termination message of its container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DumpSummary {
    /// File name of the dump.
    pub file: String,
    /// Size of the encrypted file in bytes.
    pub bytes: u64,
    /// SHA-256 of the encrypted file.
    pub sha256: String,
    /// When the snapshot was taken.
    pub started_at: Timestamp,
    /// When the file had its name.
    pub finished_at: Timestamp,
    /// The tier.
    pub tier: Tier,
    /// Number of tables.
    pub tables: usize,
    /// Rows of all tables together.
    pub rows: u64,
    /// Number of older dumps that were deleted.
    pub pruned: usize,
    /// Why pruning failed, when it did. The dump is good all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prune_error: Option<String>,
}

/// No dump was taken, and no file of one is left.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The recipient cannot be used.
    #[error(transparent)]
    Encryption(#[from] EncryptionError),
    /// PostgreSQL's programs are missing.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// `pg_dump` is older than the server.
    #[error("pg_dump {pg_dump} cannot dump a server of version {server}: run it in the database's own image")]
    Version {
        /// Version of `pg_dump`.
        pg_dump: String,
        /// Version of the server.
        server: String,
    },
    /// The folder is in use or cannot be written.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What a killed run has left could not be removed.
    #[error(transparent)]
    Leftovers(#[from] PruneError),
    /// The database could not be reached or asked.
    #[error("{}{}", .0, remedy(.0))]
    Session(#[from] SessionError),
    /// `pg_dump` failed.
    #[error("{}{}", .0, process_remedy(.0))]
    PgDump(#[from] ProcessError),
    /// The dump could not be written.
    #[error("{} cannot be written: {source}{}", .path.display(), space_remedy(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A dump of this second exists already.
    #[error(
        "{0} exists already; the clock was set back, or another folder lock is in use. Try again in a moment"
    )]
    Exists(DumpName),
    /// A signal came.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

fn remedy(error: &SessionError) -> &'static str {
    if let SessionError::Failed(cause) = error {
        process_remedy(cause)
    } else {
        ""
    }
}

fn process_remedy(error: &ProcessError) -> &'static str {
    let says = |text: &str| error.messages().iter().any(|message| message.contains(text));
    if says("row-level security") {
        ". The dump role would not see every row: give it BYPASSRLS"
    } else if says("permission denied for large object") {
        ". Grant SELECT on the large object to the dump role"
    } else if says("permission denied") {
        ". Grant pg_read_all_data to the dump role"
    } else if says("lock timeout") || says("statement timeout") {
        ". A migration or another statement holds a table; the dump can be run again when it is done"
    } else {
        ""
    }
}

fn space_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; enlarge the backup volume or keep fewer dumps"
        }
        _ => "",
    }
}

/// Takes one dump and prunes its tier.
///
/// # Errors
/// On every error the folder holds the whole dumps it held before and nothing that looks like another one.
pub fn dump(request: &DumpRequest, interruption: &Interruption) -> Result<DumpSummary, DumpError> {
    let recipient = Recipient::from_file(&request.recipient_file)?;
    let pg_dump_version = request.binaries.pg_dump_version()?;
    let lock = FolderLock::acquire(&request.folder, request.lock_wait, interruption)?;
    prune::remove_leftovers(&lock, &request.folder)?;

    let (binaries, connection) = (&request.binaries, &request.connection);
    let mut session = Session::connect(binaries, connection, request.connect_wait, interruption)?;
    let server_version = inventory::server_version(&mut session)?;
    if binaries::major(&pg_dump_version) < binaries::major(&server_version) {
        return Err(DumpError::Version {
            pg_dump: pg_dump_version,
            server: server_version,
        });
    }

    let name = free_name(request, interruption)?;
    let (started, started_at) = (Instant::now(), Timestamp::now());
    let mut snapshot = Snapshot::export(session)?;
    let roles = inventory::roles(snapshot.session())?;
    let extensions = inventory::extensions(snapshot.session())?;
    let path = request.folder.join(name.to_string());
    let unwritten = |source| DumpError::Write {
        path: path.clone(),
        source,
    };
    let (part, file) = PartFile::create(&path).map_err(unwritten)?;
    let (written, counts) = stream(request, &recipient, &mut snapshot, &file, &path, interruption)?;
    drop(snapshot);

    let manifest = Manifest {
        version: MANIFEST_VERSION,
        database: request.connection.database.clone(),
        tier: request.tier,
        started_at,
        duration_seconds: (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        bytes: written.bytes,
        sha256: written.sha256,
        uncompressed_bytes: written.uncompressed_bytes,
        server_version,
        pg_dump_version,
        tables: counts.tables,
        large_objects: counts.large_objects,
        roles,
        extensions: extensions.into_iter().collect(),
        recipient: recipient.to_string(),
    };
    // The manifest first: alone it is no dump, while a dump without it would be taken for a damaged one.
    file.sync_all().map_err(unwritten)?;
    let manifest_path = request.folder.join(name.manifest_file_name());
    interruption.check()?;
    write_manifest(&manifest_path, &manifest).map_err(|source| DumpError::Write {
        path: manifest_path.clone(),
        source,
    })?;
    if let Err(source) = part.complete(&file) {
        let _ = std::fs::remove_file(&manifest_path);
        return Err(unwritten(source));
    }

    let pruned = prune::prune(&lock, &request.folder, request.tier, request.keep, Some(&name));
    if let Err(error) = &pruned {
        tracing::warn!("the dump is good, but older ones were not pruned: {error}");
    }
    Ok(DumpSummary {
        file: name.to_string(),
        bytes: manifest.bytes,
        sha256: manifest.sha256.clone(),
        started_at,
        finished_at: Timestamp::now(),
        tier: request.tier,
        tables: manifest.tables.len(),
        rows: manifest.total_rows(),
        pruned: pruned.as_ref().map_or(0, Vec::len),
        prune_error: pruned.err().map(|error| error.to_string()),
    })
}

/// A name that no dump has yet. Names count seconds, so the second dump within one waits for the next.
fn free_name(request: &DumpRequest, interruption: &Interruption) -> Result<DumpName, DumpError> {
    let name = || DumpName::new(&*request.connection.database, request.tier, Timestamp::now());
    let free = interruption.poll(Duration::from_secs(2), Duration::from_millis(50), || {
        let name = name();
        Ok::<_, DumpError>((!request.folder.join(name.to_string()).exists()).then_some(name))
    })?;
    free.ok_or_else(|| DumpError::Exists(name()))
}

/// What was written to the file.
struct Written {
    bytes: u64,
    sha256: String,
    uncompressed_bytes: u64,
}

/// Runs `pg_dump` into the file while this thread counts the rows in the same snapshot.
fn stream(
    request: &DumpRequest,
    recipient: &Recipient,
    snapshot: &mut Snapshot,
    file: &File,
    path: &Path,
    interruption: &Interruption,
) -> Result<(Written, RowCounts), DumpError> {
    let progress = Progress::begin("Dumping", inventory::table_bytes(snapshot.session())?);
    let mut pg_dump = start_pg_dump(request, snapshot.id(), interruption)?;
    let output = pg_dump.stdout();

    let (written, counts) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_dump(output, recipient, file, &progress));
        let counts = snapshot.count_rows();
        if counts.is_err() {
            pg_dump.kill();
        }
        let written = writer
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the writing thread panicked")));
        (written, counts)
    });

    interruption.check()?;
    // A full disk is the cause of whatever else failed, since it ends pg_dump by a broken pipe.
    let written = written.map_err(|source| DumpError::Write {
        path: path.to_owned(),
        source,
    })?;
    let counts = counts?;
    // Its output may look whole when it is not.
    pg_dump.finish()?;
    progress.end();
    Ok((written, counts))
}

fn start_pg_dump(
    request: &DumpRequest,
    snapshot: &str,
    interruption: &Interruption,
) -> Result<Process, DumpError> {
    let mut command = request.connection.command(&request.binaries, "pg_dump")?;
    // Ownership and grants are in the archive whatever is said here; who restores decides. `row_security` stays off, its default: a role that
    // policies bind fails instead of dumping the rows it may see. Subscriptions hold passwords.
    command.args([
        "--format=custom",
        "--compress=0",
        "--no-password",
        "--no-subscriptions",
    ]);
    command.args(["--lock-wait-timeout=60s", &format!("--snapshot={snapshot}")]);
    Ok(Process::start(
        "pg_dump",
        &mut command,
        false,
        Output::Pipe,
        interruption,
    )?)
}

fn write_dump(
    output: Option<ChildStdout>,
    recipient: &Recipient,
    file: &File,
    progress: &Progress,
) -> io::Result<Written> {
    let mut output = output.ok_or_else(|| io::Error::other("pg_dump has no output"))?;
    let digesting = DigestingWriter::new(file);
    let encrypting = recipient.encrypt(digesting).map_err(io::Error::other)?;
    let mut compressing = zstd::Encoder::new(encrypting, COMPRESSION_LEVEL)?;
    let mut buffer = vec![0; CHUNK];
    let mut uncompressed_bytes = 0;
    loop {
        let read = output.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        compressing.write_all(&buffer[..read])?;
        uncompressed_bytes += read as u64;
        progress.advance(read as u64);
    }
    let (_, sha256, bytes) = compressing.finish()?.finish()?.finish();
    Ok(Written {
        bytes,
        sha256,
        uncompressed_bytes,
    })
}

fn write_manifest(path: &Path, manifest: &Manifest) -> io::Result<()> {
    let (part, mut file) = PartFile::create(path)?;
    serde_json::to_writer_pretty(&mut file, manifest)?;
    file.write_all(b"\n")?;
    part.complete(&file)
}
