//! The API over HTTPS. One operation a file, below the folder of its resource.

mod audit_events;
mod auth;
mod body;
mod care_team;
mod emergency_access;
mod error;
mod extract;
mod health;
mod metrics;
mod middleware;
mod openapi;
mod page;
mod patients;
mod problems;
mod router;
pub mod server;
mod state;
mod throttle;
pub mod tls;
mod users;

pub use openapi::document as openapi_document;
pub use router::{api, metrics_only};
pub use state::{AppState, Parts};
pub use throttle::LoginThrottle;
