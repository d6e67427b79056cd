//! Encrypted logical backups of one PostgreSQL database: dump, verify, restore, prune, list.
//!
//! A dump is the output of `pg_dump --format=custom`, compressed by zstd, encrypted by age to an X25519
//! recipient, beside a manifest that says what it must contain. Nothing here knows of Kubernetes; the binary
//! is copied into a container of the database's own image, so that `pg_dump` always matches the server.
//!
//! The pure middle is [`name`], [`manifest`], [`retention`], [`rows`]; processes and files are at the edges.

pub mod archive;
pub mod catalog;
pub mod digest;
pub mod dump;
pub mod encryption;
pub mod install;
pub mod interruption;
pub mod listing;
pub mod lock;
pub mod manifest;
pub mod name;
pub mod part_file;
pub mod postgres;
pub mod progress;
pub mod prune;
pub mod restore;
pub mod retention;
pub mod rows;
pub mod termination;
pub mod verify;
