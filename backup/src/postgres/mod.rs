//! PostgreSQL's own programs, run as children: `psql`, `pg_dump`, `pg_restore`, `initdb`, `postgres`.
//!
//! The queries go through `psql` rather than a client library, so that host, TLS and authentication mean
//! exactly the same for the session that holds the snapshot as for `pg_dump`: all of it is libpq.

pub mod binaries;
pub mod connection;
pub mod diagnostics;
pub mod inventory;
pub mod pg_restore;
pub mod process;
pub mod scratch_server;
pub mod session;
pub mod snapshot;
pub mod table_of_contents;
