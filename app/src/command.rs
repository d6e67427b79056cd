//! Commands that are more than a line.

pub mod audit;
