//! Accounts, for administrators. They are made by `admin create-user`, which hands the password over.

mod change_role;
mod deactivate;
mod list;

use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, FieldFault, ProblemCode};
use super::state::AppState;
use crate::db::account::Changed;
use crate::domain::Violation;

/// The routes of this folder.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(change_role::change_role))
        .routes(routes!(deactivate::deactivate))
}

fn answer(changed: Changed) -> Result<StatusCode, ApiError> {
    match changed {
        Changed::Done => Ok(StatusCode::NO_CONTENT),
        Changed::Own => Err(ProblemCode::AnotherPersonNeeded.into()),
        Changed::OfPatient => Err(ApiError::validation(vec![FieldFault::new(
            "/role",
            Violation::new(
                "account_of_patient",
                "cannot change, the account belongs to a patient",
            ),
        )])),
        Changed::NoAdministrator => Err(ProblemCode::Forbidden.into()),
        Changed::NotFound => Err(ProblemCode::NotFound.into()),
    }
}
