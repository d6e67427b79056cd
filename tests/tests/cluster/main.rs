//! Tests that need a whole cluster: pods that run, CloudNativePG, enforced network policies.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod autoscaling;
mod backup;
mod deletion;
mod drift;
mod external_app;
mod failures;
mod isolation;
mod leaks;
mod patient;
mod readme;
mod z_disruptions;
