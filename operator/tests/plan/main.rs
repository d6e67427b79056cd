//! The plan: what every child object of a resource looks like, and what holds for all of them.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test ends at the first thing that is not as expected"
)]

#[path = "../sample/mod.rs"]
mod sample;

mod access;
mod network;
mod pods;
mod properties;
mod rollout;
mod snapshots;
mod specs;
