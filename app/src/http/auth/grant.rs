//! What a client gets that has proven who it is: an access token, the next refresh token, and whom they are for.

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::cookie;
use super::second_factor::SecondFactorState;
use crate::domain::{Bearer, Role};
use crate::http::AppState;
use crate::http::error::ApiError;

/// Tokens, and whom they are for. The names are those of OAuth 2.0 (RFC 6749 section 5.1).
#[derive(Serialize, ToSchema)]
pub struct LoginResponse {
    /// Send it as `Authorization: Bearer …`.
    #[schema(max_length = 2048)]
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer", max_length = 16)]
    token_type: &'static str,
    /// Seconds for which the access token is good.
    #[schema(example = 900, minimum = 60, maximum = 3600)]
    expires_in: u64,
    /// Good for one refresh; absent when it was asked for as a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 43, max_length = 43)]
    refresh_token: Option<String>,
    /// Seconds until the session ends however much it is used.
    #[schema(example = 28800, minimum = 0, maximum = 604_800)]
    refresh_expires_in: i64,
    /// How the session stands to the second factor.
    second_factor: SecondFactorState,
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

/// What is granted.
pub struct Grant {
    /// To whom, in which session.
    pub bearer: Bearer,
    /// Their role.
    pub role: Role,
    /// Their name.
    pub display_name: String,
    /// The session's refresh token.
    pub refresh_token: SecretString,
    /// Seconds until the session's absolute end.
    pub remaining_seconds: i64,
    /// Whether a second factor was shown.
    pub second_factor: bool,
    /// Whether the refresh token goes into a cookie instead of the body.
    pub in_cookie: bool,
}

impl Grant {
    /// The answer that carries it.
    ///
    /// # Errors
    /// When the access token cannot be signed.
    pub fn answer(self, state: &AppState) -> Result<Response, ApiError> {
        let now = jiff::Timestamp::now().as_second();
        let access_token = state
            .tokens
            .issue(self.bearer, now)
            .map_err(|error| ApiError::internal(&error))?;
        let cookie = self
            .in_cookie
            .then(|| cookie::set(&self.refresh_token, self.remaining_seconds))
            .flatten();
        let refresh_token = (!self.in_cookie).then(|| self.refresh_token.expose_secret().to_owned());
        let mut answer = Json(LoginResponse {
            access_token,
            token_type: "Bearer",
            expires_in: state.tokens.lifetime().as_secs(),
            refresh_token,
            refresh_expires_in: self.remaining_seconds,
            second_factor: match self.second_factor {
                true => SecondFactorState::Verified,
                false if self.role.needs_second_factor() => SecondFactorState::EnrolmentRequired,
                false => SecondFactorState::Absent,
            },
            user: LoggedInUser {
                id: self.bearer.user.0,
                display_name: self.display_name,
                role: self.role,
            },
        })
        .into_response();
        if let Some(cookie) = cookie {
            answer.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        Ok(answer)
    }
}
