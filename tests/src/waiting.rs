//! Waiting for a condition.

use std::time::{Duration, Instant};

/// Asks `probe` until it answers `Ok`, and fails with its last answer when that takes longer than `deadline`.
///
/// # Panics
/// When the deadline passes.
pub async fn eventually<T, F, Fut>(what: &str, deadline: Duration, mut probe: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<T>>,
{
    let started = Instant::now();
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(error) if started.elapsed() > deadline => {
                panic!("{what}: not within {} s: {error:#}", deadline.as_secs())
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(250)).await,
        }
    }
}

/// Shorthand: seconds.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
