//! `POST /api/auth/login`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::audit::{AuditEvent, Outcome, RequestOrigin};
use crate::db::{user, write_audit};
use crate::domain::{Email, Role, UserId, Violation};
use crate::http::AppState;
use crate::http::body::{Checked, Faults, ValidBody};
use crate::http::error::{ApiError, FieldFault, ProblemCode};
use crate::http::problems::{Always, WithBody};
use crate::policy::{Action, ResourceKind};
use crate::rate_limit::{Class, Subject};

/// Longest password that is looked at, in characters.
const LONGEST_PASSWORD: usize = 256;

/// Who wants to log in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The user's address.
    #[schema(required, nullable = false, format = Email, max_length = 254, example = "ada@clinic.example.org")]
    email: Option<String>,
    /// The user's password.
    #[schema(required, nullable = false, format = Password, min_length = 1, max_length = 256)]
    password: Option<String>,
}

/// What [`LoginRequest`] holds when it is valid.
pub struct Attempt {
    email: Email,
    password: SecretString,
}

impl Checked for LoginRequest {
    type Valid = Attempt;
    const MEMBERS: &'static [&'static str] = &["email", "password"];

    fn check(self) -> Result<Attempt, Vec<FieldFault>> {
        let mut faults = Faults::default();
        let email = faults.required("email", self.email.as_deref(), Email::parse);
        let password = faults.required("password", self.password.as_deref(), |password| {
            match password.chars().count() {
                0 => Err(Violation::new("required", "must not be empty")),
                length if length > LONGEST_PASSWORD => {
                    Err(Violation::new("too_long", "must have at most 256 characters"))
                }
                _ => Ok(SecretString::from(password)),
            }
        });
        faults.finish((|| {
            Some(Attempt {
                email: email?,
                password: password?,
            })
        })())
    }
}

/// A token, and whom it is for. The names are those of OAuth 2.0 (RFC 6749 section 5.1).
#[derive(Serialize, ToSchema)]
pub struct LoginResponse {
    /// Send it as `Authorization: Bearer …`.
    #[schema(max_length = 2048)]
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer", max_length = 16)]
    token_type: &'static str,
    /// Seconds for which the token is good.
    #[schema(example = 900, minimum = 60, maximum = 3600)]
    expires_in: u64,
    /// The user.
    user: LoggedInUser,
}

/// A user, as they see themselves.
#[derive(Serialize, ToSchema)]
pub struct LoggedInUser {
    /// Identity.
    id: Uuid,
    /// Name for display.
    #[schema(max_length = 100)]
    display_name: String,
    /// Role.
    role: Role,
}

/// Log in.
///
/// Gives a short-lived access token for an address and a password. An unknown user, a wrong password and an inactive
/// user get the same answer after the same time. At most 5 attempts a minute for one account, and 60 for one address.
#[utoipa::path(
    post,
    path = "/api/auth/login",
    tag = "auth",
    operation_id = "login",
    request_body = LoginRequest,
    responses(
        (status = 200, description = "Logged in.", body = LoginResponse),
        (status = 401, description = "The address or the password is wrong.",
         body = crate::http::error::Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many attempts; try again after Retry-After seconds.",
         body = crate::http::error::Problem, content_type = "application/problem+json"),
        WithBody,
        Always,
    ),
)]
pub async fn login(
    State(state): State<AppState>,
    Extension(origin): Extension<RequestOrigin>,
    ValidBody(attempt): ValidBody<LoginRequest>,
) -> Result<Response, ApiError> {
    let standing = state
        .limits
        .admit(Class::Login, Subject::Account(attempt.email.as_str()))
        .await;
    if standing.refused {
        state.metrics.logins.with_label_values(&["throttled"]).inc();
        return Err(ApiError::too_many(standing.wait().as_secs() + 1));
    }
    let credentials = user::credentials(&state.pool, &attempt.email).await?;
    let hash = credentials
        .as_ref()
        .map(|credentials| credentials.password_hash.clone());
    let password_is_right = state.passwords.verify(attempt.password, hash).await?;
    let accepted = credentials
        .as_ref()
        .filter(|credentials| password_is_right && credentials.active);

    let actor = credentials
        .as_ref()
        .map(|credentials| (credentials.id, credentials.role));
    // Recorded before the answer, whichever it is; an unknown address is not kept, it may be a mistyped password.
    write_audit(
        &state.pool,
        &state.audit_key,
        &event(actor, accepted.is_some(), origin),
    )
    .await?;
    let Some(accepted) = accepted else {
        state.metrics.logins.with_label_values(&["failure"]).inc();
        return Err(ProblemCode::InvalidCredentials.into());
    };
    state.limits.forgive(attempt.email.as_str()).await;
    state.metrics.logins.with_label_values(&["success"]).inc();
    let now = jiff::Timestamp::now().as_second();
    let access_token = state
        .tokens
        .issue(accepted.id.0, now)
        .map_err(|error| ApiError::internal(&error))?;
    Ok(Json(LoginResponse {
        access_token,
        token_type: "Bearer",
        expires_in: state.tokens.lifetime().as_secs(),
        user: LoggedInUser {
            id: accepted.id.0,
            display_name: accepted.display_name.clone(),
            role: accepted.role,
        },
    })
    .into_response())
}

fn event(actor: Option<(UserId, Role)>, accepted: bool, origin: RequestOrigin) -> AuditEvent {
    let outcome = if accepted {
        Outcome::Success
    } else {
        Outcome::Denied
    };
    AuditEvent {
        actor,
        ..AuditEvent::new(Action::Login, ResourceKind::Session, outcome, origin)
    }
}
