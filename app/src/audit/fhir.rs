//! Rows as FHIR R4 `AuditEvent` resources, by the profiles of IHE Basic Audit Log Patterns (BALP) where one fits.

use serde_json::{Value, json};
use uuid::Uuid;

use super::Row;

const DICOM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const ENTITY_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const OBJECT_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const INTERACTION: &str = "http://hl7.org/fhir/restful-interaction";
const BALP: &str = "https://profiles.ihe.net/ITI/BALP";

/// The resource for a row. `purpose` is the row's purpose, opened.
pub fn audit_event(row: &Row, purpose: Option<&str>) -> Value {
    let mut event = json!({
        "resourceType": "AuditEvent",
        "id": row.id,
        "type": kind(row),
        "subtype": [subtype(row)],
        "action": action(row),
        "recorded": row.occurred_at.to_string(),
        "outcome": outcome(row),
        "outcomeDesc": row.outcome,
        "agent": agents(row),
        "source": {
            "observer": {"display": "medical-app"},
            "type": [coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server")],
        },
        "entity": entities(row),
    });
    if let Some(profile) = profile(row) {
        event["meta"] = json!({"profile": [format!("{BALP}/StructureDefinition/IHE.BasicAudit.{profile}")]});
    }
    if let Some(purpose) = purpose {
        event["purposeOfEvent"] = json!([{"text": purpose}]);
    }
    event
}

fn coding(system: &str, code: &str, display: &str) -> Value {
    json!({"system": system, "code": code, "display": display})
}

/// The profiles for one object of one patient; those for queries ask for the query's text, which may hold PHI.
fn profile(row: &Row) -> Option<&'static str> {
    if row.patients().len() != 1 || row.actor_id.is_none() {
        return None;
    }
    match row.action.as_str() {
        "create" => Some("PatientCreate"),
        "read" => Some("PatientRead"),
        "update" => Some("PatientUpdate"),
        _ => None,
    }
}

fn kind(row: &Row) -> Value {
    match row.resource.as_str() {
        "session" => coding(DICOM, "110114", "User Authentication"),
        "audit" => coding(DICOM, "110101", "Audit Log Used"),
        "key" => coding(DICOM, "110113", "Security Alert"),
        _ => coding(
            "http://terminology.hl7.org/CodeSystem/audit-event-type",
            "rest",
            "Restful Operation",
        ),
    }
}

fn subtype(row: &Row) -> Value {
    match row.action.as_str() {
        "login" => coding(DICOM, "110122", "Login"),
        "list" | "search" => coding(INTERACTION, "search-type", "search-type"),
        action @ ("create" | "read" | "update" | "delete") => coding(INTERACTION, action, action),
        action => coding("https://medops.dev/audit-actions", action, action),
    }
}

/// `http://hl7.org/fhir/audit-event-action`.
fn action(row: &Row) -> &'static str {
    match row.action.as_str() {
        "create" => "C",
        "read" => "R",
        "update" => "U",
        "delete" | "shred" | "prune" => "D",
        _ => "E",
    }
}

/// `http://hl7.org/fhir/audit-event-outcome`: done, refused, failed.
fn outcome(row: &Row) -> &'static str {
    match row.outcome.as_str() {
        "success" => "0",
        "failed" => "8",
        _ => "4",
    }
}

fn agents(row: &Row) -> Value {
    let role_id = |code, display| json!({"coding": [coding(DICOM, code, display)]});
    let mut agents = vec![json!({
        "type": role_id("110152", "Destination Role ID"),
        "who": {"display": "medical-app"},
        "requestor": false,
    })];
    if let Some(address) = &row.client_address {
        agents.push(json!({
            "type": role_id("110153", "Source Role ID"),
            "who": {"display": address},
            "requestor": false,
            "network": {"address": address, "type": "2"},
        }));
    }
    if let Some(actor) = row.actor_id {
        let mut user = json!({
            "type": {"coding": [coding(
                "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", "information recipient",
            )]},
            "who": {"identifier": identifier(actor)},
            "requestor": true,
        });
        if let Some(role) = &row.actor_role {
            user["role"] = json!([{"text": role}]);
        }
        if let Some(session) = row.session_id {
            user["policy"] = json!([format!("urn:uuid:{session}")]);
        }
        agents.push(user);
    } else {
        // FHIR asks for exactly one that started it: the program did, when no user is known.
        agents[0]["requestor"] = json!(true);
    }
    Value::Array(agents)
}

fn identifier(id: Uuid) -> Value {
    json!({"system": "urn:ietf:rfc:3986", "value": format!("urn:uuid:{id}")})
}

fn entities(row: &Row) -> Value {
    let mut entities = vec![json!({
        "what": {"identifier": {"value": row.request_id}},
        "type": coding(&format!("{BALP}/CodeSystem/BasicAuditEntityType"), "XrequestId", "X-Request-Id"),
    })];
    for patient in row.patients() {
        entities.push(json!({
            "what": {"reference": format!("Patient/{patient}")},
            "type": coding(ENTITY_TYPE, "1", "Person"),
            "role": coding(OBJECT_ROLE, "1", "Patient"),
        }));
    }
    for object in &row.resource_ids {
        let what = if row.resource == "patient" {
            json!({"reference": format!("Patient/{object}")})
        } else {
            json!({"identifier": identifier(*object), "display": row.resource})
        };
        entities.push(json!({
            "what": what,
            "type": coding(ENTITY_TYPE, "2", "System Object"),
            "role": coding(OBJECT_ROLE, "4", "Domain Resource"),
        }));
    }
    Value::Array(entities)
}
