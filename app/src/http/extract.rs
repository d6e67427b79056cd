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
use super::rate_limit::count_user;
use super::state::AppState;
use crate::audit::{AuditEvent, Outcome, RequestOrigin};
use crate::db::{BeginError, CallerTransaction, denial, session, write_audit};
use crate::domain::Bearer;
use crate::policy::Privilege;

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
    /// Begins for a user whose identity is proven.
    ///
    /// # Errors
    /// What keeps the user from using the privilege.
    pub(super) async fn begin(
        state: &AppState,
        bearer: Bearer,
        origin: RequestOrigin,
    ) -> Result<Self, ApiError> {
        match CallerTransaction::begin(&state.pool, &state.audit_key, bearer, origin).await {
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
                self.state
                    .metrics
                    .phi_access
                    .with_label_values(&[P::RESOURCE.as_str(), P::ACTION.as_str()])
                    .inc();
                Ok(Recorded(answer))
            }
            Err(error) => {
                if error.phi_did_not_open() {
                    self.state.metrics.phi_open_failures.inc();
                }
                if error.outcome() == Outcome::Denied {
                    count_denial::<P>(&self.state);
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
        let (bearer, origin) = authenticate(parts, state).await?;
        Self::begin(state, bearer, origin).await
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
        let (bearer, origin) = authenticate(&parts, state).await?;
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
    let (role, second_factor) = session::active_role(&state.pool, bearer)
        .await?
        .ok_or(ProblemCode::Unauthenticated)?;
    let Some(denial) = denial::<P>(role, second_factor) else {
        return Ok(());
    };
    count_denial::<P>(state);
    let event = AuditEvent {
        actor: Some((bearer.user, role)),
        ..AuditEvent::new(P::ACTION, P::RESOURCE, Outcome::Denied, origin)
    };
    write_audit(&state.pool, &state.audit_key, &event).await?;
    Err(denial.into())
}

fn count_denial<P: Privilege>(state: &AppState) {
    state
        .metrics
        .denials
        .with_label_values(&[P::RESOURCE.as_str(), P::ACTION.as_str()])
        .inc();
}

/// Who sent this and in which session, by the bearer token (RFC 6750); every failure gets the same answer. Whether the
/// session still lives is for the database to say, in the transaction that follows. The request counts for the user.
///
/// # Errors
/// 401, or 429 when the request is one too many.
pub async fn authenticate(parts: &Parts, state: &AppState) -> Result<(Bearer, RequestOrigin), ApiError> {
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
    let bearer = claims.bearer();
    let origin = RequestOrigin {
        session: Some(bearer.session.0),
        ..origin(parts)
    };
    count_user(parts, state, bearer.user).await?;
    Ok((bearer, origin))
}

/// Where this came from; the outermost layer put it there.
pub fn origin(parts: &Parts) -> RequestOrigin {
    parts.extensions.get().copied().unwrap_or(RequestOrigin {
        request_id: super::middleware::current_request_id(),
        client_address: None,
        session: None,
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
