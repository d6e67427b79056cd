//! `POST /api/auth/password-reset`: a new password for whoever holds a one-time token.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use super::attempt;
use super::password::shown_password;
use crate::audit::{AuditEvent, Outcome, RequestOrigin};
use crate::crypto::TokenHash;
use crate::db::password_reset::{self, Entitled};
use crate::db::{DatabaseError, write_audit};
use crate::domain::{Violation, check_new_password};
use crate::http::AppState;
use crate::http::body::{Checked, Faults, ValidBody};
use crate::http::error::{ApiError, FieldFault, Problem, ProblemCode};
use crate::http::problems::{Always, WithBody};
use crate::policy::{Action, ResourceKind};

/// Longest token that is looked at, in characters.
const LONGEST_TOKEN: usize = 256;

/// The token and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordReset {
    /// The token, as it was printed.
    #[schema(required, nullable = false, min_length = 1, max_length = 256)]
    token: Option<String>,
    /// The new password: any characters, none of the known ones, not made of the address or the product's name.
    #[schema(required, nullable = false, format = Password, min_length = 15, max_length = 256)]
    new_password: Option<String>,
}

/// What [`PasswordReset`] holds when it is valid.
pub struct Reset {
    token: TokenHash,
    new: SecretString,
}

impl Checked for PasswordReset {
    type Valid = Reset;
    const MEMBERS: &'static [&'static str] = &["token", "new_password"];

    fn check(self) -> Result<Reset, Vec<FieldFault>> {
        let mut faults = Faults::default();
        let token = faults.required("token", self.token.as_deref(), |token| {
            match token.chars().count() {
                0 => Err(Violation::new("required", "must not be empty")),
                length if length > LONGEST_TOKEN => {
                    Err(Violation::new("too_long", "must have at most 256 characters"))
                }
                _ => Ok(TokenHash::of(token.trim())),
            }
        });
        let new = faults.required("new_password", self.new_password.as_deref(), shown_password);
        faults.finish((|| {
            Some(Reset {
                token: token?,
                new: new?,
            })
        })())
    }
}

/// Set a new password with a one-time token.
///
/// The token comes from whoever runs the database, and is good for 30 minutes and once. A password that is refused does
/// not use it up. All sessions of the user end; a second factor stays in force.
#[utoipa::path(
    post,
    path = "/api/auth/password-reset",
    tag = "auth",
    operation_id = "resetPassword",
    request_body = PasswordReset,
    responses(
        (status = 204, description = "The new password is in force."),
        (status = 401, description = "The token is unknown, used or expired.",
         body = Problem, content_type = "application/problem+json"),
        WithBody,
        Always,
    ),
)]
pub async fn reset(
    State(state): State<AppState>,
    Extension(origin): Extension<RequestOrigin>,
    ValidBody(reset): ValidBody<PasswordReset>,
) -> Result<StatusCode, ApiError> {
    let Some(entitled) = password_reset::entitled(&state.pool, &reset.token).await? else {
        write_audit(
            &state.pool,
            &state.audit_key,
            &event(None, Outcome::Denied, origin),
        )
        .await?;
        return Err(ProblemCode::InvalidResetToken.into());
    };
    check_new_password(reset.new.expose_secret(), &entitled.email)
        .map_err(|violation| ApiError::validation(vec![FieldFault::new("/new_password", violation)]))?;
    let hash = state.passwords.hash(reset.new).await?;
    let mut transaction = state.pool.begin().await.map_err(DatabaseError::from)?;
    let redeemed = password_reset::redeem(&mut transaction, &reset.token, entitled.user, &hash).await?;
    let outcome = if redeemed {
        attempt::forget(&state, &mut transaction, &entitled.email).await?;
        Outcome::Success
    } else {
        Outcome::Denied
    };
    write_audit(
        &mut *transaction,
        &state.audit_key,
        &event(Some(&entitled), outcome, origin),
    )
    .await?;
    transaction.commit().await.map_err(DatabaseError::from)?;
    if redeemed {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ProblemCode::InvalidResetToken.into())
    }
}

fn event(entitled: Option<&Entitled>, outcome: Outcome, origin: RequestOrigin) -> AuditEvent {
    AuditEvent {
        actor: entitled.map(|entitled| (entitled.user, entitled.role)),
        resource_ids: entitled.iter().map(|entitled| entitled.user.0).collect(),
        ..AuditEvent::new(Action::ResetPassword, ResourceKind::User, outcome, origin)
    }
}
