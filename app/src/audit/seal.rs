//! The sealer: links committed rows into the chain, at most once a second, in one process at a time.
//!
//! Requests never wait for it: they write their row and commit. Every replica runs a sealer; a lock that lives as long
//! as the transaction decides which one works, so that none has to be elected and none can keep the lock by dying.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Authenticity, Checkpoint, Head, Link, Row};
use crate::crypto::AuditKey;
use crate::db::{DatabaseError, audit_chain};
use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// Time between two attempts.
const INTERVAL: Duration = Duration::from_secs(1);
/// Rows in one transaction.
const BATCH: i64 = 1000;
/// A row that waits for longer makes the process degraded, in seconds.
const TOLERATED_LAG: f64 = 60.0;
/// How often it is made sure that the partitions of the next months are there.
const PARTITIONS_CHECK: Duration = Duration::from_hours(1);
/// How long the last sealing may take at the end of the process.
const LAST_DEADLINE: Duration = Duration::from_secs(5);

/// Why nothing was sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The database failed; the next attempt may succeed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The end of the chain is not the one that was signed, or not the one that this process knows. Nothing is linked to
    /// it: that would hide the break.
    #[error("the end of the audit chain is not the signed one; run `medical-app audit verify`")]
    Broken,
}

/// Links rows into the chain.
pub struct Sealer {
    pool: PgPool,
    key: Arc<AuditKey>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    known: Head,
    partitions_checked: Option<Instant>,
    failing: bool,
}

impl Sealer {
    /// Knows nothing of the chain yet.
    pub fn new(pool: PgPool, key: Arc<AuditKey>, metrics: Arc<Metrics>, readiness: Arc<Readiness>) -> Self {
        metrics.audit_intact.set(1);
        Self {
            pool,
            key,
            metrics,
            readiness,
            known: Head::GENESIS,
            partitions_checked: None,
            failing: false,
        }
    }

    /// Seals until `stop` says so, and once more after that.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            self.attempt().await;
            tokio::select! {
                // A sender that is gone stops it, too.
                _ = stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
        // What is late is sealed by another replica, or after the next start.
        drop(tokio::time::timeout(LAST_DEADLINE, self.attempt()).await);
    }

    async fn attempt(&mut self) {
        let result = self.seal().await;
        self.metrics
            .audit_intact
            .set(i64::from(!matches!(result, Err(SealError::Broken))));
        match &result {
            Err(error) if !self.failing => tracing::error!(error = %error, "the audit log is not sealed"),
            Ok(()) if self.failing => tracing::info!("the audit log is sealed again"),
            _ => {}
        }
        self.failing = result.is_err();
        let lag = self.measure().await;
        self.readiness
            .set_audit_degraded(matches!(result, Err(SealError::Broken)) || lag > TOLERATED_LAG);
    }

    async fn seal(&mut self) -> Result<(), SealError> {
        if self
            .partitions_checked
            .is_none_or(|when| when.elapsed() > PARTITIONS_CHECK)
        {
            let mut connection = self.pool.acquire().await.map_err(DatabaseError::from)?;
            audit_chain::create_partitions_ahead(&mut connection).await?;
            self.partitions_checked = Some(Instant::now());
        }
        while self.seal_batch().await? {}
        Ok(())
    }

    /// Gives whether there may be more.
    async fn seal_batch(&mut self) -> Result<bool, SealError> {
        let mut transaction = self.pool.begin().await.map_err(DatabaseError::from)?;
        if !audit_chain::try_lock(&mut transaction).await? {
            return Ok(false);
        }
        let head = audit_chain::head(&mut transaction).await?;
        let signed = match audit_chain::newest_checkpoint(&mut transaction).await? {
            Some(checkpoint) => checkpoint.head == head && checkpoint.holds(&self.key),
            None => head == Head::GENESIS,
        };
        if !signed || !audit_chain::holds(&mut transaction, self.known).await? {
            return Err(SealError::Broken);
        }
        self.known = head;
        self.metrics.audit_position.set(head.position);
        let waiting = audit_chain::unsealed(&mut transaction, BATCH).await?;
        if waiting.is_empty() {
            return Ok(false);
        }
        let rows = audit_chain::rows(&mut transaction, &waiting).await?;
        let links = self.link(head, &waiting, &rows);
        let Some(last) = links.last() else {
            return Ok(false);
        };
        let checkpoint = Checkpoint::sign(last.head(), last.sealed_at, &self.key);
        audit_chain::append(&mut transaction, &links, &checkpoint).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        self.known = checkpoint.head;
        self.tell(&links, &checkpoint);
        Ok(waiting.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX))
    }

    fn link(&self, mut head: Head, waiting: &[(i64, Timestamp)], rows: &[Row]) -> Vec<Link> {
        let now = Timestamp::now();
        let now = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
        let rows: HashMap<i64, &Row> = rows.iter().map(|row| (row.sequence, row)).collect();
        waiting
            .iter()
            .map(|place| {
                let link = Link::after(head, *place, rows.get(&place.0).copied(), now, &self.key);
                head = link.head();
                link
            })
            .collect()
    }

    /// One line for whoever keeps the log: with it, a chain that was cut off afterwards is found.
    fn tell(&self, links: &[Link], checkpoint: &Checkpoint) {
        let doubtful = links
            .iter()
            .filter(|link| link.authenticity != Authenticity::Keyed)
            .count() as u64;
        self.metrics.audit_not_authentic.inc_by(doubtful);
        self.metrics.audit_position.set(checkpoint.head.position);
        tracing::info!(
            position = checkpoint.head.position,
            head = hex::encode(checkpoint.head.link),
            signed_at = checkpoint.signed_at.as_microsecond(),
            signature = hex::encode(&checkpoint.signature),
            public_key = hex::encode(self.key.public_key()),
            "audit checkpoint"
        );
    }

    /// Age of the oldest row that waits, in seconds.
    async fn measure(&self) -> f64 {
        let Ok(mut connection) = self.pool.acquire().await else {
            return self.metrics.audit_lag.get();
        };
        let Ok((rows, oldest)) = audit_chain::backlog(&mut connection).await else {
            return self.metrics.audit_lag.get();
        };
        let lag = oldest.map_or(0.0, |oldest| {
            Timestamp::now().duration_since(oldest).as_secs_f64().max(0.0)
        });
        self.metrics.audit_unsealed.set(rows);
        self.metrics.audit_lag.set(lag);
        lag
    }
}
