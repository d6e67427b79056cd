//! Pages of a list, in the order of the objects' ids.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::error::{ApiError, FieldFault};
use crate::domain::Violation;

/// Objects on a page when the client does not say.
pub(super) const DEFAULT_LIMIT: usize = 25;
/// Most objects on a page.
pub(super) const LARGEST_LIMIT: usize = 100;

/// Which page.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Objects on the page; 25 when absent.
    #[param(value_type = Option<i32>, minimum = 1, maximum = 100, example = 25)]
    limit: Option<String>,
    /// `next` of the page before; the first page when absent.
    #[param(min_length = 22, max_length = 22, pattern = "^[A-Za-z0-9_-]{22}$")]
    after: Option<String>,
}

/// [`PageQuery`], when it is valid.
pub struct Page {
    limit: usize,
    /// The last object of the page before.
    pub after: Option<Uuid>,
}

impl Page {
    /// A page of at most `limit` objects.
    pub(super) fn new(limit: usize, after: Option<Uuid>) -> Self {
        Self { limit, after }
    }

    /// Checks what was sent.
    ///
    /// # Errors
    /// The parameter and the rule that it breaks.
    pub fn check(query: Result<Query<PageQuery>, QueryRejection>) -> Result<Self, ApiError> {
        // The rejection's text repeats what was sent.
        let Query(query) = query.map_err(|_| {
            fault(
                "",
                "unknown_parameter",
                "the query may hold limit and after, each once",
            )
        })?;
        let limit = match query.limit.as_deref() {
            None => DEFAULT_LIMIT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=LARGEST_LIMIT).contains(limit))
                .ok_or_else(|| fault("limit", "out_of_range", "must be a whole number from 1 to 100"))?,
        };
        let after = query
            .after
            .map(|text| decode(&text).ok_or_else(|| fault("after", "malformed", "must be `next` of a page")))
            .transpose()?;
        Ok(Self { limit, after })
    }

    /// How many objects to look for: one more than the page, to know whether there is a next one.
    pub fn wanted(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX).saturating_add(1)
    }

    /// Cuts what was found down to the page, and gives what leads to the next one.
    pub fn cut<T>(&self, found: &mut Vec<T>, id: impl Fn(&T) -> Uuid) -> Option<String> {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        found.last().filter(|_| more).map(|last| encode(id(last)))
    }
}

fn fault(pointer: &str, code: &'static str, detail: &str) -> ApiError {
    ApiError::validation(vec![FieldFault::new(pointer, Violation::new(code, detail))])
}

fn encode(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// The id in a cursor.
pub(super) fn decode(cursor: &str) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    Uuid::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_the_id_it_was_made_of_and_nothing_else_is_one() {
        let id = Uuid::from_u128(42);
        assert_eq!(decode(&encode(id)), Some(id));
        for text in ["", "42", "AAAA", &"A".repeat(23)] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
