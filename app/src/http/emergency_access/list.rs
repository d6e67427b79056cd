//! `GET /api/emergency-access`

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::emergency_access::{self, OpenReview};
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::extract::Authorised;
use crate::http::problems::{Always, ForCallers};
use crate::policy::{EmergencyAccesses, List};

/// An emergency access that waits for its review. There is no Debug: the reason may say something about the patient.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenReviewOutput {
    /// Identity.
    id: Uuid,
    /// Whose access it is.
    user_id: Uuid,
    /// To which patient.
    patient_id: Uuid,
    /// Why; absent when the patient's data were destroyed.
    #[schema(max_length = 1000)]
    reason: Option<String>,
    /// From when.
    #[schema(value_type = String, format = DateTime, max_length = 35)]
    granted_at: Timestamp,
    /// Until when.
    #[schema(value_type = String, format = DateTime, max_length = 35)]
    expires_at: Timestamp,
}

impl From<OpenReview> for OpenReviewOutput {
    fn from(review: OpenReview) -> Self {
        Self {
            id: review.id.0,
            user_id: review.user.0,
            patient_id: review.patient.0,
            reason: review.reason.map(|reason| reason.expose().to_owned()),
            granted_at: review.granted_at,
            expires_at: review.expires_at,
        }
    }
}

/// Open reviews.
#[derive(Serialize, ToSchema)]
pub struct OpenReviews {
    /// The oldest hundred, oldest first.
    #[schema(max_items = 100)]
    items: Vec<OpenReviewOutput>,
}

/// List the emergency accesses that wait for a review.
#[utoipa::path(
    get,
    path = "/api/emergency-access",
    tag = "emergency access",
    operation_id = "listOpenReviews",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Open reviews.", body = OpenReviews),
        ForCallers,
        Always,
    ),
)]
pub async fn list(
    State(state): State<AppState>,
    mut access: Authorised<List<EmergencyAccesses>>,
) -> Result<impl IntoResponse, ApiError> {
    let found = emergency_access::open_reviews(&mut access.caller, &state.vault).await;
    if let Ok(reviews) = &found {
        for review in reviews {
            access.caller.concerns(review.id.0);
        }
    }
    let answer = found.map_err(ApiError::from).map(|reviews| {
        let items = reviews.into_iter().map(OpenReviewOutput::from).collect();
        Json(OpenReviews { items })
    });
    access.conclude(answer).await
}
