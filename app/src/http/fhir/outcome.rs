//! Problems as `OperationOutcome` (R4 section 3.1.0.1.12): the same codes, statuses and texts as everywhere.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::format::FHIR_JSON;
use crate::http::error::{FieldFault, Problem, ProblemCode};

/// System of the codes of problems.
const PROBLEMS: &str = "https://medops.dev/problems";
/// System of the codes of rules that members and parameters break.
const RULES: &str = "https://medops.dev/rules";

/// Gives every problem below `/fhir` its form, whichever layer it comes from.
pub async fn problems_as_outcomes(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let ours = path == "/fhir" || path.starts_with("/fhir/");
    let mut response = next.run(request).await;
    let problem = response.extensions_mut().remove::<Problem>().filter(|_| ours);
    let Some(problem) = problem else {
        return response;
    };
    let (mut head, _) = response.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(FHIR_JSON));
    let body = Json(outcome(&problem)).into_response().into_body();
    Response::from_parts(head, body)
}

/// One issue a fault, or one for the whole.
fn outcome(problem: &Problem) -> Value {
    let issues: Vec<_> = if problem.errors.is_empty() {
        vec![issue(problem)]
    } else {
        problem
            .errors
            .iter()
            .map(|fault| fault_issue(problem, fault))
            .collect()
    };
    json!({"resourceType": "OperationOutcome", "issue": issues})
}

fn issue(problem: &Problem) -> Value {
    json!({
        "severity": "error",
        "code": issue_type(problem.code),
        "details": {
            "coding": [{"system": PROBLEMS, "code": problem.code}],
            "text": problem.title,
        },
        "diagnostics": format!("request {}", problem.request_id),
    })
}

fn fault_issue(problem: &Problem, fault: &FieldFault) -> Value {
    let mut issue = issue(problem);
    issue["code"] = json!(match fault.code {
        "unknown_parameter" | "unsupported_modifier" => "not-supported",
        "required" => "required",
        _ => "value",
    });
    issue["details"]["coding"] = json!([
        {"system": PROBLEMS, "code": problem.code},
        {"system": RULES, "code": fault.code},
    ]);
    issue["details"]["text"] = json!(format!("{} {}", fault.pointer, fault.detail).trim());
    if !fault.pointer.is_empty() {
        // The form that R4 gives for parameters of HTTP.
        issue["location"] = json!([format!("http.{}", fault.pointer)]);
    }
    issue
}

/// `http://hl7.org/fhir/issue-type`.
fn issue_type(code: ProblemCode) -> &'static str {
    match code {
        ProblemCode::MalformedRequest | ProblemCode::ValidationFailed => "invalid",
        ProblemCode::Unauthenticated => "login",
        ProblemCode::Forbidden | ProblemCode::CrossSiteRequest => "forbidden",
        ProblemCode::NotFound => "not-found",
        ProblemCode::MethodNotAllowed | ProblemCode::NotAcceptable => "not-supported",
        ProblemCode::TooManyRequests => "throttled",
        ProblemCode::Internal => "exception",
        ProblemCode::Unavailable => "transient",
        // Problems of operations that are not offered here.
        _ => "processing",
    }
}
