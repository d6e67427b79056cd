//! PostgreSQL: connections, migrations, and one file per aggregate. Every query is checked at compile time against the
//! schema (`.sqlx`), and everything about a patient goes through a [`CallerTransaction`].

mod audit;
mod connection;
mod error;
mod key_fingerprint;
pub mod login_attempt;
mod migrate;
pub mod password_reset;
pub mod patient;
mod schema;
pub mod second_factor;
pub mod session;
mod transaction;
pub mod user;

pub use audit::write as write_audit;
pub use connection::{follow_password_file, owner_connection, pool};
pub use error::DatabaseError;
pub use key_fingerprint::{KeyCheck, check_keys};
pub use migrate::{MigrateError, MigrateReport, migrate};
pub use schema::{SchemaState, schema_state};
pub use transaction::{BeginError, CallerTransaction};
