//! Answers in the format of FHIR.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::Value;

use super::format::FHIR_JSON;

/// A resource that has no version.
pub struct FhirJson(pub Value);

impl IntoResponse for FhirJson {
    fn into_response(self) -> Response {
        let mut response = Json(self.0).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
        response
    }
}

/// A resource with its version, in a weak `ETag`, and the time of its last change (R4 section 3.1.0.1.3).
pub struct Versioned {
    /// The resource.
    pub resource: Value,
    /// Counts the changes, from 1.
    pub version: i64,
    /// Time of the last change.
    pub last_updated: Timestamp,
}

impl IntoResponse for Versioned {
    fn into_response(self) -> Response {
        let mut response = FhirJson(self.resource).into_response();
        let mut set = |name: HeaderName, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                response.headers_mut().insert(name, value);
            }
        };
        set(header::ETAG, &format!("W/\"{}\"", self.version));
        if let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&self.last_updated) {
            set(header::LAST_MODIFIED, &date);
        }
        response
    }
}
