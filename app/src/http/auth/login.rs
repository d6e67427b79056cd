//! `POST /api/auth/login`

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::attempt::Attempt;
use super::grant::{Grant, LoginResponse};
use super::password::shown_password;
use super::second_factor::{self, Shown};
use super::totp::typed_code;
use crate::audit::{AuditEvent, Outcome, RequestOrigin};
use crate::crypto::{Verdict, new_opaque_token};
use crate::db::session::{self, Start};
use crate::db::{DatabaseError, user, write_audit};
use crate::domain::{Bearer, Email, Role, SessionId, UserId};
use crate::http::AppState;
use crate::http::body::{Checked, Faults, ValidBody};
use crate::http::error::{ApiError, FieldFault, ProblemCode};
use crate::http::problems::{Always, WithBody};
use crate::policy::{Action, ResourceKind};

/// Most characters of `User-Agent` that are kept.
const LONGEST_USER_AGENT: usize = 200;

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
    /// Six digits of the authenticator app, or a recovery code; needed by users with a second factor.
    #[schema(nullable = false, max_length = 64, example = "081804")]
    code: Option<String>,
    /// Whether the refresh token is wanted as a cookie, out of reach of scripts, instead of in the body.
    #[schema(nullable = false, default = false)]
    cookie: Option<bool>,
}

/// What [`LoginRequest`] holds when it is valid.
pub struct Login {
    email: Email,
    password: SecretString,
    code: Option<SecretString>,
    in_cookie: bool,
}

impl Checked for LoginRequest {
    type Valid = Login;
    const MEMBERS: &'static [&'static str] = &["email", "password", "code", "cookie"];

    fn check(self) -> Result<Login, Vec<FieldFault>> {
        let mut faults = Faults::default();
        let email = faults.required("email", self.email.as_deref(), Email::parse);
        let password = faults.required("password", self.password.as_deref(), shown_password);
        let code = faults.optional("code", self.code.as_deref(), typed_code);
        faults.finish((|| {
            Some(Login {
                email: email?,
                password: password?,
                code,
                in_cookie: self.cookie.unwrap_or_default(),
            })
        })())
    }
}

/// Log in.
///
/// Starts a session: a short-lived access token and a refresh token for an address and a password. An unknown user, a
/// wrong password and an inactive user get the same answer after the same time. At most 60 attempts a minute for one
/// address; after 5 failures an account has to wait, 12 seconds at first and twice as long each time, up to 15 minutes.
#[utoipa::path(
    post,
    path = "/api/auth/login",
    tag = "auth",
    operation_id = "login",
    request_body = LoginRequest,
    responses(
        (status = 200, description = "Logged in.", body = LoginResponse),
        (status = 401, description = "The address, the password or the code is wrong; or the code is missing.",
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
    headers: HeaderMap,
    ValidBody(login): ValidBody<LoginRequest>,
) -> Result<Response, ApiError> {
    let attempt = Attempt::begin(&state, &login.email).await?;
    let credentials = user::credentials(&state.pool, &login.email).await?;
    let hash = credentials
        .as_ref()
        .map(|credentials| credentials.password_hash.clone());
    let verdict = state.passwords.verify(login.password.clone(), hash).await?;
    let accepted = credentials
        .as_ref()
        .filter(|credentials| verdict.is_right() && credentials.active);

    let actor = credentials
        .as_ref()
        .map(|credentials| (credentials.id, credentials.role));
    // Recorded before the answer, whichever it is; an unknown address is not kept, it may be a mistyped password.
    let Some(accepted) = accepted else {
        return Err(refuse(&state, actor, origin, ProblemCode::InvalidCredentials).await);
    };
    let renewed_hash = match verdict {
        Verdict::RightButWeaklyHashed => Some(state.passwords.hash(login.password).await?),
        Verdict::Right | Verdict::Wrong => None,
    };
    let mut transaction = state.pool.begin().await.map_err(DatabaseError::from)?;
    let old_hash = &accepted.password_hash;
    let unchanged = match renewed_hash {
        Some(hash) => user::replace_password(&mut transaction, accepted.id, old_hash, &hash).await?,
        None => user::still_has(&mut transaction, accepted.id, old_hash).await?,
    };
    if !unchanged {
        transaction.rollback().await.map_err(DatabaseError::from)?;
        return Err(refuse(&state, actor, origin, ProblemCode::InvalidCredentials).await);
    }
    let shown = second_factor::take(&state, &mut transaction, accepted.id, login.code.as_ref()).await?;
    let second_factor = match shown {
        Shown::None => false,
        Shown::Right => true,
        Shown::Missing | Shown::Wrong => {
            transaction.rollback().await.map_err(DatabaseError::from)?;
            let code = if matches!(shown, Shown::Missing) {
                ProblemCode::SecondFactorRequired
            } else {
                ProblemCode::InvalidCredentials
            };
            return Err(refuse(&state, actor, origin, code).await);
        }
    };
    let bearer = Bearer {
        user: accepted.id,
        session: SessionId(Uuid::now_v7()),
    };
    let (refresh_token, hash) = new_opaque_token().map_err(|error| ApiError::internal(&error))?;
    let user_agent = user_agent(&headers);
    let start = Start {
        limits: state.session_limits,
        second_factor,
        client_address: origin.client_address,
        user_agent: user_agent.as_deref(),
    };
    let remaining_seconds = session::start(&mut transaction, bearer, &hash, &start).await?;
    attempt.succeeded(&state, &mut transaction).await?;
    write_audit(
        &mut *transaction,
        &state.audit_key,
        &event(actor, Some(bearer.session), origin),
    )
    .await?;
    transaction.commit().await.map_err(DatabaseError::from)?;
    state.metrics.logins.with_label_values(&["success"]).inc();
    Grant {
        bearer,
        role: accepted.role,
        display_name: accepted.display_name.clone(),
        refresh_token,
        remaining_seconds,
        second_factor,
        in_cookie: login.in_cookie,
    }
    .answer(&state)
}

/// Records and counts a failed attempt; gives the error that the client gets, which is another one when that fails.
async fn refuse(
    state: &AppState,
    actor: Option<(UserId, Role)>,
    origin: RequestOrigin,
    code: ProblemCode,
) -> ApiError {
    if let Err(error) = write_audit(&state.pool, &state.audit_key, &event(actor, None, origin)).await {
        return error.into();
    }
    state.metrics.logins.with_label_values(&["failure"]).inc();
    code.into()
}

/// What the client calls itself, cut to what is stored. Only printable ASCII is taken.
fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(text.chars().take(LONGEST_USER_AGENT).collect())
}

fn event(actor: Option<(UserId, Role)>, session: Option<SessionId>, origin: RequestOrigin) -> AuditEvent {
    let outcome = if session.is_some() {
        Outcome::Success
    } else {
        Outcome::Denied
    };
    let session = session.map(|session| session.0);
    let origin = RequestOrigin { session, ..origin };
    AuditEvent {
        actor,
        resource_ids: session.into_iter().collect(),
        ..AuditEvent::new(Action::Login, ResourceKind::Session, outcome, origin)
    }
}
