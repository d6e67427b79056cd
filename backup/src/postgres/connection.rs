//! How to reach a database: what is handed to libpq in the environment of each child.

use std::path::PathBuf;
use std::process::Command;

use secrecy::{ExposeSecret, SecretString};

use super::binaries::{Binaries, BinariesError};

/// One database to connect to. The password travels only in the environment of children, never in arguments.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Host name, or the folder of a Unix socket. Default: libpq's own.
    pub host: Option<String>,
    /// Port. Default: libpq's own, 5432.
    pub port: Option<u16>,
    /// Database name.
    pub database: String,
    /// Role to log in as. Default: libpq's own, the user of the operating system.
    pub user: Option<String>,
    /// Password; without one, libpq uses its password file or needs none.
    pub password: Option<SecretString>,
    /// libpq's `sslmode`.
    pub ssl_mode: String,
    /// File of the certificate authorities the server is checked against.
    pub ssl_root_cert: Option<PathBuf>,
}

impl Connection {
    /// A command for one of PostgreSQL's programs that connects here.
    ///
    /// `PG…` variables of this process are taken out first, so that only what stands in [`Connection`] decides
    /// where a program connects: a scratch server must never be mistaken for the real one.
    pub fn command(&self, binaries: &Binaries, program: &str) -> Result<Command, BinariesError> {
        let mut command = bare_command(binaries, program)?;
        command.env("PGDATABASE", &self.database);
        command.env("PGSSLMODE", &self.ssl_mode);
        command.env("PGAPPNAME", "medical-backup");
        command.env("PGCLIENTENCODING", "UTF8");
        command.env("PGCONNECT_TIMEOUT", "10");
        let port = self.port.map(|port| port.to_string());
        for (name, value) in [("PGHOST", &self.host), ("PGPORT", &port), ("PGUSER", &self.user)] {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password.expose_secret());
        }
        if let Some(file) = &self.ssl_root_cert {
            command.env("PGSSLROOTCERT", file);
        }
        Ok(command)
    }

    /// Where this is, for messages: `app at pg-rw:5432`.
    pub fn describe(&self) -> String {
        let host = self.host.as_deref().unwrap_or("the local socket");
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{} at {host}{port}", self.database)
    }
}

/// A command for one of PostgreSQL's programs that is told of no server, with its messages in English, so that they can be recognised.
pub fn bare_command(binaries: &Binaries, program: &str) -> Result<Command, BinariesError> {
    let mut command = Command::new(binaries.program(program)?);
    for (name, _) in std::env::vars_os() {
        let keep = ["PGPASSFILE", "PGSERVICEFILE", "PGSSLCERT", "PGSSLKEY", "PGSSLCRL"];
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("PG") && !keep.contains(&name))
        {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C");
    Ok(command)
}
