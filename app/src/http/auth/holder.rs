//! The user whose session a request belongs to, for what concerns nobody but themselves: no role is asked for.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use uuid::Uuid;

use crate::audit::{AuditEvent, Outcome, RequestOrigin};
use crate::db::session;
use crate::domain::{Bearer, Role};
use crate::http::AppState;
use crate::http::error::{ApiError, ProblemCode};
use crate::http::extract::authenticate;
use crate::policy::{Action, ResourceKind};

/// A user in a session that lives.
pub struct SessionHolder {
    /// Who, in which session.
    pub bearer: Bearer,
    /// Their role.
    pub role: Role,
    origin: RequestOrigin,
}

impl SessionHolder {
    /// A row for the audit log about something of their own.
    pub fn event(
        &self,
        action: Action,
        resource: ResourceKind,
        resource_ids: Vec<Uuid>,
        outcome: Outcome,
    ) -> AuditEvent {
        AuditEvent {
            actor: Some((self.bearer.user, self.role)),
            resource_ids,
            ..AuditEvent::new(action, resource, outcome, self.origin)
        }
    }
}

impl FromRequestParts<AppState> for SessionHolder {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let (bearer, origin) = authenticate(parts, state).await?;
        let (role, _) = session::active_role(&state.pool, bearer)
            .await?
            .ok_or(ProblemCode::Unauthenticated)?;
        Ok(Self { bearer, role, origin })
    }
}
