//! JSON bodies: bounded in size and time, typed, checked, with faults that name the member and never the value.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_path_to_error::Segment;

use super::error::{ApiError, FieldFault, ProblemCode};
use super::state::AppState;
use crate::domain::Violation;

/// Largest body, in bytes. A patient with the longest notes in four-byte characters has 41 KiB; escapes can triple it.
pub const LARGEST: usize = 128 * 1024;
/// Longest time for a body to arrive.
const DEADLINE: Duration = Duration::from_secs(10);

/// A body as it was sent, and the rules that make it valid.
pub trait Checked: DeserializeOwned + Send {
    /// The body with every rule kept.
    type Valid: Send;
    /// Names of the members; only these are ever repeated to the client.
    const MEMBERS: &'static [&'static str];

    /// Checks every member.
    ///
    /// # Errors
    /// All faults at once.
    fn check(self) -> Result<Self::Valid, Vec<FieldFault>>;
}

/// Collects the faults of a body.
#[derive(Default)]
pub struct Faults(Vec<FieldFault>);

impl Faults {
    /// The value of a member that has to be there.
    pub fn required<T>(
        &mut self,
        member: &str,
        value: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, Violation>,
    ) -> Option<T> {
        let result = value
            .ok_or_else(|| Violation::new("required", "is required"))
            .and_then(parse);
        self.taken(member, result)
    }

    /// The value of a member that may be absent, null or empty.
    pub fn optional<T>(
        &mut self,
        member: &str,
        value: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, Violation>,
    ) -> Option<T> {
        value
            .filter(|value| !value.trim().is_empty())
            .and_then(|value| self.required(member, Some(value), parse))
    }

    /// The value of a member that was checked elsewhere.
    pub fn taken<T>(&mut self, member: &str, value: Result<T, Violation>) -> Option<T> {
        value.map_err(|violation| self.add(member, violation)).ok()
    }

    fn add(&mut self, member: &str, violation: Violation) {
        self.0.push(FieldFault::new(format!("/{member}"), violation));
    }

    /// The whole, when nothing was wrong.
    ///
    /// # Errors
    /// All faults.
    pub fn finish<T>(self, whole: Option<T>) -> Result<T, Vec<FieldFault>> {
        match whole {
            Some(whole) if self.0.is_empty() => Ok(whole),
            _ => Err(self.0),
        }
    }
}

/// A checked body of a request that nobody has to be identified for.
pub struct ValidBody<B: Checked>(pub B::Valid);

impl<B: Checked> FromRequest<AppState> for ValidBody<B> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &AppState) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        read::<B>(&parts.headers, body).await.map(Self)
    }
}

/// Reads, parses and checks a body.
///
/// # Errors
/// The problem for the client.
pub async fn read<B: Checked>(headers: &HeaderMap, body: Body) -> Result<B::Valid, ApiError> {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        return Err(ProblemCode::UnsupportedMediaType.into());
    }
    // Nothing is decompressed, so that a small body cannot become a large one (ASVS 5.2.1).
    if headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|encoding| encoding != "identity")
    {
        return Err(ProblemCode::UnsupportedMediaType.into());
    }
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: usize| length > LARGEST) {
        return Err(ProblemCode::BodyTooLarge.into());
    }
    let bytes = tokio::time::timeout(DEADLINE, to_bytes(body, LARGEST))
        .await
        .map_err(|_| ProblemCode::RequestTimeout)?
        .map_err(|error| {
            let too_large = std::error::Error::source(&error)
                .is_some_and(|source| source.to_string().contains("length limit exceeded"));
            if too_large {
                ProblemCode::BodyTooLarge
            } else {
                ProblemCode::MalformedRequest
            }
        })?;
    parse::<B>(&bytes)?.check().map_err(ApiError::validation)
}

