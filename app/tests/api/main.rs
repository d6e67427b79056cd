//! The API against a real PostgreSQL over TLS: the program itself, started as it is in a container, and a client that
//! knows nothing but HTTP.
//!
//! The tests share one PostgreSQL, started from the installed binaries and ended with the test process; each has a
//! database, keys and a server process of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails where something is not as it has to be"
)]

mod audit;
mod audit_commands;
mod authorisation;
mod authority;
mod bad_input;
mod browsers;
mod care_team;
mod cluster;
mod commands;
mod deployment;
#[cfg(feature = "dev")]
mod dev;
mod edge;
mod emergency_access;
mod fhir;
mod fhir_schema;
mod fhir_search;
mod guard_rails;
mod health;
mod idempotency;
mod isolation;
mod keys;
mod load;
mod login;
mod matrix;
mod migration_rules;
mod migrations;
mod mutual_tls;
mod openapi;
mod password_reset;
mod passwords;
mod patients;
mod prepared;
mod proxy;
mod rate_limit;
mod redaction;
mod roles;
mod second_factor;
mod secrecy;
mod sessions;
mod shutdown;
mod tampering;
mod tokens;
mod users;
mod verification;
mod waiting;
