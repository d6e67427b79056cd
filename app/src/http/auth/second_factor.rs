//! The second factor at a login.

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::crypto::recovery_code_hash;
use crate::db::{DatabaseError, second_factor};
use crate::domain::UserId;
use crate::http::AppState;
use crate::http::error::ApiError;

/// How a session stands to the second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecondFactorState {
    /// It was shown.
    Verified,
    /// The user has none and needs none.
    Absent,
    /// The user has none and needs one for their role: enrol it, nothing else is permitted.
    EnrolmentRequired,
}

/// What a login showed of the second factor.
pub enum Shown {
    /// The user has none.
    None,
    /// The user has one and showed no code.
    Missing,
    /// The code is wrong, or was used.
    Wrong,
    /// The code is right, and used from now on.
    Right,
}

/// Takes the code, once: of the authenticator app or, when it is none of those, a recovery code.
///
/// # Errors
/// When the database or the stored secret fails.
pub async fn take(
    state: &AppState,
    connection: &mut PgConnection,
    user: UserId,
    code: Option<&SecretString>,
) -> Result<Shown, ApiError> {
    let Some(secret) = second_factor::secret(connection, &state.vault, user, true).await? else {
        return Ok(Shown::None);
    };
    let Some(code) = code.map(ExposeSecret::expose_secret) else {
        return Ok(Shown::Missing);
    };
    let now = jiff::Timestamp::now().as_second().unsigned_abs();
    let step = secret
        .matching_step(code, now)
        .map_err(|error| ApiError::internal(&error))?;
    let taken: Result<bool, DatabaseError> = match step {
        Some(step) => second_factor::take_step(connection, user, step).await,
        None => second_factor::take_recovery_code(connection, user, &recovery_code_hash(code)).await,
    };
    Ok(if taken? { Shown::Right } else { Shown::Wrong })
}