fn parse<B: Checked>(bytes: &[u8]) -> Result<B, ApiError> {
    // serde would take an array for a struct, member by member.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        let violation = Violation::new("wrong_type", "has to be an object");
        return Err(match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(_) => ApiError::validation(vec![FieldFault::new("", violation)]),
            Err(_) => ProblemCode::MalformedRequest.into(),
        });
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed: Result<B, _> = serde_path_to_error::deserialize(&mut json);
    let body = parsed.map_err(|error| match error.inner().classify() {
        Category::Data => ApiError::validation(vec![misplaced::<B>(error.path())]),
        Category::Io | Category::Syntax | Category::Eof => ProblemCode::MalformedRequest.into(),
    })?;
    json.end().map_err(|_| ProblemCode::MalformedRequest)?;
    Ok(body)
}

/// Where a value has the wrong type. The parser's own message holds the value, so it is dropped.
fn misplaced<B: Checked>(path: &serde_path_to_error::Path) -> FieldFault {
    let member = path.iter().find_map(|segment| match segment {
        Segment::Map { key } => Some(key.as_str()),
        _ => None,
    });
    match member {
        Some(member) if B::MEMBERS.contains(&member) => FieldFault::new(
            format!("/{member}"),
            Violation::new("wrong_type", "has the wrong type"),
        ),
        Some(_) => FieldFault::new(
            "",
            Violation::new("unknown_member", "holds a member that is not known"),
        ),
        None => FieldFault::new("", Violation::new("duplicate_member", "holds a member twice")),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        name: Option<String>,
    }

    impl Checked for Named {
        type Valid = String;
        const MEMBERS: &'static [&'static str] = &["name"];

        fn check(self) -> Result<String, Vec<FieldFault>> {
            let mut faults = Faults::default();
            let name = faults.required("name", self.name.as_deref(), |name| Ok(name.to_owned()));
            faults.finish(name)
        }
    }

    fn headers(content_type: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static(content_type),
        );
        headers
    }

    async fn refused(text: &str) -> String {
        let error = read::<Named>(&headers("application/json"), Body::from(text.to_owned()))
            .await
            .expect_err(text);
        format!("{error:?}")
    }

    #[tokio::test]
    async fn a_good_body_is_read_whatever_the_parameters_of_its_type() {
        let headers = headers("application/json; charset=utf-8");
        assert_eq!(
            read::<Named>(&headers, Body::from(r#"{"name":"x"}"#))
                .await
                .unwrap(),
            "x"
        );
    }

    #[tokio::test]
    async fn a_fault_names_the_member_and_never_repeats_what_was_sent() {
        for (body, expected) in [
            (r#"{"name":"planted""#, "MalformedRequest"),
            (r#"{"name":"x"} planted"#, "MalformedRequest"),
            (r#"{"name":{"planted":1}}"#, "/name"),
            (r#"{"planted":1}"#, "unknown_member"),
            (r#"["planted"]"#, "has to be an object"),
            (r#""planted""#, "has to be an object"),
            ("null", "has to be an object"),
            ("planted", "MalformedRequest"),
            (r#"{"name":"planted","name":"planted"}"#, "duplicate_member"),
            (r#"{"name":"\ud800planted"}"#, "MalformedRequest"),
            ("{}", "/name"),
            ("", "MalformedRequest"),
        ] {
            let error = refused(body).await;
            assert!(error.contains(expected), "{body}: {error}");
            assert!(!error.contains("planted"), "{body}: {error}");
        }
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_or_of_another_type_is_refused() {
        let large = format!(r#"{{"name":"{}"}}"#, "a".repeat(LARGEST));
        assert!(refused(&large).await.contains("BodyTooLarge"));
        let error = read::<Named>(&headers("text/plain"), Body::from("{}"))
            .await
            .unwrap_err();
        assert!(format!("{error:?}").contains("UnsupportedMediaType"));
        let mut compressed = headers("application/json");
        compressed.insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
        let error = read::<Named>(&compressed, Body::from("{}")).await.unwrap_err();
        assert!(format!("{error:?}").contains("UnsupportedMediaType"));
    }
}
