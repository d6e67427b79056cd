//! PostgreSQL: connections, migrations, and one file per aggregate. Every query is checked at compile time against the
//! schema (`.sqlx`), and everything about a patient goes through a [`CallerTransaction`].

pub mod account;
mod audit;
pub mod audit_chain;
pub mod audit_log;
pub mod audit_read;
mod budget;
pub mod care_team;
mod connection;
pub mod emergency_access;
mod error;
pub mod idempotency;
mod key_fingerprint;
pub mod key_rotation;
pub mod login_attempt;
pub mod maintenance;
mod migrate;
pub mod password_reset;
pub mod patient;
pub mod rate_limit;
mod schema;
pub mod second_factor;
pub mod session;
mod transaction;
pub mod user;
pub mod verification;

pub use audit::{is_writable as audit_is_writable, write as write_audit};
pub use connection::{follow_password_file, owner_connection, pool};
pub use error::DatabaseError;
pub use key_fingerprint::{KeyCheck, check_keys};
pub use migrate::{MigrateError, MigrateReport, migrate};
pub use schema::{SchemaState, schema_state};
pub use transaction::{BeginError, CallerTransaction, denial};
