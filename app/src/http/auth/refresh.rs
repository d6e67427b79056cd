//! `POST /api/auth/refresh`

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use super::cookie;
use super::grant::{Grant, LoginResponse};
use crate::audit::{AuditEvent, Outcome, RequestOrigin};
use crate::crypto::{TokenHash, new_opaque_token};
use crate::db::session::{self, Refreshed};
use crate::db::{DatabaseError, write_audit};
use crate::domain::{Bearer, Role, Violation};
use crate::http::AppState;
use crate::http::body::{Checked, Faults, ValidBody};
use crate::http::error::{ApiError, FieldFault, Problem, ProblemCode};
use crate::http::problems::{Always, WithBody};
use crate::policy::{Action, ResourceKind};

/// Longest refresh token that is looked at, in characters.
const LONGEST: usize = 256;

/// Which session is to go on. An empty object when the token is in the cookie: the type of the body alone keeps forms of
/// other sites out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// The refresh token; absent when it is in the cookie.
    #[schema(nullable = false, max_length = 256)]
    refresh_token: Option<String>,
}

/// What [`RefreshRequest`] holds when it is valid.
pub struct Shown(Option<SecretString>);

impl Checked for RefreshRequest {
    type Valid = Shown;
    const MEMBERS: &'static [&'static str] = &["refresh_token"];

    fn check(self) -> Result<Shown, Vec<FieldFault>> {
        let mut faults = Faults::default();
        let token = faults.optional("refresh_token", self.refresh_token.as_deref(), |token| {
            if token.chars().count() > LONGEST {
                return Err(Violation::new("too_long", "must have at most 256 characters"));
            }
            Ok(SecretString::from(token))
        });
        faults.finish(Some(Shown(token)))
    }
}

/// Continue a session.
///
/// Exchanges a refresh token for an access token and the next refresh token. Each is good once: a token that is shown
/// again ends its session, but for the 10 seconds in which two requests may have crossed. The new token comes where the
/// old one was, in the body or in the cookie. 30 minutes without a request and 8 hours in any case end a session.
#[utoipa::path(
    post,
    path = "/api/auth/refresh",
    tag = "auth",
    operation_id = "refresh",
    request_body = RefreshRequest,
    responses(
        (status = 200, description = "The session goes on.", body = LoginResponse),
        (status = 401, description = "The refresh token is missing, unknown, used or of a session that ended.",
         body = Problem, content_type = "application/problem+json"),
        WithBody,
        Always,
    ),
)]
pub async fn refresh(
    State(state): State<AppState>,
    Extension(origin): Extension<RequestOrigin>,
    headers: HeaderMap,
    ValidBody(Shown(in_body)): ValidBody<RefreshRequest>,
) -> Result<Response, ApiError> {
    let in_cookie = in_body.is_none();
    let shown = in_body
        .or_else(|| cookie::read(&headers))
        .ok_or(ProblemCode::InvalidRefreshToken)?;
    let (refresh_token, next) = new_opaque_token().map_err(|error| ApiError::internal(&error))?;
    let mut transaction = state.pool.begin().await.map_err(DatabaseError::from)?;
    let refreshed = session::refresh(&mut transaction, &TokenHash::of(shown.expose_secret()), &next).await?;
    let (whose, action, outcome, label) = match &refreshed {
        Refreshed::Continued(session) => (
            Some((session.bearer, session.role)),
            Action::Refresh,
            Outcome::Success,
            "success",
        ),
        Refreshed::Reused { bearer, role } => (
            Some((*bearer, *role)),
            Action::TokenReuse,
            Outcome::Denied,
            "reuse",
        ),
        Refreshed::Refused => (None, Action::Refresh, Outcome::Denied, "failure"),
    };
    // Committed whatever came of it: a session that ends because of a copied token has to stay ended.
    write_audit(
        &mut *transaction,
        &state.audit_key,
        &event(whose, action, outcome, origin),
    )
    .await?;
    transaction.commit().await.map_err(DatabaseError::from)?;
    state.metrics.refreshes.with_label_values(&[label]).inc();
    match refreshed {
        Refreshed::Continued(session) => Grant {
            bearer: session.bearer,
            role: session.role,
            display_name: session.display_name,
            refresh_token,
            remaining_seconds: session.remaining_seconds,
            second_factor: session.second_factor,
            in_cookie,
        }
        .answer(&state),
        Refreshed::Reused { bearer, .. } => {
            tracing::warn!(session = %bearer.session.0, "a refresh token was shown twice; its session has been ended");
            Err(ProblemCode::InvalidRefreshToken.into())
        }
        Refreshed::Refused => Err(ProblemCode::InvalidRefreshToken.into()),
    }
}

fn event(
    whose: Option<(Bearer, Role)>,
    action: Action,
    outcome: Outcome,
    origin: RequestOrigin,
) -> AuditEvent {
    let session = whose.map(|(bearer, _)| bearer.session.0);
    let origin = RequestOrigin { session, ..origin };
    AuditEvent {
        actor: whose.map(|(bearer, role)| (bearer.user, role)),
        resource_ids: session.into_iter().collect(),
        ..AuditEvent::new(action, ResourceKind::Session, outcome, origin)
    }
}
