//! What software of hospitals reads: the records by FHIR R4 (4.0.1), over the same permissions, rows and limits as the
//! rest of the API.

mod audit_event;
mod bundle;
mod capability;
mod format;
mod metadata;
mod outcome;
mod parameters;
mod patient;
mod read_audit_event;
mod read_patient;
mod representation;
mod responses;
mod search_audit_events;
mod search_patients;

use axum::middleware::from_fn;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::AppState;

pub use outcome::problems_as_outcomes;

/// The routes of this folder.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(metadata::metadata))
        .routes(routes!(search_patients::search))
        .routes(routes!(read_patient::read))
        .routes(routes!(search_audit_events::search))
        .routes(routes!(read_audit_event::read))
        .layer(from_fn(format::negotiate))
}

/// The service base URL (R4 section 3.1.0.1.1).
fn base(state: &AppState) -> String {
    format!("{}/fhir", state.public_url.as_str())
}
