//! The header field `Idempotency-Key`.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;

use super::error::{ApiError, FieldFault};
use crate::domain::Violation;

/// Names one creation, so that it can be asked for again without being done again.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest key, in characters.
const LONGEST: usize = 255;

/// The key of a request, as it was sent.
pub struct IdempotencyKey(Result<Option<String>, ()>);

impl IdempotencyKey {
    /// The key, or nothing when the client sent none.
    ///
    /// # Errors
    /// 422 when it is not a string of the form that the header field has to have.
    pub fn check(self) -> Result<Option<String>, ApiError> {
        self.0.map_err(|()| {
            let rule = "must be 1 to 255 visible ASCII characters in double quotes, sent once";
            ApiError::validation(vec![FieldFault::new(
                "Idempotency-Key",
                Violation::new("malformed", rule),
            )])
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let mut lines = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let key = match (lines.next(), lines.next()) {
            (None, _) => Ok(None),
            (Some(line), None) => line.to_str().ok().and_then(string).map(Some).ok_or(()),
            _ => Err(()),
        };
        Ok(Self(key))
    }
}

/// A string of RFC 8941 section 3.3.3; many clients leave the quotes away.
fn string(line: &str) -> Option<String> {
    let line = line.trim();
    let text = match line.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => line,
    };
    let plain = !text.contains(['"', '\\']) && text.bytes().all(|b| b.is_ascii_graphic());
    (plain && (1..=LONGEST).contains(&text.len())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_short_visible_string_with_or_without_its_quotes() {
        assert_eq!(string("\"8e03978e\""), Some("8e03978e".to_owned()));
        assert_eq!(string(" 8e03978e "), Some("8e03978e".to_owned()));
        let long = "a".repeat(256);
        for line in ["", "\"\"", "\"open", "a b", "\"a\\\"b\"", "ä", &long] {
            assert_eq!(string(line), None, "{line}");
        }
    }
}
