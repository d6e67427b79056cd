//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use medical_backup::name::Tier;

const EXAMPLES: &str = "\
Examples:
  Keys, once. The identity decrypts: keep it apart from the dumps.
    medical-backup keygen --identity-file identity --recipient-file recipient

  A dump of the database `app`, of which the newest seven daily ones are kept:
    export PGHOST=pg-rw PGUSER=medical_backup PGSSLROOTCERT=ca.crt
    medical-backup dump --dbname app --password-file password --recipient-file recipient \\
      --directory /backups --tier daily --keep 7

  Proof that the newest dump restores, without touching any database:
    medical-backup verify --directory /backups --identity-file identity

  A restore into a new, empty database:
    createdb --owner medical_owner app_restored
    medical-backup restore --dbname app_restored --username medical_owner \\
      --password-file owner-password --identity-file identity --directory /backups --latest

  By hand, without this program:
    age --decrypt --identity identity FILE | zstd --decompress | pg_restore --dbname app_restored

Connection options are also read from PGHOST, PGPORT, PGDATABASE, PGUSER, PGSSLMODE, PGSSLROOTCERT.
Logs go to standard error, as JSON when that is no terminal; results go to standard output.";

/// Encrypted logical backups of a PostgreSQL database.
///
/// Every dump is one file, made by PostgreSQL's dump program, compressed by zstd and encrypted by age, beside a manifest with its
/// SHA-256 and the rows of every table. A dump that fails leaves no file that looks whole.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What is logged: error, warn, info, debug or trace.
    #[arg(
        long,
        env = "LOG_LEVEL",
        default_value = "info",
        global = true,
        value_name = "LEVEL"
    )]
    pub(crate) log_level: tracing::level_filters::LevelFilter,

    /// File that takes the result or the error as one line, when it exists: the kubelet reads it.
    #[arg(
        long,
        default_value = "/dev/termination-log",
        global = true,
        value_name = "FILE"
    )]
    pub(crate) termination_log: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Copy this program to a file, for a container of the database's own image to run it.
    Install {
        /// The file to write, for instance /tools/medical-backup.
        target: PathBuf,
    },
    /// Take a dump, then delete what the tier keeps no longer.
    Dump(DumpArguments),
    /// Prove that a dump restores, in a PostgreSQL server of its own.
    ///
    /// Checks the SHA-256 first, then restores into a temporary server on a Unix socket and compares the rows of every table with
    /// the manifest. Needs initdb and postgres, room for the whole database in --scratch, and a user other than root.
    Verify(VerifyArguments),
    /// Restore a dump into an empty database, in one transaction.
    ///
    /// The role of the connection becomes the owner of everything. A database that holds anything is refused. Grants
    /// and policies are restored; the roles they name must exist.
    Restore(RestoreArguments),
    /// Delete the dumps of one tier that are kept no longer.
    Prune(PruneArguments),
    /// Show the dumps of a folder, the newest first.
    List(ListArguments),
    /// Make a pair of keys.
    Keygen(KeygenArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ConnectionArguments {
    /// Host of the database, or the folder of its Unix socket.
    #[arg(long, env = "PGHOST", help_heading = "Database")]
    pub(crate) host: Option<String>,
    /// Port of the database.
    #[arg(long, env = "PGPORT", help_heading = "Database")]
    pub(crate) port: Option<u16>,
    /// Name of the database.
    #[arg(long, env = "PGDATABASE", help_heading = "Database")]
    pub(crate) dbname: String,
    /// Role to log in as.
    #[arg(long, env = "PGUSER", help_heading = "Database")]
    pub(crate) username: Option<String>,
    /// File that holds the role's password.
    #[arg(long, help_heading = "Database", value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// TLS towards the server, in libpq's words. Means nothing on a Unix socket.
    #[arg(
        long,
        env = "PGSSLMODE",
        default_value = "verify-full",
        help_heading = "Database"
    )]
    pub(crate) ssl_mode: SslMode,
    /// File of the certificate authority that the server's certificate must come from.
    #[arg(long, env = "PGSSLROOTCERT", help_heading = "Database", value_name = "FILE")]
    pub(crate) ssl_root_cert: Option<PathBuf>,
    /// How long to try to connect, in seconds: a new pod is let through only after a moment.
    #[arg(long, default_value_t = 60, help_heading = "Database", value_name = "SECONDS")]
    pub(crate) connect_wait_seconds: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Debug, Args)]
pub(crate) struct ProgramArguments {
    /// Folder of PostgreSQL's programs [default: found in PATH or below /usr/lib/postgresql]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) bin_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct FolderArguments {
    /// Folder of the dumps.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LockArguments {
    /// How long to wait for another dump or prune in the same folder, in seconds.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub(crate) lock_wait_seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct TierArguments {
    /// Which tier.
    #[arg(long)]
    pub(crate) tier: Tier,
    /// How many whole dumps of the tier to keep, at least 1.
    #[arg(long, value_name = "COUNT")]
    pub(crate) keep: NonZeroU32,
}

#[derive(Debug, Args)]
pub(crate) struct DumpArguments {
    #[command(flatten)]
    pub(crate) folder: FolderArguments,
    #[command(flatten)]
    pub(crate) tier: TierArguments,
    /// File that holds the age recipient (`age1…`) to encrypt to.
    #[arg(long, value_name = "FILE")]
    pub(crate) recipient_file: PathBuf,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
    #[command(flatten)]
    pub(crate) lock: LockArguments,
    #[command(flatten)]
    pub(crate) programs: ProgramArguments,
}

#[derive(Debug, Args)]
pub(crate) struct SelectionArguments {
    #[command(flatten)]
    pub(crate) folder: FolderArguments,
    /// File that holds the age identity (`AGE-SECRET-KEY-1…`) to decrypt with.
    #[arg(long, value_name = "FILE")]
    pub(crate) identity_file: PathBuf,
    /// The dump with this file name.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["latest", "tier"])]
    pub(crate) file: Option<String>,
    /// The newest dump; so it is, too, when neither this nor --file is given.
    #[arg(long)]
    pub(crate) latest: bool,
    /// The newest of this tier.
    #[arg(long)]
    pub(crate) tier: Option<Tier>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,
    /// Folder for the temporary server [default: the folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) scratch: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) programs: ProgramArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
    #[command(flatten)]
    pub(crate) programs: ProgramArguments,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArguments {
    #[command(flatten)]
    pub(crate) folder: FolderArguments,
    #[command(flatten)]
    pub(crate) tier: TierArguments,
    #[command(flatten)]
    pub(crate) lock: LockArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    pub(crate) folder: FolderArguments,
    /// As a table or as JSON.
    #[arg(long, default_value = "table")]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct KeygenArguments {
    /// New file for the identity, mode 0600 [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) identity_file: Option<PathBuf>,
    /// New file for the recipient [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) recipient_file: Option<PathBuf>,
}
