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
        command.arg(format!("--dbname={}", self.connection_string()));
        command.env("PGSSLMODE", &self.ssl_mode);
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

    /// The database as a connection string: a plain name that holds `=` would be read as one. A server whose
    /// machine is gone is noticed within a minute; the operating system would wait for two hours.
    fn connection_string(&self) -> String {
        let name = self.database.replace('\\', r"\\").replace('\'', r"\'");
        format!("dbname='{name}' keepalives_idle=30 keepalives_interval=10 keepalives_count=3")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_name_is_never_read_as_a_connection_string() {
        let connection = |database: &str| Connection {
            host: None,
            port: None,
            database: database.to_owned(),
            user: None,
            password: None,
            ssl_mode: "verify-full".to_owned(),
            ssl_root_cert: None,
        };
        assert!(connection("app").connection_string().starts_with("dbname='app' "));
        let awkward = connection(r"host=evil 'x\").connection_string();
        assert!(awkward.starts_with(r"dbname='host=evil \'x\\' "), "{awkward}");
    }
}
