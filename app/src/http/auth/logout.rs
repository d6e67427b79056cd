//! `POST /api/auth/logout`

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;

use super::cookie;
use crate::audit::{AuditEvent, Outcome, RequestOrigin};
use crate::crypto::TokenHash;
use crate::db::session::{self, Ended};
use crate::db::{DatabaseError, user, write_audit};
use crate::http::AppState;
use crate::http::error::{ApiError, Problem, ProblemCode};
use crate::http::extract::{authenticate, origin};
use crate::http::problems::Always;
use crate::policy::{Action, ResourceKind};

/// The end of a session.
#[derive(Serialize, ToSchema)]
pub struct LogoutResponse {
    /// For people.
    #[schema(example = "Logged out successfully", max_length = 64)]
    message: &'static str,
}

/// Log out.
///
/// Ends the session of the access token or, without one, of the cookie: its access tokens and refresh tokens are good for
/// nothing from now on. To log out of a session that has ended already is no error.
#[utoipa::path(
    post,
    path = "/api/auth/logout",
    tag = "auth",
    operation_id = "logout",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The session has ended.", body = LogoutResponse),
        (status = 401, description = "Neither a good access token nor a cookie of a session.",
         body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub async fn logout(State(state): State<AppState>, parts: Parts) -> Result<Response, ApiError> {
    let of_header = if parts.headers.contains_key(header::AUTHORIZATION) {
        Some(authenticate(&parts, &state).await?.0)
    } else {
        None
    };
    let mut transaction = state.pool.begin().await.map_err(DatabaseError::from)?;
    let bearer = if let Some(bearer) = of_header {
        bearer
    } else {
        let token = cookie::read(&parts.headers).ok_or(ProblemCode::Unauthenticated)?;
        session::of_token(&mut transaction, &TokenHash::of(token.expose_secret()))
            .await?
            .ok_or(ProblemCode::Unauthenticated)?
    };
    match session::end(&mut transaction, bearer).await? {
        Ended::Unknown => return Err(ProblemCode::Unauthenticated.into()),
        Ended::Before => {}
        Ended::Now => {
            let role = user::role(&mut transaction, bearer.user).await?;
            let origin = RequestOrigin {
                session: Some(bearer.session.0),
                ..origin(&parts)
            };
            let event = AuditEvent {
                actor: role.map(|role| (bearer.user, role)),
                resource_ids: vec![bearer.session.0],
                ..AuditEvent::new(Action::End, ResourceKind::Session, Outcome::Success, origin)
            };
            write_audit(&mut *transaction, &state.audit_key, &event).await?;
        }
    }
    transaction.commit().await.map_err(DatabaseError::from)?;
    let mut answer = Json(LogoutResponse {
        message: "Logged out successfully",
    })
    .into_response();
    if let Some(cookie) = cookie::clear() {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(answer)
}
