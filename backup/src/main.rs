//! `medical-backup`: see the crate's documentation and `--help`.

mod cli;

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use medical_backup::catalog::{self, Selection};
use medical_backup::dump::{self, DumpRequest};
use medical_backup::encryption::KeyPair;
use medical_backup::install;
use medical_backup::interruption::Interruption;
use medical_backup::listing::{self, ListedDump};
use medical_backup::lock::FolderLock;
use medical_backup::postgres::binaries::Binaries;
use medical_backup::postgres::connection::Connection;
use medical_backup::prune;
use medical_backup::restore::{self, RestoreRequest};
use medical_backup::termination;
use medical_backup::verify::{self, VerifyRequest};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::cli::{
    Cli, Command, ConnectionArguments, DumpArguments, KeygenArguments, OutputFormat, ProgramArguments,
    RestoreArguments, SelectionArguments, VerifyArguments,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(&cli);
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = one_line(&error);
            tracing::error!("{line}");
            note_termination(&cli.termination_log, &line);
            ExitCode::FAILURE
        }
    }
}

/// The error with the causes that its text does not name already.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    termination::one_line(&line)
}

fn start_logging(cli: &Cli) {
    let builder = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(cli.log_level);
    if io::stderr().is_terminal() {
        builder.without_time().with_target(false).init();
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .init();
    }
}

fn run(cli: &Cli) -> Result<()> {
    let interruption = Interruption::on_signals().context("signals cannot be listened for")?;
    let result = execute(cli, &interruption);
    if result.is_err() {
        // Whatever failed, it failed because the signal ended it.
        interruption.check()?;
    }
    result
}

fn execute(cli: &Cli, interruption: &Interruption) -> Result<()> {
    match &cli.command {
        Command::Install { target } => Ok(install::install(target)?),
        Command::Dump(arguments) => {
            let summary = dump::dump(&dump_request(arguments)?, interruption)?;
            report(cli, &summary)
        }
        Command::Verify(arguments) => {
            let summary = verify::verify(&verify_request(arguments)?, interruption)?;
            report(cli, &summary)
        }
        Command::Restore(arguments) => {
            let summary = restore::restore(&restore_request(arguments)?, interruption)?;
            report(cli, &summary)
        }
        Command::Prune(arguments) => {
            let folder = &arguments.folder.directory;
            let wait = Duration::from_secs(arguments.lock.lock_wait_seconds);
            let lock = FolderLock::acquire(folder, wait, interruption)?;
            let deleted = prune::prune(&lock, folder, arguments.tier.tier, arguments.tier.keep, None)?;
            report(
                cli,
                &serde_json::json!({ "tier": arguments.tier.tier, "pruned": deleted.len() }),
            )
        }
        Command::List(arguments) => list(&arguments.folder.directory, arguments.output),
        Command::Keygen(arguments) => keygen(arguments),
    }
}

/// Prints the result as one line of JSON, and leaves it for the kubelet.
fn report(cli: &Cli, summary: &impl Serialize) -> Result<()> {
    let line = serde_json::to_string(summary)?;
    note_termination(&cli.termination_log, &line);
    print(&format!("{line}\n"))
}

fn note_termination(path: &Path, line: &str) {
    if let Err(error) = termination::write(path, line) {
        tracing::warn!("{} cannot be written: {error}", path.display());
    }
}

/// Writes to standard output; a reader that has gone away is no failure.
fn print(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(()),
    }
}

fn list(folder: &Path, output: OutputFormat) -> Result<()> {
    let dumps = catalog::read(folder)?;
    match output {
        OutputFormat::Table if dumps.is_empty() => print("No dumps.\n"),
        OutputFormat::Table => print(&listing::table(&dumps, jiff::Timestamp::now())),
        OutputFormat::Json => {
            let listed: Vec<_> = dumps.iter().map(ListedDump::from).collect();
            print(&format!("{}\n", serde_json::to_string_pretty(&listed)?))
        }
    }
}

fn keygen(arguments: &KeygenArguments) -> Result<()> {
    let pair = KeyPair::generate();
    let recipient = format!("{}\n", pair.recipient);
    let identity = SecretString::from(format!(
        "# recipient: {}\n{}\n",
        pair.recipient,
        pair.identity.expose_secret()
    ));
    match &arguments.identity_file {
        Some(path) => write_new(path, identity.expose_secret())?,
        None => print(identity.expose_secret())?,
    }
    match &arguments.recipient_file {
        Some(path) => write_new(path, &recipient),
        None if arguments.identity_file.is_some() => print(&recipient),
        // The identity's comment has named it already.
        None => Ok(()),
    }
}

/// Writes a file that did not exist: a key that is overwritten cannot be brought back.
fn write_new(path: &Path, text: &str) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .with_context(|| {
            format!(
                "{} cannot be created (an existing key is never overwritten)",
                path.display()
            )
        })
}

fn dump_request(arguments: &DumpArguments) -> Result<DumpRequest> {
    Ok(DumpRequest {
        binaries: binaries(&arguments.programs)?,
        connection: connection(&arguments.connection)?,
        folder: arguments.folder.directory.clone(),
        tier: arguments.tier.tier,
        keep: arguments.tier.keep,
        recipient_file: arguments.recipient_file.clone(),
        connect_wait: Duration::from_secs(arguments.connection.connect_wait_seconds),
        lock_wait: Duration::from_secs(arguments.lock.lock_wait_seconds),
    })
}

fn verify_request(arguments: &VerifyArguments) -> Result<VerifyRequest> {
    Ok(VerifyRequest {
        binaries: binaries(&arguments.programs)?,
        folder: arguments.selection.folder.directory.clone(),
        selection: selection(&arguments.selection),
        identity_file: arguments.selection.identity_file.clone(),
        scratch: arguments.scratch.clone().unwrap_or_else(std::env::temp_dir),
    })
}

fn restore_request(arguments: &RestoreArguments) -> Result<RestoreRequest> {
    Ok(RestoreRequest {
        binaries: binaries(&arguments.programs)?,
        connection: connection(&arguments.connection)?,
        folder: arguments.selection.folder.directory.clone(),
        selection: selection(&arguments.selection),
        identity_file: arguments.selection.identity_file.clone(),
        connect_wait: Duration::from_secs(arguments.connection.connect_wait_seconds),
    })
}

fn binaries(arguments: &ProgramArguments) -> Result<Binaries> {
    Ok(Binaries::find(
        arguments.bin_dir.as_deref(),
        std::env::var_os("PATH").as_deref(),
    )?)
}

fn selection(arguments: &SelectionArguments) -> Selection {
    match &arguments.file {
        Some(name) => Selection::File(name.clone()),
        None => Selection::Latest(arguments.tier),
    }
}

fn connection(arguments: &ConnectionArguments) -> Result<Connection> {
    let password = arguments.password_file.as_deref().map(password).transpose()?;
    let ssl_mode = arguments
        .ssl_mode
        .to_possible_value()
        .map(|value| value.get_name().to_owned());
    Ok(Connection {
        host: arguments.host.clone(),
        port: arguments.port,
        database: arguments.dbname.clone(),
        user: arguments.username.clone(),
        password,
        ssl_mode: ssl_mode.unwrap_or_else(|| "verify-full".to_owned()),
        ssl_root_cert: arguments.ssl_root_cert.clone(),
    })
}

/// Reads a password file. One line end at its end is not part of the password: editors add it.
fn password(path: &Path) -> Result<SecretString> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("the password file {} cannot be read", path.display()))?;
    Ok(SecretString::from(
        text.strip_suffix('\n').unwrap_or(&text).to_owned(),
    ))
}
