//! Commands that are more than a line.

pub mod audit;
pub mod keys;
pub mod patients;
pub mod verify;
