//! PostgreSQL.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::source::read_text;
use super::{Environment, Faults, Source, variables};

/// Shortest password accepted outside development, in characters; generated ones are longer.
const SHORTEST_PASSWORD: usize = 16;

/// What documentation and templates put where a password belongs.
const PLACEHOLDERS: [&str; 6] = [
    "changeme",
    "change-me",
    "placeholder",
    "password",
    "postgres",
    "secret",
];

/// How the connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseTls {
    /// TLS, with chain and host name verified against this PEM file.
    VerifyFull(PathBuf),
    /// Clear text, for development.
    Disable,
}

/// Settings of the database.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// Host name.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Name of the database.
    pub name: String,
    /// Role.
    pub user: String,
    /// Where the password is, to read it again when it changes.
    pub password_file: PathBuf,
    /// Password as it was at the start.
    pub password: SecretString,
    /// Protection of the connection.
    pub tls: DatabaseTls,
    /// Largest number of connections.
    pub max_connections: u32,
}

impl DatabaseSettings {
    pub(super) fn read(source: &Source, environment: Environment, faults: &mut Faults) -> Option<Self> {
        let host = source
            .require(variables::DATABASE_HOST, faults)
            .map(str::to_owned);
        let port = source
            .number(variables::DATABASE_PORT, 1..=65535, faults)
            .and_then(|port| u16::try_from(port).ok());
        let name = source
            .require(variables::DATABASE_NAME, faults)
            .map(str::to_owned);
        let user = source
            .require(variables::DATABASE_USER, faults)
            .map(str::to_owned);
        let password_file = source.require_path(variables::DATABASE_PASSWORD_FILE, faults);
        let password = password_file.as_ref().and_then(|path| {
            let text = read_text(variables::DATABASE_PASSWORD_FILE, path, faults)?;
            let password = password_in(&text);
            check_password(&password, environment, faults);
            Some(password)
        });
        let tls = read_tls(source, environment, faults);
        let max_connections = source.number(variables::DATABASE_MAX_CONNECTIONS, 1..=500, faults);
        Some(Self {
            host: host?,
            port: port?,
            name: name?,
            user: user?,
            password_file: password_file?,
            password: password?,
            tls: tls?,
            max_connections: max_connections?,
        })
    }
}

/// The password in the text of its file; editors and `echo` end a file with a line break that is no part of it.
pub fn password_in(text: &str) -> SecretString {
    SecretString::from(text.trim_end_matches(['\r', '\n']))
}

fn check_password(password: &SecretString, environment: Environment, faults: &mut Faults) {
    let password = password.expose_secret();
    let lowered = password.to_lowercase();
    let remedy = "let it be generated, with at least 16 characters";
    if password.is_empty() {
        faults.add(variables::DATABASE_PASSWORD_FILE, "its file is empty", remedy);
    } else if environment.is_development() {
        // A developer's own database may have any password.
    } else if PLACEHOLDERS
        .iter()
        .any(|placeholder| lowered.contains(placeholder))
    {
        faults.add(
            variables::DATABASE_PASSWORD_FILE,
            "its file holds a placeholder",
            remedy,
        );
    } else if password.chars().count() < SHORTEST_PASSWORD {
        faults.add(
            variables::DATABASE_PASSWORD_FILE,
            "its password is too short",
            remedy,
        );
    }
}

fn read_tls(source: &Source, environment: Environment, faults: &mut Faults) -> Option<DatabaseTls> {
    match source.get(variables::DATABASE_TLS)? {
        "verify-full" => {
            let path = source.require_path(variables::DATABASE_CA_FILE, faults)?;
            let text = read_text(variables::DATABASE_CA_FILE, &path, faults)?;
            if !text.contains("-----BEGIN CERTIFICATE-----") {
                faults.add(
                    variables::DATABASE_CA_FILE,
                    "its file holds no PEM certificate",
                    "mount the certificate of the authority that signed PostgreSQL's",
                );
                return None;
            }
            Some(DatabaseTls::VerifyFull(path))
        }
        "disable" if environment.is_development() => Some(DatabaseTls::Disable),
        "disable" => {
            faults.add(
                variables::DATABASE_TLS,
                "disable is for ENVIRONMENT=development only",
                "use verify-full and set DATABASE_CA_FILE",
            );
            None
        }
        _ => {
            faults.add(variables::DATABASE_TLS, "is not a mode", "use verify-full");
            None
        }
    }
}
