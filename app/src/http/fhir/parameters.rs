//! Parameters of a search (R4 section 3.1.1): which were used, which are wrong, and which are not known here.

use axum::extract::Query;
use axum::http::{HeaderMap, HeaderName, Uri};

use crate::domain::Violation;
use crate::http::error::{ApiError, FieldFault};
use crate::http::page::{self, Page};

/// What a client prefers (RFC 7240); `handling=strict` refuses what is not known (R4 section 3.1.1.3).
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Entries on a page; at most 100, 25 when absent.
pub const COUNT: &str = "_count";
/// Where a page begins; only links hold it.
pub const CURSOR: &str = "_cursor";

/// Parameters that any interaction has; they say nothing about what is searched for.
const GENERAL: [&str; 2] = ["_format", "_pretty"];

/// The parameters that a search used, for its self link.
pub struct Used(Vec<(&'static str, String)>);

impl Used {
    /// Reads a query. Every fault is listed.
    ///
    /// # Errors
    /// Parameters that are given twice, empty or with a modifier; with `Prefer: handling=strict` also unknown ones.
    pub fn read(uri: &Uri, headers: &HeaderMap, known: &[&'static str]) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| fault("", "malformed", "the query cannot be read"))?;
        let strict = prefers_strict(headers);
        let mut used: Vec<(&'static str, String)> = Vec::new();
        let mut faults = Vec::new();
        for (name, value) in pairs {
            if GENERAL.contains(&name.as_str()) {
                continue;
            }
            let (plain, modifier) = name
                .split_once(':')
                .map_or((name.as_str(), None), |(plain, modifier)| (plain, Some(modifier)));
            let broken = match known.iter().find(|known| **known == plain) {
                None if strict => Some(("unknown_parameter", "is not supported")),
                None => None,
                // Never ignored: another modifier is another question (R4 section 3.1.1.4.4).
                Some(_) if modifier.is_some() => Some(("unsupported_modifier", "has no modifiers here")),
                Some(known) if used.iter().any(|(name, _)| name == known) => {
                    Some(("repeated", "must be given once"))
                }
                Some(_) if value.is_empty() => Some(("required", "must not be empty")),
                Some(known) => {
                    used.push((known, value));
                    None
                }
            };
            if let Some((code, detail)) = broken {
                faults.push(FieldFault::new(printable(plain), Violation::new(code, detail)));
            }
        }
        if faults.is_empty() {
            Ok(Self(used))
        } else {
            faults.truncate(64);
            Err(ApiError::malformed(faults))
        }
    }

    /// The value of a parameter, when it was given.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Which page. More than a page may have is not wrong: the page is smaller then (R4 section 3.1.1.5.2).
    ///
    /// # Errors
    /// The parameter and the rule that it breaks.
    pub fn page(&mut self) -> Result<Page, ApiError> {
        let limit = match self.get(COUNT) {
            None => page::DEFAULT_LIMIT,
            Some(text) => text
                .parse::<u32>()
                .ok()
                .filter(|count| *count > 0)
                .and_then(|count| usize::try_from(count).ok())
                .ok_or_else(|| fault(COUNT, "out_of_range", "must be a whole number from 1"))?
                .min(page::LARGEST_LIMIT),
        };
        let after = self
            .get(CURSOR)
            .map(|text| {
                page::decode(text).ok_or_else(|| fault(CURSOR, "malformed", "must be of a link of a page"))
            })
            .transpose()?;
        self.set(COUNT, limit.to_string());
        Ok(Page::new(limit, after))
    }

    /// The same search from another place.
    pub fn continued(&self, cursor: String) -> Self {
        let mut next = Self(self.0.clone());
        next.set(CURSOR, cursor);
        next
    }

    /// As the query of a link.
    pub fn query(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.0)
            .finish()
    }

    fn set(&mut self, name: &'static str, value: String) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value));
    }
}

/// Whether a query holds one of the parameters, with a modifier or without.
pub fn mentions(uri: &Uri, names: &[&str]) -> bool {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let plain = |name: &str| name.split(':').next().is_some_and(|plain| names.contains(&plain));
    pairs.is_ok_and(|Query(pairs)| pairs.iter().any(|(name, _)| plain(name)))
}

/// A parameter breaks a rule.
pub fn fault(parameter: &str, code: &'static str, detail: &str) -> ApiError {
    ApiError::malformed(vec![FieldFault::new(parameter, Violation::new(code, detail))])
}

/// Names come from the client: one that no parameter of FHIR could have is not repeated.
fn printable(name: &str) -> &str {
    let permitted = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.len() <= 64 && name.chars().all(permitted) {
        name
    } else {
        ""
    }
}

fn prefers_strict(headers: &HeaderMap) -> bool {
    headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| preference.split_once('='))
        .any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("handling")
                && value.trim().trim_matches('"').eq_ignore_ascii_case("strict")
        })
}
