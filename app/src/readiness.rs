//! Whether this process should get requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::Mutex;

use crate::crypto::PhiVault;
use crate::db::{KeyCheck, SchemaState, audit_is_writable, check_keys, schema_state};

/// How long an answer is good: probes and curious clients cannot use up the pool.
const CACHED: Duration = Duration::from_secs(1);
/// How long the database may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// What keeps the process from being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReady {
    /// It was told to end.
    Draining,
    /// The database does not answer.
    Database,
    /// The schema is older than this program, or not there at all.
    Schema,
    /// The stored data was sealed with other keys.
    Keys,
    /// No row of the audit log could be written, so that nothing may be answered.
    Audit,
}

impl NotReady {
    /// Name in the probe's answer and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Database => "database",
            Self::Schema => "schema",
            Self::Keys => "keys",
            Self::Audit => "audit",
        }
    }
}

/// Answers the readiness probe.
pub struct Readiness {
    pool: PgPool,
    vault: Arc<PhiVault>,
    draining: AtomicBool,
    audit_degraded: AtomicBool,
    last: Mutex<Option<(Instant, Result<(), NotReady>)>>,
}

impl Readiness {
    /// Ready as soon as the database agrees.
    pub fn new(pool: PgPool, vault: Arc<PhiVault>) -> Self {
        Self {
            pool,
            vault,
            draining: AtomicBool::new(false),
            audit_degraded: AtomicBool::new(false),
            last: Mutex::new(None),
        }
    }

    /// From now on not ready.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the process was told to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Tells whether the audit log is being sealed as it should. A process that serves is still of use when it is not:
    /// the rows themselves are written in the requests' own transactions.
    pub fn set_audit_degraded(&self, degraded: bool) {
        self.audit_degraded.store(degraded, Ordering::Relaxed);
    }

    /// Whether the audit log is sealed late or not at all.
    pub fn is_audit_degraded(&self) -> bool {
        self.audit_degraded.load(Ordering::Relaxed)
    }

    /// The answer, at most one second old.
    ///
    /// # Errors
    /// What is missing.
    pub async fn check(&self) -> Result<(), NotReady> {
        if self.is_draining() {
            return Err(NotReady::Draining);
        }
        // The lock makes simultaneous probes share one question to the database.
        let mut last = self.last.lock().await;
        if let Some((when, result)) = *last
            && when.elapsed() < CACHED
        {
            return result;
        }
        let result = tokio::time::timeout(DEADLINE, self.ask())
            .await
            .unwrap_or(Err(NotReady::Database));
        let before = last.replace((Instant::now(), result)).map(|(_, result)| result);
        if before != Some(result) {
            match result {
                Ok(()) => tracing::info!("ready"),
                Err(reason) => tracing::warn!(check = reason.as_str(), "not ready"),
            }
        }
        result
    }

    async fn ask(&self) -> Result<(), NotReady> {
        match schema_state(&self.pool).await {
            Ok(SchemaState::Ready) => {}
            Ok(SchemaState::Behind) => return Err(NotReady::Schema),
            // "undefined table", or a table that the role may not read yet: not migrated.
            Err(sqlx::Error::Database(error))
                if matches!(error.code().as_deref(), Some("42P01" | "42501")) =>
            {
                return Err(NotReady::Schema);
            }
            Err(error) => {
                tracing::debug!(error = %error, "the database does not answer");
                return Err(NotReady::Database);
            }
        }
        match check_keys(&self.pool, &self.vault).await {
            Ok(KeyCheck::Match) => {}
            Ok(KeyCheck::Mismatch) => return Err(NotReady::Keys),
            Err(_) => return Err(NotReady::Database),
        }
        match audit_is_writable(&self.pool).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(NotReady::Audit),
            Err(_) => Err(NotReady::Database),
        }
    }
}
