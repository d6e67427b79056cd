//! A PostgreSQL server of our own, for as long as a dump is verified.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

use super::binaries::{Binaries, BinariesError};
use super::connection::{Connection, bare_command};
use super::process::{Output, Process, ProcessError};
use super::session::{Session, SessionError};
use crate::interruption::{Interrupted, Interruption};

const PREFIX: &str = "medical-backup-scratch-";
const LOCK_FILE: &str = "lock";
const LOG_FILE: &str = "log";
/// Longest path of a Unix socket in bytes (`sun_path` of unix(7), with its final zero).
const SOCKET_PATH_BYTES: usize = 107;
/// How long the server may take to start: the first start follows `initdb` and has nothing to recover.
const START: Duration = Duration::from_mins(1);
/// How long the server may take to end before it is killed.
const STOP: Duration = Duration::from_secs(10);

/// The server keeps nothing: no durability, no network, and as little log as can be, since a log may quote rows.
/// Minimal WAL lets COPY into a table made in the same transaction skip the log.
const SETTINGS: [&str; 16] = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "autovacuum=off",
    "jit=off",
    "max_connections=10",
    "shared_buffers=32MB",
    "maintenance_work_mem=64MB",
    "dynamic_shared_memory_type=mmap",
    "logging_collector=off",
    "log_error_verbosity=terse",
    "log_min_error_statement=panic",
];

/// A running server below a private folder. Dropping it ends the server and removes the folder.
#[derive(Debug)]
pub struct ScratchServer {
    process: Option<Process>,
    folder: TempDir,
    // Held as long as the folder is in use; the lock of a process that was killed is free.
    _lock: File,
}

/// The scratch server could not be brought up.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// PostgreSQL refuses to run as root.
    #[error(
        "PostgreSQL does not run as root: run this as another user, for example \
         `setpriv --reuid=postgres --regid=postgres --clear-groups medical-backup verify …`"
    )]
    Root,
    /// The folder could not be used.
    #[error("the scratch folder {} cannot be used: {source}; name another with --scratch", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The socket's path would not fit.
    #[error("the scratch folder {} is too deep for a Unix socket; name a shorter one with --scratch", .0.display())]
    TooDeep(PathBuf),
    /// `initdb` or `postgres` failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The server ended while it started.
    #[error("the scratch server did not start: {0}")]
    Start(String),
    /// The server could not be asked.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// PostgreSQL's programs are missing.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// A signal came.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl ScratchServer {
    /// Makes a database cluster below `base` and starts its server, reachable only by a Unix socket
    /// in a folder that no other user can enter.
    pub fn start(
        binaries: &Binaries,
        base: &Path,
        interruption: &Interruption,
    ) -> Result<Self, ScratchError> {
        if geteuid().is_root() {
            return Err(ScratchError::Root);
        }
        remove_abandoned(base);
        let unusable = |source| ScratchError::Folder {
            folder: base.to_owned(),
            source,
        };
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(base)
            .map_err(unusable)?;
        let lock = File::create_new(folder.path().join(LOCK_FILE)).map_err(unusable)?;
        lock.try_lock().map_err(|error| unusable(error.into()))?;
        let socket = folder.path().join("socket");
        DirBuilder::new().mode(0o700).create(&socket).map_err(unusable)?;
        if socket.as_os_str().len() + "/.s.PGSQL.5432".len() >= SOCKET_PATH_BYTES {
            return Err(ScratchError::TooDeep(base.to_owned()));
        }

        let mut initdb = bare_command(binaries, "initdb")?;
        initdb.args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        initdb.arg("--pgdata").arg(folder.path().join("data"));
        Process::start("initdb", &mut initdb, false, Output::Discard, interruption)?.finish()?;

        // Its messages go to a file that is removed with the folder, so that none of them reaches our log.
        let log = File::create(folder.path().join(LOG_FILE)).map_err(unusable)?;
        let mut postgres = bare_command(binaries, "postgres")?;
        postgres.arg("-D").arg(folder.path().join("data"));
        postgres
            .arg("-c")
            .arg(format!("unix_socket_directories={}", socket.display()));
        for setting in SETTINGS {
            postgres.args(["-c", setting]);
        }
        postgres.arg("-c").arg("log_destination=stderr");
        let process = Process::start_logging("postgres", &mut postgres, log)?;
        let server = Self {
            process: Some(process),
            folder,
            _lock: lock,
        };
        server.wait_until_ready(binaries, interruption)?;
        Ok(server)
    }

    /// How to connect to `database` of this server, as its superuser.
    pub fn connection(&self, database: &str) -> Connection {
        Connection {
            host: Some(self.folder.path().join("socket").display().to_string()),
            port: Some(5432),
            database: database.to_owned(),
            user: Some("postgres".to_owned()),
            password: None,
            ssl_mode: "disable".to_owned(),
            ssl_root_cert: None,
        }
    }

    fn wait_until_ready(&self, binaries: &Binaries, interruption: &Interruption) -> Result<(), ScratchError> {
        let connection = self.connection("postgres");
        let ready = interruption.poll(START, Duration::from_millis(100), || {
            match Session::connect(binaries, &connection, Duration::ZERO, interruption) {
                Ok(_) => Ok(Some(())),
                Err(SessionError::Unreachable { .. }) if self.is_running() => Ok(None),
                Err(SessionError::Unreachable { .. }) => Err(ScratchError::Start(self.last_words())),
                Err(error) => Err(error.into()),
            }
        })?;
        ready.ok_or_else(|| ScratchError::Start(format!("no answer within {} s", START.as_secs())))
    }

    fn is_running(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_running)
    }

    /// The last line of the log: before the server is ready nothing has been restored that it could quote.
    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join(LOG_FILE)).unwrap_or_default();
        log.lines().last().unwrap_or("it said nothing").to_owned()
    }
}

impl Drop for ScratchServer {
    fn drop(&mut self) {
        let Some(process) = self.process.take() else {
            return;
        };
        // Immediate shutdown: the postmaster ends its children, which a SIGKILL would leave behind for a moment.
        if process.is_running()
            && let Ok(pid) = i32::try_from(process.id())
            && kill(Pid::from_raw(pid), Signal::SIGQUIT).is_ok()
        {
            let ended = || Ok::<_, Interrupted>((!process.is_running()).then_some(()));
            let _ = Interruption::default().poll(STOP, Duration::from_millis(10), ended);
        }
    }
}

/// Removes the folders of verifications that were killed. A server that still runs in one sees its
/// lock file gone and ends by itself within a minute.
fn remove_abandoned(base: &Path) {
    let Ok(entries) = std::fs::read_dir(base) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX));
        let path = entry.path();
        if ours
            && let Ok(lock) = File::open(path.join(LOCK_FILE))
            && lock.try_lock().is_ok()
        {
            match std::fs::remove_dir_all(&path) {
                Ok(()) => {
                    tracing::info!(folder = %path.display(), "removed the scratch folder of a killed run");
                }
                Err(error) => {
                    tracing::warn!(folder = %path.display(), "an abandoned scratch folder stays: {error}");
                }
            }
        }
    }
}
