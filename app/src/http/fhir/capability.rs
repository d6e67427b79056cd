//! The `CapabilityStatement`: what this server can do, for software that asks before it reads (R4 section 3.1.0.9).

use serde_json::{Value, json};

use super::format::FHIR_JSON;

/// When what is said here changed last.
const DATE: &str = "2026-11-21";

/// The resource for a service base URL.
pub fn capability_statement(base: &str) -> Value {
    json!({
        "resourceType": "CapabilityStatement",
        "url": format!("{base}/metadata"),
        "version": env!("CARGO_PKG_VERSION"),
        "name": "MedicalApi",
        "title": "Medical API",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "Patients' records and the audit log, to be read", "url": base},
        "fhirVersion": "4.0.1",
        "format": [FHIR_JSON, "json"],
        "rest": [{
            "mode": "server",
            "documentation": "Every access is recorded. A patient outside one's care is not found.",
            "security": {
                "service": [{"text": "Bearer access token (RFC 6750)"}],
                "description": "Everything but this resource needs an access token of the API's login in the header \
                    Authorization, over TLS. Patients are for those who care for them, reception and themselves; the \
                    audit log is for auditors.",
            },
            "resource": [
                resource("Patient", &[
                    ("_id", "token", "Identity of the patient."),
                    ("identifier", "token", "The record number, with its system or without any."),
                ]),
                resource("AuditEvent", &[]),
            ],
        }],
    })
}

fn resource(kind: &str, parameters: &[(&str, &str, &str)]) -> Value {
    let mut resource = json!({
        "type": kind,
        "profile": format!("http://hl7.org/fhir/StructureDefinition/{kind}"),
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "versioned",
        "readHistory": false,
        "conditionalRead": "not-supported",
    });
    let parameters: Vec<_> = parameters
        .iter()
        .map(
            |(name, kind, documentation)| json!({"name": name, "type": kind, "documentation": documentation}),
        )
        .collect();
    if !parameters.is_empty() {
        resource["searchParam"] = Value::Array(parameters);
    }
    resource
}
