//! `GET /api/auth/sessions` and `DELETE /api/auth/sessions/{id}`: a user's own sessions (ASVS 7.5.2).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::holder::SessionHolder;
use crate::audit::Outcome;
use crate::db::session::{self, Ended};
use crate::db::{DatabaseError, write_audit};
use crate::domain::{Bearer, SessionId};
use crate::http::AppState;
use crate::http::error::{ApiError, ProblemCode};
use crate::http::extract::RecordId;
use crate::http::problems::{Always, ForSelf, OnOne};
use crate::policy::{Action, ResourceKind};

/// One session.
#[derive(Serialize, ToSchema)]
pub struct SessionOutput {
    /// Identity.
    id: Uuid,
    /// When it was started.
    #[schema(format = DateTime, max_length = 40)]
    created_at: String,
    /// When it was last used, to the minute.
    #[schema(format = DateTime, max_length = 40)]
    last_used_at: String,
    /// When it ends at the latest.
    #[schema(format = DateTime, max_length = 40)]
    expires_at: String,
    /// Address that it was started from.
    #[schema(max_length = 45)]
    client_address: Option<String>,
    /// What the client called itself.
    #[schema(max_length = 200)]
    user_agent: Option<String>,
    /// Whether it is the one of this request.
    current: bool,
}

/// Sessions, the newest first.
#[derive(Serialize, ToSchema)]
pub struct SessionList {
    /// The sessions.
    #[schema(max_items = 100)]
    items: Vec<SessionOutput>,
}

/// List one's own sessions.
#[utoipa::path(
    get,
    path = "/api/auth/sessions",
    tag = "auth",
    operation_id = "listSessions",
    security(("bearer" = [])),
    responses((status = 200, description = "The sessions.", body = SessionList), ForSelf, Always),
)]
pub async fn list(
    State(state): State<AppState>,
    holder: SessionHolder,
) -> Result<Json<SessionList>, ApiError> {
    let mut transaction = state.pool.begin().await.map_err(DatabaseError::from)?;
    let sessions = session::list(&mut transaction, holder.bearer.user).await?;
    let ids = sessions.iter().map(|session| session.id.0).collect();
    let event = holder.event(Action::List, ResourceKind::Session, ids, Outcome::Success);
    write_audit(&mut *transaction, &state.audit_key, &event).await?;
    transaction.commit().await.map_err(DatabaseError::from)?;
    let items = sessions
        .into_iter()
        .map(|session| SessionOutput {
            id: session.id.0,
            created_at: session.created_at.to_string(),
            last_used_at: session.last_used_at.to_string(),
            expires_at: session.expires_at.to_string(),
            client_address: session.client_address,
            user_agent: session.user_agent,
            current: session.id == holder.bearer.session,
        })
        .collect();
    Ok(Json(SessionList { items }))
}

/// End one of one's own sessions.
///
/// Its access tokens and refresh tokens are good for nothing from now on, on every replica.
#[utoipa::path(
    delete,
    path = "/api/auth/sessions/{id}",
    tag = "auth",
    operation_id = "endSession",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "Identity of the session.")),
    responses((status = 204, description = "The session has ended."), ForSelf, OnOne, Always),
)]
pub async fn end(
    State(state): State<AppState>,
    RecordId(id): RecordId,
    holder: SessionHolder,
) -> Result<impl IntoResponse, ApiError> {
    let mut transaction = state.pool.begin().await.map_err(DatabaseError::from)?;
    let target = Bearer {
        session: SessionId(id),
        ..holder.bearer
    };
    let ended = session::end(&mut transaction, target).await?;
    let outcome = if ended == Ended::Now {
        Outcome::Success
    } else {
        Outcome::NotFound
    };
    let event = holder.event(Action::End, ResourceKind::Session, vec![id], outcome);
    write_audit(&mut *transaction, &state.audit_key, &event).await?;
    transaction.commit().await.map_err(DatabaseError::from)?;
    match ended {
        Ended::Now => Ok(StatusCode::NO_CONTENT),
        Ended::Before | Ended::Unknown => Err(ProblemCode::NotFound.into()),
    }
}
