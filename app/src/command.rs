//! Commands that are more than a line.

pub mod audit;
#[cfg(feature = "dev")]
pub mod dev;
pub mod keys;
pub mod patients;
pub mod verify;
