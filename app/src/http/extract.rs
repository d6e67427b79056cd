//! The one way into a patient's data: an extractor that authenticates the caller, asks the policy, opens the
//! transaction under the caller's row-level security, and does not let a handler answer without an audit row.

use std::convert::Infallible;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::body::{self, Checked};
use super::error::{ApiError, ProblemCode};
use super::state::AppState;
use crate::audit::{AuditEvent, Outcome, RequestOrigin};
use crate::db::{BeginError, CallerTransaction, session, write_audit};
use crate::domain::Bearer;
use crate::policy::{Privilege, permits};

/// A caller with one privilege, and the transaction to use it in. A handler states the privilege in its type:
/// `Authorised<Read<Patients>>`; the database functions ask for the same type.
pub struct Authorised<P> {
    /// For the database functions.
    pub caller: CallerTransaction<P>,
    state: AppState,
}

/// An answer whose access is recorded. Only [`Authorised::conclude`] makes one.
pub struct Recorded<T>(T);

impl<T: IntoResponse> IntoResponse for Recorded<T> {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl<P: Privilege> Authorised<P> {
    async fn begin(state: &AppState, bearer: Bearer, origin: RequestOrigin) -> Result<Self, ApiError> {
        match CallerTransaction::begin(&state.pool, bearer, origin).await {
            Ok(caller) => Ok(Self {
                caller,
                state: state.clone(),
            }),
            Err(error) => {
                if matches!(error, BeginError::Forbidden | BeginError::SecondFactorMissing) {
                    count_denial::<P>(state);
                }
                Err(error.into())
            }
        }
    }

    /// Records how the operation ended and commits what it did, or undoes it. Whatever the operation found reaches
    /// the client only when the row is stored.
    ///
    /// # Errors
    /// The operation's own error, or the one of storing the row.
    pub async fn conclude<T>(self, result: Result<T, ApiError>) -> Result<Recorded<T>, ApiError> {
        match result {
            Ok(answer) => {
                self.caller.record().await?;
                Ok(Recorded(answer))
            }
            Err(error) => {
                if error.phi_did_not_open() {
                    self.state.metrics.phi_open_failures.inc();
                }
                self.caller.record_failure(error.outcome()).await?;
                Err(error)
            }
        }
    }
}

impl<P: Privilege> FromRequestParts<AppState> for Authorised<P> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let bearer = authenticate(parts, state)?;
        Self::begin(state, bearer, origin(parts)).await
    }
}

/// [`Authorised`], with a checked body.
///
/// The order matters: who the caller is, what they may do, then the body, then the transaction. That way a caller
/// without rights learns nothing about the body's rules, and a body that trickles in occupies no connection.
pub struct AuthorisedBody<P, B: Checked> {
    /// The caller.
    pub access: Authorised<P>,
    /// The body.
    pub body: B::Valid,
}

impl<P: Privilege, B: Checked> FromRequest<AppState> for AuthorisedBody<P, B> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bearer = authenticate(&parts, state)?;
        let origin = origin(&parts);
        authorise::<P>(state, bearer, origin).await?;
        let body = body::read::<B>(&parts.headers, body).await?;
        let access = Authorised::begin(state, bearer, origin).await?;
        Ok(Self { access, body })
    }
}

/// Asks the policy without opening a transaction.
async fn authorise<P: Privilege>(
    state: &AppState,
    bearer: Bearer,
    origin: RequestOrigin,
) -> Result<(), ApiError> {
    let role = session::active_role(&state.pool, bearer)
        .await?
        .ok_or(ProblemCode::Unauthenticated)?;
    if permits(role, P::RESOURCE, P::ACTION) {
        return Ok(());
    }
    count_denial::<P>(state);
    let event = AuditEvent {
        actor: Some((bearer.user, role)),
        action: P::ACTION,
        resource: P::RESOURCE,
        resource_ids: Vec::new(),
        outcome: Outcome::Denied,
        origin,
    };
    write_audit(&state.pool, &event).await?;
    Err(ProblemCode::Forbidden.into())
}

fn count_denial<P: Privilege>(state: &AppState) {
    state
        .metrics
        .denials
        .with_label_values(&[P::RESOURCE.as_str(), P::ACTION.as_str()])
        .inc();
}

/// Who sent this, by the bearer token (RFC 6750); every failure gets the same answer. Whether the session still lives is
/// for the database to say, in the transaction that follows.
pub fn authenticate(parts: &Parts, state: &AppState) -> Result<Bearer, ApiError> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(ProblemCode::Unauthenticated.into());
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token)
        .ok_or(ProblemCode::Unauthenticated)?;
    let claims = state
        .tokens
        .verify(token)
        .map_err(|_| ProblemCode::Unauthenticated)?;
    Ok(claims.bearer())
}

/// Where this came from; the outermost layer put it there.
pub fn origin(parts: &Parts) -> RequestOrigin {
    parts.extensions.get().copied().unwrap_or(RequestOrigin {
        request_id: super::middleware::current_request_id(),
        client_address: None,
    })
}

/// The id in the path. What is not a UUID becomes the nil UUID, which names nothing: the answer is 404, like for an id
/// that is not there, and comes after the caller is identified.
pub struct RecordId(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for RecordId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let id = Path::<Uuid>::from_request_parts(parts, state).await;
        Ok(Self(id.map_or(Uuid::nil(), |Path(id)| id)))
    }
}
