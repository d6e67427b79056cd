//! Patients as JSON.

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::{DateOfBirth, Notes, Patient, PatientRecord, PersonName, RecordNumber};
use crate::http::body::{Checked, Faults};
use crate::http::error::FieldFault;

// Neither form of a patient has Debug: it would show protected health information.

/// A patient's record as it is sent by a client.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PatientInput {
    /// The institution's number, unique; letters, digits and `- / . _`. Case does not matter for lookups.
    #[schema(
        required,
        nullable = false,
        min_length = 1,
        max_length = 64,
        pattern = "^[A-Za-z0-9][A-Za-z0-9\\-/._]*$",
        example = "MRN-000001"
    )]
    record_number: Option<String>,
    /// Family name in any script.
    #[schema(
        required,
        nullable = false,
        min_length = 1,
        max_length = 100,
        example = "Example"
    )]
    family_name: Option<String>,
    /// Given name or names in any script.
    #[schema(
        required,
        nullable = false,
        min_length = 1,
        max_length = 100,
        example = "Synthetic"
    )]
    given_name: Option<String>,
    /// Date of birth, not in the future and at most 130 years ago.
    #[schema(required, nullable = false, format = Date, min_length = 10, max_length = 10, example = "1980-02-29")]
    date_of_birth: Option<String>,
    /// Free text; line breaks are kept.
    #[schema(max_length = 10_000)]
    notes: Option<String>,
}

impl Checked for PatientInput {
    type Valid = PatientRecord;
    const MEMBERS: &'static [&'static str] =
        &["recordNumber", "familyName", "givenName", "dateOfBirth", "notes"];

    fn check(self) -> Result<PatientRecord, Vec<FieldFault>> {
        // The day of the place on Earth where it is latest: a child born today is never "in the future".
        let today = (Timestamp::now() + jiff::SignedDuration::from_hours(14))
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date();
        let mut faults = Faults::default();
        let record_number =
            faults.required("recordNumber", self.record_number.as_deref(), RecordNumber::parse);
        let family_name = faults.required("familyName", self.family_name.as_deref(), PersonName::parse);
        let given_name = faults.required("givenName", self.given_name.as_deref(), PersonName::parse);
        let date_of_birth = faults.required("dateOfBirth", self.date_of_birth.as_deref(), |text| {
            DateOfBirth::parse(text, today)
        });
        let notes = faults.optional("notes", self.notes.as_deref(), Notes::parse);
        faults.finish((|| {
            Some(PatientRecord {
                record_number: record_number?,
                family_name: family_name?,
                given_name: given_name?,
                date_of_birth: date_of_birth?,
                notes,
            })
        })())
    }
}

/// Notes that the caller may see: null when there are none.
#[derive(Serialize)]
#[serde(transparent)]
struct ShownNotes(Option<String>);

/// A patient, as the caller may see them.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatientOutput {
    /// Identity.
    id: Uuid,
    /// Counts the changes, from 1; also in `ETag`.
    #[schema(minimum = 1)]
    version: i64,
    /// The institution's number.
    #[schema(max_length = 64)]
    record_number: String,
    /// Family name.
    #[schema(max_length = 100)]
    family_name: String,
    /// Given name or names.
    #[schema(max_length = 100)]
    given_name: String,
    /// Date of birth.
    #[schema(format = Date, max_length = 10)]
    date_of_birth: String,
    /// Free text; absent when the caller may not see it.
    #[schema(max_length = 10_000, value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<ShownNotes>,
    /// When the record was made.
    #[schema(value_type = String, format = DateTime, max_length = 35)]
    created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime, max_length = 35)]
    updated_at: Timestamp,
}

impl From<Patient> for PatientOutput {
    /// This is where a patient leaves the system: the one place that exposes a whole record.
    fn from(patient: Patient) -> Self {
        let record = &patient.record;
        Self {
            id: patient.id.0,
            version: patient.version,
            record_number: record.record_number.expose().to_owned(),
            family_name: record.family_name.expose().to_owned(),
            given_name: record.given_name.expose().to_owned(),
            date_of_birth: record.date_of_birth.expose(),
            notes: patient
                .shows_notes
                .then(|| ShownNotes(record.notes.as_ref().map(|notes| notes.expose().to_owned()))),
            created_at: patient.created_at,
            updated_at: patient.updated_at,
        }
    }
}

impl IntoResponse for PatientOutput {
    fn into_response(self) -> Response {
        let tag = entity_tag(self.version);
        let mut response = Json(self).into_response();
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

fn entity_tag(version: i64) -> String {
    format!("\"{version}\"")
}

/// The versions that an `If-Match` header (RFC 9110 section 13.1.1) names. `*` is any; weak tags never match; what
/// is no tag of ours matches nothing.
pub fn versions_in(if_match: &str) -> Option<Vec<i64>> {
    if if_match.trim() == "*" {
        return None;
    }
    let versions = if_match.split(',').filter_map(|tag| {
        let version = tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok()?;
        (entity_tag(version) == tag.trim()).then_some(version)
    });
    Some(versions.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_names_versions_by_strong_tags_only() {
        assert_eq!(versions_in("\"3\""), Some(vec![3]));
        assert_eq!(versions_in(" \"3\" , \"4\""), Some(vec![3, 4]));
        assert_eq!(versions_in("*"), None);
        for nothing in [
            "",
            "3",
            "W/\"3\"",
            "\"03\"",
            "\"+3\"",
            "\"x\"",
            "\"",
            "\"99999999999999999999\"",
        ] {
            assert_eq!(versions_in(nothing), Some(vec![]), "{nothing}");
        }
    }

    #[test]
    fn every_fault_of_a_body_is_listed_at_once_by_its_pointer() {
        let input = PatientInput {
            record_number: None,
            family_name: Some(String::new()),
            given_name: Some("Ada1".to_owned()),
            date_of_birth: Some("2023-02-30".to_owned()),
            notes: Some("a\u{0}".to_owned()),
        };
        let faults = input.check().err().unwrap();
        let seen: Vec<_> = faults
            .iter()
            .map(|fault| (fault.pointer.as_str(), fault.code))
            .collect();
        assert_eq!(
            seen,
            [
                ("/recordNumber", "required"),
                ("/familyName", "required"),
                ("/givenName", "invalid_characters"),
                ("/dateOfBirth", "malformed"),
                ("/notes", "invalid_characters"),
            ]
        );
    }
}
