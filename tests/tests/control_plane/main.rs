//! Tests that need a real API server, but no pod that runs.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod admission;
mod explain;
mod install_manifest;
mod judges;
mod operator_alone_and_in_pairs;
mod operator_process;
mod operator_without_database_api;
mod scale;
