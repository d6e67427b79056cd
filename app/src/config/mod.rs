//! Configuration from the environment and from mounted files, typed per concern.
//!
//! Reading never stops at the first fault: [`Faults`] lists all of them, each with the variable and the remedy
//! (ASVS 13.1.1), and never with a value.

mod auth;
mod database;
mod keys;
mod limits;
mod server;
mod source;
mod telemetry;
pub mod variables;

use std::fmt;

pub use auth::{AuthSettings, SessionLimits};
pub use database::{DatabaseSettings, DatabaseTls, password_in};
pub use keys::KeySettings;
pub use limits::{ForwardedHeader, LimitSettings, TrustedProxies};
pub use server::{Origin, ServerSettings};
pub use source::Source;
pub use telemetry::TelemetrySettings;
use variables::Variable;

use crate::crypto::AuditKey;

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Name of the environment variable.
    pub variable: &'static str,
    /// What is wrong; never contains the value.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// Everything that is wrong with the configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Notes one fault.
    pub fn add(&mut self, variable: Variable, problem: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Fault {
            variable: variable.name,
            problem: problem.into(),
            remedy: remedy.into(),
        });
    }

    /// The faults in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    fn or<T>(self, settings: Option<T>) -> Result<T, Self> {
        match settings {
            Some(settings) if self.0.is_empty() => Ok(settings),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(
            formatter,
            "the configuration has {count} fault{}:",
            if count == 1 { "" } else { "s" }
        )?;
        for fault in &self.0 {
            write!(
                formatter,
                "\n  {}: {}; {}",
                fault.variable, fault.problem, fault.remedy
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Where the program runs; decides which strict rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Real patients.
    Production,
    /// Like production, without real patients.
    Staging,
    /// A developer's own machine.
    Development,
}

impl Environment {
    fn read(source: &Source, faults: &mut Faults) -> Option<Self> {
        match source.get(variables::ENVIRONMENT)? {
            "production" => Some(Self::Production),
            "staging" => Some(Self::Staging),
            "development" => Some(Self::Development),
            _ => {
                faults.add(
                    variables::ENVIRONMENT,
                    "is not a known environment",
                    "use production, staging or development",
                );
                None
            }
        }
    }

    /// Whether the rules for a developer's machine hold.
    pub fn is_development(self) -> bool {
        self == Self::Development
    }
}

/// What `serve` needs.
#[derive(Debug)]
pub struct Settings {
    /// Where the program runs.
    pub environment: Environment,
    /// Logs.
    pub telemetry: TelemetrySettings,
    /// Listeners, TLS, origins, shutdown.
    pub server: ServerSettings,
    /// Limits on clients.
    pub limits: LimitSettings,
    /// PostgreSQL, as the restricted role.
    pub database: DatabaseSettings,
    /// Keys for PHI, lookups and tokens.
    pub keys: KeySettings,
    /// Access tokens and sessions.
    pub auth: AuthSettings,
}

impl Settings {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All [`Faults`] at once.
    pub fn read(source: &Source) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let environment = Environment::read(source, &mut faults);
        // Checks that depend on the environment use the strictest one while it is unknown.
        let assumed = environment.unwrap_or(Environment::Production);
        let telemetry = TelemetrySettings::read(source, assumed, &mut faults);
        let server = ServerSettings::read(source, assumed, &mut faults);
        let limits = LimitSettings::read(source, &mut faults);
        let database = DatabaseSettings::read(source, assumed, &mut faults);
        let keys = KeySettings::read(source, &mut faults);
        let auth = AuthSettings::read(source, &mut faults);
        let settings = (|| {
            Some(Self {
                environment: environment?,
                telemetry: telemetry?,
                server: server?,
                limits: limits?,
                database: database?,
                keys: keys?,
                auth: auth?,
            })
        })();
        faults.or(settings)
    }
}

/// What `migrate` needs: no listener and no keys, so that these are not mounted where they are not used.
#[derive(Debug)]
pub struct OwnerSettings {
    /// Where the program runs.
    pub environment: Environment,
    /// Logs.
    pub telemetry: TelemetrySettings,
    /// PostgreSQL, as the owner of the schema.
    pub database: DatabaseSettings,
}

impl OwnerSettings {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All [`Faults`] at once.
    pub fn read(source: &Source) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let settings = Self::collect(source, &mut faults);
        faults.or(settings)
    }

    fn collect(source: &Source, faults: &mut Faults) -> Option<Self> {
        let environment = Environment::read(source, faults);
        let assumed = environment.unwrap_or(Environment::Production);
        let telemetry = TelemetrySettings::read(source, assumed, faults);
        let database = DatabaseSettings::read(source, assumed, faults);
        Some(Self {
            environment: environment?,
            telemetry: telemetry?,
            database: database?,
        })
    }
}

/// What `audit` and `admin` need: the key of the audit log, and the database as its owner or as the restricted role.
pub struct AuditSettings {
    /// Logs.
    pub telemetry: TelemetrySettings,
    /// PostgreSQL.
    pub database: DatabaseSettings,
    /// The key of the audit log.
    pub audit_key: AuditKey,
}

impl AuditSettings {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All [`Faults`] at once.
    pub fn read(source: &Source) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let base = OwnerSettings::collect(source, &mut faults);
        let audit_key = keys::read_audit_key(source, &mut faults);
        let settings = (|| {
            let base = base?;
            Some(Self {
                telemetry: base.telemetry,
                database: base.database,
                audit_key: audit_key?,
            })
        })();
        faults.or(settings)
    }
}

/// What `verify`, `keys` and `patients` need: all keys, and the database as its owner.
#[derive(Debug)]
pub struct MaintenanceSettings {
    /// Logs.
    pub telemetry: TelemetrySettings,
    /// PostgreSQL.
    pub database: DatabaseSettings,
    /// Keys.
    pub keys: KeySettings,
}

impl MaintenanceSettings {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All [`Faults`] at once.
    pub fn read(source: &Source) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let base = OwnerSettings::collect(source, &mut faults);
        let keys = KeySettings::read(source, &mut faults);
        let settings = (|| {
            let base = base?;
            Some(Self {
                telemetry: base.telemetry,
                database: base.database,
                keys: keys?,
            })
        })();
        faults.or(settings)
    }
}

#[cfg(test)]
mod tests;
