//! Errors as clients see them: `application/problem+json` (RFC 9457) with a stable code, and nothing of the inside.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::middleware::current_request_id;
use super::retry::MayPass;
use crate::audit::Outcome;
use crate::crypto::PasswordError;
use crate::db::patient::RECORD_NUMBER_UNIQUE;
use crate::db::{BeginError, DatabaseError};
use crate::domain::{Field, Violation};

/// Kinds of problems. The names are part of the contract: they are never changed, only added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// The body is not JSON, or the request cannot be read.
    MalformedRequest,
    /// No access token, or not a good one.
    Unauthenticated,
    /// The address or the password is wrong.
    InvalidCredentials,
    /// The refresh token is missing, unknown, used, or of a session that ended.
    InvalidRefreshToken,
    /// The password-reset token is unknown, used or expired.
    InvalidResetToken,
    /// The password is right; a code of the second factor is needed with it.
    SecondFactorRequired,
    /// The caller's role may do this only in a session with a second factor.
    SecondFactorEnrolmentRequired,
    /// The user has a second factor already.
    SecondFactorExists,
    /// The caller's role may not do this.
    Forbidden,
    /// Another site made a browser send this.
    CrossSiteRequest,
    /// Nobody does this to or for themselves.
    AnotherPersonNeeded,
    /// There is no such thing, or none that the caller may know of.
    NotFound,
    /// The path does not know the method.
    MethodNotAllowed,
    /// The answer is not offered in the format that the client asks for.
    NotAcceptable,
    /// The body did not come in time.
    RequestTimeout,
    /// Another patient has this record number.
    RecordNumberTaken,
    /// A request with this `Idempotency-Key` is being answered at this moment.
    RequestInProgress,
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyReused,
    /// The review is closed.
    ReviewedAlready,
    /// The record was changed in the meantime.
    PreconditionFailed,
    /// The body is too large.
    BodyTooLarge,
    /// The body is not `application/json`, or compressed.
    UnsupportedMediaType,
    /// Members of the request break rules; `errors` lists them.
    ValidationFailed,
    /// A change needs `If-Match`.
    PreconditionRequired,
    /// Too many attempts.
    TooManyRequests,
    /// The program failed.
    Internal,
    /// Not able to answer now.
    Unavailable,
}

impl ProblemCode {
    fn status(self) -> StatusCode {
        match self {
            Self::MalformedRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated
            | Self::InvalidCredentials
            | Self::InvalidRefreshToken
            | Self::InvalidResetToken
            | Self::SecondFactorRequired => StatusCode::UNAUTHORIZED,
            Self::Forbidden
            | Self::CrossSiteRequest
            | Self::AnotherPersonNeeded
            | Self::SecondFactorEnrolmentRequired => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::RecordNumberTaken
            | Self::RequestInProgress
            | Self::ReviewedAlready
            | Self::SecondFactorExists => StatusCode::CONFLICT,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ValidationFailed | Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::MalformedRequest => "The request cannot be read.",
            Self::Unauthenticated => "A valid access token is needed.",
            Self::InvalidCredentials => "Invalid credentials",
            Self::InvalidRefreshToken => "Invalid refresh token",
            Self::InvalidResetToken => "Invalid password-reset token",
            Self::SecondFactorRequired => "A code of the second factor is needed.",
            Self::SecondFactorEnrolmentRequired => "Your role needs a second factor; enrol one first.",
            Self::SecondFactorExists => "There is a second factor already; remove it first.",
            Self::Forbidden => "Your role may not do this.",
            Self::CrossSiteRequest => "Another site may not make a browser send this.",
            Self::AnotherPersonNeeded => "Somebody else has to do this.",
            Self::NotFound => "There is no such thing.",
            Self::MethodNotAllowed => "This path does not know the method.",
            Self::NotAcceptable => "The answer is not offered in this format.",
            Self::RequestTimeout => "The request took too long to arrive.",
            Self::RecordNumberTaken => "Another patient has this record number.",
            Self::RequestInProgress => "A request with this Idempotency-Key is being answered; ask again.",
            Self::IdempotencyKeyReused => "This Idempotency-Key was used for another request.",
            Self::ReviewedAlready => "The review is closed.",
            Self::PreconditionFailed => "The record was changed in the meantime; read it again.",
            Self::BodyTooLarge => "The body is too large.",
            Self::UnsupportedMediaType => "The body has to be application/json, not compressed.",
            Self::ValidationFailed => "Members of the request are not valid.",
            Self::PreconditionRequired => "A change needs If-Match with the record's ETag.",
            Self::TooManyRequests => "Too many requests. Please try again later.",
            Self::Internal => "An unexpected error occurred. Please try again later.",
            Self::Unavailable => "The service cannot answer now. Please try again.",
        }
    }

    fn name(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_default()
    }
}

/// A member of the request that breaks a rule. It never repeats the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldFault {
    /// JSON pointer (RFC 6901) into the body, or the name of a query parameter.
    #[schema(example = "/dateOfBirth", max_length = 128)]
    pub pointer: String,
    /// Stable name of the rule.
    #[schema(example = "in_future", max_length = 64)]
    pub code: &'static str,
    /// The rule, for people.
    #[schema(example = "must not be in the future", max_length = 256)]
    pub detail: String,
}

