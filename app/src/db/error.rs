//! What can go wrong with the database, as far as a caller has to tell it apart.

use crate::crypto::{OpenError, SealError};
use crate::domain::Violation;

/// A failed database operation.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A unique constraint of this name would be broken.
    #[error("the constraint {0} would be broken")]
    Conflict(String),
    /// No connection, or it broke: the same operation may succeed later.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// Anything else the database says.
    #[error("the database refused: {0}")]
    Query(#[source] sqlx::Error),
    /// A stored value does not open: damage, tampering or a wrong key.
    #[error("stored data cannot be opened: {0}")]
    Open(#[from] OpenError),
    /// A value could not be sealed.
    #[error("data cannot be sealed: {0}")]
    Seal(#[from] SealError),
    /// A stored value opens but breaks a rule.
    #[error("stored data breaks a rule: {0}")]
    Stored(#[from] Violation),
}

impl DatabaseError {
    /// Whether the connection was lost or the primary changed, so that the same read may succeed on another connection at
    /// once. Being out of connections or out of time is not of that kind: another try would only add to the load.
    pub fn connection_lost(&self) -> bool {
        match self {
            Self::Unavailable(sqlx::Error::Io(_)) => true,
            Self::Unavailable(_) => self.sqlstate().is_some_and(|code| {
                code.starts_with("08") || matches!(code.as_str(), "57P01" | "57P02" | "57P03" | "25006")
            }),
            _ => false,
        }
    }

    /// The SQLSTATE, which says what happened without saying to which values.
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Unavailable(error) | Self::Query(error) => error
                .as_database_error()
                .and_then(|error| error.code().map(std::borrow::Cow::into_owned)),
            _ => None,
        }
    }
}

/// SQLSTATE classes and codes that pass by themselves or by an operator's hand: no connection (08), no login (28, while
/// a password is being changed), a database that takes no connections (55000), too many of them (53300), shutdown and
/// start-up, a read-only primary after a failover, serialisation failures, statement and lock timeouts.
fn is_transient(code: &str) -> bool {
    code.starts_with("08")
        || code.starts_with("28")
        || matches!(
            code,
            "53300" | "57P01" | "57P02" | "57P03" | "25006" | "40001" | "40P01" | "57014" | "55P03" | "55000"
        )
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            sqlx::Error::Database(database) => {
                if database.is_unique_violation() {
                    return Self::Conflict(database.constraint().unwrap_or_default().to_owned());
                }
                if database.code().is_some_and(|code| is_transient(&code)) {
                    Self::Unavailable(error)
                } else {
                    Self::Query(error)
                }
            }
            _ => Self::Query(error),
        }
    }
}
