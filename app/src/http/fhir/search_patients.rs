//! `GET /fhir/Patient`

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use utoipa::IntoParams;
use uuid::Uuid;

use super::bundle::Searchset;
use super::parameters::{self, COUNT, CURSOR, Used, fault};
use super::patient::{patient, record_number_system};
use super::representation::FhirJson;
use super::responses::{Always, FhirResource, ForCallers, OnSearch};
use crate::db;
use crate::domain::{PatientId, RecordNumber};
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::extract::Authorised;
use crate::policy::{List, Patients, Search};

const ID: &str = "_id";
const IDENTIFIER: &str = "identifier";

/// What to look for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what is read by name")]
pub struct PatientQuery {
    /// Identity of the patient.
    #[param(rename = "_id", max_length = 64)]
    id: Option<String>,
    /// The record number, whole: `system|value`, or the value alone.
    #[param(max_length = 320, example = "MRN-000001")]
    identifier: Option<String>,
    /// Entries on the page; at most 100, 25 when absent.
    #[param(rename = "_count", minimum = 1)]
    count: Option<u32>,
    /// Of a `next` link.
    #[param(rename = "_cursor", min_length = 22, max_length = 22)]
    cursor: Option<String>,
}

/// Search patients as FHIR.
#[utoipa::path(
    get,
    path = "/fhir/Patient",
    tag = "fhir",
    operation_id = "searchFhirPatients",
    security(("bearer" = [])),
    params(PatientQuery),
    responses(
        (status = 200, description = "A Bundle of the patients whom the caller may see.", body = FhirResource,
         content_type = "application/fhir+json"),
        OnSearch,
        ForCallers,
        Always,
    ),
)]
pub async fn search(State(state): State<AppState>, mut parts: Parts) -> Result<Response, ApiError> {
    // Two questions to the policy and to the audit log, as in the rest of the API.
    if parameters::mentions(&parts.uri, &[ID, IDENTIFIER]) {
        let access = Authorised::from_request_parts(&mut parts, &state).await?;
        by_property(&state, access, &parts)
            .await
            .map(IntoResponse::into_response)
    } else {
        let access = Authorised::from_request_parts(&mut parts, &state).await?;
        all(&state, access, &parts).await.map(IntoResponse::into_response)
    }
}

async fn all(
    state: &AppState,
    mut access: Authorised<List<Patients>>,
    request: &Parts,
) -> Result<impl IntoResponse, ApiError> {
    let mut used = Used::read(&request.uri, &request.headers, &[COUNT, CURSOR])?;
    let page = used.page()?;
    let after = page.after.map(PatientId);
    let found = db::patient::list(&mut access.caller, &state.vault, after, page.wanted()).await;
    let answer = found.map_err(ApiError::from).map(|mut patients| {
        let next = page.cut(&mut patients, |patient| patient.id.0);
        for patient in &patients {
            access.caller.shows(patient);
        }
        let base = super::base(state);
        let resources = patients.iter().map(|found| patient(found, &base)).collect();
        let page = Searchset {
            base: &base,
            kind: "Patient",
            used: &used,
            next,
            total: None,
            resources,
        };
        FhirJson(page.into_bundle())
    });
    access.conclude(answer).await
}

async fn by_property(
    state: &AppState,
    mut access: Authorised<Search<Patients>>,
    request: &Parts,
) -> Result<impl IntoResponse, ApiError> {
    let mut used = Used::read(&request.uri, &request.headers, &[ID, IDENTIFIER, COUNT])?;
    used.page()?;
    let base = super::base(state);
    let criteria = Criteria::check(&used, &record_number_system(&base))?;
    let found = match &criteria {
        Criteria { foreign: true, .. } => Ok(None),
        Criteria {
            number: Some(number), ..
        } => db::patient::find_by_record_number(&mut access.caller, &state.vault, number).await,
        Criteria { id, .. } => {
            let id = PatientId(id.unwrap_or_default());
            db::patient::find_by_id(&mut access.caller, &state.vault, id).await
        }
    };
    let answer = found.map_err(ApiError::from).map(|found| {
        let found = found.filter(|found| criteria.id.is_none_or(|id| id == found.id.0));
        if let Some(found) = &found {
            access.caller.shows(found);
        }
        let page = Searchset {
            base: &base,
            kind: "Patient",
            used: &used,
            next: None,
            total: Some(usize::from(found.is_some())),
            resources: found.iter().map(|found| patient(found, &base)).collect(),
        };
        FhirJson(page.into_bundle())
    });
    access.conclude(answer).await
}

/// What a patient has to match, all of it.
struct Criteria {
    id: Option<Uuid>,
    number: Option<RecordNumber>,
    /// The identifier is of another system: nobody here has it.
    foreign: bool,
}

impl Criteria {
    fn check(used: &Used, own_system: &str) -> Result<Self, ApiError> {
        let id = used.get(ID).map(check_id).transpose()?;
        let mut criteria = Self {
            id,
            number: None,
            foreign: false,
        };
        if let Some(token) = used.get(IDENTIFIER) {
            let (system, value) = token
                .split_once('|')
                .map_or((own_system, token), |(system, value)| (system, value));
            let number = RecordNumber::parse(value);
            criteria.foreign = system != own_system;
            if !criteria.foreign {
                criteria.number =
                    Some(number.map_err(|violation| fault(IDENTIFIER, violation.code, &violation.detail))?);
            }
        }
        Ok(criteria)
    }
}

/// An id as FHIR writes it; what is not a UUID is nobody's here.
fn check_id(text: &str) -> Result<Uuid, ApiError> {
    let permitted = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if text.len() > 64 || !text.chars().all(permitted) {
        return Err(fault(
            ID,
            "malformed",
            "must be one id: up to 64 letters, digits, - and .",
        ));
    }
    Ok(text.parse().unwrap_or_default())
}
