//! Patients as FHIR R4 `Patient`. There is no place for free text about a person in it: the notes stay where they are.

use serde_json::{Value, json};

use crate::domain::Patient;

/// The system of the institution's record numbers.
pub fn record_number_system(base: &str) -> String {
    format!("{base}/sid/record-number")
}

/// The resource for a patient. It is protected health information.
pub fn patient(patient: &Patient, base: &str) -> Value {
    let record = &patient.record;
    json!({
        "resourceType": "Patient",
        "id": patient.id.0,
        "meta": {
            "versionId": patient.version.to_string(),
            "lastUpdated": patient.updated_at.to_string(),
        },
        "identifier": [{
            "use": "official",
            "type": {"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                "code": "MR",
                "display": "Medical record number",
            }]},
            "system": record_number_system(base),
            "value": record.record_number.expose(),
        }],
        "name": [{
            "use": "official",
            "family": record.family_name.expose(),
            // Not divided: a space in it may be part of one name.
            "given": [record.given_name.expose()],
        }],
        "birthDate": record.date_of_birth.expose(),
    })
}
