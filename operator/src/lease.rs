//! Leader election by a Lease, with the algorithm and the times of client-go's leaderelection package.
//!
//! The holder's clock is never compared with ours: a lease has expired when *we* have seen it unchanged for its whole
//! duration, by a monotonic clock. Every write carries the resourceVersion that was read, so that two candidates can
//! never both succeed. A holder that cannot renew within the deadline has lost the lease, and the process must end.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tokio::time::{sleep, timeout};

/// How long a lease holds that is not renewed.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How long a holder tries to renew before it gives up; less than the duration.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Time between two tries.
pub const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// A candidate for a Lease.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    seen: Option<(String, Instant)>,
}

/// What a try came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Try {
    Holding,
    HeldByAnother,
    Failed,
}

impl Candidate {
    /// A candidate called `identity`, unique among all candidates, for the Lease `name` in `namespace`.
    pub fn new(client: Client, namespace: &str, name: &str, identity: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            seen: None,
        }
    }

    /// Waits until the lease is ours.
    pub async fn acquire(&mut self) {
        while self.attempt().await != Try::Holding {
            sleep(RETRY_PERIOD).await;
        }
        tracing::info!(lease = self.name, identity = self.identity, "leading");
    }

    /// Renews the lease until that fails for longer than the deadline or somebody else has it; then returns, and the
    /// process must end at once.
    pub async fn hold(&mut self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < RENEW_DEADLINE {
            sleep(RETRY_PERIOD).await;
            match self.attempt().await {
                Try::Holding => renewed = Instant::now(),
                Try::HeldByAnother => break,
                Try::Failed => {}
            }
        }
        tracing::error!(lease = self.name, identity = self.identity, "the lease is lost");
    }

    /// Gives the lease up, so that another candidate need not wait for its end.
    pub async fn release(&self) {
        let given_up = async {
            let mut lease = self.api.get(&self.name).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(self.identity.as_str()) {
                return Ok(());
            }
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            self.api
                .replace(&self.name, &PostParams::default(), &lease)
                .await
                .map(drop)
        };
        match timeout(RETRY_PERIOD, given_up).await {
            Ok(Ok(())) => tracing::info!(lease = self.name, "released"),
            Ok(Err(error)) => tracing::warn!(%error, "the lease could not be released"),
            Err(_) => tracing::warn!("the lease could not be released in time"),
        }
    }

    async fn attempt(&mut self) -> Try {
        match timeout(RETRY_PERIOD * 2, self.try_once()).await {
            Ok(Ok(outcome)) => outcome,
            // Somebody else wrote first: read again at the next try.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => Try::Failed,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lease could not be read or written");
                Try::Failed
            }
            Err(_) => Try::Failed,
        }
    }

    async fn try_once(&mut self) -> kube::Result<Try> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.claim(now, 0)),
            };
            self.api.create(&PostParams::default(), &lease).await?;
            return Ok(Try::Holding);
        };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let spec = lease.spec.take().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let mine = holder == self.identity;
        if !mine && !holder.is_empty() && !self.expired(&version, &spec) {
            return Ok(Try::HeldByAnother);
        }
        let transitions = spec.lease_transitions.unwrap_or_default();
        let mut claim = self.claim(
            now,
            if mine {
                transitions
            } else {
                transitions.saturating_add(1)
            },
        );
        if mine {
            claim.acquire_time = spec.acquire_time;
        }
        lease.spec = Some(claim);
        // `lease` still carries the resourceVersion that was read: a write by another makes this one fail.
        self.api
            .replace(&self.name, &PostParams::default(), &lease)
            .await?;
        Ok(Try::Holding)
    }

    fn claim(&self, now: MicroTime, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(LEASE_DURATION.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    /// Whether the lease was unchanged for its whole duration, as seen from here.
    fn expired(&mut self, version: &str, spec: &LeaseSpec) -> bool {
        let duration = Duration::from_secs(
            spec.lease_duration_seconds
                .and_then(|seconds| u64::try_from(seconds).ok())
                .unwrap_or(0),
        );
        match &self.seen {
            Some((seen, since)) if seen == version => since.elapsed() > duration,
            _ => {
                self.seen = Some((version.to_owned(), Instant::now()));
                false
            }
        }
    }
}
