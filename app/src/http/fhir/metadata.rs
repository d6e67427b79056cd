//! `GET /fhir/metadata`

use axum::extract::State;
use axum::response::IntoResponse;

use super::capability::capability_statement;
use super::representation::FhirJson;
use super::responses::{Always, FhirResource};
use crate::http::AppState;

/// What this server offers, as a `CapabilityStatement`.
#[utoipa::path(
    get,
    path = "/fhir/metadata",
    tag = "fhir",
    operation_id = "readCapabilityStatement",
    responses(
        (status = 200, description = "The CapabilityStatement.", body = FhirResource,
         content_type = "application/fhir+json"),
        Always,
    ),
)]
pub async fn metadata(State(state): State<AppState>) -> impl IntoResponse {
    FhirJson(capability_statement(&super::base(&state)))
}
