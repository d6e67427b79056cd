//! The API over HTTPS. One operation a file, below the folder of its resource.

mod audit_events;
mod auth;
mod body;
mod care_team;
mod client_address;
mod client_certificate;
mod emergency_access;
mod error;
mod extract;
mod fhir;
mod health;
mod idempotency;
mod load;
mod metrics;
mod middleware;
mod openapi;
mod page;
mod patients;
mod problems;
mod rate_limit;
mod retry;
mod router;
pub mod server;
mod state;
pub mod tls;
mod trace_context;
mod users;

pub use load::Places;
pub use openapi::document as openapi_document;
pub use router::{api, metrics_only};
pub use state::{AppState, Parts};
