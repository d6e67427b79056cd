//! `POST /api/emergency-access/{id}/review`

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::db::emergency_access::{self, Reviewed};
use crate::domain::{EmergencyAccessId, Verdict};
use crate::http::body::{Checked, Faults};
use crate::http::error::{ApiError, FieldFault, Problem, ProblemCode};
use crate::http::extract::{AuthorisedBody, RecordId};
use crate::http::problems::{Always, ForCallers, OnOne, WithBody};
use crate::policy::{EmergencyAccesses, Review};

/// A verdict.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewInput {
    /// Whether the access was justified.
    #[schema(required, nullable = false, value_type = Verdict)]
    verdict: Option<String>,
}

impl Checked for ReviewInput {
    type Valid = Verdict;
    const MEMBERS: &'static [&'static str] = &["verdict"];

    fn check(self) -> Result<Verdict, Vec<FieldFault>> {
        let mut faults = Faults::default();
        let verdict = faults.required("verdict", self.verdict.as_deref(), Verdict::parse);
        faults.finish(verdict)
    }
}

/// Close the review of an emergency access.
///
/// Nobody reviews their own access.
#[utoipa::path(
    post,
    path = "/api/emergency-access/{id}/review",
    tag = "emergency access",
    operation_id = "reviewEmergencyAccess",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "Identity of the emergency access.")),
    request_body = ReviewInput,
    responses(
        (status = 204, description = "Reviewed."),
        (status = 409, description = "It is reviewed already.",
         body = Problem, content_type = "application/problem+json"),
        ForCallers,
        OnOne,
        WithBody,
        Always,
    ),
)]
pub async fn review(
    RecordId(id): RecordId,
    AuthorisedBody {
        mut access,
        body: verdict,
    }: AuthorisedBody<Review<EmergencyAccesses>, ReviewInput>,
) -> Result<impl IntoResponse, ApiError> {
    access.caller.concerns(id);
    let reviewed = emergency_access::review(&mut access.caller, EmergencyAccessId(id), verdict).await;
    let answer = match reviewed {
        Ok(Reviewed::Done) => Ok(StatusCode::NO_CONTENT),
        Ok(Reviewed::Own) => Err(ProblemCode::AnotherPersonNeeded.into()),
        Ok(Reviewed::Already) => Err(ProblemCode::ReviewedAlready.into()),
        Ok(Reviewed::NotFound) => Err(ProblemCode::NotFound.into()),
        Err(error) => Err(error.into()),
    };
    access.conclude(answer).await
}
