//! Limits on the number of requests, shared by all processes on one database (R-176 to R-184, ASVS 2.4.1).
//!
//! A process decides alone while a client is far from the limit, and reports in batches; only near the limit, and for
//! every login, a request asks the database. A refusal needs no database at all.
//!
//! **Error bound.** A process lets at most a tenth of a quota through before it has reported it. So with *p* processes,
//! no window sees more than the quota, plus *p* tenths of it, plus what time pays meanwhile. Logins are exact: nothing of
//! theirs goes unreported. Nobody is refused early. Without the database each process keeps the limit by itself.

mod ledger;
mod quota;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;

use crate::crypto::PhiVault;
use crate::db::rate_limit as shared;
use crate::metrics::Metrics;
pub use ledger::Key;
use ledger::{Advice, Ledger};
pub use quota::{Class, Quota, Quotas, Scope};

/// How often the database is told of what this process let through.
const REPORT: Duration = Duration::from_millis(250);
/// Every how many reports the rows that time has paid for are removed: once a minute.
const REPORTS_A_SWEEP: u32 = 240;

/// Whose request it is.
#[derive(Clone, Copy)]
pub enum Subject<'a> {
    /// A user, by their id.
    Account(&'a str),
    /// A client's address.
    Address(IpAddr),
}

impl Subject<'_> {
    fn scope(&self) -> Scope {
        match self {
            Self::Account(_) => Scope::Account,
            Self::Address(_) => Scope::Address,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Account(name) => (*name).to_owned(),
            Self::Address(IpAddr::V4(address)) => address.to_string(),
            Self::Address(IpAddr::V6(address)) => format!("{:016x}", address.to_bits() >> 64),
        }
    }
}

/// How a subject stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Class of the request.
    pub class: Class,
    /// What was counted.
    pub scope: Scope,
    /// The limit.
    pub quota: Quota,
    /// Time until everything is paid for.
    pub debt: Duration,
    /// Whether the request is one too many.
    pub refused: bool,
}

impl Standing {
    /// Time until a next request fits.
    pub fn wait(&self) -> Duration {
        (self.debt + self.quota.cost()).saturating_sub(self.quota.window)
    }
}

/// Counts and decides.
pub struct RateLimiter {
    pool: PgPool,
    vault: Arc<PhiVault>,
    quotas: Quotas,
    ledger: Ledger,
    metrics: Arc<Metrics>,
}

impl RateLimiter {
    /// With these limits, shared through this database.
    pub fn new(pool: PgPool, vault: Arc<PhiVault>, quotas: Quotas, metrics: Arc<Metrics>) -> Self {
        Self {
            pool,
            vault,
            quotas,
            ledger: Ledger::default(),
            metrics,
        }
    }

    /// Counts a request.
    pub async fn admit(&self, class: Class, subject: Subject<'_>) -> Standing {
        let scope = subject.scope();
        let quota = self.quotas.of(class, scope);
        let key = self.key(class, subject);
        // A login costs round trips anyway, and guessing deserves no credit.
        let slack = if class == Class::Login {
            0
        } else {
            quota.requests / 10
        };
        let (debt, refused) = match self.ledger.advise(key, quota, slack, Instant::now()) {
            Advice::Admit(debt) => (debt, false),
            Advice::Refuse(debt) => (debt, true),
            Advice::Ask(owed) => self.ask(key, quota, owed).await,
        };
        if refused {
            self.metrics
                .rate_limited
                .with_label_values(&[class.as_str(), scope.as_str()])
                .inc();
        }
        Standing {
            class,
            scope,
            quota,
            debt,
            refused,
        }
    }

    async fn ask(&self, key: Key, quota: Quota, owed: Duration) -> (Duration, bool) {
        let most = quota.window.saturating_sub(owed);
        match shared::charge(&self.pool, &key, quota.cost(), most).await {
            Ok(answer) => {
                let debt = self.ledger.learn(key, quota, 0, answer.debt, Instant::now());
                (debt, !answer.charged)
            }
            Err(error) => {
                tracing::warn!(error = %error, "the shared rate limit is not available; this process counts alone");
                (self.ledger.count_alone(key, quota, Instant::now()), false)
            }
        }
    }

    /// Keyed, so that the table tells nobody which addresses and accounts were here.
    fn key(&self, class: Class, subject: Subject<'_>) -> Key {
        let name = format!(
            "{}/{}/{}",
            class.as_str(),
            subject.scope().as_str(),
            subject.name()
        );
        let mut key = Key::default();
        key.copy_from_slice(self.vault.blind_index("rate_limit", "bucket", &name).as_bytes());
        key
    }

    /// Reports to the database and removes what is paid for, until it is dropped.
    pub async fn report(self: Arc<Self>) {
        let mut rounds = 0_u32;
        loop {
            tokio::time::sleep(REPORT).await;
            self.settle().await;
            let known = i64::try_from(self.ledger.len()).unwrap_or(i64::MAX);
            self.metrics.rate_limit_keys.set(known);
            rounds = (rounds + 1) % REPORTS_A_SWEEP;
            if rounds == 0
                && let Err(error) = shared::sweep(&self.pool).await
            {
                tracing::debug!(error = %error, "paid rate-limit rows were not removed");
            }
        }
    }

    async fn settle(&self) {
        let due = self.ledger.due();
        if due.is_empty() {
            return;
        }
        let charges: Vec<_> = due.iter().map(|due| (due.key, due.cost)).collect();
        match shared::settle(&self.pool, &charges).await {
            Ok(debts) => {
                let now = Instant::now();
                for due in &due {
                    if let Some(debt) = debts.get(&due.key) {
                        self.ledger.settled(due, *debt, now);
                    }
                }
            }
            // It stays due, and counts here.
            Err(error) => tracing::debug!(error = %error, "the shared rate limit was not told"),
        }
    }
}
