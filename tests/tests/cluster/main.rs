//! Tests that need a whole cluster: pods that run, CloudNativePG, enforced network policies.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod patient;
