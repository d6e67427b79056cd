//! Rate limits at the edge: the class of a route, the answer's header fields, and the refusal.
//!
//! The fields are those of draft-ietf-httpapi-ratelimit-headers-10; the refusal is RFC 6585 section 4.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::extract::origin;
use super::health::is_probe;
use super::retry::Again;
use super::state::AppState;
use crate::domain::UserId;
use crate::rate_limit::{Class, Standing, Subject};

/// What is left, per limit.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The limits.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How the request's subjects stand, for the answer's header fields.
#[derive(Clone, Default)]
struct Standings(Arc<Mutex<Vec<Standing>>>);

impl Standings {
    fn add(&self, standing: Standing) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(standing);
    }

    fn fields(&self) -> Option<(HeaderValue, HeaderValue)> {
        let standings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let list = |item: &dyn Fn(&Standing) -> String| {
            let items: Vec<_> = standings.iter().map(item).collect();
            HeaderValue::from_str(&items.join(", ")).ok()
        };
        if standings.is_empty() {
            return None;
        }
        let name = |standing: &Standing| format!("{}-{}", standing.class.as_str(), standing.scope.as_str());
        let policy = list(&|standing| {
            let quota = standing.quota;
            format!(
                "\"{}\";q={};w={}",
                name(standing),
                quota.requests,
                quota.window.as_secs()
            )
        })?;
        let left = list(&|standing| {
            let remaining = standing.quota.remaining(standing.debt);
            let reset = seconds(standing.debt);
            format!("\"{}\";r={remaining};t={reset}", name(standing))
        })?;
        Some((policy, left))
    }
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// The class of a request; probes have none, because whoever starts and stops the process must get an answer.
pub fn class(method: &Method, route: Option<&str>) -> Option<Class> {
    match route {
        Some(route) if is_probe(route) => None,
        Some("/api/auth/login" | "/api/auth/refresh" | "/api/auth/password-reset") => Some(Class::Login),
        // A search is a POST only to keep what is searched for out of URLs.
        Some("/api/patients/search") => Some(Class::Read),
        _ if method.is_safe() => Some(Class::Read),
        _ => Some(Class::Write),
    }
}

/// Finds a place for a request, counts it for its address, and tells the client how it stands.
pub async fn limit(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let Some(class) = class(request.method(), route) else {
        return next.run(request).await;
    };
    let Some(_place) = state.places.take(class) else {
        state.metrics.shed.with_label_values(&[class.as_str()]).inc();
        return ApiError::unavailable().into_response();
    };
    let standings = Standings::default();
    request.extensions_mut().insert(class);
    request.extensions_mut().insert(standings.clone());
    let (parts, body) = request.into_parts();
    let admitted = match origin(&parts).client_address {
        Some(address) => count(&state, class, Subject::Address(address), &standings).await,
        None => Ok(()),
    };
    let mut response = match admitted {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => error.into_response(),
    };
    if let Some((policy, left)) = standings.fields() {
        response.headers_mut().insert(RATE_LIMIT_POLICY, policy);
        response.headers_mut().insert(RATE_LIMIT, left);
    }
    response
}

/// Counts a request of a user whose identity is proven.
///
/// # Errors
/// 429 when it is one too many.
pub async fn count_user(parts: &Parts, state: &AppState, user: UserId) -> Result<(), ApiError> {
    if parts.extensions.get::<Again>().is_some() {
        return Ok(());
    }
    let class = parts.extensions.get().copied().unwrap_or(Class::Write);
    let standings = parts.extensions.get().cloned().unwrap_or_default();
    count(state, class, Subject::Account(&user.0.to_string()), &standings).await
}

async fn count(
    state: &AppState,
    class: Class,
    subject: Subject<'_>,
    standings: &Standings,
) -> Result<(), ApiError> {
    let standing = state.limits.admit(class, subject).await;
    standings.add(standing);
    if standing.refused {
        return Err(ApiError::too_many(seconds(standing.wait()).max(1)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate_limit::{Quotas, Scope};

    #[test]
    fn probes_have_no_class_and_every_other_request_has_one() {
        for probe in ["/livez", "/readyz", "/startupz", "/health", "/api/health"] {
            assert_eq!(class(&Method::GET, Some(probe)), None);
        }
        for (method, route, expected) in [
            (Method::POST, Some("/api/auth/login"), Class::Login),
            (Method::POST, Some("/api/auth/refresh"), Class::Login),
            (Method::POST, Some("/api/auth/password-reset"), Class::Login),
            (Method::POST, Some("/api/patients/search"), Class::Read),
            (Method::GET, Some("/api/patients"), Class::Read),
            (Method::POST, Some("/api/patients"), Class::Write),
            (Method::PUT, Some("/api/patients/{id}"), Class::Write),
            (Method::GET, None, Class::Read),
            (Method::DELETE, None, Class::Write),
        ] {
            assert_eq!(class(&method, route), Some(expected), "{method} {route:?}");
        }
    }

    #[test]
    fn the_header_fields_name_each_limit_with_what_is_left() {
        let standings = Standings::default();
        assert!(standings.fields().is_none());
        for scope in [Scope::Address, Scope::Account] {
            standings.add(Standing {
                class: Class::Read,
                scope,
                quota: Quotas::default().of(Class::Read, scope),
                debt: Duration::from_millis(2_500),
                refused: false,
            });
        }
        let (policy, left) = standings.fields().unwrap();
        assert_eq!(policy, "\"read-address\";q=300;w=60, \"read-account\";q=60;w=60");
        assert_eq!(left, "\"read-address\";r=287;t=3, \"read-account\";r=57;t=3");
    }
}
