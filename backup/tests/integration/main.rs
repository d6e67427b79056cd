//! `medical-backup` against a real PostgreSQL server.
//!
//! Every test starts a server of its own below a temporary folder, on a Unix socket, as an ordinary user: run by
//! root, the tests run servers and program as `postgres`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its helpers as well"
)]

mod command_line;
mod connecting;
mod damage;
mod interrupted;
mod keys;
mod program;
mod retention;
mod round_trip;
mod secrecy;
mod server;
