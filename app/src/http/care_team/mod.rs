//! Who cares for a patient.

mod add;
mod list;
mod remove;

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::error::{ApiError, ProblemCode};
use super::state::AppState;
use crate::db::care_team::Changed;

/// The routes of this folder.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(add::add, remove::remove))
}

/// The patient and the member of staff in the path; like [`super::extract::RecordId`], nil where it is no UUID.
pub struct Membership {
    patient: Uuid,
    member: Uuid,
}

impl<S: Send + Sync> FromRequestParts<S> for Membership {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let ids = Path::<(Uuid, Uuid)>::from_request_parts(parts, state).await;
        let (patient, member) = ids.map_or((Uuid::nil(), Uuid::nil()), |Path(ids)| ids);
        Ok(Self { patient, member })
    }
}

fn answer(changed: Changed) -> Result<StatusCode, ApiError> {
    match changed {
        Changed::Done => Ok(StatusCode::NO_CONTENT),
        Changed::Oneself => Err(ProblemCode::AnotherPersonNeeded.into()),
        Changed::NotFound => Err(ProblemCode::NotFound.into()),
    }
}
