//! The one format: JSON, version 4.0 of FHIR (R4 sections 3.1.0.1.10 and 3.1.0.1.11).

use axum::extract::{Query, Request};
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::error::{ApiError, ProblemCode};

/// Media type of every answer.
pub const FHIR_JSON: &str = "application/fhir+json";

/// Refuses what asks for another format. `_format` goes before `Accept`.
pub async fn negotiate(request: Request, next: Next) -> Response {
    let acceptable = match format_parameter(request.uri()) {
        Some(format) => names_json(&format),
        None => accepts_json(request.headers()),
    };
    if acceptable {
        next.run(request).await
    } else {
        ApiError::from(ProblemCode::NotAcceptable).into_response()
    }
}

fn format_parameter(uri: &Uri) -> Option<String> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    let format = pairs.into_iter().find(|(name, _)| name == "_format");
    format.map(|(_, value)| value)
}

/// No header is the same as `*/*` (RFC 9110 section 12.5.1).
fn accepts_json(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|range| !range.trim().is_empty())
        .peekable();
    ranges.peek().is_none() || ranges.any(names_json)
}

/// Whether a media range, or one of the short names that `_format` knows, holds the one format.
fn names_json(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    // An unescaped plus sign in a query is a space.
    let name = parts
        .next()
        .unwrap_or_default()
        .replace(' ', "+")
        .to_ascii_lowercase();
    let named = matches!(
        name.as_str(),
        "json" | "application/json" | "text/json" | FHIR_JSON | "application/*" | "*/*"
    );
    named
        && parts.all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim_matches('"');
            match name.to_ascii_lowercase().as_str() {
                "fhirversion" => matches!(value, "4.0" | "4.0.1"),
                "q" => value.parse::<f32>().is_ok_and(|quality| quality > 0.0),
                _ => true,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn json_in_any_of_its_names_is_accepted_and_nothing_else() {
        for range in [
            "json",
            "application/fhir+json",
            "application/fhir json",
            "Application/FHIR+JSON; fhirVersion=4.0",
            "application/json;q=0.5",
            "text/json",
            "*/*",
        ] {
            assert!(names_json(range), "{range}");
        }
        for range in [
            "",
            "xml",
            "application/fhir+xml",
            "text/html",
            "application/fhir+json; fhirVersion=3.0",
            "application/fhir+json;q=0",
            "jsonp",
        ] {
            assert!(!names_json(range), "{range}");
        }
    }

    #[test]
    fn one_acceptable_range_is_enough_and_none_at_all_as_well() {
        let with = |value| HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))]);
        assert!(accepts_json(&HeaderMap::new()));
        assert!(accepts_json(&with("application/fhir+xml, application/fhir+json")));
        assert!(!accepts_json(&with("application/fhir+xml, text/html")));
    }
}
