//! The reference application: an API for patients' records that assumes a hostile network, a curious colleague and a
//! stolen database.
//!
//! A request passes `http` (TLS, limits, authentication), `policy` (may this role do that), `db` (a transaction in
//! which PostgreSQL itself shows only the caller's patients), `crypto` (columns sealed per patient) and `audit` (a row
//! in the same transaction). `domain` knows none of them.

pub mod audit;
pub mod config;
pub mod crypto;
pub mod db;
pub mod domain;
pub mod http;
pub mod metrics;
pub mod policy;
pub mod rate_limit;
pub mod readiness;
pub mod serve;
pub mod telemetry;
