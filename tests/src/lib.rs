//! What the tests of the control plane and of the cluster share.
//!
//! Every test gets a namespace of its own, waits for conditions and never for a time, and leaves behind, when it fails,
//! a folder with the resources, Events and logs of its namespace.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

pub mod api;
pub mod audit_log;
pub mod commands;
pub mod namespace;
pub mod waiting;

pub use namespace::{Lab, in_namespace};
pub use waiting::eventually;
