//! How long a deployment that failed waits before it is tried again, each for itself.

use std::time::Duration;

use crate::{per_deployment::PerDeployment, store::Owner};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);

/// Failures in a row, by deployment.
#[derive(Default)]
pub struct Backoff(PerDeployment<u32>);

impl Backoff {
    /// One more failure: how long to wait. Doubles from one second to five minutes.
    pub fn failed(&self, owner: &Owner) -> Duration {
        let mut failures = self.0.lock();
        let count = failures.entry(owner.clone()).or_default();
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(*count)).min(LONGEST);
        *count = count.saturating_add(1);
        wait
    }

    /// It succeeded, or is gone.
    pub fn reset(&self, owner: &Owner) {
        self.0.forget(owner);
    }
}

/// Spreads periodic work: the base and up to a fifth more, by the name, so that it is the same each time.
pub fn spread(base: Duration, owner: &Owner) -> Duration {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    owner.hash(&mut hasher);
    // At most 999, so that nothing is lost.
    let thousandths = u32::try_from(hasher.finish() % 1000).unwrap_or_default();
    base + base / 5000 * thousandths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_deployment_waits_longer_each_time_and_no_other_does() {
        let backoff = Backoff::default();
        let owner = |name: &str| Owner {
            namespace: "ns".to_owned(),
            name: name.to_owned(),
        };
        let waits: Vec<u64> = (0..11)
            .map(|_| backoff.failed(&owner("poison")).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff.failed(&owner("sound")).as_secs(), 1);
        backoff.reset(&owner("poison"));
        assert_eq!(backoff.failed(&owner("poison")).as_secs(), 1);
    }
}
