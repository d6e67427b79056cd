//! Tests that need a real API server, but no pod that runs.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod admission;
mod explain;
mod install_manifest;
mod judges;
mod operator_without_database_api;
