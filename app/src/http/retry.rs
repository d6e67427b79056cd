//! A second try for reads that lost their database connection, as they do when the primary changes.
//!
//! Only GET and HEAD: they have no body and change nothing. A write may have been committed before the connection broke,
//! so that only its client can know whether to repeat it.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use super::state::AppState;

/// Tries in addition to the first.
const RETRIES: u32 = 2;
/// Longest pause before the first retry; the second may take twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// Marks an answer that another try may better.
#[derive(Clone, Copy)]
pub struct MayPass;

/// Marks a request that was counted already.
#[derive(Clone, Copy)]
pub struct Again;

/// Tries reads again, at most twice and after pauses of random length, so that many do not come back at once.
pub async fn retry_reads(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let mut response = next.clone().run(Request::from_parts(parts.clone(), body)).await;
    for retry in 1..=RETRIES {
        if response.extensions().get::<MayPass>().is_none() {
            break;
        }
        tokio::time::sleep(pause(retry)).await;
        state.metrics.read_retries.inc();
        let mut again = Request::from_parts(parts.clone(), Body::empty());
        again.extensions_mut().insert(Again);
        response = next.clone().run(again).await;
    }
    response
}

/// Between half and the whole of the longest pause.
fn pause(retry: u32) -> Duration {
    let longest = PAUSE * retry;
    let mut random = [0; 1];
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        return longest;
    }
    longest / 2 + longest / 2 * u32::from(random[0]) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_bounded_and_not_all_the_same() {
        let pauses: Vec<_> = (0..100).map(|_| pause(1)).collect();
        assert!(pauses.iter().all(|pause| (PAUSE / 2..=PAUSE).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        assert!((PAUSE..=PAUSE * 2).contains(&pause(2)));
    }
}
