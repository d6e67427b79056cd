//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Longest wait. It is generous: a machine under load is slow, and a condition that holds ends the wait at once.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// Asks again and again until the answer is there.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < DEADLINE, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
