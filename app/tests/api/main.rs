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
mod authorisation;
mod authority;
mod cluster;
mod commands;
mod deployment;
mod edge;
mod health;
mod isolation;
mod login;
mod migrations;
mod openapi;
mod password_reset;
mod passwords;
mod patients;
mod prepared;
mod second_factor;
mod secrecy;
mod sessions;
mod shutdown;
mod tokens;
mod waiting;
