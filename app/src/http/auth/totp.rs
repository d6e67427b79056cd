//! `POST /api/auth/totp`, `/confirm` and `/remove`: a user's own second factor.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attempt::{Attempt, confirm_password};
use super::holder::SessionHolder;
use super::password::shown_password;
use crate::audit::Outcome;
use crate::crypto::{TotpSecret, new_recovery_codes};
use crate::db::{DatabaseError, second_factor, session, user, write_audit};
use crate::domain::Violation;
use crate::http::AppState;
use crate::http::body::{Checked, Faults, ValidBody};
use crate::http::error::{ApiError, FieldFault, Problem, ProblemCode};
use crate::http::problems::{Always, WithBody};
use crate::policy::{Action, ResourceKind};

/// Longest code that is looked at: a recovery code, however it is grouped.
const LONGEST_CODE: usize = 64;

/// A one-time or recovery code as somebody types it.
///
/// # Errors
/// The broken rule.
pub fn typed_code(code: &str) -> Result<SecretString, Violation> {
    match code.trim().chars().count() {
        0 => Err(Violation::new("required", "must not be empty")),
        length if length > LONGEST_CODE => Err(Violation::new("too_long", "must have at most 64 characters")),
        _ => Ok(SecretString::from(code.trim())),
    }
}

fn now() -> u64 {
    jiff::Timestamp::now().as_second().unsigned_abs()
}

/// The user's own password, again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordProof {
    /// The present password.
    #[schema(required, nullable = false, format = Password, min_length = 1, max_length = 256)]
    password: Option<String>,
}

impl Checked for PasswordProof {
    type Valid = SecretString;
    const MEMBERS: &'static [&'static str] = &["password"];

    fn check(self) -> Result<SecretString, Vec<FieldFault>> {
        let mut faults = Faults::default();
        let password = faults.required("password", self.password.as_deref(), shown_password);
        faults.finish(password)
    }
}

/// The first code of the authenticator app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TotpCode {
    /// Six digits.
    #[schema(
        required,
        nullable = false,
        min_length = 1,
        max_length = 64,
        example = "081804"
    )]
    code: Option<String>,
}

impl Checked for TotpCode {
    type Valid = SecretString;
    const MEMBERS: &'static [&'static str] = &["code"];

    fn check(self) -> Result<SecretString, Vec<FieldFault>> {
        let mut faults = Faults::default();
        let code = faults.required("code", self.code.as_deref(), typed_code);
        faults.finish(code)
    }
}

/// What the authenticator app has to know. It is shown once.
#[derive(Serialize, ToSchema)]
pub struct TotpEnrolment {
    /// The secret, base32, for typing.
    #[schema(min_length = 32, max_length = 32)]
    secret: String,
    /// The same for a QR code.
    #[schema(
        max_length = 1024,
        example = "otpauth://totp/Medical%20API:ada@clinic.example.org?secret=…"
    )]
    uri: String,
}

/// What gets the user in when the authenticator app is lost. They are shown once; each is good once.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodes {
    /// The codes.
    #[schema(min_items = 10, max_items = 10)]
    recovery_codes: Vec<String>,
}

/// Begin to enrol an authenticator app.
///
/// Gives a secret for the app; it counts from its confirmation on. Beginning again replaces a secret that was not
/// confirmed.
#[utoipa::path(
    post,
    path = "/api/auth/totp",
    tag = "auth",
    operation_id = "enrolTotp",
    security(("bearer" = [])),
    request_body = PasswordProof,
    responses(
        (status = 200, description = "The secret.", body = TotpEnrolment),
        (status = 401, description = "No good access token, or the password is wrong.",
         body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is a second factor already; remove it first.",
         body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many attempts; try again after Retry-After seconds.",
         body = Problem, content_type = "application/problem+json"),
        WithBody,
        Always,
    ),
)]
pub async fn enrol(
    State(state): State<AppState>,
    holder: SessionHolder,
    ValidBody(password): ValidBody<PasswordProof>,
) -> Result<Json<TotpEnrolment>, ApiError> {
    let action = Action::EnrolSecondFactor;
    let confirmed = confirm_password(&state, &holder, password, action).await?;
    let secret = TotpSecret::generate().map_err(|error| ApiError::internal(&error))?;
    let user = holder.bearer.user;
    let mut transaction = state.pool.begin().await.map_err(DatabaseError::from)?;
    let enrolled = second_factor::enrol(&mut transaction, &state.vault, user, &secret).await?;
    let outcome = if enrolled {
        Outcome::Success
    } else {
        Outcome::Conflict
    };
    let event = holder.event(action, ResourceKind::User, vec![user.0], outcome);
    write_audit(&mut *transaction, &state.audit_key, &event).await?;
    transaction.commit().await.map_err(DatabaseError::from)?;
    if !enrolled {
        return Err(ProblemCode::SecondFactorExists.into());
    }
    Ok(Json(TotpEnrolment {
        secret: secret.base32().to_owned(),
        uri: secret.uri(confirmed.email.as_str()),
    }))
}

