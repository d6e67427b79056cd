//! `POST /api/auth/password`: a user's own password.

use axum::extract::State;
use axum::http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use super::attempt::confirm_password;
use super::holder::SessionHolder;
use crate::audit::Outcome;
use crate::db::{DatabaseError, session, user, write_audit};
use crate::domain::{LONGEST_PASSWORD, Violation, check_new_password};
use crate::http::AppState;
use crate::http::body::{Checked, Faults, ValidBody};
use crate::http::error::{ApiError, FieldFault, Problem, ProblemCode};
use crate::http::problems::{Always, WithBody};
use crate::policy::{Action, ResourceKind};

/// A password as somebody shows it: not empty, and not so long that hashing it would be a burden.
///
/// # Errors
/// The broken rule.
pub fn shown_password(password: &str) -> Result<SecretString, Violation> {
    match password.chars().count() {
        0 => Err(Violation::new("required", "must not be empty")),
        length if length > LONGEST_PASSWORD => {
            Err(Violation::new("too_long", "must have at most 256 characters"))
        }
        _ => Ok(SecretString::from(password)),
    }
}

/// The old password and the new one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The present password.
    #[schema(required, nullable = false, format = Password, min_length = 1, max_length = 256)]
    current_password: Option<String>,
    /// The new password: any characters, none of the known ones, not made of the address or the product's name.
    #[schema(required, nullable = false, format = Password, min_length = 15, max_length = 256)]
    new_password: Option<String>,
}

/// What [`PasswordChange`] holds when it is valid.
pub struct Change {
    current: SecretString,
    new: SecretString,
}

impl Checked for PasswordChange {
    type Valid = Change;
    const MEMBERS: &'static [&'static str] = &["current_password", "new_password"];

    fn check(self) -> Result<Change, Vec<FieldFault>> {
        let mut faults = Faults::default();
        let current = faults.required(
            "current_password",
            self.current_password.as_deref(),
            shown_password,
        );
        let new = faults.required("new_password", self.new_password.as_deref(), shown_password);
        faults.finish((|| {
            Some(Change {
                current: current?,
                new: new?,
            })
        })())
    }
}

/// Change one's own password.
///
/// Ends the user's other sessions (ASVS 7.4.3). A new password has at least 15 characters and is not one of those that
/// attackers try first; there are no rules about kinds of characters.
#[utoipa::path(
    post,
    path = "/api/auth/password",
    tag = "auth",
    operation_id = "changePassword",
    security(("bearer" = [])),
    request_body = PasswordChange,
    responses(
        (status = 204, description = "Changed; the other sessions have ended."),
        (status = 401, description = "No good access token, or the present password is wrong.",
         body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many attempts; try again after Retry-After seconds.",
         body = Problem, content_type = "application/problem+json"),
        WithBody,
        Always,
    ),
)]
pub async fn change(
    State(state): State<AppState>,
    holder: SessionHolder,
    ValidBody(change): ValidBody<PasswordChange>,
) -> Result<StatusCode, ApiError> {
    let action = Action::ChangePassword;
    let confirmed = confirm_password(&state, &holder, change.current.clone(), action).await?;
    check_new_password(change.new.expose_secret(), &confirmed.email)
        .and_then(|()| {
            if change.new.expose_secret() == change.current.expose_secret() {
                return Err(Violation::new("unchanged", "must not be the present password"));
            }
            Ok(())
        })
        .map_err(|violation| ApiError::validation(vec![FieldFault::new("/new_password", violation)]))?;
    let new_hash = state.passwords.hash(change.new).await?;
    let user = holder.bearer.user;
    let mut transaction = state.pool.begin().await.map_err(DatabaseError::from)?;
    if !user::replace_password(&mut transaction, user, &confirmed.password_hash, &new_hash).await? {
        return Err(ProblemCode::InvalidCredentials.into());
    }
    session::end_others(&mut transaction, user, Some(holder.bearer.session)).await?;
    let event = holder.event(action, ResourceKind::User, vec![user.0], Outcome::Success);
    write_audit(&mut *transaction, &state.audit_key, &event).await?;
    transaction.commit().await.map_err(DatabaseError::from)?;
    Ok(StatusCode::NO_CONTENT)
}
