//! The program `medical-app`: arguments in, exit status out; everything else is in the library.

mod command;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use medical_app::config::{
    AuditSettings, Faults, MaintenanceSettings, OwnerSettings, Settings, Source, variables,
};
use medical_app::crypto::{hash_password, new_opaque_token};
use medical_app::domain::{Email, PatientId, Role, check_new_password};
use medical_app::{db, http, serve, telemetry};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// Kubernetes shows the content of this file with the ended container.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Exit status for a wrong configuration (`EX_CONFIG` of sysexits.h).
const WRONG_CONFIGURATION: u8 = 78;

/// A hardened API for patients' records.
#[derive(Parser)]
#[command(version, after_help = variables::help())]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API; the default.
    Serve,
    /// Bring the database to this version's schema, as its owner; safe to repeat and to run twice at once.
    Migrate,
    /// Print the OpenAPI document.
    Openapi,
    /// Print who may do what, as Markdown.
    Policy,
    /// Work that needs the owner of the database.
    #[command(subcommand)]
    Admin(Admin),
    /// Look at the audit log.
    #[command(subcommand)]
    Audit(command::audit::Audit),
    /// Replace the key that wraps the patients' keys.
    #[command(subcommand)]
    Keys(command::keys::Keys),
    /// Work on one patient's record that no request can do.
    #[command(subcommand)]
    Patients(command::patients::Patients),
    /// Verify all data, as the owner of the database, such as after a restore: the audit log is intact, every sealed value
    /// opens, the numbers agree. The report goes to standard output as JSON.
    Verify,
    /// Look at the configuration.
    #[command(subcommand)]
    Config(Config),
    /// Serve everything on this machine with synthetic data, until Ctrl-C: a temporary PostgreSQL, keys, a certificate,
    /// users of every role, patients, and a tour of commands to try.
    #[cfg(feature = "dev")]
    Dev(command::dev::Dev),
}

#[derive(Subcommand)]
enum Admin {
    /// Make a user; the password comes from standard input or a file, never from an argument.
    CreateUser(CreateUser),
    /// Print a one-time token by which a user sets a new password, at POST /api/auth/password-reset within 30 minutes.
    ResetPassword(ResetPassword),
}

#[derive(Args)]
struct ResetPassword {
    /// Address of the user.
    #[arg(long)]
    email: String,
    /// Remove the user's authenticator app and recovery codes, too, because they are lost.
    #[arg(long)]
    remove_second_factor: bool,
}

#[derive(Args)]
struct CreateUser {
    /// Address, the login name.
    #[arg(long)]
    email: String,
    /// Name for display; the address when absent.
    #[arg(long)]
    display_name: Option<String>,
    /// What the user may do.
    #[arg(long, value_enum)]
    role: Role,
    /// Id of the patient whose account it is; for the role patient only.
    #[arg(long, value_name = "ID", required_if_eq("role", "patient"))]
    patient: Option<Uuid>,
    /// File that holds the password, at least 15 characters; standard input when absent.
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// Succeed without a change when the address is taken.
    #[arg(long)]
    if_absent: bool,
}

#[derive(Subcommand)]
enum Config {
    /// Check what `serve` needs, and list every fault.
    Check,
}

/// Why the program ends with a failure: one text for stderr and the termination log, without secrets.
struct Failure {
    status: u8,
    message: String,
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self {
            status: WRONG_CONFIGURATION,
            message: faults.to_string(),
        }
    }
}

fn failed(cause: impl std::fmt::Display) -> Failure {
    Failure {
        status: 1,
        message: cause.to_string(),
    }
}

fn main() -> ExitCode {
    let command = Arguments::parse().command.unwrap_or(Command::Serve);
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // There is nobody to tell when standard error is gone.
            drop(writeln!(std::io::stderr(), "medical-app: {}", failure.message));
            leave_message(&failure.message);
            ExitCode::from(failure.status)
        }
    }
}

/// Writes into the termination log where there is one; elsewhere no file is made.
fn leave_message(message: &str) {
    if let Ok(mut file) = std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(TERMINATION_LOG)
    {
        drop(file.write_all(message.as_bytes()));
    }
}