/// Confirm an authenticator app.
///
/// From now on a login needs a code of the app, and this session counts as one with a second factor. The user's other
/// sessions end.
#[utoipa::path(
    post,
    path = "/api/auth/totp/confirm",
    tag = "auth",
    operation_id = "confirmTotp",
    security(("bearer" = [])),
    request_body = TotpCode,
    responses(
        (status = 200, description = "The second factor is in force.", body = RecoveryCodes),
        (status = 401, description = "No good access token, or the code is wrong, or nothing is to be confirmed.",
         body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many attempts; try again after Retry-After seconds.",
         body = Problem, content_type = "application/problem+json"),
        WithBody,
        Always,
    ),
)]
pub async fn confirm(
    State(state): State<AppState>,
    holder: SessionHolder,
    ValidBody(code): ValidBody<TotpCode>,
) -> Result<Json<RecoveryCodes>, ApiError> {
    let user = holder.bearer.user;
    let (email, _) = user::own_credentials(&state.pool, user)
        .await?
        .ok_or(ProblemCode::Unauthenticated)?;
    let attempt = Attempt::begin(&state, &email).await?;
    let codes = new_recovery_codes().map_err(|error| ApiError::internal(&error))?;
    let hashes: Vec<_> = codes.iter().map(|(_, hash)| *hash).collect();
    let mut transaction = state.pool.begin().await.map_err(DatabaseError::from)?;
    let secret = second_factor::secret(&mut transaction, &state.vault, user, false).await?;
    let step = secret
        .map(|secret| secret.matching_step(code.expose_secret(), now()))
        .transpose()
        .map_err(|error| ApiError::internal(&error))?
        .flatten();
    let done = match step {
        Some(step) => second_factor::confirm(&mut transaction, holder.bearer, step, &hashes).await?,
        None => false,
    };
    let outcome = if done {
        session::end_others(&mut transaction, user, Some(holder.bearer.session)).await?;
        attempt.succeeded(&state, &mut transaction).await?;
        Outcome::Success
    } else {
        Outcome::Denied
    };
    let event = holder.event(
        Action::ConfirmSecondFactor,
        ResourceKind::User,
        vec![user.0],
        outcome,
    );
    write_audit(&mut *transaction, &state.audit_key, &event).await?;
    transaction.commit().await.map_err(DatabaseError::from)?;
    if !done {
        return Err(ProblemCode::InvalidCredentials.into());
    }
    let recovery_codes = codes
        .iter()
        .map(|(code, _)| code.expose_secret().to_owned())
        .collect();
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// Remove one's own second factor.
///
/// The recovery codes go with it. Who needs a second factor for their role can do nothing else until they enrol again.
#[utoipa::path(
    post,
    path = "/api/auth/totp/remove",
    tag = "auth",
    operation_id = "removeTotp",
    security(("bearer" = [])),
    request_body = PasswordProof,
    responses(
        (status = 204, description = "There is no second factor any more."),
        (status = 401, description = "No good access token, or the password is wrong.",
         body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many attempts; try again after Retry-After seconds.",
         body = Problem, content_type = "application/problem+json"),
        WithBody,
        Always,
    ),
)]
pub async fn remove(
    State(state): State<AppState>,
    holder: SessionHolder,
    ValidBody(password): ValidBody<PasswordProof>,
) -> Result<StatusCode, ApiError> {
    let action = Action::RemoveSecondFactor;
    confirm_password(&state, &holder, password, action).await?;
    let user = holder.bearer.user.0;
    let mut transaction = state.pool.begin().await.map_err(DatabaseError::from)?;
    second_factor::remove(&mut transaction, user).await?;
    let event = holder.event(action, ResourceKind::User, vec![user], Outcome::Success);
    write_audit(&mut *transaction, &state.audit_key, &event).await?;
    transaction.commit().await.map_err(DatabaseError::from)?;
    Ok(StatusCode::NO_CONTENT)
}