impl FieldFault {
    /// A fault at a place.
    pub fn new(pointer: impl Into<String>, violation: Violation) -> Self {
        Self {
            pointer: pointer.into(),
            code: violation.code,
            detail: violation.detail,
        }
    }
}

/// A problem as it is sent (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// Identifies the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "https://medops.dev/problems/validation_failed", max_length = 128)]
    kind: String,
    /// What is wrong, for people.
    #[schema(max_length = 128)]
    pub(super) title: &'static str,
    /// The status code, again.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, for programs.
    pub(super) code: ProblemCode,
    /// Members of the request that break rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub(super) errors: Vec<FieldFault>,
    /// Id of the request, to be found in the server's log.
    pub(super) request_id: Uuid,
}

/// An error on its way to the client.
#[derive(Debug)]
pub struct ApiError {
    code: ProblemCode,
    errors: Vec<FieldFault>,
    retry_after_seconds: Option<u64>,
    phi_did_not_open: bool,
    connection_lost: bool,
}

impl From<ProblemCode> for ApiError {
    fn from(code: ProblemCode) -> Self {
        Self {
            code,
            errors: Vec::new(),
            retry_after_seconds: None,
            phi_did_not_open: false,
            connection_lost: false,
        }
    }
}

impl ApiError {
    /// Members of the request break rules.
    pub fn validation(errors: Vec<FieldFault>) -> Self {
        Self {
            errors,
            ..ProblemCode::ValidationFailed.into()
        }
    }

    /// The request cannot be read, for these faults.
    pub fn malformed(errors: Vec<FieldFault>) -> Self {
        Self {
            errors,
            ..ProblemCode::MalformedRequest.into()
        }
    }

    /// The caller's role may not change these fields.
    pub fn forbidden_fields(fields: &[Field]) -> Self {
        let fault = |field: &Field| {
            FieldFault::new(
                format!("/{}", field.member()),
                Violation::new("not_permitted", "must not be changed by your role"),
            )
        };
        Self {
            errors: fields.iter().map(fault).collect(),
            ..ProblemCode::Forbidden.into()
        }
    }

    /// Too many attempts; the next one is welcome after so many seconds.
    pub fn too_many(retry_after_seconds: u64) -> Self {
        Self {
            retry_after_seconds: Some(retry_after_seconds),
            ..ProblemCode::TooManyRequests.into()
        }
    }

    /// Not able to answer now.
    pub fn unavailable() -> Self {
        Self {
            retry_after_seconds: Some(1),
            ..ProblemCode::Unavailable.into()
        }
    }

    /// The program failed; the cause goes to the log only.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(error = %cause, "internal error");
        ProblemCode::Internal.into()
    }

    /// Whether stored data did not open.
    pub fn phi_did_not_open(&self) -> bool {
        self.phi_did_not_open
    }

    /// How the audit log calls it.
    pub fn outcome(&self) -> Outcome {
        match self.code {
            ProblemCode::NotFound => Outcome::NotFound,
            ProblemCode::Forbidden
            | ProblemCode::AnotherPersonNeeded
            | ProblemCode::InvalidCredentials
            | ProblemCode::InvalidRefreshToken => Outcome::Denied,
            ProblemCode::RecordNumberTaken
            | ProblemCode::RequestInProgress
            | ProblemCode::IdempotencyKeyReused
            | ProblemCode::ReviewedAlready => Outcome::Conflict,
            ProblemCode::PreconditionFailed | ProblemCode::PreconditionRequired => Outcome::Stale,
            _ => Outcome::Failed,
        }
    }
}

impl From<DatabaseError> for ApiError {
    fn from(error: DatabaseError) -> Self {
        let sqlstate = error.sqlstate().unwrap_or_default();
        let connection_lost = error.connection_lost();
        match error {
            DatabaseError::Conflict(constraint) if constraint == RECORD_NUMBER_UNIQUE => {
                ProblemCode::RecordNumberTaken.into()
            }
            DatabaseError::Unavailable(cause) => {
                tracing::warn!(error = %cause, sqlstate, "the database is not available");
                Self {
                    connection_lost,
                    ..Self::unavailable()
                }
            }
            DatabaseError::Open(cause) => Self {
                phi_did_not_open: true,
                ..Self::internal(&cause)
            },
            error => {
                tracing::error!(error = %error, sqlstate, "the database refused");
                ProblemCode::Internal.into()
            }
        }
    }
}

impl From<BeginError> for ApiError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Unauthenticated => ProblemCode::Unauthenticated.into(),
            BeginError::Forbidden => ProblemCode::Forbidden.into(),
            BeginError::SecondFactorMissing => ProblemCode::SecondFactorEnrolmentRequired.into(),
            BeginError::Database(error) => error.into(),
        }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Overloaded => Self::unavailable(),
            PasswordError::Failed => Self::internal(&error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let problem = Problem {
            kind: format!("https://medops.dev/problems/{}", self.code.name()),
            title: self.code.title(),
            status: status.as_u16(),
            code: self.code,
            errors: self.errors,
            request_id: current_request_id(),
        };
        let mut response = (status, Json(&problem)).into_response();
        // For those who give it another form.
        response.extensions_mut().insert(problem);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.code == ProblemCode::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.connection_lost {
            response.extensions_mut().insert(MayPass);
        }
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
