//! An attempt to prove knowledge of a password: slowed down, compared, counted, wherever it is made.

use secrecy::SecretString;
use sqlx::PgConnection;

use super::holder::SessionHolder;
use crate::audit::Outcome;
use crate::crypto::BlindIndex;
use crate::db::{DatabaseError, login_attempt, user, write_audit};
use crate::domain::Email;
use crate::http::AppState;
use crate::http::error::{ApiError, ProblemCode};
use crate::policy::{Action, ResourceKind};

/// An attempt that may be made now. It counts as failed until [`Self::succeeded`].
pub struct Attempt {
    email: Email,
}

impl Attempt {
    /// Begins an attempt on an account.
    ///
    /// # Errors
    /// 429 with the time to wait, by the delay that all replicas share.
    pub async fn begin(state: &AppState, email: &Email) -> Result<Self, ApiError> {
        if let Err(seconds) = login_attempt::begin(&state.pool, &account(state, email)).await? {
            state.metrics.logins.with_label_values(&["throttled"]).inc();
            return Err(ApiError::too_many(seconds));
        }
        Ok(Self { email: email.clone() })
    }

    /// Forgets this attempt and the failed ones before it.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn succeeded(
        &self,
        state: &AppState,
        connection: &mut PgConnection,
    ) -> Result<(), DatabaseError> {
        forget(state, connection, &self.email).await
    }
}

/// Forgets the failed attempts on an account whose owner has proven to be them.
///
/// # Errors
/// [`DatabaseError`].
pub async fn forget(
    state: &AppState,
    connection: &mut PgConnection,
    email: &Email,
) -> Result<(), DatabaseError> {
    login_attempt::succeeded(connection, &account(state, email)).await
}

fn account(state: &AppState, email: &Email) -> BlindIndex {
    state
        .vault
        .blind_index("login_attempt", "account", email.as_str())
}

/// A user who has just shown their own password.
pub struct Confirmed {
    /// Address.
    pub email: Email,
    /// Hash that the password was compared with.
    pub password_hash: String,
}

/// Lets the holder of a session show their password, before `action`. Whoever found an unlocked screen must not be able
/// to guess here faster than at the login. A wrong password is recorded as a denial of the action.
///
/// # Errors
/// 401 for a wrong password, 429 after too many.
pub async fn confirm_password(
    state: &AppState,
    holder: &SessionHolder,
    password: SecretString,
    action: Action,
) -> Result<Confirmed, ApiError> {
    let user = holder.bearer.user;
    let (email, password_hash) = user::own_credentials(&state.pool, user)
        .await?
        .ok_or(ProblemCode::Unauthenticated)?;
    let attempt = Attempt::begin(state, &email).await?;
    let verdict = state
        .passwords
        .verify(password, Some(password_hash.clone()))
        .await?;
    if !verdict.is_right() {
        let event = holder.event(action, ResourceKind::User, vec![user.0], Outcome::Denied);
        write_audit(&state.pool, &state.audit_key, &event).await?;
        return Err(ProblemCode::InvalidCredentials.into());
    }
    let mut connection = state.pool.acquire().await.map_err(DatabaseError::from)?;
    attempt.succeeded(state, &mut connection).await?;
    Ok(Confirmed { email, password_hash })
}