fn run(command: Command) -> Result<(), Failure> {
    let source = Source::from_process();
    match command {
        Command::Serve => {
            let settings = Settings::read(&source)?;
            telemetry::start(settings.telemetry);
            runtime()?.block_on(serve::serve(settings)).map_err(failed)
        }
        Command::Migrate => {
            let settings = OwnerSettings::read(&source)?;
            telemetry::start(settings.telemetry);
            let report = runtime()?
                .block_on(db::migrate(&settings.database))
                .map_err(failed)?;
            tracing::info!(
                applied = report.applied,
                version = report.version,
                "the schema is up to date"
            );
            Ok(())
        }
        Command::Openapi => print(&http::openapi_document().map_err(failed)?),
        Command::Policy => print(&medical_app::policy::document()),
        Command::Admin(Admin::CreateUser(user)) => {
            let settings = AuditSettings::read(&source)?;
            telemetry::start(settings.telemetry);
            create_user(&settings, &user)
        }
        Command::Admin(Admin::ResetPassword(reset)) => {
            let settings = AuditSettings::read(&source)?;
            telemetry::start(settings.telemetry);
            reset_password(&settings, &reset)
        }
        Command::Audit(audit) => command::audit::run(&audit, &AuditSettings::read(&source)?),
        Command::Keys(keys) => command::keys::run(&keys, &MaintenanceSettings::read(&source)?),
        Command::Patients(patients) => command::patients::run(patients, &MaintenanceSettings::read(&source)?),
        Command::Verify => command::verify::run(&MaintenanceSettings::read(&source)?),
        Command::Config(Config::Check) => {
            Settings::read(&source)?;
            print("The configuration is complete.\n")
        }
        #[cfg(feature = "dev")]
        Command::Dev(dev) => runtime()?.block_on(command::dev::run(&dev)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(failed)
}

fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(failed)
}

fn create_user(settings: &AuditSettings, user: &CreateUser) -> Result<(), Failure> {
    let email = Email::parse(&user.email).map_err(|violation| failed(format!("--email {violation}")))?;
    let display_name = user.display_name.as_deref().unwrap_or(email.as_str()).trim();
    if display_name.is_empty() || display_name.chars().count() > 100 {
        return Err(failed("--display-name must have 1 to 100 characters"));
    }
    if user.patient.is_some() && user.role != Role::Patient {
        return Err(failed("--patient goes with --role patient only"));
    }
    let password = read_password(user.password_file.as_ref())?;
    check_new_password(password.expose_secret(), &email)
        .map_err(|violation| failed(format!("the password {violation}")))?;
    let password_hash = hash_password(&password).map_err(failed)?;
    let new = db::user::NewUser {
        email: &email,
        display_name,
        role: user.role,
        password_hash: &password_hash,
        patient: user.patient.map(PatientId),
    };
    let created = runtime()?.block_on(async {
        let mut connection = db::owner_connection(&settings.database).await.map_err(failed)?;
        db::user::create(&mut connection, &settings.audit_key, &new)
            .await
            .map_err(failed)
    })?;
    match created {
        Some(id) => print(&format!("{}\n", id.0)),
        None if user.if_absent => print("The user is there already; nothing was changed.\n"),
        None => Err(failed("a user with this address is there already")),
    }
}

fn reset_password(settings: &AuditSettings, reset: &ResetPassword) -> Result<(), Failure> {
    let email = Email::parse(&reset.email).map_err(|violation| failed(format!("--email {violation}")))?;
    let (token, hash) = new_opaque_token().map_err(failed)?;
    let user = runtime()?.block_on(async {
        let mut connection = db::owner_connection(&settings.database).await.map_err(failed)?;
        let remove = reset.remove_second_factor;
        db::password_reset::create(&mut connection, &settings.audit_key, &email, &hash, remove)
            .await
            .map_err(failed)
    })?;
    match user {
        Some(_) => print(&format!("{}\n", token.expose_secret())),
        None => Err(failed("there is no active user with this address")),
    }
}

fn read_password(file: Option<&PathBuf>) -> Result<SecretString, Failure> {
    let mut text = String::new();
    match file {
        Some(path) => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
        None => std::io::stdin().read_to_string(&mut text),
    }
    .map_err(|error| failed(format!("the password cannot be read: {error}")))?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}
